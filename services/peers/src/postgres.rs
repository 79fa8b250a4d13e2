//! PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::{Home, port, random};

/// A server at work.
#[derive(Debug)]
pub struct Postgres {
    home: Home,
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
        let server = Self { home: Home::new("pg"), programs, port: port() };
        let (data, log) = (server.home.file("data"), server.home.file("log"));
        server.run(
            "initdb",
            &["--auth=trust", "--username=nexus", "--no-sync", "--encoding=UTF8", "--locale=C", "-D", &data],
        );
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off",
            server.port
        );
        server.run("pg_ctl", &["start", "--wait", "-D", &data, "-l", &log, "-o", &options]);
        server
    }

    /// The address of a new database.
    #[must_use]
    pub fn database(&self) -> String {
        let (name, port) = (format!("t{}", random()), self.port.to_string());
        self.run("createdb", &["-h", "127.0.0.1", "-p", &port, "-U", "nexus", &name]);
        format!("postgres://nexus@127.0.0.1:{port}/{name}")
    }

    fn run(&self, program: &str, args: &[&str]) {
        self.home.run(&self.programs.join(program), args);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.home.file("data");
        if !std::thread::panicking() {
            self.run("pg_ctl", &["stop", "--mode=immediate", "-D", &data]);
        } else if let Ok(pid) = std::fs::read_to_string(self.home.path().join("data/postmaster.pid")) {
            let pid = pid.lines().next().unwrap_or_default().to_owned();
            let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        }
    }
}

/// Where Debian puts the programs: the newest version there is.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql")).ok()?;
    let found =
        versions.filter_map(Result::ok).map(|v| v.path().join("bin")).filter(|p| p.join("initdb").exists());
    found.max()
}
