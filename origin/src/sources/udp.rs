//! Transport streams in datagrams: bare or in RTP, to this machine or to a group.
//!
//! Spec: RFC 3550 §5.1 (RTP), RFC 2250 §2 (MPEG-TS in RTP).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use nx_container::ts;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::address::Udp;
use crate::restream::target::Job;
use crate::retry::{Failure, Meter};
use crate::sources::SILENCE;
use crate::sources::queue::Writer;

/// Receive buffer that the kernel is asked for; bytes.
const BUFFER: usize = 4 << 20;
/// Largest datagram.
const DATAGRAM: usize = 64 << 10;
/// Datagrams read before others get their turn.
const READS_MAX: usize = 256;
/// First byte of a transport packet.
const SYNC: u8 = 0x47;
/// RTP's number for transport streams.
const MP2T: u8 = 33;

/// A socket to which somebody sends.
pub(crate) struct Receiver {
    socket: UdpSocket,
    first: Bytes,
    peer: IpAddr,
}

/// Binds, and waits for the first transport packets.
pub(crate) async fn open(job: &Job, from: &Udp) -> Result<Receiver, Failure> {
    let socket = bind(from).map_err(|e| {
        Failure::Passing(format!(
            "{} cannot be listened on: {e}; use an address of this machine and a free port, or a group",
            from.address
        ))
    })?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (n, peer) = match timeout(SILENCE, socket.recv_from(&mut buffer)).await {
            Ok(Ok(came)) => came,
            Ok(Err(error)) => return Err(broken(&error)),
            Err(_) => {
                let text = format!(
                    "no transport stream comes to {}: check sender, address and interface",
                    from.address
                );
                job.meter.life().note(Some(text));
                continue;
            }
        };
        if let Some(packets) = payload(buffer.get(..n).unwrap_or_default()) {
            return Ok(Receiver { socket, first: Bytes::copy_from_slice(packets), peer: peer.ip() });
        }
    }
}

fn bind(from: &Udp) -> io::Result<UdpSocket> {
    let Udp { address, interface } = *from;
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(BUFFER)?;
    let is_group = address.ip().is_multicast();
    // Several may listen to a group; an address of one's own is one's own.
    socket.set_reuse_address(is_group)?;
    socket.bind(&SocketAddr::from((address.ip(), address.port())).into())?;
    match (address.ip(), interface) {
        (IpAddr::V4(group), card) if is_group => {
            let card = match card {
                Some(IpAddr::V4(card)) => card,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            socket.join_multicast_v4(&group, &card)?;
        }
        (IpAddr::V6(group), _) if is_group => socket.join_multicast_v6(&group, 0)?,
        _ => {}
    }
    UdpSocket::from_std(socket.into())
}

fn broken(error: &io::Error) -> Failure {
    Failure::Passing(format!("the socket broke: {error}"))
}

impl Receiver {
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Hands packets on as they come; what there is no room for is dropped and counted.
    pub(crate) async fn carry(self, writer: &Writer, meter: &Meter) -> Failure {
        let mut buffer = vec![0; DATAGRAM];
        let offer = |bytes: &Bytes| {
            if writer.offer(bytes) == Ok(false) {
                meter.dropped(1);
            }
        };
        offer(&self.first);
        loop {
            match timeout(SILENCE, self.socket.readable()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return broken(&error),
                Err(_) => {
                    return Failure::Passing(format!(
                        "nothing came for {} s: check the sender",
                        SILENCE.as_secs()
                    ));
                }
            }
            for _ in 0..READS_MAX {
                match self.socket.try_recv(&mut buffer) {
                    Ok(n) => {
                        if let Some(packets) = payload(buffer.get(..n).unwrap_or_default()) {
                            offer(&Bytes::copy_from_slice(packets));
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return broken(&error),
                }
            }
            // A flood must not keep the task from being stopped.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The transport packets of a datagram; `None` when it holds something else.
fn payload(datagram: &[u8]) -> Option<&[u8]> {
    let is_packets = |bytes: &&[u8]| bytes.first() == Some(&SYNC) && bytes.len() >= ts::PACKET_LEN;
    if is_packets(&datagram) {
        return Some(datagram);
    }
    let (&[flags, kind, ..], rest) = datagram.split_first_chunk::<12>()?;
    if flags >> 6 != 2 || kind & 0x7f != MP2T {
        return None;
    }
    let mut rest = rest.get(usize::from(flags & 0x0f) * 4..)?;
    if flags & 0x10 != 0 {
        let (&[_, _, high, low], behind) = rest.split_first_chunk::<4>()?;
        rest = behind.get(usize::from(u16::from_be_bytes([high, low])) * 4..)?;
    }
    if flags & 0x20 != 0 {
        let padding = usize::from(*rest.last()?);
        rest = rest.get(..rest.len().checked_sub(padding)?)?;
    }
    Some(rest).filter(is_packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_transport_packets_bare_and_in_rtp() {
        let packet = {
            let mut packet = vec![7; ts::PACKET_LEN];
            packet[0] = SYNC;
            packet
        };
        let rtp = |flags: u8, kind: u8, more: &[u8], behind: &[u8]| {
            [&[flags, kind, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], more, &packet, behind].concat()
        };
        let rows: [(&str, Vec<u8>, bool); 11] = [
            ("bare", packet.clone(), true),
            ("short", packet[..187].to_vec(), false),
            ("RTP", rtp(0x80, 33, &[], &[]), true),
            ("with marker", rtp(0x80, 0xa1, &[], &[]), true),
            ("two sources", rtp(0x82, 33, &[9; 8], &[]), true),
            ("extension", rtp(0x90, 33, &[0, 0, 0, 1, 9, 9, 9, 9], &[]), true),
            ("padding", rtp(0xa0, 33, &[], &[0, 0, 0, 4]), true),
            ("too much padding", rtp(0xa0, 33, &[], &[255]), false),
            ("other version", rtp(0x40, 33, &[], &[]), false),
            ("other kind", rtp(0x80, 96, &[], &[]), false),
            ("something else", b"GET / HTTP/1.1".to_vec(), false),
        ];
        for (name, datagram, is_good) in rows {
            assert_eq!(payload(&datagram), is_good.then_some(&packet[..]), "{name}");
            for end in 0..datagram.len() {
                let _ = payload(&datagram[..end]);
            }
        }
    }
}
