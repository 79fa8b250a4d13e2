//! Properties of the transport stream readers that hold for any input; the fuzz targets call these.

use bytes::Bytes;

use crate::scte35::{self, SpliceError};
use crate::ts::demux::{Config, Demuxer, Event, Stats};

/// The events do not depend on how the bytes are cut, hold no more than the bytes, and are bounded. The first
/// byte chooses the configuration and the cut.
///
/// # Panics
///
/// When a property does not hold.
pub fn ts_demux(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let pes_bytes_max = if choice & 2 == 0 { 4 << 20 } else { 400 };
    let program = (choice & 4 != 0).then_some(1);
    let config = Config { pes_bytes_max, program, early: choice & 1 != 0 };
    let (events, stats) = read(config, bytes, bytes.len());
    assert_eq!(read(config, bytes, 1 + usize::from(choice >> 3) * 29), (events.clone(), stats), "any cut");
    let packets = u64::try_from(bytes.len() / 188).expect("a length");
    assert!(stats.packets <= packets, "packets lie inside the bytes");
    let mut total = 0;
    for event in &events {
        match event {
            Event::Unit { unit, .. } => {
                assert!(!unit.payload.is_empty() && unit.payload.len() <= pes_bytes_max, "bounded");
                let times = [unit.pts, unit.dts].into_iter().flatten();
                assert!(times.into_iter().all(|t| (0..1 << 33).contains(&t)), "33 bits");
                total += unit.payload.len();
            }
            Event::Splice { splice, .. } => {
                assert_eq!(scte35::parse(&splice.raw).as_ref(), Ok(splice), "the bytes say the same again");
                total += splice.raw.len();
            }
            Event::Program(program) => assert!(program.streams.len() <= 64, "bounded"),
            Event::Unsupported(stream) => assert!(!stream.name.is_empty(), "it has a name"),
        }
    }
    assert!(total <= bytes.len(), "units lie inside the bytes");
}

fn read(config: Config, bytes: &[u8], size: usize) -> (Vec<Event>, Stats) {
    let (mut demuxer, mut events) = (Demuxer::new(config), Vec::new());
    for piece in bytes.chunks(size.max(1)) {
        demuxer.push(piece);
        events.extend(std::iter::from_fn(|| demuxer.poll()));
    }
    demuxer.flush();
    events.extend(std::iter::from_fn(|| demuxer.poll()));
    (events, demuxer.stats())
}

/// A section that parses is kept as it is; times are in range and identifiers lie inside it. The checksum is
/// made right first, as no mutation would hit it.
///
/// # Panics
///
/// When a property does not hold.
pub fn scte35(data: &[u8]) {
    check(&Bytes::copy_from_slice(data));
    let mut sealed = data.to_vec();
    // Table id and length as they must be, so that the rest is looked at.
    if let (Some([id, high, low]), Ok(len)) = (sealed.first_chunk_mut::<3>(), u16::try_from(data.len() + 1)) {
        let [length_high, length_low] = len.to_be_bytes();
        (*id, *high, *low) = (scte35::TABLE_ID, 0x30 | (length_high & 0xf), length_low);
    }
    sealed.extend_from_slice(&crate::ts::crc(&sealed).to_be_bytes());
    check(&sealed.into());
}

fn check(section: &Bytes) {
    match scte35::parse(section) {
        Ok(splice) => {
            assert_eq!(splice.raw, section, "the section is kept");
            assert!(splice.time().is_none_or(|t| t < 1 << 33), "33 bits");
            let upids = splice.segmentation.iter().filter_map(|s| Some(s.segment.as_ref()?.upid.len()));
            assert!(upids.sum::<usize>() < section.len(), "identifiers lie inside the section");
        }
        Err(SpliceError::Crc) => (),
        Err(error) => assert!(!error.to_string().is_empty(), "an error has words"),
    }
}
