//! Properties of the audio codecs that hold for any input; the fuzz targets call these.

use bytes::Bytes;
use nx_media::Params;

use crate::aac::{self, adts, latm};
use crate::elementary::{AudioFormat, AudioReader, Item, Unit};
use crate::{ac3, flac, mpa, opus};

/// Cuts of `data` by lengths in front of them, as units of one track: whatever comes out lies inside of what
/// went in, after parameters, and little is kept.
///
/// # Panics
///
/// When a property does not hold.
pub fn elementary_audio(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let format = match first % 6 {
        0 => AudioFormat::AacAdts,
        1 => AudioFormat::AacLatm,
        2 => AudioFormat::Mpa,
        3 => AudioFormat::Ac3,
        4 => AudioFormat::Eac3,
        _ => AudioFormat::Opus { channels: first / 6 },
    };
    let mut reader = AudioReader::new(format, None);
    let (mut taken, mut given, mut known) = (0, 0, false);
    while let Some((&[control, len], behind)) = rest.split_first_chunk() {
        let (payload, behind) = behind.split_at(usize::from(len).min(behind.len()));
        rest = behind;
        taken += payload.len();
        let unit = Unit {
            pts: (control & 1 == 1).then(|| i64::from(control) << 32),
            dts: None,
            discontinuity: control & 0x0e == 0x0e,
            payload: Bytes::copy_from_slice(payload),
        };
        reader.push(unit, &mut |item| match item {
            Item::Params(Params::Audio(params)) => {
                assert!(params.sample_rate > 0 && params.channels > 0, "there is sound");
                known = true;
            }
            Item::Params(Params::Video(_)) => unreachable!("an audio reader gives audio"),
            Item::Frame(frame) => {
                assert!(known, "parameters come first");
                assert!(frame.key && frame.cts == 0 && !frame.payload.is_empty(), "frames stand alone");
                given += frame.payload.len();
            }
        });
    }
    assert!(given <= taken, "nothing is made up or given twice");
}

/// Access units lie inside of the element, and the configuration is one.
///
/// # Panics
///
/// When a property does not hold.
pub fn latm(data: &[u8]) {
    let mut reader = latm::Latm::new();
    for element in data.chunks(64) {
        if let Ok(units) = reader.read(element) {
            let total: usize = units.iter().map(Bytes::len).sum();
            assert!(total < element.len(), "access units lie inside of the element");
            let params = reader.params().expect("a configuration was read");
            assert_eq!(aac::parse_config(&params.config).as_ref(), Ok(params), "and parses alone");
        }
    }
    if let Ok(frame) = adts::parse(data) {
        assert!(frame.frame_len >= frame.header_len, "a frame holds its header");
    }
}

/// A header that parses is sane and makes parameters.
///
/// # Panics
///
/// When a property does not hold.
pub fn ac3(data: &[u8]) {
    if let Ok(header) = ac3::parse_frame(data) {
        assert!(header.frame_len >= 6 && header.sample_rate >= 8_000, "a frame has a length and a rate");
        assert!(matches!(header.samples, 256..=1536), "one to six blocks");
        if let Ok(params) = ac3::params(data) {
            assert_eq!((params.codec, params.sample_rate), (header.codec, header.sample_rate));
            assert!(params.channels > 0 && matches!(params.config.len(), 3 | 5 | 6), "dac3 or dec3");
        }
    }
    if let Ok(header) = mpa::parse_frame(data) {
        assert!((24..=2_881).contains(&header.frame_len), "the standard's bounds: {header:?}");
    }
}

/// A header that parses gives a box payload of the right size; a packet has at most 120 ms.
///
/// # Panics
///
/// When a property does not hold.
pub fn opus_head(data: &[u8]) {
    if let Ok(params) = opus::parse_head(&Bytes::copy_from_slice(data)) {
        let mapping = if params.config.get(10) == Some(&0) { 0 } else { 2 + usize::from(params.channels) };
        assert_eq!(params.config.len(), 11 + mapping, "fields and mapping table");
    }
    assert!(opus::packet_samples(data).is_none_or(|samples| (120..=5_760).contains(&samples)));
}

/// A header that parses is kept in its shortest form, which parses the same.
///
/// # Panics
///
/// When a property does not hold.
pub fn flac_header(data: &[u8]) {
    if let Ok(params) = flac::parse_header(&Bytes::copy_from_slice(data)) {
        assert_eq!(params.config.len(), 38, "one block");
        assert_eq!(flac::parse_header(&params.config).as_ref(), Ok(&params), "and the same again");
    }
    assert!(flac::frame_samples(data).is_none_or(|samples| (1..=65_536).contains(&samples)));
}
