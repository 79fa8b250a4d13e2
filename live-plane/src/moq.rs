//! Media over QUIC, by a crate that changes often: nothing else here knows it.
//!
//! A stream is the broadcast `APP/STREAM`. Each node that fetches it subscribes to a track of its own, whose first
//! group begins with the window and whose others begin where a segment does; a frame is a frame of `nx-plane`. A group
//! is a QUIC stream. The publisher never waits: a group that a node has not got [`LAG_MAX`] after its successor began
//! is dropped as a whole, the node notices the hole and subscribes anew.
//!
//! A browser connects by WebTransport to an address that names the stream, and subscribes to the tracks of `watch`.
//!
//! Spec: draft-lcurley-moq-lite-06.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moq_net::{Error, Timestamp, broadcast, group, origin, time, track};
use nx_access::{Denial, Pass};
use nx_media::StreamKey;
use tokio::task::AbortHandle;
use web_transport_quinn::http::StatusCode;
use web_transport_quinn::proto::ConnectResponse;
use web_transport_quinn::{Request, ServerError, Session};

/// The one version spoken.
pub(crate) const VERSION: &str = "moq-lite-06";
/// How far a node may fall behind.
pub(crate) const LAG_MAX: Duration = Duration::from_secs(20);
/// Bytes of a group, from which on the next frame begins another; the crate takes 32 MiB.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// What a node has for its greeting.
const GREETING_MAX: Duration = Duration::from_secs(5);
/// A broadcast that nobody reads is forgotten so long after it was last asked for.
const FORGET: Duration = Duration::from_secs(60);

/// Why there is no stream, or no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Over {
    /// The other node does not know it.
    #[error("it is not known there")]
    Unknown,
    /// The connection is gone, or the other node ended it.
    #[error("it was ended there, or the connection is lost")]
    Lost,
    /// Something of it did not come in time.
    #[error("something of it did not come in time")]
    Hole,
}

/// Stops a task with its owner.
struct Task(AbortHandle);

impl Task {
    fn spawn(future: impl Future<Output = Error> + Send + 'static) -> Self {
        Self(tokio::spawn(future).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "the crate's drivers count in this clock")]
fn now() -> Instant {
    Instant::now()
}

/// A node's connection as the crate sees it, which cannot do without datagrams although none are sent here.
pub(crate) fn session(connection: quinn::Connection) -> Result<Session, Error> {
    let able = connection.max_datagram_size().is_some();
    if able { Ok(Session::raw(connection)) } else { Err(Error::Unsupported) }
}

/// Greets a browser; gives its session, the stream that the address of the session names, and what let it in by `enter`,
/// which is told of the token in the address.
pub(crate) async fn welcome(
    connection: quinn::Connection,
    enter: impl FnOnce(&StreamKey, Option<&str>) -> Result<Option<Pass>, Denial>,
) -> Result<(Session, StreamKey, Option<Pass>), Unwelcome> {
    let request = Request::accept(connection).await?;
    let Ok(key) = StreamKey::parse(request.url.path().trim_start_matches('/')) else {
        request.reject(StatusCode::NOT_FOUND).await?;
        return Err(Unwelcome::Address);
    };
    let mut pairs = request.url.query().unwrap_or_default().split('&');
    let pass = match enter(&key, pairs.find_map(|pair| pair.strip_prefix("token="))) {
        Ok(pass) => pass,
        Err(denial) => {
            request.reject(denial.status()).await?;
            return Err(denial.into());
        }
    };
    if request.protocols.iter().all(|offered| offered != VERSION) {
        request.reject(StatusCode::BAD_REQUEST).await?;
        return Err(Unwelcome::Version);
    }
    Ok((request.respond(ConnectResponse::OK.with_protocol(VERSION)).await?, key, pass))
}

/// Why a browser was turned away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwelcome {
    /// The address of its session is none of a stream.
    #[error("it asks for no stream; the address of a session is https://HOST:PORT/APP/STREAM")]
    Address,
    /// It does not offer [`VERSION`].
    #[error("it does not speak {VERSION}")]
    Version,
    /// It may not watch.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// It broke the handshake, or went away.
    #[error("no WebTransport: {0}")]
    Broken(#[from] ServerError),
}

/// Offers streams over one session until it ends, or the `only` one. `feed` sends the stream of a name into a [`Sink`]; it
/// may refuse.
pub(crate) async fn offer<F, Fut>(session: Session, only: Option<&StreamKey>, feed: F) -> Result<(), Error>
where
    F: Fn(StreamKey, Asked) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (producer, driver) = origin::Producer::new(origin::Config::default());
    let _origin = Task::spawn(time::run(driver));
    let names = producer.dynamic("", origin::Route::default())?;
    let server = moq_net::Server::new().with_publisher(&producer);
    let greeting = server.accept(now(), session);
    let (session, driver) =
        tokio::time::timeout(GREETING_MAX, greeting).await.map_err(|_| Error::Timeout)??;
    let _session = Task::spawn(time::run(driver));
    loop {
        tokio::select! {
            _ = session.closed() => return Ok(()),
            request = names.requested_broadcast() => {
                let request = request?;
                let key = StreamKey::parse(request.path().as_str()).ok();
                let Some(key) = key.filter(|key| only.is_none_or(|only| only == key)) else {
                    request.reject(Error::NotFound);
                    continue;
                };
                let producer = broadcast::Info::new().produce();
                let tracks = producer.dynamic();
                request.accept(&producer);
                tokio::spawn(tracks_of(producer, tracks, key, feed.clone()));
            }
        }
    }
}

/// Answers those who ask for tracks of a broadcast, until there is nobody who might.
async fn tracks_of<F, Fut>(
    producer: broadcast::Producer,
    mut tracks: broadcast::Dynamic,
    key: StreamKey,
    feed: F,
) where
    F: Fn(StreamKey, Asked) -> Fut + Send,
    Fut: Future<Output = ()> + Send + 'static,
{
    let demand = producer.demand();
    loop {
        match tokio::time::timeout(FORGET, tracks.requested_track()).await {
            Ok(Ok(request)) => drop(tokio::spawn(feed(key.clone(), Asked(request)))),
            Ok(Err(_)) => return,
            Err(_) if demand.is_used() => {}
            Err(_) => return producer.close(),
        }
    }
}

/// A node or a browser asks for a track of a stream.
pub(crate) struct Asked(track::Request);

impl Asked {
    /// Its name; what nodes call theirs means nothing.
    pub(crate) fn track(&self) -> &str {
        self.0.name()
    }

    /// Says that nobody here knows it.
    pub(crate) fn unknown(self) {
        self.0.reject(Error::NotFound);
    }

    /// Says that it cannot be had now.
    pub(crate) fn refuse(self) {
        self.0.reject(Error::Unroutable);
    }

    /// Begins to send it; a group that is not taken so long after the next began is dropped.
    pub(crate) fn accept(self, lag_max: Duration) -> Sink {
        let track = self.0.accept(track::Info::default().with_max_age(lag_max));
        Sink { track, group: None, bytes: 0, began: now() }
    }
}

/// Where a stream is sent to.
pub(crate) struct Sink {
    track: track::Producer,
    group: Option<group::Producer>,
    /// Of the group.
    bytes: usize,
    began: Instant,
}

impl Sink {
    /// Sends a frame; never waits.
    pub(crate) fn send(&mut self, frame: Bytes) -> Result<(), Error> {
        if self.bytes > GROUP_BYTES_MAX {
            self.cut()?;
        }
        self.bytes += frame.len();
        let at = Timestamp::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0));
        let at = at.map_err(|_| Error::TimestampMismatch)?;
        let group = match &mut self.group {
            Some(group) => group,
            None => self.group.insert(self.track.append_group()?),
        };
        group.write_frame(at, frame)
    }

    /// The next frame begins another group.
    pub(crate) fn cut(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        self.group.take().map_or(Ok(()), |group| group.finish())
    }

    /// Waits until the other node wants no more.
    pub(crate) async fn unwanted(&self) {
        let _ = self.track.unused().await;
    }

    /// Nothing follows.
    pub(crate) fn end(mut self) {
        // What fails is over already.
        let _ = self.cut().and_then(|()| self.track.finish());
    }
}

/// A connection to a node that offers streams.
pub(crate) struct Link {
    names: origin::Consumer,
    session: moq_net::Session,
    _tasks: [Task; 2],
}

impl Link {
    /// Greets the other node.
    pub(crate) async fn greet(session: Session) -> Result<Self, Error> {
        let (producer, driver) = origin::Producer::new(origin::Config::default());
        let origin = Task::spawn(time::run(driver));
        let names = producer.consume();
        let client = moq_net::Client::new().with_subscriber(producer);
        let (session, driver) = client.connect(now(), session).await?;
        let link = Self { names, session, _tasks: [origin, Task::spawn(time::run(driver))] };
        // Its offer comes right behind its greeting; before, every name is unknown.
        link.names.routed("").await.ok_or(Error::Unroutable)?;
        Ok(link)
    }

    /// Waits until it is lost.
    pub(crate) async fn lost(&self) -> Error {
        self.session.closed().await
    }

    /// Asks for a track of a stream.
    pub(crate) async fn ask(self: &Arc<Self>, key: &StreamKey, track: &str) -> Result<Frames, Over> {
        let why = |e: Error| if names_nothing(&e) { Over::Unknown } else { Over::Lost };
        let broadcast = self.names.request_broadcast(key.as_str()).await.map_err(why)?;
        let track = broadcast.track(track).map_err(why)?;
        let wish = track::Subscription::default().with_max_age(LAG_MAX);
        let groups = track.subscribe(wish).await.map_err(why)?.ordered();
        Ok(Frames { groups, group: None, next: 0, _broadcast: broadcast, _link: self.clone() })
    }
}

fn names_nothing(error: &Error) -> bool {
    matches!(error, Error::NotFound | Error::Stream(moq_net::StreamError::NotFound))
}

/// The frames of a stream as they come.
pub(crate) struct Frames {
    groups: track::Ordered,
    group: Option<group::Consumer>,
    /// Number of the group that must come next.
    next: u64,
    _broadcast: broadcast::Consumer,
    _link: Arc<Link>,
}

impl Frames {
    /// The next frame. Can be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Over> {
        loop {
            let Some(group) = &mut self.group else {
                let group = self.groups.next_group().await.map_err(|_| Over::Lost)?.ok_or(Over::Lost)?;
                if group.sequence != self.next {
                    return Err(Over::Hole);
                }
                self.next += 1;
                self.group = Some(group);
                continue;
            };
            match group.read_frame().await {
                Ok(Some(frame)) => return Ok(frame.payload),
                Ok(None) => self.group = None,
                Err(Error::Old) => return Err(Over::Hole),
                Err(_) => return Err(Over::Lost),
            }
        }
    }
}
