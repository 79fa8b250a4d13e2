//! A transaction of a service: its rows, its events and its jobs, all of them or none.

use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::ctx::Ctx;
use crate::events::Event;
use crate::jobs::NewJob;
use crate::problem::Problem;
use crate::{args, row};
use nx_db::{DbError, FromRow, Open, Value};

/// Where the layer around a handler finds the transaction that the handler has used.
pub(crate) type Slot = Arc<Mutex<Option<Open>>>;

/// A transaction. A handler that takes one need not end it: an answer that is no error commits it, together with the
/// answer to its `Idempotency-Key`; an error undoes it.
///
/// It begins with its first statement. While it is open nobody else writes to an embedded store: read what comes from
/// the network before.
pub struct Tx {
    cx: Ctx,
    open: Option<Open>,
    slot: Option<Slot>,
}

struct Numbered {
    last: i64,
    place: i64,
}
row!(Numbered { last, place });

impl Tx {
    pub(crate) fn new(cx: Ctx, slot: Option<Slot>) -> Self {
        Self { cx, open: None, slot }
    }

    async fn open(&mut self) -> Result<&mut Open, DbError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.cx.db().begin().await?,
        };
        Ok(self.open.insert(open))
    }

    /// Unix time, milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.cx.now_ms()
    }

    /// Every row that a statement finds or returns.
    ///
    /// # Errors
    /// When the statement fails or a row has another shape.
    pub async fn all<T: FromRow>(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<T>, DbError> {
        self.open().await?.all(sql, args).await
    }

    /// The first row that a statement finds or returns.
    ///
    /// # Errors
    /// As [`Tx::all`].
    pub async fn one<T: FromRow>(
        &mut self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> Result<Option<T>, DbError> {
        Ok(self.all(sql, args).await?.into_iter().next())
    }

    /// Runs a statement and says how many rows it touched.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn run(&mut self, sql: &'static str, args: Vec<Value>) -> Result<u64, DbError> {
        self.open().await?.run(sql, args).await
    }

    /// Tells the other services a fact about `subject`, once this is committed. `kind` is one that the service declares.
    ///
    /// # Errors
    /// When the store fails, or the service does not declare `kind`.
    pub async fn emit(
        &mut self,
        kind: &'static str,
        subject: &str,
        data: &impl Serialize,
    ) -> Result<(), Problem> {
        let now_ms = self.cx.now_ms();
        if !self.cx.service().emits.contains(&kind) {
            return Err(Problem::internal(format!("{kind} is no event that the service declares")));
        }
        let sql = "INSERT INTO chassis_subject AS s (subject, last, place) VALUES ($1, 1, $2) \
                   ON CONFLICT (subject) DO UPDATE SET last = s.last + 1, \
                   place = CASE WHEN s.place < $2 THEN $2 ELSE s.place + 1 END RETURNING last, place";
        let numbered: Option<Numbered> = self.one(sql, args![subject, now_ms]).await?;
        let Numbered { last, place } = numbered.ok_or(DbError::NotCommitted)?;
        let event = Event::new(self.cx.service().id, kind, subject, last, now_ms, data);
        let sql = "INSERT INTO chassis_outbox (id, subject, number, place, body) VALUES ($1, $2, $3, $4, $5)";
        self.run(sql, args![&event.id, subject, last, place, Value::json(&event)]).await?;
        Ok(())
    }

    /// Has work done later, once this is committed; its id, or `None` when a job with the same unique key is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn enqueue(&mut self, job: NewJob) -> Result<Option<String>, DbError> {
        let now_ms = self.cx.now_ms();
        let id = crate::new_id(now_ms);
        let sql = "INSERT INTO chassis_job (id, kind, body, unique_key, state, attempts, due_ms, lease, progress, at_ms) \
                   VALUES ($1, $2, $3, $4, 0, 0, $5, 0, 0, $6) ON CONFLICT (unique_key) DO NOTHING";
        let due_ms = job.due_ms.unwrap_or(now_ms);
        let body = Value::json(&job.body);
        let made = self.run(sql, args![&id, job.kind, body, job.unique_key, due_ms, now_ms]).await?;
        Ok((made > 0).then_some(id))
    }

    /// Forgets beside the service's own tables who is no more: what they have asked for, and of whom it was what was told and heard.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget(&mut self, subject: &str) -> Result<(), DbError> {
        let heard =
            "UPDATE chassis_inbox SET state = 1, subject = '', body = '' WHERE subject = $1 AND state <> 0";
        self.run(heard, args![subject]).await?;
        self.run("DELETE FROM chassis_once WHERE caller = $1", args![subject]).await?;
        self.run("DELETE FROM chassis_subject WHERE subject = $1", args![subject]).await.map(drop)
    }

    /// Ends it: what was done is kept. For transactions that a service has begun itself.
    ///
    /// # Errors
    /// When it could not be kept; then nothing is.
    pub async fn commit(self) -> Result<(), DbError> {
        let cx = self.cx.clone();
        self.commit_quietly().await?;
        cx.wake();
        Ok(())
    }

    /// The same, and nobody is woken: for who would wake himself for ever.
    pub(crate) async fn commit_quietly(mut self) -> Result<(), DbError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        open.commit().await
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let (Some(open), Some(slot)) = (self.open.take(), &self.slot)
            && let Ok(mut slot) = slot.lock()
        {
            *slot = Some(open);
        }
    }
}
