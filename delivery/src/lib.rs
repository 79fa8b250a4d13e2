//! The HTTP face of live streams, the same on an origin and on an edge.
//!
//! A [`LiveStream`] is a window that many may read while one writes; [`Media`] answers requests for it: blocking
//! reloads, hinted parts, ranges, HLS in CMAF and MPEG-TS. [`serve`] runs any [`Handler`] over HTTP/1.1 and
//! HTTP/2, [`serve_secure`] over TLS and HTTP/3, with what every listener of the system has: health, metrics, request ids, problem documents.
//!
//! Where the streams come from is the business of whoever implements [`Directory`]: the origin's hub, or an
//! edge's subscriptions.

mod audience;
mod blocking;
mod body;
mod caching;
mod certs;
mod cmcd;
mod cmsd;
mod conditional;
mod directory;
mod encoding;
mod film;
pub mod fuzz;
mod growing;
mod h1;
mod h2;
mod h3;
mod holds;
mod images;
mod listen;
mod live;
mod media;
mod metrics;
mod pages;
mod past;
mod personal;
mod problem;
mod qoe;
mod range;
mod rendered;
mod reply;
mod route;
mod sealed;
mod secure;
mod slab;
mod tls;
mod ts;
mod tunnel;
mod upgrade;
mod upload;

pub use audience::Audience;
pub use body::{Body, Stream};
pub use certs::Certs;
pub use cmcd::next_object;
pub use directory::{Directory, Seeking};
pub use film::{Film, Piece, Source};
pub use images::{KeyFrame, Order, Painter, Painting, Still};
pub use listen::{
    Answer, Handler, Limits, Listening, Request, Response, bind, bind_lasting, cannot_listen, serve,
};
pub use live::{Keys, LiveStream, Step};
pub use media::Media;
pub use metrics::Metrics;
pub use nx_hls::STEERING;
pub use pages::page;
pub use past::{Archive, Reader};
pub use personal::{Guest, gate_metrics, personal, refresh_keys, watch_keys};
pub use problem::Problem;
pub use qoe::{Quality, QualitySummary};
pub use range::cut;
pub use reply::{cors, select};
pub use secure::{Pair, bind_pair, serve_secure};
pub use tls::{TlsConfig, TlsPair};
pub use upgrade::{listen_udp, ready, upgrades};
pub use upload::Upload;

/// Unix time in milliseconds.
#[must_use]
pub fn wall_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the rim's one reading of the wall clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Unix time in seconds.
#[must_use]
pub fn wall_s() -> i64 {
    wall_ms().div_euclid(1000)
}

/// A date as HTTP writes it (RFC 9110 §5.6.7), from Unix milliseconds.
#[must_use]
pub fn http_date(unix_ms: i64) -> String {
    conditional::HttpDate(unix_ms.div_euclid(1000)).to_string()
}

/// A random identifier of 16 hexadecimal digits.
#[must_use]
pub fn random_id() -> String {
    format!("{:016x}", getrandom::u64().unwrap_or_default())
}

/// Returns when `stop` turns true, or can turn no more.
pub async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}
