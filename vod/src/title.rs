//! A file as a stream that is over.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nx_container::fmp4;
use nx_container::index::{Index, IndexError, IndexTrack, Place};
use nx_hls::{Event, Run, RunTrack, Stored};
use nx_media::{Kind, rescale};

use crate::identity::Identity;
use crate::library::Found;
use crate::open::{Same, TitleError};
use crate::plan::{Plan, pts, scale};
use crate::samples::{self, Change};

/// See the module.
#[derive(Debug)]
pub struct Title {
    found: Found,
    index: Index,
    /// Tracks of the file itself; those behind them are in the file of what was made of it.
    own: usize,
    made: Option<PathBuf>,
    plan: Plan,
    run: Arc<Run>,
    /// The number of the run before anything was made of it, if the names that were given then still mean the same.
    before: Option<u32>,
    /// It has pictures, and none that can be played.
    blind: bool,
}

impl Title {
    /// A file that has this index, and what was made of it.
    ///
    /// # Errors
    /// Nothing of it can be played.
    pub(crate) fn new(
        found: &Found,
        mut index: Index,
        made: Option<(PathBuf, Identity, Index)>,
    ) -> Result<Self, TitleError> {
        let mut foreign = false;
        for track in index.tracks.extract_if(.., |t| !t.params.is_carried()) {
            foreign |= !track.samples.is_empty();
            index.left_out.push(format!("{} is not carried", track.params.rfc6381()));
        }
        let alone = Plan::of(&index.tracks);
        let own = index.tracks.len();
        let mut number = found.identity.run();
        let media = made.map(|(path, identity, made)| {
            number ^= identity.run().rotate_left(1);
            index.tracks.extend(made.tracks);
            path
        });
        if index.tracks.iter().all(|t| t.samples.is_empty()) {
            let why =
                if index.left_out.is_empty() { "it is empty".into() } else { index.left_out.join("; ") };
            let why = format!("nothing in this file can be played: {why}");
            return Err(if foreign { TitleError::Foreign(why) } else { IndexError::Unsupported(why).into() });
        }
        let plan = Plan::of(&index.tracks);
        let before = plan.begins_as(&alone).then(|| found.identity.run());
        let track = |t: &IndexTrack| {
            Arc::new(RunTrack {
                id: t.id,
                name: t.id.to_string(),
                run: number,
                params: t.params.clone(),
                init: fmp4::init(&t.params),
                key: None,
            })
        };
        let run = Arc::new(Run {
            number,
            first_msn: 0,
            tracks: index.tracks.iter().map(track).collect(),
            start_ms: 0,
            wall_at_zero_ms: -plan.late_s * 1000,
            part_target_us: 0,
            keys: Vec::new(),
        });
        let blind = foreign && index.tracks.iter().all(|t| t.id.kind != Kind::Video);
        Ok(Self { found: found.clone(), index, own, made: media, plan, run, before, blind })
    }

    /// Which file it is, in which version.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Whether it has pictures of which none can be played as they are: then it is sound alone.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// How many of its tracks were made of the others.
    #[must_use]
    pub fn made(&self) -> usize {
        self.index.tracks.len() - self.own
    }

    /// Which version of the file it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.found.identity
    }

    /// Its tracks, as those of a stream.
    #[must_use]
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// What is in it.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How long its longest track is, milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        u64::try_from(self.ends_us()).unwrap_or(0).div_ceil(1000)
    }

    /// When its longest track ends, microseconds.
    pub(crate) fn ends_us(&self) -> i64 {
        let end = |t: &IndexTrack| {
            // The sample that is shown last is among the last that are decoded.
            let latest = t.samples.iter().rev().take(64);
            let latest = latest.map(|s| pts(s).saturating_add(s.duration.into())).max()?;
            Some(rescale(latest, t.params.timescale(), 1_000_000))
        };
        self.index.tracks.iter().filter_map(end).max().unwrap_or(0)
    }

    /// What it takes in memory, bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let places: usize = self.index.tracks.iter().map(|t| t.samples.capacity()).sum();
        places * size_of::<Place>() + self.plan.segments() * self.index.tracks.len() * 4 + 4096
    }

    /// What fills a window: the run, and the segments that are on between two times of the title, milliseconds.
    #[must_use]
    pub fn events(&self, from_ms: i64, until_ms: i64) -> Vec<Event> {
        let mut events = vec![Event::Run(self.run.clone())];
        for nth in 0..self.plan.segments() {
            for track in 0..self.index.tracks.len() {
                let Some((segment, ends_ms)) = self.stored(track, nth) else { continue };
                if segment.begins_ms < until_ms && ends_ms > from_ms {
                    events.push(Event::Stored { track, segment });
                }
            }
        }
        events
    }

    /// A segment as it is listed, and when it ends.
    fn stored(&self, nth_track: usize, nth: usize) -> Option<(Stored, i64)> {
        let track = self.index.tracks.get(nth_track)?;
        let places = self.plan.samples(nth_track, track, nth);
        let (first, last) = places.first().zip(places.last())?;
        let (change, late) = (Change::of(track), self.late(track));
        let header = self.header_bytes(track, places);
        let media: u64 = places.iter().map(|p| change.bytes(p).unwrap_or_else(|| p.bytes.into())).sum();
        let bytes = usize::try_from(media).unwrap_or(usize::MAX).saturating_add(header);
        let earliest = places.iter().map(pts).min()?;
        let ends = last.dts.saturating_add(last.duration.into());
        let picture = (track.id.kind == Kind::Video && first.key).then(|| change.bytes(first)).flatten();
        let ms = |ticks: i64| rescale(ticks, track.params.timescale(), 1000);
        let segment = Stored {
            msn: nth as u64,
            // Sound that only primes a decoder begins before the beginning.
            begins_ms: ms(earliest).max(0),
            pts: earliest.saturating_add(late),
            duration: u64::try_from(ends.saturating_sub(first.dts)).unwrap_or(0),
            bytes,
            independent: first.key,
            i_frame_bytes: picture.and_then(|p| usize::try_from(p).ok()?.checked_add(header)),
            named_by_run: true,
        };
        Some((segment, ms(ends.saturating_add(first.cts.into()))))
    }

    /// What stands before the first sample of a segment.
    fn header_bytes(&self, track: &IndexTrack, places: &[Place]) -> usize {
        let late = self.late(track);
        let empty: Vec<_> = places.iter().map(|p| samples::sample(p, late, Bytes::new())).collect();
        fmp4::fragment(0, track.id.kind, &empty).map_or(0, |header| header.len())
    }

    fn late(&self, track: &IndexTrack) -> i64 {
        self.plan.late_s.saturating_mul(scale(track))
    }

    /// The bytes of a segment by its name; `None` when this version of the title has none of the name.
    ///
    /// # Errors
    /// The file cannot be read, or is another by now.
    pub fn segment(&self, track: &str, msn: u64, run: Option<u32>) -> Result<Option<Bytes>, TitleError> {
        let nth = usize::try_from(msn).unwrap_or(usize::MAX);
        let Some(at) = run.and_then(|run| self.named(track, run)) else { return Ok(None) };
        let Some(track) = self.index.tracks.get(at) else { return Ok(None) };
        let places = self.plan.samples(at, track, nth);
        if places.is_empty() {
            return Ok(None);
        }
        let (path, identity) = self.file_of(at);
        let file = Same::open(path, identity)?;
        let samples = samples::read(&file, track, places, self.late(track))?;
        file.check()?;
        let sequence = u32::try_from(nth + 1).unwrap_or(u32::MAX);
        let made = fmp4::fragment(sequence, track.id.kind, &samples);
        let broken = |e: fmp4::FragmentError| IndexError::Broken { what: e.to_string(), at: 0 };
        Ok(Some(made.map_err(broken)?))
    }

    /// The CMAF header of a track.
    #[must_use]
    pub fn init(&self, track: &str, run: u32) -> Option<Bytes> {
        self.named(track, run).and_then(|at| self.run.tracks.get(at)).map(|t| t.init.clone())
    }

    /// Whether something of it is, or was, named by this number of a run.
    #[must_use]
    pub fn is_run(&self, run: u32) -> bool {
        run == self.run.number || self.before == Some(run)
    }

    /// The track that a name means. A player that was given names goes on with them when renditions come.
    fn named(&self, track: &str, run: u32) -> Option<usize> {
        let at = self.run.tracks.iter().position(|t| t.name == track)?;
        (run == self.run.number || (at < self.own && self.before == Some(run))).then_some(at)
    }

    /// Where the samples of a track are.
    pub(crate) fn file_of(&self, track: usize) -> (&Path, Identity) {
        match (&self.made, self.found.made) {
            (Some(path), Some(identity)) if track >= self.own => (path, identity),
            _ => (&self.found.path, self.found.identity),
        }
    }

    /// The tracks of the MP4 to download, which lie in one file: the title's own, or the first of each kind that was made.
    pub(crate) fn in_one_file(&self) -> impl Iterator<Item = &IndexTrack> {
        let fits = |at, track: &IndexTrack| if self.own > 0 { at < self.own } else { track.id.nth == 0 };
        self.index
            .tracks
            .iter()
            .enumerate()
            .filter(move |(at, track)| fits(*at, track))
            .map(|(_, track)| track)
    }
}
