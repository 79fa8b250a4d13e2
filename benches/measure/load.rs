//! A generator of HTTP load: one thread, epoll, keep-alive; bodies are thrown away by the kernel.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{RecvFlags, recv};

use super::pass;

/// Longest head that is understood.
const HEAD_MAX: usize = 2048;
/// Longest time between two looks at answers: what a latency may be too long by.
const LOOK: Duration = Duration::from_micros(100);
/// Longest wait for answers that are late.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let mut load = Self::still(address, paths, "", count)?;
        load.stride = stride;
        load.ask_all()?;
        Ok(load)
    }

    /// Has every connection ask.
    pub(crate) fn ask_all(&mut self) -> Result<()> {
        (0..self.callers.len()).try_for_each(|nth| self.ask(nth))
    }

    /// Connects and asks nothing yet; `headers` are lines that every request has besides.
    pub(crate) fn still(address: SocketAddr, paths: &[String], headers: &str, count: usize) -> Result<Self> {
        let request =
            |path: &String| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").into_bytes();
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
        let (requests, buffer) = (paths.iter().map(request).collect(), vec![0; 1 << 20]);
        Ok(Self { poll, callers, stride: 1, requests, buffer, answers: 0, bytes: 0 })
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
                if self.read(event.token().0)? {
                    self.ask(event.token().0)?;
                }
            }
        }
        Ok(())
    }

    /// Sends `per_s` requests a second by the clock, whether or not others are answered: how long after its due time each
    /// was answered. One that finds no connection free waits, and its time runs.
    ///
    /// # Errors
    /// As [`Load::run`], or answers are ten seconds late.
    pub(crate) fn paced(&mut self, per_s: u32, time: Duration) -> Result<Vec<Duration>> {
        let (apart, start) = (Duration::from_secs(1) / per_s, Instant::now());
        let all = (time.as_nanos() / apart.as_nanos()) as u32;
        let mut free: Vec<usize> = (0..self.callers.len()).collect();
        let mut asked = vec![start; self.callers.len()];
        let (mut nth, mut due, mut took) = (0, VecDeque::new(), Vec::with_capacity(all as usize));
        let mut events = Events::with_capacity(256);
        while took.len() < all as usize {
            while nth < all && start.elapsed() >= apart * nth {
                due.push_back(start + apart * nth);
                nth += 1;
            }
            while let (Some(&at), Some(&caller)) = (due.front(), free.last()) {
                self.ask(caller)?;
                asked[caller] = at;
                due.pop_front();
                free.pop();
            }
            self.poll.poll(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                let caller = event.token().0;
                if self.read(caller)? {
                    took.push(asked[caller].elapsed());
                    free.push(caller);
                }
            }
            if start.elapsed() > time + PATIENCE {
                return Err(Error::other(format!(
                    "{} of {all} requests are not answered",
                    all as usize - took.len()
                )));
            }
            // Finer than the poll can wait.
            pass((apart * nth).saturating_sub(start.elapsed()).min(LOOK));
        }
        Ok(took)
    }

    /// Has every connection ask, and waits until all are answered.
    ///
    /// # Errors
    /// As [`Load::run`], or an answer is ten seconds late.
    pub(crate) fn each(&mut self) -> Result<()> {
        let (mut left, end) = (self.callers.len(), Instant::now() + PATIENCE);
        let mut events = Events::with_capacity(256);
        self.ask_all()?;
        while left > 0 {
            self.poll.poll(&mut events, Some(Duration::from_millis(50)))?;
            for event in &events {
                left -= usize::from(self.read(event.token().0)?);
            }
            if Instant::now() > end {
                return Err(Error::other(format!("{left} connections are not answered")));
            }
        }
        Ok(())
    }

    /// Reads what is there; whether the answer is whole.
    fn read(&mut self, nth: usize) -> Result<bool> {
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
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
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
                return Ok(true);
            }
            if len < asked {
                return Ok(false);
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
