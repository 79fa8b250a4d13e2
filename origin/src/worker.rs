//! A worker process, as seen from the server.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nx_worker_protocol::{LENGTH, Reply, Request, VERSION, frame_len};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

/// The program beside the server's.
const PROGRAM: &str = "nexus-transcoder";
/// Has it open devices.
const HARDWARE: &str = "--hardware";
/// How long a worker may take to say what it is: it loads some hundred libraries.
pub(crate) const START: Duration = Duration::from_secs(10);
/// After a crash the next worker starts so much later, twice as much after each further one, up to the most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    pub(crate) input: Input,
    pub(crate) output: Output,
}

/// What is said to it.
#[derive(Debug)]
pub(crate) struct Input(ChildStdin);

/// What it says.
#[derive(Debug)]
pub(crate) struct Output(BufReader<ChildStdout>);

/// What is said where there is none.
pub(crate) fn absent(program: &Path) -> String {
    format!(
        "nexus-transcoder is not at {}; `make transcoder` builds it, origin.images.worker names another place",
        program.display()
    )
}

/// The program that is wanted, or the one beside the server's.
pub(crate) fn program(wanted: Option<&Path>) -> PathBuf {
    named(wanted, PROGRAM)
}

/// The same for a program of another name.
pub(crate) fn named(wanted: Option<&Path>, name: &str) -> PathBuf {
    let beside = || std::env::current_exe().ok()?.parent().map(|folder| folder.join(name));
    wanted.map(Path::to_path_buf).or_else(beside).unwrap_or_else(|| name.into())
}

/// Starts a program with nothing of ours but a pair of pipes; it is killed when dropped.
pub(crate) fn spawn(program: &Path, option: Option<&str>) -> io::Result<(Child, ChildStdin, ChildStdout)> {
    let mut child = Command::new(program)
        .args(option)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => Ok((child, input, output)),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Why a worker's pipe broke: the way in which it ended, if it did so by itself.
pub(crate) fn ended(error: io::Error, status: Option<ExitStatus>) -> io::Error {
    match status {
        Some(status) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => {
            io::Error::other(status.to_string())
        }
        _ => error,
    }
}

/// How often workers died, and what follows from it.
#[derive(Debug)]
pub(crate) struct Crashes {
    max: usize,
    within: Duration,
    times: VecDeque<Instant>,
}

impl Crashes {
    /// `max` of them `within` the time are one too many.
    pub(crate) fn new(max: usize, within: Duration) -> Self {
        Self { max, within, times: VecDeque::new() }
    }

    /// One more died of `error`: how long to wait before another is started, or why none is.
    pub(crate) fn note(&mut self, now: Instant, error: &io::Error) -> Result<Duration, String> {
        self.times.push_back(now);
        while self.times.front().is_some_and(|at| now.duration_since(*at) > self.within) {
            self.times.pop_front();
        }
        let count = self.times.len();
        let doubled = u32::try_from(count - 1).unwrap_or(16).min(16);
        if count < self.max {
            return Ok(PAUSE.saturating_mul(1 << doubled).min(PAUSE_MAX));
        }
        let within_s = self.within.as_secs();
        Err(format!("the worker died {count} times within {within_s} s: {error}"))
    }
}

impl Worker {
    /// Starts one, with nothing of ours but a pair of pipes; with `hardware` it may open devices.
    ///
    /// # Errors
    /// It does not start, or is of another version.
    pub(crate) async fn start(program: &Path, hardware: bool) -> io::Result<Self> {
        let (child, input, output) = spawn(program, hardware.then_some(HARDWARE))?;
        let mut worker = Self { child, input: Input(input), output: Output(BufReader::new(output)) };
        match timeout(START, worker.output.hear()).await?? {
            Reply::Hello(VERSION) => Ok(worker),
            other => Err(io::Error::other(format!(
                "it says {other:?}, not that it speaks version {VERSION}; build it from the same sources"
            ))),
        }
    }

    /// Its number in this system.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Says something that has no answer. [`io::ErrorKind::InvalidInput`] when it cannot be said at all.
    pub(crate) async fn tell(&mut self, request: &Request, patience: Duration) -> io::Result<()> {
        timeout(patience, self.input.tell(request)).await?
    }

    /// Says something and waits for the answer.
    pub(crate) async fn ask(&mut self, request: &Request, patience: Duration) -> io::Result<Reply> {
        self.tell(request, patience).await?;
        timeout(patience, self.output.hear()).await?
    }

    /// Kills it, and waits until it is gone; gives how it ended, which may have been before.
    pub(crate) async fn kill(mut self) -> Option<ExitStatus> {
        let _ = self.child.start_kill();
        self.child.wait().await.ok()
    }
}

impl Input {
    /// As [`Worker::tell`], however long it takes.
    pub(crate) async fn tell(&mut self, request: &Request) -> io::Result<()> {
        let frame = request.write().map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        self.send(&frame).await
    }

    /// The same with a request that is written already.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.0.write_all(frame).await
    }
}

impl Output {
    /// The next that it says.
    pub(crate) async fn hear(&mut self) -> io::Result<Reply> {
        let mut length = [0; LENGTH];
        self.0.read_exact(&mut length).await?;
        let mut frame = vec![0; frame_len(length).map_err(io::Error::other)?];
        self.0.read_exact(&mut frame).await?;
        Reply::read(frame.into()).map_err(io::Error::other)
    }
}
