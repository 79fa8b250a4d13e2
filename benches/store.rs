//! What keeping streams costs, and how soon the past is there.
//!
//! * Bytes to disk: a gigabyte of segments through the store beside `cp` of a file as large, CPU time of both. The store
//!   waits for the disk, and what that takes is counted; `cp` leaves it to threads of the kernel, so there is `cp` and
//!   `sync` as well.
//! * A hundred streams that are recorded: what waits for the disk, second by second.
//! * A recording of twelve hours, made in simulated time: playlists on the wire, whole and as a delta; from the first
//!   request to the first segment at any second; a clip of it and of what is live.
//!
//! `--quick` takes a tenth of it all; `writing`, `recording` and `reading` are to be had alone.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod measure;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Error, Result, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use measure::{Options, broadcast, pass, say, say_machine};
use nx_hls::{Config, Event, Lookup, Packager, Start, TrackSpec, Window};
use nx_media::{
    AudioCodec, AudioParams, Params, Sample, StreamKey, TrackId, VideoCodec, VideoParams, VideoRange,
};
use nx_store::{Budget, Store};
use support::publish::{Fleet, Publisher};
use support::server::cpu_ms;
use support::{Server, http};

const SEGMENT_MS: u32 = 2_000;
const FPS: i64 = 30;
/// A frame that is not much: what is measured does not depend on it.
const FRAME: usize = 400;
const EVER: Budget = Budget { keep_ms: i64::MAX / 2, stream_bytes: u64::MAX, bytes: u64::MAX };
const MINUTE: Duration = Duration::from_secs(60);
const QUIET: (&str, &str) = ("NEXUS__LOG__FILTER", "warn");
const SEEKS: u32 = 40;
/// A multiple of three, so that each of the three comes first, second and third as often.
const ROUNDS: usize = 9;

fn main() -> Result<()> {
    let options = Options::from_args();
    say_machine();
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-store-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let part = if options.quick() { 10 } else { 1 };
    let seconds = i64::try_from(part).map_or(1, |part| 12 * 3600 / part);
    type Measured<'a> = (&'a str, &'a dyn Fn() -> Result<()>);
    let all: [Measured<'_>; 3] = [
        ("writing", &|| writing(&folder, (1 << 30) / part)),
        ("recording", &|| recording(&folder, if options.quick() { 10 } else { 100 })),
        ("reading", &|| reading(&folder, seconds)),
    ];
    let done = all.iter().filter(|(name, _)| options.picks(name)).try_for_each(|(_, measure)| measure());
    std::fs::remove_dir_all(&folder)?;
    done
}

fn params() -> [TrackSpec; 2] {
    let video = Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::from_static(&[
            1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xee,
        ]),
        width: 1280,
        height: 720,
        frame_rate: None,
        range: VideoRange::Sdr,
        rfc6381: "avc1.64001f".into(),
    });
    let audio = Params::Audio(AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: "mp4a.40.2".into(),
        language: None,
    });
    [TrackSpec { id: TrackId::VIDEO, params: video }, TrackSpec { id: TrackId::AUDIO, params: audio }]
}

/// Frames of so many seconds through packager and window into the store, or nowhere.
fn record(store: Option<&Store>, seconds: i64, frame_bytes: usize, begins_ms: i64) -> Result<()> {
    let key = StreamKey::new("live", "long").map_err(Error::other)?;
    let store = store.map(|store| (store, store.log(&key)));
    let config = Config { segment_ms: SEGMENT_MS, part_ms: 333 };
    let msn = u64::try_from(begins_ms).unwrap_or(0) / u64::from(SEGMENT_MS);
    let mut packager = Packager::new(config, Start { msn, ..Start::default() });
    packager.set_tracks(&params());
    let mut window = Window::new(8, 2, 0);
    let mut run = None;
    let (picture, sound) = (Bytes::from(vec![7; frame_bytes]), Bytes::from(vec![7; 170]));
    let mut heard = 0;
    for nth in 0..seconds * FPS {
        let (dts, wall_ms) = (nth * 90_000 / FPS, begins_ms + nth * 1000 / FPS);
        let sample = |dts, duration, key, payload: &Bytes| Sample {
            dts,
            pts: dts,
            duration: Some(duration),
            key,
            payload: payload.clone(),
        };
        packager.push(0, sample(dts, 3_000, nth % (2 * FPS) == 0, &picture), wall_ms);
        while heard * 90_000 / 48_000 <= dts {
            packager.push(1, sample(heard, 1_024, true, &sound), wall_ms);
            heard += 1_024;
        }
        while let Some(event) = packager.poll() {
            window.apply(event.clone());
            match event {
                Event::Run(new) => run = Some(new),
                Event::SegmentEnd { track, msn, .. } => {
                    if let (Some((store, log)), Some(run), Lookup::Found(segment)) =
                        (&store, &run, window.segment(track, msn))
                    {
                        store.keep(log, run, track, segment.clone());
                    }
                }
                _ => {}
            }
        }
        if let Some((store, _)) = store.as_ref().filter(|_| nth % (FPS * 60) == 0) {
            store.confirm();
        }
    }
    store.iter().for_each(|(store, _)| store.confirm());
    Ok(())
}

/// The store beside `cp`, in turn.
fn writing(folder: &Path, bytes: u64) -> Result<()> {
    let (source, copy) = (folder.join("source"), folder.join("copy"));
    let block = vec![7; 1 << 20];
    let mut file = std::fs::File::create(&source)?;
    for _ in 0..bytes >> 20 {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let frame = 12_500;
    let seconds = i64::try_from(bytes).unwrap_or(0) / (FPS * 12_500);
    let own_ms = || cpu_ms(std::process::id());
    let storing = |nth: usize| -> Result<f64> {
        // What making the segments takes is no matter of the store.
        let before = own_ms();
        record(None, seconds, frame, 1_763_700_000_000)?;
        let (making, before) = (own_ms() - before, own_ms());
        let kept = folder.join(format!("kept-{nth}"));
        let store = Store::open(&kept, EVER)?;
        record(Some(&store), seconds, frame, 1_763_700_000_000)?;
        let wrote = own_ms() - before - making;
        // The same bytes for all.
        let wrote = wrote * bytes as f64 / store.totals().bytes.max(1) as f64;
        drop(store);
        std::fs::remove_dir_all(&kept).map(|()| wrote)
    };
    // By turns, and each begins as often: what the one before left in memory makes the next one cheaper or dearer.
    let mut all = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for turn in 0..3 {
            let who = (round + turn) % 3;
            all[who].push(match who {
                0 => storing(round)?,
                1 => copying(&source, &copy, "")?,
                _ => copying(&source, &copy, "&& sync -d \"$1\"")?,
            });
        }
    }
    let [ours, cp, synced] = all.map(|mut all| {
        all.sort_by(f64::total_cmp);
        say(&format!("  CPU, ms: {all:.0?}"));
        all[all.len() / 2]
    });
    let ratio = ours / cp;
    say(&format!(
        "disk write path, {} MiB, medians of {ROUNDS}: store {ours:.0} ms of CPU, cp {cp:.0} ms, cp and sync {synced:.0} ms",
        bytes >> 20
    ));
    let missed = if ratio > 1.2 { ", missed" } else { "" };
    say(&format!("disk write path: {ratio:.2} of cp (bar 1.2){missed}; {:.2} of cp and sync", ours / synced));
    Ok(())
}

/// CPU milliseconds of `cp`, without sharing blocks, and of what comes `then`.
fn copying(source: &Path, copy: &Path, then: &str) -> Result<f64> {
    let script =
        format!("cp --reflink=never --sparse=never \"$0\" \"$1\" {then} && cat /proc/$$/stat && rm \"$1\"");
    let out = Command::new("sh").args(["-c", &script]).arg(source).arg(copy).output()?;
    let stat = String::from_utf8_lossy(&out.stdout).into_owned();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Ticks of 10 ms of children that have ended: fields 16 and 17, counted behind the name from 3.
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok());
    let missing = || Error::other(String::from_utf8_lossy(&out.stderr).into_owned());
    Ok((ticks(13).ok_or_else(missing)? + ticks(14).ok_or_else(missing)?) * 10.0)
}

/// So many streams of 3 Mbit/s are recorded for a minute.
fn recording(folder: &Path, streams: usize) -> Result<()> {
    let server =
        Server::in_folder(&folder.join("recorded"), &[("NEXUS__ORIGIN__STORE__KEEP_S", "3600"), QUIET]);
    let fleet = Fleet::start(server.rtmp(), streams, &broadcast())?;
    pass(Duration::from_secs(10));
    fleet.measure();
    let (from, cpu, since) = (Kept::of(&server)?, server.cpu_ms(), Instant::now());
    let mut waiting = Vec::new();
    while since.elapsed() < MINUTE {
        pass(Duration::from_millis(250));
        waiting.push(Kept::of(&server)?.waiting_bytes);
    }
    let (to, cpu, took) = (Kept::of(&server)?, server.cpu_ms() - cpu, since.elapsed().as_secs_f64());
    let report = fleet.stop();
    let thirds: Vec<f64> = waiting.chunks(waiting.len().div_ceil(3)).map(mean).collect();
    say(&format!(
        "recording {streams} streams for {took:.0} s: {:.0} segments and {:.1} MB a second, {} lost; {:.2} cores in all",
        (to.segments - from.segments) / took,
        (to.bytes - from.bytes) / took / 1e6,
        to.lost,
        cpu / took / 1e3
    ));
    say(&format!(
        "  waiting for the disk: {:.2} MB at most, on average {:.2?} MB by thirds; publishers {:.1} ms late, {} fallen",
        waiting.iter().fold(0.0, |most: f64, bytes| most.max(*bytes)) / 1e6,
        thirds.iter().map(|bytes| bytes / 1e6).collect::<Vec<_>>(),
        report.late_p95_ms,
        report.fallen
    ));
    Ok(())
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

/// What the server says of its store.
struct Kept {
    segments: f64,
    bytes: f64,
    lost: f64,
    waiting_bytes: f64,
}

impl Kept {
    fn of(server: &Server) -> Result<Self> {
        let page = String::from_utf8(http::get(server.origin(), "/metrics")?.body).map_err(Error::other)?;
        let figure = |name: &str| -> Result<f64> {
            let value = |line: &str| line.strip_prefix(&format!("nexus_store_{name} "))?.parse().ok();
            page.lines().find_map(value).ok_or_else(|| Error::other(format!("no {name}")))
        };
        Ok(Self {
            segments: figure("segments_total")?,
            bytes: figure("bytes_total")?,
            lost: figure("lost_total")?,
            waiting_bytes: figure("waiting_bytes")?,
        })
    }
}

/// Unix seconds.
fn now() -> Result<i64> {
    Ok(std::time::UNIX_EPOCH.elapsed().map_err(Error::other)?.as_secs().cast_signed())
}

fn reading(folder: &Path, seconds: i64) -> Result<()> {
    let data = folder.join("data");
    let begins_ms = (now()? - seconds - 5) * 1000;
    let store = Store::open(&data.join("store"), EVER)?;
    record(Some(&store), seconds, FRAME, begins_ms)?;
    drop(store);
    let since = Instant::now();
    let server = Server::in_folder(&data, &[("NEXUS__ORIGIN__STORE__KEEP_S", "200000")]);
    say(&format!(
        "{} h kept: the server is ready after {} ms",
        seconds as f64 / 3600.0,
        since.elapsed().as_millis()
    ));
    let begin = begins_ms / 1000;
    seeking(server.edge(), begin, seconds)?;
    let stop = Arc::new(AtomicBool::new(false));
    let live_from = now()?;
    let publisher = {
        let (stop, address, clip) = (stop.clone(), server.rtmp(), broadcast());
        std::thread::spawn(move || -> Result<()> {
            let mut publisher = Publisher::connect(address, "live", "long", &clip)?;
            while !stop.load(Ordering::Relaxed) {
                publisher.send_until(Instant::now() + Duration::from_millis(300), |_| ())?;
            }
            Ok(())
        })
    };
    pass(Duration::from_secs(8));
    let done = live(server.edge(), begin, live_from);
    stop.store(true, Ordering::Relaxed);
    let _ = publisher.join();
    done
}

fn fetch(edge: SocketAddr, path: &str, coding: &str) -> Result<Vec<u8>> {
    let reply = http::get_with(edge, path, &[("accept-encoding", coding)])?;
    if reply.status != 200 {
        return Err(Error::other(format!("{path}: {}", reply.status)));
    }
    Ok(reply.body)
}

fn text(edge: SocketAddr, path: &str) -> Result<String> {
    String::from_utf8(fetch(edge, path, "identity")?).map_err(Error::other)
}

/// As a player that begins: playlists, header, first segment of the picture.
fn seeking(edge: SocketAddr, begin: i64, seconds: i64) -> Result<()> {
    for (name, end) in [("to its end", None), ("for an hour", Some(3600))] {
        let mut times = Vec::new();
        for nth in 0..SEEKS {
            let at = begin + (i64::from(nth) * 7_919 * 61) % (seconds - 10);
            let query = match end {
                None => format!("start={at}"),
                Some(length) => format!("start={at}&end={}", at + length),
            };
            let since = Instant::now();
            let multivariant = text(edge, &format!("/live/long/index.m3u8?{query}"))?;
            let path =
                multivariant.lines().find(|l| l.starts_with("v1/index")).ok_or(Error::other("no variant"))?;
            let playlist = text(edge, &format!("/live/long/{path}"))?;
            let segment = playlist.lines().find(|l| l.ends_with(".m4s")).ok_or(Error::other("no segment"))?;
            fetch(edge, "/live/long/v1/init-0.mp4", "identity")?;
            fetch(edge, &format!("/live/long/v1/{segment}"), "identity")?;
            times.push(since.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let (median, worst) = (times[times.len() / 2], times.last().copied().unwrap_or(0.0));
        say(&format!(
            "seek {name}: playlists, header and segment in {median:.0} ms, at most {worst:.0} ms (bar 300)"
        ));
    }
    Ok(())
}

/// Of a recording since `begin` and a stream that is live since `now`, Unix seconds.
fn live(edge: SocketAddr, begin: i64, now: i64) -> Result<()> {
    let path = format!("/live/long/v1/index.m3u8?start={begin}");
    for coding in ["identity", "gzip", "br", "zstd"] {
        let whole = fetch(edge, &path, coding)?.len();
        let delta = fetch(edge, &format!("{path}&_HLS_skip=YES"), coding)?.len();
        say(&format!("playlist of all of it, {coding}: {whole} bytes, delta {delta} bytes (bar 40960)"));
    }
    for (name, from, to) in [("live", now + 3, now + 6), ("an hour old", now - 3600, now - 3590)] {
        let since = Instant::now();
        let clip = fetch(edge, &format!("/live/long/video.mp4?start={from}.4&end={to}.2"), "identity")?.len();
        say(&format!(
            "clip, {name}: {clip} bytes in {:.0} ms (bar 1000)",
            since.elapsed().as_secs_f64() * 1e3
        ));
    }
    let since = Instant::now();
    let query = format!("start={begin}&end={now}");
    let head = http::get_with(edge, &format!("/live/long/video.mp4?{query}"), &[("range", "bytes=0-99")])?;
    say(&format!(
        "all of it as one MP4: {} first bytes in {:.0} ms",
        head.body.len(),
        since.elapsed().as_secs_f64() * 1e3
    ));
    Ok(())
}
