//! Properties that hold for any input; the fuzz targets call these.

use bytes::Bytes;

use crate::{aac, avc};

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
