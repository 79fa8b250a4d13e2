//! The last picture stands still while nobody sends, and the first of who is back covers what a killed process missed.

use std::sync::Arc;

use nx_delivery::LiveStream;
use nx_hls::{Ask, Rfc3339, Skip, Window};
use nx_media::{StreamKey, TrackId};
use nx_timeline::RepairKind;

use super::rig::{WALL_MS, arrival};
use super::script::{Act, Script, ac3};
use crate::config::StreamConfig;
use crate::ingest::clip::ClipInput;
use crate::journal::Mark;
use crate::media::Media;
use crate::pipeline::{Now, Pipeline, Relay};

fn stream(mark: Option<&Mark>, now_ms: i64) -> (Arc<LiveStream>, Pipeline) {
    let config = StreamConfig::default();
    let live = LiveStream::new(StreamKey::new("live", "x").unwrap(), Window::new(30, 2, usize::MAX));
    let live = Arc::new(live);
    let pipeline = Pipeline::new(live.clone(), &config, mark, None, now_ms, WALL_MS + now_ms);
    (live, pipeline)
}

fn take(pipeline: &mut Pipeline, ms: i64, media: Media) {
    pipeline.take_at(Now { ms, wall_ms: WALL_MS + ms }, media, &mut |_| {});
}

/// Publishes a script, from a time on.
fn publish(pipeline: &mut Pipeline, mut script: Script, from_ms: i64) {
    script.sort();
    for (at_ms, act) in script.steps {
        let media = match act {
            Act::Session(clock) => {
                pipeline.start_session(clock);
                continue;
            }
            Act::Media(media) => media,
            Act::Frame(frame) => Media::Frame(arrival(script.clock, &frame)),
        };
        take(pipeline, from_ms + at_ms, media);
    }
}

/// Has the picture stand still, from when it is due to another time.
fn stand(pipeline: &mut Pipeline, due_ms: i64, to_ms: i64) {
    let (clip, since_ms) = pipeline.still(due_ms, WALL_MS + due_ms).expect("a picture");
    let mut input = ClipInput::since(clip, since_ms);
    let mut shown = Vec::new();
    input.read(to_ms, &mut |_| (), &mut |media| shown.push(media));
    pipeline.start_session(ClipInput::CLOCK);
    pipeline.stand(due_ms);
    for media in shown {
        let came_ms =
            if let Media::Frame(arrival) = &media { input.came_ms(arrival.stamp) } else { since_ms };
        pipeline.take_at(Now { ms: came_ms, wall_ms: WALL_MS + came_ms }, media, &mut |piece| {
            assert!(!matches!(piece, Relay::Frame(..)), "the publisher has not sent it");
        });
    }
}

/// Unix times at which the listed segments of a track begin and end, and whether they are gaps.
fn listed(live: &LiveStream, track: usize) -> Vec<(i64, i64, bool)> {
    let text = live.read(|w| w.media_playlist(Ask::Track(track), Skip::None)).expect("a playlist");
    let (mut at_ms, mut gap, mut list) = (0, false, Vec::new());
    for line in text.lines() {
        if let Some(date) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
            at_ms = Rfc3339::parse(date).expect("a date");
        } else if let Some(seconds) = line.strip_prefix("#EXTINF:") {
            let seconds: f64 = seconds.trim_end_matches(',').parse().expect("a length");
            list.push((at_ms, at_ms + (seconds * 1000.0).round() as i64, gap));
            gap = false;
        }
        gap |= line == "#EXT-X-GAP";
    }
    list
}

/// Nowhere is there a hole, or a segment that begins before the one before is over.
#[track_caller]
fn assert_whole(live: &LiveStream, least_s: i64) {
    for track in 0..2 {
        let list = listed(live, track);
        let (first, last) = list.first().zip(list.last()).expect("segments");
        assert!(last.1 - first.0 >= least_s * 1000, "track {track}: {list:?}");
        for pair in list.windows(2) {
            let hole_ms = pair[1].0 - pair[0].1;
            assert!((-40..500).contains(&hole_ms), "track {track}: {hole_ms} ms in {list:?}");
        }
    }
}

#[test]
fn a_publisher_that_is_away_leaves_no_hole() {
    let (live, mut pipeline) = stream(None, 0);
    publish(&mut pipeline, Script::steady(10), 0);
    stand(&mut pipeline, 10_500, 17_000);
    let pictures = live.read(|w| w.parts_from(0, 0).filter(|p| p.independent).count());
    assert!(pictures > 15, "each part of it is a key frame: {pictures}");
    assert!(pipeline.burst().is_empty(), "a player that begins is not shown it either");
    assert!(live.held_before(i64::MAX).is_empty(), "it is not kept");
    pipeline.start_session(ClipInput::CLOCK);
    assert!(live.held_before(i64::MAX).is_empty(), "as long as the run goes on");
    publish(&mut pipeline, Script::steady(10), 17_000);
    assert_whole(&live, 24);
    assert_eq!(live.read(Window::discontinuities), 2);
    let repairs: Vec<_> = pipeline.timeline().repairs().counts().collect();
    assert_eq!(repairs, [(RepairKind::Still, 1)]);
}

#[test]
fn there_is_no_still_without_silence_or_a_publisher() {
    let (_, mut pipeline) = stream(None, 0);
    assert!(pipeline.still(500, WALL_MS + 500).is_none(), "nothing was there yet");
    publish(&mut pipeline, Script::steady(4).params(0, TrackId::AUDIO, ac3()), 0);
    assert!(pipeline.still(4_500, WALL_MS + 4_500).is_none(), "no silence of this codec is known");
}

#[test]
fn the_time_without_a_process_is_covered_by_who_is_back() {
    let (_, mut old) = stream(None, 0);
    publish(&mut old, Script::steady(10), 0);
    let mark = |wall_ms| Mark { wall_ms, ..old.mark("id", true) };
    // Since the last segment began, which is what the journal knows.
    let mark = mark(WALL_MS + 9_000);
    for (away_ms, covered) in [(7_000, true), (1_000, false), (90_000, false)] {
        let (live, mut pipeline) = stream(Some(&mark), 9_000 + away_ms);
        publish(&mut pipeline, Script::steady(10), 9_000 + away_ms);
        let repairs = pipeline.timeline().repairs().total();
        assert_eq!(repairs, u64::from(covered), "{away_ms}");
        let gaps = listed(&live, 0).iter().filter(|(.., gap)| *gap).count();
        assert_eq!(gaps > 0, away_ms < 60_000, "{away_ms}");
        if covered {
            assert_whole(&live, 20);
        }
    }
    let (_, mut pipeline) = stream(Some(&mark), 9_000);
    pipeline.finish();
    publish(&mut pipeline, Script::steady(10), 16_000);
    assert_eq!(pipeline.timeline().repairs().total(), 0, "nobody was waited for");
}
