//! Properties that hold for any input; the fuzz targets call these.

use bytes::Bytes;

use nx_media::{Params, VideoCodec};

use crate::elementary::{Item, Unit, VideoReader};
use crate::{aac, annexb, av1, avc, captions, hevc, vp9};

/// A record that parses is kept as it is, and its parameter sets lie inside it.
///
/// # Panics
///
/// When a property does not hold.
pub fn avc_config(data: &[u8]) {
    let record = Bytes::copy_from_slice(data);
    if let Ok(params) = avc::parse_config(&record) {
        assert_eq!(params.config, record, "the record is kept");
        assert!(params.width > 0 && params.height > 0, "pictures have a size");
        let sets = avc::parameter_sets(&record).expect("parse_config read them");
        let total: usize = sets.sps.iter().chain(&sets.pps).map(Bytes::len).sum();
        assert!(total < data.len(), "parameter sets lie inside the record");
        let four = avc::four_byte_config(&record);
        assert_eq!(avc::nal_length_size(&four), Ok(4), "the normal form has 4-byte lengths");
        assert_eq!(avc::parameter_sets(&four), Ok(sets), "and the same parameter sets");
    }
    avc_payload(&record);
}

fn avc_payload(data: &Bytes) {
    let seen: usize = avc::nals(data).map(|nal| nal.len() + 4).sum();
    assert!(seen <= data.len(), "NAL units lie inside the payload");
    for size in [1, 2, 4] {
        if let Ok(four) = avc::to_four_byte_lengths(data, size) {
            assert_eq!(avc::check(&four), Ok(()), "rewritten lengths add up");
            assert_eq!(avc::to_four_byte_lengths(&four, 4), Ok(four.clone()), "and stay as they are");
        }
    }
}

/// A configuration that parses is kept, is sane, and parses the same when bytes follow it.
///
/// # Panics
///
/// When a property does not hold.
pub fn aac_config(data: &[u8]) {
    let asc = Bytes::copy_from_slice(data);
    let Ok(params) = aac::parse_config(&asc) else { return };
    assert_eq!(params.config, asc, "the configuration is kept");
    assert!(params.sample_rate > 0 && params.channels > 0, "there is sound");
    if let Some(frame) = aac::silent_frame(&params) {
        assert!(!frame.is_empty(), "silence has bytes");
    }
    if let Ok(adts) = aac::Adts::new(&params) {
        let header = adts.header(100).expect("100 bytes fit");
        assert_eq!(header.first_chunk(), Some(&[0xff, 0xf1]), "sync word");
    }
    let longer = Bytes::from([data, &[0xff]].concat());
    if let Ok(again) = aac::parse_config(&longer) {
        assert_eq!((again.sample_rate, again.channels), (params.sample_rate, params.channels));
    }
}

/// A record that parses is kept as it is, and a record built of its parameter sets says the same.
///
/// # Panics
///
/// When a property does not hold.
pub fn hevc_config(data: &[u8]) {
    let record = Bytes::copy_from_slice(data);
    let Ok(params) = hevc::parse_config(&record) else { return };
    assert_eq!(params.config, record, "the record is kept");
    assert!(params.width > 0 && params.height > 0, "pictures have a size");
    let sets = hevc::parameter_sets(&record).expect("parse_config read them");
    let four = hevc::four_byte_config(&record);
    assert_eq!(hevc::nal_length_size(&four), Ok(4), "the normal form has 4-byte lengths");
    assert_eq!(hevc::parameter_sets(&four), Ok(sets.clone()), "and the same parameter sets");
    if let Ok(built) = hevc::config_from_sets(&sets.vps, &sets.sps, &sets.pps) {
        assert_eq!(hevc::parameter_sets(&built), Ok(sets), "built of the same parameter sets");
        let again = hevc::parse_config(&built).expect("the SPS parsed before");
        assert_eq!((again.width, again.height, again.rfc6381), (params.width, params.height, params.rfc6381));
    }
}

/// A record that parses is kept; a temporal unit without delimiters stays as it is.
///
/// # Panics
///
/// When a property does not hold.
pub fn av1_config(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    if let Ok(params) = av1::parse_config(&data) {
        assert_eq!(params.config, data, "the record is kept");
        assert!(params.width > 0 && params.height > 0, "pictures have a size");
    }
    let stripped = av1::strip_temporal_delimiters(&data);
    assert!(stripped.len() <= data.len(), "nothing is added");
    assert_eq!(av1::is_key(&stripped), av1::is_key(&data), "delimiters do not matter");
    assert_eq!(av1::strip_temporal_delimiters(&stripped), stripped, "all are gone");
}

/// The frame of a record that parses is a key frame.
///
/// # Panics
///
/// When a property does not hold.
pub fn vp9_header(data: &[u8]) {
    let record = Bytes::from_static(&[0, 10, 0x82, 2, 2, 2, 0, 0]);
    if let Ok(params) = vp9::parse_config(&record, data) {
        assert!(vp9::is_key(data), "only key frames have a size");
        assert!(params.width > 0 && params.height > 0, "pictures have a size");
    }
}

/// Cuts `data` into units: the first byte says the codec; each unit begins with a length and a byte of flags.
///
/// # Panics
///
/// When a property does not hold.
pub fn elementary_video(data: &[u8]) {
    let Some((&codec, mut rest)) = data.split_first() else { return };
    let codec = if codec & 1 == 0 { VideoCodec::Avc } else { VideoCodec::Hevc };
    let mut reader = VideoReader::new(codec);
    let (mut known, mut bytes, mut pts) = (false, 0, 0);
    let mut sink = |item| match item {
        Item::Params(Params::Video(params)) => {
            known = true;
            let again = match codec {
                VideoCodec::Avc => avc::parse_config(&params.config).ok(),
                _ => hevc::parse_config(&params.config).ok(),
            };
            assert_eq!(again, Some(params), "the record parses");
        }
        Item::Params(Params::Audio(_)) => unreachable!("a video track"),
        Item::Frame(frame) => {
            assert!(known, "parameters come first");
            assert_eq!(avc::check(&frame.payload), Ok(()), "lengths add up");
            bytes += frame.payload.len();
        }
    };
    while let Some((&[len, flags], tail)) = rest.split_first_chunk() {
        let (payload, tail) = tail.split_at(tail.len().min(len.into()));
        rest = tail;
        pts += 3600;
        let unit = Unit {
            pts: (flags & 1 != 0).then_some(pts),
            dts: (flags & 2 != 0).then_some(pts - 3600),
            discontinuity: flags & 4 != 0,
            payload: Bytes::copy_from_slice(payload),
        };
        reader.push(unit, &mut sink);
    }
    reader.flush(&mut sink);
    // Each NAL unit had a start code of 3 bytes and has a length of 4.
    assert!(bytes <= data.len() * 2, "nothing is made up");
    for nal in annexb::nals(data) {
        assert!(nal.last().is_some_and(|&last| last != 0), "NAL units do not end in zeros");
    }
}

/// Captions of any access unit stay on the screen, and there are no more of them than bytes.
///
/// # Panics
///
/// When a property does not hold.
pub fn captions(data: &[u8]) {
    let mut pairs = Vec::new();
    captions::pairs(VideoCodec::Avc, data, &mut pairs);
    captions::pairs(VideoCodec::Hevc, data, &mut pairs);
    assert!(pairs.len() * 3 <= data.len() * 2, "pairs lie inside the payload");
    // Whatever it is, as captions too.
    let (couples, _) = data.as_chunks::<2>();
    pairs.extend(couples.iter().map(|&bytes| captions::Pair::Line21 { field: bytes[0] & 1, bytes }));
    pairs.extend(couples.iter().map(|&bytes| captions::Pair::Dtvcc { start: bytes[0] & 7 == 0, bytes }));
    let (mut seen, mut decoder) = (captions::Seen::default(), captions::cea608::Decoder::default());
    for (at, pair) in (0i64..).zip(pairs) {
        seen.push(pair);
        if let captions::Pair::Line21 { bytes, .. } = pair {
            decoder.push(bytes);
        }
        for row in decoder.poll(at * 700_000).flat_map(|(_, screen)| screen.rows) {
            let letters: usize = row.text.iter().map(|run| run.text.chars().count()).sum();
            assert!((1..=15).contains(&row.row) && usize::from(row.column) + letters <= 32, "on the screen");
            assert!(letters > 0, "rows have letters");
        }
    }
    assert!(seen.services().count() <= 67, "four and sixty-three");
}
