//! Simulcast targets.

use nx_chassis::{Ctx, DbError, Page, Tx, args};

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
    anywhere: bool,
) -> Result<u64, DbError> {
    let sql = "INSERT INTO target (id, channel_id, stream, name, shown, sealed, anywhere, at_ms, deleted, told) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)";
    let Target { id, name, url, created_at, .. } = target;
    tx.run(sql, args![id, &channel.id, &channel.stream, name, url, sealed, anywhere, *created_at]).await
}

/// One that the core has refused it does not know of; nor need it be told of the end of that.
pub(crate) async fn delete_target(tx: &mut Tx, channel: &str, id: &str) -> Result<bool, DbError> {
    let sql = "UPDATE target SET deleted = 1, told = CASE WHEN told = 2 THEN 1 ELSE 0 END WHERE id = $1 AND channel_id = $2 \
               AND deleted = 0";
    Ok(tx.run(sql, args![id, channel]).await? > 0)
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
    let sql = "UPDATE target SET name = '', shown = '' WHERE channel_id = $1";
    Ok(gone + tx.run(sql, args![channel]).await?)
}
