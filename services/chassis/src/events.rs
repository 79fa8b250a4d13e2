//! Facts: told through an outbox, heard through an inbox.
//!
//! An event is written down in the transaction that made it true. The relay has the bus copy it into the inbox of every
//! service that hears of its kind, then forgets it: a copy made twice is told by source and id. There it is heard in one
//! transaction with what the service makes of it. So its effect comes exactly once, wherever the process is killed; in
//! the order of its subject; and what fails again and again is laid aside, to be seen and replayed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use nx_bus::{BusError, Done, Inbox, Letter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ctx::Ctx;
use crate::problem::Problem;
use crate::tx::Tx;
use crate::{args, row};
use nx_db::{DbError, Time};

/// Events that the relay copies at a time.
const BATCH: i64 = 100;
/// Times that an event is tried before it is laid aside.
const ATTEMPTS_MAX: i64 = 8;
/// Longest cause that is kept of a failure, characters.
const CAUSE_MAX: usize = 500;

/// A fact (CloudEvents 1.0 in JSON).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    specversion: String,
    /// Differs for every event of a source.
    pub id: String,
    /// `/services/NAME` of who tells it.
    pub source: String,
    /// `cos.DOMAIN.ENTITY.FACT.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about: events of one subject are heard in their order.
    pub subject: String,
    /// When it became true.
    pub time: Time,
    /// Its number among those about the subject, from 1.
    pub sequence: i64,
    datacontenttype: String,
    data: Box<RawValue>,
}

impl Event {
    pub(crate) fn new(
        service: &str,
        kind: &str,
        subject: &str,
        sequence: i64,
        now_ms: i64,
        data: &impl Serialize,
    ) -> Self {
        Self {
            specversion: "1.0".into(),
            id: crate::new_id(now_ms),
            source: format!("/services/{service}"),
            kind: kind.into(),
            subject: subject.into(),
            time: Time(now_ms),
            sequence,
            datacontenttype: "application/json".into(),
            data: serde_json::value::to_raw_value(data).unwrap_or_default(),
        }
    }

    /// What it says.
    ///
    /// # Errors
    /// When it is of another shape.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_str(self.data.get()).map_err(|e| Problem::internal(format!("{}: {e}", self.kind)))
    }
}

/// What a service makes of an event: `async fn heard(tx: &mut Tx, event: Event) -> Result<(), Problem>`.
pub trait Reaction<'a>: Send + Sync {
    /// Its future.
    type Done: Future<Output = Result<(), Problem>> + Send + 'a;
    /// Hears of it; an error has it heard again later.
    fn react(&self, tx: &'a mut Tx, event: Event) -> Self::Done;
}

impl<'a, F, D> Reaction<'a> for F
where
    F: Fn(&'a mut Tx, Event) -> D + Send + Sync,
    D: Future<Output = Result<(), Problem>> + Send + 'a,
{
    type Done = D;
    fn react(&self, tx: &'a mut Tx, event: Event) -> D {
        self(tx, event)
    }
}

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<(), Problem>> + Send + 'a>>;
type React = Arc<dyn for<'a> Fn(&'a mut Tx, Event) -> Boxed<'a> + Send + Sync>;

/// What a service hears of, by kind.
#[derive(Clone, Default)]
pub(crate) struct Reactions(BTreeMap<&'static str, React>);

impl Reactions {
    pub(crate) fn add(&mut self, kind: &'static str, reaction: impl for<'a> Reaction<'a> + 'static) {
        self.0.insert(kind, Arc::new(move |tx, event| Box::pin(reaction.react(tx, event))));
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

struct Told {
    id: String,
    subject: String,
    number: i64,
    body: String,
}
row!(Told { id, subject, number, body });

/// Hands on what is in the outbox; whether there was something.
pub(crate) async fn relay(cx: &Ctx) -> Result<bool, Problem> {
    let sql = "SELECT id, subject, number, body FROM chassis_outbox ORDER BY place, number LIMIT $1";
    let batch: Vec<Told> = cx.db().all(sql, args![BATCH]).await?;
    if batch.is_empty() {
        return Ok(false);
    }
    let letter = |told: Told| {
        let kind = serde_json::from_str::<Event>(&told.body).map(|e| e.kind).unwrap_or_default();
        let Told { id, subject, number, body } = told;
        Letter { source: cx.service().id.to_owned(), id, kind, subject, number, body }
    };
    let letters: Vec<Letter> = batch.into_iter().map(letter).collect();
    cx.shared().bus.publish(&cx.inner().publisher, &letters).await?;
    let mut tx = cx.begin();
    for letter in &letters {
        tx.run("DELETE FROM chassis_outbox WHERE id = $1", args![&letter.id]).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// What the bus brings, in one transaction; a letter that is there already is passed over.
impl Inbox for Ctx {
    fn keep<'a>(&'a self, letters: &'a [Letter]) -> Done<'a> {
        Box::pin(async move { keep(self, letters).await.map_err(|error| BusError::Inbox(error.to_string())) })
    }
}

async fn keep(cx: &Ctx, letters: &[Letter]) -> Result<(), DbError> {
    let mut tx = cx.begin();
    for letter in letters {
        let sql = "INSERT INTO chassis_inbox (source, id, subject, number, body, state, attempts, due_ms, at_ms) \
                   VALUES ($1, $2, $3, $4, $5, 0, 0, 0, $6) ON CONFLICT (source, id) DO NOTHING";
        let Letter { source, id, subject, number, body, .. } = letter;
        tx.run(sql, args![source, id, subject, *number, body, cx.now_ms()]).await?;
    }
    tx.commit().await
}

struct Heard {
    source: String,
    id: String,
    body: String,
    attempts: i64,
}
row!(Heard { source, id, body, attempts });

/// Hears the next event whose turn it is; whether there was one.
pub(crate) async fn hear(cx: &Ctx) -> Result<bool, DbError> {
    let sql = "SELECT source, id, body, attempts FROM chassis_inbox i WHERE state = 0 AND due_ms <= $1 \
               AND NOT EXISTS (SELECT 1 FROM chassis_inbox e WHERE e.source = i.source AND e.subject = i.subject \
               AND e.number < i.number AND e.state = 0) ORDER BY at_ms, number LIMIT 1";
    let Some(next) = cx.db().one::<Heard>(sql, args![cx.now_ms()]).await? else { return Ok(false) };
    let mut tx = cx.begin();
    let sql = "UPDATE chassis_inbox SET state = 1, error = NULL, body = '' WHERE source = $1 AND id = $2 AND state = 0";
    if tx.run(sql, args![&next.source, &next.id]).await? == 0 {
        // Another node was quicker.
        return Ok(true);
    }
    let outcome = match serde_json::from_str::<Event>(&next.body) {
        Ok(event) => match cx.service().reactions.0.get(event.kind.as_str()) {
            Some(react) => react(&mut tx, event).await,
            None => Ok(()),
        },
        Err(error) => Err(Problem::internal(error)),
    };
    match outcome {
        Ok(()) => tx.commit().await?,
        Err(problem) => {
            drop(tx);
            lay_aside(cx, &next, &problem).await?;
        }
    }
    Ok(true)
}

/// Has an event that failed wait for its next try, or for somebody who looks after it.
async fn lay_aside(cx: &Ctx, event: &Heard, problem: &Problem) -> Result<(), DbError> {
    let attempts = event.attempts + 1;
    let state = if attempts < ATTEMPTS_MAX { 0 } else { 2 };
    tracing::warn!(service = cx.service().id, event.id, attempts, dead = state == 2, %problem, "event failed");
    let sql = "UPDATE chassis_inbox SET state = $1, attempts = $2, due_ms = $3, error = $4 \
               WHERE source = $5 AND id = $6 AND state = 0";
    let due_ms = cx.now_ms() + back_off_ms(attempts);
    cx.run(sql, args![state, attempts, due_ms, cause(problem), &event.source, &event.id]).await.map(drop)
}

/// Milliseconds until the next try: 1 s, 2 s, 4 s … 5 min.
pub(crate) fn back_off_ms(attempts: i64) -> i64 {
    1000_i64.saturating_mul(1 << (attempts - 1).clamp(0, 16)).min(300_000)
}

/// What is kept of a failure.
pub(crate) fn cause(problem: &Problem) -> String {
    problem.to_string().chars().take(CAUSE_MAX).collect()
}
