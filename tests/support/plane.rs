//! A live plane for tests: an authority, its certificates, origins and edges that are processes.
#![expect(clippy::panic, reason = "a test or a measurement without its plane is over")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::Server;

/// A plane of its own: an authority, and one certificate for all of its nodes.
pub(crate) struct Plane(PathBuf);

impl Plane {
    /// Makes the files in a scratch folder of that name, by the commands that `README.md` gives.
    pub(crate) fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        for command in [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=plane -keyout ca.key -out ca.pem",
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node \
             -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout node.key -out node.csr",
            "x509 -req -in node.csr -CA ca.pem -CAkey ca.key -days 825 -copy_extensions copy -out node.pem",
        ] {
            let done = Command::new("openssl").args(command.split_whitespace()).current_dir(&folder).output();
            let done = done.unwrap_or_else(|e| panic!("openssl: {e}; `make test` installs it"));
            assert!(done.status.success(), "openssl {command}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Self(folder)
    }

    /// With files that are there.
    pub(crate) fn in_folder(folder: &std::path::Path) -> Self {
        Self(folder.to_owned())
    }

    /// Path of one of `ca.pem`, `node.pem`, `node.key`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Settings of a node; `section` is `origin` or `edge`.
    pub(crate) fn settings(&self, section: &str, more: &str) -> String {
        let [ca, cert, key] = ["ca.pem", "node.pem", "node.key"].map(|name| self.file(name));
        format!("[{section}.plane]\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n{more}\n")
    }

    pub(crate) fn origin(&self) -> Server {
        Server::role("origin", &self.settings("origin", "listen = \"127.0.0.1:0\""))
    }

    /// An edge that fetches from there, and may be fetched from.
    pub(crate) fn edge(&self, origins: &[SocketAddr]) -> Server {
        self.edge_with(origins, "")
    }

    /// The same with further settings.
    pub(crate) fn edge_with(&self, origins: &[SocketAddr], more: &str) -> Server {
        let origins: Vec<String> = origins.iter().map(SocketAddr::to_string).collect();
        // Origins of tests do not listen at the usual port, where anybody may.
        let stored = "[[edge.upstream]]\norigins = [\"http://127.0.0.1:9\"]";
        let more = format!("listen = \"127.0.0.1:0\"\norigins = {origins:?}\n{more}\n{stored}");
        Server::role("edge", &self.settings("edge", &more))
    }
}
