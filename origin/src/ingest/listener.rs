//! Accepts RTMP connections and finds out what they want; media itself is the shards' business.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nx_admission::{Action, Ask, Protocol, Secret};
use nx_media::StreamKey;
use nx_rtmp::NONCE_LEN;
use nx_rtmp::server::{Config, ConnectRefusal, Event, Output, PublishRefusal, Session};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::claims::{Claim, Role};
use crate::hub::Hub;
use crate::ingest::input::{About, Wire};
use crate::ingest::line::Line;
use crate::ingest::login::{self, Step};
use crate::ingest::player::Player;
use crate::ingest::rtmp_input::RtmpInput;
use crate::ingest::shard::{Join, Shards};
use crate::ingest::socket::Socket;
use crate::ingest::viewer::Viewer;

/// A listener at work.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    /// RTMPS.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Open connections of all doors.
    pub(crate) places: Arc<Semaphore>,
}

pub(crate) async fn accept_loop(hub: Arc<Hub>, door: Door, shards: Shards, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            () = nx_delivery::stopped(&mut stop) => return,
            accepted = door.listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%error, "RTMP accept failed, trying again in 100 ms");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = door.places.clone().try_acquire_owned() else {
            hub.refuse(&peer.to_string(), "", "too many connections: raise origin.rtmp.connections_max");
            continue;
        };
        tokio::spawn(attend(hub.clone(), shards.clone(), socket, peer, door.tls.clone(), place));
    }
}

/// Finds out what a connection wants and hands it on.
async fn attend(
    hub: Arc<Hub>,
    shards: Shards,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    place: OwnedSemaphorePermit,
) {
    let silence = Duration::from_secs(u64::from(hub.config.rtmp.silence_s));
    let deadline = Instant::now() + silence;
    let _ = socket.set_nodelay(true);
    let protocol = if tls.is_some() { Protocol::Rtmps } else { Protocol::Rtmp };
    let line = match tls {
        None => Line::Plain(socket),
        Some(tls) => match tokio::time::timeout_at(deadline, tls.accept(socket)).await {
            Ok(Ok(stream)) => Line::Tls(Box::new(stream)),
            Ok(Err(error)) => {
                let text =
                    format!("no TLS on the RTMPS port ({error}): use rtmps://, or rtmp:// on the RTMP port");
                return hub.refuse(&peer.to_string(), "", &text);
            }
            Err(_) => {
                return hub.refuse(&peer.to_string(), "", "said nothing useful on the RTMPS port in time");
            }
        },
    };
    let mut guest = Guest::new(hub, line, peer, protocol);
    match tokio::time::timeout_at(deadline, guest.negotiate()).await {
        Ok(Ok(Wish::Publish { key, ask })) => guest.publish(key, *ask, place, &shards).await,
        Ok(Ok(Wish::Play { key, ask })) => guest.play(key, *ask, place, &shards).await,
        Ok(Ok(Wish::Again)) => guest.say_goodbye().await,
        Ok(Ok(Wish::Gone)) => tracing::debug!(%peer, "left before it asked for anything"),
        Ok(Err(refusal)) => guest.turn_away(&refusal.key, &refusal.reason).await,
        Err(_) => guest.turn_away("", &format!("said nothing useful for {} s", silence.as_secs())).await,
    }
}

/// What a connection came for.
enum Wish {
    Publish {
        key: StreamKey,
        ask: Box<Ask>,
    },
    Play {
        key: StreamKey,
        ask: Box<Ask>,
    },
    /// It logs in, and comes again on another connection.
    Again,
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
    line: Line,
    peer: SocketAddr,
    protocol: Protocol,
    session: Session,
    since: Instant,
    app: String,
    /// What followed the `?` of the application.
    app_query: String,
    client: String,
    codecs: Vec<String>,
    /// Of the log-in.
    password: Option<Secret>,
}

impl Guest {
    fn new(hub: Arc<Hub>, line: Line, peer: SocketAddr, protocol: Protocol) -> Self {
        let mut nonce = [0; NONCE_LEN];
        // Without randomness the handshake still works; nothing secret hangs on it.
        let _ = getrandom::fill(&mut nonce);
        let limits =
            nx_rtmp::Limits { message_bytes_max: hub.config.rtmp.message_bytes_max, ..Default::default() };
        let session = Session::new(Config { limits, ..Config::default() }, nonce);
        Self {
            hub,
            line,
            peer,
            protocol,
            session,
            since: Instant::now(),
            app: String::new(),
            app_query: String::new(),
            client: String::new(),
            codecs: Vec::new(),
            password: None,
        }
    }

    async fn negotiate(&mut self) -> Result<Wish, Refusal> {
        loop {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Send(bytes) => self.line.write(&bytes).await.map_err(Refusal::new)?,
                    Output::Event(event) => {
                        if let Some(wish) = self.event(event)? {
                            return Ok(wish);
                        }
                    }
                }
            }
            let (since, session) = (self.since, &mut self.session);
            let handled = self.line.read(|input| {
                let now_ms = u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX);
                session.handle(now_ms, input)
            });
            match handled.await.map_err(Refusal::new)? {
                Some(result) => result.map_err(Refusal::new)?,
                None => return Ok(Wish::Gone),
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<Option<Wish>, Refusal> {
        match event {
            Event::Connect { app, query, flash_ver, fourcc, .. } => {
                // Some encoders put the instance name or a slash behind the application.
                self.app = app.trim_matches('/').to_owned();
                self.app_query = query;
                self.client = flash_ver.chars().filter(|c| !c.is_control()).take(64).collect();
                self.codecs = fourcc;
                self.connect()
            }
            Event::Publish { name, query } => match self.name(&name) {
                Ok(key) => {
                    let ask = Box::new(self.ask(&key, Action::Publish, &query));
                    Ok(Some(Wish::Publish { key, ask }))
                }
                Err(reason) => {
                    self.session.refuse_publish(PublishRefusal::BadName, &reason);
                    Err(Refusal { key: format!("{}/{name}", self.app), reason })
                }
            },
            Event::Play { name, query } => match self.name(&name) {
                Ok(key) => {
                    let ask = Box::new(self.ask(&key, Action::Play, &query));
                    Ok(Some(Wish::Play { key, ask }))
                }
                Err(reason) => {
                    self.session.refuse_play(&reason);
                    Err(Refusal { key: format!("{}/{name}", self.app), reason })
                }
            },
            _ => Ok(None),
        }
    }

    /// Lets the connection in, after a log-in where the application asks for one.
    fn connect(&mut self) -> Result<Option<Wish>, Refusal> {
        if self.hub.config.rtmp.login_apps.contains(&self.app) {
            match login::step(&self.hub, &self.app, &self.app_query) {
                Step::In(password) => self.password = Some(password),
                Step::Again(text) => {
                    self.session.refuse_connect(ConnectRefusal::Rejected, &text);
                    return Ok(Some(Wish::Again));
                }
                Step::Wrong(text) => {
                    self.session.refuse_connect(ConnectRefusal::Rejected, &text);
                    let reason = format!("log-in to {} failed: check user and password", self.app);
                    return Err(Refusal { key: self.app.clone(), reason });
                }
            }
        }
        self.session.accept_connect();
        Ok(None)
    }

    fn name(&self, name: &str) -> Result<StreamKey, String> {
        StreamKey::new(&self.app, name).map_err(|error| error.to_string())
    }

    /// Credentials may stand behind the stream's name or behind the application.
    fn ask(&self, key: &StreamKey, action: Action, query: &str) -> Ask {
        let ask = Ask::from_query(key.clone(), action, self.protocol, self.peer.ip(), query, &self.app_query);
        let key = ask.key.clone().or_else(|| self.password.clone());
        Ask { client: self.client.clone(), key, ..ask }
    }

    async fn publish(mut self, key: StreamKey, ask: Ask, place: OwnedSemaphorePermit, shards: &Shards) {
        let grant = match self.hub.admission.decide(&ask, crate::clock::unix_s()).await {
            Ok(grant) => grant,
            Err(refusal) => {
                self.session.refuse_publish(PublishRefusal::Unauthorized, &refusal.text);
                return self.turn_away(key.as_str(), &refusal.text).await;
            }
        };
        let claim = Claim::new(grant.key.clone(), self.hub.clock.ms());
        let role = Role::from(grant.input);
        let entry = match self.hub.take_name(&key, role, &claim).await {
            Ok(entry) => entry,
            Err(reason) => {
                self.session.refuse_publish(PublishRefusal::BadName, &reason);
                return self.turn_away(key.as_str(), &reason).await;
            }
        };
        let (protocol, client, peer) = (self.protocol.name(), self.client.clone(), self.peer.to_string());
        tracing::info!(
            stream = %key, stream_id = entry.id, session = claim.session, peer, client, protocol,
            input = role.name(), admitted_by = grant.by, "publishing"
        );
        self.session.accept_publish();
        // A peer that is gone already is the shard's to find out: it also knows how to forget the stream.
        self.flush().await;
        let Ok((tcp, tls)) = self.line.into_parts() else {
            return self.hub.let_go(&key, &claim);
        };
        let input = RtmpInput::new(Socket::new(tcp, tls), self.session, self.since, place);
        let about = Box::new(About { role, protocol, peer, client, grant });
        shards.join(Join::Input { key, entry, about, claim, wire: Wire::Rtmp(Box::new(input)) });
    }

    async fn play(mut self, key: StreamKey, ask: Ask, place: OwnedSemaphorePermit, shards: &Shards) {
        // Our mixers need no leave, and come again until somebody publishes.
        let own = ask.key.as_ref() == Some(&self.hub.pass);
        let admitted = if own { Ok(Viewer::own()) } else { Viewer::enter(&self.hub, &ask).await };
        let viewer = match admitted {
            Err(refusal) => Err(refusal.text),
            Ok(_) if self.hub.entry(&key).is_none() => Err(format!("nobody publishes {key}")),
            Ok(viewer) => self.hub.keys.refusal(&key).map_or(Ok(viewer), Err),
        };
        let viewer = match viewer {
            Ok(viewer) => viewer,
            Err(reason) => {
                self.session.refuse_play(&reason);
                return if own {
                    self.say_goodbye().await
                } else {
                    self.turn_away(key.as_str(), &reason).await
                };
            }
        };
        tracing::info!(stream = %key, peer = %self.peer, protocol = self.protocol.name(), "playing");
        self.session.accept_play();
        if !self.flush().await {
            return;
        }
        let Ok((tcp, tls)) = self.line.into_parts() else { return };
        let socket = Socket::new(tcp, tls);
        let now_ms = self.hub.clock.ms();
        let player = Player::new(
            (socket, self.peer),
            self.session,
            self.codecs,
            (self.since, now_ms),
            (viewer, place),
        );
        shards.join(Join::Player { key, player: Box::new(player) });
    }

    /// Sends the session's answers; events that came early stay in the session's order for the shard.
    async fn flush(&mut self) -> bool {
        while let Some(bytes) = self.session.poll_send() {
            if self.line.write(&bytes).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn turn_away(self, key: &str, reason: &str) {
        self.hub.refuse(&self.peer.to_string(), key, reason);
        self.say_goodbye().await;
    }

    async fn say_goodbye(mut self) {
        let farewell = async {
            self.flush().await;
            self.line.shutdown().await
        };
        // Whoever does not read its refusal is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }
}
