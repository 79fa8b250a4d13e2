//! All SQL of the scheduler.

use nx_chassis::{Ctx, DbError, Job, NewJob, Page, Problem, Time, Tx, Value, args};
use serde::{Deserialize, Serialize};

use super::FIRE;
use super::api::{Run, Schedule};

/// How long runs are kept.
const KEPT_MS: i64 = 90 * 24 * 3_600_000;

/// What a `fire` job is given: a schedule, and its time that has come.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fire {
    pub(super) schedule: String,
    pub(super) due_at: Time,
}

pub(super) async fn schedule(cx: &Ctx, id: &str) -> Result<Schedule, Problem> {
    let found = cx.db().one("SELECT * FROM schedule WHERE id = $1", args![id]).await?;
    found.ok_or_else(|| Problem::not_found("no such schedule"))
}

pub(super) async fn schedules(cx: &Ctx, page: &Page) -> Result<Vec<Schedule>, DbError> {
    let sql = "SELECT * FROM schedule WHERE id > $1 ORDER BY id LIMIT $2";
    cx.db().all(sql, args![&page.after, page.rows()]).await
}

pub(super) async fn add(tx: &mut Tx, s: &Schedule) -> Result<(), DbError> {
    let sql = "INSERT INTO schedule (id, cron, zone, service, path, body, missed, paused, next_at, version) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    tx.run(sql, columns(s)).await?;
    due(tx, s).await
}

/// Puts it in the place of the version before.
pub(super) async fn replace(tx: &mut Tx, s: &Schedule) -> Result<(), Problem> {
    let sql = "UPDATE schedule SET cron = $2, zone = $3, service = $4, path = $5, body = $6, missed = $7, \
               paused = $8, next_at = $9, version = $10 WHERE id = $1 AND version = $10 - 1";
    if tx.run(sql, columns(s)).await? == 0 {
        return Err(Problem::stale());
    }
    Ok(due(tx, s).await?)
}

fn columns(s: &Schedule) -> Vec<Value> {
    let (body, missed) = (Value::json(&s.body), Value::json(&s.missed));
    args![&s.id, &s.cron, &s.zone, &s.service, &s.path, body, missed, s.paused, s.next_at, s.version]
}

/// Has it fire at its next time.
async fn due(tx: &mut Tx, s: &Schedule) -> Result<(), DbError> {
    let Some(due_at) = s.next_at else { return Ok(()) };
    let (key, fire) =
        (format!("{} {} {}", s.id, s.version, due_at.0), Fire { schedule: s.id.clone(), due_at });
    tx.enqueue(NewJob::new(FIRE, &fire).due(due_at.0).unique(key)).await.map(drop)
}

/// Moves a schedule on from the time `due_at`; `false` when somebody has, or it has been changed.
pub(super) async fn advance(
    tx: &mut Tx,
    s: &mut Schedule,
    due_at: Time,
    next_at: Option<Time>,
) -> Result<bool, DbError> {
    let sql = "UPDATE schedule SET next_at = $1 WHERE id = $2 AND next_at = $3 AND version = $4";
    if tx.run(sql, args![next_at, &s.id, due_at, s.version]).await? == 0 {
        return Ok(false);
    }
    s.next_at = next_at;
    due(tx, s).await.map(|()| true)
}

/// Removes it; runs that wait are still done, the others are kept for a while.
pub(super) async fn remove(tx: &mut Tx, id: &str) -> Result<(), Problem> {
    match tx.run("DELETE FROM schedule WHERE id = $1", args![id]).await? {
        0 => Err(Problem::not_found("no such schedule")),
        _ => Ok(()),
    }
}

pub(super) async fn begin_run(
    tx: &mut Tx,
    cx: &Ctx,
    schedule: &str,
    due_ms: i64,
    by_hand: bool,
) -> Result<Run, DbError> {
    let sql = "INSERT INTO run (id, schedule, due_at, by_hand, state, attempts) VALUES ($1, $2, $3, $4, 'waiting', 0) \
               RETURNING *";
    let made = tx.one(sql, args![cx.new_id(), schedule, due_ms, by_hand]).await?;
    made.ok_or(DbError::NotCommitted)
}

pub(super) async fn run(cx: &Ctx, id: &str) -> Result<Run, Problem> {
    let found = cx.db().one("SELECT * FROM run WHERE id = $1", args![id]).await?;
    found.ok_or_else(|| Problem::not_found("no such run"))
}

/// The runs of a schedule, the newest first.
pub(super) async fn runs(cx: &Ctx, schedule: &str, page: &Page) -> Result<Vec<Run>, DbError> {
    let sql = "SELECT * FROM run WHERE schedule = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3";
    cx.db().all(sql, args![schedule, &page.after, page.rows()]).await
}

/// Notes a try of a run; with an end when it was the last. `false` when the run has ended before.
pub(super) async fn note(
    tx: &mut Tx,
    run: &Run,
    state: &str,
    error: Option<String>,
    ended_at: Option<Time>,
) -> Result<bool, DbError> {
    let sql = "UPDATE run SET state = $1, attempts = $2, error = $3, ended_at = $4 WHERE id = $5 AND ended_at IS NULL";
    Ok(tx.run(sql, args![state, run.attempts, error, ended_at, &run.id]).await? > 0)
}

/// Forgets runs that ended long ago.
pub(super) async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    Ok(cx.run("DELETE FROM run WHERE ended_at <= $1", args![cx.now_ms() - KEPT_MS]).await.map(drop)?)
}
