//! Text beside the media: which captions the picture carries, and subtitles as WebVTT in segments of their own.
//!
//! A rendition's segments are those of the leading track: same numbers, dates and lengths. The text of a segment is
//! written when the leader's segment ends, and stays as it is: who comes later than that begins with the next.
//!
//! Spec: RFC 8216bis §3.1.4, §4.4.6.1; WebVTT.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use bytes::Bytes;
use nx_media::rescale;
use serde::{Deserialize, Serialize};

use crate::event::Run;
use crate::playlist::{Line, write_date};
use crate::rendition::Segment;
use crate::window::{Lookup, Window};

/// Text renditions of a stream; further ones are not shown.
pub const RENDITIONS_MAX: usize = 16;
/// Cues that a rendition keeps for segments to come; the oldest goes first.
const CUES_MAX: usize = 128;
/// Bytes of a cue's text; what is longer is not shown.
pub const TEXT_BYTES_MAX: usize = 2048;

/// All that there is of text in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Captions {
    /// What the picture carries.
    pub embedded: Vec<Embedded>,
    /// Renditions; each keeps its place for as long as the stream lasts, `s1` is the first.
    pub renditions: Vec<TextRendition>,
}

/// Captions inside the picture (CEA-608, CEA-708).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedded {
    /// `CC1` to `CC4`, `SERVICE1` to `SERVICE63`.
    pub instream_id: String,
    /// BCP 47.
    pub language: String,
    /// For people.
    pub name: String,
}

/// Subtitles or captions beside the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextRendition {
    /// BCP 47.
    pub language: String,
    /// For people.
    pub name: String,
    /// They tell sounds as well, for those who do not hear.
    pub captions: bool,
    /// Only what must be read by everybody.
    pub forced: bool,
    /// Shown without being asked for.
    pub default: bool,
}

/// Text that is shown for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextCue {
    /// When, in presentation time of the run that goes on, microseconds.
    pub start_us: i64,
    /// How long; `None`: until the next cue of the rendition, which may be an empty one. Microseconds.
    pub duration_us: Option<u64>,
    /// WebVTT cue text ([`escape`] what is not); lines without anything are left out. Empty: only ends the cue before.
    pub text: String,
    /// WebVTT cue settings, such as `line:90%`; empty for the player's own.
    pub settings: String,
}

/// Plain text as WebVTT cue text.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => {}
            _ => out.push(letter),
        }
    }
    out
}

/// A cue with its place; `end_us` is `None` while nobody knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    /// As it was told; it is shown from `start_us` on.
    told_us: i64,
    start_us: i64,
    end_us: Option<i64>,
    text: String,
    settings: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rendition {
    about: TextRendition,
    cues: VecDeque<Held>,
    /// Written segments, by number.
    segments: VecDeque<(u64, Bytes)>,
}

impl Rendition {
    fn new(about: TextRendition) -> Self {
        Self { about, cues: VecDeque::new(), segments: VecDeque::new() }
    }

    fn add(&mut self, cue: TextCue, reached_us: i64) {
        let start_us = cue.start_us.max(reached_us);
        for open in self.cues.iter_mut().filter(|c| c.end_us.is_none() && c.told_us < cue.start_us) {
            open.end_us = Some(start_us);
        }
        // Those told for the same time are boxes of one screen.
        self.cues.retain(|c| c.end_us.is_none_or(|end| end > c.start_us));
        let text: Vec<&str> =
            cue.text.lines().filter(|l| !l.trim().is_empty() && !l.contains("-->")).collect();
        if text.is_empty() || cue.text.len() > TEXT_BYTES_MAX {
            return;
        }
        if self.cues.len() >= CUES_MAX {
            self.cues.pop_front();
        }
        let end_us = cue.duration_us.map(|d| start_us.saturating_add_unsigned(d));
        let settings = cue.settings.replace(char::is_control, "");
        self.cues.push_back(Held {
            told_us: cue.start_us,
            start_us,
            end_us,
            text: text.join("\n"),
            settings,
        });
    }

    /// Writes the segment of that stretch, and forgets what is over with it.
    fn write(&mut self, msn: u64, from_us: i64, to_us: i64) {
        let mut out = head(from_us);
        for cue in self.cues.iter().filter(|c| c.start_us < to_us && c.end_us.is_none_or(|end| end > from_us))
        {
            let end = VttTime(cue.end_us.unwrap_or(to_us));
            let space = if cue.settings.is_empty() { "" } else { " " };
            let (start, settings, text) = (VttTime(cue.start_us), &cue.settings, &cue.text);
            let _ = write!(out, "{start} --> {end}{space}{settings}\n{text}\n\n");
        }
        self.segments.push_back((msn, Bytes::from(out)));
        for open in self.cues.iter_mut().filter(|c| c.end_us.is_none()) {
            open.start_us = open.start_us.max(to_us);
        }
        self.cues.retain(|c| c.end_us.is_none_or(|end| end > to_us));
    }
}

/// State of a window's text.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Texts {
    embedded: Vec<Embedded>,
    renditions: Vec<Rendition>,
    /// Segments are written up to here, in presentation time of the run.
    reached_us: Option<i64>,
}

impl Texts {
    /// Takes what there is now.
    pub(crate) fn declare(&mut self, captions: Captions) {
        self.embedded = captions.embedded;
        for (nth, about) in captions.renditions.into_iter().take(RENDITIONS_MAX).enumerate() {
            match self.renditions.get_mut(nth) {
                Some(known) => known.about = about,
                None => self.renditions.push(Rendition::new(about)),
            }
        }
    }

    pub(crate) fn add(&mut self, rendition: usize, cue: TextCue) {
        let reached_us = self.reached_us.unwrap_or(i64::MIN);
        if let Some(rendition) = self.renditions.get_mut(rendition) {
            rendition.add(cue, reached_us);
        }
    }

    /// Another run: what is shown goes on at the same time of the world.
    pub(crate) fn turn(&mut self, old: Option<&Run>, new: &Run) {
        let Some(old) = old else { return };
        let shift_us = old.wall_at_zero_ms.saturating_sub(new.wall_at_zero_ms).saturating_mul(1000);
        // What lasts until something that may never come ends with its run.
        self.renditions.iter_mut().for_each(|r| r.cues.retain(|c| c.end_us.is_some()));
        for cue in self.renditions.iter_mut().flat_map(|r| &mut r.cues) {
            cue.told_us = cue.told_us.saturating_add(shift_us);
            cue.start_us = cue.start_us.saturating_add(shift_us);
            cue.end_us = cue.end_us.map(|end| end.saturating_add(shift_us));
        }
        self.reached_us = None;
    }

    /// The leader's segment is complete. `oldest` is the first that it still holds.
    pub(crate) fn end_segment(&mut self, segment: &Segment, oldest: u64, wall_at_zero_ms: i64) {
        let (from_us, to_us) = span_us(segment, wall_at_zero_ms);
        for rendition in &mut self.renditions {
            rendition.write(segment.msn, from_us, to_us);
            rendition.segments.retain(|(msn, _)| *msn >= oldest);
        }
        self.reached_us = Some(to_us);
    }

    pub(crate) fn embedded(&self) -> &[Embedded] {
        &self.embedded
    }

    pub(crate) fn renditions(&self) -> impl Iterator<Item = &TextRendition> {
        self.renditions.iter().map(|r| &r.about)
    }
}

/// Where a complete segment begins and ends, in presentation time.
fn span_us(segment: &Segment, wall_at_zero_ms: i64) -> (i64, i64) {
    let us = |ticks: i64| rescale(ticks, segment.track.params.timescale(), 1_000_000);
    let by_date = || segment.program_date_time_ms.saturating_sub(wall_at_zero_ms).saturating_mul(1000);
    let from_us = segment.parts.first().map_or_else(by_date, |p| us(p.pts));
    let ticks = i64::try_from(segment.duration.unwrap_or(0)).unwrap_or(0);
    (from_us, from_us.saturating_add(us(ticks)))
}

/// Everything before the first cue. The map says where the text's clock is on the media's: at the beginning of the
/// segment, in whole milliseconds, so that both are exact.
fn head(from_us: i64) -> String {
    let ms = from_us.div_euclid(1000).max(0);
    let ticks = ms.saturating_mul(90) & ((1 << 33) - 1);
    format!("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{ticks},LOCAL:{}\n\n", VttTime(from_us))
}

/// Microseconds as `00:00:00.000`.
struct VttTime(i64);

impl fmt::Display for VttTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.div_euclid(1000).max(0);
        let s = ms / 1000;
        write!(f, "{:02}:{:02}:{:02}.{:03}", s / 3600, s / 60 % 60, s % 60, ms % 1000)
    }
}

impl Window {
    /// Index of the text rendition that is called so in URLs: `s1`.
    #[must_use]
    pub fn text_index(&self, name: &str) -> Option<usize> {
        text_index(name).filter(|index| *index < self.texts.renditions.len())
    }

    /// All text of a segment of the leader that is over, and what there is of text then: what is to be kept of it. `None`
    /// when there is none.
    #[must_use]
    pub fn text_to_keep(&self, msn: u64) -> Option<(Captions, Vec<Bytes>)> {
        let Texts { embedded, renditions, .. } = &self.texts;
        if embedded.is_empty() && renditions.is_empty() {
            return None;
        }
        let about = renditions.iter().map(|r| r.about.clone()).collect();
        let written = |nth: usize| match self.text_segment(nth, msn) {
            Lookup::Found(bytes) => Some(bytes),
            Lookup::Soon | Lookup::Missing => None,
        };
        let texts = (0..renditions.len()).map(written).collect::<Option<_>>()?;
        Some((Captions { embedded: embedded.clone(), renditions: about }, texts))
    }

    /// The text renditions, `s1` first.
    pub fn text_renditions(&self) -> impl Iterator<Item = &TextRendition> {
        self.texts.renditions()
    }

    /// The track whose segments the text renditions have.
    #[must_use]
    pub fn leader(&self) -> usize {
        self.run.as_ref().map_or(0, |r| r.leader())
    }

    /// A segment of text, WebVTT. One that is older than its rendition is empty.
    #[must_use]
    pub fn text_segment(&self, rendition: usize, msn: u64) -> Lookup<Bytes> {
        let Some(text) = self.texts.renditions.get(rendition) else { return Lookup::Missing };
        let segment = match self.segment(self.leader(), msn) {
            Lookup::Found(segment) => segment,
            Lookup::Soon => return Lookup::Soon,
            Lookup::Missing => return Lookup::Missing,
        };
        let written = text.segments.iter().find(|(m, _)| *m == msn).map(|(_, bytes)| bytes.clone());
        Lookup::Found(written.unwrap_or_else(|| empty_text(span_us(segment, 0).0)))
    }

    /// Whether the playlists of text renditions have a segment to list.
    #[must_use]
    pub fn has_text(&self) -> bool {
        self.listed(self.leader()).any(|s| s.duration.is_some())
    }

    /// The playlist of a text rendition: segments only, text has no parts. Fails before the first.
    pub(crate) fn write_text(&self, rendition: usize, out: &mut String) -> fmt::Result {
        self.texts.renditions.get(rendition).ok_or(fmt::Error)?;
        let track = self.tracks.get(self.leader()).ok_or(fmt::Error)?;
        let listed = || track.listed().filter_map(|s| Some((s, Line::of(s)?)));
        let (first, _) = listed().next().ok_or(fmt::Error)?;
        let version = Line::version(listed().map(|(_, line)| line));
        let number = if self.past { self.first_number(track) } else { first.msn };
        self.write_head(number, track.discontinuity_sequence, version, out)?;
        if self.has_edge() {
            writeln!(out, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK={}", self.target_s * 3)?;
        }
        self.write_start(out)?;
        for (segment, line) in listed() {
            if segment.discontinuity {
                out.write_str("#EXT-X-DISCONTINUITY\n")?;
            }
            write_date(segment.program_date_time_ms, out)?;
            segment.mark.write(out)?;
            line.write("vtt", out)?;
        }
        out.write_str(if self.ended { "#EXT-X-ENDLIST\n" } else { "" })
    }

    /// Writes text for the leader's segment that has just ended.
    pub(crate) fn follow_text(&mut self, track: usize, msn: u64) {
        if track != self.leader() {
            return;
        }
        let wall_at_zero_ms = self.run.as_ref().map_or(0, |r| r.wall_at_zero_ms);
        let Some(leader) = self.tracks.get(track) else { return };
        let oldest = leader.segments.front().map_or(msn, |s| s.msn);
        if let Some(segment) = leader.segment(msn) {
            self.texts.end_segment(segment, oldest, wall_at_zero_ms);
        }
    }
}

/// A segment of text without any, which begins at a presentation time; microseconds.
#[must_use]
pub fn empty_text(from_us: i64) -> Bytes {
    head(from_us).into()
}

/// Index of the text rendition that is called so in URLs, if there can be one: `s1`.
#[must_use]
pub fn text_index(name: &str) -> Option<usize> {
    let index = name.strip_prefix('s')?.parse::<usize>().ok()?.checked_sub(1)?;
    (index < RENDITIONS_MAX && name == text_name(index)).then_some(index)
}

/// Name of a text rendition in URLs.
#[must_use]
pub fn text_name(index: usize) -> String {
    format!("s{}", index + 1)
}

/// Writes the `EXT-X-MEDIA` lines of captions in the picture and of text beside it.
pub(crate) fn write_media(texts: &Texts, query: &str, out: &mut String) -> fmt::Result {
    let clean = |text: &str| text.replace(['"', '\n', '\r'], "");
    let yes = |yes: bool| if yes { "YES" } else { "NO" };
    for (nth, Embedded { instream_id, language, name }) in texts.embedded().iter().enumerate() {
        writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"{}\",LANGUAGE=\"{}\",DEFAULT={},\
             AUTOSELECT=YES,INSTREAM-ID=\"{instream_id}\"",
            clean(name),
            clean(language),
            yes(nth == 0),
        )?;
    }
    let all: Vec<&TextRendition> = texts.renditions().collect();
    for (nth, text) in all.iter().enumerate() {
        // Names are unique within a group.
        let before = all.iter().take(nth).filter(|t| t.name == text.name).count();
        let number = if before > 0 { format!(" {}", before + 1) } else { String::new() };
        let characteristics = if text.captions {
            ",CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound\""
        } else {
            ""
        };
        writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subs\",NAME=\"{}{number}\",LANGUAGE=\"{}\",DEFAULT={},\
             AUTOSELECT=YES,FORCED={}{characteristics},URI=\"{}/index.m3u8{query}\"",
            clean(&text.name),
            clean(&text.language),
            yes(text.default),
            yes(text.forced),
            text_name(nth),
        )?;
    }
    Ok(())
}
