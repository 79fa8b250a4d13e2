//! What two origins of one encoder say and send.

use super::changes::difference;
use crate::evidence::Fetch;
use crate::m3u8::Media;
use crate::report::{Report, rules};

rules! {
    NUMBERS: "HLS-53a", Error, "two origins of one encoder give a segment the same number and name", "rfc8216bis §6.2.4",
        "number segments by the encoder's own time, not by what the origin has counted; a player that changes between \
         the two stops or goes back otherwise";
    SAYINGS: "HLS-53b", Error, "two origins of one encoder say the same of a segment", "rfc8216bis §6.2.4",
        "take durations, dates and discontinuities from the encoder's time stamps, not from the origin's clock";
    BYTES: "HLS-53c", Error, "what two origins of one encoder call the same is the same", "rfc8216bis §6.2.4",
        "package deterministically: nothing of the origin's own in headers, numbers of fragments or padding";
}

/// Compares what two origins list.
pub(crate) fn playlists(ours: &Media, theirs: &Media, report: &mut Report) {
    let span = |m: &Media| format!("{} to {}", m.first_msn(), m.segments.last().map_or(0, |s| s.msn));
    let mut common = theirs.segments.iter().filter_map(|s| Some((ours.segment(s.msn)?, s))).peekable();
    if common.peek().is_none() && !(ours.segments.is_empty() && theirs.segments.is_empty()) {
        let line = theirs.media_sequence.as_ref().map_or(0, |m| m.line);
        let what = format!("segments {} here, {} at {}", span(theirs), span(ours), ours.text.url);
        report.add(&NUMBERS, theirs.text.finding(&[line], what));
    }
    for (ours, other) in common {
        let lines = [other.extinf_line, other.line];
        if (&ours.uri, &ours.range) != (&other.uri, &other.range) {
            let what = format!("segment {} is {} at the first origin", other.msn, ours.uri);
            report.add(&NUMBERS, theirs.text.finding(&lines, what));
        } else if let Some(what) =
            difference(ours, other).or((ours.dsn != other.dsn).then_some("the discontinuity sequence"))
        {
            let what = format!("{what} of segment {} is another at the first origin", other.msn);
            report.add(&SAYINGS, theirs.text.finding(&lines, what));
        }
    }
}

/// Compares what two origins send under one name.
pub(crate) fn bytes(ours: &Fetch, theirs: &Fetch, report: &mut Report) {
    if !ours.is_good() {
        // It left the window, or the first origin has a fault that other rules find.
        return;
    }
    if !theirs.is_good() {
        let why = theirs.failure.clone().unwrap_or_else(|| format!("status {}", theirs.status));
        report.add(&BYTES, super::about(theirs, format!("{why}, but {} is there", ours.url)));
    } else if ours.body != theirs.body {
        let same = ours.body.iter().zip(&theirs.body).take_while(|(a, b)| a == b).count();
        let (here, there) = (theirs.body.len(), ours.body.len());
        let what = format!("{here} bytes, {there} at {}; they differ from byte {same} on", ours.url);
        report.add(&BYTES, super::about(theirs, what));
    }
}
