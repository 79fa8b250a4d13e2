//! The life of a broadcast, decided from what is known of its stream; no store, no clock, no core.
//!
//! ```text
//! scheduled ─► live ◄─► away ─► ended
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long an encoder may be gone before its broadcast is over, milliseconds.
const WINDOW_MS: i64 = 30_000;
/// The same since it was last seen: the last look may have been so long before it went.
const UNSEEN_MS: i64 = WINDOW_MS + 5_000;
/// How far from its planned beginning a broadcast begins with its encoder, milliseconds.
pub(super) const NOW_MS: i64 = 3_600_000;

/// Where a broadcast is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BroadcastState")]
pub(super) enum State {
    /// It is to come.
    Scheduled,
    /// It is on air.
    Live,
    /// It is on air, and its encoder is gone for a moment.
    Away,
    /// It is over.
    Ended,
}

impl State {
    /// As it is stored.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Live => "live",
            Self::Away => "away",
            Self::Ended => "ended",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Scheduled, Self::Live, Self::Away, Self::Ended].into_iter().find(|state| state.name() == name)
    }

    pub(super) fn is_on_air(self) -> bool {
        matches!(self, Self::Live | Self::Away)
    }
}

/// What is known of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Somebody sends it since then.
    On {
        /// Unix milliseconds.
        since_ms: i64,
    },
    /// Nobody does.
    Off,
    /// The core does not say.
    Untold,
}

/// How it stands with a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Air {
    pub(super) state: State,
    /// When its stream was last known to be sent: its end, where it has ended by itself.
    pub(super) seen_ms: i64,
}

impl Air {
    /// How it stands after a look at its stream. Who comes back within the window goes on, also where nobody looked for longer;
    /// what nobody knows anything of for longer is not live, and not over either.
    #[must_use]
    pub(super) fn look(self, seen: Seen, now_ms: i64) -> Self {
        let Self { state, seen_ms } = self;
        if !state.is_on_air() {
            return self;
        }
        match seen {
            Seen::On { since_ms } if since_ms - seen_ms < UNSEEN_MS => {
                Self { state: State::Live, seen_ms: now_ms }
            }
            Seen::Off if now_ms - seen_ms < UNSEEN_MS => Self { state: State::Away, seen_ms },
            Seen::On { .. } | Seen::Off => Self { state: State::Ended, seen_ms },
            Seen::Untold if now_ms - seen_ms < WINDOW_MS => self,
            Seen::Untold => Self { state: State::Away, seen_ms },
        }
    }
}

/// Which of the planned ones, by the time for which they are planned, begins with an encoder: the nearest within an hour, else
/// the first that is planned for no time of its own.
pub(super) fn begins(planned: &[Option<i64>], now_ms: i64) -> Option<usize> {
    let far = |at: &Option<i64>| at.map(|at| (at - now_ms).abs());
    let near = planned.iter().enumerate().filter(|(_, at)| far(at).is_some_and(|far| far <= NOW_MS));
    let nearest = near.min_by_key(|(_, at)| far(at)).map(|(nth, _)| nth);
    nearest.or_else(|| planned.iter().position(Option::is_none))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_000_000;

    #[track_caller]
    fn check(name: &str, state: State, seen: Seen, after_ms: i64, want: (State, i64)) {
        let air = Air { state, seen_ms: T }.look(seen, T + after_ms);
        assert_eq!((air.state, air.seen_ms - T), want, "{name}");
    }

    #[test]
    fn a_broadcast_follows_its_stream() {
        use Seen::{Off, Untold};
        use State::{Away, Ended, Live, Scheduled};
        let on = |since_ms: i64| Seen::On { since_ms: T + since_ms };
        check("goes on", Live, on(-9_000), 5_000, (Live, 5_000));
        check("gone", Live, Off, 5_000, (Away, 0));
        check("gone for just less than the window", Away, Off, UNSEEN_MS - 1, (Away, 0));
        check("gone for the window", Away, Off, UNSEEN_MS, (Ended, 0));
        check("gone at one stroke", Live, Off, UNSEEN_MS, (Ended, 0));
        check("back in time", Away, on(20_000), 25_000, (Live, 25_000));
        check("back in time, seen late", Away, on(UNSEEN_MS - 1), 90_000, (Live, 90_000));
        check("back too late", Away, on(UNSEEN_MS), UNSEEN_MS + 1, (Ended, 0));
        check("another after nobody looked", Live, on(400_000), 500_000, (Ended, 0));
        check("the same after nobody looked", Live, on(-9_000), 500_000, (Live, 500_000));
        check("the core says nothing for a moment", Live, Untold, 29_999, (Live, 0));
        check("the core says nothing for long", Live, Untold, WINDOW_MS, (Away, 0));
        check("and longer", Away, Untold, 9_000_000, (Away, 0));
        check("what is planned begins elsewhere", Scheduled, on(0), 5_000, (Scheduled, 0));
        check("what is over stays over", Ended, on(0), 5_000, (Ended, 0));
    }

    /// Any walk: over is for ever, a loss longer than the window is never live, and time never runs back.
    #[test]
    fn never_live_behind_the_window() {
        let mut seed = 7_u64;
        let mut random = |below: i64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..2_000 {
            let (mut air, mut now_ms) = (Air { state: State::Live, seen_ms: T }, T);
            for _ in 0..40 {
                now_ms += 1 + random(20_000);
                let seen = match random(3) {
                    0 => Seen::On { since_ms: now_ms - random(60_000) },
                    1 => Seen::Off,
                    _ => Seen::Untold,
                };
                let next = air.look(seen, now_ms);
                assert!(next.seen_ms >= air.seen_ms && next.seen_ms <= now_ms);
                assert!(air.state != State::Ended || next == air, "over is over");
                assert!(next.state != State::Live || now_ms - next.seen_ms < WINDOW_MS, "{air:?} {seen:?}");
                assert!(seen != Seen::Off || next.state != State::Live, "nobody sends it");
                air = next;
            }
        }
    }

    #[test]
    fn the_nearest_of_those_planned_begins() {
        let hour = NOW_MS;
        for (name, planned, want) in [
            ("none", vec![], None),
            ("too far", vec![Some(T + hour + 1), Some(T - hour - 1)], None),
            ("at the edges", vec![Some(T + hour)], Some(0)),
            ("the nearest", vec![Some(T + hour), Some(T - 5), None], Some(1)),
            ("for no time of its own", vec![Some(T + 2 * hour), None, None], Some(1)),
        ] {
            assert_eq!(begins(&planned, T), want, "{name}");
        }
    }
}
