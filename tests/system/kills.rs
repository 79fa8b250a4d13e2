//! Processes that are killed at any moment while they record and upload: what they had acknowledged is there, the same
//! packets as were sent, and at most the segment that was not finished is lost.
//!
//! A hundred of them take ten minutes: `NEXUS_TEST_KILLS=100 cargo test --test system kills:: -- --nocapture`.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::api::{SOON, playlist};
use crate::cloud::Far;
use crate::encoder::{eventually, run};
use crate::store::packets_of;
use crate::support::ffmpeg::{Kind, clip};
use crate::support::proxy::Line;
use crate::support::publish::{Clip, Publisher};
use crate::support::{Server, http};

/// Without `NEXUS_TEST_KILLS` in the environment.
const KILLS: usize = 4;
/// A process lives for at most so long from when it is ready.
const LIFE_MS: u64 = 7_000;
const CLIP_S: u32 = 14;
/// Frames of a segment.
const SEGMENT: usize = 60;
/// Frames that may be on their way from the publisher.
const ON_THE_WAY: usize = 15;
const KEY: &str = "live/kill";

/// Publishes a clip for as long as the server takes it, and counts the pictures.
struct Sender {
    sent: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sender {
    fn start(server: &Server, clip: &Arc<Clip>) -> Self {
        let (sent, over, address, clip) = (Arc::default(), Arc::default(), server.rtmp(), clip.clone());
        let (count, stop): (Arc<AtomicUsize>, Arc<AtomicBool>) = (sent, over);
        let (sent, over) = (count.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let Ok(mut publisher) = Publisher::connect(address, "live", "kill", &clip) else { return };
            let picture = |kind: u8| usize::from(kind == nx_container::flv::TAG_VIDEO);
            while !stop.load(Ordering::Relaxed) {
                let until = Instant::now() + Duration::from_millis(50);
                let before = |tag: &crate::support::publish::Tag| {
                    count.fetch_add(picture(tag.kind), Ordering::Relaxed);
                };
                if publisher.send_until(until, before).is_err() {
                    return;
                }
            }
        });
        Self { sent, over, thread }
    }

    /// Pictures that were sent.
    fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("a sender does not panic");
        self.sent.load(Ordering::Relaxed)
    }
}

/// The segments of a track by their run, as the past lists them; not those that it lists as gaps.
fn past(server: &Server, track: &str) -> BTreeMap<u32, Vec<String>> {
    let text = playlist(server, &format!("/{KEY}/{track}/index.m3u8?start=-7200")).unwrap_or_default();
    let (mut runs, mut run, mut gap) = (BTreeMap::<u32, Vec<String>>::new(), 0, false);
    for line in text.lines() {
        if let Some(map) = line.strip_prefix("#EXT-X-MAP:URI=\"init-") {
            run = map.split('.').next().and_then(|n| n.parse().ok()).expect("a run");
        }
        gap |= line == "#EXT-X-GAP";
        if !line.starts_with('#') && !std::mem::take(&mut gap) {
            runs.entry(run).or_default().push(line.to_owned());
        }
    }
    runs
}

fn fetch(server: &Server, name: &str) -> (u16, Vec<u8>) {
    let reply = http::get(server.edge(), &format!("/{KEY}/{name}")).expect("an answer");
    (reply.status, reply.body)
}

/// Everything that one process acknowledged: segments of the picture, with their bytes as they were then.
type Known = Vec<(String, Vec<u8>)>;

/// Lets a process record until it is killed; what it acknowledged of its run, and how many pictures it was sent.
fn record(server: &mut Server, clip: &Arc<Clip>, life: Duration, runs: usize) -> (Known, usize) {
    let (begun, sender) = (Instant::now(), Sender::start(server, clip));
    let mut known = Known::new();
    while begun.elapsed() < life {
        let listed = past(server, "v1");
        // One that is listed is acknowledged.
        let fresh = listed.into_iter().nth(runs).map_or_else(Vec::new, |(_, names)| names);
        for name in fresh.into_iter().skip(known.len()) {
            let (status, bytes) = fetch(server, &format!("v1/{name}"));
            assert_eq!(status, 200, "{name}: {}", server.log());
            known.push((name, bytes));
        }
        std::thread::sleep(Duration::from_millis(60).min(life.saturating_sub(begun.elapsed())));
    }
    server.signal("KILL");
    let sent = sender.end();
    server.terminate("KILL");
    (known, sent)
}

/// Header and segments of a run as one file.
fn whole(server: &Server, track: &str, number: u32, names: &[String], file: &Path) {
    let names = std::iter::once(format!("init-{number}.mp4")).chain(names.iter().cloned());
    let mut bytes = Vec::new();
    for name in names {
        let (status, part) = fetch(server, &format!("{track}/{name}"));
        assert_eq!(status, 200, "{track}/{name}: {}", server.log());
        bytes.extend(part);
    }
    std::fs::write(file, bytes).expect("writes");
}

/// How long a file plays: from its first packet to the end of its last.
fn seconds(file: &Path) -> f64 {
    let probe = ["-v", "error", "-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0"];
    let (_, out, err) = run("ffprobe", &[&probe[..], &[file.to_str().expect("a path")]].concat(), SOON);
    let packet = |line: &str| -> Option<(f64, f64)> {
        let (pts, duration) = line.trim_end_matches(',').split_once(',')?;
        Some((pts.parse().ok()?, duration.parse().ok()?))
    };
    let packets: Vec<(f64, f64)> = out.lines().filter_map(packet).collect();
    let (first, last) = packets.first().zip(packets.last()).unwrap_or_else(|| panic!("{out} {err}"));
    last.0 + last.1 - first.0
}

/// A run: what was acknowledged, and how many pictures were sent.
type Life = (u32, Known, usize);

/// What was acknowledged is there as it was, and every run plays as it was sent.
fn check(server: &Server, all: &[Life], input: &[Vec<String>; 2]) {
    let (pictures, sounds) = (past(server, "v1"), past(server, "a1"));
    let file = std::env::temp_dir().join(format!("nexus-kills-{}.mp4", std::process::id()));
    for (nth, (number, known, _)) in all.iter().enumerate() {
        for (name, bytes) in known {
            let same = || {
                let (status, found) = fetch(server, &format!("v1/{name}"));
                (status == 200).then_some(found == *bytes)
            };
            assert_eq!(eventually(SOON, same), Some(true), "{name}: {}", server.log());
        }
        for (nth_track, track) in ["v1", "a1"].into_iter().enumerate() {
            let names = &[&pictures, &sounds][nth_track][number];
            whole(server, track, *number, names, &file);
            let (found, sent) = (packets_of(file.to_str().expect("a path"), "0"), &input[nth_track]);
            // No segment has sound from before the first picture.
            let same = (0..=nth_track * 2).any(|early| sent[early..].starts_with(&found));
            assert!(same && found.len() >= known.len() * SEGMENT, "{track} of {number}: {}", found.len());
            if nth % 5 == 0 {
                let off = seconds(&file) - 2.0 * names.len() as f64;
                assert!(off.abs() < 0.1, "{track} of {number}: {off} s too long");
            }
        }
    }
    std::fs::remove_file(file).expect("removes");
}

#[test]
fn kills_at_any_moment_lose_nothing_that_was_acknowledged() {
    let kills = std::env::var("NEXUS_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let chance = RandomState::new();
    let far = Far::start("kills");
    let path = clip(CLIP_S, Kind::Small);
    let input = ["0:v:0", "0:a:0"].map(|track| packets_of(path.to_str().expect("a path"), track));
    let clip = Arc::new(Clip::load(&path, CLIP_S));
    let mut all: Vec<Life> = Vec::new();
    let mut unrecorded = 0;
    for nth in 0..kills {
        let lines = [Line::Good, Line::Slow(60_000), Line::Cut(60_000), Line::Failing, Line::Stalled];
        far.line.set(lines[nth % lines.len()]);
        let mut server = far.server();
        let before = past(&server, "v1");
        for (run, known, _) in &all {
            let listed = &before[run];
            assert!(known.iter().all(|(name, _)| listed.contains(name)), "{nth}: {run} {listed:?}");
        }
        let life = Duration::from_millis(chance.hash_one(nth) % LIFE_MS);
        let (known, sent) = record(&mut server, &clip, life, before.len());
        // The next process tells which run it was.
        all.push((u32::MAX, known, sent));
        let server = far.server();
        let after = past(&server, "v1");
        let (_, known, sent) = all.pop().expect("pushed");
        let Some((run, names)) = after.into_iter().nth(before.len()) else {
            assert!(
                known.is_empty() && sent < SEGMENT + ON_THE_WAY,
                "{nth}: {sent} pictures: {}",
                server.log()
            );
            unrecorded += 1;
            continue;
        };
        let kept = names.len() * SEGMENT;
        eprintln!(
            "{nth}: killed after {life:?}, {sent} pictures sent, {kept} kept, {} known",
            known.len() * SEGMENT
        );
        assert!(kept + SEGMENT + ON_THE_WAY > sent, "{nth}: {kept} of {sent} pictures: {names:?}");
        all.push((run, known, sent));
    }
    far.line.set(Line::Good);
    let server = far.server();
    far.until_away(&server, KEY);
    check(&server, &all, &input);
    let known: usize = all.iter().map(|(_, known, _)| known.len()).sum();
    eprintln!(
        "{kills} kills, {unrecorded} before the first segment: {known} segments acknowledged, all there"
    );
    assert!(known > 0);
}
