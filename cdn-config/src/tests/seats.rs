//! Seats of tokens: so many devices, over all edges of a region.

use proptest::prelude::*;

use crate::seats::IDLE_MS;
use crate::{Full, Name, Seats};

const TOKEN: (u64, u64) = (7, 7);

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).expect("a name")
}

fn device(nth: u64) -> (u64, u64) {
    (0, nth)
}

/// Each edge hears of the others, so long after they told.
fn tell(edges: &mut [Seats], now_ms: i64, late_ms: i64) {
    let told: Vec<_> = edges.iter().map(|edge| edge.told(now_ms)).collect();
    for (nth, edge) in edges.iter_mut().enumerate() {
        for (other, seats) in told.iter().enumerate().filter(|(other, _)| *other != nth) {
            edge.hear(&name(&format!("e{other}")), seats, now_ms + late_ms);
        }
    }
}

#[test]
fn who_came_first_stays_however_late_it_is_told() {
    let mut edges = [Seats::default(), Seats::default()];
    for (edge, who) in [(0, 1), (1, 2)] {
        assert_eq!(edges[edge].ask(TOKEN, device(who), 1, who as i64), Ok(()));
    }
    for at_ms in [10, 1_000, 2_000] {
        tell(&mut edges, at_ms, 900);
        let stay =
            [(0, 1), (1, 2)].map(|(edge, who)| edges[edge].ask(TOKEN, device(who), 1, at_ms + 901).is_ok());
        assert_eq!(stay, [true, false], "{at_ms}");
    }
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_out() {
    let mut seats = Seats::default();
    assert_eq!(seats.ask(TOKEN, device(1), 1, 3_600_000), Ok(()));
    assert_eq!(seats.ask(TOKEN, device(2), 1, 3_599_990), Err(Full), "others read it a moment ago");
    assert_eq!(seats.ask(TOKEN, device(2), 1, 0), Ok(()));
}

#[test]
fn a_token_has_its_seats_and_who_leaves_makes_room() {
    let mut seats = Seats::default();
    for (at_ms, who, want) in [
        (0, 1, Ok(())),
        (1, 2, Ok(())),
        (2, 3, Err(Full)),
        (IDLE_MS - 1, 1, Ok(())),
        (IDLE_MS, 3, Err(Full)),
        // The second has asked for nothing since.
        (IDLE_MS + 1, 3, Ok(())),
        (IDLE_MS + 2, 2, Err(Full)),
        (IDLE_MS + 3, 1, Ok(())),
    ] {
        assert_eq!(seats.ask(TOKEN, device(who), 2, at_ms), want, "{who} at {at_ms}");
    }
    assert_eq!(seats.ask((8, 8), device(2), 2, IDLE_MS), Ok(()), "another token has its own");
    seats.tidy(10 * IDLE_MS, |_| true);
    assert_eq!((seats.count(), seats.told(10 * IDLE_MS).len()), (0, 0));
}

#[test]
fn fewer_seats_are_for_those_who_came_first() {
    let mut seats = Seats::default();
    (1..=3).for_each(|who| assert_eq!(seats.ask(TOKEN, device(who), 3, 10 - who as i64), Ok(())));
    let asked = [1, 2, 3].map(|who| seats.ask(TOKEN, device(who), 1, 20).is_ok());
    assert_eq!(asked, [false, false, true]);
}

#[test]
fn a_device_that_moves_to_another_edge_keeps_its_one_seat() {
    let mut edges = [Seats::default(), Seats::default()];
    assert_eq!(edges[0].ask(TOKEN, device(1), 1, 0), Ok(()));
    assert_eq!(edges[1].ask(TOKEN, device(2), 1, 500), Ok(()), "nobody has told");
    tell(&mut edges, 1_000, 0);
    assert_eq!(edges[1].ask(TOKEN, device(2), 1, 1_001), Err(Full), "the other came first");
    assert_eq!(edges[1].ask(TOKEN, device(1), 1, 1_002), Ok(()));
    // Its first edge is dead, and no longer tells.
    assert_eq!(edges[1].ask(TOKEN, device(1), 1, IDLE_MS + 2_000), Ok(()));
    assert_eq!(edges[1].ask(TOKEN, device(2), 1, IDLE_MS + 2_001), Err(Full));
    edges[1].tidy(IDLE_MS + 2_001, |_| false);
    assert!(!edges[1].knows(&name("e0")), "it is no more in the network");
}

proptest! {
    /// Whoever asks where: a second after the edges told each other, no more devices are served than there are seats.
    #[test]
    fn no_token_has_more_devices_than_seats(
        asked in proptest::collection::vec((0usize..3, 0u64..8, 0i64..900), 1..120),
        max in 1u32..4,
    ) {
        let (mut edges, mut now_ms) = ([Seats::default(), Seats::default(), Seats::default()], 0);
        for (edge, who, after_ms) in asked {
            now_ms += after_ms;
            let _ = edges[edge].ask(TOKEN, device(who), max, now_ms);
            if who == 0 {
                tell(&mut edges, now_ms, 0);
            }
        }
        tell(&mut edges, now_ms, 0);
        let served = |edges: &mut [Seats; 3], who| edges.iter_mut().any(|e| e.clone().ask(TOKEN, device(who), max, now_ms).is_ok());
        let known: Vec<u64> = (0..8)
            .filter(|who| edges.iter().any(|e| e.told(now_ms).iter().any(|seat| seat.device == device(*who))))
            .collect();
        let stay = known.iter().filter(|who| served(&mut edges, **who)).count();
        prop_assert!(stay <= max as usize, "{stay} of {known:?}");
    }
}
