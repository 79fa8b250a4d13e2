//! The floor: `srt-live-transmit` takes one stream per process and throws it away.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

/// Running receivers; killed when dropped.
pub(crate) struct Floor {
    children: Vec<Child>,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Floor {
    /// Starts that many.
    pub(crate) fn start(count: usize) -> Self {
        let free: Vec<UdpSocket> =
            (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port")).collect();
        let addresses: Vec<_> = free.iter().map(|s| s.local_addr().expect("its address")).collect();
        drop(free);
        let start = |address: &SocketAddr| {
            let mut command = Command::new("srt-live-transmit");
            // Standard output, which leads nowhere: what it costs to send on is not what is measured.
            command.args(["-loglevel:fatal", "-autoreconnect:no"]);
            command.args([&format!("srt://{address}?mode=listener"), "file://con"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("srt-live-transmit runs; `make bench` installs it")
        };
        Self { children: addresses.iter().map(start).collect(), addresses }
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// How many have ended.
    pub(crate) fn fallen(&mut self) -> usize {
        self.children.iter_mut().filter_map(|c| c.try_wait().ok()?).count()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
