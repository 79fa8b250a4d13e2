//! Simulcast targets.

use nx_chassis::{Caller, Ctx, DbError, Page, Tx, args};

use super::super::channels::Channel;
use super::super::core::TOLD_MAX;
use super::super::targets::{Target, Untold};
use super::number;

pub(crate) async fn targets(cx: &Ctx, channel: &str, page: &Page) -> Result<Vec<Target>, DbError> {
    let sql = "SELECT * FROM target WHERE channel_id = $1 AND deleted = 0 AND id > $2 ORDER BY id LIMIT $3";
    cx.db().all(sql, args![channel, &page.after, page.rows()]).await
}

pub(crate) async fn count_targets(tx: &mut Tx, channel: &str) -> Result<i64, DbError> {
    number(tx, "SELECT COUNT(*) AS n FROM target WHERE channel_id = $1 AND deleted = 0", args![channel]).await
}

pub(crate) async fn add_target(
    tx: &mut Tx,
    channel: &Channel,
    target: &Target,
    sealed: Vec<u8>,
    by: &Caller,
) -> Result<u64, DbError> {
    let sql = "INSERT INTO target (id, channel_id, stream, name, shown, sealed, anywhere, at_ms, deleted, told, maker_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $9)";
    let Target { id, name, url, created_at, .. } = target;
    let (anywhere, at, maker) = (by.is_operator(), *created_at, &by.subject);
    tx.run(sql, args![id, &channel.id, &channel.stream, name, url, sealed, anywhere, at, maker]).await
}

/// Ends targets. One that the core has refused it does not know of; nor need it be told of the end of that.
macro_rules! end_targets {
    ($which:literal) => {
        concat!(
            "UPDATE target SET deleted = 1, told = CASE WHEN told = 2 THEN 1 ELSE 0 END WHERE deleted = 0 AND ",
            $which
        )
    };
}

pub(crate) async fn delete_target(tx: &mut Tx, channel: &str, id: &str) -> Result<bool, DbError> {
    let sql = end_targets!("id = $1 AND channel_id = $2");
    Ok(tx.run(sql, args![id, channel]).await? > 0)
}

pub(crate) async fn delete_targets_in(tx: &mut Tx, channel: &str) -> Result<u64, DbError> {
    tx.run(end_targets!("channel_id = $1"), args![channel]).await
}

/// Those of somebody's channels, and those that they have made elsewhere.
pub(crate) async fn delete_targets_of(tx: &mut Tx, owner: &str) -> Result<u64, DbError> {
    let sql = end_targets!("(maker_id = $1 OR channel_id IN (SELECT id FROM channel WHERE owner_id = $1))");
    tx.run(sql, args![owner]).await
}

/// Those of an organisation's channels that somebody has made.
pub(crate) async fn delete_targets_made(tx: &mut Tx, org: &str, maker: &str) -> Result<u64, DbError> {
    let sql = end_targets!("maker_id = $2 AND channel_id IN (SELECT id FROM channel WHERE org_id = $1)");
    tx.run(sql, args![org, maker]).await
}

/// Those of a channel whose makers may not manage it, but those of one.
pub(crate) async fn delete_targets_of_strangers(
    tx: &mut Tx,
    channel: &Channel,
    spared: &str,
) -> Result<u64, DbError> {
    let (person, org) = channel.owner.columns();
    let sql = end_targets!(
        "channel_id = $1 AND ($2 = '' OR maker_id <> $2) AND ($4 = '' OR maker_id <> $4) AND NOT EXISTS \
         (SELECT 1 FROM org_member m WHERE m.org_id = $3 AND m.user_id = target.maker_id AND m.role <> 'publisher')"
    );
    tx.run(sql, args![&channel.id, person, org, spared]).await
}

pub(crate) async fn untold_targets(cx: &Ctx) -> Result<Vec<Untold>, DbError> {
    cx.db()
        .all("SELECT * FROM target WHERE told = 0 ORDER BY deleted DESC, id LIMIT $1", args![TOLD_MAX])
        .await
}

/// Those that the core knows, behind one.
pub(crate) async fn targets_after(cx: &Ctx, id: &str) -> Result<Vec<Untold>, DbError> {
    let sql = "SELECT * FROM target WHERE id > $1 AND told = 1 AND deleted = 0 ORDER BY id LIMIT $2";
    cx.db().all(sql, args![id, TOLD_MAX]).await
}

/// The core knows of a target as it was, and calls it so; what changed since will be told.
pub(crate) async fn target_told(cx: &Ctx, target: &Untold, core_id: &str) -> Result<(), DbError> {
    cx.run("UPDATE target SET core_id = $1, fault = NULL WHERE id = $2", args![core_id, &target.id]).await?;
    let sql = "UPDATE target SET told = 1 WHERE id = $1 AND deleted = $2";
    cx.run(sql, args![&target.id, target.deleted]).await?;
    ended(cx).await
}

/// The core does not take it: what is to go is gone.
pub(crate) async fn target_refused(cx: &Ctx, target: &Untold, why: &str) -> Result<(), DbError> {
    let sql = "UPDATE target SET told = CASE WHEN deleted = 1 THEN 1 ELSE 2 END, fault = $1 WHERE id = $2 AND deleted = $3";
    cx.run(sql, args![why, &target.id, target.deleted]).await?;
    ended(cx).await
}

/// The core does not list it: it has lost it, and takes it again, or somebody has deleted it there, and it does not.
pub(crate) async fn target_forgotten(cx: &Ctx, target: &Untold) -> Result<(), DbError> {
    let sql = "UPDATE target SET told = 0, core_id = NULL WHERE id = $1 AND told = 1 AND deleted = 0";
    cx.run(sql, args![&target.id]).await.map(drop)
}

/// Keeps nothing of those that are deleted and of whose end the core knows.
async fn ended(cx: &Ctx) -> Result<(), DbError> {
    cx.run("DELETE FROM target WHERE deleted = 1 AND told = 1", args![]).await.map(drop)
}

/// Keeps nothing of what a channel was sent on to but what the core must yet hear.
pub(crate) async fn erase_targets(tx: &mut Tx, channel: &str) -> Result<u64, DbError> {
    let sql = "DELETE FROM target WHERE channel_id = $1 AND deleted = 1 AND told = 1";
    let gone = tx.run(sql, args![channel]).await?;
    let sql = "UPDATE target SET name = '', shown = '', maker_id = '' WHERE channel_id = $1";
    Ok(gone + tx.run(sql, args![channel]).await?)
}

/// Keeps nothing of what somebody had channels sent on to but what the core must yet hear.
pub(crate) async fn erase_targets_made(tx: &mut Tx, maker: &str) -> Result<u64, DbError> {
    let sql = "UPDATE target SET name = '', shown = '', maker_id = '' WHERE maker_id = $1";
    tx.run(sql, args![maker]).await
}
