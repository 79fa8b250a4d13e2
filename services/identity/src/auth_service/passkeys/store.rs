//! SQL of passkeys.

use nx_chassis::{Ctx, DbError, FromRow, Page, Problem, Row, Tx, Value, args, row};
use webauthn_rs::prelude::{
    AuthenticationResult, Credential, CredentialID, DiscoverableAuthentication, Passkey as Key,
    PasskeyRegistration,
};

use super::Passkey;

/// Questions that one network may have open: whole schools sign in from one.
const OPEN_MAX: i64 = 500;

impl FromRow for Passkey {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            created_at: row.get("at_ms")?,
            used_at: row.get("used_ms")?,
            synced: row.get("synced")?,
        })
    }
}

pub(super) async fn list(cx: &Ctx, person: &str, page: &Page) -> Result<Vec<Passkey>, DbError> {
    let sql = "SELECT * FROM passkey WHERE person_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    cx.db().all(sql, args![person, &page.after, page.rows()]).await
}

/// Those of somebody, so many of them.
pub(in super::super) async fn of(cx: &Ctx, person: &str, most: i64) -> Result<Vec<Passkey>, DbError> {
    let sql = "SELECT * FROM passkey WHERE person_id = $1 ORDER BY id LIMIT $2";
    cx.db().all(sql, args![person, most]).await
}

struct Known {
    credential_id: Vec<u8>,
}
row!(Known { credential_id });

/// What devices know them by: a device that has one is to make no second.
pub(super) async fn credential_ids(cx: &Ctx, person: &str) -> Result<Vec<CredentialID>, DbError> {
    let sql = "SELECT credential_id FROM passkey WHERE person_id = $1";
    let known: Vec<Known> = cx.db().all(sql, args![person]).await?;
    Ok(known.into_iter().map(|known| known.credential_id).collect())
}

pub(super) async fn count(tx: &mut Tx, person: &str) -> Result<usize, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM passkey WHERE person_id = $1";
    let count: i64 = tx.one(sql, args![person]).await?.unwrap_or_default();
    Ok(usize::try_from(count).unwrap_or_default())
}

pub(super) async fn add(
    tx: &mut Tx,
    id: &str,
    person: &str,
    name: &str,
    made: Key,
) -> Result<Passkey, Problem> {
    let sql = "INSERT INTO passkey (id, person_id, credential_id, credential, counter, name, synced, at_ms) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *";
    let credential = Value::json(&made);
    let Credential { cred_id, counter, backup_state, .. } = made.into();
    let args = args![id, person, cred_id, credential, counter, name, backup_state, tx.now_ms()];
    match tx.one(sql, args).await {
        Err(error) if error.is_unique() => {
            Err(Problem::conflict("passkey-known", "this passkey is known here already"))
        }
        added => added?.ok_or_else(|| Problem::internal("a row that was added is not there")),
    }
}

pub(super) async fn rename(
    tx: &mut Tx,
    person: &str,
    id: &str,
    name: &str,
) -> Result<Option<Passkey>, DbError> {
    let sql = "UPDATE passkey SET name = $1 WHERE id = $2 AND person_id = $3 RETURNING *";
    tx.one(sql, args![name, id, person]).await
}

pub(super) async fn remove(tx: &mut Tx, person: &str, id: &str) -> Result<bool, DbError> {
    let sql = "DELETE FROM passkey WHERE id = $1 AND person_id = $2";
    Ok(tx.run(sql, args![id, person]).await? > 0)
}

pub(in super::super) async fn remove_all(tx: &mut Tx, person: &str) -> Result<bool, DbError> {
    Ok(tx.run("DELETE FROM passkey WHERE person_id = $1", args![person]).await? > 0)
}

/// Whether somebody still has this one.
pub(in super::super) async fn is_there(cx: &Ctx, person: &str, id: &str) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM passkey WHERE id = $1 AND person_id = $2";
    Ok(cx.db().one::<i64>(sql, args![id, person]).await? == Some(1))
}

/// What a passkey is held against.
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) person_id: String,
    pub(super) credential: Key,
}
row!(Kept { id, person_id } json { credential });

pub(super) async fn by_credential(cx: &Ctx, person: &str, id: &[u8]) -> Result<Option<Kept>, DbError> {
    let sql = "SELECT id, person_id, credential FROM passkey WHERE credential_id = $1 AND person_id = $2";
    cx.db().one(sql, args![id.to_vec(), person]).await
}

/// Writes down that one was shown, where its counter was lower, or it has none; whether that was so.
pub(super) async fn used(tx: &mut Tx, mut kept: Kept, shown: &AuthenticationResult) -> Result<bool, DbError> {
    kept.credential.update_credential(shown);
    let sql = "UPDATE passkey SET credential = $1, counter = $2, synced = $3, used_ms = $4 \
               WHERE id = $5 AND (counter < $2 OR (counter = 0 AND $2 = 0))";
    let (counter, synced, now_ms) = (i64::from(shown.counter()), shown.backup_state(), tx.now_ms());
    Ok(tx.run(sql, args![Value::json(&kept.credential), counter, synced, now_ms, kept.id]).await? > 0)
}

/// A question to somebody who is signed in; the one before is forgotten.
/// Keeps a question for the session in which the password was shown.
pub(super) async fn begin_registration(
    tx: &mut Tx,
    (person, session): (&str, &str),
    password: &str,
    state: &PasskeyRegistration,
    ends_ms: i64,
) -> Result<u64, DbError> {
    let sql = "INSERT INTO passkey_registration (person_id, password, state, ends_ms, session_id) \
               VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (person_id) DO UPDATE SET session_id = excluded.session_id, password = excluded.password, state = excluded.state, \
               ends_ms = excluded.ends_ms";
    tx.run(sql, args![person, password, Value::json(state), ends_ms, session]).await
}

/// What was asked, and what was kept of the password that allowed it.
pub(super) struct Registration {
    pub(super) password: String,
    pub(super) state: PasskeyRegistration,
}
row!(Registration { password } json { state });

/// Uses the question up, whatever comes of it.
pub(super) async fn take_registration(
    cx: &Ctx,
    (person, session): (&str, &str),
) -> Result<Option<Registration>, DbError> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    let sql = "DELETE FROM passkey_registration WHERE person_id = $1 AND session_id = $2 AND ends_ms > $3 \
               RETURNING password, state";
    let taken = tx.one(sql, args![person, session, now_ms]).await?;
    tx.commit().await?;
    Ok(taken)
}

pub(in super::super) async fn end_registration(tx: &mut Tx, person: &str) -> Result<u64, DbError> {
    tx.run("DELETE FROM passkey_registration WHERE person_id = $1", args![person]).await
}

/// Keeps a question, if there are not too many open ones of its network; whether it was kept.
pub(super) async fn begin_login(
    tx: &mut Tx,
    hash: Vec<u8>,
    network: &str,
    state: &DiscoverableAuthentication,
    ends_ms: i64,
) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM passkey_login WHERE network = $1 AND ends_ms > $2";
    let open: i64 = tx.one(sql, args![network, tx.now_ms()]).await?.unwrap_or_default();
    if open >= OPEN_MAX {
        return Ok(false);
    }
    let sql = "INSERT INTO passkey_login (hash, network, state, ends_ms) VALUES ($1, $2, $3, $4)";
    Ok(tx.run(sql, args![hash, network, Value::json(state), ends_ms]).await? > 0)
}

struct Login {
    state: DiscoverableAuthentication,
}
row!(Login {} json { state });

/// Uses the question up, whatever comes of it: of many who show the same, one gets it.
pub(super) async fn take_login(
    cx: &Ctx,
    hash: Vec<u8>,
) -> Result<Option<DiscoverableAuthentication>, DbError> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    let sql = "DELETE FROM passkey_login WHERE hash = $1 AND ends_ms > $2 RETURNING state";
    let taken: Option<Login> = tx.one(sql, args![hash, now_ms]).await?;
    tx.commit().await?;
    Ok(taken.map(|login| login.state))
}

pub(in super::super) async fn erase(tx: &mut Tx, person: &str) -> Result<u64, DbError> {
    let rows = tx.run("DELETE FROM passkey WHERE person_id = $1", args![person]).await?;
    Ok(rows + end_registration(tx, person).await?)
}

pub(in super::super) async fn sweep(tx: &mut Tx) -> Result<(), DbError> {
    let now_ms = tx.now_ms();
    tx.run("DELETE FROM passkey_registration WHERE ends_ms <= $1", args![now_ms]).await?;
    tx.run("DELETE FROM passkey_login WHERE ends_ms <= $1", args![now_ms]).await.map(drop)
}
