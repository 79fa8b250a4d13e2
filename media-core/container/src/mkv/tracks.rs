//! The element Tracks: what there is, and what of it can be played.
//!
//! Spec: RFC 9559 §5.1.4, "Matroska Codec Specifications".

use bytes::Bytes;
use nx_media::Language;

use super::codecs::{self, Need};
use super::ebml::{children, float, text, uint};
use crate::index::TRACKS_MAX;

const TRACK_ENTRY: u32 = 0xae;
const VIDEO: u64 = 1;
const AUDIO: u64 = 2;

/// A track that is read.
#[derive(Debug)]
pub(super) struct Entry {
    /// As blocks have it.
    pub(super) number: u64,
    /// What the codec tells, or what has to be asked of the first frame.
    pub(super) need: Need,
    pub(super) language: Option<Language>,
    /// Nanoseconds of a frame.
    pub(super) default_ns: Option<u64>,
    /// To be taken off each time, nanoseconds.
    pub(super) delay_ns: u64,
    /// In front of each frame, left out of the file.
    pub(super) stripped: Bytes,
}

/// What a `TrackEntry` says.
#[derive(Debug, Default)]
struct Raw<'a> {
    number: u64,
    kind: u64,
    codec: String,
    private: &'a [u8],
    language: Option<String>,
    bcp47: Option<String>,
    default_ns: Option<u64>,
    delay_ns: u64,
    scaled: bool,
    picture: codecs::Picture,
    encodings: &'a [u8],
}

/// The tracks that can be read; what cannot is added to `left_out` in words.
pub(super) fn parse(content: &[u8], left_out: &mut Vec<String>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let all = children(content).filter(|(id, _)| *id == TRACK_ENTRY);
    for (nth, (_, content)) in all.enumerate() {
        if nth >= TRACKS_MAX {
            left_out.push(format!("tracks beyond the first {TRACKS_MAX}"));
            break;
        }
        let raw = raw(content);
        match entry(&raw) {
            Ok(entry) if entries.iter().all(|e| e.number != entry.number) => entries.push(entry),
            Ok(_) => left_out.push(format!("track {}: another has the same number", raw.number)),
            Err(why) => left_out.push(format!("track {}: {why}", raw.number)),
        }
    }
    entries
}

fn raw(content: &[u8]) -> Raw<'_> {
    let mut raw = Raw::default();
    for (id, content) in children(content) {
        match id {
            0xd7 => raw.number = uint(content),
            0x83 => raw.kind = uint(content),
            0x86 => raw.codec = text(content),
            0x63a2 => raw.private = content,
            0x22_b59c => raw.language = Some(text(content)),
            0x22_b59d => raw.bcp47 = Some(text(content)),
            0x23_e383 => raw.default_ns = Some(uint(content)).filter(|ns| (1..1 << 40).contains(ns)),
            0x56aa => raw.delay_ns = uint(content).min(1 << 40),
            0x23_314f => raw.scaled = (float(content) - 1.0).abs() > f64::EPSILON,
            0xe0 => raw.picture = picture(content),
            0x6d80 => raw.encodings = content,
            _ => {}
        }
    }
    raw
}

fn entry(raw: &Raw<'_>) -> Result<Entry, String> {
    let codec = &raw.codec;
    match raw.kind {
        VIDEO | AUDIO => {}
        0x11 => return Err(format!("subtitles ({codec})")),
        kind => return Err(format!("{codec} of track type {kind}")),
    }
    if raw.scaled {
        return Err(format!("{codec} with a time scale of its own"));
    }
    let stripped = encodings(raw.encodings).map_err(|why| format!("{codec} {why}"))?;
    let private = Bytes::copy_from_slice(raw.private);
    let need = codecs::need(codec, raw.kind == VIDEO, private, raw.picture)?;
    // Without an element of it the language is English (RFC 9559 §5.1.4.1.19).
    let old = || Language::from_tag(raw.language.as_deref().unwrap_or("eng"));
    let language = raw.bcp47.as_deref().map_or_else(old, Language::from_tag);
    let Raw { number, default_ns, delay_ns, .. } = *raw;
    Ok(Entry { number, need, language, default_ns, delay_ns, stripped })
}

/// Spec: RFC 9559 §5.1.4.1.28.
fn picture(video: &[u8]) -> codecs::Picture {
    let mut picture = codecs::Picture::default();
    for (id, content) in children(video) {
        match id {
            0xb0 => picture.size.0 = u32::try_from(uint(content)).unwrap_or(0),
            0xba => picture.size.1 = u32::try_from(uint(content)).unwrap_or(0),
            0x55b0 => colour(content, &mut picture),
            _ => {}
        }
    }
    picture
}

/// Spec: RFC 9559 §5.1.4.1.28.16.
fn colour(content: &[u8], picture: &mut codecs::Picture) {
    for (id, content) in children(content) {
        let number = u8::try_from(uint(content)).unwrap_or(2);
        match id {
            0x55b1 => picture.matrix = number,
            0x55ba => picture.transfer = number,
            0x55bb => picture.primaries = number,
            _ => {}
        }
    }
}

/// Bytes that are stripped off each frame; every other encoding is refused.
///
/// Spec: RFC 9559 §5.1.4.1.31.
fn encodings(content: &[u8]) -> Result<Bytes, &'static str> {
    let mut stripped = Bytes::new();
    for (nth, (_, encoding)) in children(content).filter(|(id, _)| *id == 0x6240).enumerate() {
        let (mut scope, mut kind, mut algorithm, mut settings) = (1, 0, 0, &[][..]);
        for (id, content) in children(encoding) {
            match id {
                0x5032 => scope = uint(content),
                0x5033 => kind = uint(content),
                0x5034 => {
                    for (id, content) in children(content) {
                        match id {
                            0x4254 => algorithm = uint(content),
                            0x4255 => settings = content,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        match (nth, kind, algorithm, scope) {
            (_, 1, ..) => return Err("that is encrypted"),
            (0, 0, 3, 1) if settings.len() <= 64 => stripped = Bytes::copy_from_slice(settings),
            _ => return Err("that is compressed; write it again without compression"),
        }
    }
    Ok(stripped)
}
