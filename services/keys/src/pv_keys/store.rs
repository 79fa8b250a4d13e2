//! SQL of keys, their custodians and ceremonies.

use nx_chassis::{Caller, Ctx, DbError, FromRow, Page, Problem, Row, Tx, args, row};
use zeroize::Zeroizing;

use super::private::{Place, Private, hardware};
use super::quorum::Quorum;
use crate::crypto::{Kind, Material};

/// Keys that there are at most.
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
    /// The service that alone uses it; empty when operators do.
    owner: String,
    /// Whether other secrets or certificates rest on it.
    pub(super) root: bool,
    /// How many custodians decide; 0 when it has none.
    pub(super) approvals: i64,
    pub(super) at_ms: i64,
    pub(super) entrusted_ms: Option<i64>,
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
            owner: row.get("owner")?,
            root: row.get("root")?,
            approvals: row.get("approvals")?,
            at_ms: row.get("at_ms")?,
            entrusted_ms: row.get("entrusted_ms")?,
            destroyed_ms: row.get("destroyed_ms")?,
        })
    }
}

fn sealed_in(key_id: &str) -> String {
    format!("private key {key_id}")
}

impl Key {
    /// A new one around its private half.
    pub(super) fn new(
        cx: &Ctx,
        by: &Caller,
        name: &str,
        id: &str,
        private: &Private,
    ) -> Result<Self, Problem> {
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
            owner: if by.must_be_service().is_ok() { by.subject.clone() } else { String::new() },
            root: private.kind.encrypts(),
            approvals: 0,
            at_ms: cx.now_ms(),
            entrusted_ms: None,
            destroyed_ms: None,
        })
    }

    /// Refuses one that was destroyed.
    ///
    /// # Errors
    /// 410.
    pub(super) fn must_be(&self) -> Result<(), Problem> {
        let told = || Problem::new(http::StatusCode::GONE, "gone", "the key was destroyed");
        if self.destroyed_ms.is_none() { Ok(()) } else { Err(told()) }
    }

    /// Its private half, to be used by whoever may.
    ///
    /// # Errors
    /// 403 when it is a service's, 410 when it was destroyed, 503 when it is in hardware that this process does not have.
    pub(super) fn private(&self, cx: &Ctx, by: &Caller) -> Result<Private, Problem> {
        self.must_be()?;
        if !self.owner.is_empty() && self.owner != by.subject {
            return Err(Problem::forbidden("the service that has made this key uses it, and nobody else"));
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
    let sql = "INSERT INTO private_key (name, id, kind, place, sealed, public, owner, root, approvals, at_ms) \
               SELECT $1, $2, $3, $4, $5, $6, $7, $8, 0, $9 \
               WHERE (SELECT COUNT(*) FROM private_key WHERE destroyed_ms IS NULL) < $10 ON CONFLICT (name) DO NOTHING";
    let place = if key.in_hardware { HARDWARE } else { STORE };
    let (sealed, public) = (key.sealed.clone(), key.public.clone());
    let (kind, owner) = (key.kind.name(), &key.owner);
    let row = args![&key.name, &key.id, kind, place, sealed, public, owner, key.root, key.at_ms, KEYS_MAX];
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
    let now_ms = tx.now_ms();
    let sql = "UPDATE private_key SET approvals = $2, entrusted_ms = $3 WHERE name = $1";
    tx.run(sql, args![name, quorum.approvals, now_ms]).await?;
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

/// Has somebody approve nothing for a while, and what they have approved of what is open count no more: it may have been somebody
/// else who signed in as them.
pub(super) async fn distrust(tx: &mut Tx, person: &str, until_ms: i64) -> Result<(), DbError> {
    let sql = "INSERT INTO changed (person, until_ms) VALUES ($1, $2) ON CONFLICT (person) DO UPDATE SET until_ms = $2";
    tx.run(sql, args![person, until_ms]).await?;
    let sql = "DELETE FROM approval WHERE person = $1 AND ceremony IN (SELECT id FROM ceremony WHERE state = 'open')";
    tx.run(sql, args![person]).await.map(drop)
}

/// Whether somebody signs in as they have for long.
pub(super) async fn is_trusted(tx: &mut Tx, person: &str) -> Result<bool, DbError> {
    let now_ms = tx.now_ms();
    let sql = "SELECT person FROM changed WHERE person = $1 AND until_ms > $2";
    Ok(tx.one::<Person>(sql, args![person, now_ms]).await?.is_none())
}

/// Whether some keys are in hardware: then none are made elsewhere by mistake.
pub(super) async fn has_hardware_keys(cx: &Ctx) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM private_key WHERE place = $1 AND destroyed_ms IS NULL";
    Ok(cx.db().one::<i64>(sql, args![HARDWARE]).await? > Some(0))
}
