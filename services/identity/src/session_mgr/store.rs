//! All SQL of session-mgr.

use nx_chassis::{Ctx, DbError, Job, Page, Problem, Tx, args, row};
use serde_json::json;

use super::api::Session;
use super::leases::Lease;
use crate::{LEASE_ENDED, SESSION_REVOKED};

/// Leases and sessions that one sweep ends at most; the next goes on.
const SWEPT_MAX: i64 = 1000;
/// Sessions that one person has at most: then the one that was seen longest ago ends.
const SESSIONS_MAX: i64 = 50;

struct Gone {
    id: String,
    user_id: String,
}
row!(Gone { id, user_id });

pub(super) async fn begin(tx: &mut Tx, session: &Session) -> Result<u64, DbError> {
    let sql = "INSERT INTO session (id, user_id, device, network, method, at_ms, seen_ms, ends_ms) \
               VALUES ($1, $2, $3, $4, $5, $6, $6, $7)";
    let Session { id, user_id, device, network, method, created_at, expires_at, .. } = session;
    tx.run(sql, args![id, user_id, device, network, method, *created_at, *expires_at]).await
}

pub(super) async fn find(cx: &Ctx, id: &str) -> Result<Option<Session>, DbError> {
    cx.db().one("SELECT * FROM session WHERE id = $1 AND ends_ms > $2", args![id, cx.now_ms()]).await
}

pub(super) async fn list(cx: &Ctx, user: &str, page: &Page) -> Result<Vec<Session>, DbError> {
    let sql = "SELECT * FROM session WHERE user_id = $1 AND ends_ms > $2 AND id > $3 ORDER BY id LIMIT $4";
    cx.db().all(sql, args![user, cx.now_ms(), &page.after, page.rows()]).await
}

pub(super) async fn seen(tx: &mut Tx, id: &str) -> Result<(), Problem> {
    let now_ms = tx.now_ms();
    Ok(tx.run("UPDATE session SET seen_ms = $1 WHERE id = $2", args![now_ms, id]).await.map(drop)?)
}

/// Ends a session with what it watches.
pub(super) async fn end(tx: &mut Tx, id: &str, why: &str) -> Result<(), Problem> {
    let gone = tx.all("DELETE FROM session WHERE id = $1 RETURNING id, user_id", args![id]).await?;
    over(tx, gone, why).await
}

/// Ends the sessions of somebody that were not seen for longest, where they have more than anybody uses; those of apps and their
/// own apart, so that no app that signs in again and again signs them out.
pub(super) async fn trim(tx: &mut Tx, user: &str) -> Result<(), Problem> {
    for apps in [false, true] {
        let sql = "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE user_id = $1 \
                   AND CASE WHEN method = 'app' THEN 1 ELSE 0 END = $3 \
                   ORDER BY seen_ms DESC, id DESC LIMIT 1000 OFFSET $2) RETURNING id, user_id";
        let gone = tx.all(sql, args![user, SESSIONS_MAX, apps]).await?;
        over(tx, gone, "there are newer ones").await?;
    }
    Ok(())
}

/// Ends all sessions of somebody but one; with all of them, what they watch outside of any.
pub(super) async fn end_all(tx: &mut Tx, user: &str, keep: Option<&str>, why: &str) -> Result<(), Problem> {
    if keep.is_none() {
        let sql = "DELETE FROM lease WHERE user_id = $1 RETURNING id, user_id";
        let leases = tx.all(sql, args![user]).await?;
        ended(tx, leases, "session").await?;
    }
    let sql = "DELETE FROM session WHERE user_id = $1 AND id <> $2 RETURNING id, user_id";
    let gone = tx.all(sql, args![user, keep.unwrap_or_default()]).await?;
    over(tx, gone, why).await
}

/// Forgets somebody; how many rows there were.
pub(super) async fn erase(tx: &mut Tx, user: &str) -> Result<u64, Problem> {
    let sql = "SELECT (SELECT COUNT(*) FROM session WHERE user_id = $1) + \
               (SELECT COUNT(*) FROM lease WHERE user_id = $1) AS n";
    let rows: i64 = tx.one(sql, args![user]).await?.unwrap_or_default();
    end_all(tx, user, None, "the account was erased").await?;
    let turns = tx.run("DELETE FROM watcher WHERE user_id = $1", args![user]).await?;
    Ok(rows.unsigned_abs() + turns)
}

async fn over(tx: &mut Tx, gone: Vec<Gone>, why: &str) -> Result<(), Problem> {
    for Gone { id, user_id } in gone {
        let sql = "DELETE FROM lease WHERE session_id = $1 RETURNING id, user_id";
        let leases = tx.all(sql, args![&id]).await?;
        ended(tx, leases, "session").await?;
        tx.emit(SESSION_REVOKED, &id, &json!({"user_id": user_id, "why": why})).await?;
    }
    Ok(())
}

async fn ended(tx: &mut Tx, leases: Vec<Gone>, why: &str) -> Result<(), Problem> {
    for Gone { id, user_id } in leases {
        tx.emit(LEASE_ENDED, &id, &json!({"user_id": user_id, "why": why})).await?;
    }
    Ok(())
}

/// Waits until nobody else decides about this person's leases, to the end of the transaction.
pub(super) async fn lock(tx: &mut Tx, user: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO watcher AS w (user_id, turn) VALUES ($1, 1) \
               ON CONFLICT (user_id) DO UPDATE SET turn = w.turn + 1";
    tx.run(sql, args![user]).await.map(drop)
}

pub(super) async fn live(tx: &mut Tx, user: &str) -> Result<Vec<Lease>, DbError> {
    let now_ms = tx.now_ms();
    tx.all("SELECT * FROM lease WHERE user_id = $1 AND ends_ms > $2 ORDER BY id", args![user, now_ms]).await
}

pub(super) async fn grant(tx: &mut Tx, lease: &Lease) -> Result<u64, DbError> {
    let sql =
        "INSERT INTO lease (id, user_id, session_id, stream, at_ms, ends_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    let Lease { id, user_id, session_id, stream, granted_at, expires_at } = lease;
    tx.run(sql, args![id, user_id, session_id.clone(), stream, *granted_at, *expires_at]).await
}

pub(super) async fn lease(cx: &Ctx, id: &str) -> Result<Option<Lease>, DbError> {
    cx.db().one("SELECT * FROM lease WHERE id = $1 AND ends_ms > $2", args![id, cx.now_ms()]).await
}

/// The lease until `ends_ms`, if it has not run out.
pub(super) async fn beat(tx: &mut Tx, id: &str, ends_ms: i64) -> Result<Option<Lease>, DbError> {
    let now_ms = tx.now_ms();
    let sql = "UPDATE lease SET ends_ms = $1 WHERE id = $2 AND ends_ms > $3 RETURNING *";
    tx.one(sql, args![ends_ms, id, now_ms]).await
}

pub(super) async fn release(tx: &mut Tx, id: &str) -> Result<(), Problem> {
    let leases = tx.all("DELETE FROM lease WHERE id = $1 RETURNING id, user_id", args![id]).await?;
    ended(tx, leases, "released").await
}

/// What has run out is told of and forgotten.
pub(super) async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    let sql = "DELETE FROM lease WHERE id IN (SELECT id FROM lease WHERE ends_ms <= $1 LIMIT $2) \
               RETURNING id, user_id";
    let leases = tx.all(sql, args![now_ms, SWEPT_MAX]).await?;
    ended(&mut tx, leases, "expired").await?;
    let sql = "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE ends_ms <= $1 LIMIT $2) \
               RETURNING id, user_id";
    let sessions = tx.all(sql, args![now_ms, SWEPT_MAX]).await?;
    over(&mut tx, sessions, "it ran out").await?;
    tx.run("DELETE FROM watcher WHERE user_id NOT IN (SELECT user_id FROM lease)", Vec::new()).await?;
    Ok(tx.commit().await?)
}
