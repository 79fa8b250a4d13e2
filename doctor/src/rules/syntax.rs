//! What makes a text a playlist.

use crate::m3u8::{Media, Multivariant, Text};
use crate::report::{Report, rules};

rules! {
    NO_PLAYLIST: "HLS-0a", Error, "a playlist begins with #EXTM3U", "rfc8216bis §4.4.1.1",
        "serve the playlist at this address, not a page or an error text";
    SYNTAX: "HLS-0b", Error, "tags and attribute lists are well formed", "rfc8216bis §4",
        "write the tag as the standard says; players drop the playlist or the line";
    VERSION: "HLS-0c", Error, "EXT-X-VERSION covers the tags used", "rfc8216bis §8",
        "raise EXT-X-VERSION to what the tags need";
    MIXED: "HLS-0d", Error, "a playlist is either multivariant or media", "rfc8216bis §4.1",
        "move the tags shown to the other kind of playlist";
    ENCODING: "HLS-0g", Error, "a playlist is UTF-8 without byte order mark", "rfc8216bis §4.1",
        "write plain UTF-8 without byte order mark";
}

pub(crate) fn media(media: &Media, report: &mut Report) {
    faults(&media.text, report);
    strangers(&media.text, &media.strangers, report);
    let version = media.version.as_ref().map_or(1, |v| v.value);
    if let Some((need, line, what)) = media.needs.iter().filter(|(need, ..)| *need > version).max() {
        let lines = [media.version.as_ref().map_or(0, |v| v.line), *line];
        report
            .add(&VERSION, media.text.finding(&lines, format!("{what} needs version {need}, not {version}")));
    }
}

pub(crate) fn multivariant(playlist: &Multivariant, report: &mut Report) {
    faults(&playlist.text, report);
    strangers(&playlist.text, &playlist.strangers, report);
}

fn faults(text: &Text, report: &mut Report) {
    for fault in &text.faults {
        report.add(&SYNTAX, text.finding(&[fault.line], fault.value.as_str()));
    }
}

fn strangers(text: &Text, lines: &[u32], report: &mut Report) {
    if !lines.is_empty() {
        let what = format!("{} tags of the other kind of playlist", lines.len());
        report.add(&MIXED, text.finding(lines, what));
    }
}

/// Checks the bytes themselves.
pub(crate) fn bytes(text: &Text, body: &[u8], report: &mut Report) {
    if body.starts_with(b"\xef\xbb\xbf") {
        report.add(&ENCODING, text.finding(&[1], "begins with a byte order mark"));
    } else if let Err(error) = std::str::from_utf8(body) {
        let what = format!("byte {} is not UTF-8", error.valid_up_to());
        report.add(&ENCODING, text.finding(&[], what));
    }
}
