//! All SQL of SCIM.
//!
//! A change takes its turn first, as all changes of what people may do: so counts hold, and nobody is forgotten while they
//! become a member.

use nx_chassis::{Ctx, DbError, FromRow, Row, Tx, Value, args, row};
use serde_json::Map;

use super::wire::{Refusal, Resource};
use crate::user_auth::User;
use crate::user_auth::rules::skeleton;

/// A person with what SCIM has brought of them.
pub(super) struct UserRow {
    pub(super) user: User,
    pub(super) changed_ms: i64,
    /// None of who signed up, as long as SCIM has changed nothing.
    pub(super) attributes: Option<Resource>,
    /// Whether SCIM has made them.
    pub(super) made: bool,
}

impl FromRow for UserRow {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let attributes = match row.get::<Option<String>>("attributes")? {
            Some(_) => Some(row.json("attributes")?),
            None => None,
        };
        let made = row.get::<Option<i64>>("made")? == Some(1);
        Ok(Self { user: User::from_row(row)?, changed_ms: row.get("changed_ms")?, attributes, made })
    }
}

/// A group.
pub(super) struct GroupRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) external_id: Option<String>,
    pub(super) at_ms: i64,
    pub(super) changed_ms: i64,
    pub(super) version: i64,
}
row!(GroupRow { id, name, external_id, at_ms, changed_ms, version });

/// A group as a member sees it, or a member as a group sees it.
pub(super) struct Link {
    pub(super) id: String,
    pub(super) name: String,
}
row!(Link { id, name });

/// What an index finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    Anything,
    Id(String),
    ExternalId(String),
    /// Without its case; groups have none.
    UserName(String),
}

macro_rules! users {
    ($rest:literal) => {
        concat!("SELECT p.*, s.attributes, s.made FROM person p LEFT JOIN scim_user s ON s.id = p.id ", $rest)
    };
}

const GROUPS_OF: &str = "SELECT g.id, g.name FROM scim_member m JOIN scim_group g ON g.id = m.group_id \
                         WHERE m.person_id = $1 ORDER BY g.id";
const MEMBERS_OF: &str = "SELECT p.id, p.name FROM scim_member m JOIN person p ON p.id = m.person_id \
                          WHERE m.group_id = $1 ORDER BY p.id";

/// People behind an id, in the order of their ids.
pub(super) async fn users(cx: &Ctx, by: &By, after: &str, limit: i64) -> Result<Vec<UserRow>, DbError> {
    let (sql, key) = match by {
        By::Anything => (users!("WHERE p.id > $2 AND $1 = '' ORDER BY p.id LIMIT $3"), ""),
        By::Id(id) => (users!("WHERE p.id = $1 AND p.id > $2 ORDER BY p.id LIMIT $3"), &**id),
        By::ExternalId(id) => {
            (users!("WHERE s.external_id = $1 AND p.id > $2 ORDER BY p.id LIMIT $3"), &**id)
        }
        By::UserName(name) => {
            (users!("WHERE p.user_name = $1 AND p.id > $2 ORDER BY p.id LIMIT $3"), &**name)
        }
    };
    cx.db().all(sql, args![key, after, limit]).await
}

/// Groups behind an id, in the order of their ids.
pub(super) async fn groups(cx: &Ctx, by: &By, after: &str, limit: i64) -> Result<Vec<GroupRow>, DbError> {
    let (sql, key) = match by {
        By::Id(id) => ("SELECT * FROM scim_group WHERE id = $1 AND id > $2 ORDER BY id LIMIT $3", &**id),
        By::ExternalId(id) => {
            ("SELECT * FROM scim_group WHERE external_id = $1 AND id > $2 ORDER BY id LIMIT $3", &**id)
        }
        _ => ("SELECT * FROM scim_group WHERE id > $2 AND $1 = '' ORDER BY id LIMIT $3", ""),
    };
    cx.db().all(sql, args![key, after, limit]).await
}

/// How many there are, and so many of them from a place on.
pub(super) async fn users_at(cx: &Ctx, skip: i64, limit: i64) -> Result<(i64, Vec<UserRow>), DbError> {
    let count = cx.db().one("SELECT COUNT(*) AS n FROM person", vec![]).await?.unwrap_or_default();
    let rows = cx.db().all(users!("ORDER BY p.id LIMIT $1 OFFSET $2"), args![limit, skip]).await?;
    Ok((count, rows))
}

/// How many there are, and so many of them from a place on.
pub(super) async fn groups_at(cx: &Ctx, skip: i64, limit: i64) -> Result<(i64, Vec<GroupRow>), DbError> {
    let count = cx.db().one("SELECT COUNT(*) AS n FROM scim_group", vec![]).await?.unwrap_or_default();
    let rows =
        cx.db().all("SELECT * FROM scim_group ORDER BY id LIMIT $1 OFFSET $2", args![limit, skip]).await?;
    Ok((count, rows))
}

pub(super) async fn groups_of(cx: &Ctx, person: &str) -> Result<Vec<Link>, DbError> {
    cx.db().all(GROUPS_OF, args![person]).await
}

pub(super) async fn members_of(cx: &Ctx, group: &str) -> Result<Vec<Link>, DbError> {
    cx.db().all(MEMBERS_OF, args![group]).await
}

pub(super) async fn groups_of_in(tx: &mut Tx, person: &str) -> Result<Vec<Link>, DbError> {
    tx.all(GROUPS_OF, args![person]).await
}

pub(super) async fn members_of_in(tx: &mut Tx, group: &str) -> Result<Vec<Link>, DbError> {
    tx.all(MEMBERS_OF, args![group]).await
}

/// A person whom nobody else changes until this ends.
pub(super) async fn hold_user(tx: &mut Tx, id: &str) -> Result<UserRow, Refusal> {
    let held = tx.run("UPDATE person SET version = version WHERE id = $1", args![id]).await?;
    let found = tx.one(users!("WHERE p.id = $1"), args![id]).await?;
    found.filter(|_| held > 0).ok_or_else(Refusal::unknown)
}

/// Adds a person under the first of these handles that nobody has, nor one that looks like it.
pub(super) async fn add_user(
    tx: &mut Tx,
    user: &User,
    handles: &[String],
    user_name: &str,
) -> Result<User, Refusal> {
    let sql = "INSERT INTO person (id, handle, skeleton, name, roles, operator, disabled, at_ms, version, user_name, \
               changed_ms) VALUES ($1, $2, $3, $4, $5, 0, 0, $6, 1, $7, $6) ON CONFLICT DO NOTHING RETURNING *";
    refuse_handle(tx, &user.id, user_name).await?;
    for handle in handles {
        let (roles, at_ms) = (Value::json(&user.roles), user.created_at);
        let args = args![&user.id, handle, skeleton(handle), &user.name, roles, at_ms, user_name];
        if let Some(added) = tx.one(sql, args).await? {
            return Ok(added);
        }
        let sql = "SELECT COUNT(*) AS n FROM person WHERE user_name = $1";
        if tx.one::<i64>(sql, args![user_name]).await? != Some(0) {
            return Err(taken());
        }
    }
    Err(Refusal::uniqueness("no handle could be made of this userName: try another"))
}

/// Refuses to call somebody what another signs in as.
async fn refuse_handle(tx: &mut Tx, id: &str, user_name: &str) -> Result<(), Refusal> {
    let sql = "SELECT COUNT(*) AS n FROM person WHERE handle = $1 AND id <> $2";
    match tx.one::<i64>(sql, args![user_name, id]).await? {
        Some(0) => Ok(()),
        _ => Err(taken()),
    }
}

/// Keeps what somebody is called.
pub(super) async fn name_user(tx: &mut Tx, id: &str, name: &str, user_name: &str) -> Result<User, Refusal> {
    refuse_handle(tx, id, user_name).await?;
    let sql = "UPDATE person SET name = $1, user_name = $2, changed_ms = $3, version = version + 1 \
               WHERE id = $4 RETURNING *";
    match tx.one(sql, args![name, user_name, tx.now_ms(), id]).await {
        Err(error) if error.is_unique() => Err(taken()),
        user => user?.ok_or_else(Refusal::unknown),
    }
}

fn taken() -> Refusal {
    Refusal::uniqueness("somebody has this userName")
}

/// Keeps what SCIM has brought of somebody.
pub(super) async fn keep_user(tx: &mut Tx, id: &str, of: &Resource) -> Result<(), DbError> {
    let sql = "INSERT INTO scim_user (id, external_id, attributes) VALUES ($1, $2, $3) ON CONFLICT (id) \
               DO UPDATE SET external_id = excluded.external_id, attributes = excluded.attributes";
    tx.run(sql, args![id, external_id(of), Value::json(of)]).await.map(drop)
}

/// SCIM has made somebody: it may give them a password.
pub(super) async fn note_made(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    tx.run("UPDATE scim_user SET made = 1 WHERE id = $1", args![id]).await.map(drop)
}

/// Keeps what somebody is, as a directory says.
pub(super) async fn set_roles(tx: &mut Tx, id: &str, roles: &[String]) -> Result<(), DbError> {
    tx.run("UPDATE person SET roles = $1 WHERE id = $2", args![Value::json(&roles), id]).await.map(drop)
}

fn external_id(of: &Map<String, serde_json::Value>) -> Option<String> {
    of.get("externalId").and_then(serde_json::Value::as_str).map(str::to_owned)
}

/// Forgets what SCIM has brought of somebody who is no more.
pub(super) async fn forget_user(tx: &mut Tx, id: &str) -> Result<u64, DbError> {
    let sql = "UPDATE scim_group SET version = version + 1, changed_ms = $1 \
               WHERE id IN (SELECT group_id FROM scim_member WHERE person_id = $2)";
    tx.run(sql, args![tx.now_ms(), id]).await?;
    let rows = tx.run("DELETE FROM scim_member WHERE person_id = $1", args![id]).await?;
    Ok(rows + tx.run("DELETE FROM scim_user WHERE id = $1", args![id]).await?)
}

/// Adds a group, as long as there are fewer than so many.
pub(super) async fn add_group(tx: &mut Tx, id: &str, of: &Resource, max: i64) -> Result<GroupRow, Refusal> {
    let sql = "INSERT INTO scim_group (id, name, external_id, at_ms, changed_ms, version) \
               SELECT $1, $2, $3, CAST($4 AS BIGINT), CAST($4 AS BIGINT), 1 WHERE (SELECT COUNT(*) FROM scim_group) < $5 RETURNING *";
    let added = tx.one(sql, args![id, display_name(of), external_id(of), tx.now_ms(), max]).await?;
    added.ok_or_else(|| Refusal::too_many(format!("there are {max} groups already: delete some")))
}

fn display_name(of: &Resource) -> &str {
    of.get("displayName").and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// A group that nobody else changes until this ends.
pub(super) async fn hold_group(tx: &mut Tx, id: &str) -> Result<GroupRow, Refusal> {
    let sql = "UPDATE scim_group SET version = version WHERE id = $1 RETURNING *";
    tx.one(sql, args![id]).await?.ok_or_else(Refusal::unknown)
}

/// Keeps what a group is called.
pub(super) async fn keep_group(tx: &mut Tx, id: &str, of: &Resource) -> Result<GroupRow, Refusal> {
    let sql = "UPDATE scim_group SET name = $1, external_id = $2, changed_ms = $3, version = version + 1 \
               WHERE id = $4 RETURNING *";
    let kept = tx.one(sql, args![display_name(of), external_id(of), tx.now_ms(), id]).await?;
    kept.ok_or_else(Refusal::unknown)
}

/// Makes somebody a member, or no member any more.
pub(super) async fn set_member(tx: &mut Tx, group: &str, person: &str, is: bool) -> Result<(), Refusal> {
    let sql = "UPDATE person SET changed_ms = $1, version = version + 1 WHERE id = $2";
    if tx.run(sql, args![tx.now_ms(), person]).await? == 0 {
        return Err(Refusal::value(format!("there is no User {person:.40}")));
    }
    let sql = match is {
        true => "INSERT INTO scim_member (group_id, person_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        false => "DELETE FROM scim_member WHERE group_id = $1 AND person_id = $2",
    };
    tx.run(sql, args![group, person]).await?;
    Ok(())
}

/// What members see of their group has changed.
pub(super) async fn touch_members(tx: &mut Tx, group: &str) -> Result<(), DbError> {
    let sql = "UPDATE person SET changed_ms = $1, version = version + 1 \
               WHERE id IN (SELECT person_id FROM scim_member WHERE group_id = $2)";
    tx.run(sql, args![tx.now_ms(), group]).await.map(drop)
}

pub(super) async fn remove_group(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    touch_members(tx, id).await?;
    tx.run("DELETE FROM scim_member WHERE group_id = $1", args![id]).await?;
    tx.run("DELETE FROM scim_group WHERE id = $1", args![id]).await.map(drop)
}
