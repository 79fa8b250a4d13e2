//! Two origins of one encoder: the one that follows has the other's bytes, and goes on with them when it falls silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};

use nx_delivery::{LiveStream, Step};
use nx_hls::{Ask, Lookup, Skip, Window};
use nx_media::{Sample, StreamKey, TrackId};
use proptest::prelude::*;
use tokio::sync::broadcast;

use super::rig::{WALL_MS, arrival};
use super::script::{Act, Frame, Script, Video, aac_48k, avc, sound};
use crate::config::StreamConfig;
use crate::media::Media;
use crate::pipeline::{Now, Pipeline, Twin};
use crate::twin::{Link, Standing, TwinConfig, Word};

/// Lists, and parts by track, number and place.
type Shown = (Vec<Option<String>>, Vec<(usize, u64, u32, Vec<u8>)>);

/// One of the two, with what it is sent.
struct Node {
    live: Arc<LiveStream>,
    pipeline: Pipeline,
    script: Script,
    next: usize,
}

impl Node {
    fn new(mut script: Script) -> Self {
        script.sort();
        let config = StreamConfig::default();
        let window = Window::new(config.window_segments, 2, config.window_bytes_max);
        let live = Arc::new(LiveStream::new(StreamKey::new("live", "x").unwrap(), window));
        let pipeline = Pipeline::new(live.clone(), &config, None, None, 0, WALL_MS);
        Self { live, pipeline, script, next: 0 }
    }

    /// One that hears of another.
    fn paired(script: Script, leads: bool) -> (Self, SyncSender<Word>, Arc<Standing>) {
        let mut node = Self::new(script);
        let (said, words) = sync_channel(512);
        let config = TwinConfig { leads, ..TwinConfig::default() };
        let link = Link::from(words, config);
        let standing = link.standing.clone();
        node.pipeline.pair(Twin::new(link, nx_hls::Config::default()));
        (node, said, standing)
    }

    fn send(&mut self, until_ms: i64) {
        while let Some((at_ms, act)) = self.script.steps.get(self.next).filter(|(at, _)| *at <= until_ms) {
            self.next += 1;
            let media = match act {
                Act::Session(clock) => {
                    self.pipeline.start_session(*clock);
                    continue;
                }
                Act::Media(media) => media.clone(),
                Act::Frame(frame) => {
                    self.pipeline.fed(*at_ms);
                    Media::Frame(arrival(self.script.clock, frame))
                }
            };
            self.pipeline.take_at(Now { ms: *at_ms, wall_ms: WALL_MS + *at_ms }, media, &mut |_| {});
        }
    }

    /// The list of the pictures, their parts, and all frames of the sound: one that the other had when it did not know of a
    /// cut may fall behind it, so its parts are not told.
    fn seen(&self) -> (Vec<String>, Vec<Vec<u8>>, Vec<Sample>) {
        self.live.read(|w| {
            let list = w.media_playlist(Ask::Track(0), Skip::None).unwrap_or_default();
            let lines = list.lines().filter(|line| !line.contains("RENDITION-REPORT")).map(str::to_owned);
            let sound = w.parts_from(1, 0).flat_map(|p| nx_container::fmp4::samples(&p.bytes).unwrap());
            let first = w.parts_from(0, 0).next().map_or(0, |p| p.dts * 48 / 90);
            let sound = sound.filter(|s| s.dts > first + 48_000);
            (lines.collect(), w.parts_from(0, 0).map(|p| p.bytes.to_vec()).collect(), sound.collect())
        })
    }

    /// Everything that is listed, and the bytes of every part.
    fn shown(&self) -> Shown {
        self.live.read(|w| {
            let tracks = w.tracks().count();
            let lists = (0..tracks).map(|t| w.media_playlist(Ask::Track(t), Skip::None));
            let lists = lists.chain([w.multivariant()]).collect();
            let parts = (0..tracks).flat_map(|t| w.parts_from(t, 0).map(move |p| (t, p)));
            (lists, parts.map(|(t, p)| (t, p.msn, p.index, p.bytes.to_vec())).collect())
        })
    }
}

/// Carries what the one says to the other.
struct Wire {
    steps: broadcast::Receiver<Step>,
    said: SyncSender<Word>,
}

impl Wire {
    fn open(from: &LiveStream, said: SyncSender<Word>) -> Self {
        let ((at_ms, window), steps) = from.follow(|at_ms, w| (at_ms, Box::new(w.clone())));
        said.send(Word::Window(window, at_ms)).unwrap();
        Self { steps, said }
    }

    fn carry(&mut self) {
        while let Ok((event, at_ms)) = self.steps.try_recv() {
            self.said.send(Word::Event(Box::new(event), at_ms)).unwrap();
        }
    }
}

fn script(rate: (u32, u32), gop: u64, seconds: i64) -> Script {
    Script::new()
        .params(0, TrackId::VIDEO, avc(Some(rate)))
        .params(0, TrackId::AUDIO, aac_48k())
        .frames(Video { rate, gop, ..Video::default() }.frames(0, seconds * 1000))
        .frames(sound(0, &aac_48k(), 0, seconds * 1000))
}

/// The same encoder over another connection, which begins later, with a counter of its own.
fn joined(script: Script, at_ms: i64, late_ms: i64, lost: impl Fn(&Frame) -> bool) -> Script {
    let mut script = script.without(|f| f.at_ms < at_ms || lost(f));
    script.steps.iter_mut().for_each(|(at, _)| *at = (*at).max(at_ms));
    script.map(|f| {
        f.stamp_us -= at_ms * 1000;
        f.at_ms += late_ms;
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whenever the one is killed, and whenever the other came, whatever that one lost before: viewers see the same as
    /// if nothing had happened.
    #[test]
    fn the_one_that_follows_goes_on_as_if_nothing_had_happened(
        rate in prop::sample::select(vec![(30, 1), (25, 1), (60, 1)]), gop in 20u64..130,
        join_ms in 0i64..5_000, killed_ms in 7_000i64..11_000, late_ms in 0i64..300, lost in 0u64..60,
    ) {
        let all = script(rate, gop, 20);
        let mut alone = Node::new(all.clone());
        alone.send(i64::MAX);
        let mut one = Node::new(all.clone());
        let missing = |f: &Frame| f.at_ms < killed_ms - 900 && lost > 0 && f.nth % 97 == lost;
        let (mut other, said, standing) = Node::paired(joined(all, join_ms, late_ms, missing), false);
        one.send(1_500);
        let mut wire = Wire::open(&one.live, said);
        other.pipeline.hear_twin(1_500);
        for at_ms in (1_500..killed_ms).step_by(10) {
            one.send(at_ms);
            wire.carry();
            other.pipeline.hear_twin(at_ms);
            other.send(at_ms);
        }
        prop_assert!(other.shown() == one.shown());
        prop_assert!(!standing.leads.load(Ordering::Relaxed));
        other.send(i64::MAX);
        prop_assert!(standing.leads.load(Ordering::Relaxed));
        prop_assert_eq!(other.live.read(Window::discontinuities), 0);
        other.pipeline.finish();
        alone.pipeline.finish();
        prop_assert!(other.seen() == alone.seen());
        prop_assert_eq!(other.pipeline.packager().next_msn(), alone.pipeline.packager().next_msn());
    }
}

#[test]
fn what_cannot_go_on_begins_a_run_with_the_next_numbers() {
    let all = script((30, 1), 60, 16);
    let mut one = Node::new(all.clone());
    let other = joined(all, 0, 0, |f| f.id == TrackId::AUDIO);
    let other =
        Script { steps: other.steps.into_iter().filter(|(_, act)| !is_sound(act)).collect(), ..other };
    let (mut other, said, _standing) = Node::paired(other, false);
    one.send(1_000);
    let mut wire = Wire::open(&one.live, said);
    for at_ms in 1_000..8_000 {
        one.send(at_ms);
        wire.carry();
        other.pipeline.hear_twin(at_ms);
        other.send(at_ms);
    }
    let before = one.live.read(|w| w.next(0)).unwrap();
    other.send(i64::MAX);
    let (run, first, seams) = other.live.read(|w| {
        let run = w.run().unwrap();
        (run.number, run.first_msn, w.discontinuities())
    });
    assert_eq!((run, seams), (1, 1));
    assert!((before.msn..=before.msn + 1).contains(&first), "{first} after {before:?}");
    let list = other.live.read(|w| w.media_playlist(Ask::Track(0), Skip::None)).unwrap();
    assert!(list.contains("#EXT-X-DISCONTINUITY\n") && !list.contains("EXTINF:0.0"), "{list}");
    // The clock of the stream goes on; the sound that was known is waited for, three seconds at most.
    let last = other.live.read(|w| w.parts_from(0, 0).last().map(|p| p.dts)).unwrap();
    assert!((16 * 90_000..21 * 90_000).contains(&last), "{last}");
}

#[test]
fn what_the_other_has_left_is_ended() {
    let (mut node, said, standing) = Node::paired(script((30, 1), 60, 10), false);
    let mut one = Node::new(script((30, 1), 60, 10));
    one.send(5_000);
    let _wire = Wire::open(&one.live, said);
    node.pipeline.hear_twin(5_000);
    node.pipeline.wind_up(5_100);
    node.pipeline.finish();
    assert!(!node.live.read(Window::is_ended), "the other one is there");
    node.pipeline.wind_up(7_000);
    node.pipeline.finish();
    let list = node.live.read(|w| w.media_playlist(Ask::Track(0), Skip::None)).unwrap();
    assert!(list.ends_with("#EXT-X-ENDLIST\n") && !list.contains("PRELOAD"), "{list}");
    assert!(!standing.leads.load(Ordering::Relaxed));
}

fn is_sound(act: &Act) -> bool {
    matches!(act, Act::Media(Media::Params(TrackId::AUDIO, _)))
}

#[test]
fn a_stream_begins_where_it_may() {
    let leads = |leads, words: Vec<Word>, ms| {
        let (mut node, said, standing) = Node::paired(script((30, 1), 60, 10), leads);
        node.send(50);
        words.into_iter().for_each(|word| said.send(word).unwrap());
        node.pipeline.hear_twin(50);
        node.send(ms);
        assert_eq!(node.live.read(|w| w.run().is_some()), standing.leads.load(Ordering::Relaxed));
        standing.leads.load(Ordering::Relaxed)
    };
    for (name, is_first, words, ms, want) in [
        ("nothing was heard yet", true, vec![], 1_000, false),
        ("nothing is heard at all", true, vec![], 2_000, true),
        ("the other one has it not", true, vec![Word::Nobody], 100, true),
        ("the other one has it not, and would lead", false, vec![Word::Nobody], 1_000, false),
        ("it still has it not", false, vec![Word::Nobody], 2_000, true),
        ("there is no other one", false, vec![Word::Away], 100, true),
    ] {
        assert_eq!(leads(is_first, words, ms), want, "{name}");
    }
    // Nothing that waited is lost.
    let (mut node, _said, _standing) = Node::paired(script((30, 1), 60, 10), false);
    let mut alone = Node::new(script((30, 1), 60, 10));
    node.send(i64::MAX);
    alone.send(i64::MAX);
    assert_eq!(node.shown(), alone.shown());
}

#[test]
fn of_two_that_package_one_stream_one_follows() {
    for (name, leads, ahead_ms, unfed, want) in [
        ("the one that leads stays", true, 0, false, true),
        ("the other one does not", false, 0, false, false),
        ("unless it is ahead", false, -4_000, false, true),
        ("who is behind follows", true, 4_000, false, false),
        ("who has no publisher follows", true, -4_000, true, false),
    ] {
        let all = script((30, 1), 60, 20);
        let (mut one, said, standing) = Node::paired(all.clone(), leads);
        let mut rival = Node::new(all);
        said.send(Word::Away).unwrap();
        one.pipeline.hear_twin(0);
        one.send(9_000);
        rival.send(8_900 + ahead_ms);
        let mut wire = Wire::open(&rival.live, said);
        one.pipeline.hear_twin(9_000);
        assert!(standing.leads.load(Ordering::Relaxed), "{name}: a window alone may be an old one");
        rival.send(9_400 + ahead_ms);
        wire.carry();
        one.pipeline.hear_twin(if unfed { 12_000 } else { 9_010 });
        assert_eq!(standing.leads.load(Ordering::Relaxed), want, "{name}");
        assert_eq!(standing.declined.load(Ordering::Relaxed), want, "{name}");
        if !want {
            // It goes on as the other one, and by itself when that one falls silent.
            assert_eq!(one.shown(), rival.shown(), "{name}");
            one.send(i64::MAX);
            assert!(standing.leads.load(Ordering::Relaxed), "{name}");
            assert!(one.live.read(|w| matches!(w.segment(0, w.next(0).unwrap().msn - 1), Lookup::Found(_))));
        }
    }
}
