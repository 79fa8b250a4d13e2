//! Tables of movies, read back by hand.

use bytes::Bytes;
use nx_media::{Kind, Params, Sample, TrackId, VideoCodec, VideoParams, VideoRange};

use super::super::read::{Header, header};
use super::{MovieError, MovieWriter, Span};
use crate::fmp4::{fragment, samples};

fn video() -> Params {
    Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::from_static(&[
            1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xee,
        ]),
        width: 640,
        height: 360,
        frame_rate: None,
        range: VideoRange::Sdr,
        rfc6381: "avc1.64001f".into(),
    })
}

/// A fragment of `count` frames of 3000 ticks, the first of them a key frame, shown two frames after it is decoded.
fn frames(dts: i64, count: i64) -> Bytes {
    let sample = |nth: i64| Sample {
        dts: dts + nth * 3_000,
        pts: dts + nth * 3_000 + 6_000,
        duration: Some(3_000),
        key: nth == 0,
        payload: Bytes::from(vec![7; 10 + usize::try_from(nth).expect("small")]),
    };
    fragment(1, Kind::Video, &(0..count).map(sample).collect::<Vec<_>>()).expect("a fragment")
}

fn add(writer: &mut MovieWriter, at: u64, bytes: &Bytes) {
    let Ok(Header::Whole(fragment, media, end)) = header(bytes) else { panic!("a whole fragment") };
    assert_eq!(end, bytes.len());
    writer.fragment(TrackId::VIDEO, at + media as u64, &fragment).expect("fits");
}

/// The 32-bit words of a full box behind its version and flags.
fn words(front: &Bytes, kind: &[u8; 4]) -> Vec<u32> {
    let at = front.windows(4).position(|w| w == kind).expect("the box");
    let len = u32::from_be_bytes(front[at - 4..at].try_into().expect("four")) as usize;
    front[at + 8..at - 4 + len]
        .chunks_exact(4)
        .map(|w| u32::from_be_bytes(w.try_into().expect("four")))
        .collect()
}

#[test]
fn tables_point_into_the_stored_fragments() {
    let (first, second) = (frames(90_000, 3), frames(99_000, 2));
    let mut writer = MovieWriter::default();
    writer.run([(TrackId::VIDEO, &video())], 1_066_667).expect("a run");
    add(&mut writer, 0, &first);
    add(&mut writer, first.len() as u64, &second);
    let media = (first.len() + second.len()) as u64;
    let front = writer.finish(Span { from_us: 0, to_us: 10_000_000 }, media).expect("a movie");
    assert_eq!(words(&front, b"stts"), [1, 5, 3_000]);
    assert_eq!(words(&front, b"ctts"), [1, 5, 6_000]);
    assert_eq!(words(&front, b"stsz"), [0, 5, 10, 11, 12, 10, 11]);
    assert_eq!(words(&front, b"stss"), [2, 1, 4]);
    assert_eq!(words(&front, b"stsc"), [2, 1, 3, 1, 2, 2, 1]);
    let file: Bytes = [&front[..], &first, &second].concat().into();
    let places = words(&front, b"stco");
    for (place, fragment) in places[1..].iter().zip([&first, &second]) {
        let payloads: Vec<u8> =
            samples(fragment).expect("reads").iter().flat_map(|s| s.payload.to_vec()).collect();
        assert_eq!(file[*place as usize..][..payloads.len()], payloads);
    }
    // Version 1: length and media time have 64 bits. All five frames are shown, from the first one's pts on.
    assert_eq!(words(&front, b"elst"), [1, 0, 15_000, 0, 6_000, 0x1_0000]);
    assert_eq!(&front[front.len() - 12..front.len() - 8], b"mdat");
    assert_eq!(front[front.len() - 8..], (media + 16).to_be_bytes());
}

#[test]
fn holes_are_filled_and_pauses_left_out() {
    let mut writer = MovieWriter::default();
    writer.run([(TrackId::VIDEO, &video())], 66_667).expect("a run");
    add(&mut writer, 0, &frames(0, 2));
    // A second is missing.
    add(&mut writer, 500, &frames(96_000, 2));
    // An hour later, with a clock of its own.
    writer.run([(TrackId::VIDEO, &video())], 5_066_667).expect("a run");
    add(&mut writer, 1_000, &frames(450_000, 2));
    let front = writer.finish(Span { from_us: 0, to_us: i64::MAX / 4 }, 1_500).expect("a movie");
    assert_eq!(words(&front, b"stts"), [3, 1, 3_000, 1, 93_000, 4, 3_000]);
    assert_eq!(words(&front, b"stsd")[0], 1, "the same parameters are told once");
}

#[test]
fn a_clip_begins_and_ends_within_its_frames() {
    let mut writer = MovieWriter::default();
    writer.run([(TrackId::VIDEO, &video())], 66_667).expect("a run");
    add(&mut writer, 0, &frames(0, 60));
    assert_eq!(writer.movie_us(1_066_667), 1_000_000);
    let front = writer.finish(Span { from_us: 500_000, to_us: 1_500_000 }, 9_000).expect("a movie");
    assert_eq!(words(&front, b"elst"), [1, 0, 90_000, 0, 45_000 + 6_000, 0x1_0000]);
}

#[test]
fn the_frames_on_screen_are_shown_whole() {
    // Frames of a thirtieth of a second; where the clip begins and for how long, in ticks of 1/90000 s.
    for (from_us, to_us, begins, length) in [
        (500_000, 1_500_000, 45_000, 90_000),
        // What a clock of milliseconds makes of frame 16, and of frame 17.
        (533_000, 567_000, 48_000, 3_000),
        (534_000, 566_000, 48_000, 3_000),
        // In the middle of them.
        (550_000, 551_000, 48_000, 3_000),
        (550_000, 580_000, 48_000, 6_000),
        (1_900_000, 9_000_000, 171_000, 9_000),
    ] {
        let mut writer = MovieWriter::default();
        writer.run([(TrackId::VIDEO, &video())], 66_667).expect("a run");
        add(&mut writer, 0, &frames(0, 60));
        let front = writer.finish(Span { from_us, to_us }, 9_000).expect("a movie");
        let words = words(&front, b"elst");
        assert!(
            words[2].abs_diff(length) <= 1 && words[4].abs_diff(begins + 6_000) <= 1,
            "{from_us}: {words:?}"
        );
    }
}

#[test]
fn what_cannot_be_one_file_says_why() {
    let empty = MovieWriter::default().finish(Span { from_us: 0, to_us: 1 }, 0);
    assert_eq!(empty, Err(MovieError::Empty));
    let mut writer = MovieWriter::default();
    writer.run([(TrackId::VIDEO, &video())], 0).expect("a run");
    add(&mut writer, 0, &frames(0, 2));
    assert_eq!(writer.finish(Span { from_us: 9, to_us: 9 }, 0), Err(MovieError::Empty), "nothing between");
}

#[test]
fn a_header_that_is_cut_off_says_how_much_it_needs() {
    let whole = frames(90_000, 40);
    let Ok(Header::Whole(full, media, _)) = header(&whole) else { panic!("reads") };
    for len in 0..media {
        match header(&whole.slice(..len)) {
            Ok(Header::Needs(more)) => assert!(more > len && more <= media, "{len}: {more}"),
            other => panic!("{len}: {other:?}"),
        }
    }
    assert_eq!(header(&whole.slice(..media)), Ok(Header::Whole(full, media, whole.len())));
}
