//! Settings of the live plane.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Sections `origin.plane` and `edge.plane`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where edges may fetch streams, UDP; nobody may without it. Port 0 picks a free one.
    pub listen: Option<SocketAddr>,
    /// Nodes that an edge fetches streams from, `HOST:PORT`; the first that has a stream gives it.
    pub origins: Vec<String>,
    /// PEM file with the authority whose certificates the nodes show each other.
    pub ca: Option<PathBuf>,
    /// PEM file with this node's certificate, for the name that others know it by.
    pub cert: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// How long a stream that nobody watches any more is still fetched. Seconds.
    pub linger_s: u32,
    /// Streams that an edge fetches at a time.
    pub streams_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            origins: Vec::new(),
            ca: None,
            cert: None,
            key: None,
            linger_s: 30,
            streams_max: 1_000,
        }
    }
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let on = self.listen.is_some() || !self.origins.is_empty();
        let paths = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        let missing = paths.iter().filter(|(_, path)| on && path.is_none());
        let mut faults: Vec<(String, String)> = missing
            .map(|(key, _)| ((*key).to_owned(), "is needed beside listen and origins: a PEM file".to_owned()))
            .collect();
        for (nth, origin) in self.origins.iter().enumerate() {
            if host(origin).is_none() {
                faults.push((format!("origins.{nth}"), "must be HOST:PORT".into()));
            }
        }
        if self.streams_max == 0 {
            faults.push(("streams_max".into(), "must be at least 1".into()));
        }
        faults
    }
}

/// Section `edge.moq`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrowserConfig {
    /// Where browsers may fetch streams by WebTransport, UDP; they get them over HTTP alone without it. Port 0 picks a
    /// free one.
    pub listen: Option<SocketAddr>,
    /// Sessions of browsers at a time; further ones are refused.
    pub sessions_max: usize,
}

impl Default for BrowserConfig {
    fn default() -> Self {
        Self { listen: None, sessions_max: 1_000 }
    }
}

/// The host of `HOST:PORT`, without the brackets of an IPv6 address.
pub(crate) fn host(origin: &str) -> Option<&str> {
    let (host, port) = origin.rsplit_once(':')?;
    let host = host.strip_prefix('[').map_or(Some(host), |inner| inner.strip_suffix(']'))?;
    (!host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0)).then_some(host)
}
