//! A server's folder, its user and its programs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A folder that only one server uses; removed when dropped.
#[derive(Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new(server: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexus-{server}-{}", random()));
        std::fs::create_dir_all(&path).expect("a folder for the server");
        if is_root() {
            let given = Command::new("chown").arg("nobody").arg(&path).status().expect("chown");
            assert!(given.success(), "cannot give {} to nobody", path.display());
        }
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    /// A program as nobody when we are root, whom servers refuse.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.0).env("HOME", &self.0).stdin(Stdio::null());
        command
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &Path, args: &[&str]) {
        // A daemon that it leaves behind keeps the file, as it would a pipe, and nobody waits for that.
        let log = self.0.join(format!("out-{}", random()));
        let out = File::create(&log).expect("a file for its output");
        let mut command = self.command(program);
        command.args(args).stdout(out.try_clone().expect("the file twice")).stderr(out);
        let done = command.status().expect("setpriv and the program run");
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(done.success(), "{} {args:?}: {done}\n{said}", program.display());
    }

    /// Starts a program and waits until it says `word`.
    pub(crate) fn start(&self, mut command: Command, word: &str) -> Running {
        let errors = File::create(self.0.join("errors")).expect("a file for its errors");
        command.stdout(Stdio::piped()).stderr(errors).process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut running = Running(child);
        let out = running.0.stdout.take().expect("a pipe");
        let mut said = String::new();
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let ready = lines.by_ref().any(|line| {
            said.push_str(&line);
            said.push('\n');
            line.contains(word)
        });
        let errors = || std::fs::read_to_string(self.0.join("errors")).unwrap_or_default();
        assert!(ready, "{command:?} did not get ready:\n{said}{}", errors());
        // What it says later is read, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        running
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server and all that it has started; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago: these servers cannot be asked for port 0.
pub(crate) fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// Eight hexadecimal digits.
pub(crate) fn random() -> String {
    format!("{:08x}", getrandom::u32().expect("randomness"))
}

/// Where a package has put a program.
pub(crate) fn program(candidates: &[&str], package: &str) -> PathBuf {
    let found = candidates.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{package} is not here: install the packages of packages.txt"))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n")
}
