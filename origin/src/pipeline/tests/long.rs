//! Hours, clocks that drift, and holes at every place.

use nx_media::Kind;
use nx_timeline::RepairKind::Drift;

use super::corpus::{A, V, played};
use super::rig::play;
use super::script::{Frame, Script, Video, aac_48k, avc, sound};

/// Sound whose samples come `ppm` faster than its stamps say, for a while.
fn drifting(ppm: i64, seconds: i64) -> Script {
    Script::steady(seconds).map(move |f| {
        if f.id.kind == Kind::Audio {
            let us = f.true_us * ppm / 1_000_000;
            f.true_us -= us;
            f.stamp_us -= us;
        }
    })
}

#[test]
fn clocks_that_drift_are_together_all_the_time() {
    for (ppm, seconds) in [(50, 1_200), (-50, 1_200), (500, 120)] {
        let outcome = play(&format!("{ppm} ppm"), drifting(ppm, seconds), 1_000);
        let worst_ms = outcome.player.worst_s * 1000.0;
        assert!(worst_ms <= 20.0, "{ppm} ppm: {worst_ms} ms apart");
        assert_eq!(outcome.seams, 0, "{ppm} ppm");
        assert!(outcome.repairs.iter().all(|(kind, _)| *kind == Drift), "{ppm} ppm: {:?}", outcome.repairs);
    }
}

#[test]
fn an_hour_of_rounded_stamps_stays_together() {
    let rate = (30_000, 1001);
    let script = Script::new()
        .params(0, V, avc(Some(rate)))
        .params(0, A, aac_48k())
        .frames(Video { rate, ..Video::default() }.frames(0, 3_600_000))
        .frames(sound(0, &aac_48k(), 0, 3_600_000));
    let outcome = play("an hour", script, 2_000);
    assert!(outcome.player.worst_s <= 0.01, "{} s apart", outcome.player.worst_s);
    assert_eq!((outcome.seams, outcome.repairs), (0, vec![]));
}

/// Wherever frames are missing, and however many: the playlists keep their promises.
#[test]
fn holes_of_every_length_at_every_place() {
    let mut faults = Vec::new();
    for hole_ms in [150, 400, 700, 950, 1_050, 1_500, 2_500, 4_000, 6_000] {
        for from_ms in (8_000..10_000).step_by(310) {
            for lost in [Some(V), Some(A), None] {
                let hole = from_ms..from_ms + hole_ms;
                let gone = |f: &Frame| hole.contains(&f.at_ms) && lost.is_none_or(|id| id == f.id);
                let name = format!("{hole_ms} ms of {lost:?} missing at {from_ms}");
                let outcome = match played(&name, Script::steady(18).without(gone)) {
                    Ok(outcome) => outcome,
                    Err(fault) => {
                        faults.push(fault);
                        continue;
                    }
                };
                let most = u64::from(hole_ms > 900 && lost != Some(A));
                let apart_ms = outcome.player.offset_ms().unwrap_or(f64::MAX);
                if outcome.seams > most || apart_ms.abs() > 20.0 {
                    faults.push(format!(
                        "{name}: {} seams, {apart_ms} ms, {:?}",
                        outcome.seams, outcome.repairs
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
