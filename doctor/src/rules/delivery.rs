//! How playlists and segments travel: status, media types, compression, other origins, ranges.

use crate::evidence::{Fetch, Role};
use crate::report::{Report, rules};

use super::about;

rules! {
    NO_PLAYLIST: "HLS-0e", Error, "every playlist that is named can be fetched", "rfc8216bis §4.1",
        "serve the playlist, or do not name it";
    NO_SEGMENT: "HLS-0f", Error, "every segment, part and map that is listed can be fetched", "rfc8216bis §6.2.1",
        "list a resource only when it can be fetched, and mark missing ones with EXT-X-GAP";
    REDIRECT: "HLS-18", Warning, "segments are not redirected", "Apple 8.18",
        "write the final address into the playlist";
    REMOVED_GONE: "HLS-20", Error, "a segment can be fetched for a while after it left the playlist",
        "rfc8216bis §6.2.2", "keep segments for one playlist length after they first appeared, and their own";
    NO_GZIP: "HLS-32a", Warning, "playlists are compressed when asked for", "rfc8216bis §6.2.1; Apple 10.1",
        "compress playlists with gzip";
    PLAYLIST_TYPE: "HLS-32b", Error, "a playlist ends in .m3u8 or has its media type", "rfc8216bis §4.1",
        "send Content-Type: application/vnd.apple.mpegurl";
    PLAYLIST_TYPE_ODD: "HLS-32c", Warning, "a playlist has its media type", "rfc8216bis §4.1",
        "send Content-Type: application/vnd.apple.mpegurl";
    SEGMENT_TYPE: "HLS-32d", Warning, "segments have a media type of media", "Apple 10.4",
        "send video/mp4, audio/mp4, video/mp2t, audio/aac or text/vtt";
    NO_HTTP2: "HLS-32e", ErrorInLl, "low latency over TLS comes with HTTP/2 or newer", "rfc8216bis B.1",
        "offer h2 in the TLS handshake";
    NO_CORS: "HLS-34a", Warning, "pages of other sites may read the answers", "Fetch standard §3.2",
        "send Access-Control-Allow-Origin: *";
    NO_TIMING: "HLS-34b", Warning, "pages of other sites may time the answers", "Resource Timing §4.5",
        "send Timing-Allow-Origin: *, or players cannot measure the bandwidth";
    RANGE_WRONG: "HLS-34c", Error, "a range request gets exactly the range", "RFC 9110 §14",
        "answer 206 with Content-Range and the bytes asked for";
    NO_RANGES: "HLS-34d", Warning, "segments can be fetched by range", "RFC 9110 §14",
        "support range requests on segments";
    PARTIAL_PLAYLIST: "HLS-34e", Warning, "playlists are not sent in pieces", "rfc8216bis §6.2.1",
        "ignore Range for playlists: two versions would be mixed";
    CUT_OFF: "HLS-34f", Error, "answers are complete", "RFC 9112 §6.3",
        "compare Content-Length with what is sent; look for timeouts between the servers";
}

const PLAYLIST_TYPES: &[&str] = &["application/vnd.apple.mpegurl", "audio/mpegurl", "application/x-mpegurl"];
const SEGMENT_TYPES: &[&str] = &[
    "video/mp4",
    "audio/mp4",
    "application/mp4",
    "video/iso.segment",
    "audio/iso.segment",
    "video/mp2t",
    "audio/aac",
    "audio/aacp",
    "audio/mpeg",
    "audio/ac3",
    "audio/eac3",
    "text/vtt",
    "image/jpeg",
    "application/ttml+xml",
];

/// Checks any answer that should have been a good one. False when it is of no use.
pub(crate) fn check(fetch: &Fetch, report: &mut Report) -> bool {
    let playlist = matches!(fetch.role, Role::Multivariant | Role::Playlist);
    if fetch.failure.is_some() && fetch.status > 0 {
        report.add(&CUT_OFF, about(fetch, fetch.failure.clone().unwrap_or_default()));
        return false;
    }
    if !fetch.is_good() {
        let rule = match fetch.role {
            _ if playlist => &NO_PLAYLIST,
            Role::Removed => &REMOVED_GONE,
            _ => &NO_SEGMENT,
        };
        let what = match fetch.status {
            0 => fetch.failure.clone().unwrap_or_default(),
            status => format!("status {status}"),
        };
        report.add(rule, about(fetch, what));
        return false;
    }
    kind(fetch, playlist, report);
    let origin = fetch.header("access-control-allow-origin");
    if origin.is_none_or(|o| o != "*" && o != crate::watch::ORIGIN) {
        report.add(
            &NO_CORS,
            about(fetch, origin.map_or("no Access-Control-Allow-Origin", |_| "another origin")),
        );
    }
    if fetch.header("timing-allow-origin").is_none() {
        report.add(&NO_TIMING, about(fetch, "no Timing-Allow-Origin"));
    }
    if let Some(to) = fetch.redirect.as_ref().filter(|_| !playlist) {
        report.add(&REDIRECT, about(fetch, format!("redirected to {to}")));
    }
    true
}

fn kind(fetch: &Fetch, playlist: bool, report: &mut Report) {
    let mime = fetch.mime().unwrap_or_default();
    let path = fetch.url.split(['?', '#']).next().unwrap_or_default();
    let named = path.ends_with(".m3u8") || path.ends_with(".m3u");
    let shown = if mime.is_empty() { "no Content-Type".to_owned() } else { format!("Content-Type {mime}") };
    if playlist && !PLAYLIST_TYPES.contains(&mime.as_str()) {
        report.add(if named { &PLAYLIST_TYPE_ODD } else { &PLAYLIST_TYPE }, about(fetch, shown));
    } else if !playlist && !SEGMENT_TYPES.contains(&mime.as_str()) {
        report.add(&SEGMENT_TYPE, about(fetch, shown));
    }
}

pub(crate) fn compressed(fetch: &Fetch, report: &mut Report) {
    let encoding = fetch.header("content-encoding").unwrap_or("none");
    if fetch.is_good() && !["gzip", "br", "zstd", "deflate"].contains(&encoding) {
        report.add(&NO_GZIP, about(fetch, format!("Content-Encoding {encoding} for Accept-Encoding: gzip")));
    }
}

pub(crate) fn playlist_range(fetch: &Fetch, report: &mut Report) {
    if fetch.status == 206 {
        report.add(&PARTIAL_PLAYLIST, about(fetch, "206 for a range of a playlist"));
    }
}

/// Compares the answer to a range request with the resource, when that is known.
pub(crate) fn range(fetch: &Fetch, first: u64, last: u64, whole: Option<&[u8]>, report: &mut Report) {
    match fetch.status {
        206 => {}
        200 => return report.add(&NO_RANGES, about(fetch, "200 for a range request")),
        status => {
            return report.add(&NO_RANGES, about(fetch, format!("status {status} for a range request")));
        }
    }
    let said = fetch.header("content-range").unwrap_or("nothing");
    let from_to = format!("bytes {first}-{last}/");
    let total = said.strip_prefix(&from_to);
    let total_fits = match (total, whole) {
        (Some("*"), _) | (Some(_), None) => true,
        (Some(total), Some(whole)) => total.parse() == Ok(whole.len()),
        (None, _) => false,
    };
    if !total_fits {
        return report
            .add(&RANGE_WRONG, about(fetch, format!("Content-Range {said} for bytes {first}-{last}")));
    }
    let bounds = (usize::try_from(first), usize::try_from(last.saturating_add(1)));
    if let (Some(whole), (Ok(from), Ok(to))) = (whole, bounds)
        && whole.get(from..to) != Some(&fetch.body[..])
    {
        report.add(&RANGE_WRONG, about(fetch, "other bytes than the whole resource has there"));
    }
}

/// Low latency needs many small answers at once.
pub(crate) fn protocol_if(fetch: &Fetch, low_latency: bool, report: &mut Report) {
    if low_latency && fetch.url.starts_with("https:") && !fetch.http2 && fetch.is_good() {
        report.add(&NO_HTTP2, about(fetch, "HTTP/1.1"));
    }
}
