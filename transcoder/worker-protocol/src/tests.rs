//! Frames by hand, by table and by chance.

use bytes::Bytes;
use nx_media::VideoCodec;
use proptest::prelude::*;

use crate::{FRAME_MAX, Grid, LENGTH, Reply, Request, WireError, frame_len, fuzz};

fn sheet(columns: u8, rows: u8, width: u16, height: u16) -> Request {
    Request::Sheet(Grid { columns, rows, width, height })
}

/// Written by hand from the description in the crate's head.
const GOLDEN: &[&[u8]] = &[
    &[1, 10, 10, 0, 160, 0, 90],
    &[1, 1, 1, 1, 64, 0, 0],
    &[2, 99, 1, 0, 0, 0, 2, 7, 8, 9, 9, 9],
    &[2, 0, 4, 0, 0, 0, 0],
    &[3],
    &[128, 0, 1],
    &[129],
    b"\x82no picture in it",
    &[131, 0xff, 0xd8],
];

#[test]
fn frames_are_what_the_description_says() {
    let (config, sample) = (Bytes::from_static(&[7, 8]), Bytes::from_static(&[9, 9, 9]));
    let draw = Request::Draw { cell: 99, codec: VideoCodec::Avc, config, sample };
    let last = Request::Draw { cell: 0, codec: VideoCodec::Vp9, config: Bytes::new(), sample: Bytes::new() };
    let requests = [sheet(10, 10, 160, 90), sheet(1, 1, 320, 0), draw, last, Request::Finish];
    let replies = [
        Reply::Hello(1),
        Reply::Drawn,
        Reply::Failed("no picture in it".into()),
        Reply::Jpeg(Bytes::from_static(&[0xff, 0xd8])),
    ];
    let written = requests.iter().map(Request::write).chain(replies.iter().map(Reply::write));
    for (written, golden) in written.zip(GOLDEN) {
        let written = written.expect("fits");
        let (length, frame) = written.split_first_chunk::<LENGTH>().expect("a length");
        assert_eq!((frame_len(*length), frame), (Ok(golden.len()), *golden));
    }
    for (golden, request) in GOLDEN.iter().zip(&requests) {
        assert_eq!(Request::read(Bytes::from_static(golden)).as_ref(), Ok(request));
    }
    for (golden, reply) in GOLDEN.iter().skip(requests.len()).zip(&replies) {
        assert_eq!(Reply::read(Bytes::from_static(golden)).as_ref(), Ok(reply));
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    for (columns, rows, width, height, good) in [
        (1, 1, 2, 0, true),
        (16, 16, 512, 512, true),
        (0, 1, 160, 90, false),
        (17, 1, 160, 90, false),
        (1, 17, 160, 90, false),
        (1, 1, 0, 0, false),
        (1, 1, 161, 90, false),
        (1, 1, 160, 91, false),
        (2, 1, 160, 0, false),
        (1, 2, 160, 0, false),
        (16, 1, 514, 90, false),
        (1, 16, 160, 514, false),
    ] {
        let frame = sheet(columns, rows, width, height).write().expect("fits");
        let read = Request::read(Bytes::from(frame).slice(LENGTH..));
        assert_eq!(read.is_ok(), good, "{columns} x {rows} of {width} x {height}: {read:?}");
    }
    assert_eq!(frame_len([0; 4]), Err(WireError::Length(0)));
    assert_eq!(frame_len([0xff; 4]), Err(WireError::Length(u32::MAX as usize)));
    let max = u32::try_from(FRAME_MAX).expect("fits").to_be_bytes();
    assert_eq!(frame_len(max), Ok(FRAME_MAX));
    let much = Bytes::from(vec![0; FRAME_MAX]);
    assert_eq!(Reply::Jpeg(much).write(), Err(WireError::Length(FRAME_MAX + 1)));
    let told = Reply::Failed("ä".repeat(4_000)).write().expect("is cut");
    assert!(Reply::read(Bytes::from(told).slice(LENGTH..)).is_ok());
}

#[test]
fn every_truncation_is_read_or_refused() {
    for golden in GOLDEN {
        (0..=golden.len()).for_each(|end| fuzz::frame(&golden[..end]));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        fuzz::frame(&data);
    }

    #[test]
    fn any_mutation_is_read_or_refused(nth in 0..GOLDEN.len(), at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let mut data = GOLDEN[nth].to_vec();
        let at = at.index(data.len());
        data[at] = to;
        fuzz::frame(&data);
    }
}
