//! Light RTMP publishers: one write per message at its due time, from a clip in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nx_container::flv::{self, TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO};
use nx_rtmp::client::{Config, Event, Intent, Output, Session};
use nx_rtmp::{Limits, NONCE_LEN};

/// How long a server may take to answer, or to make room for one message.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks for what the server sent (acknowledgements, or its goodbye).
const LISTEN: Duration = Duration::from_secs(1);
const CHUNK: u32 = 4096;

/// One message of a clip.
#[derive(Debug)]
pub(crate) struct Tag {
    /// [`TAG_AUDIO`], [`TAG_VIDEO`] or [`TAG_SCRIPT`].
    pub(crate) kind: u8,
    pub(crate) at_ms: u32,
    pub(crate) body: Vec<u8>,
}

impl Tag {
    /// Configuration rather than media: sent once.
    fn is_head(&self) -> bool {
        self.kind == TAG_SCRIPT || self.body.get(1) == Some(&0)
    }

    fn is_key(&self) -> bool {
        self.kind == TAG_VIDEO && self.body.first() == Some(&0x17)
    }
}

/// An FLV file in memory, ready to be repeated for ever.
#[derive(Debug)]
pub(crate) struct Clip {
    head: Vec<Tag>,
    frames: Vec<Tag>,
    loop_ms: u32,
}

impl Clip {
    /// Reads a clip of whole seconds; what goes past them is left out, so that it repeats without a seam.
    pub(crate) fn load(path: &Path, seconds: u32) -> Self {
        let file = std::fs::read(path).expect("a clip can be read");
        let tags = flv::tags(&file).map(|(kind, at_ms, body)| Tag { kind, at_ms, body: body.to_vec() });
        let (head, mut frames): (Vec<_>, Vec<_>) =
            tags.filter(|t| !t.body.is_empty()).partition(Tag::is_head);
        let start = |kind| frames.iter().find(|t: &&Tag| t.kind == kind).map_or(0, |t| t.at_ms);
        let (audio, video) = (start(TAG_AUDIO), start(TAG_VIDEO));
        let loop_ms = seconds * 1000;
        // Half a frame early: milliseconds are rounded.
        frames.retain(|t| t.at_ms + 8 < loop_ms + if t.kind == TAG_AUDIO { audio } else { video });
        assert!(!frames.is_empty(), "{} is no FLV file", path.display());
        Self { head, frames, loop_ms }
    }

    /// Bytes of media per second.
    pub(crate) fn bytes_per_s(&self) -> f64 {
        let bytes: usize = self.frames.iter().map(|t| t.body.len()).sum();
        bytes as f64 * 1000.0 / f64::from(self.loop_ms)
    }

    /// Time between the first two key frames; the whole clip when there are none.
    fn gop_ms(&self) -> u32 {
        let mut keys = self.frames.iter().filter(|t| t.is_key()).map(|t| t.at_ms);
        let (first, second) = (keys.next(), keys.next());
        first.zip(second).map_or(self.loop_ms, |(a, b)| b - a)
    }

    /// The frame number `nth` of the endless repetition, with its time.
    fn frame(&self, nth: usize) -> (&Tag, u32) {
        let tag = &self.frames[nth % self.frames.len()];
        let round = u32::try_from(nth / self.frames.len()).expect("a test does not last for years");
        (tag, tag.at_ms + round * self.loop_ms)
    }
}

/// Dials and negotiates until the server accepts.
///
/// # Errors
/// What the server said, or that it said nothing in time.
pub(crate) fn dial(
    address: SocketAddr,
    app: &str,
    stream: &str,
    intent: Intent,
) -> Result<(TcpStream, Session)> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let (app, stream) = (app.to_owned(), stream.to_owned());
    let tc_url = format!("rtmp://{address}/{app}");
    let limits = Limits::default();
    let config = Config { app, stream, tc_url, intent, chunk_size_out: CHUNK, limits };
    let mut session = Session::new(config, [7; NONCE_LEN]);
    let mut buffer = [0; 4096];
    loop {
        while let Some(output) = session.poll() {
            match output {
                Output::Send(bytes) => socket.write_all(&bytes)?,
                Output::Event(Event::Ready) => return Ok((socket, session)),
                Output::Event(Event::Status { code, level, description }) if level == "error" => {
                    return Err(Error::other(format!("{code}: {description}")));
                }
                Output::Event(_) => {}
            }
        }
        let len = socket.read(&mut buffer)?;
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        session.handle(0, &buffer[..len]).map_err(Error::other)?;
    }
}

/// A publisher.
pub(crate) struct Publisher {
    socket: TcpStream,
    session: Session,
    clip: Arc<Clip>,
    next: usize,
    /// Added to every time stamp.
    shift_ms: u32,
    began: Option<Instant>,
    listened: Instant,
    /// Written so far.
    pub(crate) bytes: u64,
}

impl Publisher {
    /// Dials; returns when the server has accepted.
    ///
    /// # Errors
    /// As [`dial`].
    pub(crate) fn connect(address: SocketAddr, app: &str, stream: &str, clip: &Arc<Clip>) -> Result<Self> {
        let (socket, session) = dial(address, app, stream, Intent::Publish)?;
        let (clip, listened) = (clip.clone(), Instant::now());
        Ok(Self { socket, session, clip, next: 0, shift_ms: 0, began: None, listened, bytes: 0 })
    }

    /// Sends what is due until then; `before` sees each frame just before it is written.
    ///
    /// # Errors
    /// The server closed the connection, or took nothing for too long.
    pub(crate) fn send_until(&mut self, until: Instant, mut before: impl FnMut(&Tag)) -> Result<()> {
        self.begin(Instant::now())?;
        loop {
            let due = self.due();
            if due >= until {
                wait_until(until);
                return Ok(());
            }
            wait_until(due);
            before(self.clip.frame(self.next).0);
            self.send_frame()?;
        }
    }

    /// Time stamps begin anew at 0, within the connection.
    pub(crate) fn restart_time(&mut self) {
        self.shift_ms = 0_u32.wrapping_sub(self.clip.frame(self.next).1);
    }

    /// Sends the configuration; the first frame is due `at` that time.
    fn begin(&mut self, at: Instant) -> Result<()> {
        if self.began.is_some() {
            return Ok(());
        }
        self.began = Some(at);
        let clip = self.clip.clone();
        clip.head.iter().try_for_each(|tag| self.send(tag.kind, 0, &tag.body))
    }

    /// When the next frame is due; now, when the first one has not been sent.
    fn due(&self) -> Instant {
        let first = self.clip.frame(0).1;
        let media = Duration::from_millis(u64::from(self.clip.frame(self.next).1.saturating_sub(first)));
        self.began.unwrap_or_else(Instant::now) + media
    }

    fn send_frame(&mut self) -> Result<()> {
        let clip = self.clip.clone();
        let (tag, at_ms) = clip.frame(self.next);
        self.next += 1;
        self.send(tag.kind, at_ms.wrapping_add(self.shift_ms), &tag.body)?;
        self.listen()
    }

    /// Sends one message now.
    ///
    /// # Errors
    /// As [`Publisher::send_until`].
    pub(crate) fn send(&mut self, kind: u8, at_ms: u32, body: &[u8]) -> Result<()> {
        let message = match kind {
            TAG_AUDIO => self.session.write_audio(at_ms, body),
            TAG_VIDEO => self.session.write_video(at_ms, body),
            _ => self.session.write_metadata(at_ms, body),
        };
        self.bytes += message.len() as u64;
        self.socket.write_all(&message)
    }

    /// Ends politely.
    pub(crate) fn close(mut self) {
        self.session.close();
        while let Some(Output::Send(bytes)) = self.session.poll() {
            let _ = self.socket.write_all(&bytes);
        }
    }

    /// Takes what the server said, now and then.
    fn listen(&mut self) -> Result<()> {
        if self.listened.elapsed() < LISTEN {
            return Ok(());
        }
        self.listened = Instant::now();
        self.socket.set_nonblocking(true)?;
        let heard = self.hear();
        self.socket.set_nonblocking(false)?;
        heard
    }

    fn hear(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => self.session.handle(0, &buffer[..len]).map_err(Error::other)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => self.socket.write_all(&bytes)?,
                Output::Event(Event::Status { code, level, description }) if level == "error" => {
                    return Err(Error::other(format!("{code}: {description}")));
                }
                Output::Event(_) => {}
            }
        }
        Ok(())
    }
}

fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

/// Many publishers in one thread, their key frames spread over one GOP.
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<u32>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    measuring: AtomicBool,
    bytes: AtomicU64,
    fallen: AtomicUsize,
}

/// How a fleet fared.
#[derive(Debug)]
pub(crate) struct Report {
    /// Publishers that lost their connection.
    pub(crate) fallen: usize,
    /// How late messages were written while being measured: 95 of 100 were not later. Milliseconds.
    pub(crate) late_p95_ms: f64,
}

impl Fleet {
    /// Stream names of a fleet.
    pub(crate) fn names(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|n| format!("bench{n:03}"))
    }

    /// Connects `live/bench000` and so on; returns when all are accepted and begin to send.
    ///
    /// # Errors
    /// As [`dial`].
    pub(crate) fn start(address: SocketAddr, count: usize, clip: &Arc<Clip>) -> Result<Self> {
        let names: Vec<String> = Self::names(count).collect();
        // Some servers take 50 ms for the dialogue, so several dial at a time.
        let fleet: Result<Vec<Publisher>> = std::thread::scope(|scope| {
            let dial = |names| move || dial_all(address, names, clip);
            let dialling: Vec<_> = names.chunks(count.div_ceil(8)).map(|n| scope.spawn(dial(n))).collect();
            let each = dialling.into_iter().map(|d| d.join().expect("dialling does not panic"));
            each.collect::<Result<Vec<_>>>().map(|all| all.into_iter().flatten().collect())
        });
        let fleet = fleet?;
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || sail(fleet, &theirs));
        Ok(Self { shared, thread })
    }

    /// From now on lateness counts.
    pub(crate) fn measure(&self) {
        self.shared.measuring.store(true, Ordering::Relaxed);
    }

    /// Bytes written so far by all.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Stops all and tells how it went.
    pub(crate) fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut late_us = self.thread.join().expect("a fleet does not panic");
        late_us.sort_unstable();
        let p95 = late_us.get(late_us.len() * 95 / 100).copied().unwrap_or(0);
        Report { fallen: self.shared.fallen.load(Ordering::Relaxed), late_p95_ms: f64::from(p95) / 1000.0 }
    }
}

fn dial_all(address: SocketAddr, names: &[String], clip: &Arc<Clip>) -> Result<Vec<Publisher>> {
    names.iter().map(|name| Publisher::connect(address, "live", name, clip)).collect()
}

/// Sends for all until told to stop; how late each message was, in microseconds.
fn sail(mut fleet: Vec<Publisher>, shared: &Shared) -> Vec<u32> {
    let Some(first) = fleet.first() else { return Vec::new() };
    let spread =
        Duration::from_millis(u64::from(first.clip.gop_ms())) / u32::try_from(fleet.len()).unwrap_or(1);
    let start = Instant::now();
    let turn = |n: usize| start + spread * u32::try_from(n).unwrap_or(0);
    let mut due: BinaryHeap<_> = (0..fleet.len()).map(|n| Reverse((turn(n), n))).collect();
    let mut late_us = Vec::new();
    while let Some(Reverse((at, n))) = due.pop() {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        wait_until(at);
        if shared.measuring.load(Ordering::Relaxed) {
            late_us.push(u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        let publisher = &mut fleet[n];
        let before = publisher.bytes;
        if publisher.begin(at).and_then(|()| publisher.send_frame()).is_ok() {
            shared.bytes.fetch_add(publisher.bytes - before, Ordering::Relaxed);
            due.push(Reverse((publisher.due(), n)));
        } else {
            shared.fallen.fetch_add(1, Ordering::Relaxed);
        }
    }
    late_us
}
