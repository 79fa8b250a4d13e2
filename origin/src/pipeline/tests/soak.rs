//! Days of twenty streams whose publishers and viewers come and go, by simulated time: memory stays as it is.
//!
//! An hour by default; `NEXUS_SOAK_HOURS=72` makes it three days, some minutes with optimization.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use nx_delivery::{Body, Directory, LiveStream, Media as Viewers, Request, Upload};
use nx_hls::{DateRange, Window};
use nx_media::{StreamKey, TrackId};
use nx_timeline::WireClock;

use super::rig::{WALL_MS, arrival};
use super::script::{Frame, aac, avc, avc_again, avc_full_hd};
use crate::announce::Cue;
use crate::config::StreamConfig;
use crate::media::{Expect, Media};
use crate::pipeline::{Now, Pipeline};

/// What lives can be told only by an allocator that counts.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const STREAMS: i64 = 20;
const HOURS: i64 = 1;
/// How long a publisher stays, and how long until the next comes.
const SESSION_MS: i64 = 120_000;
const AWAY_MS: i64 = 3_000;
/// Kinds of publishers: after that many everything has happened once.
const KINDS: i64 = 4;
const ROUND_MS: i64 = KINDS * SESSION_MS;
/// Rounds until every table has been as full as it gets.
const WARM: i64 = 4;
/// Between two viewers of a stream.
const VISIT_MS: i64 = 10_000;
/// A frame is a part: three a second, and a segment begins with each sixth.
const PICTURE_US: i64 = 333_333;
/// AAC at 8 kHz in mono has 7.8 frames a second.
const AAC_8K: &[u8] = &[0x15, 0x88];
const SOUND_US: i64 = 128_000;

/// Bytes that this thread has and has not given back.
fn live_bytes() -> u64 {
    let count = |read: tikv_jemalloc_ctl::Result<u64>| read.expect("the allocator counts");
    let allocated = count(tikv_jemalloc_ctl::thread::allocatedp::read().map(|c| c.get()));
    allocated - count(tikv_jemalloc_ctl::thread::deallocatedp::read().map(|c| c.get()))
}

/// Resident memory of the process in KiB.
fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
}

/// A stream with its publisher.
struct Channel {
    key: StreamKey,
    live: Arc<LiveStream>,
    pipeline: Pipeline,
    clock: WireClock,
    began_ms: i64,
    pictures: bool,
    /// Frames sent of this session: pictures, sound.
    sent: [i64; 2],
}

impl Channel {
    fn new(nth: i64, now_ms: i64) -> Self {
        let key = StreamKey::new("live", &format!("s{nth}")).unwrap();
        let config = StreamConfig::default();
        let target_s = u64::from(config.segment_ms / 1000);
        let window = Window::new(config.window_segments, target_s, config.window_bytes_max);
        let live = Arc::new(LiveStream::new(key.clone(), window));
        let pipeline = Pipeline::new(live.clone(), &config, None, None, now_ms, WALL_MS + now_ms);
        let clock = if nth % 2 == 0 { WireClock::RTMP } else { WireClock::MPEG_TS };
        Self { key, live, pipeline, clock, began_ms: now_ms, pictures: true, sent: [0, 0] }
    }

    fn take(&mut self, at_ms: i64, media: Media) {
        self.pipeline.take_at(Now { ms: at_ms, wall_ms: WALL_MS + at_ms }, media, &mut |_| {});
    }

    /// Another publisher comes: with these pictures, with a larger one, with one in another record, with none.
    fn publisher(&mut self, kind: i64, now_ms: i64) {
        (self.began_ms, self.sent, self.pictures) = (now_ms, [0, 0], kind != 3);
        self.pipeline.start_session(self.clock);
        let rate = Some((3, 1));
        let tracks = if self.pictures { vec![TrackId::VIDEO, TrackId::AUDIO] } else { vec![TrackId::AUDIO] };
        self.take(now_ms, Media::Expect(Expect { tracks, video_ms: 5_000, audio_ms: 1_500, exact: true }));
        match kind {
            0 => self.take(now_ms, Media::Params(TrackId::VIDEO, avc(rate))),
            1 => self.take(now_ms, Media::Params(TrackId::VIDEO, avc_full_hd(rate))),
            2 => self.take(now_ms, Media::Params(TrackId::VIDEO, avc_again(rate))),
            _ => {}
        }
        self.take(now_ms, Media::Params(TrackId::AUDIO, aac(AAC_8K)));
    }

    /// Sends what is due until then, in order.
    fn send(&mut self, to_ms: i64) {
        loop {
            let [picture_us, sound_us] = [self.sent[0] * PICTURE_US, self.sent[1] * SOUND_US];
            let picture = self.pictures && picture_us <= sound_us;
            let (id, us) = if picture { (TrackId::VIDEO, picture_us) } else { (TrackId::AUDIO, sound_us) };
            let at_ms = self.began_ms + us / 1000;
            if at_ms >= to_ms {
                return;
            }
            let nth = &mut self.sent[usize::from(!picture)];
            let key = !picture || *nth % 6 == 0;
            // A transport stream's clock goes on, and wraps round after 26.5 hours.
            let stamp_us = if self.clock == WireClock::RTMP { us } else { self.began_ms * 1000 + us };
            let frame = Frame { id, nth: *nth as u64, at_ms, true_us: us, stamp_us, cts_us: 0, key };
            *nth += 1;
            let frame = arrival(self.clock, &frame);
            self.take(at_ms, Media::Frame(frame));
        }
    }

    /// Says something beside the picture: a range, and text in one of two languages.
    fn say(&mut self, nth: i64) {
        let pts_us = self.pipeline.reached_ms().unwrap_or(0) * 1000;
        let id = format!("r{nth}");
        let attributes = vec![("X-COM-N".to_owned(), nth.to_string())];
        self.pipeline.announce(DateRange {
            id,
            pts_us,
            duration_us: Some(5_000_000),
            attributes,
            ..DateRange::default()
        });
        let language = if nth % 2 == 0 { "en" } else { "de" };
        let (text, name) = (format!("cue {nth:09}"), language.to_owned());
        let cue = Cue { start_ms: 0, duration_ms: 2_000, text, language: language.to_owned(), name };
        self.pipeline.caption(&cue, pts_us).expect("two renditions");
    }
}

#[derive(Default)]
struct All(Mutex<BTreeMap<StreamKey, Arc<LiveStream>>>);

impl Directory for All {
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        self.0.lock().unwrap().get(key).cloned()
    }
}

/// Status and text of an answer; other bodies are let go.
async fn get(viewers: &Viewers, path: &str, session: &str, coding: &str) -> (u16, String) {
    let mark = if path.contains('?') { '&' } else { '?' };
    let request = http::Request::get(format!("{path}{mark}CMCD=sid%3D%22{session}%22"));
    let request: Request = request.header("accept-encoding", coding).body(Upload::None).unwrap();
    match viewers.answer(&request, ([127, 0, 0, 1], 1).into()).await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            let text = match answer.into_body() {
                Body::Slices(slices) => slices.into_iter().flatten().collect(),
                _ => Vec::new(),
            };
            (status, String::from_utf8_lossy(&text).into_owned())
        }
        Err(problem) => (problem.status.as_u16(), String::new()),
    }
}

/// The first address of a playlist behind this.
fn uri<'a>(playlist: &'a str, behind: &str) -> Option<&'a str> {
    let (_, rest) = playlist.split_once(behind)?;
    rest.split(['"', '\n']).next()
}

/// What viewers saw.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    held: u64,
    good: u64,
    other: u64,
}

impl Seen {
    fn note(&mut self, status: u16) {
        *(if status == 200 { &mut self.good } else { &mut self.other }) += 1;
    }
}

/// Somebody watches for a while: waits for a part and for the list that has it, then reads everything there is.
async fn visit(channel: &mut Channel, viewers: &Arc<Viewers>, (nth, until_ms): (i64, i64), seen: &mut Seen) {
    let folder = format!("/{}", channel.key);
    let session = format!("{}-{}", channel.key.name(), nth / 6);
    let track = if channel.pictures { "v1" } else { "a1" };
    let list = format!("{folder}/{track}/index.m3u8");
    let (_, text) = get(viewers, &list, &session, "identity").await;
    let mut waiting = Vec::new();
    if let Some(hint) = uri(&text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"") {
        let mut numbers = hint.split('.');
        let (msn, part) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        for path in [format!("{list}?_HLS_msn={msn}&_HLS_part={part}"), format!("{folder}/{track}/{hint}")] {
            let (viewers, session) = (viewers.clone(), session.clone());
            waiting.push(tokio::spawn(async move { get(&viewers, &path, &session, "br").await.0 }));
        }
        tokio::task::yield_now().await;
    }
    channel.send(until_ms);
    for held in waiting {
        seen.held += 1;
        seen.note(held.await.unwrap());
    }
    for (path, coding) in [
        ("index.m3u8", "gzip"),
        ("manifest.mpd", "zstd"),
        ("v1/index.m3u8?_HLS_skip=YES", "br"),
        ("a1/index.m3u8?_HLS_skip=v2", "gzip"),
        ("v1/iframes.m3u8", "identity"),
        ("s1/index.m3u8", "gzip"),
        ("nothing", "identity"),
    ] {
        seen.note(get(viewers, &format!("{folder}/{path}"), &session, coding).await.0);
    }
    for list in ["v1", "a1", "s1", "ts"] {
        let (_, text) = get(viewers, &format!("{folder}/{list}/index.m3u8"), &session, "identity").await;
        if let Some(uri) = uri(&text, ",\n") {
            seen.note(get(viewers, &format!("{folder}/{list}/{uri}"), &session, "identity").await.0);
        }
    }
}

/// Every stream for a round: four publishers one after the other, then one stream ends and another takes its name.
async fn round(
    channels: &mut [Channel],
    (all, viewers): (&All, &Arc<Viewers>),
    (round, began_ms): (i64, i64),
    seen: &mut Seen,
) {
    for session in 0..KINDS {
        let from_ms = began_ms + session * SESSION_MS;
        channels.iter_mut().for_each(|c| c.publisher(session, from_ms + AWAY_MS));
        for visited in 1..=SESSION_MS / VISIT_MS {
            let at_ms = from_ms + visited * VISIT_MS;
            for channel in channels.iter_mut() {
                let nth = at_ms / VISIT_MS;
                if visited % 5 == 2 {
                    channel.say(nth);
                }
                visit(channel, viewers, (nth, at_ms), seen).await;
            }
            // As a scrape does, and those who have left are forgotten: they asked by the real clock.
            let later_ms = nx_delivery::wall_ms() + VISIT_MS;
            channels.iter().for_each(|c| {
                let _ = c.live.audience().count(later_ms);
            });
        }
    }
    let nth = round % STREAMS;
    let Some(old) = usize::try_from(nth).ok().and_then(|nth| channels.get_mut(nth)) else { return };
    old.pipeline.finish();
    *old = Channel::new(nth, began_ms + ROUND_MS);
    all.0.lock().unwrap().insert(old.key.clone(), old.live.clone());
}

/// Simulated time, hours.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn hours() -> i64 {
    std::env::var("NEXUS_SOAK_HOURS").ok().and_then(|hours| hours.parse().ok()).unwrap_or(HOURS)
}

#[tokio::test(start_paused = true)]
async fn memory_is_the_same_after_days() {
    let rounds = hours() * 3_600_000 / ROUND_MS;
    let mut channels: Vec<Channel> = (0..STREAMS).map(|nth| Channel::new(nth, 0)).collect();
    let all = Arc::new(All::default());
    all.0.lock().unwrap().extend(channels.iter().map(|c| (c.key.clone(), c.live.clone())));
    let viewers = Arc::new(Viewers::new(all.clone(), "edge", 10_000));
    let (mut seen, mut warm) = (Seen::default(), None);
    for nth in 0..rounds {
        round(&mut channels, (&all, &viewers), (nth, nth * ROUND_MS), &mut seen).await;
        let now = (live_bytes(), resident_kib());
        eprintln!(
            "hour {:5.1}: {} bytes live, {} KiB resident, {seen:?}",
            ((nth + 1) * ROUND_MS) as f64 / 3.6e6,
            now.0,
            now.1
        );
        if nth + 1 == WARM {
            warm = Some(now);
        }
    }
    let (before, _) = warm.expect("more rounds than it takes to warm up");
    let after = live_bytes();
    assert!(
        after.abs_diff(before) * 50 <= before,
        "{before} bytes live after {WARM} rounds, {after} after {rounds}"
    );
    assert!(seen.held > 0 && seen.good > seen.other * 4, "{seen:?}");
}
