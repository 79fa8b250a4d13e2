//! The receiver against a scripted clock.

use super::*;

const LATENCY: Duration = Duration::from_millis(100);
const TOP: u32 = (1 << 31) - 1;

/// A receiver whose peer's clock was 0 at `start`.
fn receiver(first: u32) -> (Receiver, Instant) {
    let start = Clock::read().now;
    (Receiver::new(first, 64, LATENCY, start, 0), start)
}

use crate::clock::Clock;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn take(receiver: &mut Receiver, at: Instant, sequence: u32, sent_ms: u32) -> Taken {
    receiver.take(at, sequence, sent_ms * 1_000, || Some(Bytes::copy_from_slice(&sequence.to_be_bytes())))
}

fn release(receiver: &mut Receiver, now: Instant) -> Vec<u32> {
    let mut out = Vec::new();
    receiver.release(now, &mut out);
    out.iter().map(|m| u32::from_be_bytes(m[..].try_into().expect("four bytes"))).collect()
}

#[test]
fn a_packet_is_due_a_latency_after_it_was_sent() {
    let (mut r, start) = receiver(5);
    assert_eq!(take(&mut r, start + ms(30), 5, 10), Taken::Kept);
    assert!(release(&mut r, start + ms(109)).is_empty());
    assert_eq!(release(&mut r, start + ms(110)), [5]);
    assert_eq!(take(&mut r, start + ms(111), 5, 10), Taken::Useless);
}

#[test]
fn an_unfilled_hole_costs_the_hole_only() {
    let (mut r, start) = receiver(0);
    take(&mut r, start, 0, 0);
    assert_eq!(take(&mut r, start + ms(3), 3, 3), Taken::Gap(2));
    take(&mut r, start + ms(4), 4, 4);
    assert_eq!(take(&mut r, start + ms(50), 2, 2), Taken::Kept);
    assert_eq!(release(&mut r, start + ms(101)), [0]);
    // The tick is late: everything behind the hole is due, and delivered.
    assert_eq!(release(&mut r, start + ms(160)), [2, 3, 4]);
    assert_eq!(r.dropped, 1);
    assert!(r.is_empty());
}

#[test]
fn a_filled_hole_costs_nothing_across_the_wrap() {
    let (mut r, start) = receiver(TOP - 1);
    take(&mut r, start, TOP - 1, 0);
    assert_eq!(take(&mut r, start, 2, 3), Taken::Gap(3));
    // No range spans the wrap.
    assert_eq!(r.report(start), [(TOP, TOP), (0, 1)]);
    assert_eq!(r.report(start + ms(1)), []);
    for sequence in [1, TOP, 0] {
        assert_eq!(take(&mut r, start + ms(50), sequence, 1), Taken::Kept);
    }
    assert_eq!(r.acknowledge(start + ms(51)).map(|a| a.next), Some(3));
    assert_eq!(release(&mut r, start + ms(200)), [TOP - 1, TOP, 0, 1, 2]);
    assert_eq!(r.dropped, 0);
}

#[test]
fn losses_are_reported_again_five_times_in_a_round_trip() {
    let (mut r, start) = receiver(0);
    for sequence in [1, 4] {
        take(&mut r, start, sequence, 0);
    }
    assert_eq!(r.report(start), [(0, 0), (2, 3)]);
    assert_eq!(r.report(start + ms(19)), []);
    take(&mut r, start + ms(19), 2, 0);
    assert_eq!(r.report(start + ms(20)), [(0, 0), (3, 3)]);
    r.give_up(3, 9);
    assert_eq!(r.report(start + ms(900)), [(0, 0)]);
}

#[test]
fn acknowledgements_measure_the_round_trip() {
    let (mut r, start) = receiver(9);
    assert_eq!(r.acknowledge(start), None);
    take(&mut r, start, 9, 0);
    let ack = r.acknowledge(start).expect("something new");
    assert_eq!((ack.number, ack.next, ack.room), (1, 10, 63));
    assert_eq!(r.acknowledge(start + ms(10)), None);
    r.confirm(start + ms(40), 1);
    assert_eq!(r.rtt_us(), Some(40_000));
    assert_eq!(r.acknowledge(start + ms(500)), None);
    take(&mut r, start + ms(500), 10, 0);
    assert_eq!(r.acknowledge(start + ms(500)).map(|a| a.number), Some(2));
    // Unanswered: again, not before two round trips.
    assert_eq!(r.acknowledge(start + ms(570)), None);
    assert_eq!(r.acknowledge(start + ms(620)).map(|a| (a.number, a.next)), Some((3, 11)));
    r.confirm(start + ms(630), 77);
    r.confirm(start + ms(640), 3);
    assert_eq!(r.rtt_us(), Some((40_000 * 7 + 20_000) / 8));
}

#[test]
fn what_cannot_be_opened_is_not_asked_for_again() {
    let (mut r, start) = receiver(0);
    assert_eq!(r.take(start, 0, 0, || None), Taken::Kept);
    take(&mut r, start, 1, 0);
    assert_eq!(r.report(start + ms(500)), []);
    assert_eq!(r.acknowledge(start).map(|a| a.next), Some(2));
    assert_eq!(release(&mut r, start + ms(100)), [1]);
}

#[test]
fn the_window_bounds_what_is_held() {
    let (mut r, start) = receiver(0);
    take(&mut r, start, 0, 0);
    assert_eq!(take(&mut r, start, 64, 0), Taken::NoRoom);
    assert_eq!(take(&mut r, start, 63, 0), Taken::Gap(62));
    assert_eq!(r.held().0, 64);
    assert_eq!(release(&mut r, start + ms(100)), [0, 63]);
    // Nothing held: after an interruption the receiver starts anew.
    assert_eq!(take(&mut r, start + ms(100), 90_000, 100), Taken::Kept);
    assert_eq!(release(&mut r, start + ms(200)), [90_000]);
}

#[test]
fn time_stamps_wrap_and_nonsense_is_held_for_a_second_at_most() {
    let start = Clock::read().now;
    let stamp = u32::MAX - 4_999;
    let mut r = Receiver::new(0, 64, LATENCY, start, stamp);
    r.take(start, 0, stamp, || Some(Bytes::from_static(&[0; 4])));
    r.take(start + ms(10), 1, 5_000, || Some(Bytes::from_static(&[0, 0, 0, 1])));
    assert_eq!(release(&mut r, start + ms(109)), [0]);
    assert_eq!(release(&mut r, start + ms(110)), [1]);
    r.take(start + ms(200), 2, 2_000_000_000, || Some(Bytes::from_static(&[0, 0, 0, 2])));
    assert_eq!(release(&mut r, start + ms(1_300)), [2]);
}

#[test]
fn the_drift_of_the_peers_clock_is_followed() {
    let (mut r, start) = receiver(0);
    // The peer's clock loses 1 ms in 100: ten seconds of samples, each with up to 8 ms of queue.
    for n in 0..1_000_u32 {
        let queue = u64::from(n % 8);
        r.watch_clock(start + ms(u64::from(n) * 10 + queue), n * 9_900);
    }
    // In the second window the least delay grew by that of 500 samples, 50 ms.
    let (at, sent_ms) = (start + ms(10_000), 9_900);
    take(&mut r, at, 0, sent_ms);
    assert!(release(&mut r, start + ms(9_900 + 100 + 49)).is_empty());
    assert_eq!(release(&mut r, start + ms(9_900 + 100 + 51)), [0]);
}

#[test]
fn random_traffic_keeps_order_and_bounds() {
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let (mut r, start) = receiver(TOP - 500);
    let mut last = None;
    for n in 0..20_000_u64 {
        let now = start + ms(n);
        let sequence = seq::add(TOP - 500, u32::try_from(n + random(40)).expect("small"));
        take(&mut r, now, sequence, u32::try_from(n).expect("small"));
        match random(20) {
            0 => r.give_up(sequence, seq::add(sequence, random(100) as u32)),
            1 => r.confirm(now, random(1_000) as u32),
            2 => r.watch_clock(now, random(1 << 32) as u32),
            _ => {}
        }
        let _ = (r.acknowledge(now), r.report(now));
        for released in release(&mut r, now) {
            assert!(last.is_none_or(|l| seq::distance(l, released) > 0));
            last = Some(released);
        }
        assert!(r.held().0 <= 64);
    }
}

/// A sender behind a network that loses packets both ways, as libsrt repeats: once per round trip at most.
struct Sender {
    random: u64,
    events: std::collections::BinaryHeap<std::cmp::Reverse<(u64, u32, bool)>>,
    repeated_us: std::collections::HashMap<u32, u64>,
    lost: u64,
}

impl Sender {
    const ONE_WAY_US: u64 = 50_000;
    const LOST_OF_1000: u64 = 20;

    fn loses(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1_000 < Self::LOST_OF_1000
    }

    fn send(&mut self, now_us: u64, sequence: u32) {
        // One in fifty takes a way that is 15 ms longer.
        let detour = if self.random % 50 == 7 { 15_000 } else { 0 };
        match self.loses() {
            true => self.lost += 1,
            false => {
                self.events.push(std::cmp::Reverse((now_us + Self::ONE_WAY_US + detour, sequence, true)))
            }
        }
    }

    fn reported(&mut self, now_us: u64, sequence: u32) {
        if !self.loses() {
            self.events.push(std::cmp::Reverse((now_us + Self::ONE_WAY_US, sequence, false)));
        }
    }

    fn repeat(&mut self, now_us: u64, sequence: u32) {
        let before = self.repeated_us.insert(sequence, now_us);
        if before.is_none_or(|before| now_us - before >= 2 * Self::ONE_WAY_US - 20_000) {
            self.send(now_us, sequence);
        } else if let Some(before) = before {
            self.repeated_us.insert(sequence, before);
        }
    }
}

/// 75 minutes in simulated time: the 32-bit microseconds go round after 71, the sequence numbers too.
#[test]
fn an_hour_over_a_lossy_network_is_complete() {
    const PACKETS: u32 = 1_300_000;
    const PERIOD_US: u64 = 3_500;
    let (first, start) = (TOP - 600_000, Clock::read().now);
    let mut r = Receiver::new(first, 8_192, Duration::from_millis(400), start, 0);
    let mut sender = Sender {
        random: 4_711,
        events: std::collections::BinaryHeap::new(),
        repeated_us: std::collections::HashMap::new(),
        lost: 0,
    };
    let (mut sent, mut expected, mut now_us) = (0u32, first, 0u64);
    while seq::distance(first, expected) < i32::try_from(PACKETS).expect("small") {
        now_us += 10_000;
        while sent < PACKETS && u64::from(sent) * PERIOD_US <= now_us {
            sender.send(u64::from(sent) * PERIOD_US, seq::add(first, sent));
            sent += 1;
        }
        while let Some(&std::cmp::Reverse((at, sequence, data))) = sender.events.peek()
            && at <= now_us
        {
            sender.events.pop();
            if data {
                let nth = u64::from(seq::distance(first, sequence).unsigned_abs());
                let stamp = u32::try_from(nth * PERIOD_US % (1 << 32)).expect("masked");
                let payload = || Some(Bytes::copy_from_slice(&sequence.to_be_bytes()));
                r.take(start + Duration::from_micros(at), sequence, stamp, payload);
            } else {
                sender.repeat(at, sequence);
            }
        }
        let now = start + Duration::from_micros(now_us);
        if let Some(ack) = r.acknowledge(now) {
            r.confirm(now + Duration::from_micros(2 * Sender::ONE_WAY_US), ack.number);
        }
        for (from, to) in r.report(now) {
            let count = u32::try_from(seq::distance(from, to)).expect("forward");
            (0..=count).for_each(|n| sender.reported(now_us, seq::add(from, n)));
        }
        for released in release(&mut r, now) {
            assert_eq!(released, expected, "after {} s", now_us / 1_000_000);
            expected = seq::add(expected, 1);
        }
        assert!(now_us < 76 * 60 * 1_000_000, "all of it in time");
        if now_us % 60_000_000 == 0 {
            sender.repeated_us.retain(|_, at| *at + 1_000_000 > now_us);
        }
    }
    assert!(sender.lost > u64::from(PACKETS) / 60, "{} were lost on the way", sender.lost);
    assert_eq!(r.dropped, 0);
}
