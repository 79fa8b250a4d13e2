//! How long after the last frame of a part was sent viewers can have that part: at the origin, and at an edge that is 0,
//! 40 and 150 ms (round trip) away. `--quick` measures for 8 s instead of 20 s.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use measure::sent::Sent;
use measure::{Options, Spread, broadcast, pass, publish_noting, say, say_machine};
use support::hls::LowLatency;
use support::http;
use support::plane::Plane;
use support::publish::{Clip, Publisher};
use support::relay::{Faults, Relay, Way};

const ROUND_TRIPS_MS: [u64; 3] = [0, 40, 150];
const PATIENCE: Duration = Duration::from_secs(30);
/// What an edge has to get a window.
const CATCH_UP: Duration = Duration::from_secs(5);
const FOLDER: &str = "/live/far/v1/";

/// Waits until whole segments can be had there: the cadence of parts is settled then.
fn settled(node: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if http::get(node, "/live/far/ts/index.m3u8").is_ok_and(|reply| reply.status == 200) {
            return Ok(());
        }
        pass(Duration::from_millis(50));
    }
    Err(Error::other(format!("{node} never had it")))
}

/// How long after their last frame parts were listed there.
fn read(node: SocketAddr, sent: &Sent, until: Instant) -> Result<Spread> {
    let mut reader = LowLatency::join(node, FOLDER)?;
    let mut late = Vec::new();
    while Instant::now() < until {
        for part in reader.step()? {
            late.extend(sent.at_end_of(&part.bytes).map(|at| part.listed - at));
        }
    }
    Ok(Spread::of(late))
}

fn measure_at(round_trip_ms: u64, measured: Duration, clip: &Arc<Clip>) -> Result<()> {
    let plane = Plane::new("plane-bench");
    let origin = plane.origin();
    let way = Way { delay: Duration::from_micros(round_trip_ms * 500), ..Way::default() };
    let relay = Relay::start(origin.plane(), Faults::both(way, 1));
    let edge = plane.edge(&[relay.address()]);
    let (sent, over) = (Sent::default(), AtomicBool::new(false));
    let mut publisher = Publisher::connect(origin.rtmp(), "live", "far", clip)?;
    let spreads = std::thread::scope(|scope| -> Result<[Spread; 2]> {
        scope.spawn(|| publish_noting(&mut publisher, &sent, || over.load(Ordering::Relaxed)));
        let spreads = settled(origin.origin()).and_then(|()| settled(edge.edge())).and_then(|()| {
            // The window is under way for some round trips, and what is made meanwhile waits behind it.
            pass(CATCH_UP);
            let until = Instant::now() + measured;
            let (edge, sent) = (edge.edge(), &sent);
            let far = scope.spawn(move || read(edge, sent, until));
            let near = read(origin.origin(), sent, until)?;
            Ok([near, far.join().map_err(|_| Error::other("a reader fell"))??])
        });
        over.store(true, Ordering::Relaxed);
        spreads
    })?;
    for (name, spread) in ["origin", "edge"].into_iter().zip(&spreads) {
        let Spread { count, median, p95, max, .. } = spread;
        say(&format!("{round_trip_ms:>6} {name:<8} {count:>6} {median:>8.2} {p95:>8.2} {max:>8.2}"));
    }
    Ok(())
}

fn main() -> Result<()> {
    let options = Options::from_args();
    let measured = Duration::from_secs(if options.quick() { 8 } else { 20 });
    say_machine();
    say("\nlive plane: parts listed after their last frame was sent, ms; 720p30 at 3 Mbit/s");
    say("RTT ms node      parts   median      p95      max");
    let clip = broadcast();
    ROUND_TRIPS_MS.into_iter().try_for_each(|rtt| measure_at(rtt, measured, &clip))
}
