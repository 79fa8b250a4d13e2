//! The floor: a process that does nothing but wait, receive, and send bytes of its own. No server that goes
//! by `epoll` and `send` can be cheaper under this load, whatever it is written in.

use std::io::{ErrorKind, IoSlice, Read, Result, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, openat, sendfile};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};
use rustix::net::{SendFlags, send};

/// Set in the process that serves.
const SERVING: &str = "NEXUS_BENCH_CANNED";
const LISTENER: Token = Token(usize::MAX);
/// As long as the heads of ours, with room for a length.
const HEAD: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-length: 00000000\r\n",
    "cache-control: max-age=3600\r\n",
    "x: ...................................................................\r\n",
    "x: ................................................................................................\r\n",
    "x: ................................................................................................\r\n",
    "x: ................................................................................................\r\n\r\n",
);
const LENGTH_AT: Range<usize> = 33..41;
/// From here on `sendfile` is cheaper than a copy.
const FILE_MIN: usize = 64 << 10;
const BODY_MAX: usize = 4 << 20;
/// Longest request, which comes in one piece; bytes.
const REQUEST_MAX: usize = 4096;

/// The process; killed when dropped.
pub(crate) struct Canned {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Canned {
    /// Starts this program once more, as a server that answers `GET /…/LENGTH` with so many bytes.
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.env(SERVING, "1").stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = [0; 32];
        let len = child.stdout.as_mut().map_or(Ok(0), |out| out.read(&mut line))?;
        let text = std::str::from_utf8(&line[..len]).map_err(std::io::Error::other)?;
        Ok(Self { child, address: text.trim().parse().map_err(std::io::Error::other)? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves for ever, if this is the process for it.
pub(crate) fn serve_if_asked() -> Result<()> {
    if std::env::var_os(SERVING).is_none() {
        return Ok(());
    }
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut events, mut peers, mut store) = (Events::with_capacity(1024), Vec::new(), Store::new()?);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    socket.set_nodelay(true)?;
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut socket, Token(peers.len()), both)?;
                    peers.push(Some(Peer { socket, len: 0, left: 0 }));
                }
            } else if let Some(place) = peers.get_mut(event.token().0)
                && place.as_mut().is_some_and(|peer| peer.step(&mut store).is_err())
            {
                *place = None;
            }
        }
    }
}

struct Peer {
    socket: TcpStream,
    /// Length of the body that is being sent, and what of it is left.
    len: usize,
    left: usize,
}

impl Peer {
    fn step(&mut self, store: &mut Store) -> Result<()> {
        if self.left == 0 {
            let mut request = [0; REQUEST_MAX];
            let len = match self.socket.read(&mut request) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.len = length(&request[..len]).min(BODY_MAX);
            self.left = self.len;
            put(self.len, &mut store.head[LENGTH_AT]);
            if self.len >= FILE_MIN {
                send(&self.socket, &store.head, SendFlags::MORE)?;
            } else {
                let slices = [IoSlice::new(&store.head), IoSlice::new(&store.bytes[..self.len])];
                // A socket that was read empty takes a head.
                self.left -= self.socket.write_vectored(&slices)?.saturating_sub(HEAD.len());
            }
        }
        while self.left > 0 {
            let from = self.len - self.left;
            let sent = match self.len >= FILE_MIN {
                true => sendfile(&self.socket, &store.file, Some(&mut (from as u64)), self.left),
                false => send(&self.socket, &store.bytes[from..self.len], SendFlags::empty()),
            };
            match sent {
                Ok(sent) => self.left -= sent,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The number that the last part of the path begins with.
fn length(request: &[u8]) -> usize {
    let path = request.split(|b| matches!(b, b' ' | b'?')).nth(1).unwrap_or_default();
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let digits = last.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |n, b| n * 10 + usize::from(b - b'0'))
}

/// What is sent: in a file, on huge pages where that is allowed, and in memory.
struct Store {
    head: Vec<u8>,
    bytes: Vec<u8>,
    file: OwnedFd,
}

impl Store {
    fn new() -> Result<Self> {
        let unnamed = OFlags::TMPFILE | OFlags::RDWR;
        let file = huge_tmpfs().and_then(|fs| openat(fs, ".", unnamed, Mode::RUSR | Mode::WUSR));
        let file = file.or_else(|_| memfd_create("canned", MemfdFlags::CLOEXEC))?;
        let bytes = vec![7; BODY_MAX];
        rustix::io::pwrite(&file, &bytes, 0)?;
        Ok(Self { head: HEAD.as_bytes().to_vec(), bytes, file })
    }
}

/// Writes a number in decimal, with leading zeros.
fn put(mut number: usize, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn huge_tmpfs() -> rustix::io::Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "huge", "always")?;
    fsconfig_create(&fs)?;
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}
