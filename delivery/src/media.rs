//! Answers to requests for media.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use nx_hls::{Ask, Lookup};
use nx_media::StreamKey;

use crate::blocking;
use crate::body::Body;
use crate::listen::{Request, Response};
use crate::live::LiveStream;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::range::{self, Range};
use crate::route::{self, Resource};

/// Where streams are found by name.
pub trait Directory: Send + Sync + 'static {
    /// The stream of a name, if anybody knows it. Costs no memory for names that do not exist.
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>>;
}

/// The media handler of an origin or an edge.
pub struct Media {
    directory: Arc<dyn Directory>,
    held_max: u64,
    held: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
}

/// How long a cache may keep an answer (RFC 8216bis appendix B.1).
#[derive(Debug, Clone, Copy)]
enum Keep {
    /// The name always means these bytes.
    Forever,
    /// For this many seconds.
    Seconds(u64),
}

struct Reply {
    bytes: VecDeque<Bytes>,
    content_type: &'static str,
    keep: Keep,
}

impl Reply {
    fn one(bytes: Bytes, content_type: &'static str, keep: Keep) -> Self {
        Self { bytes: VecDeque::from([bytes]), content_type, keep }
    }
}

const PLAYLIST: &str = "application/vnd.apple.mpegurl";

impl Media {
    /// Serves what `directory` finds; at most `held_max` requests wait at a time, further ones get 503.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>, held_max: u64) -> Self {
        Self {
            directory,
            held_max,
            held: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Whether this path is a stream's.
    #[must_use]
    pub fn owns(path: &str) -> bool {
        route::parse(path).is_some()
    }

    /// Answers a request for a stream's resource.
    ///
    /// # Errors
    /// A [`Problem`] for the client.
    pub async fn answer(&self, request: &Request, peer: SocketAddr) -> Result<Response, Problem> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.try_answer(request, peer).await;
        match &answer {
            Ok(response) => {
                self.bytes.fetch_add(response.body().size().unwrap_or(0), Ordering::Relaxed);
            }
            Err(_) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        answer
    }

    /// Counters of this handler, labelled with its `role`.
    pub fn metrics(&self, role: &str, out: &mut Metrics) {
        for (name, help, value) in [
            ("nexus_http_media_requests_total", "Requests for media.", &self.requests),
            ("nexus_http_media_errors_total", "Requests for media that got an error.", &self.errors),
            ("nexus_http_media_bytes_total", "Bytes of media answers.", &self.bytes),
        ] {
            out.family(name, "counter", help);
            out.value(name, &[("role", role)], value.load(Ordering::Relaxed));
        }
        out.family("nexus_http_held_requests", "gauge", "Requests that wait for a part or a playlist.");
        out.value("nexus_http_held_requests", &[("role", role)], self.held.load(Ordering::Relaxed));
    }

    async fn try_answer(&self, request: &Request, peer: SocketAddr) -> Result<Response, Problem> {
        if request.method() == Method::OPTIONS {
            return Ok(preflight());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::method("media is read with GET or HEAD"));
        }
        let path = request.uri().path();
        let route = route::parse(path)
            .ok_or_else(|| Problem::not_found(format!("nothing is served at {path:.200}")))?;
        if let Resource::NotBuilt(what) = route.resource {
            return Err(Problem::not_built(format!(
                "{what} comes with a later version; HLS is at index.m3u8"
            )));
        }
        let stream = self.find(&route.key)?;
        let _place = self.place()?;
        let query = request.uri().query().unwrap_or_default();
        let reply = reply(&stream, route.resource, query).await?;
        if reply.content_type == PLAYLIST {
            stream.audience().note((peer.ip(), player(request.headers())), crate::wall_ms());
        }
        Ok(respond(reply, request.headers()))
    }

    fn find(&self, key: &StreamKey) -> Result<Arc<LiveStream>, Problem> {
        self.directory.find(key).ok_or_else(|| {
            let detail =
                format!("nobody has published {key}; check the name, or publish to it and ask again");
            Problem::new(StatusCode::NOT_FOUND, "stream-unknown", "No such stream", detail)
        })
    }

    fn place(&self) -> Result<Place<'_>, Problem> {
        let place = Place(&self.held);
        if self.held.fetch_add(1, Ordering::Relaxed) >= self.held_max {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "Too many waiting requests",
                "the server holds as many requests as it may; ask again shortly",
            )
            .retry_after(1));
        }
        Ok(place)
    }
}

struct Place<'a>(&'a AtomicU64);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn not_live(key: &StreamKey) -> Problem {
    let detail = format!("{key} is known and has nothing to show yet; ask again shortly");
    Problem::new(StatusCode::NOT_FOUND, "stream-not-live", "Not live yet", detail).retry_after(1)
}

fn gone(stream: &LiveStream) -> Problem {
    Problem::not_found(format!("{} does not hold this piece (any more)", stream.key()))
}

/// Whether the stream can be had in MPEG-TS at all.
fn fits_ts(stream: &LiveStream) -> Result<(), Problem> {
    stream.read(|w| w.ts_tracks().map(drop)).map_err(|why| {
        let detail = format!("{why}; play index.m3u8");
        Problem::new(StatusCode::NOT_FOUND, "output-codec", "Codec not in this output", detail)
    })
}

/// A hold ends after three target durations (RFC 8216bis §6.2.5.2).
fn hold_limit(stream: &LiveStream) -> Duration {
    Duration::from_secs(stream.read(nx_hls::Window::target_s) * 3)
}

async fn reply(stream: &LiveStream, resource: Resource<'_>, query: &str) -> Result<Reply, Problem> {
    let track_of = |name: &str| stream.read(|w| w.track_index(name)).ok_or_else(|| gone(stream));
    match resource {
        Resource::Multivariant => multivariant(stream).await,
        // As after a restart: players that know the track from before shall ask again.
        Resource::Playlist { .. } if stream.read(|w| w.tracks().next().is_none()) => {
            Err(not_live(stream.key()))
        }
        Resource::Playlist { track } => match stream.read(|w| w.text_index(track)) {
            // Text grows with the leader's segments.
            Some(text) => {
                media_playlist(stream, stream.read(nx_hls::Window::leader), Ask::Text(text), query).await
            }
            None => {
                let track = track_of(track)?;
                media_playlist(stream, track, Ask::Track(track), query).await
            }
        },
        Resource::Init { track, run } => {
            let init = stream.read(|w| w.init(track, run)).ok_or_else(|| gone(stream))?;
            Ok(Reply::one(init, "video/mp4", Keep::Forever))
        }
        Resource::Part { track, msn, part } => {
            let index = track_of(track)?;
            let found = stream
                .wait(index, hold_limit(stream), |w| match w.part(index, msn, part) {
                    Lookup::Found(bytes) => Some(Some(bytes)),
                    Lookup::Soon => None,
                    Lookup::Missing => Some(None),
                })
                .await;
            let bytes = found.flatten().ok_or_else(|| gone(stream))?;
            Ok(Reply::one(bytes, "video/mp4", Keep::Forever))
        }
        Resource::Segment { track, msn } => segment(stream, track_of(track)?, msn).await,
        Resource::TsPlaylist => {
            fits_ts(stream)?;
            let text = stream.playlist(Ask::Ts).ok_or_else(|| not_live(stream.key()))?;
            Ok(Reply::one(text, PLAYLIST, Keep::Seconds(1)))
        }
        Resource::TsSegment { msn } => {
            fits_ts(stream)?;
            let bytes = stream.ts_segment(msn).await.ok_or_else(|| gone(stream))?;
            Ok(Reply::one(bytes, "video/mp2t", Keep::Forever))
        }
        Resource::Text { track, msn } => text(stream, track, msn).await,
        Resource::Break { id } => {
            let list = stream.read(|w| w.asset_list(id)).ok_or_else(|| gone(stream))?;
            Ok(Reply::one(list.into(), "application/json", Keep::Seconds(1)))
        }
        Resource::NotBuilt(what) => Err(Problem::not_built(what)),
    }
}

/// Waits for the first part of a stream that is just starting.
async fn multivariant(stream: &LiveStream) -> Result<Reply, Problem> {
    stream.wait(0, hold_limit(stream), |w| w.is_playable().then_some(())).await;
    let text = stream.multivariant().ok_or_else(|| not_live(stream.key()))?;
    Ok(Reply::one(text, PLAYLIST, Keep::Seconds(1)))
}

async fn media_playlist(stream: &LiveStream, track: usize, ask: Ask, query: &str) -> Result<Reply, Problem> {
    let want = blocking::parse(query).map_err(Problem::bad_request)?;
    let mut keep = Keep::Seconds(1);
    if let Some(want) = want {
        let check = |w: &nx_hls::Window| want.check(w.next(track).unwrap_or_default(), w.part_target_us());
        stream.read(check).map_err(Problem::bad_request)?;
        let limit = hold_limit(stream);
        let met = stream.wait(track, limit, |w| want.is_met(w, track).then_some(())).await;
        // Six target durations once it shows what was asked for; what timed out is stale at once.
        keep = Keep::Seconds(met.map_or(0, |()| limit.as_secs() * 2));
    }
    // A track that is just starting: its first part is worth waiting for.
    let begun = |w: &nx_hls::Window| w.has_parts(track).then_some(());
    stream.wait(track, hold_limit(stream), begun).await;
    let text = stream.playlist(ask).ok_or_else(|| not_live(stream.key()))?;
    Ok(Reply::one(text, PLAYLIST, keep))
}

/// A segment of text is there when the leader's is.
async fn text(stream: &LiveStream, name: &str, msn: u64) -> Result<Reply, Problem> {
    let index = stream.read(|w| w.text_index(name)).ok_or_else(|| gone(stream))?;
    let whole = |w: &nx_hls::Window| match w.text_segment(index, msn) {
        Lookup::Found(bytes) => Some(Some(bytes)),
        Lookup::Soon => None,
        Lookup::Missing => Some(None),
    };
    let found = stream.wait(stream.read(nx_hls::Window::leader), hold_limit(stream), whole).await;
    Ok(Reply::one(found.flatten().ok_or_else(|| gone(stream))?, "text/vtt", Keep::Forever))
}

async fn segment(stream: &LiveStream, track: usize, msn: u64) -> Result<Reply, Problem> {
    let whole = |w: &nx_hls::Window| match w.segment(track, msn) {
        Lookup::Found(s) => Some(Some(s.parts.iter().map(|p| p.bytes.clone()).collect())),
        Lookup::Soon => None,
        Lookup::Missing => Some(None),
    };
    let bytes = stream.wait(track, hold_limit(stream), whole).await.flatten().ok_or_else(|| gone(stream))?;
    Ok(Reply { bytes, content_type: "video/mp4", keep: Keep::Forever })
}

fn respond(reply: Reply, request: &HeaderMap) -> Response {
    let len: u64 = reply.bytes.iter().map(|b| b.len() as u64).sum();
    let asked = request.get(header::RANGE).and_then(|v| v.to_str().ok());
    // Playlists change under a reader: never in pieces.
    let range = if reply.content_type == PLAYLIST { Range::Whole } else { range::parse(asked, len) };
    let mut response = Response::default();
    let headers = response.headers_mut();
    cors(headers);
    let cache = match reply.keep {
        Keep::Forever => "public, max-age=3600, immutable".to_owned(),
        Keep::Seconds(s) => format!("public, max-age={s}"),
    };
    set(headers, header::CACHE_CONTROL, &cache);
    set(headers, header::CONTENT_TYPE, reply.content_type);
    let (status, bytes) = match range {
        Range::Whole => (StatusCode::OK, reply.bytes),
        Range::Part { first, last } => {
            set(headers, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{len}"));
            (StatusCode::PARTIAL_CONTENT, range::cut(reply.bytes, first, last))
        }
        Range::Unsatisfiable => {
            set(headers, header::CONTENT_RANGE, &format!("bytes */{len}"));
            (StatusCode::RANGE_NOT_SATISFIABLE, VecDeque::new())
        }
    };
    *response.status_mut() = status;
    *response.body_mut() = Body::Slices(bytes);
    response
}

fn preflight() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    cors(headers);
    set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS");
    set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, "*");
    set(headers, header::ACCESS_CONTROL_MAX_AGE, "86400");
    response
}

/// Any page may play a stream, and measure how it arrives.
fn cors(headers: &mut HeaderMap) {
    set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, "*");
    headers.insert("timing-allow-origin", HeaderValue::from_static("*"));
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Tells players behind one address apart.
fn player(headers: &HeaderMap) -> u64 {
    let mut hasher = DefaultHasher::new();
    headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
