//! Init segment: `ftyp` and `moov` without samples.

use bytes::Bytes;
use nx_codec::{avc, hevc};
use nx_media::{AudioCodec, AudioParams, Language, Params, VideoCodec, VideoParams};

use super::TRACK_ID;

/// Unity matrix of `mvhd` and `tkhd`, 16.16 and 2.30 fixed point.
pub(super) const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// `objectTypeIndication` of MPEG-4 and of MPEG-1 audio (ISO/IEC 14496-1 table 5).
const OBJECT_MPEG4_AUDIO: u8 = 0x40;
const OBJECT_MPEG1_AUDIO: u8 = 0x6b;
/// Where `STREAMINFO`, behind its block header, has the last bits of the rate, channels and sample size.
const STREAMINFO_DEPTH_AT: usize = 4 + 12;

/// Init segment of one track: feed it to a decoder before any fragment.
///
/// The media timescale is `params.timescale()`; the records of H.264 and H.265 are written with 4-byte NAL
/// lengths, as payloads have them. There is no edit list. Built once per configuration; same input, same bytes.
#[must_use]
pub fn init(params: &Params) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    boxed(&mut out, b"ftyp", |b| {
        b.extend_from_slice(b"iso6\0\0\0\0iso6cmfcmp41");
    });
    boxed(&mut out, b"moov", |b| {
        mvhd(b, params.timescale());
        boxed(b, b"trak", |b| {
            tkhd(b, params);
            boxed(b, b"mdia", |b| mdia(b, params));
        });
        boxed(b, b"mvex", |b| {
            full(b, b"trex", 0, 0, |b| {
                u32s(b, &[TRACK_ID, 1, 0, 0, 0]);
            });
        });
    });
    out.into()
}

fn mvhd(b: &mut Vec<u8>, timescale: u32) {
    full(b, b"mvhd", 0, 0, |b| {
        // Creation, modification, timescale, duration, rate 1.0, volume 1.0 and reserved.
        u32s(b, &[0, 0, timescale, 0, 0x1_0000, 0x0100_0000, 0, 0]);
        u32s(b, &MATRIX);
        b.extend_from_slice(&[0; 24]);
        u32b(b, TRACK_ID + 1);
    });
}

fn tkhd(b: &mut Vec<u8>, params: &Params) {
    let (volume, width, height) = match params {
        Params::Video(v) => (0, v.width, v.height),
        Params::Audio(_) => (0x0100_0000, 0, 0),
    };
    // Enabled and in the movie.
    full(b, b"tkhd", 0, 3, |b| {
        // Creation, modification, id, reserved, duration, reserved, layer and group, volume.
        u32s(b, &[0, 0, TRACK_ID, 0, 0, 0, 0, 0, volume]);
        u32s(b, &MATRIX);
        // 16.16 fixed point.
        u32b(b, u32::from(saturate(width)) << 16);
        u32b(b, u32::from(saturate(height)) << 16);
    });
}

fn mdia(b: &mut Vec<u8>, params: &Params) {
    full(b, b"mdhd", 0, 0, |b| {
        u32s(b, &[0, 0, params.timescale(), 0]);
        u16b(b, language(params));
        u16b(b, 0);
    });
    hdlr_minf(b, params, |b| {
        stsd(b, &[params]);
        full(b, b"stts", 0, 0, |b| u32b(b, 0));
        full(b, b"stsc", 0, 0, |b| u32b(b, 0));
        full(b, b"stsz", 0, 0, |b| b.extend_from_slice(&[0; 8]));
        full(b, b"stco", 0, 0, |b| u32b(b, 0));
    });
}

/// What kind of media it is, and `tables` about its samples.
pub(super) fn hdlr_minf(b: &mut Vec<u8>, params: &Params, tables: impl FnOnce(&mut Vec<u8>)) {
    let (handler, name) = match params {
        Params::Video(_) => (b"vide", &b"Video\0"[..]),
        Params::Audio(_) => (b"soun", &b"Sound\0"[..]),
    };
    full(b, b"hdlr", 0, 0, |b| {
        u32b(b, 0);
        b.extend_from_slice(handler);
        b.extend_from_slice(&[0; 12]);
        b.extend_from_slice(name);
    });
    boxed(b, b"minf", |b| {
        match params {
            Params::Video(_) => full(b, b"vmhd", 0, 1, |b| b.extend_from_slice(&[0; 8])),
            Params::Audio(_) => full(b, b"smhd", 0, 0, |b| b.extend_from_slice(&[0; 4])),
        }
        boxed(b, b"dinf", |b| {
            full(b, b"dref", 0, 0, |b| {
                u32b(b, 1);
                // The media is in this file.
                full(b, b"url ", 0, 1, |_| ());
            });
        });
        boxed(b, b"stbl", tables);
    });
}

/// Sample descriptions, one for each configuration that the track has had.
pub(super) fn stsd(b: &mut Vec<u8>, all: &[&Params]) {
    full(b, b"stsd", 0, 0, |b| {
        u32b(b, u32::try_from(all.len()).unwrap_or(u32::MAX));
        for params in all {
            match params {
                Params::Video(v) => visual(b, v),
                Params::Audio(a) => sound(b, a),
            }
        }
    });
}

/// ISO 639-2 code in 5 bits per letter (ISO/IEC 14496-12 §8.4.2.3).
pub(super) fn language(params: &Params) -> u16 {
    let told = match params {
        Params::Video(_) => None,
        Params::Audio(a) => a.language.as_ref(),
    };
    let code = told.map_or("und", Language::as_str);
    code.bytes().fold(0, |packed, letter| (packed << 5) | u16::from(letter & 0x1f))
}

/// Spec: ISO/IEC 14496-12 §12.1.3, 14496-15 §5.4.2 and §8.4.1; AV1 and VP codec ISO bindings.
fn visual(b: &mut Vec<u8>, video: &VideoParams) {
    let kind = match video.codec {
        VideoCodec::Hevc => b"hvc1",
        VideoCodec::Av1 => b"av01",
        VideoCodec::Vp9 => b"vp09",
        _ => b"avc1",
    };
    boxed(b, kind, |b| {
        b.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        b.extend_from_slice(&[0; 16]);
        u16b(b, saturate(video.width));
        u16b(b, saturate(video.height));
        // 72 dpi twice, reserved; one frame per sample; no compressor name; depth 24; -1.
        u32s(b, &[0x48_0000, 0x48_0000, 0]);
        u16b(b, 1);
        b.extend_from_slice(&[0; 32]);
        u16b(b, 0x18);
        u16b(b, u16::MAX);
        let config = &video.config;
        match video.codec {
            VideoCodec::Hevc => boxed(b, b"hvcC", |b| b.extend_from_slice(&hevc::four_byte_config(config))),
            VideoCodec::Av1 => boxed(b, b"av1C", |b| b.extend_from_slice(config)),
            VideoCodec::Vp9 => full(b, b"vpcC", 1, 0, |b| b.extend_from_slice(config)),
            _ => boxed(b, b"avcC", |b| b.extend_from_slice(&avc::four_byte_config(config))),
        }
    });
}

/// Spec: ISO/IEC 14496-12 §12.2.3, 14496-14 §5.6; Opus and FLAC ISO bindings; ETSI TS 102 366 annex F.
fn sound(b: &mut Vec<u8>, audio: &AudioParams) {
    let kind = match audio.codec {
        AudioCodec::Opus => b"Opus",
        AudioCodec::Flac => b"fLaC",
        AudioCodec::Ac3 => b"ac-3",
        AudioCodec::Eac3 => b"ec-3",
        _ => b"mp4a",
    };
    boxed(b, kind, |b| {
        b.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
        b.extend_from_slice(&[0; 8]);
        u16b(b, u16::from(audio.channels));
        u16b(b, sample_bits(audio));
        u32b(b, 0);
        // 16.16 fixed point.
        u32b(b, u32::from(entry_rate(audio)) << 16);
        let config = &audio.config;
        match audio.codec {
            AudioCodec::Opus => boxed(b, b"dOps", |b| b.extend_from_slice(config)),
            AudioCodec::Flac => full(b, b"dfLa", 0, 0, |b| b.extend_from_slice(config)),
            AudioCodec::Ac3 => boxed(b, b"dac3", |b| b.extend_from_slice(config)),
            AudioCodec::Eac3 => boxed(b, b"dec3", |b| b.extend_from_slice(config)),
            AudioCodec::Mpa => full(b, b"esds", 0, 0, |b| es_descriptor(b, OBJECT_MPEG1_AUDIO, None)),
            _ => full(b, b"esds", 0, 0, |b| es_descriptor(b, OBJECT_MPEG4_AUDIO, Some(config))),
        }
    });
}

/// Sample size of the entry: 16 stands for compressed sound, only FLAC states the true one.
fn sample_bits(audio: &AudioParams) -> u16 {
    let at = STREAMINFO_DEPTH_AT;
    match (audio.codec, audio.config.get(at..).and_then(<[u8]>::first_chunk)) {
        (AudioCodec::Flac, Some(&[high, low])) => u16::from(((high & 1) << 4) | (low >> 4)) + 1,
        _ => 16,
    }
}

/// Rate of the entry. One above 65 535 Hz does not fit and is left to the configuration; the FLAC binding
/// asks for an even division of it.
fn entry_rate(audio: &AudioParams) -> u16 {
    let rate = audio.sample_rate;
    match audio.codec {
        AudioCodec::Flac => {
            let mut divided = (1..=16).filter(|n| rate.is_multiple_of(*n)).map(|n| rate / n);
            divided.find_map(|rate| u16::try_from(rate).ok()).unwrap_or(u16::MAX)
        }
        _ => u16::try_from(rate).unwrap_or(0),
    }
}

/// Spec: ISO/IEC 14496-1 §7.2.6.5 (`ES_Descriptor`), §7.2.6.6 (decoder), §7.3.2.3 (sync layer).
fn es_descriptor(b: &mut Vec<u8>, object_type: u8, config: Option<&[u8]>) {
    // Each descriptor: tag, 4-byte length, content.
    let decoder_len = 13 + config.map_or(0, |config| 5 + config.len());
    descriptor(b, 0x03, 3 + 5 + decoder_len + 5 + 1);
    b.extend_from_slice(&[0, 0, 0]);
    descriptor(b, 0x04, decoder_len);
    // Audio stream; buffer size and bitrates are not known.
    b.extend_from_slice(&[object_type, 0x15]);
    b.extend_from_slice(&[0; 11]);
    if let Some(config) = config {
        descriptor(b, 0x05, config.len());
        b.extend_from_slice(config);
    }
    descriptor(b, 0x06, 1);
    b.push(2);
}

/// Tag and length in four 7-bit groups.
fn descriptor(b: &mut Vec<u8>, tag: u8, len: usize) {
    b.push(tag);
    for (shift, more) in [(21, 0x80), (14, 0x80), (7, 0x80), (0, 0)] {
        b.push(u8::try_from((len >> shift) & 0x7f).unwrap_or(0) | more);
    }
}

pub(super) fn boxed(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out);
    // Far below 4 GiB: configuration records are limited by nx-codec, tables by who asks for them.
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(size) = out.get_mut(start..start + 4) {
        size.copy_from_slice(&len.to_be_bytes());
    }
}

pub(super) fn full(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    boxed(out, kind, |b| {
        u32b(b, (u32::from(version) << 24) | flags);
        body(b);
    });
}

pub(super) fn u32s(b: &mut Vec<u8>, values: &[u32]) {
    for value in values {
        u32b(b, *value);
    }
}

pub(super) fn u32b(b: &mut Vec<u8>, value: u32) {
    b.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn u16b(b: &mut Vec<u8>, value: u16) {
    b.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn saturate(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}
