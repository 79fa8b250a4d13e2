//! How a server answers delivery directives.

use crate::evidence::Fetch;
use crate::m3u8::{Media, query, seconds};
use crate::report::{Report, rules};

use super::about;

rules! {
    TOO_EARLY: "HLS-38a", Error, "a blocking reload answers when the content asked for is listed",
        "rfc8216bis §6.2.5.2", "hold the answer until the segment or part is in the playlist";
    TOO_LATE: "HLS-38b", ErrorInLl, "a blocking reload answers as soon as the content asked for is listed",
        "rfc8216bis §6.2.5.2", "wake the waiting requests when the part is published";
    PART_ALONE: "HLS-39a", Error, "_HLS_part without _HLS_msn is answered 400", "rfc8216bis §6.2.5.2",
        "refuse _HLS_part that has no _HLS_msn";
    TOO_FAR: "HLS-39b", ErrorInLl, "requests too far ahead are answered 400 at once", "rfc8216bis §6.2.5.2",
        "refuse _HLS_msn more than two beyond the last segment";
    ROLL_OVER: "HLS-40", Error, "a part behind the last of its segment means the first of the next",
        "rfc8216bis §6.2.5.2", "continue with part 0 of the next segment";
    STALE_HELD: "HLS-41a", Error, "a request for what is listed already is answered at once",
        "rfc8216bis §6.2.5.2", "answer with the current playlist, also for numbers that have left it";
    HELD_TOO_LONG: "HLS-41b", ErrorInLl, "no request is held longer than three target durations, or cut off",
        "rfc8216bis §6.2.5.2", "answer 503 after three target durations";
    REFUSED: "HLS-41c", Error, "a good blocking reload is not refused", "rfc8216bis §6.2.5.2",
        "accept _HLS_msn up to two beyond the last segment";
    ORDER: "HLS-50", Error, "directives work in any order and beside other parameters", "rfc8216bis §6.2.5",
        "read directives by name, and ignore parameters that are unknown";
}

/// Answers later than this are late, whatever the network.
const SLACK_US: u64 = 300_000;

/// What a request asked for: sequence number and part.
pub(crate) fn directives(url: &str) -> Option<(u64, Option<u64>)> {
    let msn = query(url, "_HLS_msn")?.parse().ok()?;
    Some((msn, query(url, "_HLS_part").and_then(|p| p.parse().ok())))
}

/// Judges a blocking answer. `before` is the playlist known when it was asked for, `available_us` when another
/// request showed that the content was there, `rtt_us` the quickest answer of this server.
pub(crate) fn reload(
    fetch: &Fetch,
    now: Option<&Media>,
    before: Option<&Media>,
    available_us: Option<u64>,
    rtt_us: u64,
    report: &mut Report,
) {
    let Some((msn, part)) = directives(&fetch.url) else { return };
    let Some(before) = before.filter(|b| b.is_live()) else { return };
    let held_us = fetch.first_byte_us.saturating_sub(fetch.asked_us);
    let slack_us = SLACK_US.max(rtt_us.saturating_mul(4));
    let limit_us = before.target_us().saturating_mul(3).saturating_add(slack_us).saturating_add(1_000_000);
    let finished = before.segment(msn).map(|s| u64::try_from(s.parts.len()).unwrap_or(u64::MAX));
    let rolls = matches!((finished, part), (Some(parts), Some(part)) if parts > 0 && part >= parts);
    let asked = || match part {
        Some(part) => format!("part {part} of segment {msn}"),
        None => format!("segment {msn}"),
    };
    let Some(now) = now else {
        let what = format!("{}: {}", asked(), fetch.failure.as_deref().unwrap_or("refused"));
        let what = if fetch.status > 0 { format!("{what} with status {}", fetch.status) } else { what };
        let rule = match fetch.status {
            _ if rolls => &ROLL_OVER,
            0 | 502 | 504 => &HELD_TOO_LONG,
            503 if held_us >= before.target_us().saturating_mul(2) => return,
            _ => &REFUSED,
        };
        return report.add(rule, about(fetch, what));
    };
    if now.end_list.is_some() {
        return;
    }
    let (want_msn, want_part) = if rolls { (msn.saturating_add(1), Some(0)) } else { (msn, part) };
    if !now.contains(want_msn, want_part) {
        let rule = if rolls { &ROLL_OVER } else { &TOO_EARLY };
        let line = now.segments.last().map_or(0, |s| s.line);
        let what = format!("asked for {}, answered without it after {}", asked(), seconds(held_us));
        report.add(rule, now.text.finding(&[line], what));
    } else if before.contains(want_msn, want_part) && held_us > slack_us.max(1_000_000) {
        report
            .add(&STALE_HELD, about(fetch, format!("{} was listed, and held {}", asked(), seconds(held_us))));
    } else if held_us > limit_us {
        report.add(&HELD_TOO_LONG, about(fetch, format!("held {}", seconds(held_us))));
    } else if let Some(late_us) =
        available_us.and_then(|us| fetch.first_byte_us.checked_sub(us.max(fetch.asked_us)))
        && late_us > slack_us
    {
        report.add(&TOO_LATE, about(fetch, format!("{} was out {} before", asked(), seconds(late_us))));
    }
}

/// Judges the answer to directives that must be refused.
pub(crate) fn refusal(fetch: &Fetch, report: &mut Report) {
    if (400..500).contains(&fetch.status) {
        return;
    }
    let what = match (fetch.status, &fetch.failure) {
        (0, Some(failure)) => format!("not refused: {failure}"),
        (status, _) => format!("answered with status {status}"),
    };
    let rule = if directives(&fetch.url).is_none() { &PART_ALONE } else { &TOO_FAR };
    report.add(rule, about(fetch, what));
}

/// Judges the answer to good directives written in an unusual way.
pub(crate) fn reordered(fetch: &Fetch, now: Option<&Media>, report: &mut Report) {
    let good = now.is_some_and(|m| directives(&fetch.url).is_none_or(|(msn, part)| m.contains(msn, part)));
    if !good {
        let what = format!("answered with status {}, or without what was asked for", fetch.status);
        report.add(&ORDER, about(fetch, what));
    }
}
