//! A simulated player: follows every playlist of a stream, fetches all of it, and knows what must never happen.

use std::collections::BTreeMap;

use nx_container::fmp4;
use nx_delivery::LiveStream;
use nx_hls::{Ask, Lookup, Position, Skip, Window};
use nx_media::{AudioCodec, Kind, Params, TrackId};

use super::playlist::{self, Listed, Playlist};
use super::rig::{Heard, LOOK_MS, true_us};

/// Longest wait for news beyond the publisher's own silence.
const NEWS_MS: i64 = 2_500;
/// Sound and picture that both come have come equally far, seconds.
const APART_S: f64 = 1.5;
/// How long both must have come for that, milliseconds.
const SETTLED_MS: i64 = 5_000;
/// How exactly dates and lengths of segments agree, milliseconds.
const DATE_MS: i64 = 50;

/// What is remembered of one playlist.
#[derive(Debug, Default)]
struct List {
    segments: BTreeMap<u64, Listed>,
    first: u64,
    target: u64,
    /// Segments and parts seen, and when there were more for the last time; silences until then.
    news: (u64, usize),
    news_ms: i64,
    silent_ms: i64,
}

/// What is remembered of the media of a track.
#[derive(Debug, Default)]
struct Media {
    next: Position,
    run: u32,
    end: i64,
    pub(super) end_s: f64,
    frame: i64,
    /// Presentation minus true time of the newest frame, seconds.
    shift_s: Option<f64>,
    got: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Player {
    name: String,
    lists: BTreeMap<String, List>,
    media: BTreeMap<TrackId, Media>,
    /// Furthest that sound and picture were from their true relation, seconds.
    pub(super) worst_s: f64,
    /// Longest wait for news, milliseconds.
    pub(super) waited_ms: i64,
}

impl Player {
    pub(super) fn new(name: &str) -> Self {
        let (lists, media) = (BTreeMap::new(), BTreeMap::new());
        Self { name: name.into(), lists, media, worst_s: 0.0, waited_ms: 0 }
    }

    /// Looks at everything.
    pub(super) fn look(
        &mut self,
        live: &LiveStream,
        now_ms: i64,
        any: &Heard,
        heard: &BTreeMap<TrackId, Heard>,
    ) {
        live.read(|window| {
            // Whoever watches a track that the publisher has lost goes on, too.
            let all = window.tracks().chain(window.vanished()).cloned().collect::<Vec<_>>();
            let ids: Vec<(TrackId, String)> = all.iter().map(|t| (t.id, t.name.clone())).collect();
            for (index, (id, name)) in ids.iter().enumerate() {
                self.fetch(window, index, *id, now_ms);
                let Some(text) = window.media_playlist(Ask::Track(index), Skip::None) else { continue };
                let list = playlist::read(&text);
                self.offered(window, index, &list, now_ms, &text);
                // A silent track that cannot be filled makes news only when it is passed.
                let own = heard.get(id).filter(|_| !knows_silence(&all[index].params));
                let silent_ms = own.map_or(0, |h| h.silent_ms(now_ms)).max(any.silent_ms(now_ms));
                self.follow(name, &list, now_ms, silent_ms, &text);
                if id.kind == Kind::Video && list.independent {
                    self.independent(window, index, &list, &text);
                }
            }
            if let Some(text) = window.media_playlist(Ask::Ts, Skip::None) {
                let list = playlist::read(&text);
                let tracks = window.tracks().filter(|t| !knows_silence(&t.params));
                let own = tracks.filter_map(|t| heard.get(&t.id)).map(|h| h.silent_ms(now_ms)).max();
                let silent_ms = own.unwrap_or(0).max(any.silent_ms(now_ms));
                self.follow("ts", &list, now_ms, silent_ms, &text);
            }
            self.agree(&ids, now_ms);
            self.together(now_ms, heard);
        });
    }

    /// How far sound and picture are from their true relation, milliseconds; `None` without both.
    pub(super) fn offset_ms(&self) -> Option<f64> {
        let shift = |id| self.media.get(&id)?.shift_s;
        Some((shift(TrackId::VIDEO)? - shift(TrackId::AUDIO)?) * 1000.0)
    }

    /// Frames of a track that came through.
    pub(super) fn got(&self, id: TrackId) -> u64 {
        self.media.get(&id).map_or(0, |m| m.got)
    }

    /// Everything that a playlist names is there.
    fn offered(&self, window: &Window, index: usize, list: &Playlist, now_ms: i64, text: &str) {
        let at = format!("{} at {now_ms}", self.name);
        for (uri, _) in &list.parts {
            // The first part of a run in a list that goes on bears the run: `7.0-1.m4s`.
            let mut fields = uri.split(['.', '-']);
            let mut field = || fields.next().unwrap().parse::<u64>().expect(uri);
            let (msn, part) = (field(), u32::try_from(field()).unwrap());
            assert!(matches!(window.part(index, msn, part), Lookup::Found(_)), "{at}: part {uri}\n{text}");
        }
        for (msn, listed) in (list.first..).zip(&list.segments) {
            let found = matches!(window.segment(index, msn), Lookup::Found(_));
            assert!(found != listed.gap, "{at}: segment {}\n{text}", listed.uri);
        }
    }

    /// The playlist goes on from the one seen before.
    fn follow(&mut self, name: &str, list: &Playlist, now_ms: i64, silent_ms: i64, text: &str) {
        let at = format!("{} {name} at {now_ms}", self.name);
        let seen = self.lists.entry(name.into()).or_insert_with(|| List {
            first: list.first,
            target: list.target,
            news_ms: now_ms,
            silent_ms,
            ..List::default()
        });
        assert!(list.first >= seen.first, "{at}: the media sequence went back\n{text}");
        assert_eq!(list.target, seen.target, "{at}: the target duration changed\n{text}");
        // A player that looks every while knows every segment that was removed: none was skipped.
        let last = seen.segments.last_key_value().map(|(msn, _)| *msn);
        let end = list.first + list.segments.len() as u64;
        assert!(last.is_none_or(|last| list.first <= last + 1 && end > last), "{at}: after {last:?}\n{text}");
        let seams = seen.segments.range(..list.first).next_back().map(|(_, s)| s.discontinuity);
        assert!(
            seams.is_none_or(|seams| seams == list.discontinuity_sequence),
            "{at}: discontinuity sequence after {seams:?}\n{text}"
        );
        for (msn, listed) in (list.first..).zip(&list.segments) {
            let known = seen.segments.entry(msn).or_insert_with(|| listed.clone());
            assert_eq!(known, listed, "{at}: segment {msn} changed\n{text}");
        }
        let pairs = list.segments.iter().zip(list.segments.iter().skip(1));
        for (one, two) in pairs {
            let end_ms = one.date_ms + (one.seconds * 1000.0).round() as i64;
            assert!(two.date_ms >= one.date_ms, "{at}: dates go back at {}\n{text}", two.uri);
            let whole = one.discontinuity == two.discontinuity && !one.gap && !two.gap;
            let off_ms = two.date_ms - end_ms;
            assert!(!whole || off_ms.abs() <= DATE_MS, "{at}: {} is dated {off_ms} ms off\n{text}", two.uri);
        }
        seen.first = list.first;
        let news = (end, list.parts.iter().filter(|(uri, _)| uri.starts_with(&format!("{end}."))).count());
        if news > seen.news {
            (seen.news, seen.news_ms, seen.silent_ms) = (news, now_ms, silent_ms);
        }
        let waited_ms = now_ms - seen.news_ms - (silent_ms - seen.silent_ms);
        self.waited_ms = self.waited_ms.max(waited_ms);
        assert!(
            waited_ms <= NEWS_MS + if name == "ts" { 2_500 } else { 0 },
            "{at}: no news for {waited_ms} ms\n{text}"
        );
    }

    /// A list that says so begins every segment of pictures with a key frame.
    fn independent(&self, window: &Window, index: usize, list: &Playlist, text: &str) {
        for msn in list.first..list.first + list.segments.len() as u64 {
            let Lookup::Found(segment) = window.segment(index, msn) else { continue };
            let first = fmp4::samples(&segment.parts[0].bytes).unwrap();
            assert!(first[0].key, "{}: segment {msn} begins without a key frame\n{text}", self.name);
        }
    }

    /// The tracks have their discontinuities at the same segments.
    fn agree(&self, ids: &[(TrackId, String)], now_ms: i64) {
        let mut known: BTreeMap<u64, (u64, &str)> = BTreeMap::new();
        let lists = ids.iter().map(|(_, name)| name.as_str()).chain(["ts"]);
        for (name, list) in lists.filter_map(|name| Some((name, self.lists.get(name)?))) {
            for (msn, listed) in list.segments.range(list.first..) {
                let (seams, by) = *known.entry(*msn).or_insert((listed.discontinuity, name));
                assert_eq!(
                    seams, listed.discontinuity,
                    "{} at {now_ms}: segment {msn} of {by} and {name} disagree",
                    self.name
                );
            }
        }
    }

    /// Takes the new parts of a track: they follow each other.
    fn fetch(&mut self, window: &Window, index: usize, id: TrackId, now_ms: i64) {
        let at = format!("{} {id} at {now_ms}", self.name);
        let media = self.media.entry(id).or_default();
        let mut before: Option<u64> = media.next.msn.checked_sub(u64::from(media.next.part == 0));
        for (track, part) in window.parts_after(index, media.next) {
            let samples = fmp4::samples(&part.bytes).unwrap_or_else(|e| panic!("{at}: {e}"));
            let (first, last) = (&samples[0], &samples[samples.len() - 1]);
            let skipped = before.is_some_and(|msn| part.msn > msn + 1);
            if media.got > 0 && track.run == media.run && !skipped {
                let hole = first.dts - media.end;
                assert!(hole.abs() <= media.frame, "{at}: {}.{} begins {hole} late", part.msn, part.index);
            }
            let sum: u64 = samples.iter().map(|s| u64::from(s.duration.unwrap_or(0))).sum();
            assert_eq!(sum, part.duration, "{at}: {}.{}", part.msn, part.index);
            let scale = f64::from(track.params.timescale());
            let duration = i64::from(last.duration.unwrap_or(0));
            (media.end, media.frame, media.run) = (last.dts + duration, duration.max(1), track.run);
            media.end_s = media.end as f64 / scale;
            media.next = Position { msn: part.msn, part: part.index + 1 };
            before = Some(part.msn);
            for sample in &samples {
                if let Some(us) = true_us(id.kind, &sample.payload) {
                    media.shift_s = Some(sample.pts as f64 / scale - us as f64 / 1e6);
                    media.got += 1;
                }
            }
        }
    }

    /// Sound and picture have come equally far, and what belongs together is shown together.
    fn together(&mut self, now_ms: i64, heard: &BTreeMap<TrackId, Heard>) {
        self.worst_s = self.worst_s.max(self.offset_ms().map_or(0.0, |ms| ms.abs() / 1000.0));
        let settled = |id| {
            heard.get(&id).is_some_and(|h| now_ms - h.at_ms <= LOOK_MS && h.at_ms - h.since_ms >= SETTLED_MS)
        };
        let (Some(video), Some(audio)) = (self.media.get(&TrackId::VIDEO), self.media.get(&TrackId::AUDIO))
        else {
            return;
        };
        if settled(TrackId::VIDEO) && settled(TrackId::AUDIO) && video.got > 0 && audio.got > 0 {
            let apart = video.end_s - audio.end_s;
            let (v, a) = (video.run, audio.run);
            assert!(v != a || apart.abs() <= APART_S, "{} at {now_ms}: video is {apart} s ahead", self.name);
        }
    }
}

/// The timeline can fill holes of it.
fn knows_silence(params: &Params) -> bool {
    matches!(params, Params::Audio(a) if matches!(a.codec, AudioCodec::Aac | AudioCodec::Opus))
}
