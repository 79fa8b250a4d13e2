//! Workers of our own: each takes piece after piece, with a process for each piece.

use std::io;
use std::io::ErrorKind::{BrokenPipe, UnexpectedEof};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nx_contract::desired::Fault;
use nx_contract::titles::{Coded, Taken};
use nx_worker_protocol::Reply;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::hear::Hearing;
use super::{Jobs, LEASE_MS};
use crate::worker::{self, Input, Output, Worker};

/// Between two looks for work that nobody rang for: a lease that has run out.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// Longest silence of a worker.
const SILENCE: Duration = Duration::from_millis(LEASE_MS.unsigned_abs());

/// Works as long as the process lives.
pub(super) async fn keep(jobs: Arc<Jobs>, program: PathBuf, name: String) {
    loop {
        let came = jobs.came.notified();
        if !jobs.has_work() {
            let _ = timeout(LOOK, came).await;
            continue;
        }
        // Without a program nothing is taken: others may have one.
        match Worker::start(&program, jobs.hardware).await {
            Ok(worker) => {
                // What went wrong goes wrong at once again: a full disk, a worker that dies.
                if !work(&jobs, worker, &name).await {
                    sleep(LOOK).await;
                }
            }
            Err(error) => {
                jobs.trouble(&absent(&program, &error));
                let _ = timeout(LOOK, came).await;
            }
        }
    }
}

fn absent(program: &Path, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        worker::absent(program)
    } else {
        format!("no worker starts: {error}")
    }
}

/// Does one piece; whether that went well, or there was none.
async fn work(jobs: &Arc<Jobs>, mut worker: Worker, name: &str) -> bool {
    let name = worker.id().map_or_else(|| name.to_owned(), |pid| format!("{name} (process {pid})"));
    let (queue, by) = (jobs.clone(), name);
    let taken = spawn_blocking(move || {
        let Some(taken) = queue.take(&by)? else { return Ok(None) };
        Ok::<_, Fault>(Some((queue.hear(&taken.lease)?, taken)))
    });
    let taken = taken.await;
    let Ok(Ok(Some((mut hearing, Taken { input, .. })))) = taken else {
        worker.kill().await;
        return matches!(taken, Ok(Ok(None)));
    };
    let done = tokio::try_join!(feed(&mut worker.input, input), listen(&mut worker.output, &mut hearing));
    let status = worker.kill().await;
    let kept = spawn_blocking(move || {
        let Err(error) = done else { return Box::new(hearing).confirm().is_ok() };
        match status {
            // Of one that ended by itself.
            Some(status) if matches!(error.kind(), BrokenPipe | UnexpectedEof) => {
                hearing.give_up(&format!("its worker died: {status}"));
            }
            _ => hearing.give_up(&error.to_string()),
        }
        false
    });
    kept.await.unwrap_or(false)
}

async fn feed(
    worker: &mut Input,
    mut input: Box<dyn Iterator<Item = io::Result<Vec<u8>>> + Send>,
) -> io::Result<()> {
    loop {
        let next = spawn_blocking(move || (input.next(), input)).await;
        let (frame, rest) = next.map_err(io::Error::other)?;
        input = rest;
        let Some(frame) = frame else { return Ok(()) };
        worker.send(&frame?).await?;
    }
}

async fn listen(worker: &mut Output, hearing: &mut Hearing) -> io::Result<()> {
    loop {
        let reply = timeout(SILENCE, worker.hear())
            .await
            .map_err(|_| io::Error::other("its worker fell silent"))??;
        let frame = reply.write().map_err(io::Error::other)?;
        // A write goes to the page cache: no wait that matters.
        hearing.write(&frame).map_err(|fault| io::Error::other(fault.to_string()))?;
        if reply == Reply::Flushed {
            return Ok(());
        }
    }
}
