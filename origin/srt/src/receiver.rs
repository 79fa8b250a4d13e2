//! The receiving half of a connection: what is missing, what is acknowledged, and when a packet is due
//! (draft-sharabayko-srt §4.5 to §4.8). Time comes in as an argument.
//!
//! Ours and not the library's, because a hole that was not filled in time must cost the hole only; there it also takes
//! each good packet behind it that is due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::seq;

/// Ranges that one report of loss names: they fit a datagram.
const REPORT_RANGES_MAX: usize = 170;
/// Acknowledgements that wait for their answer.
const ACKS_MAX: usize = 256;
/// A packet is never held longer than the agreed delay and this, whatever its time stamp says.
const STAMP_SLACK: Duration = Duration::from_secs(1);
/// Samples of the sender's clock, one per acknowledgement, from which its drift is judged.
const DRIFT_SAMPLES: u32 = 500;
/// Drift that is corrected; microseconds.
const DRIFT_MIN_US: i64 = 1_000;
/// Shortest time between two reports of the same loss; microseconds.
const REPORT_PAUSE_MIN_US: u64 = 20_000;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is kept.
    Kept,
    /// It is kept and shows that so many before it are missing.
    Gap(u32),
    /// It was there or given up already.
    Useless,
    /// It is too far ahead.
    NoRoom,
}

/// An acknowledgement to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) number: u32,
    /// The first sequence number that is not there.
    pub(crate) next: u32,
    pub(crate) rtt_us: u32,
    pub(crate) rtt_variance_us: u32,
    pub(crate) room: u32,
}

#[derive(Debug)]
enum Slot {
    /// Missing; to be reported at this time.
    Lost { report_at: Instant },
    /// The sender has given it up, or it cannot be read.
    Void,
    /// There, due at this time.
    Here { due: Instant, payload: Bytes },
}

#[derive(Debug)]
struct Sent {
    number: u32,
    next: u32,
    at: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Receiver {
    slots: VecDeque<Slot>,
    /// Sequence number of the first slot.
    first: u32,
    /// Slots before this one are not missing.
    whole: usize,
    window: usize,
    latency: Duration,
    clock: PeerClock,
    acks: VecDeque<Sent>,
    ack_number: u32,
    /// What the peer has confirmed to know.
    confirmed: u32,
    rtt_us: u32,
    rtt_variance_us: u32,
    rtt_known: bool,
    pub(crate) dropped: u64,
    /// Whether some slot may be missing: no scan without.
    holes: bool,
}

impl Receiver {
    /// `first` is the sequence number that the handshake agreed on; at `at`, the peer's clock said `stamp_us`.
    pub(crate) fn new(first: u32, window: u32, latency: Duration, at: Instant, stamp_us: u32) -> Self {
        Self {
            slots: VecDeque::new(),
            first,
            whole: 0,
            window: window as usize,
            latency,
            clock: PeerClock::new(at, stamp_us),
            acks: VecDeque::new(),
            ack_number: 0,
            confirmed: first,
            rtt_us: 100_000,
            rtt_variance_us: 50_000,
            rtt_known: false,
            dropped: 0,
            holes: false,
        }
    }

    /// Takes a data packet; `open` decrypts its payload and is asked only if the packet is of use.
    pub(crate) fn take(
        &mut self,
        at: Instant,
        sequence: u32,
        stamp_us: u32,
        open: impl FnOnce() -> Option<Bytes>,
    ) -> Taken {
        let Ok(ahead) = usize::try_from(seq::distance(self.first, sequence)) else { return Taken::Useless };
        if let Some(slot) = self.slots.get_mut(ahead) {
            if !matches!(slot, Slot::Lost { .. }) {
                return Taken::Useless;
            }
            let due = self.clock.due(at, stamp_us, self.latency);
            *slot = open().map_or(Slot::Void, |payload| Slot::Here { due, payload });
            return Taken::Kept;
        }
        if ahead >= self.window && !self.skip_to(sequence) {
            self.dropped += 1;
            return Taken::NoRoom;
        }
        let gap = usize::try_from(seq::distance(self.end(), sequence)).unwrap_or(0);
        for _ in 0..gap {
            self.slots.push_back(Slot::Lost { report_at: at });
        }
        self.holes |= gap > 0;
        let due = self.clock.due(at, stamp_us, self.latency);
        self.slots.push_back(open().map_or(Slot::Void, |payload| Slot::Here { due, payload }));
        if gap == 0 { Taken::Kept } else { Taken::Gap(u32::try_from(gap).unwrap_or(u32::MAX)) }
    }

    /// After an interruption longer than the window nothing before `sequence` can come any more: starts there, if
    /// nothing good is held.
    fn skip_to(&mut self, sequence: u32) -> bool {
        if self.slots.iter().any(|s| matches!(s, Slot::Here { .. })) {
            return false;
        }
        self.dropped += u64::from(seq::distance(self.first, sequence).unsigned_abs());
        self.slots.clear();
        self.first = sequence;
        self.whole = 0;
        true
    }

    /// Sequence number behind the last slot.
    fn end(&self) -> u32 {
        seq::add(self.first, u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
    }

    /// The sender will not repeat `from` to `to`.
    pub(crate) fn give_up(&mut self, from: u32, to: u32) {
        let start = usize::try_from(seq::distance(self.first, from)).unwrap_or(0);
        let Ok(end) = usize::try_from(seq::distance(self.first, to)) else { return };
        for slot in self.slots.iter_mut().take(end.saturating_add(1)).skip(start) {
            if matches!(slot, Slot::Lost { .. }) {
                *slot = Slot::Void;
            }
        }
    }

    /// Moves what is due at `now` into `out`. A hole is skipped when the packet behind it is due.
    pub(crate) fn release(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        loop {
            match self.slots.front() {
                Some(Slot::Here { due, .. }) if *due <= now => self.pop(1, out),
                Some(Slot::Here { .. }) | None => return,
                Some(Slot::Lost { .. } | Slot::Void) => {
                    let hole = self.slots.iter().take_while(|s| !matches!(s, Slot::Here { .. })).count();
                    match self.slots.get(hole) {
                        Some(Slot::Here { due, .. }) if *due <= now => {
                            self.dropped += hole as u64;
                            self.pop(hole, out);
                        }
                        _ => return,
                    }
                }
            }
        }
    }

    fn pop(&mut self, count: usize, out: &mut Vec<Bytes>) {
        for slot in self.slots.drain(..count.min(self.slots.len())) {
            if let Slot::Here { payload, .. } = slot {
                out.push(payload);
            }
        }
        self.first = seq::add(self.first, u32::try_from(count).unwrap_or(0));
        self.whole = self.whole.saturating_sub(count);
    }

    /// The acknowledgement that is owed, if any (§4.8.1): something new, or the last one unanswered for two round trips.
    pub(crate) fn acknowledge(&mut self, now: Instant) -> Option<Ack> {
        while self.slots.get(self.whole).is_some_and(|s| !matches!(s, Slot::Lost { .. })) {
            self.whole += 1;
        }
        self.holes = self.whole < self.slots.len();
        let next = seq::add(self.first, u32::try_from(self.whole).unwrap_or(u32::MAX));
        if next == self.confirmed {
            return None;
        }
        let patience = Duration::from_micros(u64::from(self.rtt_us) * 2 + u64::from(self.rtt_variance_us));
        if self.acks.back().is_some_and(|last| last.next == next && now < last.at + patience) {
            return None;
        }
        self.ack_number = self.ack_number.wrapping_add(1).max(1);
        if self.acks.len() >= ACKS_MAX {
            self.acks.pop_front();
        }
        self.acks.push_back(Sent { number: self.ack_number, next, at: now });
        Some(Ack {
            number: self.ack_number,
            next,
            rtt_us: self.rtt_us,
            // libsrt passes over reports for a round trip less four times this: a steady link would leave it no more
            // than one retry per round trip, and few of those fit into the latency.
            rtt_variance_us: self.rtt_variance_us.max(self.rtt_us / 8),
            room: u32::try_from(self.window.saturating_sub(self.slots.len())).unwrap_or(0).max(2),
        })
    }

    /// The peer has seen acknowledgement `number`: a sample of the round trip (§4.10).
    pub(crate) fn confirm(&mut self, at: Instant, number: u32) {
        let Some(place) = self.acks.iter().position(|a| a.number == number) else { return };
        let Some(ack) = self.acks.drain(..=place).next_back() else { return };
        self.confirmed = ack.next;
        let sample = u32::try_from(at.saturating_duration_since(ack.at).as_micros())
            .unwrap_or(u32::MAX)
            .min(10_000_000);
        if self.rtt_known {
            self.rtt_variance_us = (self.rtt_variance_us * 3 + self.rtt_us.abs_diff(sample)) / 4;
            self.rtt_us = (self.rtt_us * 7 + sample) / 8;
        } else {
            (self.rtt_us, self.rtt_variance_us, self.rtt_known) = (sample, sample / 2, true);
        }
    }

    /// Time stamp of a control packet: a sample of the peer's clock.
    pub(crate) fn watch_clock(&mut self, at: Instant, stamp_us: u32) {
        self.clock.watch(at, stamp_us);
    }

    /// Ranges (first and last) that are missing and whose report is due.
    pub(crate) fn report(&mut self, now: Instant) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        if !self.holes {
            return ranges;
        }
        // A report or its answer may be lost too, and every retry that fits into the agreed latency counts. Senders
        // (libsrt from 1.4.2 on) answer the first report that comes about a round trip after their last answer and
        // pass over the others: often enough that this one is not long in coming.
        let pause = u64::from(self.rtt_us) / 5;
        let again = now + Duration::from_micros(pause.max(REPORT_PAUSE_MIN_US));
        for (place, slot) in self.slots.iter_mut().enumerate().skip(self.whole) {
            let Slot::Lost { report_at } = slot else { continue };
            if *report_at > now {
                continue;
            }
            let sequence = seq::add(self.first, u32::try_from(place).unwrap_or(u32::MAX));
            // A range never spans the wrap: not every peer understands one.
            let range = ranges.last_mut().filter(|(_, last)| sequence != 0 && seq::add(*last, 1) == sequence);
            if let Some((_, last)) = range {
                *last = sequence;
            } else if ranges.len() < REPORT_RANGES_MAX {
                ranges.push((sequence, sequence));
            } else {
                break;
            }
            *report_at = again;
        }
        ranges
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Smoothed round trip, once there is one; microseconds.
    pub(crate) fn rtt_us(&self) -> Option<u32> {
        self.rtt_known.then_some(self.rtt_us)
    }

    /// Packets held, and the time that they span.
    pub(crate) fn held(&self) -> (u32, Duration) {
        let due = |slot: &Slot| match slot {
            Slot::Here { due, .. } => Some(*due),
            _ => None,
        };
        let span = match (self.slots.iter().find_map(due), self.slots.iter().rev().find_map(due)) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        };
        (u32::try_from(self.slots.len()).unwrap_or(u32::MAX), span)
    }
}

/// The peer's time stamps, 32 bits of microseconds, on our clock.
#[derive(Debug)]
struct PeerClock {
    /// Our time at the peer's `origin_us`.
    origin: Instant,
    origin_us: i64,
    /// The latest stamp, with the wraps (every 71 minutes) counted.
    last_us: i64,
    samples: u32,
    /// Least delay of a control packet in this window and in the one before; microseconds.
    least_us: i64,
    base_us: Option<i64>,
}

impl PeerClock {
    fn new(at: Instant, stamp_us: u32) -> Self {
        let stamp = i64::from(stamp_us);
        Self { origin: at, origin_us: stamp, last_us: stamp, samples: 0, least_us: i64::MAX, base_us: None }
    }

    /// Counts the wraps: the stamp is within 35 minutes of the last.
    fn unwrap(&mut self, stamp_us: u32) -> i64 {
        // The low 32 bits of the last stamp; the difference, wrapped, is the signed way to the new one.
        let step = stamp_us.wrapping_sub(self.last_us as u32).cast_signed();
        let stamp = self.last_us + i64::from(step);
        self.last_us = self.last_us.max(stamp);
        stamp
    }

    /// Our time of a stamp, if it is one that an `Instant` can tell.
    fn instant(&self, stamp_us: i64) -> Option<Instant> {
        let since = stamp_us - self.origin_us;
        let span = Duration::from_micros(since.unsigned_abs());
        if since >= 0 { self.origin.checked_add(span) } else { self.origin.checked_sub(span) }
    }

    fn due(&mut self, at: Instant, stamp_us: u32, latency: Duration) -> Instant {
        let stamp = self.unwrap(stamp_us);
        let latest = at + latency + STAMP_SLACK;
        self.instant(stamp).map_or(at, |sent| sent + latency).min(latest)
    }

    /// Follows the drift of the peer's clock by the fastest control packet of each window: queues only delay.
    fn watch(&mut self, at: Instant, stamp_us: u32) {
        let stamp = self.unwrap(stamp_us);
        let Some(expected) = self.instant(stamp) else { return };
        let late = at.saturating_duration_since(expected).as_micros();
        let early = expected.saturating_duration_since(at).as_micros();
        let delay = i64::try_from(late).unwrap_or(i64::MAX) - i64::try_from(early).unwrap_or(0);
        self.least_us = self.least_us.min(delay);
        self.samples += 1;
        if self.samples < DRIFT_SAMPLES {
            return;
        }
        let least = std::mem::replace(&mut self.least_us, i64::MAX);
        self.samples = 0;
        let base = *self.base_us.get_or_insert(least);
        let drift = least - base;
        if drift.abs() >= DRIFT_MIN_US {
            // What the origin moves by, the delays measured from it lose.
            self.origin_us -= drift;
        }
    }
}

#[cfg(test)]
mod tests;
