//! What must agree between the media playlists of one presentation.

use std::sync::Arc;

use crate::m3u8::{Media, seconds};
use crate::report::{Report, rules};

rules! {
    TARGETS_DIFFER: "HLS-10", Error, "all media playlists have one target duration", "rfc8216bis §6.2.4",
        "cut all renditions at the same places";
    DATES_MISSING: "HLS-11c", Error, "either all media playlists have dates or none", "rfc8216bis §6.2.4",
        "write EXT-X-PROGRAM-DATE-TIME into every rendition";
    BREAKS_DIFFER: "HLS-14", Error, "content of one date has one discontinuity sequence number in all renditions",
        "rfc8216bis §6.2.4", "write EXT-X-DISCONTINUITY into all renditions at the same time";
    TYPES_DIFFER: "HLS-16b", Error, "all media playlists have the same EXT-X-PLAYLIST-TYPE", "rfc8216bis §6.2.4",
        "write the same EXT-X-PLAYLIST-TYPE everywhere";
    CONTROLS_DIFFER: "HLS-37b", Error, "all media playlists have the same EXT-X-SERVER-CONTROL", "rfc8216bis §6.2.4",
        "write the same EXT-X-SERVER-CONTROL everywhere";
    NO_REPORT: "HLS-48a", ErrorInLl, "there is a EXT-X-RENDITION-REPORT for every other rendition",
        "rfc8216bis B.1", "report on every other media playlist that is low-latency";
    REPORT_BEHIND: "HLS-48b", Error, "a rendition report is not behind by more than a part", "rfc8216bis §4.4.5.4",
        "render reports from the state at the time of the answer";
    REPORT_AHEAD: "HLS-48c", Error, "a rendition report names nothing that is not listed", "rfc8216bis §4.4.5.4",
        "report on a part when its playlist lists it";
    REPORT_BROKEN: "HLS-48d", Error, "a rendition report has a URI", "rfc8216bis §4.4.5.4",
        "write the relative address of the other media playlist";
    EDGES_DIFFER: "HLS-51", Warning, "the live edges of all renditions are close together", "rfc8216bis §6.2.4",
        "publish the same times of all renditions together";
}

/// Dates of the same segment in two renditions may differ by a fraction of a frame.
const SAME_DATE_US: u64 = 15_000;

/// Compares the playlists of two renditions.
pub(crate) fn pair(a: &Media, b: &Media, report: &mut Report) {
    let special = |m: &Media| m.i_frames_only.is_some() && m.playlist_type.is_some();
    if let (Some(x), Some(y)) = (&a.target_s, &b.target_s)
        && x.value != y.value
        && !special(a)
        && !special(b)
    {
        let what = format!("{} s, but {} s in {}", y.value, x.value, a.text.url);
        report.add(&TARGETS_DIFFER, b.text.finding(&[y.line], what));
    }
    let dated = |m: &Media| m.with_open().any(|s| s.date_us.is_some());
    if dated(a) != dated(b) && !a.segments.is_empty() && !b.segments.is_empty() {
        let (with, without) = if dated(a) { (a, b) } else { (b, a) };
        report
            .add(&DATES_MISSING, without.text.finding(&[], format!("no dates; {} has them", with.text.url)));
    }
    let kind = |m: &Media| m.playlist_type.as_ref().map(|t| t.value.clone());
    if kind(a) != kind(b) {
        let line = b.playlist_type.as_ref().map_or(0, |t| t.line);
        report.add(&TYPES_DIFFER, b.text.finding(&[line], format!("differs from {}", a.text.url)));
    }
    let control = |m: &Media| {
        let mut all: Vec<(String, String)> =
            m.control.iter().flat_map(|c| c.iter()).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        all.sort();
        all
    };
    if control(a) != control(b) && a.is_live() && b.is_live() {
        let line = b.control.as_ref().map_or(0, |c| c.line);
        report.add(&CONTROLS_DIFFER, b.text.finding(&[line], format!("differs from {}", a.text.url)));
    }
    breaks(a, b, report);
    edges(a, b, report);
}

fn breaks(a: &Media, b: &Media, report: &mut Report) {
    let dates = |m: &Media| -> Vec<(i64, u64, u32)> {
        m.segments.iter().filter_map(|s| Some((s.date_us.as_ref()?.value, s.dsn, s.line))).collect()
    };
    let known = dates(a);
    for (date, dsn, line) in dates(b) {
        let near = known.partition_point(|(d, ..)| *d < date.saturating_sub(SAME_DATE_US.cast_signed()));
        if let Some((other, other_dsn, _)) = known.get(near)
            && other.abs_diff(date) <= SAME_DATE_US
            && *other_dsn != dsn
        {
            let what = format!("discontinuity sequence {dsn}, but {other_dsn} in {}", a.text.url);
            return report.add(&BREAKS_DIFFER, b.text.finding(&[line], what));
        }
    }
}

/// The date at which a playlist ends, in microseconds since 1970.
fn end_date(media: &Media) -> Option<i64> {
    let mut end = None;
    for segment in media.with_open() {
        end = segment.date_us.as_ref().map(|d| d.value).or(end);
        let parts_us = segment.parts.iter().fold(0_u64, |sum, p| sum.saturating_add(p.duration_us));
        let own_us = if segment.line > 0 { segment.duration_us } else { parts_us };
        end = end.map(|e| e.saturating_add_unsigned(own_us));
    }
    end
}

fn edges(a: &Media, b: &Media, report: &mut Report) {
    let (Some(x), Some(y)) = (end_date(a), end_date(b)) else { return };
    if !a.is_live() || !b.is_live() || a.i_frames_only.is_some() || b.i_frames_only.is_some() {
        return;
    }
    let apart_us = x.abs_diff(y).saturating_sub(a.text.at_us.abs_diff(b.text.at_us));
    let unit_us = match (a.part_target_us(), b.part_target_us()) {
        (Some(x), Some(y)) => x.max(y),
        _ => a.target_us().max(b.target_us()),
    };
    if apart_us > unit_us.saturating_mul(2).saturating_add(250_000) {
        let what = format!("{} apart from {}", seconds(apart_us), a.text.url);
        report.add(&EDGES_DIFFER, b.text.finding(&[], what));
    }
}

/// What a playlist reports of another: its address and edge.
pub(crate) fn reports(media: &Media) -> Vec<(u32, Arc<str>, (u64, u64))> {
    let own = media.edge().unwrap_or_default();
    let read = |r: &crate::m3u8::Attributes| {
        let url = media.text.resolve(r.get("URI")?)?;
        let msn = r.integer("LAST-MSN").unwrap_or(own.0);
        let part = r.integer("LAST-PART").or(own.1)?;
        Some((r.line, Arc::from(url), (msn, part)))
    };
    media.reports.iter().filter_map(read).collect()
}

/// Checks that there is a report for each of `others`, the low-latency playlists of the presentation.
pub(crate) fn complete(media: &Media, others: &[Arc<str>], report: &mut Report) {
    if let Some(broken) = media.reports.iter().find(|r| r.get("URI").is_none()) {
        report.add(&REPORT_BROKEN, media.text.finding(&[broken.line], "no URI"));
    }
    let reported = reports(media);
    if media.part_inf.is_none() || !media.is_live() {
        return;
    }
    for other in others.iter().filter(|o| **o != media.text.url) {
        if !reported.iter().any(|(_, url, _)| url == other) {
            report.add(&NO_REPORT, media.text.finding(&[], format!("no report on {other}")));
        }
    }
}

/// Compares a report with the edge that the other playlist had before the report was asked for.
pub(crate) fn behind(media: &Media, line: u32, said: (u64, u64), known: (u64, u64), report: &mut Report) {
    let behind = match known.0.checked_sub(said.0) {
        Some(0) => known.1 > said.1.saturating_add(1),
        Some(1) => known.1 > 0,
        Some(_) => true,
        None => false,
    };
    if behind {
        let what = format!("says segment {} part {}, it was at {} part {}", said.0, said.1, known.0, known.1);
        report.add(&REPORT_BEHIND, media.text.finding(&[line], what));
    }
}

/// Says that `media` was at `edge` when a report had already named `said`.
pub(crate) fn ahead(media: &Media, said: (u64, u64), edge: (u64, u64), report: &mut Report) {
    if said > edge {
        let what =
            format!("is at segment {} part {}, reported were {} part {}", edge.0, edge.1, said.0, said.1);
        report.add(&REPORT_AHEAD, media.text.finding(&[], what));
    }
}
