//! What must hold in a single media playlist.

use std::collections::BTreeMap;

use crate::m3u8::{Attributes, Media, seconds};
use crate::report::{Report, rules};

rules! {
    OVER_TARGET: "HLS-2a", Error, "EXTINF, rounded, does not exceed EXT-X-TARGETDURATION", "rfc8216bis §4.4.3.1",
        "raise the target duration before the stream begins, or cut shorter segments";
    NO_TARGET: "HLS-9a", Error, "EXT-X-TARGETDURATION is there", "rfc8216bis §4.4.3.1",
        "write EXT-X-TARGETDURATION with the longest segment, rounded, in seconds";
    NO_DATE: "HLS-11a", ErrorInLl, "a live playlist has EXT-X-PROGRAM-DATE-TIME", "Apple 8.4; rfc8216bis B.1",
        "put EXT-X-PROGRAM-DATE-TIME on the first segment and behind each discontinuity";
    DATE_JUMPS: "HLS-11b", ErrorInLl, "dates advance by the durations of the segments", "rfc8216bis §6.2.1",
        "derive dates from media time plus one offset, not from the clock at the time of cutting";
    FEW_SEGMENTS: "HLS-12b", Warning, "a live playlist has at least 6 segments", "Apple 8.11",
        "list at least 6 segments, so that players can start behind the edge";
    SHORT_WINDOW: "HLS-12c", Warning, "a live playlist covers at least 15 minutes", "Apple 8.12",
        "lengthen the window, or ignore this rule where nobody seeks";
    NO_DSN: "HLS-15a", Warning, "a live playlist with discontinuities has EXT-X-DISCONTINUITY-SEQUENCE",
        "rfc8216bis §6.2.2; Apple 8.17", "always write EXT-X-DISCONTINUITY-SEQUENCE in live playlists";
    RANGE_INCOMPLETE: "HLS-17a", Error, "EXT-X-DATERANGE has ID and START-DATE", "rfc8216bis §4.4.5.1",
        "give each date range an ID, and START-DATE where the ID appears first";
    RANGE_WITHOUT_DATE: "HLS-17b", Error, "a playlist with EXT-X-DATERANGE has EXT-X-PROGRAM-DATE-TIME",
        "rfc8216bis §4.4.5.1", "write EXT-X-PROGRAM-DATE-TIME; without it no player can place the range";
    RANGE_END: "HLS-17c", Error, "END-ON-NEXT has CLASS and neither DURATION nor END-DATE",
        "rfc8216bis §4.4.5.1", "add CLASS, and remove DURATION and END-DATE";
    RANGE_CONFLICT: "HLS-17d", Error, "date ranges of one ID agree in every attribute", "rfc8216bis §4.4.5.1",
        "use a new ID for a new range; repeat attributes unchanged";
    RANGE_BACKWARDS: "HLS-17e", Error, "a date range does not end before it begins", "rfc8216bis §4.4.5.1",
        "set END-DATE to START-DATE plus the duration";
    NOT_INDEPENDENT: "HLS-19", Warning, "segments are declared independent", "Apple 9.11",
        "begin each segment with a key frame and write EXT-X-INDEPENDENT-SEGMENTS";
    KEY_INCOMPLETE: "HLS-30a", Error, "EXT-X-KEY has METHOD, and URI unless METHOD is NONE",
        "rfc8216bis §4.4.4.4", "complete the EXT-X-KEY";
    CTR: "HLS-30b", Warning, "encrypted samples use cbcs, not SAMPLE-AES-CTR", "Apple 13.11",
        "encrypt with cbcs (SAMPLE-AES); CTR does not play on Apple devices";
    FAIRPLAY: "HLS-30d", Error, "a FairPlay key has METHOD=SAMPLE-AES and its KEYFORMAT", "Apple 13.2, 13.3",
        "write METHOD=SAMPLE-AES and KEYFORMAT=\"com.apple.streamingkeydelivery\" with a URI of skd://";
}

/// Dates may be off by one frame of slow film.
const DATE_SLACK_US: i64 = 50_000;
const WINDOW_MIN_US: u64 = 15 * 60 * 1_000_000;
const SEGMENTS_MIN: usize = 6;

/// Checks one version of a playlist. A delta update is judged by what it shows.
pub(crate) fn check(media: &Media, report: &mut Report) {
    target(media, report);
    dates(media, report);
    date_ranges(media, report);
    keys(media, report);
    if media.is_live() && media.skip.is_none() {
        window(media, report);
    }
}

fn target(media: &Media, report: &mut Report) {
    let Some(target) = &media.target_s else {
        report.add(&NO_TARGET, media.text.finding(&[], "no EXT-X-TARGETDURATION"));
        return;
    };
    for segment in &media.segments {
        if segment.duration_us.saturating_add(500_000) / 1_000_000 > target.value {
            let what = format!(
                "segment {} lasts {}, target {} s",
                segment.msn,
                seconds(segment.duration_us),
                target.value
            );
            report.add(
                &OVER_TARGET,
                media.text.finding(&[target.line, segment.extinf_line, segment.line], what),
            );
        }
    }
}

fn window(media: &Media, report: &mut Report) {
    let event = media.playlist_type.is_some();
    let i_frames = media.i_frames_only.is_some();
    if media.segments.len() < SEGMENTS_MIN && !event && !i_frames {
        let what = format!("{} segments", media.segments.len());
        report.add(&FEW_SEGMENTS, media.text.finding(&[], what));
    }
    if media.duration_us() < WINDOW_MIN_US && !event {
        report.add(
            &SHORT_WINDOW,
            media.text.finding(&[], format!("the window is {}", seconds(media.duration_us()))),
        );
    }
    if let Some(line) = media.segments.iter().find_map(|s| s.discontinuity)
        && media.discontinuity_sequence.is_none()
        && !event
    {
        report.add(&NO_DSN, media.text.finding(&[line], "no EXT-X-DISCONTINUITY-SEQUENCE"));
    }
}

fn dates(media: &Media, report: &mut Report) {
    let any = media.with_open().any(|s| s.date_us.is_some());
    if !any && media.is_live() && !media.segments.is_empty() && media.skip.is_none() {
        report.add(&NO_DATE, media.text.finding(&[], "no EXT-X-PROGRAM-DATE-TIME"));
    }
    let mut expected: Option<i64> = None;
    let mut before = 0;
    for segment in media.with_open() {
        if segment.discontinuity.is_some() {
            expected = None;
        }
        if let Some(date) = &segment.date_us {
            if let Some(off) = expected.map(|e| date.value.saturating_sub(e))
                && off.abs() > DATE_SLACK_US
            {
                let what = format!("segment {} is dated {} ms off", segment.msn, off / 1000);
                report.add(&DATE_JUMPS, media.text.finding(&[before, date.line], what));
            }
            expected = Some(date.value);
            before = date.line;
        }
        let duration = i64::try_from(segment.duration_us).unwrap_or(i64::MAX);
        expected = expected.map(|e| e.saturating_add(duration));
    }
}

fn date_ranges(media: &Media, report: &mut Report) {
    let mut first: BTreeMap<&str, &Attributes> = BTreeMap::new();
    let Some(any) = media.date_ranges.first() else { return };
    if media.skip.is_none() && !media.with_open().any(|s| s.date_us.is_some()) {
        report.add(&RANGE_WITHOUT_DATE, media.text.finding(&[any.line], "dates of nothing"));
    }
    for range in &media.date_ranges {
        let Some(id) = range.get("ID") else {
            report.add(&RANGE_INCOMPLETE, media.text.finding(&[range.line], "no ID"));
            continue;
        };
        let start = range.date("START-DATE");
        match first.get(id) {
            None => {
                if start.is_none() {
                    let what = "no START-DATE that is a date";
                    report.add(&RANGE_INCOMPLETE, media.text.finding(&[range.line], what));
                }
                first.insert(id, range);
            }
            Some(known) => {
                let differs = range.iter().find(|(name, value)| known.get(name).is_some_and(|v| v != *value));
                if let Some((name, _)) = differs {
                    let what = format!("{name} of '{id}' differs");
                    report.add(&RANGE_CONFLICT, media.text.finding(&[known.line, range.line], what));
                }
            }
        }
        let ends = range.get("DURATION").is_some() || range.get("END-DATE").is_some();
        if range.yes("END-ON-NEXT") && (ends || range.get("CLASS").is_none()) {
            let what = if ends { "END-ON-NEXT with an end of its own" } else { "END-ON-NEXT without CLASS" };
            report.add(&RANGE_END, media.text.finding(&[range.line], what));
        }
        if let (Some(start), Some(end)) = (start, range.date("END-DATE"))
            && end < start
        {
            report.add(&RANGE_BACKWARDS, media.text.finding(&[range.line], "END-DATE is before START-DATE"));
        }
    }
}

fn keys(media: &Media, report: &mut Report) {
    for key in &media.keys {
        let method = key.get("METHOD");
        if method.is_none() || (method != Some("NONE") && key.get("URI").is_none()) {
            report.add(&KEY_INCOMPLETE, media.text.finding(&[key.line], "METHOD or URI is missing"));
        }
        if method == Some("SAMPLE-AES-CTR") {
            report.add(&CTR, media.text.finding(&[key.line], "METHOD=SAMPLE-AES-CTR"));
        }
        let format = key.get("KEYFORMAT") == Some("com.apple.streamingkeydelivery");
        let address = key.get("URI").is_some_and(|uri| uri.starts_with("skd:"));
        if (format || address) && !(format && method == Some("SAMPLE-AES")) {
            report.add(&FAIRPLAY, media.text.finding(&[key.line], "METHOD or KEYFORMAT is another"));
        }
    }
}
