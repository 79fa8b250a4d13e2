//! Accepts RTMP connections and finds out what they want; media itself is the shards' business.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nx_media::StreamKey;
use nx_rtmp::NONCE_LEN;
use nx_rtmp::server::{Config, Event, Output, PublishRefusal, Session};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::claims::Claim;
use crate::hub::{Entry, Hub, Taken};
use crate::ingest::shard::{Join, Shards};

/// How often a name's owner is looked at while another publisher waits for it.
const CLAIM_LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn accept_loop(
    hub: Arc<Hub>,
    listener: TcpListener,
    shards: Shards,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(hub.config.rtmp.connections_max));
    loop {
        let accepted = tokio::select! {
            () = nx_delivery::stopped(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%error, "RTMP accept failed, trying again in 100 ms");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            hub.refuse(peer, "", "too many connections: raise origin.rtmp.connections_max");
            continue;
        };
        let (hub, shards) = (hub.clone(), shards.clone());
        tokio::spawn(async move {
            let silence = Duration::from_secs(u64::from(hub.config.rtmp.silence_s));
            let mut guest = Guest::new(hub, socket, peer);
            match tokio::time::timeout(silence, guest.negotiate()).await {
                Ok(Ok(Wish::Publish { key, client })) => guest.publish(key, client, place, &shards).await,
                Ok(Ok(Wish::Play { key })) => guest.play(key, place, &shards).await,
                Ok(Ok(Wish::Gone)) => tracing::debug!(%peer, "left before it asked for anything"),
                Ok(Err(refusal)) => guest.turn_away(&refusal.key, &refusal.reason).await,
                Err(_) => {
                    guest.turn_away("", &format!("said nothing useful for {} s", silence.as_secs())).await
                }
            }
        });
    }
}

/// What a connection came for.
enum Wish {
    Publish { key: StreamKey, client: String },
    Play { key: StreamKey },
    Gone,
}

struct Refusal {
    key: String,
    reason: String,
}

impl Refusal {
    fn new(reason: impl ToString) -> Self {
        Self { key: String::new(), reason: reason.to_string() }
    }
}

/// A connection before it has a stream.
struct Guest {
    hub: Arc<Hub>,
    socket: TcpStream,
    peer: SocketAddr,
    session: Session,
    since: Instant,
    app: String,
    client: String,
}

impl Guest {
    fn new(hub: Arc<Hub>, socket: TcpStream, peer: SocketAddr) -> Self {
        let mut nonce = [0; NONCE_LEN];
        // Without randomness the handshake still works; nothing secret hangs on it.
        let _ = getrandom::fill(&mut nonce);
        let limits =
            nx_rtmp::Limits { message_bytes_max: hub.config.rtmp.message_bytes_max, ..Default::default() };
        let session = Session::new(Config { limits, ..Config::default() }, nonce);
        let _ = socket.set_nodelay(true);
        Self { hub, socket, peer, session, since: Instant::now(), app: String::new(), client: String::new() }
    }

    async fn negotiate(&mut self) -> Result<Wish, Refusal> {
        loop {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Send(bytes) => self.socket.write_all(&bytes).await.map_err(Refusal::new)?,
                    Output::Event(event) => {
                        if let Some(wish) = self.event(event)? {
                            return Ok(wish);
                        }
                    }
                }
            }
            self.socket.readable().await.map_err(Refusal::new)?;
            if !self.read()? {
                return Ok(Wish::Gone);
            }
        }
    }

    /// Reads what is there; false at the end. The buffer lives only while there is something to read, so that
    /// thousands of silent connections cost little.
    fn read(&mut self) -> Result<bool, Refusal> {
        let mut buffer = [0; 8192];
        match self.socket.try_read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                let now_ms = u32::try_from(self.since.elapsed().as_millis()).unwrap_or(u32::MAX);
                let input = buffer.get(..n).unwrap_or_default();
                self.session.handle(now_ms, input).map(|()| true).map_err(Refusal::new)
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
            Err(e) => Err(Refusal::new(e)),
        }
    }

    fn event(&mut self, event: Event) -> Result<Option<Wish>, Refusal> {
        match event {
            Event::Connect { app, flash_ver, .. } => {
                // Some encoders put the instance name or a slash behind the application.
                self.app = app.trim_matches('/').to_owned();
                self.client = flash_ver.chars().filter(|c| !c.is_control()).take(64).collect();
                self.session.accept_connect();
                Ok(None)
            }
            Event::Publish { name, .. } => match StreamKey::new(&self.app, &name) {
                Ok(key) => Ok(Some(Wish::Publish { key, client: self.client.clone() })),
                Err(error) => {
                    let reason = error.to_string();
                    self.session.refuse_publish(PublishRefusal::BadName, &reason);
                    Err(Refusal { key: format!("{}/{name}", self.app), reason })
                }
            },
            Event::Play { name, .. } => match StreamKey::new(&self.app, &name) {
                Ok(key) => Ok(Some(Wish::Play { key })),
                Err(error) => {
                    let reason = error.to_string();
                    self.session.refuse_play(&reason);
                    Err(Refusal { key: format!("{}/{name}", self.app), reason })
                }
            },
            _ => Ok(None),
        }
    }

    async fn publish(
        mut self,
        key: StreamKey,
        client: String,
        place: tokio::sync::OwnedSemaphorePermit,
        shards: &Shards,
    ) {
        let claim = Claim::new(nx_delivery::random_id(), self.hub.clock.ms());
        let entry = match self.claim(&key, &claim).await {
            Ok(entry) => entry,
            Err(reason) => {
                self.session.refuse_publish(PublishRefusal::BadName, &reason);
                return self.turn_away(key.as_str(), &reason).await;
            }
        };
        tracing::info!(
            stream = %key, stream_id = entry.id, session = claim.session, peer = %self.peer, client, "publishing"
        );
        self.session.accept_publish();
        // A peer that is gone already is the shard's to find out: it also knows how to forget the stream.
        self.flush().await;
        let Ok(socket) = self.socket.into_std() else {
            claim.lose();
            self.hub.remove(&key);
            return;
        };
        let (session, peer, since) = (self.session, self.peer, self.since);
        shards.join(
            &key.clone(),
            Join::Publisher { key, entry, claim, socket, session, peer, client, since, place },
        );
    }

    /// Takes the name, from a publisher that has fallen silent if need be.
    async fn claim(&self, key: &StreamKey, claim: &Arc<Claim>) -> Result<Arc<Entry>, String> {
        let asked_ms = self.hub.clock.ms();
        let takeover_ms = i64::from(self.hub.config.rtmp.takeover_ms);
        loop {
            let holder = match self.hub.claim(key, claim) {
                Ok(entry) => return Ok(entry),
                Err(Taken::Full(max)) => {
                    return Err(format!(
                        "the server carries {max} streams already; raise origin.stream.streams_max"
                    ));
                }
                Err(Taken::By(holder)) => holder,
            };
            let now_ms = self.hub.clock.ms();
            if now_ms - holder.heard_ms() >= takeover_ms {
                tracing::warn!(stream = %key, old = holder.session, new = claim.session, "silent publisher replaced");
                holder.lose();
                continue;
            }
            if holder.heard_ms() > asked_ms {
                return Err(format!(
                    "{key} is being published by somebody else; stop that one or use another name"
                ));
            }
            tokio::time::sleep(CLAIM_LOOK).await;
        }
    }

    async fn play(mut self, key: StreamKey, place: tokio::sync::OwnedSemaphorePermit, shards: &Shards) {
        if self.hub.entry(&key).is_none() {
            let reason = format!("nobody publishes {key}");
            self.session.refuse_play(&reason);
            return self.turn_away(key.as_str(), &reason).await;
        }
        tracing::info!(stream = %key, peer = %self.peer, "playing over RTMP");
        self.session.accept_play();
        if !self.flush().await {
            return;
        }
        let Ok(socket) = self.socket.into_std() else { return };
        let (session, peer, since) = (self.session, self.peer, self.since);
        shards.join(&key.clone(), Join::Player { key, socket, session, peer, since, place });
    }

    /// Sends the session's answers; events that came early stay in the session's order for the shard.
    async fn flush(&mut self) -> bool {
        while let Some(bytes) = self.session.poll_send() {
            if self.socket.write_all(&bytes).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn turn_away(mut self, key: &str, reason: &str) {
        self.hub.refuse(self.peer, key, reason);
        let farewell = async {
            self.flush().await;
            self.socket.shutdown().await
        };
        // Whoever does not read its refusal is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }
}
