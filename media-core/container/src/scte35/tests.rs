//! Samples of SCTE 35 §14 and sections by hand.

use proptest::prelude::*;

use super::*;

/// §14.2: splice_insert, out of the network.
pub(crate) const INSERT: &[u8] = b"\xfc\x30\x2f\0\0\0\0\0\0\xff\xff\xf0\x14\x05\x48\0\0\x8f\x7f\xef\xfe\x73\x69\xc0\x2e\xfe\0\x52\xcc\xf5\0\0\0\0\0\x0a\0\x08CUEI\0\0\x01\x35\x62\xdb\xa3\x0a";
/// §14.1: time_signal, start of a placement opportunity.
const PO_START: &[u8] = b"\xfc\x30\x34\0\0\0\0\0\0\xff\xff\xf0\x05\x06\xfe\x72\xbd\0\x50\0\x1e\x02\x1cCUEI\x48\0\0\x8e\x7f\xcf\0\x01\xa5\x99\xb0\x08\x08\0\0\0\0\x2c\xa0\xa1\x8a\x34\x02\0\x9a\xc9\xd1\x7e";
/// §14.3: time_signal, end of a placement opportunity.
const PO_END: &[u8] = b"\xfc\x30\x2f\0\0\0\0\0\0\xff\xff\xf0\x05\x06\xfe\x74\x62\x90\xa0\0\x19\x02\x17CUEI\x48\0\0\x8e\x7f\x9f\x08\x08\0\0\0\0\x2c\xa0\xa1\x8a\x35\x02\0\xa9\xcc\x67\x58";

fn read(section: &[u8]) -> Result<Splice, SpliceError> {
    parse(&Bytes::copy_from_slice(section))
}

/// A section with this adjustment, command length, command and descriptors.
fn section(adjustment: u64, length: Option<u16>, command: &[u8], descriptors: &[u8]) -> Vec<u8> {
    let length = length.unwrap_or(u16::try_from(command.len() - 1).unwrap());
    let [_, _, _, time @ ..] = adjustment.to_be_bytes();
    let mut body = [&[0][..], &time, &[0xff]].concat();
    body.extend([0xff, 0xf0 | length.to_be_bytes()[0], length.to_be_bytes()[1]]);
    body.extend(command);
    body.extend(u16::try_from(descriptors.len()).unwrap().to_be_bytes());
    body.extend(descriptors);
    let mut out = vec![TABLE_ID];
    out.extend((0x3000 | u16::try_from(body.len() + 4).unwrap()).to_be_bytes());
    out.extend(body);
    let crc = crc(&out);
    out.extend(crc.to_be_bytes());
    out
}

#[test]
fn reads_the_samples_of_the_standard() {
    let splice = read(INSERT).unwrap();
    let action = InsertAction {
        out_of_network: true,
        immediate: false,
        pts: Some(0x0_7369_c02e),
        duration: Some(BreakDuration { auto_return: true, duration_90k: 0x0_0052_ccf5 }),
        unique_program_id: 0,
        avail_num: 0,
        avails_expected: 0,
    };
    assert_eq!(splice.command, Command::Insert(Insert { event_id: 0x4800_008f, action: Some(action) }));
    assert_eq!((splice.raw.as_ref(), splice.segmentation.as_slice()), (INSERT, &[][..]));
    assert_eq!(splice.time(), Some(0x0_7369_c02e));

    let upid = || Bytes::from_static(b"\0\0\0\0\x2c\xa0\xa1\x8a");
    let segment = |type_id, duration_90k| {
        let segment = Segment { type_id, duration_90k, upid_type: 8, upid: upid(), num: 2, expected: 0 };
        vec![Segmentation { event_id: 0x4800_008e, segment: Some(segment) }]
    };
    let start = read(PO_START).unwrap();
    assert_eq!(start.command, Command::TimeSignal { pts: Some(0x0_72bd_0050) });
    assert_eq!(start.segmentation, segment(0x34, Some(0x01a5_99b0)));
    let end = read(PO_END).unwrap();
    assert_eq!((end.time(), end.segmentation), (Some(0x0_7462_90a0), segment(0x35, None)));
}

#[test]
fn reads_every_form_of_a_command() {
    let insert = |flags: u8, rest: &[u8]| {
        let command = [&[5, 0, 0, 0, 9, 0x7f, flags][..], rest, &[1, 2, 3, 4]].concat();
        match read(&section(0, None, &command, &[])).unwrap().command {
            Command::Insert(Insert { event_id: 9, action: Some(a) }) => {
                assert_eq!((a.unique_program_id, a.avail_num, a.avails_expected), (0x102, 3, 4));
                (a.out_of_network, a.immediate, a.pts, a.duration.map(|d| (d.auto_return, d.duration_90k)))
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(insert(0x5f, &[]), (false, true, None, None), "immediate");
    assert_eq!(insert(0xcf, &[0x7f]), (true, false, None, None), "no time");
    assert_eq!(insert(0xcf, &[0xff, 0, 0, 0, 7]), (true, false, Some((1 << 32) + 7), None));
    assert_eq!(insert(0xff, &[0x7f, 0, 0, 1, 0]), (true, true, None, Some((false, (1 << 32) + 256))));
    let components = [2, 8, 0x7f, 9, 0xfe, 0, 0, 0, 5];
    assert_eq!(insert(0x8f, &components), (true, false, Some(5), None), "by component");
    assert_eq!(insert(0x9f, &[1, 8]), (true, true, None, None), "by component, immediate");

    let command = |bytes: &[u8], length| read(&section(0, length, bytes, &[])).map(|s| s.command);
    let cancelled = Command::Insert(Insert { event_id: 9, action: None });
    assert_eq!(command(&[5, 0, 0, 0, 9, 0xff], None), Ok(cancelled));
    assert_eq!(command(&[0], None), Ok(Command::Null));
    assert_eq!(command(&[6, 0x7f], None), Ok(Command::TimeSignal { pts: None }));
    assert_eq!(command(&[6, 0x7f], Some(0xfff)), Ok(Command::TimeSignal { pts: None }), "open length");
    assert_eq!(command(&[255, 1, 2, 3, 4, 5], None), Ok(Command::Other(255)));
    assert_eq!(command(&[255, 1, 2, 3, 4, 5], Some(0xfff)), Err(SpliceError::OpenLength(255)));
}

#[test]
fn times_are_adjusted_modulo_33_bits() {
    let splice = read(&section((1 << 33) - 1, None, &[6, 0xfe, 0, 0, 0, 3], &[])).unwrap();
    assert_eq!((splice.pts_adjustment, splice.time()), ((1 << 33) - 1, Some(2)));
}

#[test]
fn segmentations_are_found_among_other_descriptors() {
    let one = |body: &[u8]| {
        let body = [&b"CUEI\0\0\0\x07"[..], body].concat();
        [&[2, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    };
    let list = [
        one(&[0xff]),
        vec![0, 4, b'C', b'U', b'E', b'I'],
        vec![2, 4, b'X', b'X', b'X', b'X'],
        one(&[0x7f, 0x3f, 1, 8, 0xfe, 0, 0, 0, 0, 0, 0, 0x36, 1, 2, 3, 4]),
    ];
    let splice = read(&section(0, None, &[6, 0x7f], &list.concat())).unwrap();
    let segment =
        Segment { type_id: 0x36, duration_90k: None, upid_type: 0, upid: Bytes::new(), num: 1, expected: 2 };
    assert_eq!(
        splice.segmentation,
        [Segmentation { event_id: 7, segment: None }, Segmentation { event_id: 7, segment: Some(segment) },]
    );
}

#[test]
fn says_what_is_wrong() {
    let changed = |at: usize, byte: u8| {
        let mut bytes = INSERT[..INSERT.len() - 4].to_vec();
        bytes[at] = byte;
        let crc = crc(&bytes);
        bytes.extend(crc.to_be_bytes());
        read(&bytes).unwrap_err()
    };
    assert_eq!(changed(0, 0xfd), SpliceError::TableId(0xfd));
    assert_eq!(changed(2, 0x30), SpliceError::Length { stated: 51, got: 50 });
    assert_eq!(changed(3, 1), SpliceError::Protocol(1));
    assert_eq!(changed(4, 0x84), SpliceError::Encrypted { algorithm: 2 });
    assert_eq!(changed(12, 3), SpliceError::Truncated { field: "splice_event_id", needed: 4, got: 3 });
    assert_eq!(changed(35, 11), SpliceError::Truncated { field: "descriptors", needed: 11, got: 10 });
    let mut damaged = INSERT.to_vec();
    damaged[20] ^= 1;
    assert_eq!(read(&damaged), Err(SpliceError::Crc));
    assert!(read(&[INSERT, &[0]].concat()).is_err(), "one section and no more");
    for len in 0..INSERT.len() {
        assert!(read(&INSERT[..len]).is_err(), "{len}");
    }
}

proptest! {
    #[test]
    fn survives_any_change(changes in prop::collection::vec((0..50usize, any::<u8>()), 0..6), which in 0..3usize) {
        let sample = [INSERT, PO_START, PO_END][which];
        let mut bytes = sample[..sample.len() - 4].to_vec();
        let len = bytes.len();
        for (at, byte) in changes {
            bytes[at % len] = byte;
        }
        crate::fuzz_ts::scte35(&bytes);
    }

    #[test]
    fn survives_noise(data in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzz_ts::scte35(&data);
    }
}

#[test]
fn what_is_written_is_the_sample_of_the_standard() {
    let duration = Some(BreakDuration { auto_return: true, duration_90k: 0x0_0052_ccf5 });
    let out = NewInsert { event_id: 0x4800_008f, out_of_network: true, pts: Some(0x0_7369_c02e), duration };
    let written = splice_insert(&out);
    // §14.2 has program 0, tier and index 0xff, and an avail descriptor besides: the command is the same but for that.
    assert_eq!(written.get(13..31), INSERT.get(13..31));
    for new in [
        out,
        NewInsert { pts: None, ..out },
        NewInsert { duration: None, pts: Some(1 << 32), ..out },
        NewInsert { out_of_network: false, duration: None, pts: None, ..out },
    ] {
        let splice = parse(&splice_insert(&new)).unwrap();
        assert_eq!(splice.time(), new.pts);
        let Command::Insert(Insert { event_id, action: Some(action) }) = splice.command else {
            panic!("{new:?}")
        };
        let read = NewInsert {
            event_id,
            out_of_network: action.out_of_network,
            pts: action.pts,
            duration: action.duration,
        };
        assert_eq!((read, action.immediate), (new, new.pts.is_none()));
    }
}
