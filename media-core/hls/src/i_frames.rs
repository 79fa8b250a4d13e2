//! I-frame playlists: one picture of each segment, for players that seek and wind.
//!
//! A segment is listed under its own number, as long as it is: to the beginning of the next. One that does not begin
//! with a key frame is a gap, so that numbers, seams and lengths are those of the other renditions and no length
//! exceeds the target duration, which they all share (Apple authoring rules 6.11). Spec: RFC 8216bis §4.4.3.6.

use std::fmt::{self, Write as _};

use nx_media::Kind;

use crate::playlist::{Lead, Line};
use crate::rendition::{Rendition, Segment};
use crate::window::Window;

impl Rendition {
    /// Whether an I-frame playlist has a picture to show.
    pub(crate) fn has_i_frames(&self) -> bool {
        self.listed().any(|s| s.duration.is_some() && s.i_frame_bytes.is_some())
    }
}

impl Window {
    /// Whether a track has key frames to list, or will never have any.
    #[must_use]
    pub fn has_i_frames(&self, track: usize) -> bool {
        self.shown(track).is_none_or(|t| t.track.id.kind != Kind::Video || t.has_i_frames())
    }

    /// Fails for sound, and before the first whole segment.
    pub(crate) fn write_i_frames(&self, track: &Rendition, out: &mut String) -> fmt::Result {
        let first = track.listed().next().filter(|s| s.duration.is_some()).ok_or(fmt::Error)?;
        if track.track.id.kind != Kind::Video {
            return Err(fmt::Error);
        }
        self.write_head(self.first_number(track), track.discontinuity_sequence, 8, out)?;
        self.write_control(out)?;
        out.write_str("#EXT-X-I-FRAMES-ONLY\n")?;
        self.dates.write(first.program_date_time_ms, 0, out)?;
        let mut lead = Lead::default();
        for segment in track.listed() {
            let Some(line) = Line::of(segment) else { break };
            lead.write(segment, out)?;
            write_picture(segment, line, out)?;
        }
        out.write_str(if self.ended { "#EXT-X-ENDLIST\n" } else { "" })
    }
}

/// The header of the fragment comes before its first sample, so that one range covers both (rule 6.10).
fn write_picture(segment: &Segment, mut line: Line, out: &mut String) -> fmt::Result {
    line.gap = segment.i_frame_bytes.is_none();
    if let Some(bytes) = segment.i_frame_bytes {
        writeln!(out, "#EXT-X-BYTERANGE:{bytes}@0")?;
    }
    line.write("m4s", out)
}
