//! Date ranges: what is announced about stretches of the stream, such as advertising breaks.
//!
//! Spec: RFC 8216bis §4.4.5.1, with the mapping of SCTE 35.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use bytes::Bytes;

use crate::playlist::Rfc3339;

/// Ranges that a window keeps; the oldest goes first.
const KEPT_MAX: usize = 16;

/// A cue: something begins or ends at a time of the stream.
///
/// The end of a break is a cue of its own, with the `id` of its beginning and `scte35_in`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DateRange {
    /// The same in every cue about one range; quotes and control characters are left out of playlists.
    pub id: String,
    /// When, in presentation time of the run that goes on, microseconds.
    pub pts_us: i64,
    /// How long it is meant to last, microseconds.
    pub planned_duration_us: Option<u64>,
    /// `splice_info_section` that leaves the programme.
    pub scte35_out: Option<Bytes>,
    /// `splice_info_section` that returns to it.
    pub scte35_in: Option<Bytes>,
    /// Any other `splice_info_section`.
    pub scte35_cmd: Option<Bytes>,
}

impl DateRange {
    /// Players may be sent elsewhere here, so a segment should begin.
    pub(crate) fn is_splice(&self) -> bool {
        self.scte35_out.is_some() || self.scte35_in.is_some()
    }
}

/// A range on the wall clock.
#[derive(Debug)]
struct Kept {
    cue: DateRange,
    start_ms: i64,
    /// Segment that was open when the latest of it was told.
    told: u64,
    /// Where it ended, when a second cue told.
    ended: Option<(i64, Bytes)>,
}

impl Kept {
    /// A beginning without a planned end lasts until its end is told.
    fn end_ms(&self) -> i64 {
        let planned = self.cue.planned_duration_us.and_then(|us| i64::try_from(us / 1000).ok());
        match (&self.ended, planned) {
            (Some((at, _)), _) => *at,
            (None, Some(ms)) => self.start_ms.saturating_add(ms),
            (None, None) if self.cue.scte35_out.is_some() => i64::MAX,
            (None, None) => self.start_ms,
        }
    }
}

/// The ranges of a window, oldest first.
#[derive(Debug, Default)]
pub(crate) struct DateRanges {
    kept: VecDeque<Kept>,
    /// Ids of the newest that had to go before they were over.
    gone: VecDeque<String>,
}

impl DateRanges {
    /// Takes a cue of a run whose presentation time 0 is at `wall_at_zero_ms`, told while segment `msn` was open.
    pub(crate) fn add(&mut self, cue: DateRange, wall_at_zero_ms: i64, msn: u64) {
        let at_ms = wall_at_zero_ms.saturating_add(cue.pts_us.div_euclid(1000));
        if let Some(known) = self.kept.iter_mut().find(|k| k.cue.id == cue.id) {
            // What was said about a range must not change; its end may be added.
            if let (Some(section), None, None) = (cue.scte35_in, &known.cue.scte35_in, &known.ended) {
                known.ended = Some((at_ms.max(known.start_ms), section));
                known.told = msn;
            }
            return;
        }
        if self.kept.len() >= KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.gone.push_back(oldest.cue.id);
            self.gone.drain(..self.gone.len().saturating_sub(KEPT_MAX));
        }
        self.gone.retain(|id| *id != cue.id);
        self.kept.push_back(Kept { cue, start_ms: at_ms, told: msn, ended: None });
    }

    /// Ids of ranges that a playlist which begins at `from_ms` had not long ago and has no more.
    pub(crate) fn removed(&self, from_ms: i64) -> impl Iterator<Item = String> {
        let over = self.kept.iter().filter(move |k| k.end_ms() < from_ms).map(|k| &k.cue.id);
        over.chain(&self.gone).map(|id| printable(id))
    }

    /// Writes the ranges that are not over at `from_ms` (Unix time), where the first listed segment begins, and of
    /// which something was told when segment `since` was open, or later.
    pub(crate) fn write(&self, from_ms: i64, since: u64, out: &mut String) -> fmt::Result {
        for kept in self.kept.iter().filter(|k| k.end_ms() >= from_ms && k.told >= since) {
            let cue = &kept.cue;
            write_head(&cue.id, kept.start_ms, out)?;
            if let Some(us) = cue.planned_duration_us {
                write!(out, ",PLANNED-DURATION={}.{:03}", us / 1_000_000, us / 1000 % 1000)?;
            }
            write_section("CMD", cue.scte35_cmd.as_ref(), out)?;
            write_section("OUT", cue.scte35_out.as_ref(), out)?;
            write_section("IN", cue.scte35_in.as_ref(), out)?;
            out.write_char('\n')?;
            if let Some((at_ms, section)) = &kept.ended {
                let ms = at_ms - kept.start_ms;
                write_head(&cue.id, kept.start_ms, out)?;
                write!(out, ",DURATION={}.{:03}", ms / 1000, ms % 1000)?;
                write_section("IN", Some(section), out)?;
                out.write_char('\n')?;
            }
        }
        Ok(())
    }
}

/// An id as playlists have it.
fn printable(id: &str) -> String {
    id.chars().filter(|c| !c.is_control() && *c != '"').collect()
}

fn write_head(id: &str, start_ms: i64, out: &mut String) -> fmt::Result {
    let id = printable(id);
    write!(out, "#EXT-X-DATERANGE:ID=\"{id}\",START-DATE=\"{}\"", Rfc3339(start_ms))
}

fn write_section(which: &str, section: Option<&Bytes>, out: &mut String) -> fmt::Result {
    let Some(section) = section else { return Ok(()) };
    write!(out, ",SCTE35-{which}=0x")?;
    section.iter().try_for_each(|byte| write!(out, "{byte:02X}"))
}
