//! Date ranges: what is announced about stretches of the stream, such as advertising breaks.
//!
//! Spec: RFC 8216bis §4.4.5.1, with the mapping of SCTE 35; appendix D (interstitials).

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::date::Rfc3339;
use crate::window::Window;

/// Ranges that a window keeps; the oldest goes first.
pub const RANGES_MAX: usize = 16;
/// Ids of ranges remembered that left before they were over; the oldest goes first.
const GONE_MAX: usize = 64;

/// A cue: something begins or ends at a time of the stream.
///
/// The end of a break is a cue of its own, with the `id` of its beginning and `scte35_in`, or with `ends`. Another cue
/// with the same `id` may only add what was not said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DateRange {
    /// The same in every cue about one range; quotes and control characters are left out of playlists.
    pub id: String,
    /// What kind of range: what its `X-` attributes mean.
    pub class: Option<String>,
    /// When, in presentation time of the run that goes on, microseconds.
    pub pts_us: i64,
    /// How long it is, microseconds.
    pub duration_us: Option<u64>,
    /// How long it is meant to last, microseconds.
    pub planned_duration_us: Option<u64>,
    /// It lasts until the next range of its class begins.
    pub end_on_next: bool,
    /// The range ends here.
    pub ends: bool,
    /// The programme comes back by itself after the planned duration: a segment begins there.
    pub auto_return: bool,
    /// Value of `CUE`: `PRE`, `POST`, `ONCE`, with commas.
    pub cue: Option<String>,
    /// `splice_info_section` that leaves the programme.
    pub scte35_out: Option<Bytes>,
    /// `splice_info_section` that returns to it.
    pub scte35_in: Option<Bytes>,
    /// Any other `splice_info_section`.
    pub scte35_cmd: Option<Bytes>,
    /// `X-` attributes: name, and value as it stands in the playlist, quoted or not.
    pub attributes: Vec<(String, String)>,
    /// What is played in its place; one goes into the playlist, several into a list of their own.
    pub assets: Vec<Asset>,
}

/// Something that is played in the place of the programme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Absolute URL of a playlist, without quotes and control characters.
    pub uri: String,
    /// Milliseconds.
    pub duration_ms: u64,
}

impl DateRange {
    /// Players may be sent elsewhere here, so a segment should begin.
    pub(crate) fn is_splice(&self) -> bool {
        self.scte35_out.is_some() || self.scte35_in.is_some() || self.ends || !self.assets.is_empty()
    }

    /// When it returns by itself, microseconds.
    pub(crate) fn return_us(&self) -> Option<i64> {
        let length = self.planned_duration_us.or(self.duration_us).filter(|_| self.auto_return)?;
        Some(self.pts_us.saturating_add_unsigned(length))
    }

    /// The section that it came with.
    pub(crate) fn section(&self) -> Option<&Bytes> {
        self.scte35_out.as_ref().or(self.scte35_in.as_ref()).or(self.scte35_cmd.as_ref())
    }

    /// Takes over what this one has not said yet.
    fn add(&mut self, more: &Self) {
        fn fill<T: Clone>(mine: &mut Option<T>, more: Option<&T>) {
            if mine.is_none() {
                *mine = more.cloned();
            }
        }
        fill(&mut self.class, more.class.as_ref());
        fill(&mut self.duration_us, more.duration_us.as_ref());
        fill(&mut self.planned_duration_us, more.planned_duration_us.as_ref());
        fill(&mut self.cue, more.cue.as_ref());
        fill(&mut self.scte35_out, more.scte35_out.as_ref());
        fill(&mut self.scte35_cmd, more.scte35_cmd.as_ref());
        for (name, value) in &more.attributes {
            if self.attributes.iter().all(|(n, _)| n != name) {
                self.attributes.push((name.clone(), value.clone()));
            }
        }
        if self.assets.is_empty() {
            self.assets.clone_from(&more.assets);
        }
    }
}

/// A range on the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// What was said.
    pub range: DateRange,
    /// Unix time at which it begins, milliseconds.
    pub start_ms: i64,
    /// Segment that was open when the latest of it was told.
    told: u64,
    /// Where it ended, when a second cue told, and the section that came with it; Unix time in milliseconds.
    pub ended: Option<(i64, Option<Bytes>)>,
    /// A segment has begun with it.
    begun: bool,
}

impl Announced {
    /// Unix time in milliseconds at which it is over; one without a length lasts until its end is told.
    #[must_use]
    pub fn end_ms(&self) -> i64 {
        let length = self.range.duration_us.or(self.range.planned_duration_us);
        let length = length.and_then(|us| i64::try_from(us / 1000).ok());
        match (&self.ended, length) {
            (Some((at, _)), _) => *at,
            // Whatever was planned.
            (None, _) if self.range.end_on_next => i64::MAX,
            (None, Some(ms)) => self.start_ms.saturating_add(ms),
            (None, None) if self.range.scte35_out.is_some() => i64::MAX,
            (None, None) => self.start_ms,
        }
    }
}

/// The ranges of a window, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct DateRanges {
    kept: VecDeque<Announced>,
    /// Ids of the newest that had to go before they were over, and the segment that was open then.
    gone: VecDeque<(String, u64)>,
}

impl DateRanges {
    /// Takes a cue of a run whose presentation time 0 is at `wall_at_zero_ms`, told while segment `msn` was open.
    pub(crate) fn add(&mut self, cue: DateRange, wall_at_zero_ms: i64, msn: u64) {
        let at_ms = wall_at_zero_ms.saturating_add(cue.pts_us.div_euclid(1000));
        if let Some(known) = self.kept.iter_mut().find(|k| k.range.id == cue.id) {
            // What was said about a range must not change; its end may be added.
            known.told = msn;
            let ends = cue.ends || (cue.scte35_in.is_some() && known.range.scte35_in.is_none());
            if ends && known.ended.is_none() {
                known.ended = Some((at_ms.max(known.start_ms), cue.scte35_in));
            } else {
                known.range.add(&cue);
            }
            return;
        }
        if cue.ends {
            return;
        }
        for open in self.kept.iter_mut().filter(|k| k.range.end_on_next && k.range.class == cue.class) {
            if open.ended.is_none() && open.start_ms < at_ms {
                open.ended = Some((at_ms, None));
                open.told = msn;
            }
        }
        if self.kept.len() >= RANGES_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.forget(oldest.range.id, msn);
        }
        self.gone.retain(|(id, _)| *id != cue.id);
        self.kept.push_back(Announced { range: cue, start_ms: at_ms, told: msn, ended: None, begun: false });
    }

    fn forget(&mut self, id: String, msn: u64) {
        self.gone.push_back((id, msn));
        self.gone.drain(..self.gone.len().saturating_sub(GONE_MAX));
    }

    /// Takes one back that has not begun, while segment `msn` is open.
    pub(crate) fn withdraw(&mut self, id: &str, msn: u64) {
        let known = self.kept.iter().position(|k| !k.begun && k.range.id == id);
        if let Some(withdrawn) = known.and_then(|at| self.kept.remove(at)) {
            self.forget(withdrawn.range.id, msn);
        }
    }

    /// Ids of ranges that a playlist which begins at `from_ms` has no more, and had when segment `since` was open.
    pub(crate) fn removed(&self, from_ms: i64, since: u64) -> impl Iterator<Item = String> {
        let over = self.kept.iter().filter(move |k| k.end_ms() < from_ms).map(|k| &k.range.id);
        let gone = self.gone.iter().filter(move |(_, msn)| *msn >= since).map(|(id, _)| id);
        over.chain(gone).map(|id| clean(id))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Announced> {
        self.kept.iter()
    }

    fn of(&self, id: &str) -> Option<&Announced> {
        self.kept.iter().find(|k| k.range.id == id)
    }

    /// When the break is over; `None` for one that is not known any more.
    pub(crate) fn break_end_ms(&self, id: &str) -> Option<i64> {
        self.of(id).map(Announced::end_ms)
    }

    /// Length of a break, as planned.
    pub(crate) fn planned_ms(&self, id: &str) -> Option<u64> {
        let range = &self.of(id)?.range;
        range.planned_duration_us.or(range.duration_us).map(|us| us / 1000)
    }

    /// The break that a segment begins which begins at that time, if there is one.
    pub(crate) fn begin_break(&mut self, at_ms: i64) -> Option<String> {
        let due = |k: &&mut Announced| !k.begun && k.range.scte35_out.is_some() && k.start_ms <= at_ms;
        let mut id = None;
        for announced in self.kept.iter_mut().filter(due) {
            announced.begun = true;
            if announced.end_ms() > at_ms {
                id = Some(announced.range.id.clone());
            }
        }
        id
    }

    /// Writes the ranges that are not over at `from_ms` (Unix time), where the first listed segment begins, and of
    /// which something was told when segment `since` was open, or later.
    pub(crate) fn write(&self, from_ms: i64, since: u64, out: &mut String) -> fmt::Result {
        for announced in self.kept.iter().filter(|k| k.end_ms() >= from_ms && k.told >= since) {
            let cue = &announced.range;
            write_head(cue, announced.start_ms, out)?;
            write_seconds("DURATION", cue.duration_us.filter(|_| !cue.end_on_next), out)?;
            write_seconds("PLANNED-DURATION", cue.planned_duration_us, out)?;
            if let Some(values) = &cue.cue {
                write!(out, ",CUE=\"{values}\"")?;
            }
            write_assets(cue, out)?;
            cue.attributes.iter().try_for_each(|(name, value)| write!(out, ",{name}={value}"))?;
            write_section("CMD", cue.scte35_cmd.as_ref(), out)?;
            write_section("OUT", cue.scte35_out.as_ref(), out)?;
            write_section("IN", cue.scte35_in.as_ref(), out)?;
            // An attribute that excludes the length stands last, and never beside one.
            if cue.end_on_next {
                out.write_str(",END-ON-NEXT=YES")?;
            }
            out.write_char('\n')?;
            // A length that was told stays.
            let told = cue.end_on_next || cue.duration_us.is_some();
            if let Some((at_ms, section)) = announced.ended.as_ref().filter(|(_, s)| !told || s.is_some()) {
                let us = u64::try_from(at_ms - announced.start_ms).unwrap_or(0).saturating_mul(1000);
                write_head(cue, announced.start_ms, out)?;
                write_seconds("DURATION", Some(us).filter(|_| !told), out)?;
                write_section("IN", section.as_ref(), out)?;
                out.write_char('\n')?;
            }
        }
        Ok(())
    }
}

impl Window {
    /// Everything that is announced, oldest first; some of it may be over.
    pub fn date_ranges(&self) -> impl Iterator<Item = &Announced> {
        self.dates.all()
    }

    /// What is played during a range, as the JSON document that `X-ASSET-LIST` names (appendix D.3).
    #[must_use]
    pub fn asset_list(&self, id: &str) -> Option<String> {
        let assets = &self.dates.of(id)?.range.assets;
        let asset = |a: &Asset| {
            let seconds = format!("{}.{:03}", a.duration_ms / 1000, a.duration_ms % 1000);
            format!("{{\"URI\":\"{}\",\"DURATION\":{seconds}}}", clean(&a.uri).replace('\\', "%5C"))
        };
        let assets: Vec<String> = assets.iter().map(asset).collect();
        (!assets.is_empty()).then(|| format!("{{\"ASSETS\":[{}]}}\n", assets.join(",")))
    }
}

/// Text that may stand between quotes.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && *c != '"').collect()
}

fn write_head(cue: &DateRange, start_ms: i64, out: &mut String) -> fmt::Result {
    write!(out, "#EXT-X-DATERANGE:ID=\"{}\"", clean(&cue.id))?;
    if let Some(class) = &cue.class {
        write!(out, ",CLASS=\"{}\"", clean(class))?;
    }
    write!(out, ",START-DATE=\"{}\"", Rfc3339(start_ms))
}

fn write_seconds(name: &str, us: Option<u64>, out: &mut String) -> fmt::Result {
    us.map_or(Ok(()), |us| write!(out, ",{name}={}.{:03}", us / 1_000_000, us / 1000 % 1000))
}

/// Playlists are one folder below the stream.
fn write_assets(cue: &DateRange, out: &mut String) -> fmt::Result {
    match cue.assets.as_slice() {
        [] => Ok(()),
        [only] => write!(out, ",X-ASSET-URI=\"{}\"", clean(&only.uri)),
        _ => write!(out, ",X-ASSET-LIST=\"../breaks/{}.json\"", clean(&cue.id)),
    }
}

fn write_section(which: &str, section: Option<&Bytes>, out: &mut String) -> fmt::Result {
    let Some(section) = section else { return Ok(()) };
    write!(out, ",SCTE35-{which}=0x")?;
    section.iter().try_for_each(|byte| write!(out, "{byte:02X}"))
}
