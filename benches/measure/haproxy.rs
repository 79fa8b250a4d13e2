//! Another peer: HAProxy, one thread.
#![expect(clippy::panic, reason = "a measurement without its peer is over")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::listens;
use super::nginx::free;

/// A running HAProxy; killed when dropped.
pub(crate) struct Haproxy {
    child: Child,
    file: PathBuf,
    pub(crate) http: SocketAddr,
}

impl Haproxy {
    /// As a plain reverse proxy in front of `origin`, on connections that are kept; returns when it takes connections.
    pub(crate) fn proxy(origin: SocketAddr) -> Self {
        let http = free();
        let file = std::env::temp_dir().join(format!("nexus-bench-haproxy-{}.cfg", std::process::id()));
        std::fs::write(&file, config(http, origin)).expect("a configuration");
        let mut command = Command::new("haproxy");
        command.args(["-db", "-q", "-f"]).arg(&file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|e| panic!("haproxy: {e}; `make bench` installs it"));
        let haproxy = Self { child, file, http };
        assert!(listens(http, Duration::from_secs(5)), "haproxy did not start");
        haproxy
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}

fn config(http: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "global
    nbthread 1
    no strict-limits
    maxconn 24000
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    http-reuse always
frontend door
    bind {http} backlog 4096
    default_backend origin
backend origin
    server origin {origin}
"
    )
}
