//! A generator of HTTP load: one thread, epoll, keep-alive; bodies are thrown away by the kernel.

use std::io::{Error, ErrorKind, Result, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{RecvFlags, recv};

/// Longest head that is understood.
const HEAD_MAX: usize = 2048;

struct Caller {
    socket: TcpStream,
    /// Which path comes next.
    nth: usize,
    /// Bytes of the body still to come; `None` before its head.
    left: Option<usize>,
}

/// Connections that ask without pause.
pub(crate) struct Load {
    poll: Poll,
    callers: Vec<Caller>,
    /// How many paths further a connection's next request is.
    stride: usize,
    requests: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    /// Answers read whole.
    pub(crate) answers: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
}

impl Load {
    /// Connects; every connection asks for the paths in turn.
    pub(crate) fn start(address: SocketAddr, paths: &[String], count: usize) -> Result<Self> {
        Self::striding(address, paths, count, 1)
    }

    /// Connects; each path is asked for once, by one of the connections, before any is again.
    pub(crate) fn once(address: SocketAddr, paths: &[String], count: usize) -> Result<Self> {
        Self::striding(address, paths, count, count)
    }

    fn striding(address: SocketAddr, paths: &[String], count: usize, stride: usize) -> Result<Self> {
        let requests =
            paths.iter().map(|p| format!("GET {p} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes());
        let poll = Poll::new()?;
        let mut callers = Vec::with_capacity(count);
        for nth in 0..count {
            let socket = std::net::TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(nth), Interest::READABLE)?;
            callers.push(Caller { socket, nth, left: None });
        }
        let requests = requests.collect();
        let mut load =
            Self { poll, callers, stride, requests, buffer: vec![0; 1 << 20], answers: 0, bytes: 0 };
        for nth in 0..count {
            load.ask(nth)?;
        }
        Ok(load)
    }

    fn ask(&mut self, nth: usize) -> Result<()> {
        let caller = &mut self.callers[nth];
        let request = &self.requests[caller.nth % self.requests.len()];
        caller.nth += self.stride;
        caller.left = None;
        caller.socket.write_all(request)
    }

    /// Goes on for this long.
    ///
    /// # Errors
    /// A connection broke, or an answer was not 200.
    pub(crate) fn run(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let mut events = Events::with_capacity(256);
        while Instant::now() < end {
            self.poll.poll(&mut events, Some(Duration::from_millis(50)))?;
            for event in &events {
                self.read(event.token().0)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, nth: usize) -> Result<()> {
        loop {
            let caller = &mut self.callers[nth];
            let socket = &caller.socket;
            let (asked, flags) = match caller.left {
                None => (HEAD_MAX, RecvFlags::empty()),
                Some(left) => (left.min(self.buffer.len()), RecvFlags::TRUNC),
            };
            let len = match recv(socket, &mut self.buffer[..asked], flags) {
                Ok((0, _)) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok((len, _)) => len,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let left = match caller.left {
                Some(left) => left - len,
                None => {
                    let (head, length) = head(&self.buffer[..len])?;
                    self.bytes += length as u64;
                    head + length - len
                }
            };
            caller.left = Some(left);
            if left == 0 {
                self.answers += 1;
                self.ask(nth)?;
                return Ok(());
            }
            if len < asked {
                return Ok(());
            }
        }
    }
}

/// Lengths of the head and of the body.
fn head(bytes: &[u8]) -> Result<(usize, usize)> {
    let what = || Error::other(String::from_utf8_lossy(bytes).into_owned());
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(what)? + 4;
    let text = std::str::from_utf8(&bytes[..end]).map_err(Error::other)?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    if text.starts_with("HTTP/1.1 200") { Ok((end, length.ok_or_else(what)?)) } else { Err(what()) }
}
