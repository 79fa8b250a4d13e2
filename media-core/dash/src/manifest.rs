//! The manifest as text.
//!
//! Spec: ISO/IEC 23009-1 §5.3; attributes and elements in the order of its schema.

use std::fmt::{self, Write as _};

use nx_hls::{PATHWAY, Rfc3339, STEERING, Window};

use crate::sets;
use crate::timeline::{self, Listing, Period};

/// Where the server tells its time, relative to the manifest: an ISO date in milliseconds.
pub(crate) const UTC_TIMING: &str =
    "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-xsdate:2014\" value=\"time\"/>";

/// The manifest of a window; `None` before anything can be played. It changes when a segment begins, and depends
/// on nothing but the window.
///
/// `type` stays `dynamic` when the stream has ended: then it has a `mediaPresentationDuration` and no
/// `minimumUpdatePeriod` (DASH-IF IOP §4.4.3.1), because in a static presentation that began in 1970 the first
/// Period would be half a century away.
#[must_use]
pub fn manifest(window: &Window) -> Option<String> {
    made(window, false)
}

/// The same for players that are steered from one edge to another: what they fetch, and the manifest itself, is at the
/// service location of the edge that it came from, of which others are clones. Spec: ETSI TS 103 998 §6.
#[must_use]
pub fn manifest_steered(window: &Window) -> Option<String> {
    made(window, true)
}

fn made(window: &Window, steered: bool) -> Option<String> {
    if !window.is_playable() {
        return None;
    }
    let (periods, predicted_ms) = timeline::periods(window);
    if periods.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(4096);
    write(window, &periods, predicted_ms, steered, &mut out).ok()?;
    Some(out)
}

/// What low latency means to players of this stream, milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Longest part.
    pub(crate) part: i64,
    /// How long before it is whole a segment can be asked for; 0 when the stream has ended.
    pub(crate) early: i64,
}

fn write(
    window: &Window,
    periods: &[Period<'_>],
    predicted_ms: i64,
    steered: bool,
    out: &mut String,
) -> fmt::Result {
    let part = i64::from(window.part_target_us().div_ceil(1000));
    let pace = Pace { part, early: if window.is_ended() { 0 } else { (predicted_ms - part).max(0) } };
    let target_ms = i64::try_from(window.target_s()).unwrap_or(1) * 1000;
    let listed = i64::try_from(window.listed_max()).unwrap_or(1);
    let all = || periods.iter().flat_map(|p| &p.listings);
    let longest = all().map(|l| l.longest_ms()).max().unwrap_or(0).max(predicted_ms);
    out.write_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\"",
    )?;
    if all().any(|listing| listing.track.key.is_some()) {
        out.write_str(" xmlns:cenc=\"urn:mpeg:cenc:2013\" xmlns:dashif=\"https://dashif.org/CPS\"")?;
    }
    if window.is_past() && window.is_ended() {
        return write_static(window, periods, longest, steered, out);
    }
    out.write_str(" type=\"dynamic\" availabilityStartTime=\"1970-01-01T00:00:00Z\"")?;
    write!(out, " publishTime=\"{}\"", Rfc3339(published_ms(window, periods)))?;
    if window.is_ended() {
        write!(out, " mediaPresentationDuration=\"{}\"", Span(end_ms(periods)))?;
    } else {
        // A segment ahead is listed: twice in its time is often enough.
        write!(out, " minimumUpdatePeriod=\"{}\"", Span(predicted_ms / 2))?;
    }
    writeln!(
        out,
        " minBufferTime=\"{}\" timeShiftBufferDepth=\"{}\" suggestedPresentationDelay=\"{}\" \
         maxSegmentDuration=\"{}\">",
        Span(pace.part),
        Span(if window.is_past() { end_ms(periods) - begin_ms(periods) } else { listed * target_ms }),
        Span(if window.is_ended() { target_ms } else { pace.part }),
        Span(longest),
    )?;
    write_places(window, steered, out)?;
    if !window.is_ended() {
        writeln!(
            out,
            " <ServiceDescription id=\"0\">\n  <Latency target=\"{}\" min=\"{}\" max=\"{}\"/>\n  \
             <PlaybackRate min=\"0.96\" max=\"1.04\"/>\n </ServiceDescription>",
            pace.part * 3,
            pace.part * 2,
            pace.part * 9,
        )?;
    }
    write_steering(steered, out)?;
    for period in periods {
        writeln!(out, " <Period id=\"{}\" start=\"{}\">", period.id(), Span(period.start_ms()))?;
        sets::write(window, period, pace, out)?;
        out.write_str(" </Period>\n")?;
    }
    writeln!(out, " {UTC_TIMING}")?;
    out.write_str("</MPD>\n")
}

/// Where media are, and the manifest itself when it is asked for again.
fn write_places(window: &Window, steered: bool, out: &mut String) -> fmt::Result {
    let again = window.is_past() && !window.is_ended();
    // A view is asked for by times such as "an hour ago", which are others when it is asked for again.
    let query = if again { window.query().replace('&', "&amp;") } else { String::new() };
    if steered {
        writeln!(out, " <BaseURL serviceLocation=\"{PATHWAY}\">./</BaseURL>")?;
        if !window.is_ended() {
            writeln!(out, " <Location serviceLocation=\"{PATHWAY}\">manifest.mpd{query}</Location>")?;
        }
    } else if again {
        writeln!(out, " <Location>manifest.mpd{query}</Location>")?;
    }
    Ok(())
}

fn write_steering(steered: bool, out: &mut String) -> fmt::Result {
    if !steered {
        return Ok(());
    }
    let attributes = format_args!("defaultServiceLocation=\"{PATHWAY}\" queryBeforeStart=\"false\"");
    writeln!(out, " <ContentSteering {attributes}>{STEERING}</ContentSteering>")
}

/// A presentation that has ended and begins with what is listed first. Pauses between runs are left out.
fn write_static(
    window: &Window,
    periods: &[Period<'_>],
    longest: i64,
    steered: bool,
    out: &mut String,
) -> fmt::Result {
    let lengths: Vec<i64> = periods.iter().map(|p| ends_ms(p) - p.start_ms()).collect();
    let pace = Pace { part: i64::from(window.part_target_us().div_ceil(1000)), early: 0 };
    let length = Span(lengths.iter().sum());
    writeln!(
        out,
        " type=\"static\" mediaPresentationDuration=\"{length}\" minBufferTime=\"{}\" maxSegmentDuration=\"{}\">",
        Span(longest),
        Span(longest),
    )?;
    write_places(window, steered, out)?;
    write_steering(steered, out)?;
    for (period, length) in periods.iter().zip(lengths) {
        writeln!(out, " <Period id=\"{}\" duration=\"{}\">", period.id(), Span(length))?;
        sets::write(window, period, pace, out)?;
        out.write_str(" </Period>\n")?;
    }
    out.write_str("</MPD>\n")
}

/// Unix milliseconds at which the first Period begins.
fn begin_ms(periods: &[Period<'_>]) -> i64 {
    periods.first().map_or(0, Period::start_ms)
}

/// When what is listed was last changed: when the newest segment began, or the stream ended.
fn published_ms(window: &Window, periods: &[Period<'_>]) -> i64 {
    let Some(last) = periods.last() else { return 0 };
    let ends = last.listings.iter().filter_map(|listing| {
        let open = if last.goes_on(window) { 2 } else { 0 };
        let whole = listing.entries.len().checked_sub(open)?;
        let began = match listing.entries.get(whole) {
            Some(open) => open.start,
            None => listing.entries.last()?.end(),
        };
        Some(last.wall_ms(began, &listing.track.params))
    });
    // A Period that begins within the one before it was told of later all the same.
    let before = periods.iter().rev().nth(1).map_or(i64::MIN, ends_ms);
    ends.max().unwrap_or(last.start_ms()).max(before)
}

/// Unix milliseconds at which the last Period ends.
fn end_ms(periods: &[Period<'_>]) -> i64 {
    periods.last().map_or(0, ends_ms)
}

/// Unix milliseconds at which the longest of a Period's tracks ends.
fn ends_ms(period: &Period<'_>) -> i64 {
    let end = |listing: &Listing| {
        let last = listing.entries.last()?;
        Some(period.wall_ms(last.end(), &listing.track.params))
    };
    period.listings.iter().filter_map(end).max().unwrap_or(period.start_ms())
}

/// Milliseconds as an XML duration of seconds; 0 when negative.
pub(crate) struct Span(pub(crate) i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.max(0);
        write!(f, "PT{}.{:03}S", ms / 1000, ms % 1000)
    }
}
