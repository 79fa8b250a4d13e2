//! Keys for programs: shown once, kept as a hash, worth no more than who made them.

use garde::Validate;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, DbError, Json, List, Page, Path, Problem, ShownOnce, Time, Tx, Value,
    args,
};
use nx_contract::identity::{API_KEY, KeyBearer, OPERATOR, ROLES, ROWS_GIVEN_MAX};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::families;
use crate::{Done, PersonNow, hash};

/// Keys that one person has at most.
const KEYS_MAX: i64 = 100;
/// How exact it is told when a key was last used.
const USED_MS: i64 = 60_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/api-keys", list)
        .get("/persons/{id}", give)
        .post_once("/api-keys", add)
        .delete("/api-keys/{id}", remove)
        .post("/api-keys/verify", verify)
}

#[derive(Debug, Serialize, JsonSchema)]
struct Key {
    id: String,
    name: String,
    roles: Vec<String>,
    created_at: Time,
    expires_at: Option<Time>,
    /// To the minute.
    used_at: Option<Time>,
}

impl nx_chassis::FromRow for Key {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            roles: row.json("roles")?,
            created_at: row.get("at_ms")?,
            expires_at: row.get("ends_ms")?,
            used_at: row.get("used_ms")?,
        })
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// What it is for.
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    /// What it may be used for; by default all that you may do.
    #[garde(length(max = 8))]
    #[serde(default)]
    roles: Option<Vec<String>>,
    /// Seconds from now; by default until it is taken back.
    #[garde(range(min = 1, max = 315_360_000))]
    #[serde(default)]
    lasts_s: Option<i64>,
}

/// A key as its maker gets it.
#[derive(Serialize, JsonSchema)]
struct Made {
    #[serde(flatten)]
    about: Key,
    /// For `Authorization: Bearer`; it is not shown again.
    key: String,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shown {
    #[garde(length(max = 100))]
    key: String,
}

struct Bearer {
    id: String,
    person_id: String,
    roles: Vec<String>,
    used_ms: Option<i64>,
}
nx_chassis::row!(Bearer { id, person_id, used_ms } json { roles });

/// What there is of a person: what they call their keys, and nothing that opens anything.
async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    by.must_be_service()?;
    let sql = "SELECT * FROM api_key WHERE person_id = $1 ORDER BY id LIMIT $2";
    let keys: Vec<Key> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    Ok(Json(serde_json::json!({"api_keys": keys})))
}

async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<Key>, Problem> {
    let sql = "SELECT * FROM api_key WHERE person_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let keys = cx.db().all(sql, args![&by.subject, &page.after, page.rows()]).await?;
    Ok(List::of(&page, keys, |key: &Key| &key.id))
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewKey>,
) -> Result<ShownOnce<Created<Made>>, Problem> {
    if by.session.is_none() {
        return Err(Problem::forbidden("sign in for that: a key or this machine will not do"));
    }
    let own = families::person_in(&mut tx, &by).await?.roles;
    let roles = new.roles.unwrap_or_else(|| own.clone());
    if let Some(more) = roles.iter().find(|role| !may_give(&own, role)) {
        return Err(Problem::invalid("/roles", format!("you are no {more:.40} yourself, or nobody is")));
    }
    let sql = "SELECT COUNT(*) AS n FROM api_key WHERE person_id = $1";
    if tx.one::<i64>(sql, args![&by.subject]).await?.unwrap_or_default() >= KEYS_MAX {
        let text = format!("you have {KEYS_MAX} keys: take back those that nothing uses");
        return Err(Problem::conflict("keys-max", text));
    }
    let (key, now_ms) = (format!("{API_KEY}{}", nx_chassis::fresh()?), cx.now_ms());
    let about = Key {
        id: cx.new_id(),
        name: new.name,
        roles,
        created_at: Time(now_ms),
        expires_at: new.lasts_s.map(|s| Time(now_ms + s * 1000)),
        used_at: None,
    };
    let sql = "INSERT INTO api_key (id, person_id, name, roles, hash, shut, at_ms, ends_ms) \
               VALUES ($1, $2, $3, $4, $5, 0, $6, $7)";
    let Key { id, name, roles, created_at, expires_at, .. } = &about;
    let row = args![id, &by.subject, name, Value::json(roles), hash(&key), *created_at, *expires_at];
    tx.run(sql, row).await?;
    Ok(ShownOnce(Created { location: about.id.clone(), body: Made { about, key } }))
}

async fn remove(by: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    let sql = "DELETE FROM api_key WHERE id = $1 AND (person_id = $2 OR $3 = 1)";
    match tx.run(sql, args![id, &by.subject, by.is_operator()]).await? {
        0 => Err(Problem::not_found("there is nothing of that name")),
        _ => Ok(Json(Done {})),
    }
}

/// Whether somebody with these roles may hand on this one: their own, and operators all that people can be.
fn may_give(own: &[String], role: &String) -> bool {
    ROLES.contains(&role.as_str()) && (own.contains(role) || own.iter().any(|own| own == OPERATOR))
}

/// Whose key this is, for the gateway.
async fn verify(by: Caller, cx: Ctx, Body(shown): Body<Shown>) -> Result<Json<Option<KeyBearer>>, Problem> {
    by.must_be_service()?;
    let now_ms = cx.now_ms();
    let sql = "SELECT * FROM api_key WHERE hash = $1 AND shut = 0 AND (ends_ms IS NULL OR ends_ms > $2)";
    let Some(bearer) = cx.db().one::<Bearer>(sql, args![hash(&shown.key), now_ms]).await? else {
        return Ok(Json(None));
    };
    if bearer.used_ms.is_none_or(|used_ms| used_ms + USED_MS <= now_ms) {
        cx.run("UPDATE api_key SET used_ms = $1 WHERE id = $2", args![now_ms, &bearer.id]).await?;
    }
    Ok(Json(Some(KeyBearer { subject: bearer.person_id, roles: bearer.roles })))
}

/// A key is worth no more than its maker is now.
pub(super) async fn changed(tx: &mut Tx, now: &PersonNow) -> Result<(), Problem> {
    let id = &now.person.id;
    tx.run("UPDATE api_key SET shut = $1 WHERE person_id = $2", args![now.disabled, id]).await?;
    let keys: Vec<Bearer> = tx.all("SELECT * FROM api_key WHERE person_id = $1", args![id]).await?;
    for mut key in keys {
        key.roles.retain(|role| may_give(&now.person.roles, role));
        let sql = "UPDATE api_key SET roles = $1 WHERE id = $2";
        tx.run(sql, args![Value::json(&key.roles), &key.id]).await?;
    }
    Ok(())
}

pub(super) async fn erase(tx: &mut Tx, person: &str) -> Result<u64, DbError> {
    tx.run("DELETE FROM api_key WHERE person_id = $1", args![person]).await
}
