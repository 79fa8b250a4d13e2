//! One manifest by itself, at the time it was answered.

use std::collections::BTreeSet;

use super::dash::Teller;
use super::dash_rules as rule;
use crate::mpd::{Entry, Mpd, Period, Segment, Set, Template, date_time};

/// How far clocks and answers may be off, in seconds.
const SLACK_S: f64 = 0.5;
/// How wrong the clock of a manifest may be, in seconds.
const CLOCK_S: f64 = 2.0;

/// Whether a segment is within its availability at `now_s`, with half a second on both sides.
pub(crate) fn is_available(mpd: &Mpd, segment: &Segment, now_s: f64) -> bool {
    let end_s = mpd.depth_s.map_or(f64::INFINITY, |depth| segment.complete_s + depth + segment.seconds());
    !mpd.dynamic || (now_s > segment.available_s + SLACK_S && now_s < end_s - SLACK_S)
}

pub(crate) fn judge(mpd: &Mpd, teller: &mut Teller<'_>) {
    if mpd.dynamic {
        dynamic(mpd, teller);
        clocks(mpd, teller);
        delay(mpd, teller);
    }
    periods(mpd, teller);
    for period in &mpd.periods {
        let mut ids = BTreeSet::new();
        clock(mpd, period, teller);
        for set in &period.sets {
            for representation in &set.representations {
                if !ids.insert(&representation.id) {
                    let what = format!("a second Representation with id {}", representation.id);
                    teller.tell(&rule::SAME_ID, representation.line, what);
                }
            }
            self::set(mpd, period, set, teller);
        }
    }
}

fn dynamic(mpd: &Mpd, teller: &mut Teller<'_>) {
    if mpd.start_s.is_none() {
        teller.tell(&rule::NO_START, 0, "no MPD@availabilityStartTime".into());
    }
    if mpd.published_s.is_none() {
        teller.tell(&rule::NO_PUBLISH_TIME, 0, "no MPD@publishTime".into());
    }
    let timed = |m: &Mpd| {
        m.representations().any(|(_, _, r)| r.template.as_ref().is_some_and(|t| t.timeline.is_some()))
    };
    if mpd.update_s.is_none() && timed(mpd) {
        teller.tell(&rule::NO_UPDATES, 0, "no MPD@minimumUpdatePeriod".into());
    }
}

fn clocks(mpd: &Mpd, teller: &mut Teller<'_>) {
    if mpd.clocks.is_empty() {
        teller.tell(&rule::NO_CLOCK, 0, "no UTCTiming".into());
    }
    for (scheme, value) in &mpd.clocks {
        if !scheme.starts_with("urn:mpeg:dash:utc:") {
            teller.tell(&rule::NO_CLOCK, 0, format!("UTCTiming of an unknown scheme {scheme}"));
        }
        let direct = scheme.starts_with("urn:mpeg:dash:utc:direct:");
        let Some(said) = date_time(value).filter(|_| direct) else { continue };
        let off = said - teller.now_s;
        if off.abs() > CLOCK_S {
            teller.tell(&rule::CLOCK_OFF, 0, format!("utc:direct says {value}, {off:+.1} s off"));
        }
    }
}

fn delay(mpd: &Mpd, teller: &mut Teller<'_>) {
    let delays = [mpd.delay_s, mpd.latency.map(|l| l.target_s)];
    if delays.iter().all(Option::is_none) {
        teller.tell(
            &rule::DELAY,
            0,
            "neither suggestedPresentationDelay nor ServiceDescription/Latency".into(),
        );
    }
    for delay in delays.into_iter().flatten() {
        if let Some(depth) = mpd.depth_s.filter(|depth| delay > *depth) {
            let what = format!("a delay of {delay} s, but the time shift buffer has only {depth} s");
            teller.tell(&rule::DELAY, 0, what);
        }
    }
    if let Some(l) = mpd.latency
        && (l.min_s.is_some_and(|min| min > l.target_s) || l.max_s.is_some_and(|max| max < l.target_s))
    {
        teller.tell(&rule::DELAY, 0, format!("Latency target {} s is not between min and max", l.target_s));
    }
}

fn periods(mpd: &Mpd, teller: &mut Teller<'_>) {
    let mut ids = BTreeSet::new();
    for period in mpd.periods.iter().filter(|_| mpd.dynamic) {
        match &period.id {
            None => teller.tell(&rule::PERIOD_ID, period.line, "a period without id".into()),
            Some(id) if !ids.insert(id) => {
                teller.tell(&rule::PERIOD_ID, period.line, format!("a second period with id {id}"));
            }
            Some(_) => {}
        }
    }
    for pair in mpd.periods.windows(2) {
        let [a, b] = pair else { continue };
        let Some((start, next)) = a.start_s.zip(b.start_s) else { continue };
        let end = a.duration_s.map(|d| start + d);
        if end.is_some_and(|end| (end - next).abs() > 0.001) || next <= start {
            let what = format!("begins at {next} s, the one before at {start} s ends at {end:?}");
            teller.tell(&rule::PERIODS, b.line, what);
        }
    }
}

fn set(mpd: &Mpd, period: &Period, set: &Set, teller: &mut Teller<'_>) {
    let mut first: Option<Vec<(f64, f64)>> = None;
    for representation in &set.representations {
        let Some(template) = &representation.template else {
            teller.tell(&rule::NO_SEGMENTS, representation.line, "no SegmentTemplate@media".into());
            continue;
        };
        match &template.timeline {
            Some(entries) => timeline(entries, teller),
            None if template.duration.is_none() => {
                let what = "neither SegmentTemplate@duration nor SegmentTimeline".into();
                teller.tell(&rule::NO_SEGMENTS, representation.line, what);
            }
            None => {}
        }
        let segments = mpd.segments(period, representation, teller.now_s);
        offset(template, &segments, representation.line, teller);
        if mpd.dynamic {
            // What a later Period goes on with is old in this one.
            let goes_on = mpd.periods.last().is_some_and(|last| std::ptr::eq(last, period));
            edge((mpd, goes_on), template, &segments, representation.line, teller);
        }
        let times = segments.iter().map(|s| {
            let scale = s.timescale as f64;
            ((s.t as f64 - template.offset as f64) / scale, s.d as f64 / scale)
        });
        let times: Vec<(f64, f64)> = times.collect();
        match &first {
            Some(first) if set.aligned && !aligned(first, &times) => {
                let what =
                    format!("segments of {} are not those of the first representation", representation.id);
                teller.tell(&rule::ALIGNMENT, representation.line, what);
            }
            Some(_) => {}
            None => first = Some(times),
        }
    }
}

/// With low latency one clock is enough: the sets of a period share their time line.
fn clock(mpd: &Mpd, period: &Period, teller: &mut Teller<'_>) {
    let templates =
        || period.sets.iter().flat_map(|s| &s.representations).filter_map(|r| r.template.as_ref());
    let told = period.sets.iter().any(|set| set.producer_time);
    if mpd.dynamic && !told && templates().any(|t| !t.complete) {
        teller.tell(&rule::PRODUCER_TIME, period.line, "no ProducerReferenceTime".into());
    }
}

/// Where both list a time they agree on it; one may be a segment ahead.
fn aligned(a: &[(f64, f64)], b: &[(f64, f64)]) -> bool {
    let close = |x: f64, y: f64| (x - y).abs() < 0.001;
    let from = match (a.first(), b.first()) {
        (Some(x), Some(y)) => x.0.max(y.0) - 0.001,
        _ => return true,
    };
    let (a, b) = (a.iter().filter(|s| s.0 >= from), b.iter().filter(|s| s.0 >= from));
    a.zip(b).all(|(x, y)| close(x.0, y.0) && close(x.1, y.1))
}

fn timeline(entries: &[Entry], teller: &mut Teller<'_>) {
    let mut at: Option<u64> = None;
    for (place, entry) in entries.iter().enumerate() {
        if entry.d == 0 {
            teller.tell(&rule::OVERLAP, entry.line, "a segment of length 0".into());
            return;
        }
        match (at, entry.t) {
            (Some(end), Some(t)) if t < end => {
                let what = format!("S@t={t} is before {end}, where the one before ends");
                teller.tell(&rule::OVERLAP, entry.line, what);
            }
            (Some(end), Some(t)) if t > end => {
                teller.tell(&rule::HOLE, entry.line, format!("{} ticks are missing before S@t={t}", t - end));
            }
            _ => {}
        }
        let start = entry.t.or(at).unwrap_or(0);
        at = match u64::try_from(entry.r) {
            Ok(r) => Some(start.saturating_add(entry.d.saturating_mul(r.saturating_add(1)))),
            // An open repeat ends wherever the next begins.
            Err(_) => {
                let next = entries.get(place + 1);
                if next.is_some_and(|n| n.t.is_none()) {
                    teller.tell(&rule::OVERLAP, entry.line, "S@r=-1, and the next S has no t".into());
                }
                None
            }
        };
    }
}

fn offset(template: &Template, segments: &[Segment], line: u32, teller: &mut Teller<'_>) {
    let longest = segments.iter().map(Segment::seconds).fold(0.0, f64::max);
    let what = match (template.complete, template.early_s) {
        (false, early) if early <= 0.0 => {
            "availabilityTimeComplete=false without availabilityTimeOffset".into()
        }
        (_, early) if early < 0.0 => format!("availabilityTimeOffset={early}"),
        (false, early) if early.is_finite() && longest > 0.0 && early >= longest => {
            format!("availabilityTimeOffset={early}, the longest segment has {longest} s")
        }
        _ => return,
    };
    teller.tell(&rule::EARLY_OFFSET, line, what);
}

/// How the listed segments lie around now.
fn edge(
    (mpd, goes_on): (&Mpd, bool),
    template: &Template,
    segments: &[Segment],
    line: u32,
    teller: &mut Teller<'_>,
) {
    let (Some(first), Some(last), Some(_)) = (segments.first(), segments.last(), mpd.start_s) else { return };
    // Low latency lists the segment that is made, and may list the one that follows.
    let listed_ahead_s = if template.complete { 0.0 } else { last.seconds() };
    let ahead = last.available_s - listed_ahead_s - teller.now_s;
    if template.early_s.is_finite() && ahead > SLACK_S {
        teller.tell(
            &rule::TOO_EARLY,
            line,
            format!("segment {} is available only in {:.2} s", last.number, ahead + listed_ahead_s),
        );
    }
    let behind = teller.now_s - last.complete_s;
    let allowed = 3.0 * last.seconds() + mpd.update_s.unwrap_or(0.0) + SLACK_S;
    if goes_on && behind > allowed {
        teller.tell(&rule::STALE, line, format!("segment {} ended {behind:.1} s ago", last.number));
    }
    if let Some(depth) = mpd.depth_s.filter(|_| template.timeline.is_some()) {
        let past = teller.now_s - first.complete_s - depth - first.seconds();
        if past > mpd.update_s.unwrap_or(0.0) + first.seconds() + SLACK_S {
            teller.tell(
                &rule::DEPTH,
                line,
                format!("segment {} left the buffer {past:.1} s ago", first.number),
            );
        }
    }
}
