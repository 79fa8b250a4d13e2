//! Pauses and states over time.

use super::*;

fn at(ms: i64) -> Now {
    Now { ms, wall_ms: ms }
}

#[test]
fn pauses_double_up_to_a_minute_and_jitter_takes_at_most_a_quarter() {
    let want = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
    for (attempts, want) in (1..).zip(want) {
        assert_eq!(pause_ms(attempts, 0), want, "attempt {attempts}");
        assert_eq!(pause_ms(attempts, u32::MAX), want * 3 / 4, "attempt {attempts}, most jitter");
    }
    assert_eq!((pause_ms(0, 0), pause_ms(u32::MAX, 0)), (1_000, 60_000));
}

/// What happens to a connection.
enum Step {
    Enter(LinkState),
    Passing,
    Slow,
    Final,
}
use LinkState::{Connecting, Live, Refused, Retrying, Stopped, WaitingForStream};
use Step::{Enter, Final, Passing, Slow};

#[test]
fn a_life_goes_through_its_states() {
    // Name; then time, step, the state after it, attempts, time of the next attempt.
    type Row = (i64, Step, LinkState, u32, Option<i64>);
    let lives: [(&str, Vec<Row>); 5] = [
        (
            "refused connections come slower and slower",
            vec![
                (0, Enter(WaitingForStream), WaitingForStream, 0, None),
                (5, Enter(Connecting), Connecting, 1, None),
                (10, Passing, Retrying, 1, Some(1_010)),
                (1_010, Enter(Connecting), Connecting, 2, None),
                (1_020, Passing, Retrying, 2, Some(3_020)),
            ],
        ),
        (
            "a short life does not count as good",
            vec![
                (0, Enter(Connecting), Connecting, 1, None),
                (0, Passing, Retrying, 1, Some(1_000)),
                (1_000, Enter(Connecting), Connecting, 2, None),
                (1_000, Enter(Live), Live, 2, None),
                (60_999, Passing, Retrying, 2, Some(62_999)),
            ],
        ),
        (
            "a long one starts anew",
            vec![
                (0, Enter(Connecting), Connecting, 1, None),
                (0, Passing, Retrying, 1, Some(1_000)),
                (1_000, Enter(Connecting), Connecting, 2, None),
                (1_000, Enter(Live), Live, 2, None),
                (61_000, Passing, Retrying, 1, Some(62_000)),
            ],
        ),
        (
            "a wrong key takes its time",
            vec![
                (0, Enter(Connecting), Connecting, 1, None),
                (7, Slow, Retrying, 1, Some(60_007)),
                (60_007, Enter(Stopped), Stopped, 1, None),
            ],
        ),
        (
            "what cannot work is not tried again, and a stream that ends forgives",
            vec![
                (0, Enter(Connecting), Connecting, 1, None),
                (7, Final, Refused, 1, None),
                (9, Enter(WaitingForStream), WaitingForStream, 0, None),
            ],
        ),
    ];
    for (name, rows) in lives {
        let mut life = Life::new(0);
        for (now, step, state, attempts, retry) in rows {
            let failure = |kind: fn(String) -> Failure| kind("no".into());
            match step {
                Enter(state) => life.enter(state, at(now)),
                Passing => drop(life.fail(&failure(Failure::Passing), at(now), 0)),
                Slow => drop(life.fail(&failure(Failure::Slow), at(now), 0)),
                Final => assert_eq!(life.fail(&failure(Failure::Final), at(now), 0), None),
            }
            let got = (life.state, life.attempts, life.retry_wall_ms, life.since_wall_ms);
            assert_eq!(got, (state, attempts, retry, now), "{name} at {now}");
        }
    }
}

#[test]
fn the_last_error_stays_until_it_is_replaced() {
    let mut life = Life::new(0);
    life.enter(Connecting, at(0));
    life.fail(&Failure::Passing("broken".into()), at(1_000), 0);
    life.enter(Connecting, at(2_000));
    let status = life.status();
    assert_eq!(status.last_error.as_deref(), Some("broken"));
    assert_eq!((status.retry_at, status.since.as_str()), (None, "1970-01-01T00:00:02.000Z"));
    life.note(None);
    assert_eq!(life.status().last_error, None);
}
