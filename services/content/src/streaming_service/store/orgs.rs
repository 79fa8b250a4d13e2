//! Organisations, who is in them, and their channels.

use std::collections::{BTreeSet, HashMap};

use nx_chassis::{Ctx, DbError, FromRow, Problem, Row, Tx, args, row};
use nx_contract::identity::{OrgNow, OrgRole};

use super::super::channels::{Channel, Of, Owner};
use super::super::rules::Tie;
use super::{Untold, end, forget_channel, is_member_in, number};

struct Id {
    id: String,
}
row!(Id { id });

/// What somebody is in an organisation.
struct Is {
    org_id: String,
    role: OrgRole,
}

impl FromRow for Is {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let role: String = row.get("role")?;
        let role = OrgRole::parse(&role).ok_or(DbError::Column(role))?;
        Ok(Self { org_id: row.get("org_id")?, role })
    }
}

/// What somebody is who is not shut out.
const ROLE: &str = "SELECT * FROM org_member WHERE org_id = $1 AND user_id = $2 AND NOT EXISTS \
                    (SELECT 1 FROM person WHERE person.user_id = $2 AND shut = 1)";

/// What ties somebody to a channel.
pub(crate) async fn tie(cx: &Ctx, channel: &Channel, user: &str) -> Result<Tie, DbError> {
    Ok(match &channel.owner {
        Owner::Person(id) if id == user => Tie::Own,
        Owner::Org(org) => match cx.db().one::<Is>(ROLE, args![org, user]).await? {
            Some(is) => Tie::Org(is.role),
            None => Tie::viewer(super::is_member(cx, &channel.id, user).await?),
        },
        Owner::Person(_) => Tie::viewer(super::is_member(cx, &channel.id, user).await?),
    })
}

/// The same within a transaction.
pub(crate) async fn tie_in(tx: &mut Tx, channel: &Channel, user: &str) -> Result<Tie, DbError> {
    let role = match &channel.owner {
        Owner::Person(id) if id == user => return Ok(Tie::Own),
        Owner::Person(_) => None,
        Owner::Org(org) => org_role(tx, org, user).await?,
    };
    match role {
        Some(role) => Ok(Tie::Org(role)),
        None => Ok(Tie::viewer(is_member_in(tx, &channel.id, user).await?)),
    }
}

/// What somebody is in an organisation.
pub(crate) async fn org_role(tx: &mut Tx, org: &str, user: &str) -> Result<Option<OrgRole>, DbError> {
    Ok(tx.one::<Is>(ROLE, args![org, user]).await?.map(|is| is.role))
}

/// What somebody is in each of their organisations.
pub(crate) async fn roles(cx: &Ctx, user: &str) -> Result<HashMap<String, OrgRole>, DbError> {
    let sql = "SELECT * FROM org_member WHERE user_id = $1 AND NOT EXISTS \
               (SELECT 1 FROM person WHERE person.user_id = $1 AND shut = 1)";
    let all: Vec<Is> = cx.db().all(sql, args![user]).await?;
    Ok(all.into_iter().map(|is| (is.org_id, is.role)).collect())
}

/// What organisations are called: those of a page at most.
pub(crate) async fn org_names(cx: &Ctx, orgs: BTreeSet<&str>) -> Result<HashMap<String, Of>, DbError> {
    let mut names = HashMap::new();
    for org in orgs {
        if let Some(of) = cx.db().one::<Of>("SELECT * FROM org WHERE id = $1", args![org]).await? {
            names.insert(org.to_owned(), of);
        }
    }
    Ok(names)
}

pub(crate) async fn org_members(tx: &mut Tx, org: &str) -> Result<Vec<String>, DbError> {
    let sql = "SELECT user_id AS id FROM org_member WHERE org_id = $1 ORDER BY user_id";
    Ok(tx.all(sql, args![org]).await?.into_iter().map(|Id { id }| id).collect())
}

/// Takes down how an organisation is, unless something newer was heard.
pub(crate) async fn set_org(tx: &mut Tx, id: &str, now: &OrgNow) -> Result<bool, DbError> {
    let sql = "INSERT INTO org AS o (id, handle, name, version, deleted) VALUES ($1, $2, $3, $4, 0) ON CONFLICT (id) DO UPDATE \
               SET handle = excluded.handle, name = excluded.name, version = excluded.version \
               WHERE o.version < excluded.version AND o.deleted = 0";
    if tx.run(sql, args![id, &now.handle, &now.name, now.version]).await? == 0 {
        return Ok(false);
    }
    tx.run("DELETE FROM org_member WHERE org_id = $1", args![id]).await?;
    for member in &now.members {
        let sql = "INSERT INTO org_member (org_id, user_id, role) VALUES ($1, $2, $3)";
        tx.run(sql, args![id, &member.user_id, member.role.name()]).await?;
    }
    Ok(true)
}

/// It is no more, whatever is heard of it after that.
pub(crate) async fn end_org(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO org (id, handle, name, version, deleted) VALUES ($1, '', '', 0, 1) ON CONFLICT (id) DO UPDATE \
               SET handle = '', name = '', deleted = 1";
    tx.run(sql, args![id]).await?;
    tx.run("DELETE FROM org_member WHERE org_id = $1", args![id]).await.map(drop)
}

/// Waits until nobody else decides about an organisation, to the end of the transaction. Who has to do with a person too takes their
/// turn before, and with a channel after that.
///
/// # Errors
/// 404 when it is not there.
pub(crate) async fn hold_org(tx: &mut Tx, id: &str) -> Result<(), Problem> {
    match tx.run("UPDATE org SET version = version WHERE id = $1 AND deleted = 0", args![id]).await? {
        0 => Err(Problem::not_found("there is no such organisation, or you are not in it")),
        _ => Ok(()),
    }
}

pub(crate) async fn channels_of_org(tx: &mut Tx, org: &str) -> Result<Vec<Channel>, DbError> {
    tx.all("SELECT * FROM channel WHERE org_id = $1 AND deleted = 0 ORDER BY id", args![org]).await
}

pub(crate) async fn count_in_org(tx: &mut Tx, org: &str) -> Result<i64, DbError> {
    number(tx, "SELECT COUNT(*) AS n FROM channel WHERE org_id = $1", args![org]).await
}

/// Keeps nothing of what its channels were called but that the names are taken.
pub(crate) async fn forget_channels_of_org(tx: &mut Tx, org: &str) -> Result<(), DbError> {
    let all: Vec<Channel> = tx.all("SELECT * FROM channel WHERE org_id = $1", args![org]).await?;
    for channel in all {
        forget_channel(tx, &channel).await?;
    }
    Ok(())
}

/// Gives a channel to somebody else, by who has read the version before.
pub(crate) async fn give_channel(
    tx: &mut Tx,
    id: &str,
    version: i64,
    owner: &Owner,
) -> Result<Channel, Problem> {
    let (person, org) = owner.columns();
    let sql = "UPDATE channel SET owner_id = $1, org_id = $2, version = version + 1 WHERE id = $3 AND version = $4 AND \
               deleted = 0 RETURNING *";
    tx.one(sql, args![person, org, id, version]).await?.ok_or_else(Problem::stale)
}

/// Keys of an organisation's channels that somebody has made.
pub(crate) async fn delete_keys_made(tx: &mut Tx, org: &str, maker: &str) -> Result<Vec<Untold>, DbError> {
    let sql = "UPDATE stream_key SET deleted = 1, told = 0 WHERE deleted = 0 AND maker_id = $2 AND channel_id IN \
               (SELECT id FROM channel WHERE org_id = $1) RETURNING *";
    tx.all(sql, args![org, maker]).await
}

/// Keys of a channel whose makers may not publish it, but those of one.
pub(crate) async fn delete_keys_of_strangers(
    tx: &mut Tx,
    channel: &Channel,
    spared: &str,
) -> Result<Vec<Untold>, DbError> {
    let (person, org) = channel.owner.columns();
    let sql = "UPDATE stream_key SET deleted = 1, told = 0 WHERE deleted = 0 AND channel_id = $1 AND \
               ($2 = '' OR maker_id <> $2) AND ($4 = '' OR maker_id <> $4) AND NOT EXISTS \
               (SELECT 1 FROM org_member m WHERE m.org_id = $3 AND m.user_id = stream_key.maker_id) RETURNING *";
    tx.all(sql, args![&channel.id, person, org, spared]).await
}

/// Takes somebody off the lists of who may watch an organisation's channels: of which.
pub(crate) async fn remove_members_in_org(
    tx: &mut Tx,
    org: &str,
    user: &str,
) -> Result<Vec<String>, DbError> {
    let sql = "DELETE FROM member WHERE user_id = $2 AND channel_id IN (SELECT id FROM channel WHERE org_id = $1) \
               RETURNING channel_id AS id";
    Ok(tx.all(sql, args![org, user]).await?.into_iter().map(|Id { id }| id).collect())
}

/// What somebody watches of an organisation's channels.
pub(crate) async fn end_in_org(tx: &mut Tx, org: &str, user: &str, why: &str) -> Result<(), Problem> {
    let sql = "UPDATE playback SET ended = 1 WHERE user_id = $2 AND ended = 0 AND channel_id IN \
               (SELECT id FROM channel WHERE org_id = $1) RETURNING token_id, user_id";
    end(tx, sql, args![org, user], why).await
}
