//! Delta updates: what they leave out, and whether a player ends up with the whole playlist.

use crate::m3u8::{Media, seconds};
use crate::report::{Report, rules};

use super::changes::difference;

rules! {
    NOT_SKIPPED: "HLS-42b", Error, "_HLS_skip is answered with a delta update", "rfc8216bis §6.2.5.1",
        "replace segments behind the skip boundary by EXT-X-SKIP, or take CAN-SKIP-UNTIL away";
    SKIPPED_TOO_MUCH: "HLS-42c", Error, "only segments behind the skip boundary are skipped", "rfc8216bis §6.2.5.1",
        "skip only segments further from the end than CAN-SKIP-UNTIL";
    NOT_WHOLE: "HLS-42d", Error, "a delta update and the version before make the whole playlist",
        "rfc8216bis §6.2.5.1", "render both from the same state; count skipped segments exactly";
    UNASKED: "HLS-42e", Error, "EXT-X-SKIP comes only when asked for", "rfc8216bis §6.2.5.1",
        "give _HLS_skip its own cache entry";
    NO_COUNT: "HLS-42f", Error, "EXT-X-SKIP has SKIPPED-SEGMENTS", "rfc8216bis §4.4.5.2",
        "write SKIPPED-SEGMENTS";
    NOT_RESTATED: "HLS-44", Warning, "the first segment behind a skip says its map, key and date", "rfc8216bis §6.2.5.1",
        "write EXT-X-MAP, EXT-X-KEY and EXT-X-PROGRAM-DATE-TIME again behind EXT-X-SKIP: players merge them differently";
}

/// Judges the answer to `_HLS_skip`. `base` is the last whole playlist.
pub(crate) fn check(base: &Media, delta: &Media, report: &mut Report) {
    let until_us = base.control.as_ref().and_then(|c| c.micros("CAN-SKIP-UNTIL"));
    let Some(skip) = &delta.skip else {
        let line = base.control.as_ref().map_or(0, |c| c.line);
        if let Some(until_us) = until_us
            && delta.end_list.is_none()
            && delta.duration_us() > until_us.saturating_add(delta.target_us().saturating_mul(2))
        {
            let what = format!("a whole playlist of {}", seconds(delta.duration_us()));
            report.add(&NOT_SKIPPED, delta.text.finding(&[line], what));
        }
        return;
    };
    if skip.integer("SKIPPED-SEGMENTS").is_none() {
        return report.add(&NO_COUNT, delta.text.finding(&[skip.line], "no SKIPPED-SEGMENTS"));
    }
    let first_left = delta.first_msn().saturating_add(delta.skipped());
    let own_us = first_left.checked_sub(1).and_then(|msn| base.segment(msn)).map_or(0, |s| s.duration_us);
    let left_us = delta.duration_us();
    if let Some(until_us) = until_us
        && left_us.saturating_add(own_us) < until_us
        && delta.skipped() > 0
    {
        let what = format!("{} left, CAN-SKIP-UNTIL {}", seconds(left_us), seconds(until_us));
        report.add(&SKIPPED_TOO_MUCH, delta.text.finding(&[skip.line], what));
    }
    restated(base, delta, skip.line, report);
    compare(base, delta, report);
}

/// What applied to the segments that are left out applies to the first that is not.
fn restated(base: &Media, delta: &Media, skip_line: u32, report: &mut Report) {
    let Some(first) = delta.segments.first().filter(|_| delta.skipped() > 0) else { return };
    let Some(known) = base.segment(first.msn) else { return };
    let unsaid = [
        ("EXT-X-MAP", known.map.is_some() && first.map.is_none()),
        ("EXT-X-KEY", known.key.is_some() && first.key.is_none()),
        ("EXT-X-PROGRAM-DATE-TIME", known.date_us.is_some() && first.date_us.is_none()),
    ];
    for (tag, _) in unsaid.into_iter().filter(|(_, unsaid)| *unsaid) {
        let what = format!("segment {} has no {tag}", first.msn);
        report.add(&NOT_RESTATED, delta.text.finding(&[skip_line, first.line], what));
    }
}

/// Compares a delta update with a whole playlist, older or newer.
pub(crate) fn compare(whole: &Media, delta: &Media, report: &mut Report) {
    let Some(skip) = &delta.skip else { return };
    let same = whole.is_of_the_time_of(delta);
    if same && whole.first_msn() != delta.first_msn() {
        let what = format!("begins at {}, the whole playlist at {}", delta.first_msn(), whole.first_msn());
        report.add(&NOT_WHOLE, delta.text.finding(&[skip.line], what));
        return;
    }
    for segment in &delta.segments {
        let Some(known) = whole.segment(segment.msn) else { continue };
        let mut known = known.clone();
        // What was said once for skipped segments need not be said again.
        known.map = segment.map.is_some().then_some(known.map).flatten();
        known.key = segment.key.is_some().then_some(known.key).flatten();
        let what = if known.uri != segment.uri || known.range != segment.range {
            Some("the address")
        } else {
            difference(&known, segment)
        };
        if let Some(what) = what {
            let what =
                format!("{what} of segment {} differs: {} in the whole playlist", segment.msn, known.uri);
            report.add(&NOT_WHOLE, delta.text.finding(&[skip.line, segment.extinf_line, segment.line], what));
            return;
        }
    }
    let (last, whole_last) = (delta.segments.last().map(|s| s.msn), whole.segments.last().map(|s| s.msn));
    if same && last != whole_last {
        report.add(&NOT_WHOLE, delta.text.finding(&[skip.line], "the last segments differ"));
    }
}

/// Says that a delta update came unasked.
pub(crate) fn unasked(media: &Media, report: &mut Report) {
    if let Some(skip) = &media.skip {
        report.add(&UNASKED, media.text.finding(&[skip.line], "nobody said _HLS_skip"));
    }
}
