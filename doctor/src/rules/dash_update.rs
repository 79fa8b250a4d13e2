//! A manifest against the one before (ISO/IEC 23009-1 §5.4).

use std::collections::BTreeMap;

use super::dash::{Teller, period_name};
use super::dash_rules as rule;
use crate::mpd::{Mpd, Representation, Segment};

/// `same` when the texts are equal.
pub(crate) fn judge(before: &Mpd, now: &Mpd, same: bool, teller: &mut Teller<'_>) {
    if same {
        return;
    }
    match (before.published_s, now.published_s) {
        (Some(a), Some(b)) if b < a => {
            teller.tell(&rule::PUBLISH_TIME, 0, format!("publishTime went back by {:.3} s", a - b));
        }
        // Whole seconds may repeat.
        (Some(a), Some(b)) if b == a && b.fract() != 0.0 => {
            teller.tell(&rule::PUBLISH_TIME, 0, "the manifest changed and publishTime did not".into());
        }
        _ => {}
    }
    if let Some((a, b)) = before.start_s.zip(now.start_s)
        && a != b
    {
        teller.tell(&rule::CONSTANT, 0, format!("availabilityStartTime moved by {:+.3} s", b - a));
    }
    for period in &now.periods {
        let old = before.periods.iter().find(|p| p.id.is_some() && p.id == period.id);
        if let Some((a, b)) = old.and_then(|old| old.start_s.zip(period.start_s))
            && a != b
        {
            teller.tell(
                &rule::CONSTANT,
                period.line,
                format!("the start of the period moved by {:+.3} s", b - a),
            );
        }
    }
    segments(before, now, teller);
}

fn segments(before: &Mpd, now: &Mpd, teller: &mut Teller<'_>) {
    for (period, _, representation) in now.representations() {
        let name = period_name(now, period);
        let old = before
            .representations()
            .find(|(p, _, r)| r.id == representation.id && period_name(before, p) == name);
        let Some((old_period, _, old)) = old else { continue };
        let known = before.segments(old_period, old, teller.now_s);
        let known: BTreeMap<u64, _> = known.iter().map(|s| (s.t, s)).collect();
        for segment in now.segments(period, representation, teller.now_s) {
            let Some(old) = known.get(&segment.t).filter(|old| is_told(before, representation, old)) else {
                continue;
            };
            if (old.d, old.number, &old.url) != (segment.d, segment.number, &segment.url) {
                let what = format!(
                    "the segment at {} was number {} of {} ticks ({}) and is number {} of {} ticks ({})",
                    segment.t, old.number, old.d, old.url, segment.number, segment.d, segment.url
                );
                teller.tell(&rule::CHANGED, representation.line, what);
                break;
            }
        }
    }
}

/// Whether a manifest knew the length of a segment: with low latency one that is still made is a forecast.
pub(crate) fn is_told(mpd: &Mpd, representation: &Representation, segment: &Segment) -> bool {
    let whole = representation.template.as_ref().is_none_or(|t| t.complete);
    whole || mpd.published_s.is_some_and(|at| segment.complete_s <= at + 0.001)
}
