//! HLS readers: one that waits for parts as a low-latency player does, one that polls for segments.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::time::Instant;

use super::http::{Client, Reply};

/// Reads one track by blocking reloads.
pub(crate) struct LowLatency {
    reloads: Client,
    media: Client,
    folder: String,
    /// Number and part of what comes next.
    next: (u64, u64),
}

/// A part as it came.
pub(crate) struct Part {
    pub(crate) seconds: f64,
    /// When the playlist that lists it had arrived.
    pub(crate) listed: Instant,
    pub(crate) bytes: Vec<u8>,
}

impl LowLatency {
    /// Joins `/KEY/TRACK/` at its live edge; `path` is that folder.
    ///
    /// # Errors
    /// When there is no such playlist, or the server breaks off.
    pub(crate) fn join(address: SocketAddr, path: &str) -> Result<Self> {
        let (mut reloads, media) = (Client::connect(address)?, Client::connect(address)?);
        let playlist = text(reloads.get(&format!("{path}index.m3u8"), &[])?)?;
        let next = hint(&playlist).ok_or_else(|| Error::other("no preload hint"))?;
        Ok(Self { reloads, media, folder: path.to_owned(), next })
    }

    /// Waits for the next part and fetches it, with those that came at the same time.
    ///
    /// # Errors
    /// When an answer is not 200, or the stream is over.
    pub(crate) fn step(&mut self) -> Result<Vec<Part>> {
        let (msn, part) = self.next;
        let path = format!("{}index.m3u8?_HLS_msn={msn}&_HLS_part={part}", self.folder);
        let reply = self.reloads.get(&path, &[])?;
        let listed = Instant::now();
        let playlist = text(reply)?;
        let mut parts = Vec::new();
        for (seconds, uri) in playlist.lines().filter_map(part_line) {
            if place(uri).is_some_and(|place| place >= self.next) {
                let bytes = ok(self.media.get(&format!("{}{uri}", self.folder), &[])?)?.body;
                parts.push(Part { seconds, listed, bytes });
            }
        }
        self.next = hint(&playlist).ok_or_else(|| Error::other("the stream is over"))?;
        Ok(parts)
    }
}

/// Reads a playlist of whole segments, from any server.
pub(crate) struct Segments {
    client: Client,
    playlist: String,
    last: Option<String>,
}

impl Segments {
    /// Will read the playlist at that path.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(crate) fn new(address: SocketAddr, playlist: &str) -> Result<Self> {
        Ok(Self { client: Client::connect(address)?, playlist: playlist.to_owned(), last: None })
    }

    /// Fetches the segments that are new since the last time; at first, the newest.
    ///
    /// # Errors
    /// When an answer is not 200.
    pub(crate) fn step(&mut self) -> Result<Vec<Vec<u8>>> {
        let playlist = text(self.client.get(&self.playlist, &[])?)?;
        let uris: Vec<&str> = playlist.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        let seen = self.last.as_deref().and_then(|last| uris.iter().position(|u| *u == last));
        let new = uris.get(seen.map_or(uris.len().saturating_sub(1), |n| n + 1)..).unwrap_or_default();
        let folder = self.playlist.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut segments = Vec::new();
        for uri in new {
            segments.push(ok(self.client.get(&format!("{folder}/{uri}"), &[])?)?.body);
            self.last = Some((*uri).to_owned());
        }
        Ok(segments)
    }
}

fn ok(reply: Reply) -> Result<Reply> {
    if reply.status == 200 { Ok(reply) } else { Err(Error::other(format!("status {}", reply.status))) }
}

fn text(reply: Reply) -> Result<String> {
    String::from_utf8(ok(reply)?.body).map_err(Error::other)
}

/// Duration and address of an `EXT-X-PART` line.
fn part_line(line: &str) -> Option<(f64, &str)> {
    let (seconds, rest) = line.strip_prefix("#EXT-X-PART:DURATION=")?.split_once(",URI=\"")?;
    Some((seconds.parse().ok()?, rest.split('"').next()?))
}

fn hint(playlist: &str) -> Option<(u64, u64)> {
    place(playlist.split("PRELOAD-HINT:TYPE=PART,URI=\"").nth(1)?)
}

/// Number and part of `17.3.m4s`.
fn place(uri: &str) -> Option<(u64, u64)> {
    let mut numbers = uri.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
