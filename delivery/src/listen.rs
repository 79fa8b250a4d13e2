//! Listeners: HTTP/1.1 and HTTP/2 on one port, bounded, drained on stop.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::body::Body;
use crate::h1::{self, Clock, Context, Line};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::slab::Slab;
use crate::upload::Upload;

/// A request as handlers see it, whichever version of HTTP brought it.
pub type Request = http::Request<Upload>;
/// What they answer.
pub type Response = http::Response<Body>;
/// The answer to come.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send + 'a>>;

/// Longest head of a request over HTTP/1.1, and what is read at a time; bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What the kernel holds unsent for one connection before it asks us to wait; bytes.
const NOTSENT_BYTES: u32 = 128 * 1024;

/// What a listener serves.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request that is not for health or metrics. `peer` is the other end of the connection.
    fn handle(&self, request: Request, peer: SocketAddr) -> Answer<'_>;
    /// Whether work can be done, as JSON for `/health/ready`; `Err` makes it 503.
    ///
    /// # Errors
    /// The same document, when it cannot.
    fn ready(&self) -> Result<serde_json::Value, serde_json::Value>;
    /// Adds to `/metrics`.
    fn metrics(&self, out: &mut Metrics);
}

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; a further one waits in the kernel's backlog until one closes.
    pub connections_max: usize,
    /// Time for a request's head to arrive whole; a further second may pass.
    pub head_timeout: Duration,
    /// Time between two requests on a connection; one that is upgraded may be silent for up to twice that.
    pub idle_timeout: Duration,
    /// Bytes per second that a peer has to take while something waits for it; a slower one is cut off after
    /// `drain_timeout`.
    pub drain_min: u32,
    /// How long a peer may take less than `drain_min`.
    pub drain_timeout: Duration,
    /// Memory for bodies that the kernel sends by itself; 0 for none. See `slab.rs`.
    pub slab_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_min: 4096,
            drain_timeout: Duration::from_secs(20),
            slab_bytes_max: 256 << 20,
        }
    }
}

/// A listener at work.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens; the port that was found when 0 was asked for.
    pub address: SocketAddr,
    pub(crate) done: tokio::task::JoinHandle<()>,
}

impl Listening {
    /// A listener elsewhere, whose task ends once it is drained.
    #[must_use]
    pub fn new(address: SocketAddr, done: tokio::task::JoinHandle<()>) -> Self {
        Self { address, done }
    }

    /// Waits until the listener has closed and its connections are drained.
    pub async fn drained(self) {
        let _ = self.done.await;
    }
}

/// Opens a listener, or goes on with one that this process was started with; `key` is the setting that names the
/// address. See `upgrade.rs`.
///
/// # Errors
/// In words, with what to do: the address cannot be had.
pub async fn bind_lasting(key: &str, address: SocketAddr) -> Result<Arc<TcpListener>, String> {
    crate::upgrade::listen(key, address).await.map_err(|e| cannot_listen(key, address, &e))
}

/// The same, which the next process does not get.
///
/// # Errors
/// In words, with what to do: the address cannot be had.
pub async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|e| cannot_listen(key, address, &e))
}

/// What to say when an address cannot be had.
#[must_use]
pub fn cannot_listen(key: &str, address: SocketAddr, why: &std::io::Error) -> String {
    format!("cannot listen on {address}: set {key} to another address, or stop what uses this one: {why}")
}

/// Serves `handler` on `listener` until `stop` turns true; then requests that run are finished, for at most
/// `grace`.
///
/// # Errors
/// When the listener has no address.
pub fn serve(
    listener: impl Into<Arc<TcpListener>>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    grace: Duration,
) -> std::io::Result<Listening> {
    let listener = listener.into();
    let address = listener.local_addr()?;
    let context = context(handler, limits, http(limits), stop);
    let serve = |context, line, socket, peer, place| {
        tokio::spawn(h1::run(context, line, socket, peer, place));
    };
    let done = tokio::spawn(accept_loop(listener, context, grace, serve));
    Ok(Listening { address, done })
}

/// What idle connections have for one more request when another process has taken over.
const LAST_WORD: Duration = Duration::from_secs(3);
/// How often late connections are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Gives each connection to `serve`, with its place.
pub(crate) async fn accept_loop(
    listener: Arc<TcpListener>,
    context: Context,
    grace: Duration,
    serve: impl Fn(Arc<Context>, Arc<Line>, TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    prepare(&listener);
    let mut stop = context.stop.clone();
    let places_max = u32::try_from(context.limits.connections_max).unwrap_or(u32::MAX).min(1 << 28);
    let places = Arc::new(Semaphore::new(places_max as usize));
    let context = Arc::new(context);
    let mut lines: Vec<Weak<Line>> = Vec::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let (socket, peer, place) = tokio::select! {
            () = crate::stopped(&mut stop) => break,
            _ = look.tick(), if !lines.is_empty() => {
                look_after(&context, &mut lines);
                continue;
            }
            accepted = accepted => match accepted {
                Some((Ok((socket, peer)), place)) => (socket, peer, place),
                Some((Err(error), _)) => {
                    tracing::warn!(%error, "accept failed, trying again in 100 ms");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                None => break,
            },
        };
        if lines.is_empty() {
            context.clock.tick();
        }
        let line = Arc::new(Line::new());
        lines.push(Arc::downgrade(&line));
        serve(context.clone(), line, socket, peer, place);
    }
    drop(listener);
    context.stopping.store(true, Ordering::SeqCst);
    if crate::upgrade::is_replaced() {
        // Who asks once more is answered and told to come anew: a request may be on its way.
        tokio::time::sleep(LAST_WORD.min(grace / 2)).await;
    }
    context.closing.store(true, Ordering::SeqCst);
    lines.iter().filter_map(Weak::upgrade).for_each(|line| line.call());
    let all_gone = places.acquire_many(places_max);
    tokio::pin!(all_gone);
    let _ = tokio::time::timeout(grace, async {
        loop {
            tokio::select! {
                _ = &mut all_gone => break,
                _ = look.tick() => look_after(&context, &mut lines),
            }
        }
    })
    .await;
}

/// Hyper with the bounds of a server that faces strangers.
pub(crate) type Http = auto::Builder<TokioExecutor>;

/// HTTP/1.1 and HTTP/2. Requests have no bodies to speak of, so what is taken in is small; what is sent is bounded by
/// the client's window and by what the socket takes.
pub(crate) fn http(limits: Limits) -> Http {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // One request, or HTTP/2: what comes behind a body is read as strictly as what came before, on a new connection.
    http.http1()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(16 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_frame_size(16 * 1024)
        .max_send_buf_size(256 * 1024)
        // Rapid reset (CVE-2023-44487), and streams that make us reset them (CVE-2025-8671).
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(256)
        // A peer that went away without a word.
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    http
}

/// What the connections of a listener share.
pub(crate) fn context(
    handler: Arc<dyn Handler>,
    limits: Limits,
    http: Http,
    stop: watch::Receiver<bool>,
) -> Context {
    let (clock, slab) = (Clock::new(), Slab::new(None, limits.slab_bytes_max));
    let (stopping, closing) = (AtomicBool::new(false), AtomicBool::new(false));
    Context { handler, limits, clock, slab, http, alt_svc: None, stop, stopping, closing }
}

/// Calls those who are late, and lets go of what nobody needs.
fn look_after(context: &Context, lines: &mut Vec<Weak<Line>>) {
    context.clock.tick();
    lines.retain(|line| {
        let Some(line) = line.upgrade() else { return false };
        if line.is_late(&context.clock) {
            line.call();
        }
        true
    });
    context.slab.sweep(context.clock.now_s());
}

/// What connections inherit from their listener.
fn prepare(listener: &TcpListener) {
    let socket = SockRef::from(listener);
    // Head and body leave at once; without this the last piece waits for the peer's delayed ACK.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_notsent_lowat(NOTSENT_BYTES);
}

/// Answers a request with what every listener has: its id, health, metrics, problem documents.
pub(crate) async fn respond(handler: &dyn Handler, request: Request, peer: SocketAddr) -> Response {
    let id = request_id(&request);
    let head = request.method() == Method::HEAD;
    tracing::trace!(
        request_id = id, %peer, method = %request.method(), path = nx_access::without_token(request.uri().path()),
        traceparent = request.headers().get("traceparent").and_then(|v| v.to_str().ok()), "request"
    );
    let mut response = match own_page(handler, &request) {
        Some(page) => page,
        None => {
            let mut answer = pin!(handler.handle(request, peer));
            answer.as_mut().await.unwrap_or_else(|problem| problem.response(&id))
        }
    };
    if let Ok(mut id) = HeaderValue::from_maybe_shared(Bytes::from(id)) {
        // No secret, but never the same: HTTP/2 shall not put it into its table.
        id.set_sensitive(true);
        // What a service behind us has called it is what its log says.
        response.headers_mut().entry(&REQUEST_ID).or_insert(id);
    }
    if head {
        if let Some(len) = response.body().size() {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(len));
        }
        *response.body_mut() = Body::Empty;
    }
    response
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The caller's `X-Request-Id` when it is a sane one, else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    let sane = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    given.filter(sane).map_or_else(new_id, str::to_owned)
}

/// 16 hexadecimal digits, different for every request; no secret, so a counter from a random start will do.
fn new_id() -> String {
    thread_local! {
        static LAST: Cell<Option<u64>> = const { Cell::new(None) };
    }
    let next = LAST.get().unwrap_or_else(|| getrandom::u64().unwrap_or_default()).wrapping_add(1);
    LAST.set(Some(next));
    let mut id = String::with_capacity(16);
    for nth in 1..=16 {
        id.push(char::from_digit((next.rotate_left(4 * nth) & 15) as u32, 16).unwrap_or('0'));
    }
    id
}

/// What every listener has.
fn own_page(handler: &dyn Handler, request: &Request) -> Option<Response> {
    let json = |ok: bool, document: &serde_json::Value| {
        let mut response = Response::new(Body::from(document.to_string()));
        if !ok {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    };
    let mut response = match request.uri().path() {
        "/health/live" => json(true, &serde_json::json!({"status": "ok"})),
        "/health" | "/health/ready" => match handler.ready() {
            Ok(document) => json(true, &document),
            Err(document) => json(false, &document),
        },
        "/metrics" => {
            let mut metrics = Metrics::default();
            handler.metrics(&mut metrics);
            let mut response = Response::new(Body::from(metrics.into_text()));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        _ => return None,
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}
