//! SQL of keys, their custodians and ceremonies.

use nx_chassis::{Ctx, DbError, FromRow, Page, Problem, Row, Tx, args, row};
use zeroize::Zeroizing;

use super::private::{Place, Private, hardware};
use super::quorum::Quorum;
use crate::crypto::{Kind, Material};

/// Keys that there are at most, with those that were destroyed: names never come back.
const KEYS_MAX: i64 = 10_000;

/// A key, as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) in_hardware: bool,
    sealed: Vec<u8>,
    pub(super) public: Vec<u8>,
    /// Whether other secrets or certificates rest on it.
    pub(super) root: bool,
    /// How many custodians decide; 0 when it has none.
    pub(super) approvals: i64,
    pub(super) at_ms: i64,
    pub(super) destroyed_ms: Option<i64>,
}

const HARDWARE: &str = "hardware";
const STORE: &str = "store";

impl FromRow for Key {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let kind: String = row.get("kind")?;
        let place: String = row.get("place")?;
        Ok(Self {
            name: row.get("name")?,
            id: row.get("id")?,
            kind: Kind::parse(&kind).map_err(|_| DbError::Column("kind".into()))?,
            in_hardware: place == HARDWARE,
            sealed: row.get("sealed")?,
            public: row.get("public")?,
            root: row.get("root")?,
            approvals: row.get("approvals")?,
            at_ms: row.get("at_ms")?,
            destroyed_ms: row.get("destroyed_ms")?,
        })
    }
}

fn sealed_in(key_id: &str) -> String {
    format!("private key {key_id}")
}

impl Key {
    /// A new one around its private half.
    pub(super) fn new(cx: &Ctx, name: &str, id: &str, private: &Private) -> Result<Self, Problem> {
        let (in_hardware, sealed) = match &private.place {
            Place::Store(material) => (false, cx.vault().close(&sealed_in(id), &material.secrets())?),
            Place::Hardware(..) => (true, Vec::new()),
        };
        Ok(Self {
            name: name.into(),
            id: id.into(),
            kind: private.kind,
            in_hardware,
            sealed,
            public: private.public.clone(),
            root: private.kind.encrypts(),
            approvals: 0,
            at_ms: cx.now_ms(),
            destroyed_ms: None,
        })
    }

    /// Its private half, to be used.
    ///
    /// # Errors
    /// 410 when it was destroyed, 503 when it is in hardware that this process does not have.
    pub(super) fn private(&self, cx: &Ctx) -> Result<Private, Problem> {
        if self.destroyed_ms.is_some() {
            return Err(Problem::new(http::StatusCode::GONE, "gone", "the key was destroyed"));
        }
        let place = if self.in_hardware {
            let told = "the key is in hardware: set gateway.keys.pkcs11 for pv-keys, and start it again";
            let hsm = hardware().ok_or_else(|| Problem::unavailable("hardware", told, 30))?;
            Place::Hardware(hsm, self.id.clone())
        } else {
            let secrets = Zeroizing::new(cx.vault().open(&sealed_in(&self.id), &self.sealed)?);
            Place::Store(Material::restore(self.kind, &secrets, Vec::new())?)
        };
        Ok(Private { kind: self.kind, place, public: self.public.clone() })
    }
}

pub(super) fn no_key() -> Problem {
    Problem::not_found("there is no key of that name")
}

pub(super) async fn key(cx: &Ctx, name: &str) -> Result<Key, Problem> {
    cx.db().one("SELECT * FROM private_key WHERE name = $1", args![name]).await?.ok_or_else(no_key)
}

/// The same; whoever else changes it waits until the end of the transaction.
pub(super) async fn hold(tx: &mut Tx, name: &str) -> Result<Key, Problem> {
    let sql = "UPDATE private_key SET name = name WHERE name = $1 RETURNING *";
    tx.one(sql, args![name]).await?.ok_or_else(no_key)
}

pub(super) async fn keys(cx: &Ctx, page: &Page) -> Result<Vec<Key>, DbError> {
    let sql = "SELECT * FROM private_key WHERE name > $1 ORDER BY name LIMIT $2";
    cx.db().all(sql, args![&page.after, page.rows()]).await
}

/// Whether it was added; not when there is one of the name, or was, or there are too many.
pub(super) async fn add(tx: &mut Tx, key: &Key) -> Result<bool, DbError> {
    let sql = "INSERT INTO private_key (name, id, kind, place, sealed, public, root, approvals, at_ms) \
               SELECT $1, $2, $3, $4, $5, $6, $7, 0, $8 WHERE (SELECT COUNT(*) FROM private_key) < $9 \
               ON CONFLICT (name) DO NOTHING";
    let place = if key.in_hardware { HARDWARE } else { STORE };
    let (sealed, public) = (key.sealed.clone(), key.public.clone());
    let row =
        args![&key.name, &key.id, key.kind.name(), place, sealed, public, key.root, key.at_ms, KEYS_MAX];
    Ok(tx.run(sql, row).await? > 0)
}

/// Has certificates rest on it.
pub(super) async fn make_root(tx: &mut Tx, name: &str) -> Result<(), DbError> {
    tx.run("UPDATE private_key SET root = 1 WHERE name = $1", args![name]).await.map(drop)
}

/// Leaves nothing of it but that it was there. Nothing is decided about it any more.
pub(super) async fn destroy(tx: &mut Tx, name: &str) -> Result<(), DbError> {
    let now_ms = tx.now_ms();
    let sql =
        "UPDATE private_key SET sealed = $2, destroyed_ms = $3 WHERE name = $1 AND destroyed_ms IS NULL";
    tx.run(sql, args![name, Vec::new(), now_ms]).await?;
    close_ceremonies(tx, name).await
}

/// Gives a key other custodians. What was asked of those before is void.
pub(super) async fn entrust(tx: &mut Tx, name: &str, quorum: &Quorum) -> Result<(), DbError> {
    tx.run("DELETE FROM custodian WHERE key = $1", args![name]).await?;
    for person in &quorum.people {
        tx.run("INSERT INTO custodian (key, person) VALUES ($1, $2)", args![name, person]).await?;
    }
    tx.run("UPDATE private_key SET approvals = $2 WHERE name = $1", args![name, quorum.approvals]).await?;
    close_ceremonies(tx, name).await
}

async fn close_ceremonies(tx: &mut Tx, key: &str) -> Result<(), DbError> {
    let now_ms = tx.now_ms();
    let sql = "UPDATE ceremony SET state = 'void', ended_ms = $2 WHERE key = $1 AND state = 'open'";
    tx.run(sql, args![key, now_ms]).await.map(drop)
}

struct Person {
    person: String,
}
row!(Person { person });

/// Who watches over a key, in their order.
pub(super) async fn custodians(cx: &Ctx, key: &str) -> Result<Vec<String>, DbError> {
    let people: Vec<Person> =
        cx.db().all("SELECT person FROM custodian WHERE key = $1 ORDER BY person", args![key]).await?;
    Ok(people.into_iter().map(|row| row.person).collect())
}

/// Whether somebody does.
pub(super) async fn is_custodian(tx: &mut Tx, key: &str, person: &str) -> Result<bool, DbError> {
    let sql = "SELECT person FROM custodian WHERE key = $1 AND person = $2";
    Ok(tx.one::<Person>(sql, args![key, person]).await?.is_some())
}
