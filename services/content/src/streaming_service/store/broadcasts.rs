//! Broadcasts with their markers and clips.

use nx_chassis::{Ctx, DbError, FromRow, Page, Problem, Row, Tx, args};

use super::super::air::Air;
use super::super::broadcasts::Broadcast;
use super::super::channels::Channel;
use super::super::clips::Clip;
use super::super::core::TOLD_MAX;
use super::super::markers::{Marker, Untold};
use super::super::rules;
use super::number;

/// Broadcasts that are on air at a time and are looked at: as many as streams of the core are.
const ON_AIR_MAX: i64 = 10_000;
/// Broadcasts of a channel that are remembered.
const KEPT: i64 = 1_000;

/// A broadcast that is on air, and whose.
pub(crate) struct OnAir {
    pub(crate) broadcast: Broadcast,
    handle: String,
    members_only: bool,
}

impl FromRow for OnAir {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let (handle, members_only) = (row.get("handle")?, row.get("members_only")?);
        Ok(Self { broadcast: Broadcast::from_row(row)?, handle, members_only })
    }
}

impl OnAir {
    /// Its stream.
    pub(crate) fn stream(&self) -> String {
        rules::stream(&self.handle, self.members_only)
    }
}

pub(crate) async fn add_broadcast(tx: &mut Tx, broadcast: &Broadcast) -> Result<u64, DbError> {
    let sql = "INSERT INTO broadcast (id, channel_id, title, description, state, planned_ms, seen_ms, viewers_peak, at_ms, \
               version) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, 1)";
    let Broadcast { id, channel_id, title, description, state, planned_at, created_at, .. } = broadcast;
    tx.run(sql, args![id, channel_id, title, description, state.name(), *planned_at, *created_at]).await
}

pub(crate) async fn broadcast(cx: &Ctx, channel: &str, id: &str) -> Result<Option<Broadcast>, DbError> {
    cx.db().one("SELECT * FROM broadcast WHERE id = $1 AND channel_id = $2", args![id, channel]).await
}

pub(crate) async fn broadcasts(cx: &Ctx, channel: &str, page: &Page) -> Result<Vec<Broadcast>, DbError> {
    let sql =
        "SELECT * FROM broadcast WHERE channel_id = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3";
    cx.db().all(sql, args![channel, &page.after, page.rows()]).await
}

/// Those to come, oldest first.
pub(crate) async fn scheduled(tx: &mut Tx, channel: &str) -> Result<Vec<Broadcast>, DbError> {
    let sql = "SELECT * FROM broadcast WHERE channel_id = $1 AND state = 'scheduled' ORDER BY id";
    tx.all(sql, args![channel]).await
}

pub(crate) async fn change_broadcast(
    tx: &mut Tx,
    broadcast: &Broadcast,
    version: i64,
) -> Result<Broadcast, Problem> {
    let sql = "UPDATE broadcast SET title = $1, description = $2, planned_ms = $3, version = version + 1 WHERE id = $4 AND \
               version = $5 AND state = $6 RETURNING *";
    let Broadcast { id, title, description, planned_at, state, .. } = broadcast;
    let args = args![title, description, *planned_at, id, version, state.name()];
    tx.one(sql, args).await?.ok_or_else(Problem::stale)
}

pub(crate) async fn unplan(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    Ok(tx.run("DELETE FROM broadcast WHERE id = $1 AND state = 'scheduled'", args![id]).await? > 0)
}

/// Puts one on air, unless it has been or another of its channel is.
pub(crate) async fn begin(tx: &mut Tx, id: &str, now_ms: i64) -> Result<Option<Broadcast>, DbError> {
    let sql = "UPDATE broadcast SET state = 'live', started_ms = $1, seen_ms = $1, version = version + 1 WHERE id = $2 AND \
               state = 'scheduled' AND NOT EXISTS (SELECT 1 FROM broadcast AS o WHERE o.channel_id = broadcast.channel_id \
               AND o.state IN ('live', 'away')) RETURNING *";
    tx.one(sql, args![now_ms, id]).await
}

pub(crate) async fn end_broadcast(tx: &mut Tx, id: &str, now_ms: i64) -> Result<Option<Broadcast>, DbError> {
    let sql = "UPDATE broadcast SET state = 'ended', ended_ms = $1, version = version + 1 WHERE id = $2 AND \
               state IN ('live', 'away') RETURNING *";
    tx.one(sql, args![now_ms, id]).await
}

/// Ends what a channel has on air.
pub(crate) async fn end_broadcasts(
    tx: &mut Tx,
    channel: &str,
    now_ms: i64,
) -> Result<Vec<Broadcast>, DbError> {
    let sql = "UPDATE broadcast SET state = 'ended', ended_ms = $1, version = version + 1 WHERE channel_id = $2 AND \
               state IN ('live', 'away') RETURNING *";
    tx.all(sql, args![now_ms, channel]).await
}

pub(crate) async fn on_air(cx: &Ctx) -> Result<Vec<OnAir>, DbError> {
    let sql = "SELECT broadcast.*, channel.handle, channel.members_only FROM broadcast JOIN channel ON channel.id = \
               broadcast.channel_id WHERE broadcast.state IN ('live', 'away') ORDER BY broadcast.id LIMIT $1";
    cx.db().all(sql, args![ON_AIR_MAX]).await
}

/// Takes down how it stands with one, unless that has changed meanwhile; what came of it. Only another state is another version.
pub(crate) async fn follow(
    tx: &mut Tx,
    was: &Broadcast,
    now: Air,
    viewers: i64,
) -> Result<Option<Broadcast>, DbError> {
    let sql = "UPDATE broadcast SET state = $1, seen_ms = $2, ended_ms = CASE WHEN $1 = 'ended' THEN $2 END, viewers_peak = \
               CASE WHEN viewers_peak < $3 THEN $3 ELSE viewers_peak END, version = version + CASE WHEN state = $1 THEN 0 \
               ELSE 1 END WHERE id = $4 AND state = $5 AND seen_ms = $6 RETURNING *";
    let args = args![now.state.name(), now.seen_ms, viewers, &was.id, was.state.name(), was.seen_ms];
    tx.one(sql, args).await
}

/// The channel of a stream.
pub(crate) async fn of_stream(cx: &Ctx, stream: &str) -> Result<Option<Channel>, DbError> {
    let handle = stream.split_once('/').map_or("", |(_, handle)| handle);
    let found: Option<Channel> =
        cx.db().one("SELECT * FROM channel WHERE handle = $1 AND deleted = 0", args![handle]).await?;
    Ok(found.filter(|channel| channel.stream == stream))
}

/// When the last broadcast of a channel was over; 0 when none was.
pub(crate) async fn last_end(cx: &Ctx, channel: &str) -> Result<i64, DbError> {
    let sql = "SELECT COALESCE(MAX(ended_ms), 0) AS n FROM broadcast WHERE channel_id = $1";
    Ok(cx.db().one(sql, args![channel]).await?.unwrap_or_default())
}

/// Forgets the oldest of a channel.
pub(crate) async fn forget_broadcasts(tx: &mut Tx, channel: &str) -> Result<(), DbError> {
    let sql = "DELETE FROM broadcast WHERE channel_id = $1 AND state = 'ended' AND id <= (SELECT id FROM broadcast WHERE \
               channel_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2) RETURNING *";
    for gone in tx.all::<Broadcast>(sql, args![channel, KEPT]).await? {
        tx.run("DELETE FROM marker WHERE broadcast_id = $1", args![&gone.id]).await?;
        tx.run("DELETE FROM clip WHERE broadcast_id = $1", args![&gone.id]).await?;
    }
    Ok(())
}

/// All there was on a channel.
pub(crate) async fn delete_broadcasts(tx: &mut Tx, channel: &str) -> Result<(), DbError> {
    let of = "DELETE FROM marker WHERE broadcast_id IN (SELECT id FROM broadcast WHERE channel_id = $1)";
    tx.run(of, args![channel]).await?;
    let of = "DELETE FROM clip WHERE broadcast_id IN (SELECT id FROM broadcast WHERE channel_id = $1)";
    tx.run(of, args![channel]).await?;
    tx.run("DELETE FROM broadcast WHERE channel_id = $1", args![channel]).await.map(drop)
}

pub(crate) async fn markers(cx: &Ctx, broadcast: &str, page: &Page) -> Result<Vec<Marker>, DbError> {
    let sql = "SELECT * FROM marker WHERE broadcast_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    cx.db().all(sql, args![broadcast, &page.after, page.rows()]).await
}

pub(crate) async fn count_markers(tx: &mut Tx, broadcast: &str) -> Result<i64, DbError> {
    number(tx, "SELECT COUNT(*) AS n FROM marker WHERE broadcast_id = $1", args![broadcast]).await
}

pub(crate) async fn add_marker(
    tx: &mut Tx,
    broadcast: &str,
    stream: &str,
    marker: &Marker,
) -> Result<u64, DbError> {
    let sql = "INSERT INTO marker (id, broadcast_id, stream, kind, label, at_ms, told) VALUES ($1, $2, $3, $4, $5, $6, 0)";
    let Marker { id, kind, label, at, .. } = marker;
    tx.run(sql, args![id, broadcast, stream, kind.name(), label, *at]).await
}

pub(crate) async fn delete_marker(tx: &mut Tx, broadcast: &str, id: &str) -> Result<bool, DbError> {
    let sql = "DELETE FROM marker WHERE id = $1 AND broadcast_id = $2";
    Ok(tx.run(sql, args![id, broadcast]).await? > 0)
}

pub(crate) async fn untold_markers(cx: &Ctx) -> Result<Vec<Untold>, DbError> {
    cx.db().all("SELECT * FROM marker WHERE told = 0 ORDER BY id LIMIT $1", args![TOLD_MAX]).await
}

/// The core has taken a marker, or will not.
pub(crate) async fn marker_told(cx: &Ctx, id: &str, taken: bool) -> Result<(), DbError> {
    let told = if taken { 1 } else { 2 };
    cx.run("UPDATE marker SET told = $1 WHERE id = $2", args![told, id]).await.map(drop)
}

pub(crate) async fn clips(cx: &Ctx, broadcast: &str, page: &Page) -> Result<Vec<Clip>, DbError> {
    let sql = "SELECT * FROM clip WHERE broadcast_id = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3";
    cx.db().all(sql, args![broadcast, &page.after, page.rows()]).await
}

pub(crate) async fn count_clips(cx: &Ctx, broadcast: &str) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM clip WHERE broadcast_id = $1";
    Ok(cx.db().one(sql, args![broadcast]).await?.unwrap_or_default())
}

/// A clip that was written down before stays as it is.
pub(crate) async fn add_clip(tx: &mut Tx, broadcast: &str, clip: &Clip) -> Result<u64, DbError> {
    let sql = "INSERT INTO clip (id, broadcast_id, title, from_ms, to_ms, at_ms, hls, dash, mp4) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING";
    let Clip { id, title, from, to, created_at, hls_path, dash_path, mp4_path } = clip;
    let args = args![id, broadcast, title, *from, *to, *created_at, hls_path, dash_path, mp4_path];
    tx.run(sql, args).await
}

pub(crate) async fn has_clip(cx: &Ctx, broadcast: &str, id: &str) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM clip WHERE id = $1 AND broadcast_id = $2";
    Ok(cx.db().one::<i64>(sql, args![id, broadcast]).await?.unwrap_or_default() > 0)
}

pub(crate) async fn delete_clip(tx: &mut Tx, broadcast: &str, id: &str) -> Result<u64, DbError> {
    tx.run("DELETE FROM clip WHERE id = $1 AND broadcast_id = $2", args![id, broadcast]).await
}
