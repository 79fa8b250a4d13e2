//! Playlists as text.
//!
//! Nothing in them depends on who asks. Spec: RFC 8216bis §4.4.

use std::fmt::{self, Write as _};

use nx_media::Params;

use crate::event::Part;
use crate::window::{Position, Segment, TrackWindow, Window};

/// Which media playlist is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// One track in CMAF, with parts. Index into [`Window::tracks`].
    Track(usize),
    /// Everything in MPEG-TS.
    Ts,
    /// Text. Index into [`Window::text_renditions`].
    Text(usize),
}

impl Window {
    /// A media playlist; `None` before its first part (CMAF) or first whole segment (TS), and when there can be no
    /// TS ([`Window::ts_tracks`]).
    #[must_use]
    pub fn media_playlist(&self, ask: Ask) -> Option<String> {
        let mut out = String::with_capacity(4096);
        match ask {
            Ask::Track(index) => {
                let track = self.tracks.get(index).filter(|t| !t.segments.is_empty())?;
                self.write_track(track, &mut out).ok()?;
            }
            Ask::Ts => self.write_ts(&mut out).ok()?,
            Ask::Text(index) => self.write_text(index, &mut out).ok()?,
        }
        Some(out)
    }

    fn write_track(&self, track: &TrackWindow, out: &mut String) -> fmt::Result {
        let part_target = f64::from(self.part_target_us()) / 1e6;
        // Rounded up, so that no part is longer; three times as hold-back (Apple authoring rules 14.3).
        let part_target = (part_target * 1000.0).ceil() / 1000.0;
        let first = track.listed().next();
        let first_msn = first.map_or(track.next.msn, |s| s.msn);
        self.write_head(first_msn, track.discontinuity_sequence, 9, out)?;
        writeln!(
            out,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={:.3},HOLD-BACK={}\n\
             #EXT-X-PART-INF:PART-TARGET={part_target:.3}",
            part_target * 3.0,
            self.target_s * 3,
        )?;
        if track.listed().all(starts_independent) {
            out.write_str("#EXT-X-INDEPENDENT-SEGMENTS\n")?;
        }
        self.dates.write(first.map_or(i64::MAX, |s| s.program_date_time_ms), out)?;
        // Parts are listed within three target durations of the live edge (§4.4.4.9).
        let newest = track.segments.back().map_or(0, |s| s.msn);
        let mut run = None;
        for segment in track.listed() {
            if segment.discontinuity {
                out.write_str("#EXT-X-DISCONTINUITY\n")?;
            }
            if run.replace(segment.track.run) != Some(segment.track.run) {
                writeln!(out, "#EXT-X-MAP:URI=\"init-{}.mp4\"", segment.track.run)?;
            }
            write_date(segment.program_date_time_ms, out)?;
            segment.mark.write(out)?;
            if segment.msn + 3 >= newest {
                write_parts(segment, part_target, out)?;
            }
            if let Some(line) = Line::of(segment) {
                line.write("m4s", out)?;
            }
        }
        if self.ended {
            return out.write_str("#EXT-X-ENDLIST\n");
        }
        let Position { msn, part } = track.next;
        writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{msn}.{part}.m4s\"")?;
        self.write_reports(track, out)
    }

    fn write_reports(&self, track: &TrackWindow, out: &mut String) -> fmt::Result {
        for other in self.tracks.iter().filter(|t| t.track.name != track.track.name) {
            let Some(last) = other.segments.iter().rev().find(|s| !s.parts.is_empty()) else { continue };
            writeln!(
                out,
                "#EXT-X-RENDITION-REPORT:URI=\"../{}/index.m3u8\",LAST-MSN={},LAST-PART={}",
                other.track.name,
                last.msn,
                last.parts.len() - 1
            )?;
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
        )
    }
}

pub(crate) fn starts_independent(segment: &Segment) -> bool {
    segment.parts.first().is_none_or(|p| p.independent)
}

fn seconds(ticks: u64, params: &Params) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a segment has far fewer than 2^52 ticks")]
    let ticks = ticks as f64;
    ticks / f64::from(params.timescale())
}

/// A frame that was stretched over missing ones can make a part too long. It is listed as long as a part may be
/// (§4.4.3.7); the length of the segment stays the true one.
fn write_parts(segment: &Segment, part_target: f64, out: &mut String) -> fmt::Result {
    for Part { msn, index, duration, independent, .. } in &segment.parts {
        let seconds = seconds(*duration, &segment.track.params).min(part_target);
        write!(out, "#EXT-X-PART:DURATION={seconds:.5},URI=\"{msn}.{index}.m4s\"")?;
        out.write_str(if *independent { ",INDEPENDENT=YES\n" } else { "\n" })?;
    }
    Ok(())
}

/// What a playlist says of a complete segment.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) msn: u64,
    seconds: f64,
    gap: bool,
}

impl Line {
    /// `None` while the segment is open.
    pub(crate) fn of(segment: &Segment) -> Option<Self> {
        let seconds = seconds(segment.duration?, &segment.track.params);
        Some(Self { msn: segment.msn, seconds, gap: segment.is_gap() })
    }

    pub(crate) fn write(&self, extension: &str, out: &mut String) -> fmt::Result {
        if self.gap {
            out.write_str("#EXT-X-GAP\n")?;
        }
        writeln!(out, "#EXTINF:{:.5},\n{}.{extension}", self.seconds, self.msn)
    }
}

pub(crate) fn write_date(unix_ms: i64, out: &mut String) -> fmt::Result {
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", Rfc3339(unix_ms))
}

/// Unix milliseconds as `2026-11-21T04:00:00.000Z`.
pub struct Rfc3339(pub i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        // Civil date of a day number, proleptic Gregorian, with years that begin in March.
        let z = days + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let (s, ms) = (ms / 1000, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", s / 3600, s / 60 % 60, s % 60)
    }
}
