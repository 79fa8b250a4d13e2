//! A PostgreSQL of the tests' own: in a folder of its own, as an ordinary user, stopped when dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::http::trace::random;

/// A server at work.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts one.
    ///
    /// # Panics
    /// With what to install, when it is not there.
    #[must_use]
    pub fn start() -> Self {
        let programs = programs().expect("PostgreSQL is not here: install the packages of packages.txt");
        let folder = std::env::temp_dir().join(format!("nexus-pg-{}", random::<8>()));
        std::fs::create_dir_all(&folder).expect("a folder for PostgreSQL");
        if is_root() {
            let given = Command::new("chown").arg("nobody").arg(&folder).status().expect("chown");
            assert!(given.success(), "cannot give {} to nobody", folder.display());
        }
        // Free a moment ago; a server cannot be asked for port 0.
        let probe = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let server = Self { folder, programs, port: probe.port() };
        let data = server.data();
        server.run(
            "initdb",
            &["--auth=trust", "--username=nexus", "--no-sync", "--encoding=UTF8", "--locale=C", "-D", &data],
        );
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off",
            server.port
        );
        let log = server.folder.join("log");
        server.run("pg_ctl", &["start", "--wait", "-D", &data, "-l", &log.to_string_lossy(), "-o", &options]);
        server
    }

    /// The address of a new database.
    #[must_use]
    pub fn database(&self) -> String {
        let (name, port) = (format!("t{}", random::<8>()), self.port.to_string());
        self.run("createdb", &["-h", "127.0.0.1", "-p", &port, "-U", "nexus", &name]);
        format!("postgres://nexus@127.0.0.1:{port}/{name}")
    }

    fn data(&self) -> String {
        self.folder.join("data").to_string_lossy().into_owned()
    }

    /// Runs one of its programs, as nobody when we are root, whom it refuses.
    fn run(&self, program: &str, args: &[&str]) {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        let log = self.folder.join(format!("out-{}", random::<4>()));
        let out = std::fs::File::create(&log).expect("a file for its output");
        command
            .args(args)
            .current_dir(&self.folder)
            .stdout(out.try_clone().expect("the file twice"))
            .stderr(out);
        let done = command.status().expect("setpriv and the programs of PostgreSQL run");
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(done.success(), "{} {args:?}: {done}\n{said}", program.display());
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run("pg_ctl", &["stop", "--mode=immediate", "-D", &self.data()]);
        } else if let Ok(pid) = std::fs::read_to_string(self.folder.join("data/postmaster.pid")) {
            let pid = pid.lines().next().unwrap_or_default().to_owned();
            let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n")
}

/// Where Debian puts the programs: the newest version there is.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql")).ok()?;
    let found =
        versions.filter_map(Result::ok).map(|v| v.path().join("bin")).filter(|p| p.join("initdb").exists());
    found.max()
}
