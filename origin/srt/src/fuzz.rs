//! Bodies of the fuzz targets: each asserts a property for any input. Not part of the public promise.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::Passphrase;
use crate::handshake::{self, Agreement, Offer, STREAM_ID_MAX, Shake};
use crate::link::Link;
use crate::peer::Peer;
use crate::socket::Route;
use crate::stream_id::{Mode, StreamId};
use crate::wire::{Control, HEADER, Header, Outgoing, control};

/// An id that parses names something, has no control characters and, written in the long form, says the same.
///
/// # Panics
///
/// When a property does not hold.
pub fn stream_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(id) = StreamId::parse(text) else { return };
    assert!(!id.resource.is_empty() && id.extra.len() <= 16, "a name, and a bounded number of keys");
    let mut pairs = vec![("r", format!("/{}", id.resource))];
    pairs.extend(id.mode.map(|m| ("m", if m == Mode::Publish { "publish" } else { "request" }.to_owned())));
    let named = [("u", &id.user), ("s", &id.session), ("h", &id.host)];
    pairs.extend(named.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
    pairs.extend(id.extra.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let written: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert!(!written.concat().contains(char::is_control), "no control characters: {id:?}");
    let said = |key: &str| ["r", "m", "u", "s", "h", "t"].contains(&key);
    let plain = !written.concat().contains(',')
        && id.extra.keys().all(|key| !key.is_empty() && !key.contains('=') && !said(key));
    let long = format!("#!::{}", written.join(","));
    if plain && long.len() <= STREAM_ID_MAX {
        assert_eq!(StreamId::parse(&long).as_ref(), Ok(&id), "{long}");
    }
}

/// A datagram of a stranger: a handshake is written as it was read, what it asks for is bounded, and ranges of
/// packets are in order.
///
/// # Panics
///
/// When a property does not hold.
pub fn handshake(data: &[u8]) {
    let Some(header) = Header::read(data) else { return };
    if let Some(shake) = Shake::read(data) {
        let written = shake.write(header.stamp_us, header.socket, Ipv4Addr::LOCALHOST.into(), &[]);
        assert_eq!(Shake::read(&written), Some(shake), "written as it was read");
        assert_eq!(
            Header::read(&written).map(|h| (h.stamp_us, h.socket)),
            Some((header.stamp_us, header.socket))
        );
    }
    if let Ok(asked) = handshake::extensions(data) {
        assert!(asked.stream_id.len() <= STREAM_ID_MAX, "the length of a stream id is bounded");
        if let Some(hello) = asked.hello {
            let (receive_ms, send_ms) = (hello.receive_ms.into(), hello.send_ms.into());
            let (key, stream_id) = (asked.key.as_deref(), asked.stream_id.as_str());
            let (_, extensions) = Offer { is_answer: false, receive_ms, send_ms, key, stream_id }.write();
            let again = handshake::extensions(&[&[0; HEADER + 48][..], &extensions].concat());
            let again = again.expect("what we write, we read");
            assert_eq!((again.key.as_deref(), again.stream_id.as_str()), (key, stream_id));
            let delays = again.hello.map(|h| (h.receive_ms, h.send_ms));
            assert_eq!(delays, Some((hello.receive_ms, hello.send_ms)), "the same delays");
        }
        if let (Some(material), Ok(secret)) = (&asked.key, Passphrase::try_from("0123456789".to_owned())) {
            let opened = handshake::open_key(&secret, material);
            assert!(opened.is_err() || handshake::key_length(material).is_some(), "a key has a length");
        }
    }
    match control(header, data) {
        Control::Nak(ranges) => assert!(ranges.iter().all(|(from, to)| from <= to), "in order: {ranges:?}"),
        Control::Drop(from, to) => assert!((from | to) >> 31 == 0, "31 bits"),
        _ => {}
    }
}

/// A connection takes any packets after its handshake: each has a length and the milliseconds before it in front.
/// The first byte says whether something is sent the other way.
///
/// # Panics
///
/// When more is delivered than came, or more is held than the window.
pub fn connection(data: &[u8]) {
    let Some((&sends, mut rest)) = data.split_first() else { return };
    let mut now = Clock::read().now;
    let link = Link::new(peer(), String::new(), 1 << 20);
    let idle = Duration::from_hours(1);
    let mut peer = Peer::new(&agreement(now), &link, Vec::new(), idle, now);
    let (mut out, mut messages, mut came) = (Outgoing::default(), Vec::new(), 0);
    while let Some((&[len, ms], behind)) = rest.split_first_chunk() {
        let (packet, behind) = behind.split_at(usize::from(len).min(behind.len()));
        rest = behind;
        came += packet.len();
        now += Duration::from_millis(ms.into());
        if let Some(header) = Header::read(packet).filter(|h| !h.is_handshake()) {
            peer.receive(now, header, packet);
        }
        if sends & 1 == 1 {
            let _ = link.send(bytes::Bytes::copy_from_slice(packet));
        }
        out.clear();
        if peer.tick(now, &mut out).is_some() {
            break;
        }
        link.drain(&mut messages);
        let ends_in_order = out.ends.is_sorted() && out.ends.last().is_none_or(|&end| end == out.bytes.len());
        assert!(ends_in_order, "datagrams lie one behind the other");
    }
    let delivered: usize = messages.iter().map(bytes::Bytes::len).sum();
    assert!(delivered <= came, "nothing is made up or delivered twice");
}

fn peer() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 9).into()
}

fn agreement(now: Instant) -> Agreement {
    Agreement {
        route: Route { peer: peer(), local: None },
        local_socket: 2,
        remote_socket: 3,
        sequence: 0x7fff_fff0,
        segment: handshake::SEGMENT,
        flow: 8_192,
        receive_ms: 120,
        send_ms: 120,
        cipher: None,
        key_bytes: 0,
        epoch: now,
        peer_stamp: (now, 0),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn acknowledgements_count_past_32_bits() {
        super::connection(include_bytes!("../../../fuzz/corpus/srt_connection/ack_number_wraps"));
    }
}
