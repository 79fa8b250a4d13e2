//! What codec a track has: its sample entry.
//!
//! Spec: ISO/IEC 14496-12 §8.5.2 and §12, 14496-14 §5.6, 14496-15; QuickTime File Format, "Sound Sample Descriptions";
//! the ISO bindings of Opus, FLAC, AV1 and VP9; ETSI TS 102 366 annex F.

use bytes::Bytes;
use nx_codec::{aac, ac3, av1, avc, flac, hevc, mpa, opus, vp9};
use nx_media::{Language, Params, VideoCodec};

use super::bytes::{Cursor, name};
use crate::index::{IndexError, foreign_params};

/// Bytes of a configuration record that are looked at.
const CONFIG_MAX: usize = 64 << 10;
/// `objectTypeIndication` (ISO/IEC 14496-1 table 5).
const OBJECT_AAC: [u8; 4] = [0x40, 0x66, 0x67, 0x68];
const OBJECT_MPA: [u8; 2] = [0x69, 0x6b];
const OBJECT_MPEG4: u8 = 0x20;
const OBJECT_MPEG2: std::ops::RangeInclusive<u8> = 0x60..=0x65;
const OBJECT_AC3: [u8; 2] = [0xa5, 0xa6];

/// A codec, as far as the sample entry tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// Everything is known.
    Known(Params),
    /// The first sample has the rest.
    Ask(Ask),
    /// In words, what it is.
    Foreign(String),
}

/// What the first sample is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// The size of the picture; this is the record.
    Vp9(Bytes),
    /// Everything.
    Ac3,
    Mpa,
    /// The parameter sets; NAL lengths have so many bytes.
    Avc(u8),
    Hevc(u8),
}

/// Reads the only entry of an `stsd`.
pub(super) fn entry(mut stsd: Cursor<'_>) -> Result<Entry, IndexError> {
    let (version, _) = stsd.full("stsd")?;
    let count = stsd.u32("stsd")?;
    if count != 1 {
        return Ok(Entry::Foreign(format!("{count} sample descriptions, which change on the way")));
    }
    let Some(entry) = stsd.boxes().next() else { return Err(stsd.broken("an empty stsd")) };
    let entry = entry?;
    let mut body = entry.body;
    match &entry.kind {
        b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" | b"av01" | b"vp09" => {
            body.take(78, "a sample entry")?;
            video(entry.kind, body)
        }
        b"mp4a" | b".mp3" | b"ms\0U" | b"Opus" | b"fLaC" | b"ac-3" | b"ec-3" => {
            body.take(8, "a sample entry")?;
            let layout = body.u16("a sample entry")?;
            // QuickTime's longer entries; in ISO files with a version 1 `stsd` they are as short as ever.
            let more = match (layout, version) {
                (1, 0) => 16,
                (2, 0) => 36,
                _ => 0,
            };
            body.take(18 + more, "a sample entry")?;
            sound(entry.kind, body)
        }
        b"mp4v" => {
            let head = body.take(78, "a sample entry")?;
            visual(head, body)
        }
        b"encv" | b"enca" | b"drmi" | b"drms" => Ok(Entry::Foreign("encrypted".into())),
        kind => Ok(Entry::Foreign(format!("codec '{}'", name(*kind).trim_end()))),
    }
}

fn config(body: Cursor<'_>) -> Bytes {
    let bytes = body.rest();
    Bytes::copy_from_slice(bytes.get(..CONFIG_MAX).unwrap_or(bytes))
}

fn unusable(at: Cursor<'_>, error: impl std::fmt::Display) -> IndexError {
    at.broken(format!("a codec's configuration cannot be used ({error})"))
}

fn video(kind: [u8; 4], boxes: Cursor<'_>) -> Result<Entry, IndexError> {
    let known = |params| Entry::Known(Params::Video(params));
    match &kind {
        b"avc1" | b"avc3" => {
            let at = boxes.need(b"avcC")?;
            let record = config(at);
            let size = avc::nal_length_size(&record).map_err(|e| unusable(at, e))?;
            match avc::parse_config(&record) {
                Err(avc::AvcError::NoSps) => Ok(Entry::Ask(Ask::Avc(size))),
                read => read.map(known).map_err(|e| unusable(at, e)),
            }
        }
        b"av01" => {
            let at = boxes.need(b"av1C")?;
            av1::parse_config(&config(at)).map(known).map_err(|e| unusable(at, e))
        }
        b"vp09" => {
            let mut at = boxes.need(b"vpcC")?;
            at.full("vpcC")?;
            Ok(Entry::Ask(Ask::Vp9(config(at))))
        }
        _ => {
            let at = boxes.need(b"hvcC")?;
            let record = config(at);
            let size = hevc::nal_length_size(&record).map_err(|e| unusable(at, e))?;
            let sets = hevc::parameter_sets(&record).map_err(|e| unusable(at, e))?;
            if sets.sps.is_empty() {
                return Ok(Entry::Ask(Ask::Hevc(size)));
            }
            hevc::parse_config(&record).map(known).map_err(|e| unusable(at, e))
        }
    }
}

/// MPEG-4 Visual and MPEG-2, which are not played as they are.
fn visual(head: &[u8], boxes: Cursor<'_>) -> Result<Entry, IndexError> {
    let Some(esds) = boxes.find(b"esds")? else { return Ok(Entry::Foreign("codec 'mp4v'".into())) };
    let (object, mut decoder) = es_descriptor(esds)?;
    let codec = match object {
        OBJECT_MPEG4 => VideoCodec::Mpeg4,
        object if OBJECT_MPEG2.contains(&object) => VideoCodec::Mpeg2,
        _ => return Ok(Entry::Foreign(format!("codec 'mp4v' of object type {object:#04x}"))),
    };
    let headers = descriptor(&mut decoder, 0x05)?.map(config).unwrap_or_default();
    let size = head
        .get(24..)
        .and_then(<[u8]>::first_chunk)
        .map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]).into(), u16::from_be_bytes([c, d]).into()));
    let params = foreign_params(codec, headers, size.unwrap_or_default());
    Ok(Entry::Known(Params::Video(params)))
}

fn sound(kind: [u8; 4], boxes: Cursor<'_>) -> Result<Entry, IndexError> {
    let known = |params| Entry::Known(Params::Audio(params));
    match &kind {
        b"Opus" => {
            let at = boxes.need(b"dOps")?;
            let head = opus_head(at).ok_or_else(|| at.broken("dOps is cut short"))?;
            opus::parse_head(&head).map(known).map_err(|e| unusable(at, e))
        }
        b"fLaC" => {
            let mut at = boxes.need(b"dfLa")?;
            at.full("dfLa")?;
            flac::parse_header(&config(at)).map(known).map_err(|e| unusable(at, e))
        }
        b"ac-3" | b"ec-3" => Ok(Entry::Ask(Ask::Ac3)),
        b"mp4a" => {
            // QuickTime has it one box deeper.
            let wave = boxes.find(b"wave")?;
            let direct = boxes.find(b"esds")?;
            let esds = match (direct, wave) {
                (None, Some(wave)) => wave.need(b"esds")?,
                (None, None) => return Err(boxes.broken("box 'esds' is missing")),
                (Some(esds), _) => esds,
            };
            mp4a(esds)
        }
        _ => Ok(Entry::Ask(Ask::Mpa)),
    }
}

/// `dOps` as the header that it stands for, which has its numbers the other way round (RFC 7845 §5.1).
fn opus_head(dops: Cursor<'_>) -> Option<Bytes> {
    let (&[_, channels, s0, s1, r0, r1, r2, r3, g0, g1, family], mapping) =
        dops.rest().split_first_chunk()?;
    let mut head = b"OpusHead\x01".to_vec();
    head.extend_from_slice(&[channels, s1, s0, r3, r2, r1, r0, g1, g0, family]);
    head.extend_from_slice(mapping.get(..CONFIG_MAX).unwrap_or(mapping));
    Some(head.into())
}

/// What is coded, and the rest of its description.
///
/// Spec: ISO/IEC 14496-1 §7.2.6.5 and §7.2.6.6.
fn es_descriptor(mut esds: Cursor<'_>) -> Result<(u8, Cursor<'_>), IndexError> {
    const WHAT: &str = "esds";
    esds.full(WHAT)?;
    let mut es = descriptor(&mut esds, 0x03)?.ok_or_else(|| esds.broken("esds without ES descriptor"))?;
    es.u16(WHAT)?;
    let flags = es.u8(WHAT)?;
    if flags & 0x80 != 0 {
        es.u16(WHAT)?;
    }
    if flags & 0x40 != 0 {
        let url = es.u8(WHAT)?;
        es.take(url.into(), WHAT)?;
    }
    if flags & 0x20 != 0 {
        es.u16(WHAT)?;
    }
    let mut decoder = descriptor(&mut es, 0x04)?.ok_or_else(|| es.broken("esds without decoder"))?;
    let object = decoder.u8(WHAT)?;
    decoder.take(12, WHAT)?;
    Ok((object, decoder))
}

fn mp4a(esds: Cursor<'_>) -> Result<Entry, IndexError> {
    let (object, mut decoder) = es_descriptor(esds)?;
    if OBJECT_MPA.contains(&object) {
        return Ok(Entry::Ask(Ask::Mpa));
    }
    if OBJECT_AC3.contains(&object) {
        return Ok(Entry::Ask(Ask::Ac3));
    }
    if !OBJECT_AAC.contains(&object) {
        return Ok(Entry::Foreign(format!("codec 'mp4a' of object type {object:#04x}")));
    }
    let specific =
        descriptor(&mut decoder, 0x05)?.ok_or_else(|| decoder.broken("AAC without configuration"))?;
    let params = aac::parse_config(&config(specific)).map_err(|e| unusable(specific, e))?;
    Ok(Entry::Known(Params::Audio(params)))
}

/// The body of a descriptor of this tag, if it is the next.
fn descriptor<'a>(from: &mut Cursor<'a>, tag: u8) -> Result<Option<Cursor<'a>>, IndexError> {
    const WHAT: &str = "a descriptor";
    if from.rest().first() != Some(&tag) {
        return Ok(None);
    }
    from.u8(WHAT)?;
    let mut len = 0;
    for _ in 0..4 {
        let byte = from.u8(WHAT)?;
        len = len << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let at = from.at();
    // Some writers count a byte too many.
    let body = from.take(len.min(from.rest().len()), WHAT)?;
    Ok(Some(Cursor::new(body, at)))
}

/// What the first sample tells; `None` when that is not enough.
pub(super) fn asked(ask: &Ask, sample: &Bytes) -> Option<Params> {
    match ask {
        Ask::Vp9(record) => vp9::parse_config(record, sample).ok().map(Params::Video),
        Ask::Ac3 => ac3::params(sample).ok().map(Params::Audio),
        Ask::Mpa => mpa::params(sample).ok().map(Params::Audio),
        Ask::Avc(size) => {
            let nals = nals(sample, *size);
            let of = |kind| nals.iter().filter(|n| avc::nal_type(n) == kind).cloned().collect::<Vec<_>>();
            let record = avc::config_from_sets(&of(7), &of(8)).ok()?;
            avc::parse_config(&sized(&record, 4, *size)).ok().map(Params::Video)
        }
        Ask::Hevc(size) => {
            let nals = nals(sample, *size);
            let of = |kind| nals.iter().filter(|n| hevc::nal_type(n) == kind).cloned().collect::<Vec<_>>();
            let record = hevc::config_from_sets(&of(32), &of(33), &of(34)).ok()?;
            hevc::parse_config(&sized(&record, 21, *size)).ok().map(Params::Video)
        }
    }
}

/// A record that says how long the lengths of its payloads are, which is in the low bits of one byte.
fn sized(record: &Bytes, at: usize, size: u8) -> Bytes {
    let mut record = record.to_vec();
    if let Some(byte) = record.get_mut(at) {
        *byte = *byte & !3 | size.saturating_sub(1) & 3;
    }
    record.into()
}

/// NAL units behind lengths of so many bytes.
fn nals(sample: &Bytes, size: u8) -> Vec<Bytes> {
    let (mut all, mut at) = (Vec::new(), 0_usize);
    while let Some(len) = sample.get(at..at.saturating_add(size.into())) {
        let len = len.iter().fold(0_usize, |len, b| len << 8 | usize::from(*b));
        let begin = at.saturating_add(size.into());
        let Some(end) = begin.checked_add(len).filter(|end| *end <= sample.len() && len > 0) else { break };
        all.push(sample.slice(begin..end));
        at = end;
    }
    all
}

/// Sets what is spoken.
pub(super) fn in_language(params: Params, language: Option<Language>) -> Params {
    match params {
        Params::Audio(audio) => Params::Audio(nx_media::AudioParams { language, ..audio }),
        video @ Params::Video(_) => video,
    }
}
