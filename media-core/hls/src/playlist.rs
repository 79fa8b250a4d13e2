//! Playlists as text.
//!
//! Nothing in them depends on who asks. Spec: RFC 8216bis §4.4. Where its text leaves room:
//!
//! * A gap has no parts: they would have to be promised before anybody knows that they will not come. A
//!   part that would be the first of a run, or with which a lost track comes back, is not hinted at: it needs an
//!   `EXT-X-MAP` that nobody knows yet, and players put it behind the one they have. The report of a track whose newest
//!   segment is a gap has no `LAST-PART`.
//! * Parts are listed with the segments that begin within three target durations of the live edge.
//! * `CAN-SKIP-UNTIL` is six target durations, the least allowed, and told by every window that can be longer. A segment
//!   is skipped when it ends further from the edge. Who asks for a delta while there is nothing to skip gets it all, and so
//!   it is while one that would be skipped is a gap: it may have been none when the player saw it.
//! * Behind `EXT-X-SKIP` the first segment has its `EXT-X-MAP` and date like any other; `EXT-X-DISCONTINUITY` stands
//!   there only if that very segment has one. The sequence numbers in front are the whole playlist's, so that a player
//!   which counts and one which merges come to the same.
//! * A delta leaves out a date range when all that is known of it was told before the first segment that is not
//!   skipped was begun: whoever can use the delta has it. What is over is named as long as it is remembered; what was
//!   taken back or pushed out, when that was not before then either.
//! * The date is that of the earliest picture, from the run's clock and not from the segment before: its rounding does
//!   not add up. Lengths have six decimals: a day of them is right to a frame.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use nx_crypt::Protection;
use nx_media::Params;
use serde::{Deserialize, Serialize};

use crate::date::Rfc3339;
use crate::event::{Part, Run};
use crate::key_tags;
use crate::rendition::{Rendition, Segment};
use crate::window::{Position, Window};

/// Which media playlist is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// One track in CMAF, with parts. Index into [`Window::tracks`], or behind them into [`Window::vanished`].
    Track(usize),
    /// The key frames of a track of pictures, one for each whole segment. The same index.
    IFrames(usize),
    /// Everything in MPEG-TS.
    Ts,
    /// Text. Index into [`Window::text_renditions`].
    Text(usize),
}

/// What a player that has the playlist already can do without: `_HLS_skip` (RFC 8216bis §6.2.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Skip {
    /// Nothing.
    #[default]
    None,
    /// `YES`: old segments.
    Segments,
    /// `v2`: old segments and date ranges.
    DateRanges,
}

/// Segments further than this from the live edge may be skipped, in target durations.
pub(crate) const SKIP_TARGETS: u64 = 6;
/// Segments closer than this to the live edge have their parts listed, in target durations.
pub(crate) const PART_TARGETS: u64 = 3;

impl Window {
    /// A media playlist; `None` before its first part (CMAF) or first whole segment (TS, key frames, text), when there can be
    /// no TS ([`Window::ts_tracks`]), and when a vanished track has nothing listed any more. `skip` makes a delta of a
    /// CMAF playlist that is long enough.
    #[must_use]
    pub fn media_playlist(&self, ask: Ask, skip: Skip) -> Option<String> {
        let mut out = String::with_capacity(4096);
        match ask {
            Ask::Track(index) => {
                let track = self.shown(index).filter(|t| !t.segments.is_empty())?;
                self.write_track(track, skip, &mut out).ok()?;
            }
            Ask::IFrames(index) => self.write_i_frames(self.shown(index)?, &mut out).ok()?,
            Ask::Ts => self.write_ts(&mut out).ok()?,
            Ask::Text(index) => self.write_text(index, &mut out).ok()?,
        }
        Some(out)
    }

    fn write_track(&self, track: &Rendition, skip: Skip, out: &mut String) -> fmt::Result {
        let first = track.listed().next();
        let first_msn = self.first_number(track);
        let from_ms = first.map_or(i64::MAX, |s| s.program_date_time_ms);
        let skipped = if skip == Skip::None { 0 } else { self.skippable(track) };
        let without_dates = skip == Skip::DateRanges && skipped > 0;
        self.write_head(first_msn, track.discontinuity_sequence, if without_dates { 10 } else { 9 }, out)?;
        self.write_control(out)?;
        let part_target = self.part_target_s();
        if self.has_edge() {
            writeln!(out, "#EXT-X-PART-INF:PART-TARGET={part_target:.3}")?;
        }
        if track.listed().all(Segment::starts_independent) {
            out.write_str("#EXT-X-INDEPENDENT-SEGMENTS\n")?;
        }
        self.write_start(out)?;
        let since = if without_dates { first_msn + skipped as u64 } else { 0 };
        self.dates.write(from_ms, since, out)?;
        if skipped > 0 {
            write!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
            if without_dates {
                let removed: Vec<String> = self.dates.removed(from_ms, since).collect();
                write!(out, ",RECENTLY-REMOVED-DATERANGES=\"{}\"", removed.join("\t"))?;
            }
            out.write_char('\n')?;
        }
        let old = track.listed().len() - track.begun_within(self.target_s * PART_TARGETS * 1_000_000);
        let mut lead = Lead::default();
        for (nth, segment) in track.listed().enumerate().skip(skipped) {
            lead.write(segment, out)?;
            if nth >= old && self.has_edge() {
                write_parts(segment, part_target, out)?;
            }
            if let Some(line) = Line::of(segment) {
                line.write("m4s", out)?;
            }
        }
        if self.ended {
            return out.write_str("#EXT-X-ENDLIST\n");
        }
        if !self.has_edge() {
            return Ok(());
        }
        let Position { msn, part } = track.hint(self.part_target_us());
        // What begins a run needs a header that is not listed yet; players would put it behind the old one.
        let goes_on = |run: &Arc<Run>| {
            run.number == track.track.run && (msn > run.first_msn || track.segments.is_empty())
        };
        if part > 0 || self.run.as_ref().is_some_and(goes_on) {
            writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{msn}.{part}.m4s\"")?;
        }
        out.write_str(&track.reports)
    }

    /// Whether the window can become long enough for delta updates.
    pub(crate) fn can_skip(&self) -> bool {
        self.listed_max as u64 > SKIP_TARGETS
    }

    /// Listed segments, from the first on, that end beyond the skip boundary.
    fn skippable(&self, track: &Rendition) -> usize {
        let near = track.begun_within(self.target_s * SKIP_TARGETS * 1_000_000) + 1;
        let far = track.listed().len().saturating_sub(near);
        // Of runs that are not stored there never was more.
        let changed = track.listed().take(far).any(|s| s.is_gap() && !(self.past && s.is_lost()));
        if self.can_skip() && !changed { far } else { 0 }
    }

    /// Rounded up to milliseconds, so that no part is longer.
    fn part_target_s(&self) -> f64 {
        (f64::from(self.part_target_us()) / 1e3).ceil() / 1e3
    }

    /// What players may ask of the server: the same in every media playlist of it.
    pub(crate) fn write_control(&self, out: &mut String) -> fmt::Result {
        if !self.has_edge() {
            return self.write_past_control(out);
        }
        out.write_str("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES")?;
        if self.can_skip() {
            write!(out, ",CAN-SKIP-UNTIL={},CAN-SKIP-DATERANGES=YES", self.target_s * SKIP_TARGETS)?;
        }
        // Three times the part target (Apple authoring rules 14.3).
        let (part_hold_back, hold_back) = (self.part_target_s() * 3.0, self.target_s * 3);
        writeln!(out, ",PART-HOLD-BACK={part_hold_back:.3},HOLD-BACK={hold_back}")
    }

    /// Writes down how the others stand, for the playlist of one track and of those that it has passed, or of all. A
    /// playlist that said how they stand when it is asked for would be another on each node.
    pub(crate) fn report(&mut self, to: Option<usize>) {
        let running = self.running().len();
        for index in 0..self.tracks.len() {
            let changes = |to: usize| to == index || index >= running || self.has_passed(to, index);
            if !to.is_none_or(changes) {
                continue;
            }
            let mut reports = String::new();
            // Writing into a string does not fail.
            let _ = self.write_reports(index, &mut reports);
            if let Some(track) = self.tracks.get_mut(index) {
                track.reports = reports;
            }
        }
    }

    fn write_reports(&self, of: usize, out: &mut String) -> fmt::Result {
        let shown = (0..self.tracks.len()).filter(|index| *index != of).filter_map(|index| self.shown(index));
        for other in shown {
            let Some(last) = other.segments.back().filter(|_| !self.is_hidden(&other.track.id)) else {
                continue;
            };
            let name = &other.track.name;
            write!(out, "#EXT-X-RENDITION-REPORT:URI=\"../{name}/index.m3u8\",LAST-MSN={}", last.msn)?;
            if let Some(part) = last.parts.len().checked_sub(1) {
                write!(out, ",LAST-PART={part}")?;
            }
            out.write_char('\n')?;
        }
        Ok(())
    }

    /// What every media playlist begins with.
    pub(crate) fn write_head(
        &self,
        first_msn: u64,
        discontinuity_sequence: u64,
        version: u8,
        out: &mut String,
    ) -> fmt::Result {
        writeln!(
            out,
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first_msn}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}",
            self.target_s,
        )?;
        out.write_str(if self.past && self.ended { "#EXT-X-PLAYLIST-TYPE:VOD\n" } else { "" })
    }
}

/// What stands before segments: key and header when they are others than those of the segment before.
#[derive(Debug, Default)]
pub(crate) struct Lead<'a> {
    header: Option<(u32, Option<u64>)>,
    key: Option<&'a Protection>,
}

impl<'a> Lead<'a> {
    pub(crate) fn write(&mut self, segment: &'a Segment, out: &mut String) -> fmt::Result {
        if segment.discontinuity {
            out.write_str("#EXT-X-DISCONTINUITY\n")?;
        }
        let track = &segment.track;
        if self.header.replace(track.header()) != Some(track.header()) && !segment.is_lost() {
            let key = track.key.as_ref().map(|key| &*key.told);
            if std::mem::replace(&mut self.key, key) != key {
                key_tags::write(key, out)?;
            }
            writeln!(out, "#EXT-X-MAP:URI=\"{}\"", track.init_name())?;
        }
        write_date(segment.program_date_time_ms, out)?;
        segment.mark.write(out)
    }
}

fn seconds(ticks: u64, params: &Params) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a segment has far fewer than 2^52 ticks")]
    let ticks = ticks as f64;
    ticks / f64::from(params.timescale())
}

/// A frame that was stretched over missing ones can make a part too long. It is listed as long as a part may be
/// (§4.4.3.7); the length of the segment stays the true one.
fn write_parts(segment: &Segment, part_target: f64, out: &mut String) -> fmt::Result {
    for &Part { msn, index, duration, independent, .. } in &segment.parts {
        let seconds = seconds(duration, &segment.track.params).min(part_target);
        let name = PartName { msn, part: index, seam: segment.discontinuity.then_some(segment.track.run) };
        write!(out, "#EXT-X-PART:DURATION={seconds:.6},URI=\"{name}\"")?;
        out.write_str(if independent { ",INDEPENDENT=YES\n" } else { "\n" })?;
    }
    Ok(())
}

/// `MSN.PART.m4s`; the first of a run in a list that goes on is `MSN.0-RUN.m4s`. See [`Window::seam`].
struct PartName {
    msn: u64,
    part: u32,
    seam: Option<u32>,
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { msn, part, seam } = self;
        match seam.filter(|_| *part == 0) {
            Some(run) => write!(f, "{msn}.{part}-{run}.m4s"),
            None => write!(f, "{msn}.{part}.m4s"),
        }
    }
}

/// What a playlist says of a complete segment.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) msn: u64,
    /// The run, where the name tells it.
    run: Option<u32>,
    seconds: f64,
    pub(crate) gap: bool,
}

impl Line {
    /// `None` while the segment is open.
    pub(crate) fn of(segment: &Segment) -> Option<Self> {
        let seconds = seconds(segment.duration?, &segment.track.params);
        let run = segment.stored.filter(|s| s.named_by_run).map(|_| segment.track.run);
        Some(Self { msn: segment.msn, run, seconds, gap: segment.is_gap() })
    }

    /// The version of a playlist with these lines: lower where old players may read it, and no gap is in it.
    pub(crate) fn version(mut lines: impl Iterator<Item = Self>) -> u8 {
        if lines.any(|line| line.gap) { 8 } else { 6 }
    }

    pub(crate) fn write(&self, extension: &str, out: &mut String) -> fmt::Result {
        if self.gap {
            out.write_str("#EXT-X-GAP\n")?;
        }
        write!(out, "#EXTINF:{:.6},\n{}", self.seconds, self.msn)?;
        if let Some(run) = self.run {
            write!(out, "-{run}")?;
        }
        writeln!(out, ".{extension}")
    }
}

pub(crate) fn write_date(unix_ms: i64, out: &mut String) -> fmt::Result {
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", Rfc3339(unix_ms))
}
