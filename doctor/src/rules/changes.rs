//! What may change between two versions of a media playlist.

use crate::m3u8::{Media, Segment, seconds};
use crate::report::{Report, rules};

rules! {
    TARGET_CHANGES: "HLS-9b", Error, "EXT-X-TARGETDURATION never changes", "rfc8216bis §6.2.1",
        "choose the target duration once, and cut segments to fit";
    TOO_SHORT: "HLS-12a", Error, "removing a segment leaves at least three target durations", "rfc8216bis §6.2.2",
        "keep more segments in the window";
    SEQUENCE_BACK: "HLS-13a", Error, "EXT-X-MEDIA-SEQUENCE never decreases", "rfc8216bis §6.2.2",
        "continue numbers over restarts of encoder and server; players stop for good here";
    NUMBER_CHANGES: "HLS-13b", Error, "a segment keeps its media sequence number", "rfc8216bis §6.2.2",
        "raise EXT-X-MEDIA-SEQUENCE by exactly the number of segments removed";
    SEGMENT_CHANGES: "HLS-13c", Error, "a listed segment never changes", "rfc8216bis §6.2.1",
        "write duration, byte range, key and map of a segment once";
    PART_CHANGES: "HLS-13d", Error, "a listed part never changes", "rfc8216bis §6.2.1",
        "list a part when it is complete, and leave it as it is";
    DSN_CHANGES: "HLS-15b", Error, "a segment keeps its discontinuity sequence number", "rfc8216bis §6.2.2",
        "raise EXT-X-DISCONTINUITY-SEQUENCE by one for each EXT-X-DISCONTINUITY that leaves the playlist";
    TYPE_BROKEN: "HLS-16", Error, "VOD never changes and EVENT only grows", "rfc8216bis §6.2.1",
        "remove EXT-X-PLAYLIST-TYPE from live playlists that drop segments";
    EDGE_BACK: "HLS-21a", Error, "segments leave only at the front", "rfc8216bis §6.2.1",
        "publish a segment only when it is certain; check that all servers behind the address agree";
    STALE: "HLS-21b", Error, "a live playlist grows at least every 1.5 target durations", "rfc8216bis §6.2.1",
        "end the playlist with EXT-X-ENDLIST when the source is gone, or add gap segments";
    END_UNDONE: "HLS-21d", Error, "nothing follows EXT-X-ENDLIST", "rfc8216bis §4.4.3.4",
        "write EXT-X-ENDLIST only when the stream is over for good";
    PART_TARGET_CHANGES: "HLS-35f", Warning, "PART-TARGET never changes", "rfc8216bis §4.4.3.7",
        "choose the part target once";
    HINT_NOT_KEPT: "HLS-47c", Warning, "the announced part is the next part", "rfc8216bis §6.2.6",
        "announce the address that the part will have";
}

/// Clocks and networks jitter; a playlist is called stale only this much later.
pub(crate) const STALE_SLACK_US: u64 = 500_000;

/// Compares two full versions, `old` first.
pub(crate) fn check(old: &Media, new: &Media, report: &mut Report) {
    if let (Some(a), Some(b)) = (&old.target_s, &new.target_s)
        && a.value != b.value
    {
        let what = format!("was {} s, is {} s", a.value, b.value);
        report.add(&TARGET_CHANGES, new.text.finding(&[b.line], what));
    }
    if let (Some(a), Some(b)) = (old.part_target_us(), new.part_target_us())
        && a != b
    {
        let line = new.part_inf.as_ref().map_or(0, |p| p.line);
        let what = format!("was {}, is {}", seconds(a), seconds(b));
        report.add(&PART_TARGET_CHANGES, new.text.finding(&[line], what));
    }
    if old.first_msn() > new.first_msn() {
        let line = new.media_sequence.as_ref().map_or(0, |m| m.line);
        let what = format!("was {}, is {}", old.first_msn(), new.first_msn());
        report.add(&SEQUENCE_BACK, new.text.finding(&[line], what));
        return;
    }
    if segments(old, new, report) {
        ends(old, new, report);
        removal(old, new, report);
        hint(old, new, report);
    }
}

/// Compares what both list. False when the numbers are off, so that nothing else is worth saying.
fn segments(old: &Media, new: &Media, report: &mut Report) -> bool {
    for segment in &new.segments {
        let Some(known) = old.segment(segment.msn) else { continue };
        if known.uri != segment.uri || known.range != segment.range {
            let what = format!("segment {} was {}", segment.msn, known.uri);
            let line = new.media_sequence.as_ref().map_or(0, |m| m.line);
            report.add(&NUMBER_CHANGES, new.text.finding(&[line, segment.line], what));
            return false;
        }
        if let Some(what) = difference(known, segment) {
            let what = format!("{what} of segment {} changed", segment.msn);
            report.add(&SEGMENT_CHANGES, new.text.finding(&[segment.extinf_line, segment.line], what));
        }
        if known.dsn != segment.dsn {
            let line = new.discontinuity_sequence.as_ref().map_or(0, |d| d.line);
            let what =
                format!("segment {} was in discontinuity {}, is in {}", segment.msn, known.dsn, segment.dsn);
            report.add(&DSN_CHANGES, new.text.finding(&[line, segment.line], what));
            break;
        }
    }
    for segment in new.with_open() {
        let open = Some(&old.open).filter(|o| o.msn == segment.msn);
        let Some(known) = old.segment(segment.msn).or(open) else { continue };
        for (a, b) in known.parts.iter().zip(&segment.parts) {
            if (&a.uri, a.duration_us, a.independent, &a.range)
                != (&b.uri, b.duration_us, b.independent, &b.range)
            {
                let what =
                    format!("a part of segment {} was {} of {}", segment.msn, a.uri, seconds(a.duration_us));
                report.add(&PART_CHANGES, new.text.finding(&[b.line], what));
            }
        }
    }
    true
}

/// What differs between two versions of a segment, if anything that must not.
pub(super) fn difference(a: &Segment, b: &Segment) -> Option<&'static str> {
    let dates = (a.date_us.as_ref().map(|d| d.value), b.date_us.as_ref().map(|d| d.value));
    if a.duration_us != b.duration_us {
        Some("the duration")
    } else if a.map != b.map {
        Some("the EXT-X-MAP")
    } else if a.key != b.key {
        Some("the EXT-X-KEY")
    } else if a.gap != b.gap {
        Some("the EXT-X-GAP")
    } else if matches!(dates, (Some(a), Some(b)) if a != b) {
        Some("the date")
    } else {
        None
    }
}

fn ends(old: &Media, new: &Media, report: &mut Report) {
    let last = |m: &Media| m.segments.last().map(|s| s.msn);
    if last(new) < last(old) {
        let what = format!("the last segment was {:?}, is {:?}", last(old), last(new));
        let what = what.replace("Some(", "").replace(')', "");
        report.add(&EDGE_BACK, new.text.finding(&[new.segments.last().map_or(0, |s| s.line)], what));
    }
    if old.end_list.is_some() && (new.end_list.is_none() || last(new) > last(old)) {
        let line = new.segments.last().map_or(0, |s| s.line);
        report.add(&END_UNDONE, new.text.finding(&[line], "the playlist had ended"));
    }
}

fn removal(old: &Media, new: &Media, report: &mut Report) {
    let removed = new.first_msn() > old.first_msn();
    let (kind, line) = new.playlist_type.as_ref().map_or(("", 0), |t| (t.value.as_str(), t.line));
    let grown = new.segments.last().map(|s| s.msn) > old.segments.last().map(|s| s.msn);
    if (kind == "EVENT" && removed) || (kind == "VOD" && (removed || grown)) {
        report.add(&TYPE_BROKEN, new.text.finding(&[line], format!("{kind}, but segments came or went")));
    }
    let open_us = new.open.parts.iter().fold(0_u64, |sum, p| sum.saturating_add(p.duration_us));
    let left_us = new.duration_us().saturating_add(open_us);
    if removed && new.end_list.is_none() && left_us < new.target_us().saturating_mul(3) {
        let what = format!("{} left, target duration {}", seconds(left_us), seconds(new.target_us()));
        report.add(&TOO_SHORT, new.text.finding(&[], what));
    }
}

fn hint(old: &Media, new: &Media, report: &mut Report) {
    let Some(hint) = old.hints.iter().find(|h| h.kind == "PART" && !h.ranged) else { return };
    let (msn, part) = old.next_part();
    let part = usize::try_from(part).unwrap_or(usize::MAX);
    let Some(segment) = new.with_open().find(|s| s.msn == msn) else { return };
    // When the segment ended instead, the hint meant the first part of the next one.
    let next = segment.parts.get(part).or_else(|| {
        let closed = segment.line > 0 && segment.parts.len() == part;
        let next = new.with_open().find(|s| s.msn == msn.saturating_add(1)).filter(|_| closed)?;
        next.parts.first()
    });
    if let Some(next) = next.filter(|p| p.uri != hint.uri) {
        let what = format!("{} was announced", hint.uri);
        report.add(&HINT_NOT_KEPT, new.text.finding(&[next.line], what));
    }
}

/// Says that a live playlist has not grown since `since_us`.
pub(crate) fn stale(media: &Media, since_us: u64, asked_us: u64, report: &mut Report) {
    let limit_us = media.target_us() / 2 * 3 + STALE_SLACK_US;
    let idle_us = asked_us.saturating_sub(since_us);
    if media.is_live() && media.target_us() > 0 && idle_us > limit_us {
        let what = format!(
            "no new segment for {} with target duration {}",
            seconds(idle_us),
            seconds(media.target_us())
        );
        report.add(&STALE, media.text.finding(&[media.segments.last().map_or(0, |s| s.line)], what));
    }
}
