//! What is made of a stream comes back into it, whenever the worker says what it is, or goes.

use std::sync::Arc;

use nx_delivery::LiveStream;
use nx_hls::{Ask, Skip, Window};
use nx_media::StreamKey;

use super::rig::{WALL_MS, arrival};
use super::script::{Act, Script};
use crate::config::StreamConfig;
use crate::hub::lock;
use crate::ladder::tests::{avcc, ladder};
use crate::media::Media;
use crate::pipeline::{Now, Pipeline};

/// What the worker does, in milliseconds of the script.
#[derive(Clone, Copy)]
struct Worker {
    /// Says what it makes.
    opens_ms: i64,
    /// From then on nothing comes of it, up to then.
    dead_ms: [i64; 2],
}

const LAG_MS: i64 = 200;

/// Plays ten seconds of a picture and a sound, of which one rendition is made.
fn play(worker: Worker) -> Arc<LiveStream> {
    play_by(r#"{"streams": "live/x", "rungs": [{"lines": 120}]}"#, worker)
}

fn play_by(section: &str, worker: Worker) -> Arc<LiveStream> {
    let mut script = Script::steady(10);
    script.sort();
    let config = StreamConfig::default();
    let window = Window::new(config.window_segments, 2, config.window_bytes_max);
    let live = Arc::new(LiveStream::new(StreamKey::new("live", "x").unwrap(), window));
    let mut pipeline = Pipeline::new(live.clone(), &config, None, None, 0, WALL_MS);
    let (rungs, hired) = ladder(section);
    pipeline.climb(rungs);
    let (mut coding, mut opened) = (Vec::new(), false);
    for (at_ms, act) in script.steps {
        let media = match act {
            Act::Session(clock) => {
                pipeline.start_session(clock);
                continue;
            }
            Act::Media(media) => media,
            Act::Frame(frame) => Media::Frame(arrival(script.clock, &frame)),
        };
        pipeline.take_at(Now { ms: at_ms, wall_ms: WALL_MS + at_ms }, media, &mut |_| {});
        if let Some(worker_end) = lock(&hired).first_mut() {
            if at_ms >= worker.opens_ms && !std::mem::replace(&mut opened, true) {
                worker_end.open(&avcc());
            }
            let jobs = worker_end.jobs().into_iter().filter(|job| job.kind == nx_media::Kind::Video);
            coding.extend(jobs.map(|job| (at_ms, job)));
            if (worker.dead_ms[0]..worker.dead_ms[1]).contains(&at_ms) {
                coding.clear();
                worker_end.counter.shared.turn();
            }
            let due = coding.iter().take_while(|(since_ms, _)| at_ms - since_ms >= LAG_MS).count();
            coding.drain(..due).for_each(|(_, job)| worker_end.code(&job));
        }
        pipeline.take_rungs(WALL_MS + at_ms, &mut |_| {});
        pipeline.look();
    }
    live
}

/// Name of each track and its list, without what every list has of the others.
fn lists(live: &LiveStream) -> Vec<(String, Vec<String>)> {
    let told = |line: &&str| {
        let tags = ["#EXTINF", "#EXT-X-GAP", "#EXT-X-DISCONTINUITY", "#EXT-X-PROGRAM"];
        tags.iter().any(|t| line.starts_with(t)) && !line.contains("-SEQUENCE")
    };
    live.read(|w| {
        let list = |track| w.media_playlist(Ask::Track(track), Skip::None).unwrap_or_default();
        let lines = |text: String| text.lines().filter(told).map(str::to_owned).collect();
        w.tracks().enumerate().map(|(nth, t)| (t.name.clone(), lines(list(nth)))).collect()
    })
}

fn named<'a>(lists: &'a [(String, Vec<String>)], name: &str) -> &'a [String] {
    lists.iter().find(|(n, _)| n == name).map(|(_, lines)| lines.as_slice()).unwrap_or_default()
}

const NEVER: [i64; 2] = [i64::MAX, i64::MAX];

#[test]
fn a_rendition_begins_with_the_stream_and_has_its_segments_and_dates() {
    for opens_ms in [0, 300, 900] {
        let live = play(Worker { opens_ms, dead_ms: NEVER });
        let lists = lists(&live);
        let (source, made) = (named(&lists, "v1"), named(&lists, "v2"));
        assert_eq!(lists.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["v1", "a1", "v2"]);
        assert!(
            source.len() >= 8 && source.starts_with(&made[..made.len().min(source.len() - 2)]),
            "{opens_ms}: {source:?} {made:?}"
        );
        assert!(made.len() + 2 >= source.len(), "{opens_ms}: {source:?} {made:?}");
        assert!(!source.iter().chain(made).any(|l| l.contains("GAP") || l.contains("EXT-X-DISCONTINUITY")));
        // The wait is no delay of the clock: the first picture is dated when it came.
        let first = format!("#EXT-X-PROGRAM-DATE-TIME:{}", nx_hls::Rfc3339(WALL_MS));
        assert_eq!(source.iter().find(|l| l.contains("DATE")), Some(&first), "{opens_ms}");
    }
}

#[test]
fn a_worker_that_is_late_begins_with_a_run_of_its_own() {
    let live = play(Worker { opens_ms: 3_000, dead_ms: NEVER });
    let all = lists(&live);
    let source = named(&all, "v1");
    assert_eq!(live.read(Window::discontinuities), 1);
    assert!(source.iter().any(|l| l.contains("EXT-X-DISCONTINUITY")), "{source:?}");
    assert!(named(&all, "v2").iter().filter(|l| l.contains("EXTINF")).count() >= 2, "{all:?}");
    // One that never says anything costs a second.
    let live = play(Worker { opens_ms: i64::MAX, dead_ms: NEVER });
    let all = lists(&live);
    assert_eq!(all.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["v1", "a1"]);
    assert_eq!(live.read(Window::discontinuities), 0);
    assert!(named(&all, "v1").iter().filter(|l| l.contains("EXTINF")).count() >= 4, "{all:?}");
}

#[test]
fn a_source_that_is_to_be_hidden_is_announced_as_long_as_nothing_is_made_of_it() {
    let section = r#"{"streams": "live/x", "rungs": [{"lines": 120}], "hide_source": true}"#;
    for (name, opens_ms, dead_ms, hidden) in [
        ("from the beginning", 0, NEVER, true),
        ("late", 3_000, NEVER, true),
        ("never", i64::MAX, NEVER, false),
        ("dead for a while", 0, [2_500, 5_500], true),
    ] {
        let live = play_by(section, Worker { opens_ms, dead_ms });
        let text = live.read(Window::multivariant).expect("it can be played");
        assert_eq!(
            (text.contains("v1/"), text.contains("v2/index.m3u8")),
            (!hidden, hidden),
            "{name}: {text}"
        );
    }
}

#[test]
fn a_worker_that_dies_leaves_gaps_in_its_rendition_alone() {
    let live = play(Worker { opens_ms: 0, dead_ms: [2_500, 5_500] });
    let all = lists(&live);
    let (source, made) = (named(&all, "v1"), named(&all, "v2"));
    assert!(!source.iter().any(|l| l.contains("GAP") || l.contains("EXT-X-DISCONTINUITY")), "{source:?}");
    assert!(made.iter().any(|l| l.contains("GAP")), "{made:?}");
    assert!(!made.iter().any(|l| l.contains("EXT-X-DISCONTINUITY")), "{made:?}");
    assert_eq!(made.iter().rfind(|l| l.contains("EXTINF")).map(String::as_str), Some("#EXTINF:2.000000,"));
    assert_eq!(live.read(Window::discontinuities), 0);
}
