//! What must hold in a single low-latency playlist.

use crate::m3u8::{Media, Part, Segment, seconds};
use crate::report::{Report, rules};

rules! {
    NO_PART_INF: "HLS-35a", Error, "a playlist with parts has EXT-X-PART-INF", "rfc8216bis §4.4.3.7",
        "write EXT-X-PART-INF with PART-TARGET";
    NO_PARTS: "HLS-35b", Warning, "EXT-X-PART-INF means that there are parts", "rfc8216bis §4.4.3.7",
        "list parts near the edge, or remove EXT-X-PART-INF";
    PART_TOO_LONG: "HLS-35c", Error, "no part is longer than PART-TARGET", "rfc8216bis §4.4.4.9",
        "cut parts at or before the target, or raise PART-TARGET before the stream begins";
    PART_TOO_SHORT: "HLS-35d", Error, "parts last at least 85 % of PART-TARGET", "rfc8216bis §4.4.4.9",
        "fill parts to the target; only the last of a segment, independent ones and gaps may be shorter";
    NOT_LOW_LATENCY: "HLS-35e", ErrorInLl, "the profile ll-hls needs parts", "rfc8216bis B.1",
        "publish partial segments, or watch with --profile hls";
    NO_PART_HOLD_BACK: "HLS-36a", Error, "PART-HOLD-BACK is there when there are parts", "rfc8216bis §4.4.3.8",
        "add PART-HOLD-BACK of three part targets to EXT-X-SERVER-CONTROL";
    PART_HOLD_BACK_LOW: "HLS-36b", Error, "PART-HOLD-BACK is at least twice PART-TARGET", "rfc8216bis §4.4.3.8",
        "set PART-HOLD-BACK to three part targets";
    PART_HOLD_BACK_LOWISH: "HLS-36c", ErrorInLl, "PART-HOLD-BACK is at least three times PART-TARGET",
        "rfc8216bis §4.4.3.8; Apple 14.3", "set PART-HOLD-BACK to three part targets";
    HOLD_BACK_LOW: "HLS-36d", Error, "HOLD-BACK is at least three target durations", "rfc8216bis §4.4.3.8",
        "raise HOLD-BACK, or leave it out: three target durations is what it means then";
    PART_TARGET_LOW: "HLS-36e", Warning, "PART-TARGET is not below the round-trip time", "rfc8216bis §4.4.3.7; Apple 14.2",
        "make parts longer, or serve viewers from nearer by";
    NO_BLOCKING: "HLS-37", ErrorInLl, "CAN-BLOCK-RELOAD=YES where there are parts", "rfc8216bis B.1",
        "support _HLS_msn and _HLS_part, and say CAN-BLOCK-RELOAD=YES";
    SKIP_LOW: "HLS-42a", Error, "CAN-SKIP-UNTIL is at least six target durations", "rfc8216bis §4.4.3.8",
        "raise CAN-SKIP-UNTIL to six target durations";
    SKIP_DATES: "HLS-43a", Warning, "date ranges together with delta updates have CAN-SKIP-DATERANGES",
        "Apple 14.5", "support _HLS_skip=v2 and say CAN-SKIP-DATERANGES=YES";
    NO_SKIP: "HLS-43b", Warning, "low-latency windows over two minutes offer delta updates", "Apple 14.4",
        "support _HLS_skip and say CAN-SKIP-UNTIL";
    OLD_PARTS: "HLS-46a", Warning, "parts leave the playlist three target durations from its end",
        "rfc8216bis §6.2.2", "remove EXT-X-PART of segments older than three target durations";
    FIRST_PART: "HLS-46b", Warning, "the first part of an independent segment is INDEPENDENT=YES",
        "rfc8216bis §4.4.4.9", "mark each part that begins with a key frame";
    NO_HINT: "HLS-47a", ErrorInLl, "the next part is announced by EXT-X-PRELOAD-HINT", "rfc8216bis B.1",
        "announce the next part, and answer its request when the part is complete";
    MANY_HINTS: "HLS-47b", Warning, "there is one EXT-X-PRELOAD-HINT per TYPE", "rfc8216bis §6.2.6",
        "announce only the next part";
}

/// Durations are rounded when they are written.
const ROUNDING_US: u64 = 1_000;
const DELTA_WINDOW_US: u64 = 120_000_000;

pub(crate) fn check(media: &Media, report: &mut Report) {
    server_control(media, report);
    let has_parts = media.with_open().any(|s| !s.parts.is_empty());
    match media.part_target_us() {
        Some(target_us) => {
            media.with_open().for_each(|segment| durations(media, segment, target_us, report));
            if media.is_live() {
                live(media, has_parts, report);
            }
        }
        None if has_parts => {
            let line = media.with_open().find_map(|s| s.parts.first()).map_or(0, |p| p.line);
            report.add(&NO_PART_INF, media.text.finding(&[line], "parts, but no PART-TARGET"));
        }
        None => {}
    }
}

fn server_control(media: &Media, report: &mut Report) {
    let part_target = media.part_target_us();
    let control = media.control.clone().unwrap_or_default();
    let lines = [control.line, media.part_inf.as_ref().map_or(0, |p| p.line)];
    if let Some(target_us) = part_target {
        match control.micros("PART-HOLD-BACK") {
            None => report.add(&NO_PART_HOLD_BACK, media.text.finding(&lines, "no PART-HOLD-BACK")),
            Some(us) if us.saturating_add(ROUNDING_US) < target_us.saturating_mul(3) => {
                let rule = if us < target_us.saturating_mul(2) {
                    &PART_HOLD_BACK_LOW
                } else {
                    &PART_HOLD_BACK_LOWISH
                };
                let what = format!("PART-HOLD-BACK {} with PART-TARGET {}", seconds(us), seconds(target_us));
                report.add(rule, media.text.finding(&lines, what));
            }
            Some(_) => {}
        }
        if !control.yes("CAN-BLOCK-RELOAD") && media.is_live() {
            report.add(&NO_BLOCKING, media.text.finding(&lines, "no CAN-BLOCK-RELOAD=YES"));
        }
    }
    let target_line = media.target_s.as_ref().map_or(0, |t| t.line);
    let times = |name: &str, n: u64| {
        control.micros(name).filter(|us| us.saturating_add(ROUNDING_US) < media.target_us().saturating_mul(n))
    };
    for (name, n, rule) in [("HOLD-BACK", 3, &HOLD_BACK_LOW), ("CAN-SKIP-UNTIL", 6, &SKIP_LOW)] {
        if let Some(us) = times(name, n) {
            let what = format!("{name} {} with target duration {}", seconds(us), seconds(media.target_us()));
            report.add(rule, media.text.finding(&[control.line, target_line], what));
        }
    }
    let skips = control.get("CAN-SKIP-UNTIL").is_some();
    if let Some(range) = media.date_ranges.first()
        && skips
        && !control.yes("CAN-SKIP-DATERANGES")
    {
        report.add(&SKIP_DATES, media.text.finding(&[control.line, range.line], "no CAN-SKIP-DATERANGES"));
    }
    if !skips && part_target.is_some() && media.duration_us() > DELTA_WINDOW_US && media.is_live() {
        let what = format!("a window of {} without CAN-SKIP-UNTIL", seconds(media.duration_us()));
        report.add(&NO_SKIP, media.text.finding(&lines, what));
    }
}

/// Compares parts with the quickest answer: who asks for each part once is later with every one of them.
pub(crate) fn round_trip(media: &Media, quickest_us: u64, report: &mut Report) {
    let Some(target_us) = media.part_target_us().filter(|us| *us < quickest_us && media.is_live()) else {
        return;
    };
    let line = media.part_inf.as_ref().map_or(0, |p| p.line);
    let what = format!(
        "PART-TARGET {}, the quickest of all answers took {}",
        seconds(target_us),
        seconds(quickest_us)
    );
    report.add(&PART_TARGET_LOW, media.text.finding(&[line], what));
}

fn durations(media: &Media, segment: &Segment, target_us: u64, report: &mut Report) {
    let line = media.part_inf.as_ref().map_or(0, |p| p.line);
    let rest = segment.parts.iter().skip(1).map(Some).chain(std::iter::once(None));
    for (part, next) in segment.parts.iter().zip(rest) {
        let what =
            || format!("a part of {} with PART-TARGET {}", seconds(part.duration_us), seconds(target_us));
        if part.duration_us > target_us.saturating_add(ROUNDING_US) {
            report.add(&PART_TOO_LONG, media.text.finding(&[line, part.line], what()));
        }
        let excused = part.independent || part.gap || next.is_none_or(|n: &Part| n.gap);
        if !excused && part.duration_us.saturating_add(ROUNDING_US) < target_us / 100 * 85 {
            report.add(&PART_TOO_SHORT, media.text.finding(&[line, part.line], what()));
        }
    }
}

fn live(media: &Media, has_parts: bool, report: &mut Report) {
    if !has_parts && !media.segments.is_empty() {
        let line = media.part_inf.as_ref().map_or(0, |p| p.line);
        report.add(&NO_PARTS, media.text.finding(&[line], "not a single EXT-X-PART"));
    }
    let hints = || media.hints.iter().filter(|h| h.kind == "PART");
    if hints().next().is_none() && has_parts {
        report.add(&NO_HINT, media.text.finding(&[], "no EXT-X-PRELOAD-HINT of TYPE=PART"));
    }
    for kind in ["PART", "MAP"] {
        let lines: Vec<u32> = media.hints.iter().filter(|h| h.kind == kind).map(|h| h.line).collect();
        if lines.len() > 1 {
            report.add(
                &MANY_HINTS,
                media.text.finding(&lines, format!("{} hints of TYPE={kind}", lines.len())),
            );
        }
    }
    for segment in media.with_open().filter(|_| media.independent_segments) {
        if let Some(part) = segment.parts.first().filter(|p| !p.independent && !p.gap) {
            let what = format!("first part of segment {}", segment.msn);
            report.add(&FIRST_PART, media.text.finding(&[part.line], what));
        }
    }
    // From the end: a segment is old when everything behind it is longer than three targets, and one for the cut.
    let mut behind_us = 0_u64;
    for segment in media.segments.iter().rev() {
        if let Some(part) = segment.parts.first()
            && behind_us > media.target_us().saturating_mul(4)
        {
            let what = format!("parts of segment {}, {} from the end", segment.msn, seconds(behind_us));
            report.add(&OLD_PARTS, media.text.finding(&[part.line], what));
            break;
        }
        behind_us = behind_us.saturating_add(segment.duration_us);
    }
}
