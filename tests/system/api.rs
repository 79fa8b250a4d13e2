//! What the server says of itself and of its streams.

use std::time::Duration;

use serde_json::Value;

use crate::encoder::eventually;
use crate::support::{Server, http};

/// Time that a start, or any other change, may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(12);

/// The page of all streams, and the node.
pub(crate) fn status(server: &Server) -> Value {
    let reply = http::get(server.gateway(), "/api/streamcore/v1/streams").expect("an answer");
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// What it says of one stream.
pub(crate) fn stream(server: &Server, key: &str) -> Option<Value> {
    status(server)["items"].as_array()?.iter().find(|s| s["key"] == key).cloned()
}

/// Waits until the stream is as it shall be.
pub(crate) fn until(server: &Server, key: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let found = eventually(SOON, || stream(server, key).filter(&fits));
    found.unwrap_or_else(|| panic!("{key}: not {what}: {:#}\n{}", status(server), server.log()))
}

/// Waits for a refusal whose reason says so; the whole of it.
pub(crate) fn refusal(server: &Server, reason: &str) -> Value {
    let says = |r: &&Value| r["reason"].as_str().is_some_and(|r| r.contains(reason));
    let found =
        eventually(SOON, || status(server)["server"]["refusals"].as_array()?.iter().find(says).cloned());
    found.unwrap_or_else(|| {
        panic!("no refusal says {reason:?}: {:#}\n{}", status(server)["server"], server.log())
    })
}

/// A playlist, once it is there.
pub(crate) fn playlist(server: &Server, path: &str) -> Option<String> {
    let reply = http::get(server.edge(), path).ok().filter(|r| r.status == 200)?;
    String::from_utf8(reply.body).ok()
}

/// The multivariant playlist, once everything in it has a whole segment.
pub(crate) fn multivariant(server: &Server, key: &str) -> String {
    let found = eventually(SOON, || {
        let text = playlist(server, &format!("/{key}/index.m3u8"))?;
        let whole = |track: &str| {
            playlist(server, &format!("/{key}/{track}/index.m3u8")).is_some_and(|t| t.contains("#EXTINF"))
        };
        tracks(&text).into_iter().all(whole).then_some(text)
    });
    found.unwrap_or_else(|| panic!("{key} cannot be played: {:#}\n{}", status(server), server.log()))
}

/// Names of the tracks in a multivariant playlist.
pub(crate) fn tracks(multivariant: &str) -> Vec<&str> {
    let before = multivariant.split("/index.m3u8").filter(|before| before.ends_with(char::is_numeric));
    before.filter_map(|before| before.rsplit(['"', '\n']).next()).collect()
}

/// Number after a tag such as `#EXT-X-MEDIA-SEQUENCE`; 0 when the tag is not there.
pub(crate) fn number(playlist: &str, tag: &str) -> u64 {
    let line = playlist.lines().find_map(|l| l.strip_prefix(tag)?.strip_prefix(':'));
    line.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Number of the first segment, and of the one after the last.
pub(crate) fn numbers(playlist: &str) -> (u64, u64) {
    let first = number(playlist, "#EXT-X-MEDIA-SEQUENCE");
    (first, first + playlist.matches("#EXTINF:").count() as u64)
}

/// The codecs of each variant.
pub(crate) fn codecs(multivariant: &str) -> Vec<&str> {
    let variants = multivariant.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF"));
    variants.filter_map(|line| line.split("CODECS=\"").nth(1)?.split('"').next()).collect()
}
