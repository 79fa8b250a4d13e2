//! Playlists as text.
//!
//! Nothing in them depends on who asks. Spec: RFC 8216bis §4.4.

use std::fmt::{self, Write as _};

use nx_media::{Kind, Params};

use crate::event::Part;
use crate::window::{Position, Segment, TrackWindow, Window};

/// Which media playlist is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// One track in CMAF, with parts. Index into [`Window::tracks`].
    Track(usize),
    /// Everything in MPEG-TS.
    Ts,
}

impl Window {
    /// The multivariant playlist; `None` before anything can be played.
    #[must_use]
    pub fn multivariant(&self) -> Option<String> {
        if !self.is_playable() {
            return None;
        }
        let mut out = String::with_capacity(512);
        self.write_multivariant(&mut out).ok()?;
        Some(out)
    }

    /// A media playlist; `None` before its first part (CMAF) or first whole segment (TS).
    #[must_use]
    pub fn media_playlist(&self, ask: Ask) -> Option<String> {
        let mut out = String::with_capacity(4096);
        match ask {
            Ask::Track(index) => {
                let track = self.tracks.get(index).filter(|t| !t.segments.is_empty())?;
                self.write_track(track, &mut out).ok()?;
            }
            Ask::Ts => self.write_ts(&mut out).ok()?,
        }
        Some(out)
    }

    /// Number of segments that the TS view can show: those complete in every track.
    #[must_use]
    pub fn ts_next_msn(&self) -> u64 {
        self.tracks
            .iter()
            .map(|t| t.segments.iter().rfind(|s| s.duration.is_some()).map_or(0, |s| s.msn + 1))
            .min()
            .unwrap_or(0)
    }

    fn write_multivariant(&self, out: &mut String) -> fmt::Result {
        out.write_str("#EXTM3U\n#EXT-X-VERSION:6\n")?;
        let audio: Vec<&TrackWindow> = self.of_kind(Kind::Audio).collect();
        let video: Vec<&TrackWindow> = self.of_kind(Kind::Video).collect();
        let leads = if video.is_empty() { &audio } else { &video };
        let sound = if video.is_empty() { None } else { audio.first() };
        for (nth, track) in audio.iter().enumerate().filter(|_| sound.is_some()) {
            let first = if nth == 0 { "YES" } else { "NO" };
            let name = &track.track.name;
            let channels = if let Params::Audio(a) = &track.track.params { a.channels } else { 0 };
            writeln!(
                out,
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{name}\",LANGUAGE=\"und\",DEFAULT={first},\
                 AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{name}/index.m3u8\""
            )?;
        }
        for track in leads {
            self.write_stream_inf(track, sound.copied(), out)?;
        }
        Ok(())
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &TrackWindow> {
        self.tracks.iter().filter(move |t| t.track.params.kind() == kind)
    }

    fn write_stream_inf(
        &self,
        track: &TrackWindow,
        sound: Option<&TrackWindow>,
        out: &mut String,
    ) -> fmt::Result {
        let sum = |f: fn(&TrackWindow) -> u64| (f(track) + sound.map_or(0, f)).max(1);
        let (peak, mean) = (sum(|t| t.meter.peak_bps()), sum(|t| t.meter.mean_bps()));
        write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={mean}", peak.max(mean))?;
        write!(out, ",CODECS=\"{}", track.track.params.rfc6381())?;
        if let Some(sound) = sound {
            write!(out, ",{}", sound.track.params.rfc6381())?;
        }
        out.write_char('"')?;
        if let Params::Video(v) = &track.track.params {
            write!(out, ",RESOLUTION={}x{}", v.width, v.height)?;
        }
        if let Some(fps) = track.fps() {
            write!(out, ",FRAME-RATE={fps:.3}")?;
        }
        if sound.is_some() {
            out.write_str(",AUDIO=\"audio\"")?;
        }
        writeln!(out, "\n{}/index.m3u8", track.track.name)
    }

    fn write_track(&self, track: &TrackWindow, out: &mut String) -> fmt::Result {
        let part_target = f64::from(self.part_target_us()) / 1e6;
        // Rounded up, so that no part is longer; three times as hold-back (Apple authoring rules 14.3).
        let part_target = (part_target * 1000.0).ceil() / 1000.0;
        self.write_head(track, 9, out)?;
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
            write_date(segment, out)?;
            if segment.msn + 3 >= newest {
                write_parts(segment, out)?;
            }
            write_segment(segment, "m4s", out)?;
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

    fn write_head(&self, track: &TrackWindow, version: u8, out: &mut String) -> fmt::Result {
        let first = track.listed().next().map_or(track.next.msn, |s| s.msn);
        writeln!(
            out,
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}",
            self.target_s, track.discontinuity_sequence,
        )
    }

    fn write_ts(&self, out: &mut String) -> fmt::Result {
        let next = self.ts_next_msn();
        let lead = self.of_kind(Kind::Video).next().or(self.tracks.first()).ok_or(fmt::Error)?;
        let mut listed = lead.listed().filter(|s| s.msn < next).peekable();
        listed.peek().ok_or(fmt::Error)?;
        self.write_head(lead, 6, out)?;
        if lead.listed().all(starts_independent) {
            out.write_str("#EXT-X-INDEPENDENT-SEGMENTS\n")?;
        }
        for segment in listed {
            if segment.discontinuity {
                out.write_str("#EXT-X-DISCONTINUITY\n")?;
            }
            write_date(segment, out)?;
            write_segment(segment, "ts", out)?;
        }
        if self.ended { out.write_str("#EXT-X-ENDLIST\n") } else { Ok(()) }
    }
}

fn starts_independent(segment: &Segment) -> bool {
    segment.parts.first().is_none_or(|p| p.independent)
}

fn seconds(ticks: u64, params: &Params) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a segment has far fewer than 2^52 ticks")]
    let ticks = ticks as f64;
    ticks / f64::from(params.timescale())
}

fn write_parts(segment: &Segment, out: &mut String) -> fmt::Result {
    for Part { msn, index, duration, independent, .. } in &segment.parts {
        let seconds = seconds(*duration, &segment.track.params);
        write!(out, "#EXT-X-PART:DURATION={seconds:.5},URI=\"{msn}.{index}.m4s\"")?;
        out.write_str(if *independent { ",INDEPENDENT=YES\n" } else { "\n" })?;
    }
    Ok(())
}

fn write_segment(segment: &Segment, extension: &str, out: &mut String) -> fmt::Result {
    let Some(duration) = segment.duration else { return Ok(()) };
    if segment.is_gap() {
        out.write_str("#EXT-X-GAP\n")?;
    }
    writeln!(out, "#EXTINF:{:.5},\n{}.{extension}", seconds(duration, &segment.track.params), segment.msn)
}

fn write_date(segment: &Segment, out: &mut String) -> fmt::Result {
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", Rfc3339(segment.program_date_time_ms))
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
