//! The UDP socket: datagrams read and written in batches.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::Clock;
use crate::wire::Outgoing;

/// Batches read in a row before anything else gets its turn: 4096 datagrams.
const BATCHES_MAX: usize = 128;
/// Bytes of one write of several datagrams; the kernel's limit is just below 64 KiB.
const BURST: usize = 60_000;
const SEND_BUFFER: usize = 4 << 20;

/// Where a peer is, and which of our addresses it talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<IpAddr>,
}

/// A datagram that came.
pub(crate) struct Arrival<'a> {
    pub(crate) route: Route,
    pub(crate) at: Instant,
    pub(crate) bytes: &'a [u8],
}

/// See the module.
pub(crate) struct Udp {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    buffers: Vec<Vec<u8>>,
    /// Bound to every address: answers must leave from the one that was called.
    wildcard: bool,
}

impl Udp {
    /// A bound socket, blocking, as a caller's handshake wants it.
    pub(crate) fn open(address: SocketAddr, recv_buffer_bytes: usize) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_recv_buffer_size(recv_buffer_bytes)?;
        // Linux doubles what it grants, for its own bookkeeping.
        let granted = socket.recv_buffer_size()? / 2;
        if granted < recv_buffer_bytes {
            tracing::debug!(
                granted,
                asked = recv_buffer_bytes,
                "small SRT receive buffer: raise net.core.rmem_max"
            );
        }
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    }

    /// Takes a socket over from [`Udp::open`].
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let wildcard = socket.local_addr()?.ip().is_unspecified();
        let socket = mio::net::UdpSocket::from_std(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let room = if state.gro_segments() > 1 { 64 << 10 } else { 2_048 };
        let buffers = (0..BATCH_SIZE).map(|_| vec![0; room]).collect();
        Ok(Self { socket, state, buffers, wildcard })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether `poll` shall wake for datagrams.
    pub(crate) fn watch(&mut self, registry: &Registry, token: Token, on: bool) -> io::Result<()> {
        if on {
            self.socket.register(registry, token, Interest::READABLE)
        } else {
            self.socket.deregister(registry)
        }
    }

    /// Reads what is there and hands each datagram to `each`.
    pub(crate) fn receive(&mut self, clock: Clock, mut each: impl FnMut(&Arrival<'_>)) {
        for _ in 0..BATCHES_MAX {
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let mut slices: Vec<IoSliceMut<'_>> =
                self.buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
            let count = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP message about some peer: the next read is another datagram.
                Err(_) => continue,
            };
            drop(slices);
            for (meta, buffer) in metas.iter().zip(&self.buffers).take(count) {
                let route = Route { peer: meta.addr, local: meta.dst_ip.filter(|_| self.wildcard) };
                let at = clock.arrived(meta.timestamp);
                let bytes = buffer.get(..meta.len).unwrap_or_default();
                for bytes in bytes.chunks(meta.stride.max(1)) {
                    each(&Arrival { route, at, bytes });
                }
            }
            if count < BATCH_SIZE {
                return;
            }
        }
    }

    /// Sends datagrams; those of one size in one call. What the kernel does not take is lost, as anything over UDP may
    /// be.
    pub(crate) fn send(&self, route: Route, out: &Outgoing) {
        let mut start = 0;
        let mut ends = out.ends.iter().copied().peekable();
        while let Some(first) = ends.next() {
            let size = first - start;
            let mut end = first;
            while let Some(&next) = ends.peek() {
                let full =
                    next - start > BURST || (end - start) / size.max(1) >= self.state.max_gso_segments();
                if full || next - end > size {
                    break;
                }
                let shorter = next - end < size;
                end = next;
                ends.next();
                if shorter {
                    break;
                }
            }
            self.burst(route, out.bytes.get(start..end).unwrap_or_default(), size);
            start = end;
        }
    }

    fn burst(&self, route: Route, contents: &[u8], size: usize) {
        let one = |contents, segment_size| {
            let transmit =
                Transmit { destination: route.peer, ecn: None, contents, segment_size, src_ip: route.local };
            self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
        };
        if contents.len() <= size {
            let _ = one(contents, None);
        } else if one(contents, Some(size)).is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock) {
            // The way out cannot split: one by one.
            for datagram in contents.chunks(size) {
                let _ = one(datagram, None);
            }
        }
    }
}
