//! Calling out: the handshake of a caller, and a driver for what comes of it.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::{KeyLength, ListenerConfig, Passphrase, window};
use crate::driver::Driver;
use crate::handshake::{self, Agreement, CONCLUSION, INDUCTION, MAGIC, Offer, STREAM_ID_MAX, Shake};
use crate::link::Link;
use crate::peer::Peer;
use crate::reject::Reject;
use crate::socket::{Route, Udp};
use crate::wire::Header;

/// Time between two sendings of the same handshake.
const RETRY: Duration = Duration::from_millis(250);

/// Whom to call, and how.
#[derive(Debug, Clone)]
pub struct CallerConfig {
    /// The listener.
    pub remote: SocketAddr,
    /// What is wanted from it; at most 512 bytes.
    pub stream_id: String,
    /// Encrypts if given.
    pub passphrase: Option<Passphrase>,
    /// Length of the key, if there is a passphrase.
    pub key: KeyLength,
    /// Delay of delivery on both sides at least; milliseconds.
    pub latency_ms: u32,
    /// Time for the handshake.
    pub connect_timeout: Duration,
    /// A peer from whom nothing came for so long is gone; seconds.
    pub peer_idle_s: u32,
    /// As [`ListenerConfig::queue_bytes_max`].
    pub queue_bytes_max: usize,
}

impl CallerConfig {
    /// A call without encryption, with the defaults of a listener and three seconds for the handshake.
    pub fn new(remote: SocketAddr, stream_id: impl Into<String>) -> Self {
        let defaults = ListenerConfig::default();
        Self {
            remote,
            stream_id: stream_id.into(),
            passphrase: None,
            key: KeyLength::default(),
            latency_ms: defaults.latency_ms,
            connect_timeout: Duration::from_secs(3),
            peer_idle_s: defaults.peer_idle_s,
            queue_bytes_max: defaults.queue_bytes_max,
        }
    }
}

/// Calls, waits for the handshake, and starts a thread that serves the connection until it ends.
///
/// # Errors
/// [`ErrorKind::ConnectionRefused`] with a [`Reject`] inside when the listener refuses, [`ErrorKind::TimedOut`] when it
/// does not answer, and those of the system.
pub fn connect(config: CallerConfig) -> io::Result<Link> {
    if config.stream_id.len() > STREAM_ID_MAX {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "an SRT stream id has at most 512 bytes: shorten it",
        ));
    }
    let any: SocketAddr = match config.remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = Udp::open(any, ListenerConfig::default().recv_buffer_bytes)?;
    let agreed = Call { config: &config, socket: &socket, begun: Clock::read().now }.shake()?;
    let link = Link::new(config.remote, config.stream_id.clone(), config.queue_bytes_max);
    let idle = Duration::from_secs(u64::from(config.peer_idle_s));
    let peer = Peer::new(&agreed, &link, Vec::new(), idle, Clock::read().now);
    let mut driver = Driver::new(Udp::new(socket)?, ListenerConfig::default(), None)?;
    driver.adopt(agreed.local_socket, peer);
    std::thread::Builder::new().name("srt-call".to_owned()).spawn(move || driver.run())?;
    Ok(link)
}

struct Call<'a> {
    config: &'a CallerConfig,
    socket: &'a UdpSocket,
    begun: Instant,
}

impl Call<'_> {
    fn stamp(&self) -> u32 {
        (Clock::read().now.duration_since(self.begun).as_micros() & u128::from(u32::MAX)) as u32
    }

    fn shake(&self) -> io::Result<Agreement> {
        use std::hash::{BuildHasher, RandomState};
        let random = RandomState::new();
        let local_socket = (random.hash_one(0) & 0x3fff_ffff) as u32 | 2;
        let latency_ms = self.config.latency_ms;
        let first = Shake {
            version: 4,
            encryption: 0,
            // A datagram socket of UDT: every SRT caller begins like this.
            extension: 2,
            sequence: (random.hash_one(1) & 0x7fff_ffff) as u32,
            segment: handshake::SEGMENT,
            flow: window(latency_ms),
            kind: INDUCTION,
            socket: local_socket,
            cookie: 0,
        };
        let (induced, _, _) = self.exchange(first, &[], |s| s.kind == INDUCTION)?;
        if induced.version < 5 || induced.extension != MAGIC {
            return Err(io::Error::new(
                ErrorKind::Unsupported,
                "the listener speaks UDT or an SRT before 1.3",
            ));
        }
        let (material, cipher) = self
            .config
            .passphrase
            .as_ref()
            .and_then(|p| handshake::new_key(p, self.config.key))
            .map_or((None, None), |(material, cipher)| (Some(material), Some(cipher)));
        let key_bytes = if material.is_some() { self.config.key.bytes() } else { 0 };
        let offer = Offer {
            is_answer: false,
            receive_ms: latency_ms,
            send_ms: latency_ms,
            key: material.as_deref(),
            stream_id: &self.config.stream_id,
        };
        let (extension, extensions) = offer.write();
        let encryption = u16::try_from(key_bytes / 8).unwrap_or(0);
        let (kind, cookie) = (CONCLUSION, induced.cookie);
        let second = Shake { version: 5, encryption, extension, kind, cookie, ..first };
        let (concluded, bytes, peer_stamp) = self.exchange(second, &extensions, |s| s.kind == CONCLUSION)?;
        let answer = handshake::extensions(&bytes).map_err(refused)?;
        let hello = answer.hello.ok_or_else(|| refused(Reject::Other(4)))?;
        if answer.key.is_some() != material.is_some() {
            return Err(refused(Reject::Unsecure));
        }
        Ok(Agreement {
            route: Route { peer: self.config.remote, local: None },
            local_socket,
            remote_socket: concluded.socket,
            sequence: first.sequence,
            segment: concluded.segment,
            flow: concluded.flow,
            receive_ms: latency_ms.max(u32::from(hello.send_ms)),
            send_ms: latency_ms.max(u32::from(hello.receive_ms)),
            cipher,
            key_bytes,
            epoch: self.begun,
            peer_stamp,
        })
    }

    /// Sends a handshake until an answer of the kind that `is_answer` names comes; gives it with its bytes and its
    /// time stamp.
    fn exchange(
        &self,
        shake: Shake,
        extensions: &[u8],
        is_answer: impl Fn(&Shake) -> bool,
    ) -> io::Result<(Shake, Vec<u8>, (Instant, u32))> {
        let remote = self.config.remote;
        let until = self.begun + self.config.connect_timeout;
        let mut buffer = [0; 2_048];
        loop {
            self.socket.send_to(&shake.write(self.stamp(), 0, remote.ip(), extensions), remote)?;
            let again = Clock::read().now + RETRY;
            loop {
                let now = Clock::read().now;
                if now >= until {
                    return Err(io::Error::new(
                        ErrorKind::TimedOut,
                        format!("no SRT listener answers at {remote}"),
                    ));
                }
                let wait = again.min(until).saturating_duration_since(now);
                if wait.is_zero() {
                    break;
                }
                self.socket.set_read_timeout(Some(wait))?;
                // Also an ICMP "port unreachable": the listener may come up yet.
                let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { continue };
                let bytes = buffer.get(..length).unwrap_or_default();
                let header = Header::read(bytes).filter(|h| h.is_handshake() && h.socket == shake.socket);
                let (Some(header), Some(answer), true) = (header, Shake::read(bytes), from == remote) else {
                    continue;
                };
                if answer.kind >= 1_000 {
                    return Err(refused(Reject::from_code(answer.kind - 1_000)));
                }
                if is_answer(&answer) {
                    return Ok((answer, bytes.to_vec(), (Clock::read().now, header.stamp_us)));
                }
            }
        }
    }
}

fn refused(reason: Reject) -> io::Error {
    io::Error::new(ErrorKind::ConnectionRefused, RefusedByListener(reason))
}

/// What a refused [`connect`] carries; [`io::Error::get_ref`] and `downcast_ref` find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SRT listener refused: {0}")]
pub struct RefusedByListener(pub Reject);
