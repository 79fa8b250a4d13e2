//! The connections of a driver, those that wait for the gate included.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use srt_protocol::settings::CipherSettings;

use crate::clock::Clock;
use crate::config::{ListenerConfig, Passphrase, window};
use crate::driver::Command;
use crate::gate::{Accept, Answer, Door, Gate, Request, Verdict};
use crate::handshake::{self, Agreement, CONCLUSION, Extensions, Hello, INDUCTION, MAGIC, Offer, Shake};
use crate::link::Link;
use crate::peer::Peer;
use crate::reject::Reject;
use crate::socket::{Arrival, Route, Udp};
use crate::wire::{Header, Outgoing};

/// Time that the gate has for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A cookie holds for this and the next period; seconds.
const COOKIE_PERIOD_S: u64 = 30;
/// Socket ids with a higher bit are bonding groups to libsrt.
const ID_MASK: u64 = 0x3fff_ffff;

/// A caller that waits for the gate.
struct Pending {
    route: Route,
    shake: Shake,
    hello: Hello,
    asked: Extensions,
    /// When the caller sent its conclusion, by its clock, and when that came.
    stamp: (Instant, u32),
    until: Instant,
}

/// See the module.
pub(crate) struct Table {
    config: ListenerConfig,
    door: Door,
    gate: Option<Arc<dyn Gate>>,
    /// By our socket id, as everything below.
    peers: HashMap<u32, Peer>,
    pending: HashMap<u32, Pending>,
    /// Our socket id by the caller's address and socket id: the same conclusion twice is one connection.
    known: HashMap<(SocketAddr, u32), u32>,
    /// Key of cookies and socket ids.
    secret: RandomState,
    started: Instant,
    ids: u64,
    /// Answers to handshakes, sent after a batch was read.
    replies: Vec<(Route, Vec<u8>)>,
    /// Connections whose machine panicked.
    broken: Vec<u32>,
    out: Outgoing,
    stopped: bool,
}

impl Table {
    pub(crate) fn new(config: ListenerConfig, door: Door, gate: Option<Arc<dyn Gate>>) -> Self {
        Self {
            config,
            door,
            gate,
            peers: HashMap::new(),
            pending: HashMap::new(),
            known: HashMap::new(),
            secret: RandomState::new(),
            started: Clock::read().now,
            ids: 0,
            replies: Vec::new(),
            broken: Vec::new(),
            out: Outgoing::default(),
            stopped: false,
        }
    }

    pub(crate) fn door(&self) -> Door {
        self.door.clone()
    }

    pub(crate) fn adopt(&mut self, local_socket: u32, peer: Peer) {
        self.known.insert((peer.route.peer, peer.remote_socket), local_socket);
        self.peers.insert(local_socket, peer);
    }

    /// Whether the driver has a reason to live: a listener until it is stopped, a caller as long as its connection.
    pub(crate) fn goes_on(&self) -> bool {
        !self.stopped && (self.gate.is_some() || self.is_busy())
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Whether somebody waits for the gate.
    pub(crate) fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes a datagram. What is not of a connection and no handshake with a cookie of ours leaves nothing behind.
    pub(crate) fn receive(&mut self, arrival: &Arrival<'_>) {
        let Some(header) = Header::read(arrival.bytes) else { return };
        if header.socket == 0 {
            if self.gate.is_some()
                && let Some(shake) = handshake::for_listener(header, arrival.bytes)
            {
                self.shake(arrival, header, shake);
            }
            return;
        }
        let peer = self.peers.get_mut(&header.socket).filter(|p| p.route.peer == arrival.route.peer);
        let Some(peer) = peer else { return };
        if header.is_handshake() {
            if !peer.concluded.is_empty() {
                self.replies.push((peer.route, peer.concluded.clone()));
            }
            return;
        }
        // The machine of the library has panics; one that is found must cost its own connection only.
        if catch_unwind(AssertUnwindSafe(|| peer.receive(arrival.at, header, arrival.bytes))).is_err() {
            self.broken.push(header.socket);
        }
    }

    fn shake(&mut self, arrival: &Arrival<'_>, header: Header, shake: Shake) {
        let peer = arrival.route.peer;
        let period = arrival.at.saturating_duration_since(self.started).as_secs() / COOKIE_PERIOD_S;
        match shake.kind {
            INDUCTION => {
                let cookie = self.cookie(peer, period);
                let reply = Shake { version: 5, encryption: 0, extension: MAGIC, cookie, socket: 1, ..shake };
                self.replies
                    .push((arrival.route, reply.write(header.stamp_us, shake.socket, peer.ip(), &[])));
            }
            CONCLUSION => {
                let ours = |p| shake.cookie == self.cookie(peer, p);
                if ours(period) || period.checked_sub(1).is_some_and(ours) {
                    self.conclude(arrival, header, shake);
                }
            }
            _ => {}
        }
    }

    /// Proof that the caller reads what is sent to its address, without remembering it.
    fn cookie(&self, peer: SocketAddr, period: u64) -> u32 {
        (self.secret.hash_one((peer, period)) & u64::from(u32::MAX)) as u32
    }

    fn conclude(&mut self, arrival: &Arrival<'_>, header: Header, shake: Shake) {
        let route = arrival.route;
        if let Some(id) = self.known.get(&(route.peer, shake.socket)) {
            // Our answer was lost, or is still to come.
            if let Some(peer) = self.peers.get(id) {
                self.replies.push((peer.route, peer.concluded.clone()));
            }
            return;
        }
        if shake.version != 5 {
            return self.refuse(route, shake, header.stamp_us, Reject::Version, "");
        }
        let asked = match handshake::extensions(arrival.bytes) {
            Ok(asked) => asked,
            Err(reason) => return self.refuse(route, shake, header.stamp_us, reason, ""),
        };
        let Some(hello) = asked.hello else {
            return self.refuse(route, shake, header.stamp_us, Reject::Other(4), &asked.stream_id);
        };
        if self.peers.len() + self.pending.len() >= self.config.connections_max {
            return self.refuse(route, shake, header.stamp_us, Reject::Overload, &asked.stream_id);
        }
        let Some(gate) = self.gate.clone() else { return };
        let id = self.new_id();
        let [_, major, minor, patch] = hello.version.to_be_bytes();
        let request = Request {
            peer: route.peer,
            stream_id: asked.stream_id.clone(),
            key: asked.key.as_deref().and_then(handshake::key_length),
            latency_ms: u32::from(hello.send_ms),
            version: [major, minor, patch],
            answer: Answer::new(id, self.door.clone()),
        };
        let stamp = (arrival.at, header.stamp_us);
        self.known.insert((route.peer, shake.socket), id);
        self.pending
            .insert(id, Pending { route, shake, hello, asked, stamp, until: arrival.at + ANSWER_MAX });
        gate.admit(request);
    }

    fn new_id(&mut self) -> u32 {
        loop {
            self.ids += 1;
            let id = (self.secret.hash_one(self.ids) & ID_MASK) as u32;
            if id > 1 && !self.peers.contains_key(&id) && !self.pending.contains_key(&id) {
                return id;
            }
        }
    }

    /// Refuses for a reason of the protocol's, and tells the gate.
    fn refuse(&mut self, route: Route, shake: Shake, stamp_us: u32, reason: Reject, stream_id: &str) {
        self.replies.push((route, rejection(shake, stamp_us, reason, route)));
        if let Some(gate) = &self.gate {
            gate.refused(route.peer, stream_id, &reason.to_string());
        }
    }

    pub(crate) fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Stop => self.stopped = true,
            Command::Answer(id, verdict) => {
                let Some(pending) = self.pending.remove(&id) else { return };
                let Pending { route, shake, stamp: (_, stamp_us), .. } = pending;
                self.known.remove(&(route.peer, shake.socket));
                match verdict {
                    Verdict::Reject(reason) => {
                        self.replies.push((route, rejection(shake, stamp_us, reason, route)));
                    }
                    Verdict::Accept(passphrase, on) => match cipher(passphrase.as_ref(), &pending.asked) {
                        Ok(cipher) => self.open(now, id, pending, cipher, on),
                        Err(reason) => self.refuse(route, shake, stamp_us, reason, &pending.asked.stream_id),
                    },
                }
            }
        }
    }

    fn open(&mut self, now: Instant, id: u32, pending: Pending, cipher: Option<CipherSettings>, on: Accept) {
        let Pending { route, shake, hello, asked, stamp, .. } = pending;
        let limit = self.config.latency_ms_max;
        let (came, stamp_us) = stamp;
        let key_bytes = asked.key.as_deref().and_then(handshake::key_length).map_or(0, |k| k.bytes());
        let agreed = Agreement {
            route,
            local_socket: id,
            remote_socket: shake.socket,
            sequence: shake.sequence,
            segment: shake.segment,
            flow: shake.flow,
            receive_ms: u32::from(hello.send_ms).max(self.config.latency_ms).min(limit),
            send_ms: u32::from(hello.receive_ms).min(limit),
            cipher,
            key_bytes,
            epoch: came.checked_sub(Duration::from_micros(u64::from(stamp_us))).unwrap_or(came),
            peer_stamp: stamp,
        };
        let (receive_ms, send_ms) = (agreed.receive_ms, agreed.send_ms);
        let offer = Offer { is_answer: true, receive_ms, send_ms, key: asked.key.as_deref(), stream_id: "" };
        let (extension, extensions) = offer.write();
        let encryption = u16::try_from(key_bytes / 8).unwrap_or(0);
        let flow = window(receive_ms);
        let reply = Shake { version: 5, encryption, extension, flow, kind: CONCLUSION, socket: id, ..shake };
        let our_stamp = stamp_us
            .wrapping_add((now.saturating_duration_since(came).as_micros() & u128::from(u32::MAX)) as u32);
        let concluded = reply.write(our_stamp, shake.socket, route.peer.ip(), &extensions);
        self.replies.push((route, concluded.clone()));
        let link = Link::new(route.peer, asked.stream_id, self.config.queue_bytes_max);
        let idle = Duration::from_secs(u64::from(self.config.peer_idle_s));
        self.adopt(id, Peer::new(&agreed, &link, concluded, idle, now));
        on(link);
    }

    /// Sends the answers to handshakes.
    pub(crate) fn reply(&mut self, udp: &Udp) {
        for (route, datagram) in self.replies.drain(..) {
            self.out.clear();
            self.out.bytes.extend_from_slice(&datagram);
            self.out.end();
            udp.send(route, &self.out);
        }
    }

    /// A round over all connections.
    pub(crate) fn tick(&mut self, udp: &Udp, now: Instant) {
        let mut ended = Vec::new();
        for (&id, peer) in &mut self.peers {
            self.out.clear();
            let out = &mut self.out;
            let reason = if self.broken.contains(&id) {
                Some(BROKEN.to_owned())
            } else {
                catch_unwind(AssertUnwindSafe(|| peer.tick(now, out)))
                    .unwrap_or_else(|_| Some(BROKEN.to_owned()))
            };
            if let Some(reason) = reason {
                ended.push(id);
                peer.finish(now, reason, &mut self.out);
            }
            if !self.out.is_empty() {
                udp.send(peer.route, &self.out);
            }
        }
        self.broken.clear();
        for id in ended {
            self.forget(id);
        }
        self.expire(now);
        self.reply(udp);
    }

    fn forget(&mut self, id: u32) {
        if let Some(peer) = self.peers.remove(&id) {
            self.known.remove(&(peer.route.peer, peer.remote_socket));
            tracing::debug!(peer = %peer.route.peer, stream_id = peer.stream_id(), "SRT connection is over");
        }
    }

    /// Refuses those whom the gate has not answered in time.
    fn expire(&mut self, now: Instant) {
        let late: Vec<u32> = self.pending.iter().filter(|(_, p)| p.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            if let Some(Pending { route, shake, stamp, asked, .. }) = self.pending.remove(&id) {
                self.known.remove(&(route.peer, shake.socket));
                self.refuse(route, shake, stamp.1, Reject::Timeout, &asked.stream_id);
            }
        }
    }

    /// The driver stops: everybody is told.
    pub(crate) fn close_all(&mut self, udp: &Udp, now: Instant) {
        for id in std::mem::take(&mut self.pending).into_keys() {
            self.obey(now, Command::Answer(id, Verdict::Reject(Reject::Down)));
        }
        self.reply(udp);
        for (_, mut peer) in self.peers.drain() {
            self.out.clear();
            peer.finish(now, "the server stops".to_owned(), &mut self.out);
            udp.send(peer.route, &self.out);
        }
    }
}

const BROKEN: &str = "the peer broke the protocol";

/// The keys of a connection, when both sides want the same.
fn cipher(passphrase: Option<&Passphrase>, asked: &Extensions) -> Result<Option<CipherSettings>, Reject> {
    match (passphrase, asked.key.as_deref()) {
        (None, None) => Ok(None),
        (Some(passphrase), Some(material)) => handshake::open_key(passphrase, material).map(Some),
        _ => Err(Reject::Unsecure),
    }
}

fn rejection(shake: Shake, stamp_us: u32, reason: Reject, route: Route) -> Vec<u8> {
    let reply = Shake { version: 5, encryption: 0, extension: 0, kind: reason.wire(), ..shake };
    reply.write(stamp_us, shake.socket, route.peer.ip(), &[])
}
