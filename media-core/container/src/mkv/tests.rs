//! Files of other writers, and elements by hand.

use nx_media::Params;

use crate::index::tests::{agrees, index, payload, sound, survives};
use crate::index::{Index, Kind};

macro_rules! golden {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../index/golden/", $name)),
            include_str!(concat!("../index/golden/", $name, ".packets")),
        )
    };
}

const GOLDEN: [(&str, &[u8], &str); 7] = [
    golden!("bframes.mkv"),
    golden!("live.webm"),
    golden!("av1.mkv"),
    golden!("hevc.mkv"),
    golden!("ac3.mka"),
    golden!("mp3.mka"),
    golden!("gstreamer.mkv"),
];

#[test]
fn agrees_with_ffprobe() {
    for (name, file, table) in GOLDEN {
        let (index, cost) = index(Kind::Mkv, file).unwrap();
        agrees(name, file, &index, table, 1000);
        assert_eq!(index.left_out, Vec::<String>::new(), "{name}");
        assert!(cost.bytes <= 2 * file.len(), "{name}: {cost:?}");
    }
}

fn tells(index: &Index) -> Vec<String> {
    let one = |p: &Params| match p {
        Params::Video(v) => format!("{} {}x{}", v.rfc6381, v.width, v.height),
        Params::Audio(a) => format!("{} {} {} {:?}", a.rfc6381, a.sample_rate, a.channels, a.language),
    };
    index.tracks.iter().map(|t| format!("{} {}", t.id, one(&t.params))).collect()
}

#[test]
fn tells_what_the_tracks_are() {
    let want: [&[&str]; 7] = [
        &["v1 avc1.640009 64x36", "a1 mp4a.40.2 48000 2 Some(deu)"],
        &["v1 vp09.00.10.08 64x36", "a1 opus 48000 1 None"],
        &["v1 av01.0.00M.08 64x36", "a1 fLaC 48000 1 None"],
        &["v1 hvc1.1.6.L30.90 64x36", "a1 ec-3 48000 1 None"],
        &["a1 ac-3 48000 1 None"],
        &["a1 mp4a.6B 48000 1 None"],
        &["v1 avc1.f4000a 64x36", "a1 mp4a.40.2 44100 1 Some(eng)"],
    ];
    for ((name, file, _), want) in GOLDEN.into_iter().zip(want) {
        assert_eq!(tells(&index(Kind::Mkv, file).unwrap().0), want, "{name}");
    }
}

#[test]
fn survives_truncation_and_change() {
    for (seed, (_, file, _)) in (1..).zip(GOLDEN) {
        survives(Kind::Mkv, file, seed);
    }
}

mod build;
use build::{Lacing, block, cluster, el, element, file, number, track};

const SIMPLE: u32 = 0xa3;

/// Frames of AC-3 of different lengths: 32 ms each at 48 kHz.
fn ac3(sizes: &[u8]) -> Vec<Vec<u8>> {
    let frame = |&code: &u8| {
        let kbps = [64, 80, 96, 112][usize::from(code)];
        let mut frame = vec![0x0b, 0x77, 0, 0, 8 + 2 * code, 0x40, 0x2f, 0x84];
        frame.resize(kbps * 4, code);
        frame
    };
    sizes.iter().map(frame).collect()
}

fn samples(file: &[u8]) -> (Vec<(i64, u32)>, Vec<Vec<u8>>) {
    let index = index(Kind::Mkv, file).unwrap().0;
    sound(file, &index);
    let track = &index.tracks[0];
    let times = track.samples.iter().map(|s| (s.dts, s.duration)).collect();
    (times, track.samples.iter().map(|s| payload(file, track, s).unwrap().to_vec()).collect())
}

#[test]
fn frames_of_every_lace_are_found() {
    let frames = ac3(&[0, 1, 1, 0, 3, 2]);
    let alike = ac3(&[1, 1, 1, 1, 1, 1]);
    for (lacing, frames) in
        [(Lacing::None, &frames), (Lacing::Xiph, &frames), (Lacing::Ebml, &frames), (Lacing::Fixed, &alike)]
    {
        let per_block = if lacing == Lacing::None { 1 } else { 3 };
        let blocks = frames.chunks(per_block).zip((0i16..).step_by(per_block * 32)).map(|(frames, ms)| {
            let frames: Vec<&[u8]> = frames.iter().map(|f| &f[..]).collect();
            el(SIMPLE, &block(ms, 0x80, lacing, &frames))
        });
        let blocks: Vec<u8> = blocks.flatten().collect();
        let file = file(&track(1, 2, "A_AC3", &[]), &cluster(5_000, &blocks));
        let (times, found) = samples(&file);
        assert_eq!(&found, frames, "{lacing:?}");
        let want: Vec<_> = (0..6).map(|n| (n * 1536, 1536)).collect();
        assert_eq!(times, want, "{lacing:?}");
        survives(Kind::Mkv, &file, 3);
    }
}

/// Two clusters of one frame each, between elements of no interest.
fn two(tracks: &[u8], frames: &[&[u8]; 2], known: bool) -> Vec<u8> {
    let void = el(0xec, &[0; 300]);
    let one = |frame: &[u8], ms: u64| {
        let group = [el(0xa1, &block(0, 0, Lacing::None, &[frame])), number(0x9b, 32)].concat();
        let content = [el(0xbf, &[1, 2, 3, 4]), number(0xe7, ms), void.clone(), el(0xa0, &group)].concat();
        element(0x1f43_b675, known.then_some(&content), if known { &[] } else { &content })
    };
    let cues = el(0x1c53_bb6b, &[7; 50]);
    file(tracks, &[&one(frames[0], 0)[..], &void, &one(frames[1], 32), &cues].concat())
}

#[test]
fn clusters_may_leave_their_size_open() {
    let frames = ac3(&[0, 1]);
    for known in [false, true] {
        let file = two(&track(1, 2, "A_AC3", &[]), &[&frames[0], &frames[1]], known);
        assert_eq!(samples(&file), (vec![(0, 1536), (1536, 1536)], frames.clone()), "{known}");
    }
}

/// The element ContentEncodings with one encoding.
fn encoding(scope: u64, kind: u64, algorithm: u64, settings: &[u8]) -> Vec<u8> {
    let compression = el(0x5034, &[number(0x4254, algorithm), el(0x4255, settings)].concat());
    el(0x6d80, &el(0x6240, &[number(0x5032, scope), number(0x5033, kind), compression].concat()))
}

#[test]
fn stripped_headers_are_put_back_and_other_encodings_refused() {
    let frames = ac3(&[0, 1]);
    let stripped = [&frames[0][2..], &frames[1][2..]];
    let file = two(&track(1, 2, "A_AC3", &encoding(1, 0, 3, &[0x0b, 0x77])), &stripped, true);
    assert_eq!(samples(&file), (vec![(0, 1536), (1536, 1536)], frames.clone()));
    for (name, encoding, words) in [
        ("zlib", encoding(1, 0, 0, &[]), "compressed"),
        ("private data too", encoding(3, 0, 3, &[1]), "compressed"),
        ("encrypted", encoding(1, 1, 0, &[]), "encrypted"),
    ] {
        let file = two(&track(1, 2, "A_AC3", &encoding), &stripped, true);
        let error = index(Kind::Mkv, &file).unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn says_what_is_left_out() {
    let frames = ac3(&[0, 1]);
    let frames = [&frames[0][..], &frames[1][..]];
    for (name, entry, words) in [
        ("subtitles", track(2, 0x11, "S_TEXT/UTF8", &[]), "subtitles (S_TEXT/UTF8)"),
        ("codec", track(2, 1, "V_THEORA", &[]), "codec V_THEORA is not carried"),
        ("same number", track(1, 2, "A_AC3", &[]), "same number"),
        ("no record", track(2, 1, "V_MPEG4/ISO/AVC", &[]), "V_MPEG4/ISO/AVC"),
        ("no frame", track(2, 2, "A_EAC3", &[]), "no frame tells its parameters"),
    ] {
        let file = two(&[track(1, 2, "A_AC3", &[]), entry].concat(), &frames, true);
        let index = index(Kind::Mkv, &file).unwrap().0;
        assert_eq!(index.tracks.len(), 1, "{name}");
        assert!(index.left_out.iter().any(|l| l.contains(words)), "{name}: {:?}", index.left_out);
    }
    let late = [cluster(0, &[]), el(0x1654_ae6b, &track(1, 2, "A_AC3", &[]))].concat();
    let header = el(0x1a45_dfa3, &[el(0x4282, b"webm"), number(0x42f3, 8)].concat());
    for (name, file, words) in [
        ("tracks behind clusters", [header, element(0x1853_8067, None, &late)].concat(), "behind its media"),
        ("longer sizes", el(0x1a45_dfa3, &number(0x42f3, 9)), "longer ids or sizes"),
        ("other EBML", el(0x1a45_dfa3, &el(0x4282, b"other")), "of type other"),
        ("no tracks", file(&[], &[]), "nothing in this file can be played"),
        ("endless", element(0x1a45_dfa3, None, &[]), "at byte 0"),
    ] {
        let error = index(Kind::Mkv, &file).unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn media_is_not_read() {
    let sound = ac3(&[0]);
    let mut blocks = el(SIMPLE, &block(0, 0x80, Lacing::None, &[&sound[0]]));
    // 10 MB of what belongs to no track, in 100 blocks.
    for ms in 1..100 {
        let mut other = block(ms, 0, Lacing::None, &[&vec![9; 100_000]]);
        other[0] = 0x82;
        blocks.extend(el(SIMPLE, &other));
    }
    let file = file(&track(1, 2, "A_AC3", &[]), &cluster(0, &blocks));
    let (_, cost) = index(Kind::Mkv, &file).unwrap();
    assert!(cost.bytes < file.len() / 10 && cost.reads < 120, "{cost:?}");
    // A file of small blocks is read in long stretches.
    let blocks: Vec<u8> =
        (0..20_000i16).flat_map(|ms| el(SIMPLE, &block(ms, 0x80, Lacing::None, &[&sound[0]]))).collect();
    let file = build::file(&track(1, 2, "A_AC3", &[]), &cluster(0, &blocks));
    let (_, cost) = index(Kind::Mkv, &file).unwrap();
    assert!(
        cost.bytes < file.len() * 11 / 10 && cost.reads < file.len() / 100_000,
        "{cost:?} of {}",
        file.len()
    );
}

#[test]
fn pictures_in_groups_with_a_record_that_lacks_its_sequence_header() {
    let golden = GOLDEN[2].1;
    let (whole, _) = index(Kind::Mkv, golden).unwrap();
    let video = &whole.tracks[0];
    let Params::Video(params) = &video.params else { panic!("pictures") };
    let groups = video.samples.iter().zip((0i16..).step_by(40)).map(|(place, ms)| {
        // A temporal delimiter in front, as some writers leave it.
        let frame = [&[0x12, 0][..], &payload(golden, video, place).unwrap()].concat();
        let reference = if place.key { vec![] } else { number(0xfb, 1) };
        el(0xa0, &[el(0xa1, &block(ms, 0, Lacing::None, &[&frame])), reference, number(0x9b, 44)].concat())
    });
    let groups: Vec<u8> = groups.flatten().collect();
    let tracks = track(1, 1, "V_AV1", &el(0x63a2, &params.config[..4]));
    let file = file(&tracks, &cluster(0, &groups));
    let (found, _) = index(Kind::Mkv, &file).unwrap();
    sound(&file, &found);
    assert_eq!(found.tracks[0].params, video.params);
    assert_eq!(found.tracks[0].samples.len(), video.samples.len());
    for (a, b) in found.tracks[0].samples.iter().zip(&video.samples) {
        assert_eq!(payload(&file, &found.tracks[0], a), payload(golden, video, b));
        assert_eq!((a.key, a.dts, a.cts), (b.key, b.dts, b.cts));
    }
    assert_eq!(found.tracks[0].samples.last().unwrap().duration, 44 * 90, "as its group says");
}
