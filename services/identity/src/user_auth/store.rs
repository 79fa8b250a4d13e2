//! All SQL of user-auth.

use nx_chassis::{Caller, Ctx, DbError, Page, Problem, Tx, Value, args};
use nx_contract::identity::OPERATOR;

use super::api::User;
use super::rules::skeleton;
use super::scim;

const OPERATORS: &str = "SELECT COUNT(*) AS n FROM person WHERE operator = 1 AND disabled = 0";

pub(super) async fn find(cx: &Ctx, id: &str) -> Result<User, Problem> {
    let found = cx.db().one("SELECT * FROM person WHERE id = $1", args![id]).await?;
    found.ok_or_else(unknown)
}

pub(super) async fn find_in(tx: &mut Tx, id: &str) -> Result<User, Problem> {
    tx.one("SELECT * FROM person WHERE id = $1", args![id]).await?.ok_or_else(unknown)
}

pub(super) async fn by_handle(cx: &Ctx, handle: &str) -> Result<Option<User>, DbError> {
    cx.db().one("SELECT * FROM person WHERE handle = $1", args![handle]).await
}

pub(super) async fn list(cx: &Ctx, page: &Page) -> Result<Vec<User>, DbError> {
    let sql = "SELECT * FROM person WHERE id > $1 ORDER BY id LIMIT $2";
    cx.db().all(sql, args![&page.after, page.rows()]).await
}

pub(super) async fn has_operator(cx: &Ctx) -> Result<bool, DbError> {
    Ok(cx.db().one::<i64>(OPERATORS, Vec::new()).await?.unwrap_or_default() > 0)
}

/// Somebody new. The same id again is the same sign-up, which broke off before its end: what it says now holds.
pub(super) async fn add(tx: &mut Tx, by: &Caller, user: &User, now_ms: i64) -> Result<(), Problem> {
    Turn::begin(tx, by).await?;
    let sql = "SELECT COUNT(*) AS n FROM erasure WHERE person_id = $1";
    if tx.one::<i64>(sql, args![&user.id]).await? != Some(0) {
        return Err(Problem::conflict("erased", "whose id this was is forgotten, and nobody is them again"));
    }
    let sql = "INSERT INTO person (id, handle, skeleton, name, roles, operator, disabled, at_ms, version, user_name, \
               changed_ms) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 1, $2, $7) ON CONFLICT (id) DO UPDATE SET \
               handle = excluded.handle, skeleton = excluded.skeleton, name = excluded.name, \
               user_name = excluded.user_name";
    let (roles, operator) = (Value::json(&user.roles), user.roles.iter().any(|r| r == OPERATOR));
    let skeleton = skeleton(&user.handle);
    let args = args![&user.id, &user.handle, skeleton, &user.name, roles, operator, now_ms];
    let taken = "somebody has this handle, or one that looks like it: take another";
    match tx.run(sql, args).await {
        Err(error) if error.is_unique() => Err(Problem::conflict("taken", taken)),
        added => Ok(added.map(drop)?),
    }
}

pub(super) async fn rename(
    tx: &mut Tx,
    by: &Caller,
    id: &str,
    version: i64,
    name: &str,
) -> Result<User, Problem> {
    if by.subject != id {
        Turn::begin(tx, by).await?;
    }
    let sql = "UPDATE person SET name = $1, changed_ms = $2, version = version + 1 \
               WHERE id = $3 AND version = $4 RETURNING *";
    tx.one(sql, args![name, tx.now_ms(), id, version]).await?.ok_or_else(Problem::stale)
}

pub(super) async fn set_roles(
    tx: &mut Tx,
    by: &Caller,
    id: &str,
    version: i64,
    roles: &[String],
) -> Result<User, Problem> {
    let turn = Turn::begin(tx, by).await?;
    let sql = "UPDATE person SET roles = $1, operator = $2, changed_ms = $3, version = version + 1 \
               WHERE id = $4 AND version = $5 RETURNING *";
    let operator = roles.iter().any(|r| r == OPERATOR);
    let user = tx.one(sql, args![Value::json(&roles), operator, tx.now_ms(), id, version]).await?;
    turn.end(tx).await?;
    user.ok_or_else(Problem::stale)
}

pub(super) async fn set_disabled(
    tx: &mut Tx,
    by: &Caller,
    id: &str,
    disabled: bool,
) -> Result<User, Problem> {
    let turn = Turn::begin(tx, by).await?;
    let waits = "SELECT COUNT(*) AS n FROM erasure WHERE person_id = $1";
    if !disabled && tx.one::<i64>(waits, args![id]).await? != Some(0) {
        let text = "they are to be forgotten: take that back, and they are let in";
        return Err(Problem::conflict("erasure-waits", text));
    }
    if disabled {
        keep_shut(tx, id).await?;
    }
    let sql =
        "UPDATE person SET disabled = $1, changed_ms = $2, version = version + 1 WHERE id = $3 RETURNING *";
    let user = tx.one(sql, args![disabled, tx.now_ms(), id]).await?;
    turn.end(tx).await?;
    user.ok_or_else(unknown)
}

/// Has somebody who is shut out while they wait to be forgotten stay so, should that be taken back.
pub(super) async fn keep_shut(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let sql = "UPDATE erasure SET shut = 1 WHERE person_id = $1 AND begun_ms IS NULL";
    tx.run(sql, args![id]).await.map(drop)
}

/// Forgets somebody; how many rows there were.
pub(super) async fn erase(tx: &mut Tx, by: &Caller, id: &str) -> Result<u64, Problem> {
    let turn = Turn::begin(tx, by).await?;
    let rows = tx.run("DELETE FROM person WHERE id = $1", args![id]).await?;
    if rows == 0 {
        return Err(unknown());
    }
    let rows = rows + scim::forget(tx, id).await?;
    turn.end(tx).await?;
    Ok(rows)
}

/// A change of what people may. One at a time, so that two who take the last right from each other do not both find the other
/// still there; and by who may do everything now, whatever was true when their token was made.
pub(super) struct Turn {
    /// Operators before it.
    operators: i64,
}

impl Turn {
    pub(super) async fn begin(tx: &mut Tx, by: &Caller) -> Result<Self, Problem> {
        tx.run("UPDATE guard SET turn = turn + 1 WHERE id = 1", Vec::new()).await?;
        let sql = "SELECT COUNT(*) AS n FROM person WHERE id = $1 AND operator = 1 AND disabled = 0";
        if by.is_person() && tx.one::<i64>(sql, args![&by.subject]).await? != Some(1) {
            return Err(Problem::forbidden("you are no operator any more"));
        }
        Ok(Self { operators: left(tx).await? })
    }

    async fn end(self, tx: &mut Tx) -> Result<(), Problem> {
        if self.operators == 0 || left(tx).await? > 0 {
            return Ok(());
        }
        let text = "nobody would be left who may do everything: make somebody else an operator first";
        Err(Problem::conflict("last-operator", text))
    }
}

/// Operators that there are.
async fn left(tx: &mut Tx) -> Result<i64, DbError> {
    Ok(tx.one(OPERATORS, Vec::new()).await?.unwrap_or_default())
}

pub(super) fn unknown() -> Problem {
    Problem::not_found("there is nothing of that name")
}
