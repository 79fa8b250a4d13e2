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
    let mut client = http::Client::connect(edge)?;
    first(&mut client, &format!("/live/{stream}/index.m3u8"), "v1/index.m3u8")?;
    let multivariant = Instant::now();
    let folder = format!("/live/{stream}/v1/");
    let playlist = first(&mut client, &format!("{folder}index.m3u8"), "#EXT-X-PART:")?;
    for uri in playlist.split("URI=\"").skip(1).take(2).filter_map(|rest| rest.split('"').next()) {
        let reply = client.get(&format!("{folder}{uri}"), &[])?;
        if reply.status != 200 || !matches!(reply.body.get(4..8), Some(b"ftyp" | b"styp" | b"prft" | b"moof"))
        {
            return Err(Error::other(format!("{folder}{uri} cannot be had: {}", reply.status)));
        }
    }
    Ok((multivariant, Instant::now()))
}

/// The first answer from that address that holds `what`.
fn first(client: &mut http::Client, path: &str, what: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let reply = client.get(path, &[])?;
        let text = String::from_utf8_lossy(&reply.body);
        if reply.status == 200 && text.contains(what) {
            return Ok(text.into_owned());
        }
        pass(LOOK);
    }
    Err(Error::other(format!("{path} never had {what}")))
}

/// Parts of one track as its reader got them.
struct Track {
    /// Length of each part in seconds, and how long after its last frame was sent it was listed.
    parts: Vec<(f64, Duration)>,
    unknown: usize,
}

/// Reads a track until then.
fn read(edge: SocketAddr, track: &str, sent: &Sent, until: Instant) -> Result<Track> {
    let mut reader = LowLatency::join(edge, &format!("/live/{STREAM}/{track}/"))?;
    let mut found = Track { parts: Vec::new(), unknown: 0 };
    while Instant::now() < until {
        for part in reader.step()? {
            match sent.at_end_of(&part.bytes) {
                Some(at) => found.parts.push((part.seconds, part.listed - at)),
                None => found.unknown += 1,
            }
        }
    }
    Ok(found)
}

impl Track {
    /// All parts, and of those the ones that the end of a segment cut short.
    fn spreads(&self) -> [Spread; 2] {
        let longest = self.parts.iter().map(|p| p.0).fold(0.0, f64::max);
        let late = |short: bool| {
            self.parts.iter().filter(move |p| !short || p.0 < longest * 0.75).map(|p| p.1).collect()
        };
        [Spread::of(late(false)), Spread::of(late(true))]
    }
}

fn print(name: &str, spread: Spread) {
    let Spread { count, median, p95, max, .. } = spread;
    say(&format!("{name:<32} {count:>6} {median:>8.2} {p95:>8.2} {max:>8.2}"));
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
            let mut client = http::Client::connect(server.edge())?;
            first(&mut client, &format!("/live/{STREAM}/ts/index.m3u8"), "#EXTINF")?;
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
    let ([video_all, video_short], [audio_all, audio_short]) = (video.spreads(), audio.spreads());
    say("ms                                count   median      p95      max");
    print("first key frame to multivariant", multivariant);
    print("first key frame to first part", playable);
    print("last frame to part, video", video_all);
    print("  of those cut short", video_short);
    print("last frame to part, audio", audio_all);
    print("  of those cut short", audio_short);
    let json = json!({
        "bench": "latency", "first_multivariant": multivariant.json(), "first_part": playable.json(),
        "video_part": video_all.json(), "video_part_short": video_short.json(),
        "audio_part": audio_all.json(), "audio_part_short": audio_short.json(),
    });
    say(&json.to_string());
    if video.unknown + audio.unknown > 0 {
        return Err(Error::other(format!(
            "{} video and {} audio parts end with no frame that was sent",
            video.unknown, audio.unknown
        )));
    }
    Ok(())
}
