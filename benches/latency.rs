//! How long after the last frame of a part was sent viewers can have that part, and how soon a new stream plays.
//!
//! A reader waits for parts by blocking reloads, as players do. Which frame ends a part is read from its last
//! bytes, so nothing is taken for granted about how parts are cut. `--quick` measures for 8 s instead of 20 s.
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
use nx_container::flv::TAG_VIDEO;
use serde_json::json;
use support::hls::LowLatency;
use support::publish::{Clip, Publisher, Tag};
use support::{Server, http};

/// Time between two looks for the first playlist; what is measured is exact to this much.
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(15);
const STREAM: &str = "late";

/// From the first key frame to a multivariant playlist, and to a media playlist with a part that can be had.
struct Start {
    multivariant: Duration,
    playable: Duration,
}

fn start(server: &Server, stream: &str, clip: &Arc<Clip>) -> Result<Start> {
    let over = AtomicBool::new(false);
    let publisher = Publisher::connect(server.rtmp(), "live", stream, clip)?;
    let (first_key, seen) = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish_until(publisher, &over));
        let seen = first_look(server.edge(), stream);
        over.store(true, Ordering::Relaxed);
        (publishing.join().expect("a publisher does not panic"), seen)
    });
    let key = first_key.ok_or_else(|| Error::other("no key frame was sent"))?;
    let (multivariant, playable) = seen?;
    Ok(Start { multivariant: multivariant - key, playable: playable - key })
}

/// Sends until it is over; when the first picture went out.
fn publish_until(mut publisher: Publisher, over: &AtomicBool) -> Option<Instant> {
    let mut first_key = None;
    let mut note = |tag: &Tag| {
        if tag.kind == TAG_VIDEO {
            first_key.get_or_insert_with(Instant::now);
        }
    };
    while !over.load(Ordering::Relaxed) {
        publisher.send_until(Instant::now() + Duration::from_millis(50), &mut note).ok()?;
    }
    publisher.close();
    first_key
}

fn first_look(edge: SocketAddr, stream: &str) -> Result<(Instant, Instant)> {
    let multivariant = first(edge, &format!("/live/{stream}/index.m3u8"), "v1/index.m3u8")?;
    let folder = format!("/live/{stream}/v1/");
    first(edge, &format!("{folder}index.m3u8"), "#EXT-X-PART:")?;
    first(edge, &format!("{folder}init-0.mp4"), "ftyp")?;
    first(edge, &format!("{folder}0.0.m4s"), "moof")?;
    Ok((multivariant, Instant::now()))
}

/// When that address first answers with something that holds `what`.
fn first(edge: SocketAddr, path: &str, what: &str) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    let mut client = http::Client::connect(edge)?;
    while Instant::now() < deadline {
        let reply = client.get(path, &[])?;
        if reply.status == 200 && reply.body.windows(what.len()).any(|w| w == what.as_bytes()) {
            return Ok(Instant::now());
        }
        pass(LOOK);
    }
    Err(Error::other(format!("{path} never had {what}")))
}

/// Parts of one track as its reader got them.
struct Track {
    late: Spread,
    durations_s: Vec<f64>,
    unknown: usize,
}

/// Reads a track until then.
fn read(edge: SocketAddr, track: &str, sent: &Sent, until: Instant) -> Result<Track> {
    let mut reader = LowLatency::join(edge, &format!("/live/{STREAM}/{track}/"))?;
    let (mut late, mut unknown, mut durations_s) = (Vec::new(), 0, Vec::new());
    while Instant::now() < until {
        for part in reader.step()? {
            durations_s.push(part.seconds);
            match sent.at_end_of(&part.bytes) {
                Some(at) => late.push(part.listed - at),
                None => unknown += 1,
            }
        }
    }
    Ok(Track { late: Spread::of(late), durations_s, unknown })
}

impl Track {
    fn print(&self, name: &str) {
        let longest = self.durations_s.iter().copied().fold(0.0, f64::max);
        let mean = self.durations_s.iter().sum::<f64>() / self.durations_s.len().max(1) as f64;
        let Spread { count, median, p95, max } = self.late;
        say(&format!(
            "{name:<28} {count:>6} {median:>8.2} {p95:>8.2} {max:>8.2}   parts of {mean:.3} s, longest {longest:.3} s"
        ));
    }
}

/// Publishes one stream and reads its two tracks for so long.
fn follow(server: &Server, measured: Duration, clip: &Arc<Clip>) -> Result<(Track, Track)> {
    let (sent, over) = (Sent::default(), AtomicBool::new(false));
    let mut publisher = Publisher::connect(server.rtmp(), "live", STREAM, clip)?;
    std::thread::scope(|scope| {
        let publishing =
            scope.spawn(|| publish_noting(&mut publisher, &sent, || over.load(Ordering::Relaxed)));
        let read = || -> Result<(Track, Track)> {
            // The cadence of parts is settled after a GOP or two.
            first(server.edge(), &format!("/live/{STREAM}/ts/index.m3u8"), "#EXTINF")?;
            let until = Instant::now() + measured;
            let [video, audio] = ["v1", "a1"]
                .map(|track| {
                    scope.spawn({
                        let sent = &sent;
                        move || read(server.edge(), track, sent, until)
                    })
                })
                .map(|reading| reading.join().expect("a reader does not panic"));
            Ok((video?, audio?))
        };
        let tracks = read();
        over.store(true, Ordering::Relaxed);
        let kept = publishing.join().expect("a publisher does not panic");
        if kept { tracks } else { Err(Error::other("the publisher fell off")) }
    })
}

fn main() -> Result<()> {
    let options = Options::from_args();
    let measured = Duration::from_secs(if options.quick() { 8 } else { 20 });
    let clip = broadcast();
    say("latency: 720p30 at 3 Mbit/s, GOP 2 s, default settings");
    say_machine();
    let server = Server::start(&[]);
    let mut starts = Vec::new();
    for nth in 0..if options.quick() { 3 } else { 7 } {
        starts.push(start(&server, &format!("start{nth}"), &clip)?);
    }
    let multivariant = Spread::of(starts.iter().map(|s| s.multivariant).collect());
    let playable = Spread::of(starts.iter().map(|s| s.playable).collect());
    let (video, audio) = follow(&server, measured, &clip)?;
    say("ms                            count   median      p95      max");
    for (name, spread) in
        [("first key frame to multivariant", multivariant), ("first key frame to part 0", playable)]
    {
        let Spread { count, median, p95, max } = spread;
        say(&format!("{name:<28} {count:>6} {median:>8.1} {p95:>8.1} {max:>8.1}"));
    }
    video.print("last frame to part, video");
    audio.print("last frame to part, audio");
    say(&json!({
        "bench": "latency", "first_multivariant": multivariant.json(), "first_part": playable.json(),
        "video_part": video.late.json(), "audio_part": audio.late.json(),
    })
    .to_string());
    if video.unknown + audio.unknown > 0 {
        return Err(Error::other(format!(
            "{} video and {} audio parts end with no frame that was sent",
            video.unknown, audio.unknown
        )));
    }
    Ok(())
}
