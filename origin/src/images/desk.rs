//! The desk at which one worker draws: started when there is work, replaced when it dies, at growing intervals.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use nx_delivery::{KeyFrame, Order, Problem, Still};
use nx_worker_protocol::{Grid, Reply, Request};
use tokio::time::Instant;

use super::trouble;
use crate::worker::{self, Worker};

/// Workers that one order may cost.
const ATTEMPTS: u32 = 4;
/// Workers that one key frame may cost before it is refused, and for how long it is.
const CRASHES_MAX: u32 = 3;
const REFUSED: Duration = Duration::from_secs(600);
/// Key frames under suspicion; the oldest is forgotten first.
const SUSPECTS_MAX: usize = 256;
/// After a crash the next worker starts so much later, twice as much after each further one, up to the most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// An order waits so long for a worker to be started, at most.
const WAIT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Desk {
    program: PathBuf,
    patience: Duration,
    worker: Option<Worker>,
    used: Instant,
    /// Without a picture in between.
    crashes: u32,
    not_before: Instant,
    /// Key frames by their bytes, how many workers they cost, and when the last.
    suspects: VecDeque<(u64, u32, Instant)>,
}

/// Why there is no sheet.
enum Failure {
    /// The worker died or hung, over this key frame if over one.
    Broken(io::Error, Option<u64>),
    /// The order cannot be carried out.
    Unreadable(String),
}

impl Desk {
    pub(crate) fn new(program: PathBuf, patience: Duration) -> Self {
        let now = Instant::now();
        let suspects = VecDeque::new();
        Self { program, patience, worker: None, used: now, crashes: 0, not_before: now, suspects }
    }

    /// There is a worker.
    pub(crate) fn is_busy(&self) -> bool {
        self.worker.is_some()
    }

    /// It had nothing to do for so long.
    pub(crate) fn rests(&self, idle: Duration) -> bool {
        self.worker.is_none() || self.used.elapsed() >= idle
    }

    pub(crate) async fn close(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.kill().await;
        }
    }

    /// Carries out an order, with as many workers as it takes and may cost.
    pub(crate) async fn draw(&mut self, order: &Order, crashes: &AtomicU64) -> Result<Bytes, Problem> {
        for _ in 0..ATTEMPTS {
            let mut worker = self.worker().await?;
            let drawn = self.draw_with(&mut worker, order).await;
            self.used = Instant::now();
            match drawn {
                Ok(jpeg) => {
                    (self.worker, self.crashes) = (Some(worker), 0);
                    return Ok(jpeg);
                }
                Err(Failure::Unreadable(why)) => {
                    self.worker = Some(worker);
                    let detail = format!("this key frame cannot be shown: {why}");
                    let slug = "picture-unreadable";
                    let problem =
                        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, "Picture not readable", detail);
                    return Err(problem.kept(2));
                }
                Err(Failure::Broken(error, suspect)) => {
                    worker.kill().await;
                    crashes.fetch_add(1, Ordering::Relaxed);
                    self.note_crash(suspect);
                    tracing::warn!(picture = order.name, %error, "the worker for pictures died and is replaced");
                    if error.kind() == io::ErrorKind::TimedOut {
                        return Err(trouble("the worker took too long"));
                    }
                }
            }
        }
        Err(trouble("the worker died over it again and again"))
    }

    async fn worker(&mut self) -> Result<Worker, Problem> {
        if let Some(worker) = self.worker.take() {
            return Ok(worker);
        }
        let pause = self.not_before.saturating_duration_since(Instant::now());
        if pause > WAIT_MAX {
            let seconds = u32::try_from(pause.as_secs()).unwrap_or(30) + 1;
            return Err(trouble("the worker for pictures keeps dying, see the log").retry_after(seconds));
        }
        tokio::time::sleep(pause).await;
        Worker::start(&self.program, false).await.map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return absent(&self.program);
            }
            self.note_crash(None);
            tracing::error!(%error, "{} does not start; no pictures", self.program.display());
            trouble("the worker for pictures does not start, see the log")
        })
    }

    fn note_crash(&mut self, suspect: Option<u64>) {
        let now = Instant::now();
        let pause = PAUSE.saturating_mul(1 << self.crashes.min(16)).min(PAUSE_MAX);
        (self.crashes, self.not_before) = (self.crashes.saturating_add(1), now + pause);
        let Some(id) = suspect else { return };
        let at = self.suspects.iter().position(|(of, ..)| *of == id);
        let cost = at.and_then(|at| self.suspects.remove(at)).map_or(0, |(_, cost, _)| cost);
        if self.suspects.len() >= SUSPECTS_MAX {
            self.suspects.pop_front();
        }
        self.suspects.push_back((id, cost + 1, now));
    }

    fn is_refused(&self, id: u64) -> bool {
        let refused =
            |&(of, cost, at): &(u64, u32, Instant)| of == id && cost >= CRASHES_MAX && at.elapsed() < REFUSED;
        self.suspects.iter().any(refused)
    }

    /// Key frames that cannot be drawn leave their cells black, unless all of them cannot.
    async fn draw_with(&self, worker: &mut Worker, order: &Order) -> Result<Bytes, Failure> {
        let &Order { columns, rows, width, height, .. } = order;
        let broken = |error| Failure::Broken(error, None);
        let grid = Grid { columns, rows, width, height };
        worker.tell(&Request::Sheet(grid), self.patience).await.map_err(broken)?;
        let (mut drawn, mut why) = (false, String::from("it is not stored any more"));
        for (cell, still) in &order.stills {
            let Some(KeyFrame { params, sample }) = load(still).await.map_err(Failure::Unreadable)? else {
                continue;
            };
            let id = identity(&params.config, &sample);
            if self.is_refused(id) {
                "workers died over it".clone_into(&mut why);
                continue;
            }
            let request = Request::Draw { cell: *cell, codec: params.codec, config: params.config, sample };
            match worker.ask(&request, self.patience).await {
                Ok(Reply::Drawn) => drawn = true,
                Ok(Reply::Failed(reason)) => why = reason,
                Ok(other) => return Err(Failure::Broken(out_of_turn(&other), Some(id))),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => why = error.to_string(),
                Err(error) => return Err(Failure::Broken(error, Some(id))),
            }
        }
        if !drawn {
            return Err(Failure::Unreadable(why));
        }
        match worker.ask(&Request::Finish, self.patience).await.map_err(broken)? {
            Reply::Jpeg(jpeg) => Ok(jpeg),
            Reply::Failed(reason) => Err(Failure::Unreadable(reason)),
            other => Err(broken(out_of_turn(&other))),
        }
    }
}

async fn load(still: &Still) -> Result<Option<KeyFrame>, String> {
    let still = still.clone();
    let loaded = tokio::task::spawn_blocking(move || still.load()).await;
    loaded
        .map_err(io::Error::other)
        .and_then(|loaded| loaded)
        .map_err(|e| format!("the store cannot be read: {e}"))
}

fn identity(config: &Bytes, sample: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    (config, sample).hash(&mut hasher);
    hasher.finish()
}

fn out_of_turn(reply: &Reply) -> io::Error {
    let what = match reply {
        Reply::Hello(_) => "Hello",
        Reply::Drawn => "Drawn",
        Reply::Failed(_) => "Failed",
        Reply::Jpeg(_) => "Jpeg",
        _ => "something about a ladder",
    };
    io::Error::other(format!("it said {what} out of turn"))
}

fn absent(program: &std::path::Path) -> Problem {
    let detail = format!("pictures are made by a worker, and {}", worker::absent(program));
    Problem::new(StatusCode::NOT_IMPLEMENTED, "no-worker", "Nothing here makes pictures", detail)
}
