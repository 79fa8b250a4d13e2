//! The multivariant playlist: which renditions there are.
//!
//! What is told of a stream holds for what is listed of it now. Spec: RFC 8216bis §4.4.6.

use std::cmp::Reverse;
use std::fmt::{self, Write as _};

use nx_media::{AudioCodec, AudioParams, Kind, Params, VideoRange};

use crate::key_tags;
use crate::rendition::{Rendition, Segment};
use crate::text;
use crate::window::Window;

/// Sound in one codec, so that a player which lacks a codec still finds variants that it can play.
struct Group<'a> {
    id: String,
    members: Vec<(&'a Rendition, &'a AudioParams)>,
}

/// Where players ask which edge to take: the same on every edge, so that each tells its own address.
pub const STEERING: &str = "/steering.json";
/// The pathway of all that is listed: the edge that it came from. Further ones are clones of it (§7.2).
pub const PATHWAY: &str = ".";

/// What is said of every variant.
struct Said<'a> {
    /// See [`PATHWAY`]; nothing when nobody steers.
    pathway: &'a str,
    /// Dynamic ranges are told.
    ranges: bool,
    /// Attributes of text.
    texts: &'a str,
    /// See [`Window::past`].
    query: &'a str,
}

impl Group<'_> {
    /// The most that any member has of something.
    fn most(&self, of: impl Fn(&Rendition) -> u64) -> u64 {
        self.members.iter().map(|(t, _)| of(t)).max().unwrap_or(0)
    }
}

impl Window {
    /// The multivariant playlist; `None` before anything can be played. Tracks without media are left out.
    #[must_use]
    pub fn multivariant(&self) -> Option<String> {
        self.multivariant_of(false)
    }

    /// The same for players that are steered from one edge to another: they ask at [`STEERING`].
    #[must_use]
    pub fn multivariant_steered(&self) -> Option<String> {
        self.multivariant_of(true)
    }

    fn multivariant_of(&self, steered: bool) -> Option<String> {
        if !self.is_playable() {
            return None;
        }
        let mut out = String::with_capacity(1024);
        self.write_multivariant(steered, &mut out).ok()?;
        Some(out)
    }

    /// Tracks of the run with their indices, lowest id first.
    pub(crate) fn by_id(&self) -> impl Iterator<Item = (usize, &Rendition)> {
        let mut tracks: Vec<_> = self.running().iter().enumerate().collect();
        tracks.sort_by_key(|(_, t)| t.track.id);
        tracks.into_iter()
    }

    fn write_multivariant(&self, steered: bool, out: &mut String) -> fmt::Result {
        // SERVICE is of version 7 (§8).
        let services = self.texts.embedded().iter().any(|e| e.instream_id.starts_with("SERVICE"));
        writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{}", if services { 7 } else { 6 })?;
        if self.running().iter().flat_map(Rendition::listed).all(Segment::starts_independent) {
            out.write_str("#EXT-X-INDEPENDENT-SEGMENTS\n")?;
        }
        let mut pathway = String::new();
        if steered {
            writeln!(out, "#EXT-X-CONTENT-STEERING:SERVER-URI=\"{STEERING}\",PATHWAY-ID=\"{PATHWAY}\"")?;
            pathway = format!(",PATHWAY-ID=\"{PATHWAY}\"");
        }
        // One that is offered has been there before: it is known what it takes.
        let offered = |t: &Rendition| self.is_offered(&t.track.id) && t.meter.peak_bps() > 0;
        let told = |t: &&Rendition| (t.has_media() || offered(t)) && !self.is_hidden(&t.track.id);
        let shown = || self.by_id().map(|(_, t)| t).filter(told);
        let newest = |t: &'_ Rendition| t.segments.back().and_then(|s| s.track.key.clone());
        if let Some(key) = shown().filter_map(newest).max_by_key(|key| key.first_msn) {
            key_tags::write_session(&key.told, out)?;
        }
        let mut video: Vec<&Rendition> = shown().filter(|t| t.track.id.kind == Kind::Video).collect();
        // Players try the first: the publisher's first choice. Then the best first.
        if let Some((_, others)) = video.split_first_mut() {
            others.sort_by_key(|t| Reverse(t.meter.peak_bps()));
        }
        // Told unless there is only the standard one (§4.4.6.2.1).
        let ranges = video.iter().any(|t| range(t) != VideoRange::Sdr);
        let groups = groups(shown());
        let sounds: usize = groups.iter().map(|g| g.members.len()).sum();
        // A lone sound is a variant, not an alternative.
        let choice = !video.is_empty() || sounds > 1;
        for group in groups.iter().filter(|_| choice) {
            write_media(group, &self.query, out)?;
        }
        text::write_media(&self.texts, &self.query, out)?;
        let texts = self.text_attributes(!video.is_empty());
        let said = Said { pathway: &pathway, ranges, texts: &texts, query: &self.query };
        for group in &groups {
            let named = choice.then_some(group.id.as_str());
            for track in &video {
                write_variant(track, Some(group), named, &said, out)?;
            }
            if let (Some((first, _)), true) = (group.members.first(), video.is_empty()) {
                write_variant(first, Some(group), named, &said, out)?;
            }
        }
        for track in video.iter().filter(|_| groups.is_empty()) {
            write_variant(track, None, None, &said, out)?;
        }
        video.iter().filter(|t| t.has_i_frames()).try_for_each(|track| write_i_frames(track, &said, out))
    }

    /// What a variant says of text. Whether a picture carries captions is known only when they come.
    fn text_attributes(&self, pictures: bool) -> String {
        let subtitles = if self.texts.renditions().next().is_some() { ",SUBTITLES=\"subs\"" } else { "" };
        let captions = match (pictures, self.texts.embedded().is_empty()) {
            (false, _) => "",
            (true, true) => ",CLOSED-CAPTIONS=NONE",
            (true, false) => ",CLOSED-CAPTIONS=\"cc\"",
        };
        format!("{subtitles}{captions}")
    }
}

fn groups<'a>(tracks: impl Iterator<Item = &'a Rendition>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for track in tracks {
        let Params::Audio(params) = &track.track.params else { continue };
        let id = format!("audio-{}", slug(params.codec));
        match groups.iter_mut().find(|g| g.id == id) {
            Some(group) => group.members.push((track, params)),
            None => groups.push(Group { id, members: vec![(track, params)] }),
        }
    }
    if let [only] = groups.as_mut_slice() {
        "audio".clone_into(&mut only.id);
    }
    groups
}

fn slug(codec: AudioCodec) -> &'static str {
    match codec {
        AudioCodec::Aac => "aac",
        AudioCodec::Opus => "opus",
        AudioCodec::Flac => "flac",
        AudioCodec::Ac3 => "ac3",
        AudioCodec::Eac3 => "eac3",
        AudioCodec::Mpa => "mpa",
        _ => "other",
    }
}

fn write_media(group: &Group<'_>, query: &str, out: &mut String) -> fmt::Result {
    for (nth, (track, params)) in group.members.iter().enumerate() {
        let name = &track.track.name;
        let language = params.language.as_ref();
        let before = group.members.iter().take(nth).filter(|(_, p)| p.language == params.language).count();
        write!(out, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"", group.id)?;
        out.write_str(language.map_or(name, |l| l.name()))?;
        // Names are unique within a group; a track's own is anyway.
        if before > 0 && language.is_some() {
            write!(out, " {}", before + 1)?;
        }
        out.write_char('"')?;
        // Apple authoring rules 8.10: every rendition of sound has one.
        write!(out, ",LANGUAGE=\"{}\"", language.map_or("und", |l| l.tag()))?;
        let yes = |yes: bool| if yes { "YES" } else { "NO" };
        writeln!(
            out,
            ",DEFAULT={},AUTOSELECT={},CHANNELS=\"{}\",URI=\"{name}/index.m3u8{query}\"",
            yes(nth == 0),
            // Of those in one language, a player can only choose one by itself.
            yes(before == 0),
            params.channels,
        )?;
    }
    Ok(())
}

/// A picture with a group of sounds; or, without pictures, a group with its first member as the variant.
fn write_variant(
    track: &Rendition,
    group: Option<&Group<'_>>,
    named: Option<&str>,
    said: &Said<'_>,
    out: &mut String,
) -> fmt::Result {
    let own = |rate: u64| if track.track.id.kind == Kind::Video { rate } else { 0 };
    let sum = |of: fn(&Rendition) -> u64| (own(of(track)) + group.map_or(0, |g| g.most(of))).max(1);
    let (peak, mean) = (sum(|t| t.meter.peak_bps()), sum(|t| t.meter.mean_bps()));
    write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={mean}", peak.max(mean))?;
    // Every codec that a player may meet in this variant (§4.4.6.2.1).
    let mut codecs = vec![track.track.params.rfc6381()];
    for (_, params) in group.iter().flat_map(|g| &g.members) {
        if !codecs.contains(&params.rfc6381.as_str()) {
            codecs.push(&params.rfc6381);
        }
    }
    write!(out, ",CODECS=\"{}\"", codecs.join(","))?;
    write_picture(track, said.ranges, out)?;
    if let Some(fps) = track.fps() {
        write!(out, ",FRAME-RATE={fps:.3}")?;
    }
    if let Some(named) = named {
        write!(out, ",AUDIO=\"{named}\"")?;
    }
    writeln!(out, "{}{}\n{}/index.m3u8{}", said.texts, said.pathway, track.track.name, said.query)
}

fn range(track: &Rendition) -> VideoRange {
    match &track.track.params {
        Params::Video(v) => v.range,
        Params::Audio(_) => VideoRange::Sdr,
    }
}

/// What tells pictures apart.
fn write_picture(track: &Rendition, ranges: bool, out: &mut String) -> fmt::Result {
    let Params::Video(v) = &track.track.params else { return Ok(()) };
    write!(out, ",RESOLUTION={}x{}", v.width, v.height)?;
    match v.range {
        _ if !ranges => Ok(()),
        VideoRange::Sdr => out.write_str(",VIDEO-RANGE=SDR"),
        VideoRange::Hlg => out.write_str(",VIDEO-RANGE=HLG"),
        VideoRange::Pq => out.write_str(",VIDEO-RANGE=PQ"),
    }
}

fn write_i_frames(track: &Rendition, said: &Said<'_>, out: &mut String) -> fmt::Result {
    let (peak, mean) = (track.i_frames.peak_bps(), track.i_frames.mean_bps().max(1));
    let codec = track.track.params.rfc6381();
    let head = format_args!("BANDWIDTH={},AVERAGE-BANDWIDTH={mean},CODECS=\"{codec}\"", peak.max(mean));
    write!(out, "#EXT-X-I-FRAME-STREAM-INF:{head}")?;
    write_picture(track, said.ranges, out)?;
    writeln!(out, "{},URI=\"{}/iframes.m3u8{}\"", said.pathway, track.track.name, said.query)
}
