//! All SQL of key-service, and the vault that its keys are kept in.

use std::collections::{BTreeMap, BTreeSet};

use nx_chassis::{Ctx, DbError, FromRow, Problem, Row, Tx, args, row};
use zeroize::Zeroizing;

use super::root::{Root, root};
use super::rules::{Change, Key};
use crate::crypto::{Kind, Material};

/// Keys that there are at most.
pub(super) const KEYS_MAX: i64 = 10_000;
/// Versions of a key that are kept at most.
pub(super) const VERSIONS_MAX: i64 = 1_000;

const KEY: &str = "SELECT * FROM transit_key WHERE name = $1";

impl FromRow for Key {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let kind: String = row.get("kind")?;
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            kind: Kind::parse(&kind).map_err(|_| DbError::Column("kind".into()))?,
            derived: row.get("derived")?,
            exportable: row.get("exportable")?,
            deletable: row.get("deletable")?,
            latest: row.get("latest")?,
            min_available: row.get("min_available")?,
            min_decryption: row.get("min_decryption")?,
            min_encryption: row.get("min_encryption")?,
        })
    }
}

struct Kept {
    version: i64,
    sealed: Vec<u8>,
    public: Vec<u8>,
}
row!(Kept { version, sealed, public });

/// What everybody may know of a version.
pub(super) struct Version {
    pub(super) version: i64,
    pub(super) public: Vec<u8>,
    pub(super) at_ms: i64,
}
row!(Version { version, public, at_ms });

struct Name {
    name: String,
}
row!(Name { name });

/// Where a version is kept: what was put there opens nowhere else.
fn place(key: &Key, version: i64) -> String {
    format!("transit key {} {} version {version}", key.name, key.id)
}

pub(super) fn no_key() -> Problem {
    Problem::not_found("there is no key of that name")
}

pub(super) async fn key(cx: &Ctx, name: &str) -> Result<Key, Problem> {
    cx.db().one(KEY, args![name]).await?.ok_or_else(no_key)
}

pub(super) async fn key_in(tx: &mut Tx, name: &str) -> Result<Option<Key>, DbError> {
    tx.one(KEY, args![name]).await
}

/// All names, in their order.
pub(super) async fn names(cx: &Ctx) -> Result<Vec<String>, DbError> {
    let sql = "SELECT name FROM transit_key ORDER BY name LIMIT $1";
    let names: Vec<Name> = cx.db().all(sql, args![KEYS_MAX]).await?;
    Ok(names.into_iter().map(|row| row.name).collect())
}

/// Versions that are used, oldest first.
pub(super) async fn versions(tx: &mut Tx, key: &Key) -> Result<Vec<Version>, DbError> {
    let sql =
        "SELECT version, public, at_ms FROM key_version WHERE key_id = $1 AND version >= $2 ORDER BY version";
    tx.all(sql, args![&key.id, key.min_decryption]).await
}

fn open(cx: &Ctx, root: &Root, key: &Key, kept: Kept) -> Result<(i64, Material), Problem> {
    let secrets = root.open(cx, &place(key, kept.version), &kept.sealed)?;
    Ok((kept.version, Material::restore(key.kind, &secrets, kept.public)?))
}

/// These versions, to be worked with.
///
/// # Errors
/// 404 when one has gone at this moment, with its key.
pub(super) async fn materials(
    cx: &Ctx,
    key: &Key,
    wanted: BTreeSet<i64>,
) -> Result<BTreeMap<i64, Material>, Problem> {
    let (root, mut found) = (root(cx).await?, BTreeMap::new());
    for version in wanted {
        let sql = "SELECT version, sealed, public FROM key_version WHERE key_id = $1 AND version = $2";
        let kept: Kept = cx.db().one(sql, args![&key.id, version]).await?.ok_or_else(no_key)?;
        found.extend([open(cx, &root, key, kept)?]);
    }
    Ok(found)
}

/// Every version that is used, or one.
pub(super) async fn all_materials(
    cx: &Ctx,
    root: &Root,
    tx: &mut Tx,
    key: &Key,
    only: Option<i64>,
) -> Result<Vec<(i64, Material)>, Problem> {
    let sql = "SELECT version, sealed, public FROM key_version WHERE key_id = $1 AND version BETWEEN $2 AND $3 \
               ORDER BY version";
    let (from, to) = only.map_or((key.min_decryption, key.latest), |only| (only, only));
    let kept: Vec<Kept> = tx.all(sql, args![&key.id, from, to]).await?;
    kept.into_iter().map(|kept| open(cx, root, key, kept)).collect()
}

/// Whether the key was added; not when there is one of the name, or too many.
pub(super) async fn add(tx: &mut Tx, key: &Key) -> Result<bool, DbError> {
    let sql = "INSERT INTO transit_key (name, id, kind, derived, exportable, deletable, latest, min_available, \
               min_decryption, min_encryption) SELECT $1, $2, $3, $4, $5, 0, 1, 1, 1, 0 \
               WHERE (SELECT COUNT(*) FROM transit_key) < $6 ON CONFLICT (name) DO NOTHING";
    let Key { name, id, kind, derived, exportable, .. } = key;
    Ok(tx.run(sql, args![name, id, kind.name(), *derived, *exportable, KEYS_MAX]).await? > 0)
}

/// Keeps a version.
pub(super) async fn keep(
    cx: &Ctx,
    root: &Root,
    tx: &mut Tx,
    key: &Key,
    version: i64,
    material: &Material,
) -> Result<(), Problem> {
    let sealed = root.close(cx, &place(key, version), &material.secrets())?;
    let sql = "INSERT INTO key_version (key_id, version, sealed, public, at_ms) VALUES ($1, $2, $3, $4, $5)";
    let row = args![&key.id, version, sealed, material.public().to_vec(), cx.now_ms()];
    Ok(tx.run(sql, row).await.map(drop)?)
}

/// Counts a further version of this very key, unless it has too many. Whoever else does, waits.
pub(super) async fn advance(tx: &mut Tx, key: &Key) -> Result<Option<Key>, DbError> {
    let sql = "UPDATE transit_key SET latest = latest + 1 WHERE id = $1 AND latest - min_available + 1 < $2 RETURNING *";
    tx.one(sql, args![&key.id, VERSIONS_MAX]).await
}

/// Makes a change that holds to the rules; `None` when there is no such key or the change does not.
pub(super) async fn change(tx: &mut Tx, name: &str, change: &Change) -> Result<Option<Key>, DbError> {
    let sql = "UPDATE transit_key SET min_decryption = COALESCE($2, min_decryption), \
               min_encryption = COALESCE($3, min_encryption), deletable = COALESCE($4, deletable), \
               exportable = COALESCE($5, exportable) \
               WHERE name = $1 AND COALESCE($5, exportable) >= exportable \
               AND COALESCE($2, min_decryption) BETWEEN min_available AND latest \
               AND (COALESCE($3, min_encryption) = 0 \
               OR COALESCE($3, min_encryption) BETWEEN COALESCE($2, min_decryption) AND latest) RETURNING *";
    let Change { min_decryption, min_encryption, deletable, exportable } = *change;
    tx.one(sql, args![name, min_decryption, min_encryption, deletable, exportable]).await
}

/// Deletes versions before this one, which are used no more; `None` when there is no such key or they are.
pub(super) async fn trim(tx: &mut Tx, name: &str, min_available: i64) -> Result<Option<Key>, DbError> {
    let sql = "UPDATE transit_key SET min_available = $2 WHERE name = $1 AND $2 BETWEEN min_available AND min_decryption \
               RETURNING *";
    let Some(key) = tx.one::<Key>(sql, args![name, min_available]).await? else { return Ok(None) };
    let sql = "DELETE FROM key_version WHERE key_id = $1 AND version < $2";
    tx.run(sql, args![&key.id, min_available]).await?;
    Ok(Some(key))
}

/// Deletes a key that may be, with all of its versions.
pub(super) async fn delete(tx: &mut Tx, name: &str) -> Result<Option<Key>, DbError> {
    let sql = "DELETE FROM transit_key WHERE name = $1 AND deletable = 1 RETURNING *";
    let Some(key) = tx.one::<Key>(sql, args![name]).await? else { return Ok(None) };
    tx.run("DELETE FROM key_version WHERE key_id = $1", args![&key.id]).await?;
    Ok(Some(key))
}

/// A key of media, as it is kept.
pub(super) struct Media {
    pub(super) id: String,
    sealed: Vec<u8>,
}
row!(Media { id, sealed });

/// An asset as it stands.
pub(super) struct Asset {
    pub(super) periods: i64,
    pub(super) shredded: bool,
}
row!(Asset { periods, shredded });

const MEDIA: &str = "SELECT id, sealed FROM media_key WHERE asset = $1 AND period = $2";

fn media_place(asset: &str, period: i64) -> String {
    format!("media key {asset} period {period}")
}

impl Media {
    /// Its 16 bytes.
    pub(super) fn open(
        &self,
        cx: &Ctx,
        root: &Root,
        asset: &str,
        period: i64,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        root.open(cx, &media_place(asset, period), &self.sealed)
    }
}

pub(super) async fn media(cx: &Ctx, asset: &str, period: i64) -> Result<Option<Media>, DbError> {
    cx.db().one(MEDIA, args![asset, period]).await
}

pub(super) async fn media_in(tx: &mut Tx, asset: &str, period: i64) -> Result<Option<Media>, DbError> {
    tx.one(MEDIA, args![asset, period]).await
}

/// Whoever else adds a period to an asset, or shreds it, waits until the end of the transaction.
pub(super) async fn hold_asset(tx: &mut Tx, asset: &str) -> Result<Asset, Problem> {
    let sql = "INSERT INTO media_asset AS a (asset, periods, shredded) VALUES ($1, 0, 0) \
               ON CONFLICT (asset) DO UPDATE SET periods = a.periods RETURNING periods, shredded";
    tx.one(sql, args![asset]).await?.ok_or_else(|| Problem::internal("an asset is not there"))
}

pub(super) async fn add_media(
    cx: &Ctx,
    root: &Root,
    tx: &mut Tx,
    asset: &str,
    period: i64,
    key: &[u8],
) -> Result<Media, Problem> {
    let media = Media { id: cx.new_id(), sealed: root.close(cx, &media_place(asset, period), key)? };
    let sql = "INSERT INTO media_key (asset, period, id, sealed) VALUES ($1, $2, $3, $4)";
    tx.run(sql, args![asset, period, &media.id, media.sealed.clone()]).await?;
    tx.run("UPDATE media_asset SET periods = periods + 1 WHERE asset = $1", args![asset]).await?;
    Ok(media)
}

/// Deletes all keys of an asset, which never has any again; how many there were.
pub(super) async fn shred(tx: &mut Tx, asset: &str) -> Result<u64, DbError> {
    let sql = "INSERT INTO media_asset (asset, periods, shredded) VALUES ($1, 0, 1) \
               ON CONFLICT (asset) DO UPDATE SET shredded = 1";
    tx.run(sql, args![asset]).await?;
    tx.run("DELETE FROM media_key WHERE asset = $1", args![asset]).await
}
