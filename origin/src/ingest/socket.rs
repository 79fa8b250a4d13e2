//! A TCP connection in a shard, plain or with TLS.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use mio::net::TcpStream;
use rustls::ServerConnection;

/// Bytes in, bytes out, never waiting.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// TLS after its handshake.
pub(crate) struct Tls {
    tcp: TcpStream,
    tls: ServerConnection,
}

impl Socket {
    /// `tls` is the state of a connection whose handshake is done.
    pub(crate) fn new(tcp: std::net::TcpStream, tls: Option<Box<ServerConnection>>) -> Self {
        let tcp = TcpStream::from_std(tcp);
        match tls {
            None => Self::Plain(tcp),
            Some(tls) => Self::Tls(Box::new(Tls { tcp, tls: *tls })),
        }
    }

    /// What the kernel watches.
    pub(crate) fn source(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.tcp,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buf),
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buf),
            Self::Tls(tls) => tls.write(&[IoSlice::new(buf)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write_vectored(slices),
            Self::Tls(tls) => tls.write(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.send(),
        }
    }
}

impl Tls {
    /// Fills `buf` with all that has come, so that nothing stays behind that readiness would not tell of.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            match self.tls.reader().read(buf.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => return Ok(filled),
                Ok(n) => {
                    filled += n;
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                // A peer that leaves without a TLS goodbye has left all the same.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(filled),
                Err(e) => return Err(e),
            }
            match self.tls.read_tls(&mut self.tcp) {
                Ok(_) => {
                    self.tls.process_new_packets().map_err(io::Error::other)?;
                    self.send_if_possible()?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock && filled > 0 => return Ok(filled),
                Err(e) => return Err(e),
            }
        }
    }

    /// Takes plain bytes only while nothing encrypted waits, so that a slow peer is felt by the caller.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send()?;
        let n = self.tls.writer().write_vectored(slices)?;
        self.send_if_possible()?;
        Ok(n)
    }

    fn send_if_possible(&mut self) -> io::Result<()> {
        match self.send() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp)?;
        }
        Ok(())
    }
}
