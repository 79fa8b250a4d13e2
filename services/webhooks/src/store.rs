//! All SQL of addresses.

use nx_chassis::{Ctx, DbError, Problem, Time, Tx, Value, args, row};

/// Most addresses of a service.
pub(crate) const HOOKS_MAX: i64 = 50;

/// An address, and what it wants to hear of.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) old_secret: Option<String>,
    pub(crate) old_until: Option<Time>,
    pub(crate) active: bool,
    pub(crate) version: i64,
    pub(crate) kinds: Vec<String>,
}
row!(Hook { id, url, secret, old_secret, old_until, active, version } json { kinds });

struct Wanting {
    id: String,
    kinds: Vec<String>,
}
row!(Wanting { id } json { kinds });

/// The ids of those that want to hear of a kind.
pub(crate) async fn wanting(tx: &mut Tx, kind: &str) -> Result<Vec<String>, DbError> {
    let all: Vec<Wanting> =
        tx.all("SELECT id, kinds FROM webhook WHERE active = 1 ORDER BY id", vec![]).await?;
    let wants = |hook: &Wanting| hook.kinds.is_empty() || hook.kinds.iter().any(|k| k == kind);
    Ok(all.into_iter().filter(wants).map(|hook| hook.id).collect())
}

/// An address that is told of things.
pub(crate) async fn active(cx: &Ctx, id: &str) -> Result<Option<Hook>, DbError> {
    cx.db().one("SELECT * FROM webhook WHERE id = $1 AND active = 1", args![id]).await
}

pub(crate) async fn find(cx: &Ctx, id: &str) -> Result<Hook, Problem> {
    let found = cx.db().one("SELECT * FROM webhook WHERE id = $1", args![id]).await?;
    found.ok_or_else(|| Problem::not_found("no such webhook"))
}

pub(crate) async fn all(cx: &Ctx) -> Result<Vec<Hook>, DbError> {
    cx.db().all("SELECT * FROM webhook ORDER BY id", vec![]).await
}

/// Adds it, if there is room.
pub(crate) async fn add(tx: &mut Tx, hook: &Hook) -> Result<(), Problem> {
    let sql = "INSERT INTO webhook (id, url, kinds, secret, old_secret, old_until, active, version) \
               SELECT $1, $2, $3, $4, NULL, NULL, $5, 1 FROM (SELECT COUNT(*) AS n FROM webhook) c WHERE c.n < $6";
    let args = args![&hook.id, &hook.url, Value::json(&hook.kinds), &hook.secret, hook.active, HOOKS_MAX];
    match tx.run(sql, args).await? {
        0 => {
            Err(Problem::conflict("full", format!("a service has at most {HOOKS_MAX} webhooks: delete one")))
        }
        _ => Ok(()),
    }
}

/// Puts what changes of it in the place of the version before.
pub(crate) async fn replace(tx: &mut Tx, hook: &Hook) -> Result<(), Problem> {
    let sql = "UPDATE webhook SET url = $1, kinds = $2, secret = $3, old_secret = $4, old_until = $5, active = $6, \
               version = version + 1 WHERE id = $7 AND version = $8";
    let Hook { id, url, secret, old_secret, old_until, active, version, kinds } = hook;
    let args = args![url, Value::json(kinds), secret, old_secret.as_ref(), *old_until, *active, id, *version];
    match tx.run(sql, args).await? {
        0 => Err(Problem::stale()),
        _ => Ok(()),
    }
}

pub(crate) async fn remove(tx: &mut Tx, id: &str) -> Result<(), Problem> {
    match tx.run("DELETE FROM webhook WHERE id = $1", args![id]).await? {
        0 => Err(Problem::not_found("no such webhook")),
        _ => Ok(()),
    }
}

/// The other side is gone for good.
pub(crate) async fn deactivate(cx: &Ctx, id: &str) -> Result<(), DbError> {
    cx.run("UPDATE webhook SET active = 0, version = version + 1 WHERE id = $1", args![id]).await.map(drop)
}
