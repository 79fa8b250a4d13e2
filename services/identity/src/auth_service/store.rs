//! SQL of auth-service, but for attempts, links and passkeys, which have theirs beside their rules.

use nx_chassis::{Ctx, DbError, Job, Problem, Tx, args, row};

use super::passkeys;

/// Tries of one second step.
const TRIES_MAX: i64 = 5;
/// Attempts are forgotten after a day.
const DAY_MS: i64 = 24 * 3_600_000;

/// What somebody signs in with.
pub(super) struct Credential {
    pub(super) person_id: String,
    pub(super) handle: String,
    pub(super) password: String,
}
row!(Credential { person_id, handle, password });

pub(super) async fn by_handle(cx: &Ctx, handle: &str) -> Result<Option<Credential>, DbError> {
    cx.db().one("SELECT * FROM credential WHERE handle = $1", args![handle]).await
}

pub(super) async fn by_person(cx: &Ctx, person: &str) -> Result<Option<Credential>, DbError> {
    cx.db().one("SELECT * FROM credential WHERE person_id = $1", args![person]).await
}

pub(super) async fn put(tx: &mut Tx, person: &str, handle: &str, password: &str) -> Result<u64, DbError> {
    let sql = "INSERT INTO credential (person_id, handle, password) VALUES ($1, $2, $3) \
               ON CONFLICT (person_id) DO UPDATE SET password = excluded.password";
    tx.run(sql, args![person, handle, password]).await
}

/// Whether this is still what is kept of somebody's password, which nobody changes before the transaction ends.
pub(super) async fn is_still(tx: &mut Tx, person: &str, password: &str) -> Result<bool, DbError> {
    let sql = "UPDATE credential SET handle = handle WHERE person_id = $1 AND password = $2";
    Ok(tx.run(sql, args![person, password]).await? > 0)
}

/// The secret that codes come from, as it is kept, and whether it is in use.
pub(super) struct Totp {
    pub(super) sealed: Vec<u8>,
    pub(super) confirmed: bool,
}
row!(Totp { sealed, confirmed });

pub(super) async fn totp(cx: &Ctx, person: &str) -> Result<Option<Totp>, DbError> {
    cx.db().one("SELECT sealed, confirmed FROM totp WHERE person_id = $1", args![person]).await
}

/// A new secret, unless one is in use.
pub(super) async fn begin_totp(tx: &mut Tx, person: &str, sealed: Vec<u8>) -> Result<bool, DbError> {
    let sql = "INSERT INTO totp AS t (person_id, sealed, confirmed, step) VALUES ($1, $2, 0, 0) \
               ON CONFLICT (person_id) DO UPDATE SET sealed = excluded.sealed WHERE t.confirmed = 0";
    Ok(tx.run(sql, args![person, sealed]).await? > 0)
}

pub(super) async fn confirm_totp(tx: &mut Tx, person: &str, step: i64) -> Result<bool, DbError> {
    let sql = "UPDATE totp SET confirmed = 1, step = $1 WHERE person_id = $2 AND confirmed = 0";
    Ok(tx.run(sql, args![step, person]).await? > 0)
}

/// Whether it was in use.
pub(super) async fn remove_totp(tx: &mut Tx, person: &str) -> Result<bool, DbError> {
    tx.run("DELETE FROM recovery_code WHERE person_id = $1", args![person]).await?;
    let sql = "DELETE FROM totp WHERE person_id = $1 RETURNING confirmed AS n";
    Ok(tx.one::<i64>(sql, args![person]).await? == Some(1))
}

/// Uses a step up, with those before it; whether it had not been.
pub(super) async fn use_step(tx: &mut Tx, person: &str, step: i64) -> Result<bool, DbError> {
    let sql = "UPDATE totp SET step = $1 WHERE person_id = $2 AND confirmed = 1 AND step < $1";
    Ok(tx.run(sql, args![step, person]).await? > 0)
}

pub(super) async fn put_codes(tx: &mut Tx, person: &str, hashes: Vec<Vec<u8>>) -> Result<(), DbError> {
    tx.run("DELETE FROM recovery_code WHERE person_id = $1", args![person]).await?;
    for hash in hashes {
        tx.run("INSERT INTO recovery_code (person_id, hash) VALUES ($1, $2)", args![person, hash]).await?;
    }
    Ok(())
}

pub(super) async fn use_code(tx: &mut Tx, person: &str, hash: Vec<u8>) -> Result<bool, DbError> {
    let sql = "DELETE FROM recovery_code WHERE person_id = $1 AND hash = $2";
    Ok(tx.run(sql, args![person, hash]).await? > 0)
}

pub(super) async fn codes_left(cx: &Ctx, person: &str) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM recovery_code WHERE person_id = $1";
    Ok(cx.db().one(sql, args![person]).await?.unwrap_or_default())
}

pub(super) async fn challenge(
    tx: &mut Tx,
    person: &str,
    hash: Vec<u8>,
    ends_ms: i64,
) -> Result<u64, DbError> {
    let sql = "INSERT INTO challenge (hash, person_id, tries, ends_ms) VALUES ($1, $2, 0, $3)";
    tx.run(sql, args![hash, person, ends_ms]).await
}

struct Asked {
    person_id: String,
}
row!(Asked { person_id });

/// Whose second step this is; one of its tries is gone now, whatever comes of it.
pub(super) async fn try_challenge(cx: &Ctx, hash: Vec<u8>) -> Result<Option<String>, DbError> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    let sql = "UPDATE challenge SET tries = tries + 1 WHERE hash = $1 AND tries < $2 AND ends_ms > $3 \
               RETURNING person_id";
    let asked: Option<Asked> = tx.one(sql, args![hash, TRIES_MAX, now_ms]).await?;
    tx.commit().await?;
    Ok(asked.map(|asked| asked.person_id))
}

/// Uses a challenge up; whether it was there.
pub(super) async fn end_challenge(tx: &mut Tx, hash: Vec<u8>) -> Result<bool, DbError> {
    Ok(tx.run("DELETE FROM challenge WHERE hash = $1", args![hash]).await? > 0)
}

/// What was begun with the old password is not ended with it, and what would replace it is no longer needed.
pub(super) async fn end_challenges(tx: &mut Tx, person: &str) -> Result<(), DbError> {
    tx.run("DELETE FROM link WHERE person_id = $1", args![person]).await?;
    passkeys::end_registration(tx, person).await?;
    tx.run("DELETE FROM challenge WHERE person_id = $1", args![person]).await.map(drop)
}

/// Forgets somebody; how many rows there were.
pub(super) async fn erase(tx: &mut Tx, person: &str) -> Result<u64, Problem> {
    let mut rows = passkeys::erase(tx, person).await?;
    // What failed to get in is held against names: of the person, and of their handle from any network.
    for sql in [
        "DELETE FROM attempt WHERE name IN (SELECT 'h|' || handle FROM credential WHERE person_id = $1)",
        "DELETE FROM attempt WHERE EXISTS (SELECT 1 FROM credential WHERE person_id = $1 \
         AND SUBSTR(name, 1, LENGTH(handle) + 3) = 'a|' || handle || '|')",
        "DELETE FROM attempt WHERE SUBSTR(name, 3) = $1",
        "DELETE FROM address WHERE person_id = $1",
        "DELETE FROM credential WHERE person_id = $1",
        "DELETE FROM totp WHERE person_id = $1",
        "DELETE FROM recovery_code WHERE person_id = $1",
        "DELETE FROM challenge WHERE person_id = $1",
        "DELETE FROM link WHERE person_id = $1 OR claim = $1",
    ] {
        rows += tx.run(sql, args![person]).await?;
    }
    Ok(rows)
}

pub(super) async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    tx.run("DELETE FROM challenge WHERE ends_ms <= $1", args![now_ms]).await?;
    tx.run("DELETE FROM link WHERE ends_ms <= $1", args![now_ms]).await?;
    tx.run("DELETE FROM given_password WHERE ends_ms <= $1", args![now_ms]).await?;
    passkeys::sweep(&mut tx).await?;
    tx.run("DELETE FROM attempt WHERE last_ms <= $1", args![now_ms - DAY_MS]).await?;
    Ok(tx.commit().await?)
}
