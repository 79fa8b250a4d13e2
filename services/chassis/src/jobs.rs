//! Work that is done later: durable, leased, tried again with growing pauses.
//!
//! A job that is taken is due again when its lease ends: one whose worker died comes back by itself. The lease has a
//! number, and what a worker says of a job under an old number is not heard.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::ctx::Ctx;
use crate::events::{back_off_ms, cause};
use crate::problem::Problem;
use crate::{args, row};
use nx_db::{DbError, Value};
use nx_mesh::Cron;

/// How long a worker has a job before it must say that it is still at it.
const LEASE: Duration = Duration::from_secs(60);
/// Longest that a job may take.
const RUN_MAX: Duration = Duration::from_secs(600);
/// Times that a job is tried before it is laid aside.
const ATTEMPTS_MAX: i64 = 8;

/// A job to be done.
#[derive(Debug)]
pub struct NewJob {
    pub(crate) kind: &'static str,
    pub(crate) body: Json,
    pub(crate) due_ms: Option<i64>,
    pub(crate) unique_key: Option<String>,
}

impl NewJob {
    /// A job of a kind that the service declares, due at once.
    pub fn new(kind: &'static str, body: &impl Serialize) -> Self {
        Self { kind, body: serde_json::to_value(body).unwrap_or_default(), due_ms: None, unique_key: None }
    }

    /// Not before this moment, Unix milliseconds.
    pub fn due(self, unix_ms: i64) -> Self {
        Self { due_ms: Some(unix_ms), ..self }
    }

    /// Only if there is none under this key yet.
    pub fn unique(self, key: impl Into<String>) -> Self {
        Self { unique_key: Some(key.into()), ..self }
    }
}

/// A job that a worker has.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: String,
    kind: String,
    body: Json,
    /// Which try this is, from 1.
    pub attempts: i64,
    lease: i64,
}
row!(Job { id, kind, attempts, lease } json { body });

impl Job {
    /// Whether it is laid aside when this try fails.
    pub fn is_last_try(&self) -> bool {
        self.attempts >= ATTEMPTS_MAX
    }

    /// What it was given.
    ///
    /// # Errors
    /// When it is of another shape.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_value(self.body.clone())
            .map_err(|e| Problem::internal(format!("job {}: {e}", self.kind)))
    }

    /// Says how far it is, percent, and that it is still worked at.
    ///
    /// # Errors
    /// When the lease has been lost: stop.
    pub async fn progress(&self, cx: &Ctx, percent: u16) -> Result<(), Problem> {
        let sql =
            "UPDATE chassis_job SET progress = $1, due_ms = $2 WHERE id = $3 AND lease = $4 AND state = 0";
        self.tell(cx, sql, args![percent, cx.now_ms() + lease_ms(), &self.id, self.lease]).await
    }

    async fn tell(&self, cx: &Ctx, sql: &'static str, args: Vec<Value>) -> Result<(), Problem> {
        let lost = || Problem::conflict("lease-lost", "another worker has the job");
        if cx.run(sql, args).await? > 0 { Ok(()) } else { Err(lost()) }
    }
}

fn lease_ms() -> i64 {
    i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX)
}

type Done = Pin<Box<dyn Future<Output = Result<(), Problem>> + Send>>;
type Work = Arc<dyn Fn(Ctx, Job) -> Done + Send + Sync>;

/// What a service can do later, by kind; and when it does so by itself.
#[derive(Clone, Default)]
pub(crate) struct Works {
    works: BTreeMap<&'static str, Work>,
    crons: Vec<(&'static str, &'static str)>,
}

impl Works {
    pub(crate) fn add<F, D>(&mut self, kind: &'static str, work: F)
    where
        F: Fn(Ctx, Job) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        self.works.insert(kind, Arc::new(move |cx, job| Box::pin(work(cx, job))));
    }

    pub(crate) fn every(&mut self, cron: &'static str, kind: &'static str) {
        self.crons.push((cron, kind));
    }
}

/// Puts down the next time of each job that comes by itself.
pub(crate) async fn plan(cx: &Ctx) -> Result<(), Problem> {
    let mut tx = cx.begin();
    for (cron, kind) in &cx.service().works.crons {
        let cron: Cron = cron.parse().map_err(Problem::internal)?;
        if let Some(at_ms) = cron.next_after(cx.now_ms(), chrono_tz::UTC) {
            tx.enqueue(NewJob::new(kind, &()).due(at_ms).unique(format!("{kind} at {at_ms}"))).await?;
        }
    }
    Ok(tx.commit_quietly().await?)
}

/// Takes jobs that are due, `most` of them.
pub(crate) async fn take(cx: &Ctx, most: usize) -> Result<Vec<Job>, DbError> {
    let sql = cx.db().pick(
        "UPDATE chassis_job SET lease = lease + 1, attempts = attempts + 1, due_ms = $1 WHERE id IN (SELECT id FROM \
         chassis_job WHERE state = 0 AND due_ms <= $2 ORDER BY due_ms LIMIT $3) RETURNING id, kind, body, attempts, lease",
        "UPDATE chassis_job SET lease = lease + 1, attempts = attempts + 1, due_ms = $1 WHERE id IN (SELECT id FROM \
         chassis_job WHERE state = 0 AND due_ms <= $2 ORDER BY due_ms LIMIT $3 FOR UPDATE SKIP LOCKED) \
         RETURNING id, kind, body, attempts, lease",
    );
    let now_ms = cx.now_ms();
    let mut tx = cx.begin();
    let jobs =
        tx.all(sql, args![now_ms + lease_ms(), now_ms, i64::try_from(most).unwrap_or(i64::MAX)]).await?;
    tx.commit_quietly().await?;
    Ok(jobs)
}

/// Does a job that was taken, and says how it went.
pub(crate) async fn work(cx: &Ctx, job: Job) {
    let outcome = match cx.service().works.works.get(job.kind.as_str()) {
        // On its own, so that a panic is a failure like others.
        Some(work) => leased(cx, &job, tokio::spawn(work(cx.clone(), job.clone()))).await,
        None => Err(Problem::internal(format!("nobody does jobs of kind {}", job.kind))),
    };
    let told = match outcome {
        Ok(()) => {
            let sql = "UPDATE chassis_job SET state = 1, progress = 100, error = NULL, body = '' WHERE id = $1 AND lease = $2";
            job.tell(cx, sql, args![&job.id, job.lease]).await
        }
        Err(problem) => {
            let state = if job.is_last_try() { 2 } else { 0 };
            let (id, kind, attempts) = (&job.id, &job.kind, job.attempts);
            tracing::warn!(service = cx.service().id, id, kind, attempts, dead = state == 2, %problem, "job failed");
            let sql =
                "UPDATE chassis_job SET state = $1, due_ms = $2, error = $3 WHERE id = $4 AND lease = $5";
            let due_ms = cx.now_ms() + back_off_ms(job.attempts);
            job.tell(cx, sql, args![state, due_ms, cause(&problem), &job.id, job.lease]).await
        }
    };
    if let Err(problem) = told {
        tracing::warn!(service = cx.service().id, job.id, %problem, "how a job went could not be written down");
    }
}

/// Waits for a job, and renews its lease as long as it runs.
async fn leased(
    cx: &Ctx,
    job: &Job,
    mut running: tokio::task::JoinHandle<Result<(), Problem>>,
) -> Result<(), Problem> {
    let sql = "UPDATE chassis_job SET due_ms = $1 WHERE id = $2 AND lease = $3 AND state = 0";
    let end = tokio::time::sleep(RUN_MAX);
    tokio::pin!(end);
    let problem = loop {
        tokio::select! {
            done = &mut running => return done.unwrap_or_else(|e| Err(Problem::internal(e))),
            () = &mut end => break Problem::internal("the job took too long"),
            () = cx.clock().sleep(LEASE / 3) => {
                if let Err(lost) = job.tell(cx, sql, args![cx.now_ms() + lease_ms(), &job.id, job.lease]).await {
                    break lost;
                }
            }
        }
    };
    running.abort();
    Err(problem)
}
