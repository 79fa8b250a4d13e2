//! Handshakes (draft-sharabayko-srt §3.2.1): read, written, and turned into the settings of a connection.

use std::time::{Duration, Instant};

use srt_protocol::connection::ConnectionSettings;
use srt_protocol::options::{LiveBandwidthMode, PacketSize};
use srt_protocol::packet::{KeyingMaterialMessage, SeqNumber, SrtControlPacket};
use srt_protocol::settings::{CipherSettings, KeyMaterialRefreshSettings, KeySettings, SocketId};

use crate::config::{KeyLength, Passphrase, packets, window};
use crate::reject::Reject;
use crate::socket::Route;
use crate::wire::{HEADER, Header, KEY_REQUEST, KEY_RESPONSE, key_material_is_sound, word};

/// Types of a handshake (§3.2.1, "Handshake Type"); 1000 and more is a refusal.
pub(crate) const INDUCTION: i32 = 1;
pub(crate) const CONCLUSION: i32 = -1;
/// Extension field of an induction that says: SRT, not UDT.
pub(crate) const MAGIC: u16 = 0x4a17;
/// Bytes of a handshake without extensions.
const FIXED: usize = 48;
/// Bytes of a datagram, IP and UDP headers included: the most, and the least that makes sense.
pub(crate) const SEGMENT: u32 = 1_500;
const SEGMENT_MIN: u32 = 256;
/// Bytes of IP, UDP and SRT headers in it.
const HEADERS: u32 = 44;
/// Longest stream id (SRT Access Control guidelines); bytes.
pub(crate) const STREAM_ID_MAX: usize = 512;

const HELLO_REQUEST: u16 = 1;
const HELLO_RESPONSE: u16 = 2;
const STREAM_ID: u16 = 5;
const CONGESTION: u16 = 6;
const FILTER: u16 = 7;
const GROUP: u16 = 8;

/// What we can: timed delivery both ways, encryption, dropping what is late, repeated reports of loss, the mark of
/// repeated packets.
const FLAGS: u32 = 0x3f;
/// The peer wants a byte stream instead of messages.
const FLAG_STREAM: u32 = 0x40;
/// Version 1.4.4, the youngest whose extensions we know.
const VERSION: u32 = 0x0001_0404;

/// The fixed part of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shake {
    pub(crate) version: u32,
    /// Length of the key divided by 8.
    pub(crate) encryption: u16,
    pub(crate) extension: u16,
    pub(crate) sequence: u32,
    /// Bytes of the largest datagram, IP and UDP headers included.
    pub(crate) segment: u32,
    /// Packets in flight that the peer takes.
    pub(crate) flow: u32,
    pub(crate) kind: i32,
    pub(crate) socket: u32,
    pub(crate) cookie: u32,
}

/// Delays that both sides want, and what the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    pub(crate) flags: u32,
    /// Delay of delivery at the sender of this hello; milliseconds.
    pub(crate) receive_ms: u16,
    /// Delay that it wants its own data to have at the other side; milliseconds.
    pub(crate) send_ms: u16,
}

/// The extensions of a conclusion.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) hello: Option<Hello>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) stream_id: String,
}

impl Shake {
    /// Reads a handshake packet, header included.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let body = bytes.get(HEADER..).filter(|b| b.len() >= FIXED)?;
        let types = word(body, 1)?;
        Some(Self {
            version: word(body, 0)?,
            encryption: (types >> 16) as u16,
            extension: (types & 0xffff) as u16,
            sequence: word(body, 2)? & 0x7fff_ffff,
            segment: word(body, 3)?.clamp(SEGMENT_MIN, SEGMENT),
            flow: word(body, 4)?,
            kind: word(body, 5)?.cast_signed(),
            socket: word(body, 6)?,
            cookie: word(body, 7)?,
        })
    }

    /// Writes the packet with `extensions` behind it. `to` is the receiver's socket id.
    pub(crate) fn write(&self, stamp_us: u32, to: u32, peer: std::net::IpAddr, extensions: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + FIXED + extensions.len());
        let types = u32::from(self.encryption) << 16 | u32::from(self.extension);
        let words =
            [0x8000_0000, 0, stamp_us, to, self.version, types, self.sequence, self.segment, self.flow];
        for word in words.into_iter().chain([self.kind.cast_unsigned(), self.socket, self.cookie]) {
            out.extend_from_slice(&word.to_be_bytes());
        }
        // Addresses are written in words of the sender's byte order, which is little-endian everywhere.
        let address = match peer.to_canonical() {
            std::net::IpAddr::V4(v4) => [v4.to_bits(), 0, 0, 0],
            std::net::IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                [bits >> 96, bits >> 64, bits >> 32, bits].map(|w| (w & u128::from(u32::MAX)) as u32)
            }
        };
        for word in address {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(extensions);
        out
    }
}

/// Reads the extensions of a conclusion.
///
/// # Errors
/// With the code to answer, for what is malformed or asks for what live mode over one path does not have.
pub(crate) fn extensions(bytes: &[u8]) -> Result<Extensions, Reject> {
    let mut found = Extensions::default();
    let mut rest = bytes.get(HEADER + FIXED..).unwrap_or_default();
    while let Some(head) = word(rest, 0) {
        let length = (head & 0xffff) as usize * 4;
        let body = rest.get(4..4 + length).ok_or(Reject::Other(4))?;
        rest = rest.get(4 + length..).unwrap_or_default();
        match (head >> 16) as u16 {
            HELLO_REQUEST | HELLO_RESPONSE => {
                let (Some(version), Some(flags), Some(delays)) =
                    (word(body, 0), word(body, 1), word(body, 2))
                else {
                    return Err(Reject::Other(4));
                };
                let (receive_ms, send_ms) = ((delays >> 16) as u16, (delays & 0xffff) as u16);
                found.hello = Some(Hello { version, flags, receive_ms, send_ms });
            }
            // A single word is how a listener says that it did not understand our key.
            KEY_RESPONSE if body.len() == 4 => return Err(Reject::BadSecret),
            KEY_REQUEST | KEY_RESPONSE if key_material_is_sound(body) => found.key = Some(body.to_vec()),
            KEY_REQUEST | KEY_RESPONSE => return Err(Reject::Unsecure),
            STREAM_ID => found.stream_id = text(body).ok_or(Reject::BadRequest)?,
            CONGESTION if text(body).as_deref() != Some("live") => return Err(Reject::Congestion),
            FILTER => return Err(Reject::Filter),
            GROUP => return Err(Reject::Group),
            _ => {}
        }
    }
    match found.hello {
        Some(hello) if hello.flags & FLAG_STREAM != 0 => Err(Reject::Other(12)),
        _ => Ok(found),
    }
}

/// A string: words of swapped bytes, filled up with zeros (§3.2.1.3).
fn text(body: &[u8]) -> Option<String> {
    let mut bytes: Vec<u8> = body.as_chunks::<4>().0.iter().flat_map(|w| w.iter().rev().copied()).collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    let text = String::from_utf8(bytes).ok()?;
    (text.len() <= STREAM_ID_MAX && !text.contains('\0')).then_some(text)
}

fn extension(kind: u16, body: &[u8], out: &mut Vec<u8>) {
    let words = u16::try_from(body.len() / 4).unwrap_or(u16::MAX);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&words.to_be_bytes());
    out.extend_from_slice(body);
}

/// What a side says of itself.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) is_answer: bool,
    pub(crate) receive_ms: u32,
    pub(crate) send_ms: u32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) stream_id: &'a str,
}

impl Offer<'_> {
    /// The extensions and the field that names them (1: hello, 2: key, 4: others).
    pub(crate) fn write(&self) -> (u16, Vec<u8>) {
        let (hello, key) =
            if self.is_answer { (HELLO_RESPONSE, KEY_RESPONSE) } else { (HELLO_REQUEST, KEY_REQUEST) };
        let (mut field, mut out) = (1, Vec::new());
        let short = |ms: u32| u32::from(u16::try_from(ms).unwrap_or(u16::MAX));
        let body = [VERSION, FLAGS, short(self.receive_ms) << 16 | short(self.send_ms)].map(u32::to_be_bytes);
        extension(hello, body.as_flattened(), &mut out);
        if let Some(material) = self.key {
            field |= 2;
            extension(key, material, &mut out);
        }
        if !self.stream_id.is_empty() {
            field |= 4;
            let mut body = self.stream_id.as_bytes().to_vec();
            body.resize(body.len().next_multiple_of(4), 0);
            body.as_chunks_mut::<4>().0.iter_mut().for_each(|w| w.reverse());
            extension(STREAM_ID, &body, &mut out);
        }
        (field, out)
    }
}

/// Key material on the wire, and the machine that has its keys.
pub(crate) fn new_key(passphrase: &Passphrase, length: KeyLength) -> Option<(Vec<u8>, CipherSettings)> {
    let settings = KeySettings { key_size: length.size(), passphrase: passphrase.0.clone() };
    let cipher = CipherSettings::new_random(&settings, &KeyMaterialRefreshSettings::default());
    let mut material = Vec::new();
    SrtControlPacket::KeyRefreshRequest(cipher.wrap_keying_material()?).serialize(&mut material);
    Some((material, cipher))
}

/// Length of the key in key material.
pub(crate) fn key_length(material: &[u8]) -> Option<KeyLength> {
    material.get(15).and_then(|words| KeyLength::from_bytes(usize::from(*words) * 4))
}

/// Opens a caller's key material.
///
/// # Errors
/// [`Reject::BadSecret`] if the passphrase is another.
pub(crate) fn open_key(passphrase: &Passphrase, material: &[u8]) -> Result<CipherSettings, Reject> {
    let length = key_length(material).ok_or(Reject::Unsecure)?;
    let settings = KeySettings { key_size: length.size(), passphrase: passphrase.0.clone() };
    let mut bytes = material;
    let message = KeyingMaterialMessage::parse(&mut bytes).map_err(|_| Reject::Unsecure)?;
    CipherSettings::new(&settings, &KeyMaterialRefreshSettings::default(), &message)
        .map_err(|_| Reject::BadSecret)
}

/// What both sides agreed on.
#[derive(Debug)]
pub(crate) struct Agreement {
    pub(crate) route: Route,
    pub(crate) local_socket: u32,
    pub(crate) remote_socket: u32,
    pub(crate) sequence: u32,
    pub(crate) segment: u32,
    pub(crate) flow: u32,
    pub(crate) receive_ms: u32,
    pub(crate) send_ms: u32,
    pub(crate) cipher: Option<CipherSettings>,
    pub(crate) key_bytes: u32,
    /// When our time stamps are 0.
    pub(crate) epoch: Instant,
    /// A time stamp of the peer's, and when it came.
    pub(crate) peer_stamp: (Instant, u32),
}

impl Agreement {
    /// Settings of the library's machine, which does the sending; its receiving half stays unused.
    pub(crate) fn settings(&self) -> ConnectionSettings {
        let never = Duration::from_secs(86_400 * 365);
        ConnectionSettings {
            remote: self.route.peer,
            remote_sockid: SocketId(self.remote_socket),
            local_sockid: SocketId(self.local_socket),
            socket_start_time: self.epoch,
            rtt: Duration::ZERO,
            init_seq_num: SeqNumber::new_truncate(self.sequence),
            max_packet_size: PacketSize(u64::from(self.segment - HEADERS)),
            max_flow_size: packets(self.flow.clamp(32, 8_192)),
            send_tsbpd_latency: Duration::from_millis(u64::from(self.send_ms)),
            recv_tsbpd_latency: Duration::ZERO,
            too_late_packet_drop: true,
            peer_idle_timeout: never,
            recv_buffer_size: packets(1),
            send_buffer_size: packets(window(self.send_ms).max(8_192)),
            cipher: self.cipher.clone(),
            stream_id: None,
            bandwidth: LiveBandwidthMode::Unlimited,
            statistics_interval: never,
        }
    }
}

/// Whether a datagram for socket 0 is a handshake, and which.
pub(crate) fn for_listener(header: Header, bytes: &[u8]) -> Option<Shake> {
    if header.socket == 0 && header.is_handshake() { Shake::read(bytes) } else { None }
}
