//! Files of other writers, and elements by hand.

use nx_media::Params;

use crate::index::tests::{agrees, index, survives};
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
