//! Where answers are measured: two live streams, one with parts of 50 KB and one with segments of 1 MB; server and
//! generator share one core, publishers have the other.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::pass;
use crate::support::ffmpeg::{Kind, clip};
use crate::support::process::Usage;
use crate::support::publish::{Clip, Publisher};
use crate::support::{Server, http};

/// Set in the process inside the namespace.
const INSIDE: &str = "NEXUS_BENCH_NAMESPACE";
const PUBLISHERS: usize = 0;
pub(crate) const SERVERS: usize = 1;
const CLIP_S: u32 = 32;
const WARM_UP: Duration = Duration::from_secs(16);
const BASELINE: Duration = Duration::from_secs(3);
/// Newest finished pieces that are asked for in turn.
const PIECES: usize = 3;

/// The server with its streams.
pub(crate) struct Stage {
    pub(crate) nexus: Server,
    stop: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<()>>,
}

impl Stage {
    /// Starts it, and waits until the streams have pieces.
    pub(crate) fn start(server: impl FnOnce() -> Server) -> Result<Self> {
        pin(SERVERS);
        let nexus = server();
        let stop = Arc::new(AtomicBool::new(false));
        let mut publishers = Vec::new();
        for (name, kind) in [("parts", Kind::Parts), ("segments", Kind::Segments)] {
            let clip = Arc::new(Clip::load(&clip(CLIP_S, kind), CLIP_S));
            let mut publisher = Publisher::connect(nexus.rtmp(), "live", name, &clip)?;
            let stop = stop.clone();
            publishers.push(std::thread::spawn(move || {
                pin(PUBLISHERS);
                while !stop.load(Ordering::Relaxed) {
                    let until = Instant::now() + Duration::from_millis(100);
                    publisher.send_until(until, |_| {}).expect("the server takes the stream");
                }
            }));
        }
        pass(WARM_UP);
        Ok(Self { nexus, stop, publishers })
    }

    /// CPU of the server with its streams and without viewers, in milliseconds per second.
    pub(crate) fn idle_ms(&self) -> f64 {
        let before = Usage::of(self.nexus.pid());
        pass(BASELINE);
        Usage::of(self.nexus.pid()).since(&before).cpu_ms
    }

    /// Ends the streams.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.publishers.into_iter().for_each(|p| p.join().expect("a publisher does not panic"));
    }
}

/// The newest parts or segments in the playlist of the picture.
pub(crate) fn listed(edge: SocketAddr, stream: &str, parts: bool) -> Result<Vec<String>> {
    let text = http::get(edge, &format!("/live/{stream}/v1/index.m3u8"))?.body;
    let text = String::from_utf8(text).map_err(Error::other)?;
    let uri = |line: &str| match parts {
        true => line
            .split_once("EXT-X-PART:")
            .and_then(|(_, l)| l.split("URI=\"").nth(1)?.split('"').next())
            .map(str::to_owned),
        false => (!line.starts_with('#') && line.ends_with(".m4s")).then(|| line.to_owned()),
    };
    let all: Vec<String> = text.lines().filter_map(uri).map(|u| format!("/live/{stream}/v1/{u}")).collect();
    if all.len() < PIECES {
        return Err(Error::other(format!("{stream} has {} pieces:\n{text}", all.len())));
    }
    Ok(all[all.len() - PIECES..].to_vec())
}

/// From here on this thread, and what it starts, runs on one core.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// Goes on in a network namespace of its own where that is allowed, with TCP reno, as pacing timers would cost more
/// than the servers. The name of the congestion control.
pub(crate) fn isolate() -> String {
    const CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
    if std::env::var_os(INSIDE).is_none() {
        if let Some(code) = inside() {
            std::process::exit(code);
        }
    } else {
        let _ = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        let _ = std::fs::write(CONTROL, "reno");
        // With few left the kernel looks long for a free one.
        let _ = std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535");
    }
    std::fs::read_to_string(CONTROL).unwrap_or_default().trim().to_owned()
}

/// The same program in the namespace; `None` when that is not allowed.
fn inside() -> Option<i32> {
    let program = std::env::current_exe().ok()?;
    let mut command = Command::new("unshare");
    command.arg("--net").arg(program).args(std::env::args().skip(1)).env(INSIDE, "1");
    let allowed = Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|s| s.success());
    if allowed { command.status().ok()?.code() } else { None }
}
