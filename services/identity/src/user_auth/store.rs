//! All SQL of user-auth.

use nx_chassis::{Ctx, DbError, Page, Problem, Tx, Value, args};
use nx_contract::identity::OPERATOR;

use super::api::User;
use super::rules::skeleton;

pub(super) async fn find(cx: &Ctx, id: &str) -> Result<User, Problem> {
    let found = cx.db().one("SELECT * FROM person WHERE id = $1", args![id]).await?;
    found.ok_or_else(unknown)
}

pub(super) async fn list(cx: &Ctx, page: &Page) -> Result<Vec<User>, DbError> {
    let sql = "SELECT * FROM person WHERE id > $1 ORDER BY id LIMIT $2";
    cx.db().all(sql, args![&page.after, page.rows()]).await
}

pub(super) async fn has_operator(cx: &Ctx) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM person WHERE operator = 1 AND disabled = 0";
    Ok(cx.db().one::<i64>(sql, Vec::new()).await?.unwrap_or_default() > 0)
}

pub(super) async fn add(tx: &mut Tx, user: &User, now_ms: i64) -> Result<(), Problem> {
    let sql = "INSERT INTO person (id, handle, skeleton, name, roles, operator, disabled, at_ms, version) \
               VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 1) ON CONFLICT (skeleton) DO NOTHING";
    let (roles, operator) = (Value::json(&user.roles), user.roles.iter().any(|r| r == OPERATOR));
    let skeleton = skeleton(&user.handle);
    let args = args![&user.id, &user.handle, skeleton, &user.name, roles, operator, now_ms];
    if tx.run(sql, args).await? == 0 {
        return Err(Problem::conflict(
            "taken",
            "somebody has this handle, or one that looks like it: take another",
        ));
    }
    Ok(())
}

pub(super) async fn rename(tx: &mut Tx, id: &str, version: i64, name: &str) -> Result<User, Problem> {
    let sql = "UPDATE person SET name = $1, version = version + 1 WHERE id = $2 AND version = $3 RETURNING *";
    tx.one(sql, args![name, id, version]).await?.ok_or_else(Problem::stale)
}

pub(super) async fn set_roles(
    tx: &mut Tx,
    id: &str,
    version: i64,
    roles: &[String],
) -> Result<User, Problem> {
    one_at_a_time(tx).await?;
    let sql = "UPDATE person SET roles = $1, operator = $2, version = version + 1 \
               WHERE id = $3 AND version = $4 RETURNING *";
    let operator = roles.iter().any(|r| r == OPERATOR);
    let user = tx.one(sql, args![Value::json(&roles), operator, id, version]).await?;
    somebody_is_left(tx).await?;
    user.ok_or_else(Problem::stale)
}

pub(super) async fn set_disabled(tx: &mut Tx, id: &str, disabled: bool) -> Result<User, Problem> {
    one_at_a_time(tx).await?;
    let sql = "UPDATE person SET disabled = $1, version = version + 1 WHERE id = $2 RETURNING *";
    let user = tx.one(sql, args![disabled, id]).await?;
    somebody_is_left(tx).await?;
    user.ok_or_else(unknown)
}

pub(super) async fn erase(tx: &mut Tx, id: &str) -> Result<(), Problem> {
    one_at_a_time(tx).await?;
    if tx.run("DELETE FROM person WHERE id = $1", args![id]).await? == 0 {
        return Err(unknown());
    }
    somebody_is_left(tx).await
}

/// Two that take the last right from each other must not both find the other still there.
async fn one_at_a_time(tx: &mut Tx) -> Result<(), DbError> {
    tx.run("UPDATE guard SET turn = turn + 1 WHERE id = 1", Vec::new()).await.map(drop)
}

async fn somebody_is_left(tx: &mut Tx) -> Result<(), Problem> {
    let sql = "SELECT COUNT(*) AS n FROM person WHERE operator = 1 AND disabled = 0";
    let left: Option<i64> = tx.one(sql, Vec::new()).await?;
    if left.unwrap_or_default() > 0 {
        return Ok(());
    }
    let text = "nobody would be left who may do everything: make somebody else an operator first";
    Err(Problem::conflict("last-operator", text))
}

fn unknown() -> Problem {
    Problem::not_found("there is nothing of that name")
}
