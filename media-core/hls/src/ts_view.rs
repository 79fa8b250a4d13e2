//! The stream as MPEG-TS players see it: one picture and one sound in one media playlist.
//!
//! A segment has the same bytes whoever makes it and when: it shows the tracks that its run shows, under the name that it
//! has in every list. What is encrypted stays so, in a way of MPEG-TS ([`TsCipher`]).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use nx_crypt::{Protection, TsCipher};
use nx_media::{AudioCodec, Kind, Params, VideoCodec};
use serde::{Deserialize, Serialize};

use crate::breaks::Mark;
use crate::event::Run;
use crate::key_tags;
use crate::playlist::{Line, write_date};
use crate::rendition::{Rendition, Segment};
use crate::window::{Lookup, Window};

/// No MPEG-TS can be made of the stream: it may not be, or a kind of track is there only in codecs that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{codec} cannot be carried in MPEG-TS")]
pub struct NotInTs {
    /// Codec of the first track of the kind, as people write it.
    pub codec: &'static str,
}

/// A segment as the TS view lists it. It stays so, whichever tracks come and go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TsSegment {
    line: Line,
    date_ms: i64,
    /// Discontinuities of the stream before it.
    seams: u64,
    independent: bool,
    mark: Mark,
    key: Option<Arc<Protection>>,
}

impl TsSegment {
    /// `None` while it is open.
    fn of(segment: &Segment, seams: u64) -> Option<Self> {
        Some(Self {
            line: Line::of(segment)?,
            date_ms: segment.program_date_time_ms,
            seams,
            independent: segment.starts_independent(),
            mark: segment.mark,
            key: segment.track.key.as_ref().map(|key| key.told.clone()),
        })
    }
}

impl Run {
    /// Indices of the tracks that MPEG-TS shows of it: the first picture and the first sound that fit, the picture first.
    ///
    /// # Errors
    /// [`NotInTs`].
    pub fn ts_tracks(&self) -> Result<Vec<usize>, NotInTs> {
        let cipher = self.keys.first().map(|key| key.told.ts);
        if cipher == Some(TsCipher::Off) {
            return Err(NotInTs { codec: "an encrypted stream" });
        }
        let mut shown = Vec::with_capacity(2);
        for kind in [Kind::Video, Kind::Audio] {
            let mut of_kind: Vec<_> =
                self.tracks.iter().enumerate().filter(|(_, t)| t.id.kind == kind).collect();
            of_kind.sort_by_key(|(_, track)| track.id);
            let fits = of_kind.iter().find(|(_, t)| foreign(&t.params, cipher).is_none());
            let first = of_kind.first().and_then(|(_, t)| foreign(&t.params, cipher));
            match (fits, first) {
                (Some((index, _)), _) => shown.push(*index),
                (None, Some(codec)) => return Err(NotInTs { codec }),
                (None, None) => {}
            }
        }
        Ok(shown)
    }
}

impl Window {
    /// Indices of the tracks that the TS view shows ([`Run::ts_tracks`]). Empty before there are tracks.
    ///
    /// # Errors
    /// [`NotInTs`].
    pub fn ts_tracks(&self) -> Result<Vec<usize>, NotInTs> {
        self.run.as_ref().map_or(Ok(Vec::new()), |run| run.ts_tracks())
    }

    /// Whether there is anything for the TS view to show.
    ///
    /// # Errors
    /// [`NotInTs`] of the newest run; of the past, if no run fits.
    pub fn fits_ts(&self) -> Result<(), NotInTs> {
        let fits = self.past && self.runs.iter().any(|run| run.ts_tracks().is_ok());
        if fits { Ok(()) } else { self.ts_tracks().map(drop) }
    }

    /// Number of the first segment that the TS view cannot show yet: one that is complete in every track.
    #[must_use]
    pub fn ts_next_msn(&self) -> u64 {
        let shown = self.ts_tracks().unwrap_or_default();
        let next = |index: &usize| self.next(*index).map_or(0, |position| position.msn);
        shown.iter().map(next).min().unwrap_or(0)
    }

    /// What a segment of the TS view is made of, one of each track that it shows; `None` when it is not complete yet, or
    /// not all of it is held any more.
    #[must_use]
    pub fn ts_segment(&self, msn: u64) -> Option<Vec<&Segment>> {
        let run = self.runs.iter().rfind(|run| run.first_msn <= msn).filter(|_| msn < self.ts_next_msn())?;
        let mut shares = Vec::with_capacity(2);
        for index in run.ts_tracks().ok()? {
            let name = &run.tracks.get(index)?.name;
            let Some(index) = self.track_index(name) else { continue };
            match self.segment(index, msn) {
                Lookup::Found(segment) => shares.push(segment),
                _ if self.tracks.get(index)?.has_dropped(msn) => return None,
                _ => {}
            }
        }
        (!shares.is_empty()).then_some(shares)
    }

    /// Lists the segments that have become complete in every track shown.
    pub(crate) fn follow_ts(&mut self) {
        let shown = self.ts_tracks().unwrap_or_default();
        let (Some(&lead), Some(run)) = (shown.first(), &self.run) else { return };
        let Some(lead) = self.tracks.get(lead) else { return };
        let fresh = self.ts.back().map_or(0, |s| s.line.msn + 1)..self.ts_next_msn();
        let complete = lead.segments.iter().filter(|s| fresh.contains(&s.msn) && s.track.run == run.number);
        self.ts.extend(complete.filter_map(|segment| TsSegment::of(segment, self.discontinuities)));
        while self.ts.len() > self.listed_max {
            self.ts_left = self.ts.pop_front().map(|s| s.seams);
        }
    }

    /// What a list of the past has: of each run what the first track has that is shown.
    fn past_ts(&self) -> VecDeque<TsSegment> {
        let mut list = VecDeque::new();
        for (seams, run) in (0..).zip(&self.runs) {
            let lead = run.ts_tracks().ok().and_then(|shown| run.tracks.get(*shown.first()?));
            let lead = lead.and_then(|lead| self.tracks.iter().find(|t| t.track.name == lead.name));
            let goes_on = !self.ended && self.run.as_ref().is_some_and(|last| last.number == run.number);
            let next = self.runs.iter().find(|next| next.number > run.number);
            let until =
                if goes_on { self.ts_next_msn() } else { next.map_or(u64::MAX, |next| next.first_msn) };
            let own = lead.into_iter().flat_map(Rendition::listed);
            let unstored = |s: &Segment| s.is_lost() && s.msn >= run.first_msn;
            let own = own.filter(|s| (s.track.run == run.number || unstored(s)) && s.msn < until);
            list.extend(own.filter_map(|segment| TsSegment::of(segment, seams)));
        }
        list
    }

    pub(crate) fn write_ts(&self, out: &mut String) -> fmt::Result {
        self.fits_ts().map_err(|_| fmt::Error)?;
        let past = if self.past { self.past_ts() } else { VecDeque::new() };
        let list = if self.past { &past } else { &self.ts };
        let (first, last) = list.front().zip(list.back()).ok_or(fmt::Error)?;
        let mut seams = self.ts_left.unwrap_or(first.seams);
        let version = Line::version(list.iter().map(|s| s.line));
        // As every list of the past, this one is numbered from its newest segment.
        let number = (last.line.msn + 1).saturating_sub(list.len() as u64);
        let number = if self.past { number } else { first.line.msn };
        self.write_head(number, seams, version, out)?;
        if list.iter().all(|s| s.independent) {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        self.write_start(out)?;
        self.dates.write(first.date_ms, 0, out)?;
        let mut key = (None, None);
        for (number, segment) in (number..).zip(list) {
            if std::mem::replace(&mut seams, segment.seams) != segment.seams {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let told = segment.key.as_deref();
            // Whole segments have their names' numbers for IVs.
            let whole = told.is_some_and(|told| told.ts == TsCipher::Aes128);
            let iv = (whole && number != segment.line.msn).then_some(segment.line.msn);
            if std::mem::replace(&mut key, (told, iv)) != (told, iv) {
                key_tags::write_ts(told, iv, out)?;
            }
            write_date(segment.date_ms, out)?;
            segment.mark.write(out)?;
            segment.line.write("ts", out)?;
        }
        out.push_str(if self.ended { "#EXT-X-ENDLIST\n" } else { "" });
        Ok(())
    }
}

/// The codec's name when MPEG-TS cannot carry it, encrypted so.
fn foreign(params: &Params, cipher: Option<TsCipher>) -> Option<&'static str> {
    let samples = cipher == Some(TsCipher::SampleAes);
    match params {
        Params::Video(v) if samples && v.codec == VideoCodec::Hevc => Some("H.265 with encrypted samples"),
        Params::Audio(a) if samples && a.codec != AudioCodec::Aac => {
            Some("sound other than AAC with encrypted samples")
        }
        Params::Video(v) => match v.codec {
            VideoCodec::Avc | VideoCodec::Hevc => None,
            VideoCodec::Av1 => Some("AV1"),
            VideoCodec::Vp9 => Some("VP9"),
            _ => Some("this video codec"),
        },
        Params::Audio(a) => match a.codec {
            AudioCodec::Aac | AudioCodec::Ac3 | AudioCodec::Eac3 | AudioCodec::Mpa | AudioCodec::Opus => None,
            AudioCodec::Flac => Some("FLAC"),
            _ => Some("this audio codec"),
        },
    }
}
