//! Puts answers on a socket: what lies in memory by one `writev`, what lies in the slab by `sendfile`.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Deref;

use bytes::{Buf, Bytes};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::slab::Chunk;

/// Slices per system call.
const SLICES_MAX: usize = 32;

/// Slices for one system call, and how many there are.
pub(crate) struct Vectors<'a>([IoSlice<'a>; SLICES_MAX], usize);

impl<'a> Deref for Vectors<'a> {
    type Target = [IoSlice<'a>];

    fn deref(&self) -> &Self::Target {
        self.0.get(..self.1).unwrap_or_default()
    }
}

/// As many of the parts, or of their bytes, as one call shall take.
pub(crate) fn vectors<'a>(parts: impl Iterator<Item = &'a [u8]>, mut bytes_max: usize) -> Vectors<'a> {
    let mut vectors = Vectors([IoSlice::new(&[]); SLICES_MAX], 0);
    for (place, part) in vectors.0.iter_mut().zip(parts) {
        if bytes_max == 0 {
            break;
        }
        let part = part.get(..bytes_max).unwrap_or(part);
        *place = IoSlice::new(part);
        vectors.1 += 1;
        bytes_max -= part.len();
    }
    vectors
}

/// Sends a head and slices in one go, as far as the socket takes them; how many bytes went out.
pub(crate) fn at_once(socket: &TcpStream, head: &[u8], slices: &VecDeque<Bytes>) -> io::Result<usize> {
    let vectors = vectors(std::iter::once(head).chain(slices.iter().map(|s| &**s)), usize::MAX);
    attempt(socket, total(&vectors), || socket_send(socket, &vectors, false))
}

/// Sends chunks as far as the socket takes them, and takes what went out away from the front; how many bytes.
pub(crate) fn some(socket: &TcpStream, chunks: &mut VecDeque<Chunk>) -> io::Result<usize> {
    let mut total_sent = 0;
    while let Some(first) = chunks.front_mut() {
        let (asked, sent) = match first {
            Chunk::Piece(piece) => {
                let sent = attempt(socket, piece.len, || {
                    let mut at = piece.at;
                    let sent = rustix::fs::sendfile(socket, piece.file(), Some(&mut at), piece.len)?;
                    if sent == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(sent) }
                })?;
                let asked = piece.len;
                piece.advance(sent);
                (asked, sent)
            }
            Chunk::Memory(_) => memory(socket, chunks)?,
        };
        total_sent += sent;
        drop_empty(chunks);
        if sent < asked {
            break;
        }
    }
    Ok(total_sent)
}

/// The slices in memory at the front, in one call: how many bytes were to go out and how many did.
fn memory(socket: &TcpStream, chunks: &mut VecDeque<Chunk>) -> io::Result<(usize, usize)> {
    let vectors = vectors(chunks.iter().map_while(Chunk::memory), usize::MAX);
    let asked = total(&vectors);
    let more = vectors.len() < chunks.len();
    let sent = attempt(socket, asked, || socket_send(socket, &vectors, more))?;
    take(chunks, sent);
    Ok((asked, sent))
}

/// Takes bytes in memory away from the front.
pub(crate) fn take(chunks: &mut VecDeque<Chunk>, mut sent: usize) {
    for chunk in chunks.iter_mut() {
        let Chunk::Memory(bytes) = chunk else { break };
        let len = sent.min(bytes.len());
        bytes.advance(len);
        sent -= len;
        if sent == 0 {
            break;
        }
    }
    drop_empty(chunks);
}

fn drop_empty(chunks: &mut VecDeque<Chunk>) {
    while let Some(front) = chunks.front() {
        let empty = match front {
            Chunk::Memory(bytes) => bytes.is_empty(),
            Chunk::Piece(piece) => piece.len == 0,
        };
        if !empty {
            break;
        }
        chunks.pop_front();
    }
}

fn total(vectors: &[IoSlice<'_>]) -> usize {
    vectors.iter().map(|v| v.len()).sum()
}

/// With `more`, the kernel holds back what does not fill a packet until the rest comes.
fn socket_send(socket: &TcpStream, vectors: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
    Ok(rustix::net::sendmsg(socket, vectors, &mut SendAncillaryBuffer::default(), flags)?)
}

/// One system call. Where it took less than asked the socket is full, and the reactor is told without a second call.
fn attempt(
    socket: &TcpStream,
    asked: usize,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut sent = 0;
    let done = socket.try_io(Interest::WRITABLE, || {
        sent = call()?;
        if sent < asked { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match done {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(sent),
    }
}
