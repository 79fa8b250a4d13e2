//! SQL of erasures.

use nx_chassis::{Ctx, DbError, Page, Time, Tx, args, row};

use super::rules;
use super::{Erasure, Part};

/// An erasure as it is kept.
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) person_id: String,
    asked_by: String,
    asked_ms: i64,
    due_ms: i64,
    /// Whether they were shut out before.
    pub(super) shut: bool,
    begun_ms: Option<i64>,
    done_ms: Option<i64>,
}
row!(Kept { id, person_id, asked_by, asked_ms, due_ms, shut, begun_ms, done_ms });

pub(super) struct KeptPart {
    erasure_id: String,
    pub(super) service: String,
    pub(super) forgot_ms: Option<i64>,
    row_count: Option<i64>,
}
row!(KeptPart { erasure_id, service, forgot_ms, row_count });

impl Kept {
    pub(super) fn has_begun(&self) -> bool {
        self.begun_ms.is_some()
    }

    /// As it is told, with what is known of its parts.
    pub(super) fn told(self, parts: &[KeptPart], now_ms: i64) -> Erasure {
        let part = |part: &KeptPart| Part {
            service: part.service.clone(),
            state: rules::state(self.begun_ms, part.forgot_ms, now_ms),
            done_at: part.forgot_ms.map(Time),
            rows: part.row_count,
        };
        Erasure {
            services: parts.iter().filter(|part| part.erasure_id == self.id).map(part).collect(),
            state: rules::state(self.begun_ms, self.done_ms, now_ms),
            id: self.id,
            user_id: self.person_id,
            asked_by: self.asked_by,
            asked_at: Time(self.asked_ms),
            begins_at: Time(self.begun_ms.unwrap_or(self.due_ms)),
            done_at: self.done_ms.map(Time),
            take_back: None,
        }
    }
}

/// Keeps that somebody is to be forgotten; `false` when that is so already. One that waits is brought forward, not put off.
pub(super) async fn ask(
    tx: &mut Tx,
    (id, person, by): (&str, &str, &str),
    (due_ms, shut): (i64, bool),
    take_back: Option<Vec<u8>>,
) -> Result<bool, DbError> {
    let sql = "INSERT INTO erasure AS e (id, person_id, asked_by, asked_ms, due_ms, shut, take_back) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (person_id) DO UPDATE SET due_ms = excluded.due_ms \
               WHERE e.begun_ms IS NULL AND excluded.due_ms <= excluded.asked_ms";
    let now_ms = tx.now_ms();
    Ok(tx.run(sql, args![id, person, by, now_ms, due_ms, shut, take_back]).await? > 0)
}

/// Begins it, once.
pub(super) async fn begin(tx: &mut Tx, person: &str) -> Result<Option<Kept>, DbError> {
    let sql = "UPDATE erasure SET begun_ms = $1, take_back = NULL WHERE person_id = $2 AND begun_ms IS NULL \
               AND due_ms <= $1 RETURNING *";
    tx.one(sql, args![tx.now_ms(), person]).await
}

/// Takes back what has not begun: of somebody, or by the secret that they were told.
/// Whether somebody waits whom this secret lets stay.
pub(super) async fn waits(cx: &Ctx, secret: &[u8]) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM erasure WHERE take_back = $1 AND begun_ms IS NULL";
    Ok(cx.db().one::<i64>(sql, args![secret.to_vec()]).await? != Some(0))
}

pub(super) async fn take_back(
    tx: &mut Tx,
    person: &str,
    secret: Option<Vec<u8>>,
) -> Result<Option<Kept>, DbError> {
    let sql = "DELETE FROM erasure WHERE (person_id = $1 OR take_back = $2) AND begun_ms IS NULL RETURNING *";
    tx.one(sql, args![person, secret]).await
}

pub(super) async fn owe(tx: &mut Tx, id: &str, service: &str) -> Result<u64, DbError> {
    let sql = "INSERT INTO erasure_part (erasure_id, service) VALUES ($1, $2)";
    tx.run(sql, args![id, service]).await
}

/// A service keeps nothing any more; the person, when it was the last.
pub(super) async fn forgot(tx: &mut Tx, id: &str, service: &str, rows: u64) -> Result<Option<Kept>, DbError> {
    let (now_ms, rows) = (tx.now_ms(), i64::try_from(rows).unwrap_or(i64::MAX));
    // Two that answer at once do not both find the other missing.
    tx.run("UPDATE erasure SET due_ms = due_ms WHERE id = $1", args![id]).await?;
    let sql = "UPDATE erasure_part SET forgot_ms = $1, row_count = $2 \
               WHERE erasure_id = $3 AND service = $4 AND forgot_ms IS NULL";
    tx.run(sql, args![now_ms, rows, id, service]).await?;
    let sql = "UPDATE erasure SET done_ms = $1 WHERE id = $2 AND done_ms IS NULL AND NOT EXISTS \
               (SELECT 1 FROM erasure_part WHERE erasure_id = $2 AND forgot_ms IS NULL) RETURNING *";
    tx.one(sql, args![now_ms, id]).await
}

/// Services that owe an answer.
pub(super) async fn owing(cx: &Ctx, id: &str) -> Result<Vec<KeptPart>, DbError> {
    let sql = "SELECT * FROM erasure_part WHERE erasure_id = $1 AND forgot_ms IS NULL ORDER BY service";
    cx.db().all(sql, args![id]).await
}

/// Those whose time has come, so many at a time.
pub(super) async fn due(cx: &Ctx) -> Result<Vec<Kept>, DbError> {
    let sql = "SELECT * FROM erasure WHERE begun_ms IS NULL AND due_ms <= $1 ORDER BY due_ms LIMIT 100";
    cx.db().all(sql, args![cx.now_ms()]).await
}

pub(super) async fn find(cx: &Ctx, id: &str) -> Result<Option<Kept>, DbError> {
    cx.db().one("SELECT * FROM erasure WHERE id = $1", args![id]).await
}

pub(super) async fn of(cx: &Ctx, person: &str) -> Result<Option<Kept>, DbError> {
    cx.db().one("SELECT * FROM erasure WHERE person_id = $1", args![person]).await
}

/// The one of somebody, with its parts, within a transaction.
pub(super) async fn now(tx: &mut Tx, person: &str) -> Result<Option<(Kept, Vec<KeptPart>)>, DbError> {
    let kept: Option<Kept> = tx.one("SELECT * FROM erasure WHERE person_id = $1", args![person]).await?;
    let Some(kept) = kept else { return Ok(None) };
    let sql = "SELECT * FROM erasure_part WHERE erasure_id = $1 ORDER BY service";
    let parts = tx.all(sql, args![&kept.id]).await?;
    Ok(Some((kept, parts)))
}

pub(super) async fn list(cx: &Ctx, page: &Page) -> Result<Vec<Kept>, DbError> {
    cx.db()
        .all("SELECT * FROM erasure WHERE id > $1 ORDER BY id LIMIT $2", args![&page.after, page.rows()])
        .await
}

/// Parts of erasures from one to another.
pub(super) async fn parts(cx: &Ctx, first: &str, last: &str) -> Result<Vec<KeptPart>, DbError> {
    let sql =
        "SELECT * FROM erasure_part WHERE erasure_id >= $1 AND erasure_id <= $2 ORDER BY erasure_id, service";
    cx.db().all(sql, args![first, last]).await
}
