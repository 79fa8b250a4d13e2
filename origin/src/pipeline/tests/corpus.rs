//! The cases: what is wrong with a publisher, and the most that viewers may notice.

use std::panic::AssertUnwindSafe;

use nx_media::TrackId;
use nx_timeline::RepairKind::{self, *};

use super::rig::{LOOK_MS, Outcome, play};
use super::script::{Frame, Script, Video, aac_48k, ac3, avc, sound};

pub(super) const FPS30: Option<(u32, u32)> = Some((30, 1));
pub(super) const V: TrackId = TrackId::VIDEO;
pub(super) const A: TrackId = TrackId::AUDIO;

/// Name, script, discontinuities, milliseconds between sound and picture at the end, repairs.
pub(super) type Case = (&'static str, fn() -> Script, u64, f64, &'static [RepairKind]);

fn video(id: TrackId) -> bool {
    id == TrackId::VIDEO
}

/// Plays all; tells everything that is not as expected, not only the first.
pub(super) fn check(cases: &[Case]) {
    let mut faults = Vec::new();
    for &(name, script, seams, offset_ms, repairs) in cases {
        let outcome = match played(name, script()) {
            Ok(outcome) => outcome,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let kinds: Vec<RepairKind> = outcome.repairs.iter().map(|(kind, _)| *kind).collect();
        let apart_ms = outcome.player.offset_ms().unwrap_or(0.0);
        if outcome.seams != seams || apart_ms.abs() > offset_ms || kinds != repairs {
            let (sent, player) = (&outcome.sent, &outcome.player);
            let lost: Vec<_> =
                sent.iter().map(|(id, sent)| format!("{id} {} of {sent}", player.got(*id))).collect();
            faults.push(format!(
                "{name}: {} seams ({seams}), {apart_ms:.1} ms ({offset_ms}), {:?} ({repairs:?}); {lost:?}, waited {} ms",
                outcome.seams, outcome.repairs, player.waited_ms
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

const CLOCKS: &[Case] = &[
    ("nothing wrong", || Script::steady(20), 0, 10.0, &[]),
    (
        "32-bit wrap",
        || Script::steady(20).map(|f| f.stamp_us += ((1 << 32) - 8_000) * 1000),
        0,
        10.0,
        &[Wrap],
    ),
    (
        "33-bit wrap",
        || Script::steady(20).over_ts().map(|f| f.stamp_us += ((1 << 33) / 9 - 80_000) * 100),
        0,
        10.0,
        &[Wrap],
    ),
    ("start near the wrap", || Script::steady(20).map(|f| f.stamp_us -= 20_000), 0, 10.0, &[Wrap]),
    ("jump +9800 s", || Script::steady(20).after(10_000, |f| f.jump(9_800)), 0, 40.0, &[Jump]),
    ("jump +60 s", || Script::steady(20).after(10_000, |f| f.jump(60)), 0, 40.0, &[Jump]),
    ("jump -4 s", || Script::steady(20).after(10_000, |f| f.jump(-4)), 0, 40.0, &[Jump]),
    ("jump to 0", || Script::steady(20).after(10_000, |f| f.jump(-10)), 0, 40.0, &[Jump]),
    (
        "jump of video only",
        || Script::steady(20).after(10_000, |f| f.jump(if video(f.id) { 70 } else { 0 })),
        0,
        40.0,
        &[Jump],
    ),
    (
        "jump of audio only",
        || Script::steady(20).after(10_000, |f| f.jump(if video(f.id) { 0 } else { 70 })),
        0,
        40.0,
        &[Jump],
    ),
];

#[test]
fn clocks_that_wrap_and_jump() {
    check(CLOCKS);
}

/// Pictures of another kind than the usual, with the usual sound.
pub(super) fn pictures(declared: Option<(u32, u32)>, frames: Vec<Frame>, seconds: i64) -> Script {
    Script::new().params(0, V, avc(declared)).params(0, A, aac_48k()).frames(frames).frames(sound(
        0,
        &aac_48k(),
        0,
        seconds * 1000,
    ))
}

/// Three B-frames between the others, as an encoder with a pyramid sends them: `cts` makes the offset out of frames.
fn b_frames(cts: fn(i64) -> i64) -> Script {
    const FRAME_US: i64 = 33_333;
    Script::steady(20).map(|f| {
        if video(f.id) {
            // Decode order I P B B B P B B B …: presented 2 + (0 4 -1 -1 -1) frames after.
            let delay = match f.nth % 60 {
                0 => 2,
                n if n % 4 == 1 => 5,
                n if n % 4 == 2 => 2,
                n if n % 4 == 3 => 0,
                _ => 1,
            };
            f.true_us += delay * FRAME_US;
            f.cts_us = cts(delay * FRAME_US);
        }
    })
}

const FRAMES: &[Case] = &[
    (
        "stamps that repeat",
        || {
            Script::steady(20).map(|f| {
                if video(f.id) && f.nth % 10 == 3 {
                    f.stamp_us -= 33_333
                }
            })
        },
        0,
        40.0,
        &[Backward],
    ),
    (
        "decode times out of order",
        || {
            Script::steady(20).map(|f| {
                if video(f.id) && f.nth % 7 == 5 {
                    f.stamp_us -= 80_000
                }
            })
        },
        0,
        90.0,
        &[Backward],
    ),
    (
        "decode times go back with each group",
        || {
            Script::steady(20).map(|f| {
                if video(f.id) && f.nth % 60 == 0 && f.nth > 0 {
                    f.stamp_us -= 500_000
                }
            })
        },
        0,
        60.0,
        &[Backward],
    ),
    ("three B-frames", || b_frames(|cts| cts), 0, 10.0, &[]),
    ("B-frames without offsets", || b_frames(|_| 0), 0, 200.0, &[]),
    ("B-frames with negative offsets", || b_frames(|cts| cts - 170_000), 0, 180.0, &[]),
    ("B-frames with huge offsets", || b_frames(|cts| cts + 3_000_000_000), 0, 200.0, &[Composition]),
    (
        "a burst of ten seconds",
        || {
            Script::steady(30).after(10_000, |f| {
                if f.at_ms < 20_000 {
                    f.at_ms = 19_989 + (f.at_ms - 10_000) / 1000
                }
            })
        },
        0,
        10.0,
        &[],
    ),
    ("arrival that varies by 300 ms", jittery, 0, 10.0, &[]),
];

#[test]
fn frames_in_disorder() {
    check(FRAMES);
}

/// What comes in half a second comes up to 600 ms late, in order.
fn jittery() -> Script {
    let mut last_ms = 0;
    Script::steady(20).map(|f| {
        last_ms = last_ms.max(f.at_ms + noise(f.at_ms as u64 / 500) % 600);
        f.at_ms = last_ms;
    })
}

/// Anything, but always the same.
pub(super) fn noise(n: u64) -> i64 {
    let mut x = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x ^ (x >> 27)) >> 1) as i64
}

fn silent(f: &Frame, from_s: i64, to_s: i64) -> bool {
    (from_s * 1000..to_s * 1000).contains(&f.at_ms)
}

/// Nobody sends anything for a while; the counter stands still meanwhile, or does not.
fn pause(seconds: i64, frozen: bool) -> Script {
    Script::steady(20).after(10_000, |f| {
        f.at_ms += seconds * 1000;
        if !frozen {
            f.true_us += seconds * 1_000_000;
            f.stamp_us += seconds * 1_000_000;
        }
    })
}

const SILENCES: &[Case] = &[
    ("sound 5 s late", || late(0, 5), 1, 10.0, &[]),
    ("pictures 3 s late", || late(3, 0), 1, 10.0, &[]),
    (
        "sound goes and comes",
        || Script::steady(30).without(|f| f.id == A && silent(f, 10, 18)),
        0,
        50.0,
        &[Gap, Drift],
    ),
    (
        "sound without known silence goes and comes",
        || with_ac3().without(|f| f.id == A && silent(f, 10, 18)),
        0,
        50.0,
        &[Stall],
    ),
    (
        "sound is away for 3 s",
        || Script::steady(20).without(|f| f.id == A && silent(f, 10, 13)),
        0,
        50.0,
        &[Gap, Drift],
    ),
    (
        "pictures go for 10 s",
        || Script::steady(40).without(|f| f.id == V && silent(f, 10, 20)),
        1,
        10.0,
        &[Stall],
    ),
    (
        "pictures go for 3 s",
        || Script::steady(40).without(|f| f.id == V && silent(f, 10, 13)),
        1,
        10.0,
        &[Stall],
    ),
    (
        "pictures go for 0.8 s",
        || Script::steady(40).without(|f| f.id == V && f.at_ms / 100 > 100 && f.at_ms / 100 < 109),
        0,
        10.0,
        &[Gap],
    ),
    (
        "pictures go for 1.2 s",
        || Script::steady(40).without(|f| f.id == V && f.at_ms / 100 > 100 && f.at_ms / 100 < 113),
        1,
        10.0,
        &[Stall],
    ),
    (
        "nothing for 0.8 s",
        || Script::steady(20).without(|f| f.at_ms / 100 > 100 && f.at_ms / 100 < 109),
        0,
        10.0,
        &[Gap, Drift],
    ),
    ("nothing for 4 s, true stamps", || pause(4, false), 1, 10.0, &[Stall]),
    ("nothing for 4 s, stamps stood still", || pause(4, true), 0, 40.0, &[]),
    ("nothing for 20 s, true stamps", || pause(20, false), 1, 10.0, &[Stall]),
    ("nothing for 20 s, stamps stood still", || pause(20, true), 0, 40.0, &[]),
];

#[test]
fn silences() {
    check(SILENCES);
}

/// Both announced, one late.
fn late(video_s: i64, audio_s: i64) -> Script {
    Script::new()
        .params(video_s * 1000, V, avc(FPS30))
        .params(audio_s * 1000, A, aac_48k())
        .frames(Video::default().frames(video_s * 1000, 20_000))
        .frames(sound(0, &aac_48k(), audio_s * 1000, 20_000))
}

fn with_ac3() -> Script {
    Script::new()
        .params(0, V, avc(FPS30))
        .params(0, A, ac3())
        .frames(Video::default().frames(0, 30_000))
        .frames(sound(0, &ac3(), 0, 30_000))
}

/// The publisher comes back `after_ms` after it left, with stamps moved by `stamp_ms`.
fn again(after_ms: i64, stamp_ms: i64) -> Script {
    let second = Script::steady(15).map(|f| f.stamp_us += stamp_ms * 1000);
    Script::steady(10).then(10_000 + after_ms, second)
}

const SESSIONS: &[Case] = &[
    ("at once, stamps from 0", || again(0, 0), 1, 10.0, &[]),
    ("at once, the same clock", || again(0, 10_000), 1, 10.0, &[]),
    ("after 0.3 s", || again(300, 0), 1, 10.0, &[]),
    ("after 3 s, stamps of another day", || again(3_000, 86_400_000), 1, 10.0, &[]),
    (
        "after 1 s, sound first",
        || {
            let lead = Script::steady(15).map(|f| {
                if f.id == V {
                    f.at_ms += 90;
                }
            });
            Script::steady(10).then(11_000, lead)
        },
        1,
        10.0,
        &[],
    ),
    (
        "after 1 s, pictures 0.8 s later",
        || Script::steady(10).then(11_000, Script::steady(15).without(|f| f.id == V && f.at_ms < 800)),
        1,
        10.0,
        &[],
    ),
    (
        "after 1 s, in the middle of a group",
        || Script::steady(10).then(11_000, Script::steady(15).map(|f| f.key = f.id == A || f.nth % 60 == 40)),
        1,
        10.0,
        &[],
    ),
    ("after 50 s", || again(50_000, 0), 1, 10.0, &[]),
    (
        "three times in two seconds",
        || {
            Script::steady(10)
                .then(10_000, Script::steady(1))
                .then(11_000, Script::steady(1))
                .then(12_000, Script::steady(10))
        },
        3,
        10.0,
        &[],
    ),
    ("over another protocol", || Script::steady(10).then(10_500, Script::steady(10)).over_ts(), 1, 10.0, &[]),
];

#[test]
fn publishers_that_come_again() {
    check(SESSIONS);
}

const APART: &[Case] = &[
    (
        "sound 5 s behind",
        || {
            Script::steady(30)
                .map(|f| if f.id == A { f.stamp_us += 90_000_000 } else { f.stamp_us += 95_000_000 })
        },
        0,
        40.0,
        &[Jump],
    ),
    (
        "sound 5 s ahead",
        || {
            Script::steady(30)
                .map(|f| if f.id == A { f.stamp_us += 95_000_000 } else { f.stamp_us += 90_000_000 })
        },
        0,
        40.0,
        &[Jump],
    ),
];

#[test]
fn clocks_apart() {
    check(APART);
}

const NONSENSE: &[Case] = &[
    (
        "random",
        || Script::steady(20).over_ts().map(|f| f.stamp_us = noise(f.at_ms as u64) / 100),
        0,
        1e6,
        &[Wrap, Jump],
    ),
    (
        "random for a second",
        || {
            Script::steady(30).over_ts().map(|f| {
                if silent(f, 10, 11) {
                    f.stamp_us = noise(f.at_ms as u64) / 100
                }
            })
        },
        0,
        100.0,
        &[Wrap, Jump],
    ),
];

#[test]
fn stamps_that_mean_nothing() {
    check(NONSENSE);
}

/// Plays a script; tells in words when that fails.
pub(super) fn played(name: &str, script: Script) -> Result<Outcome, String> {
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| play(name, script, LOOK_MS)));
    played.map_err(|fault| format!("{name}: {}", fault.downcast_ref::<String>().map_or("fell", |s| s)))
}
