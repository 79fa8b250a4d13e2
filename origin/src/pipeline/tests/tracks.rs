//! Rates, groups and tracks, and what becomes of them on the way.

use nx_media::{Params, TrackId};
use nx_timeline::RepairKind::Gap;

use super::corpus::{A, Case, FPS30, V, check, noise, pictures};
use super::rig::{LOOK_MS, play};
use super::script::{Frame, Script, Video, aac, aac_48k, ac3, avc, avc_again, avc_full_hd, hevc, sound};

fn at(rate: (u32, u32), gop: u64, declared: Option<(u32, u32)>) -> Script {
    pictures(declared, Video { rate, gop, ..Video::default() }.frames(0, 30_000), 30)
}

const RATES: &[Case] = &[
    ("29.97", || at((30_000, 1001), 60, Some((30_000, 1001))), 0, 15.0, &[]),
    ("29.97, said to be 30", || at((30_000, 1001), 60, FPS30), 0, 15.0, &[]),
    ("23.976", || at((24_000, 1001), 48, Some((24_000, 1001))), 0, 15.0, &[]),
    ("23.976, rate unknown", || at((24_000, 1001), 48, None), 0, 15.0, &[]),
    ("5", || at((5, 1), 10, Some((5, 1))), 0, 15.0, &[]),
    ("5, said to be 30", || at((5, 1), 10, FPS30), 0, 15.0, &[Gap]),
    ("120", || at((120, 1), 240, Some((120, 1))), 0, 15.0, &[]),
    ("120, said to be 25", || at((120, 1), 240, Some((25, 1))), 0, 15.0, &[]),
    (
        "variable",
        || {
            Script::steady(30).map(|f| {
                if f.id == V {
                    let us = noise(f.nth) % 25_000;
                    f.true_us += us;
                    f.stamp_us += us;
                }
            })
        },
        0,
        15.0,
        &[],
    ),
    (
        "30, then 60, then 10",
        || {
            let video =
                |rate, from, to| Video { rate: (rate, 1), gop: u64::from(rate) * 2, nth: 0 }.frames(from, to);
            let frames =
                [video(30, 0, 10_000), video(60, 10_000, 20_000), video(10, 20_000, 30_000)].concat();
            pictures(FPS30, frames, 30)
        },
        0,
        15.0,
        &[Gap],
    ),
    (
        "no key frame for 30 s",
        || pictures(FPS30, Video { gop: 900, ..Video::default() }.frames(0, 70_000), 70),
        0,
        10.0,
        &[],
    ),
    ("every frame a key frame", || at((30, 1), 1, FPS30), 0, 10.0, &[]),
    (
        "a key frame every 10 s",
        || pictures(FPS30, Video { gop: 300, ..Video::default() }.frames(0, 60_000), 60),
        0,
        10.0,
        &[],
    ),
];

#[test]
fn rates_and_groups() {
    check(RATES);
}

/// Something about the parameters changes after ten seconds.
fn turn(id: TrackId, params: fn() -> Params, frames: Vec<Frame>) -> Script {
    Script::steady(30)
        .without(move |f| f.id == id && f.at_ms >= 10_000)
        .params(10_000, id, params())
        .frames(frames)
}

fn later() -> Vec<Frame> {
    Video::default().frames(10_000, 30_000)
}

const TRACKS: &[Case] = &[
    ("a new record, same size", || turn(V, || avc_again(FPS30), later()), 1, 10.0, &[]),
    ("another size", || turn(V, || avc_full_hd(FPS30), later()), 1, 10.0, &[]),
    ("H.264, then H.265", || turn(V, || hevc(FPS30), later()), 1, 10.0, &[]),
    (
        "48 kHz stereo, then 44.1 kHz mono",
        || turn(A, || aac(&[0x12, 0x08]), sound(0, &aac(&[0x12, 0x08]), 10_000, 30_000)),
        1,
        30.0,
        &[],
    ),
    (
        "a track comes",
        || {
            Script::steady(30).params(10_000, TrackId::audio(1), aac_48k()).frames(sound(
                1,
                &aac_48k(),
                10_000,
                30_000,
            ))
        },
        1,
        10.0,
        &[],
    ),
    (
        "pictures go for good",
        || {
            Script::steady(30)
                .expect(0, &[V, A])
                .without(|f| f.id == V && f.at_ms >= 10_000)
                .expect(10_000, &[A])
        },
        // The last one stands still, in the same run, and is as old as it is.
        0,
        22_000.0,
        &[],
    ),
    (
        "sound goes for good",
        || {
            Script::steady(30)
                .expect(0, &[V, A])
                .without(|f| f.id == A && f.at_ms >= 10_000)
                .expect(10_000, &[V])
        },
        1,
        10.0,
        &[],
    ),
    (
        "a track goes",
        || {
            Script::steady(30)
                .params(0, TrackId::audio(1), aac_48k())
                .frames(sound(1, &aac_48k(), 0, 10_000))
                .expect(0, &[V, A, TrackId::audio(1)])
                .expect(10_000, &[V, A])
        },
        1,
        10.0,
        &[],
    ),
    (
        "sound alone",
        || Script::new().params(0, A, aac_48k()).frames(sound(0, &aac_48k(), 0, 30_000)),
        0,
        0.0,
        &[],
    ),
    (
        "pictures alone",
        || Script::new().params(0, V, avc(FPS30)).frames(Video::default().frames(0, 30_000)),
        0,
        0.0,
        &[],
    ),
    (
        "two pictures that are not aligned",
        || {
            Script::steady(30)
                .params(0, TrackId::video(1), avc(FPS30))
                .frames(Video { nth: 1, gop: 47, ..Video::default() }.frames(113, 30_000))
        },
        0,
        10.0,
        &[],
    ),
    ("HE-AAC", || sounds(aac(&[0x2b, 0x11, 0x88, 0x00])), 0, 10.0, &[]),
    ("Opus", || sounds(Params::Audio(nx_codec::opus::params(2, None))), 0, 10.0, &[]),
    ("AC-3", || sounds(ac3()), 0, 10.0, &[]),
];

#[test]
fn tracks_that_change() {
    check(TRACKS);
}

fn sounds(params: Params) -> Script {
    let frames = sound(0, &params, 0, 30_000);
    Script::new()
        .params(0, V, avc(FPS30))
        .params(0, A, params)
        .frames(Video::default().frames(0, 30_000))
        .frames(frames)
}

/// A decoder must not get frames of parameters that it was not told of.
#[test]
fn sound_of_new_parameters_waits_for_them() {
    let mono = || aac(&[0x12, 0x08]);
    let script = Script::steady(30)
        .without(|f| f.id == A && f.at_ms >= 10_500)
        .params(10_500, A, mono())
        .frames(sound(0, &mono(), 10_500, 30_000));
    let outcome = play("new parameters between key frames", script, LOOK_MS);
    let lost = outcome.sent[&A] - outcome.player.got(A);
    // From there to the key frame at 12 s.
    assert!((60..68).contains(&lost), "{lost} frames of 23.2 ms");
    assert_eq!(outcome.seams, 1);
    assert!(outcome.player.offset_ms().unwrap().abs() < 20.0, "{:?}", outcome.player.offset_ms());
}
