//! Streams for other nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nx_delivery::{Directory, LiveStream, Step};
use nx_hls::{Event, Window};
use nx_media::StreamKey;
use nx_plane::{Message, WireError};
use quinn::{Endpoint, Incoming};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::edge::{GUARDED, Guards};
use crate::endpoint::Identity;
use crate::figures::{Figures, One, add};
use crate::moq::{self, Asked, Sink};

/// Connections of other nodes at a time; further ones are refused.
const EDGES_MAX: usize = 1_000;
/// Handshakes must be over after this.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How often a feed looks whether its stream is still the one of its name.
const LOOK: Duration = Duration::from_secs(1);

/// Offers the streams of `directory` to nodes with a certificate of the plane's authority, until `stop` turns true;
/// gives the address. Nothing is opened without `config.listen`. What this node guards goes only to nodes
/// that say that they guard it too.
///
/// # Errors
/// In words, with what to do: the address cannot be had, or the files cannot be used.
pub fn publish(
    config: &Config,
    (directory, guards): (Arc<dyn Directory>, Option<Guards>),
    figures: Arc<Figures>,
    stop: watch::Receiver<bool>,
) -> Result<Option<SocketAddr>, String> {
    let Some(address) = config.listen else { return Ok(None) };
    let endpoint = Identity::read(config)?.listen(address)?;
    let address = endpoint.local_addr().map_err(|e| e.to_string())?;
    let serve = move |incoming| serve(incoming, (directory.clone(), guards.clone()), figures.clone());
    tokio::spawn(accept(endpoint, EDGES_MAX, stop, serve));
    Ok(Some(address))
}

/// Gives connections to `serve`, at most so many at a time, until `stop` turns true.
pub(crate) async fn accept<F, Fut>(
    endpoint: Endpoint,
    places_max: usize,
    mut stop: watch::Receiver<bool>,
    serve: F,
) where
    F: Fn(Incoming) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(places_max));
    loop {
        let incoming = tokio::select! {
            () = nx_delivery::stopped(&mut stop) => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        // A crowd of strangers must show that it is where it says before it takes a place.
        let crowded = places.available_permits() < places_max / 2;
        if crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            // Fails for nobody of whom that was just asked.
            let _ = incoming.retry();
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let serving = serve(incoming);
        tokio::spawn(async move {
            let _place = place;
            serving.await;
        });
    }
    endpoint.close(0u32.into(), b"the node stops");
}

/// Serves one node until its connection ends.
async fn serve(
    incoming: Incoming,
    (directory, guards): (Arc<dyn Directory>, Option<Guards>),
    figures: Arc<Figures>,
) {
    let peer = incoming.remote_address();
    let connection = match tokio::time::timeout(HANDSHAKE_MAX, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::warn!(%peer, %error, "a node was turned away"),
        Err(_) => return tracing::warn!(%peer, "a node was turned away: it took too long to greet"),
    };
    tracing::info!(%peer, "a node has connected to fetch streams");
    let _edge = One::of(&figures.edges);
    let feeds = figures.clone();
    let feed = move |key: StreamKey, asked: Asked| {
        let shut = guards.as_ref().is_some_and(|guards| guards(&key)) && !asked.track().starts_with(GUARDED);
        let (directory, figures) = (directory.clone(), feeds.clone());
        async move {
            if shut {
                tracing::warn!(
                    %peer, stream = %key,
                    "a node that asks its viewers for no token wants a stream that asks for one; see its playback.protect"
                );
                return asked.refuse();
            }
            feed(directory, figures, key, asked).await;
        }
    };
    let offered = match moq::session(connection) {
        Ok(session) => moq::offer(session, None, feed).await,
        Err(error) => Err(error),
    };
    match offered {
        Ok(()) => tracing::info!(%peer, "a node has gone"),
        Err(error) => tracing::warn!(%peer, %error, "a node was turned away"),
    }
}

/// The stream of a name, and who asked for it; who asks for one that cannot be had is told.
pub(crate) async fn find(
    directory: &dyn Directory,
    key: &StreamKey,
    asked: Asked,
) -> Option<(Arc<LiveStream>, Asked)> {
    let live = match directory.live(key) {
        Some(live) => Ok(Some(live)),
        None => directory.seek(key).await,
    };
    match live {
        Ok(Some(live)) => return Some((live, asked)),
        Ok(None) => asked.unknown(),
        Err(_) => asked.refuse(),
    }
    None
}

/// Sends a stream to one node for as long as it wants it.
async fn feed(directory: Arc<dyn Directory>, figures: Arc<Figures>, key: StreamKey, asked: Asked) {
    let Some((live, asked)) = find(&*directory, &key, asked).await else { return };
    let _feed = One::of(&figures.feeds);
    figures.catch_ups.fetch_add(1, Ordering::Relaxed);
    let feed = Feed { live, key, sink: asked.accept(moq::LAG_MAX), figures: figures.clone() };
    feed.run(&*directory).await;
}

struct Feed {
    live: Arc<LiveStream>,
    key: StreamKey,
    sink: Sink,
    figures: Arc<Figures>,
}

impl Feed {
    async fn run(mut self, directory: &dyn Directory) {
        let (window, mut steps) = self.live.follow(Message::window);
        if let Err(error) = self.send(window) {
            tracing::warn!(stream = %self.key, %error, "a window cannot be sent");
            return self.sink.end();
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let goes_on = tokio::select! {
                () = self.sink.unwanted() => false,
                _ = look.tick() => directory.live(&self.key).is_some_and(|now| Arc::ptr_eq(&now, &self.live)),
                step = steps.recv() => self.step(step),
            };
            // A node that wants more asks anew, and gets the window as it is then.
            if !goes_on {
                return self.sink.end();
            }
        }
    }

    /// Whether there is more to say.
    fn step(&mut self, step: Result<Step, broadcast::error::RecvError>) -> bool {
        let (event, at_ms) = match step {
            Ok(step) => step,
            Err(broadcast::error::RecvError::Closed) => return false,
            Err(broadcast::error::RecvError::Lagged(_)) => {
                self.figures.dropped.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        };
        let cuts =
            matches!(event, Event::SegmentEnd { track, .. } if track == self.live.read(Window::leader));
        if let Err(error) = self.send(Message::event(at_ms, &event)) {
            tracing::warn!(stream = %self.key, %error, "a step of a stream cannot be sent");
            return false;
        }
        !cuts || self.sink.cut().is_ok()
    }

    fn send(&mut self, message: Result<Message, WireError>) -> Result<(), String> {
        for frame in message.map_err(|e| e.to_string())?.frames() {
            add(&self.figures.sent_bytes, frame.len());
            self.sink.send(frame).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}
