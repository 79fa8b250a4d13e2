//! Another peer: Varnish, which keeps everything in memory and speaks plain HTTP/1.1.
#![expect(clippy::panic, reason = "a measurement without its peer is over")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::listens;
use super::nginx::free;

/// A running Varnish; killed when dropped.
pub(crate) struct Varnish {
    child: Child,
    folder: PathBuf,
    pub(crate) http: SocketAddr,
}

impl Varnish {
    /// As a cache in front of `origin`, with memory for what it keeps; returns when it takes connections.
    pub(crate) fn cache(origin: SocketAddr) -> Self {
        let http = free();
        let folder = std::env::temp_dir().join(format!("nexus-bench-varnish-{}", std::process::id()));
        let mut command = Command::new("varnishd");
        command.args(["-F", "-j", "none", "-T", "none", "-s", "malloc,2g", "-p", "thread_pools=1"]);
        // A large object may have to push out thousands of small ones.
        command.args(["-p", "nuke_limit=100000"]);
        command.args(["-a", &http.to_string(), "-b", &origin.to_string(), "-n"]).arg(&folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|e| panic!("varnishd: {e}; `make bench` installs it"));
        let varnish = Self { child, folder, http };
        assert!(listens(http, Duration::from_secs(20)), "varnishd did not start");
        varnish
    }

    /// The process that serves, a child of the one that looks after it.
    pub(crate) fn pid(&self) -> u32 {
        let manager = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{manager}/task/{manager}/children"));
        let first = children.ok().and_then(|all| all.split_whitespace().next()?.parse().ok());
        first.unwrap_or_else(|| panic!("varnishd has no process that serves"))
    }
}

impl Drop for Varnish {
    fn drop(&mut self) {
        // Asked to end, it ends its child too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
