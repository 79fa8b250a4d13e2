//! All SQL of streaming-service-v2.

mod broadcasts;
mod orgs;
mod targets;

pub(super) use broadcasts::*;
pub(super) use orgs::*;
pub(super) use targets::*;

use nx_chassis::{Ctx, DbError, Page, Problem, Tx, Value, args, row};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::channels::Channel;
use super::core::TOLD_MAX;
use super::keys::Key;
use super::members::Member;
use super::playback::Given;
use super::{PLAYBACK_ENDED, tell};

/// How long it is remembered that a session or lease has ended: longer than anything is made on it, milliseconds.
const ENDED_MS: i64 = 3_600_000;

/// Whether somebody is a member of a channel.
const MEMBER: &str = "SELECT * FROM member WHERE channel_id = $1 AND user_id = $2";

/// A key that the core does not know of, or does not know to be gone.
pub(super) struct Untold {
    pub(super) id: String,
    pub(super) stream: String,
    pub(super) hash: String,
    pub(super) backup: bool,
    pub(super) deleted: bool,
}
row!(Untold { id, stream, hash, backup, deleted });

/// A token that holds no more.
pub(super) struct Over {
    pub(super) token_id: String,
    pub(super) ends_ms: i64,
}
row!(Over { token_id, ends_ms });

/// What somebody may.
pub(super) struct Person {
    /// They may not be here at all.
    pub(super) shut: bool,
    /// They may have channels.
    pub(super) creates: bool,
}
row!(Person { shut, creates });

struct Ended {
    token_id: String,
    user_id: String,
}
row!(Ended { token_id, user_id });

/// What a statement counts.
async fn number(tx: &mut Tx, sql: &'static str, args: Vec<Value>) -> Result<i64, DbError> {
    Ok(tx.one(sql, args).await?.unwrap_or_default())
}

pub(super) async fn add(tx: &mut Tx, channel: &Channel) -> Result<(), Problem> {
    let sql = "INSERT INTO channel (id, owner_id, org_id, handle, title, members_only, at_ms, deleted, version, turn) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 1, 0)";
    let Channel { id, owner, handle, title, members_only, created_at, .. } = channel;
    let (person, org) = owner.columns();
    let taken = || Problem::conflict("taken", "a channel is or was called that: take another name");
    match tx.run(sql, args![id, person, org, handle, title, *members_only, *created_at]).await {
        Err(error) if error.is_unique() => return Err(taken()),
        added => added.map(drop)?,
    }
    // Looked at afterwards: who forgets the owner meanwhile has the name until then.
    let sql = "SELECT COUNT(*) AS n FROM channel WHERE handle = $1";
    if number(tx, sql, args![digest(handle)]).await? > 0 { Err(taken()) } else { Ok(()) }
}

pub(super) async fn find(cx: &Ctx, id: &str) -> Result<Option<Channel>, DbError> {
    cx.db().one("SELECT * FROM channel WHERE id = $1 AND deleted = 0", args![id]).await
}

/// Those that somebody may watch, or all.
pub(super) async fn seen(cx: &Ctx, user: &str, all: bool, page: &Page) -> Result<Vec<Channel>, DbError> {
    let sql = "SELECT * FROM channel WHERE deleted = 0 AND id > $1 AND (members_only = 0 OR owner_id = $2 OR $3 = 1 OR \
               id IN (SELECT channel_id FROM member WHERE user_id = $2) OR \
               org_id IN (SELECT org_id FROM org_member WHERE user_id = $2)) ORDER BY id LIMIT $4";
    cx.db().all(sql, args![&page.after, user, all, page.rows()]).await
}

pub(super) async fn owned(tx: &mut Tx, user: &str) -> Result<Vec<Channel>, DbError> {
    tx.all("SELECT * FROM channel WHERE owner_id = $1 AND deleted = 0", args![user]).await
}

pub(super) async fn count(tx: &mut Tx, user: &str) -> Result<i64, DbError> {
    number(tx, "SELECT COUNT(*) AS n FROM channel WHERE owner_id = $1", args![user]).await
}

pub(super) async fn rename(tx: &mut Tx, id: &str, version: i64, title: &str) -> Result<Channel, Problem> {
    let sql = "UPDATE channel SET title = $1, version = version + 1 WHERE id = $2 AND version = $3 AND deleted = 0 \
               RETURNING *";
    tx.one(sql, args![title, id, version]).await?.ok_or_else(Problem::stale)
}

pub(super) async fn set_policy(
    tx: &mut Tx,
    id: &str,
    version: i64,
    networks: &[String],
    token_s: u32,
) -> Result<Channel, Problem> {
    let sql = "UPDATE channel SET networks = $1, token_s = $2, version = version + 1 WHERE id = $3 AND version = $4 AND \
               deleted = 0 RETURNING *";
    tx.one(sql, args![Value::json(&networks), token_s, id, version]).await?.ok_or_else(Problem::stale)
}

/// Waits until nobody else decides about this channel, to the end of the transaction. Who has to do with a person too takes
/// their turn ([`person`]) before. How it is now.
///
/// # Errors
/// 404 when it is not there any more.
pub(super) async fn hold(tx: &mut Tx, id: &str) -> Result<Channel, Problem> {
    let sql = "UPDATE channel SET turn = turn + 1 WHERE id = $1 AND deleted = 0 RETURNING *";
    let held = tx.one(sql, args![id]).await?;
    held.ok_or_else(|| Problem::not_found("there is no such channel any more"))
}

/// What somebody may; nobody else decides about them to the end of the transaction.
pub(super) async fn person(tx: &mut Tx, user: &str) -> Result<Person, DbError> {
    let sql = "INSERT INTO person AS p (user_id, turn, shut, creates) VALUES ($1, 1, 0, 1) \
               ON CONFLICT (user_id) DO UPDATE SET turn = p.turn + 1 RETURNING shut, creates";
    tx.one(sql, args![user]).await?.ok_or(DbError::NotCommitted)
}

pub(super) async fn set_person(tx: &mut Tx, user: &str, shut: bool, creates: bool) -> Result<(), DbError> {
    let sql = "INSERT INTO person AS p (user_id, turn, shut, creates) VALUES ($1, 1, $2, $3) \
               ON CONFLICT (user_id) DO UPDATE SET turn = p.turn + 1, shut = $2, creates = $3";
    tx.run(sql, args![user, shut, creates]).await.map(drop)
}

/// A session or lease is over.
pub(super) async fn note_end(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let now_ms = tx.now_ms();
    let sql = "INSERT INTO ended (id, at_ms) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    tx.run(sql, args![id, now_ms]).await.map(drop)
}

/// Whether one of two is.
pub(super) async fn has_ended(tx: &mut Tx, one: &str, other: &str) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM ended WHERE id = $1 OR id = $2";
    Ok(number(tx, sql, args![one, other]).await? > 0)
}

/// Its name stays taken: who took it would have what was recorded under it.
pub(super) async fn delete(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    tx.run("UPDATE channel SET deleted = 1 WHERE id = $1", args![id]).await?;
    tx.run("UPDATE stream_key SET deleted = 1, told = 0 WHERE channel_id = $1 AND deleted = 0", args![id])
        .await?;
    delete_targets_in(tx, id).await?;
    tx.run("DELETE FROM member WHERE channel_id = $1", args![id]).await.map(drop)
}

pub(super) async fn keys(cx: &Ctx, channel: &str, page: &Page) -> Result<Vec<Key>, DbError> {
    let sql =
        "SELECT * FROM stream_key WHERE channel_id = $1 AND deleted = 0 AND id > $2 ORDER BY id LIMIT $3";
    cx.db().all(sql, args![channel, &page.after, page.rows()]).await
}

pub(super) async fn count_keys(tx: &mut Tx, channel: &str) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM stream_key WHERE channel_id = $1 AND deleted = 0";
    number(tx, sql, args![channel]).await
}

pub(super) async fn add_key(
    tx: &mut Tx,
    channel: &Channel,
    key: &Key,
    hash: &str,
    maker: &str,
) -> Result<u64, DbError> {
    let sql = "INSERT INTO stream_key (id, channel_id, stream, name, backup, hash, at_ms, deleted, told, maker_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8)";
    let Key { id, name, backup, created_at, .. } = key;
    tx.run(sql, args![id, &channel.id, &channel.stream, name, *backup, hash, *created_at, maker]).await
}

pub(super) async fn delete_key(tx: &mut Tx, channel: &str, id: &str) -> Result<bool, DbError> {
    let sql = "UPDATE stream_key SET deleted = 1, told = 0 WHERE id = $1 AND channel_id = $2 AND deleted = 0";
    Ok(tx.run(sql, args![id, channel]).await? > 0)
}

/// Those of somebody's channels, and those that they have made elsewhere.
pub(super) async fn delete_keys_of(tx: &mut Tx, owner: &str) -> Result<Vec<Untold>, DbError> {
    let sql = "UPDATE stream_key SET deleted = 1, told = 0 WHERE deleted = 0 AND (maker_id = $1 OR channel_id IN \
               (SELECT id FROM channel WHERE owner_id = $1)) RETURNING *";
    tx.all(sql, args![owner]).await
}

pub(super) async fn untold_keys(cx: &Ctx) -> Result<Vec<Untold>, DbError> {
    cx.db().all("SELECT * FROM stream_key WHERE told = 0 ORDER BY id LIMIT $1", args![TOLD_MAX]).await
}

/// Those that the core knows, behind one.
pub(super) async fn keys_after(cx: &Ctx, id: &str) -> Result<Vec<Untold>, DbError> {
    let sql = "SELECT * FROM stream_key WHERE id > $1 AND told = 1 AND deleted = 0 ORDER BY id LIMIT $2";
    cx.db().all(sql, args![id, TOLD_MAX]).await
}

/// The core knows of a key as it was; what changed since will be told.
pub(super) async fn key_told(cx: &Ctx, key: &Untold) -> Result<(), DbError> {
    let sql = "UPDATE stream_key SET told = 1 WHERE id = $1 AND deleted = $2";
    cx.run(sql, args![&key.id, key.deleted]).await.map(drop)
}

pub(super) async fn members(cx: &Ctx, channel: &str, page: &Page) -> Result<Vec<Member>, DbError> {
    let sql = "SELECT * FROM member WHERE channel_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3";
    cx.db().all(sql, args![channel, &page.after, page.rows()]).await
}

pub(super) async fn is_member(cx: &Ctx, channel: &str, user: &str) -> Result<bool, DbError> {
    Ok(cx.db().one::<Member>(MEMBER, args![channel, user]).await?.is_some())
}

pub(super) async fn is_member_in(tx: &mut Tx, channel: &str, user: &str) -> Result<bool, DbError> {
    Ok(tx.one::<Member>(MEMBER, args![channel, user]).await?.is_some())
}

pub(super) async fn count_members(tx: &mut Tx, channel: &str) -> Result<i64, DbError> {
    number(tx, "SELECT COUNT(*) AS n FROM member WHERE channel_id = $1", args![channel]).await
}

pub(super) async fn add_member(tx: &mut Tx, channel: &str, member: &Member) -> Result<bool, DbError> {
    let sql = "INSERT INTO member (channel_id, user_id, handle, name, at_ms) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (channel_id, user_id) DO NOTHING";
    let Member { user_id, handle, name, since } = member;
    Ok(tx.run(sql, args![channel, user_id, handle, name, *since]).await? > 0)
}

pub(super) async fn remove_member(tx: &mut Tx, channel: &str, user: &str) -> Result<bool, DbError> {
    let sql = "DELETE FROM member WHERE channel_id = $1 AND user_id = $2";
    Ok(tx.run(sql, args![channel, user]).await? > 0)
}

/// Forgets who owned channels, was a member, made keys and watched; how many rows there were. Names of channels stay taken, by
/// their digests.
pub(super) async fn erase(tx: &mut Tx, user: &str) -> Result<u64, DbError> {
    let mut rows = tx.run("DELETE FROM member WHERE user_id = $1", args![user]).await?;
    rows += tx.run("DELETE FROM org_member WHERE user_id = $1", args![user]).await?;
    let sql = "UPDATE stream_key SET name = '', maker_id = '' WHERE maker_id = $1";
    rows += tx.run(sql, args![user]).await?;
    rows += erase_targets_made(tx, user).await?;
    for channel in tx.all::<Channel>("SELECT * FROM channel WHERE owner_id = $1", args![user]).await? {
        rows += forget_channel(tx, &channel).await?;
    }
    let sql = "UPDATE playback SET user_id = '', session_id = NULL WHERE user_id = $1";
    Ok(rows + tx.run(sql, args![user]).await?)
}

/// Keeps no name of a channel that is deleted.
async fn forget_channel(tx: &mut Tx, channel: &Channel) -> Result<u64, DbError> {
    let rows = erase_targets(tx, &channel.id).await?;
    let sql = "UPDATE stream_key SET name = '', maker_id = '' WHERE channel_id = $1";
    let rows = rows + tx.run(sql, args![&channel.id]).await?;
    let sql = "UPDATE channel SET owner_id = '', org_id = NULL, title = '', handle = $1 WHERE id = $2";
    Ok(rows + tx.run(sql, args![digest(&channel.handle), &channel.id]).await?)
}

/// What stands for the name of a channel whose owner is forgotten: no name looks like it.
fn digest(handle: &str) -> String {
    format!("sha256:{}", nx_chassis::hex(&Sha256::digest(handle.as_bytes())))
}

/// What a member is called now.
pub(super) async fn call_them(tx: &mut Tx, user: &str, handle: &str, name: &str) -> Result<(), DbError> {
    let sql = "UPDATE member SET handle = $1, name = $2 WHERE user_id = $3";
    tx.run(sql, args![handle, name, user]).await.map(drop)
}

/// Tokens that somebody was given and that would hold yet.
pub(super) async fn count_given(cx: &Ctx, user: &str) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM playback WHERE user_id = $1 AND ends_ms > $2";
    Ok(cx.db().one(sql, args![user, cx.now_ms()]).await?.unwrap_or_default())
}

/// The lease on which somebody watches with a token that holds yet.
pub(super) async fn lease_of(
    cx: &Ctx,
    channel: &str,
    user: &str,
    token: &str,
) -> Result<Option<String>, DbError> {
    let sql = "SELECT lease_id FROM playback WHERE channel_id = $1 AND user_id = $2 AND token_id = $3 AND ended = 0 AND ends_ms > $4";
    let found: Option<Lease> = cx.db().one(sql, args![channel, user, token, cx.now_ms()]).await?;
    Ok(found.map(|lease| lease.lease_id))
}

struct Lease {
    lease_id: String,
}
row!(Lease { lease_id });

pub(super) async fn give(tx: &mut Tx, channel: &str, given: &Given<'_>) -> Result<u64, DbError> {
    let sql = "INSERT INTO playback (token_id, channel_id, user_id, session_id, lease_id, ends_ms, ended) \
               VALUES ($1, $2, $3, $4, $5, $6, 0)";
    let Given { token_id, user_id, session_id, lease_id, ends_ms } = given;
    let session_id = session_id.map(str::to_owned);
    tx.run(sql, args![*token_id, channel, *user_id, session_id, *lease_id, *ends_ms]).await
}

/// All that somebody watches.
pub(super) async fn end_of(tx: &mut Tx, user: &str, why: &str) -> Result<(), Problem> {
    let sql = "UPDATE playback SET ended = 1 WHERE user_id = $1 AND ended = 0 RETURNING token_id, user_id";
    end(tx, sql, args![user], why).await
}

/// What is watched in a session.
pub(super) async fn end_in(tx: &mut Tx, session: &str, why: &str) -> Result<(), Problem> {
    let sql = "UPDATE playback SET ended = 1 WHERE session_id = $1 AND ended = 0 RETURNING token_id, user_id";
    end(tx, sql, args![session], why).await
}

/// What stands on a lease.
pub(super) async fn end_by(tx: &mut Tx, lease: &str, why: &str) -> Result<(), Problem> {
    let sql = "UPDATE playback SET ended = 1 WHERE lease_id = $1 AND ended = 0 RETURNING token_id, user_id";
    end(tx, sql, args![lease], why).await
}

/// Whoever watches a channel.
pub(super) async fn end_all(tx: &mut Tx, channel: &str, why: &str) -> Result<(), Problem> {
    let sql = "UPDATE playback SET ended = 1 WHERE channel_id = $1 AND ended = 0 RETURNING token_id, user_id";
    end(tx, sql, args![channel], why).await
}

/// What somebody watches of a channel.
pub(super) async fn end_member(tx: &mut Tx, channel: &str, user: &str, why: &str) -> Result<(), Problem> {
    let sql = "UPDATE playback SET ended = 1 WHERE channel_id = $1 AND user_id = $2 AND ended = 0 \
               RETURNING token_id, user_id";
    end(tx, sql, args![channel, user], why).await
}

/// Ends what a statement finds.
async fn end(tx: &mut Tx, sql: &'static str, args: Vec<Value>, why: &str) -> Result<(), Problem> {
    let ended: Vec<Ended> = tx.all(sql, args).await?;
    if ended.is_empty() {
        return Ok(());
    }
    for Ended { token_id, user_id } in &ended {
        tx.emit(PLAYBACK_ENDED, token_id, &json!({"user_id": user_id, "why": why})).await?;
    }
    tell(tx).await
}

pub(super) async fn untold_tokens(cx: &Ctx) -> Result<Vec<Over>, DbError> {
    let sql = "SELECT * FROM playback WHERE ended = 1 ORDER BY token_id LIMIT $1";
    cx.db().all(sql, args![TOLD_MAX]).await
}

pub(super) async fn token_told(cx: &Ctx, token: &str) -> Result<(), DbError> {
    cx.run("UPDATE playback SET ended = 2 WHERE token_id = $1", args![token]).await.map(drop)
}

/// Forgets tokens that have run out by themselves, keys and targets that the core knows to be gone, and what was over long ago.
pub(super) async fn forget(cx: &Ctx) -> Result<(), DbError> {
    let now_ms = cx.now_ms();
    cx.run("DELETE FROM playback WHERE ends_ms <= $1", args![now_ms]).await?;
    cx.run("DELETE FROM ended WHERE at_ms <= $1", args![now_ms - ENDED_MS]).await?;
    cx.run("DELETE FROM target WHERE deleted = 1 AND told = 1", Vec::new()).await?;
    cx.run("DELETE FROM stream_key WHERE deleted = 1 AND told = 1", Vec::new()).await.map(drop)
}
