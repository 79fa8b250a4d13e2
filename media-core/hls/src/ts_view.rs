//! The stream as MPEG-TS players see it: one picture and one sound in one media playlist.

use std::fmt;

use nx_media::{AudioCodec, Kind, Params, VideoCodec};
use serde::{Deserialize, Serialize};

use crate::breaks::Mark;
use crate::playlist::{Line, write_date};
use crate::window::Window;

/// No MPEG-TS can be made of the stream: it is encrypted, or a kind of track is there only in codecs that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{codec} cannot be carried in MPEG-TS")]
pub struct NotInTs {
    /// Codec of the first track of the kind, as people write it.
    pub codec: &'static str,
}

/// A segment as the TS view lists it. It stays so, whichever tracks come and go.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TsSegment {
    line: Line,
    date_ms: i64,
    /// Discontinuities of the stream before it.
    seams: u64,
    independent: bool,
    mark: Mark,
}

impl Window {
    /// Indices of the tracks that the TS view shows: the first picture and the first sound that fit, the picture
    /// first. Empty before there are tracks.
    ///
    /// # Errors
    /// [`NotInTs`].
    pub fn ts_tracks(&self) -> Result<Vec<usize>, NotInTs> {
        if self.is_encrypted() {
            return Err(NotInTs { codec: "an encrypted stream" });
        }
        let mut shown = Vec::with_capacity(2);
        for kind in [Kind::Video, Kind::Audio] {
            let of_kind = || self.by_id().filter(|(_, t)| t.track.id.kind == kind);
            match of_kind().find(|(_, t)| foreign(&t.track.params).is_none()) {
                Some((index, _)) => shown.push(index),
                None => match of_kind().find_map(|(_, t)| foreign(&t.track.params)) {
                    Some(codec) => return Err(NotInTs { codec }),
                    None => continue,
                },
            }
        }
        Ok(shown)
    }

    /// Number of the first segment that the TS view cannot show yet: one that is complete in every track.
    #[must_use]
    pub fn ts_next_msn(&self) -> u64 {
        let shown = self.ts_tracks().unwrap_or_default();
        let next = |index: &usize| self.next(*index).map_or(0, |position| position.msn);
        shown.iter().map(next).min().unwrap_or(0)
    }

    /// Lists the segments that have become complete in every track shown.
    pub(crate) fn follow_ts(&mut self) {
        let shown = self.ts_tracks().unwrap_or_default();
        let (Some(&lead), Some(run)) = (shown.first(), &self.run) else { return };
        let Some(lead) = self.tracks.get(lead) else { return };
        let fresh = self.ts.back().map_or(0, |s| s.line.msn + 1)..self.ts_next_msn();
        let complete = lead.segments.iter().filter(|s| fresh.contains(&s.msn) && s.track.run == run.number);
        self.ts.extend(complete.filter_map(|segment| {
            Some(TsSegment {
                line: Line::of(segment)?,
                date_ms: segment.program_date_time_ms,
                seams: self.discontinuities,
                independent: segment.starts_independent(),
                mark: segment.mark,
            })
        }));
        while self.ts.len() > self.listed_max {
            self.ts_left = self.ts.pop_front().map(|s| s.seams);
        }
    }

    pub(crate) fn write_ts(&self, out: &mut String) -> fmt::Result {
        self.ts_tracks().map_err(|_| fmt::Error)?;
        let first = self.ts.front().ok_or(fmt::Error)?;
        let mut seams = self.ts_left.unwrap_or(first.seams);
        let version = Line::version(self.ts.iter().map(|s| s.line));
        self.write_head(first.line.msn, seams, version, out)?;
        if self.ts.iter().all(|s| s.independent) {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        self.dates.write(first.date_ms, 0, out)?;
        for segment in &self.ts {
            if std::mem::replace(&mut seams, segment.seams) != segment.seams {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            write_date(segment.date_ms, out)?;
            segment.mark.write(out)?;
            segment.line.write("ts", out)?;
        }
        out.push_str(if self.ended { "#EXT-X-ENDLIST\n" } else { "" });
        Ok(())
    }
}

/// The codec's name when MPEG-TS cannot carry it.
fn foreign(params: &Params) -> Option<&'static str> {
    match params {
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
