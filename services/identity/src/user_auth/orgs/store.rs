//! SQL of organisations.
//!
//! Who locks more than one row takes those of people first, then of organisations, then of invitations.

use nx_chassis::{Caller, Ctx, DbError, FromRow, Page, Problem, Row, Tx, Value, args, row};
use nx_contract::identity::{OrgMember, OrgRole};

use super::Belongs;
use super::api::Org;
use super::invites::{Invitation, Invite};
use super::members::Member;
use crate::user_auth::rules::skeleton;

/// An organisation as it is told of.
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) handle: String,
    pub(super) name: String,
    pub(super) version: i64,
}
row!(Kept { id, handle, name, version });

/// Somebody who is to be invited.
pub(super) struct Called {
    pub(super) id: String,
    pub(super) handle: String,
    pub(super) name: String,
}
row!(Called { id, handle, name });

struct Is {
    role: OrgRole,
}

/// An invitation that was taken.
pub(super) struct Taken {
    pub(super) role: OrgRole,
    pub(super) invited_by: String,
    pub(super) at_ms: i64,
}

impl FromRow for Taken {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let role = role_of(row.get("role")?)?;
        Ok(Self { role, invited_by: row.get("invited_by")?, at_ms: row.get("at_ms")? })
    }
}

struct Id {
    id: String,
}
row!(Id { id });

fn role_of(name: String) -> Result<OrgRole, DbError> {
    OrgRole::parse(&name).ok_or(DbError::Column(name))
}

impl FromRow for Is {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self { role: role_of(row.get("role")?)? })
    }
}

impl FromRow for Org {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get("id")?,
            handle: row.get("handle")?,
            name: row.get("name")?,
            role: row.get::<Option<String>>("role")?.map(role_of).transpose()?,
            owners: row.get("owners")?,
            created_at: row.get("at_ms")?,
            version: row.get("version")?,
        })
    }
}

impl FromRow for Belongs {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let role = role_of(row.get("role")?)?;
        Ok(Self { id: row.get("id")?, handle: row.get("handle")?, name: row.get("name")?, role })
    }
}

impl FromRow for Member {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            user_id: row.get("person_id")?,
            handle: row.get("handle")?,
            name: row.get("name")?,
            role: role_of(row.get("role")?)?,
            disabled: row.get("disabled")?,
            since: row.get("at_ms")?,
        })
    }
}

impl FromRow for Invite {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            user_id: row.get("person_id")?,
            handle: row.get("handle")?,
            name: row.get("name")?,
            role: role_of(row.get("role")?)?,
            invited_at: row.get("at_ms")?,
        })
    }
}

impl FromRow for Invitation {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            org_id: row.get("org_id")?,
            handle: row.get("handle")?,
            name: row.get("name")?,
            role: role_of(row.get("role")?)?,
            invited_at: row.get("at_ms")?,
        })
    }
}

/// What a member is, as it is told.
struct Told(OrgMember);

impl FromRow for Told {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self(OrgMember { user_id: row.get("person_id")?, role: role_of(row.get("role")?)? }))
    }
}

/// Organisations as somebody, `$1`, sees them; all, when `$2` is 1.
macro_rules! seen {
    ($which:literal) => {
        concat!(
            "SELECT o.*, (SELECT m.role FROM org_member m WHERE m.org_id = o.id AND m.person_id = $1) AS role, \
             (SELECT COUNT(*) FROM org_member m JOIN person p ON p.id = m.person_id WHERE m.org_id = o.id AND \
             m.role = 'owner' AND p.disabled = 0) AS owners FROM org o WHERE o.deleted = 0 AND ($2 = 1 OR EXISTS \
             (SELECT 1 FROM org_member m WHERE m.org_id = o.id AND m.person_id = $1)) AND ",
            $which
        )
    };
}

pub(super) async fn find(cx: &Ctx, by: &Caller, id: &str) -> Result<Option<Org>, DbError> {
    cx.db().one(seen!("o.id = $3"), args![&by.subject, by.is_operator(), id]).await
}

pub(super) async fn find_in(tx: &mut Tx, by: &Caller, id: &str) -> Result<Option<Org>, DbError> {
    tx.one(seen!("o.id = $3"), args![&by.subject, by.is_operator(), id]).await
}

pub(super) async fn list(cx: &Ctx, by: &Caller, page: &Page) -> Result<Vec<Org>, DbError> {
    let sql = seen!("o.id > $3 ORDER BY o.id LIMIT $4");
    cx.db().all(sql, args![&by.subject, by.is_operator(), &page.after, page.rows()]).await
}

/// Those that somebody is in.
pub(super) async fn of(cx: &Ctx, person: &str, most: i64) -> Result<Vec<Belongs>, DbError> {
    let sql = "SELECT o.id, o.handle, o.name, m.role FROM org_member m JOIN org o ON o.id = m.org_id \
               WHERE m.person_id = $1 ORDER BY o.id LIMIT $2";
    cx.db().all(sql, args![person, most]).await
}

pub(super) async fn orgs_of(tx: &mut Tx, person: &str) -> Result<Vec<String>, DbError> {
    let sql = "SELECT org_id AS id FROM org_member WHERE person_id = $1 ORDER BY org_id";
    Ok(tx.all(sql, args![person]).await?.into_iter().map(|Id { id }| id).collect())
}

async fn number(tx: &mut Tx, sql: &'static str, args: Vec<Value>) -> Result<i64, DbError> {
    Ok(tx.one(sql, args).await?.unwrap_or_default())
}

/// Waits until nobody else decides about somebody who is not shut out; whether there is one.
pub(super) async fn hold_person(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    let sql = "UPDATE person SET version = version WHERE id = $1 RETURNING disabled AS n";
    Ok(tx.one::<i64>(sql, args![id]).await? == Some(0))
}

/// The same with who may make something.
pub(super) async fn hold_creator(tx: &mut Tx, id: &str) -> Result<bool, Problem> {
    if !hold_person(tx, id).await? {
        return Ok(false);
    }
    let user = crate::user_auth::store::find_in(tx, id).await?;
    let makes = [nx_contract::identity::CREATOR, nx_contract::identity::OPERATOR];
    Ok(user.roles.iter().any(|role| makes.contains(&role.as_str())))
}

/// The same with who is called so.
pub(super) async fn hold_called(tx: &mut Tx, handle: &str) -> Result<Option<Called>, DbError> {
    tx.one("UPDATE person SET version = version WHERE handle = $1 RETURNING id, handle, name", args![handle])
        .await
}

/// Whether somebody may do everything, whatever was true when their token was made.
pub(super) async fn is_operator(tx: &mut Tx, by: &Caller) -> Result<bool, DbError> {
    if !by.is_operator() || !by.is_person() {
        return Ok(by.is_operator());
    }
    is_operator_now(tx, &by.subject).await
}

/// The same of who does not ask.
pub(super) async fn is_operator_now(tx: &mut Tx, person: &str) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM person WHERE id = $1 AND operator = 1 AND disabled = 0";
    Ok(number(tx, sql, args![person]).await? > 0)
}

pub(super) async fn add(tx: &mut Tx, by: &str, org: &Org) -> Result<(), Problem> {
    let sql = "INSERT INTO org (id, handle, skeleton, name, made_by, at_ms, deleted, version) \
               VALUES ($1, $2, $3, $4, $5, $6, 0, 1)";
    let taken = "an organisation has this handle, or one that looks like it: take another";
    let Org { id, handle, name, created_at, .. } = org;
    match tx.run(sql, args![id, handle, skeleton(handle), name, by, *created_at]).await {
        Err(error) if error.is_unique() => return Err(Problem::conflict("taken", taken)),
        added => added.map(drop)?,
    }
    Ok(add_member(tx, id, by, OrgRole::Owner).await?)
}

pub(super) async fn count_made(tx: &mut Tx, person: &str) -> Result<i64, DbError> {
    number(tx, "SELECT COUNT(*) AS n FROM org WHERE made_by = $1", args![person]).await
}

pub(super) async fn count_of(tx: &mut Tx, person: &str) -> Result<i64, DbError> {
    number(tx, "SELECT COUNT(*) AS n FROM org_member WHERE person_id = $1", args![person]).await
}

/// Takes the turn at one, to the end of the transaction.
pub(super) async fn touch(tx: &mut Tx, id: &str) -> Result<u64, DbError> {
    tx.run("UPDATE org SET version = version + 1 WHERE id = $1 AND deleted = 0", args![id]).await
}

/// The same for who is in it, or may do everything: others keep nobody waiting.
pub(super) async fn touch_as(tx: &mut Tx, id: &str, by: &Caller) -> Result<bool, DbError> {
    let sql = "UPDATE org SET version = version + 1 WHERE id = $1 AND deleted = 0 AND ($2 = 1 OR EXISTS \
               (SELECT 1 FROM org_member m WHERE m.org_id = $1 AND m.person_id = $3))";
    Ok(tx.run(sql, args![id, by.is_operator(), &by.subject]).await? > 0)
}

/// The turn has come: what was read is one less than what is.
pub(super) async fn rename(tx: &mut Tx, id: &str, version: i64, name: &str) -> Result<bool, DbError> {
    let sql = "UPDATE org SET name = $1 WHERE id = $2 AND version = $3 + 1";
    Ok(tx.run(sql, args![name, id, version]).await? > 0)
}

pub(super) async fn now(tx: &mut Tx, id: &str) -> Result<Option<Kept>, DbError> {
    tx.one("SELECT * FROM org WHERE id = $1 AND deleted = 0", args![id]).await
}

/// Its handle may be another's then.
pub(super) async fn end(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let sql = "UPDATE org SET deleted = 1, handle = '', skeleton = NULL, name = '' WHERE id = $1";
    tx.run(sql, args![id]).await?;
    tx.run("DELETE FROM org_member WHERE org_id = $1", args![id]).await?;
    tx.run("DELETE FROM org_invite WHERE org_id = $1", args![id]).await.map(drop)
}

pub(super) async fn members(tx: &mut Tx, org: &str) -> Result<Vec<OrgMember>, DbError> {
    let all: Vec<Told> =
        tx.all("SELECT * FROM org_member WHERE org_id = $1 ORDER BY person_id", args![org]).await?;
    Ok(all.into_iter().map(|Told(member)| member).collect())
}

pub(super) async fn list_members(cx: &Ctx, org: &str, page: &Page) -> Result<Vec<Member>, DbError> {
    let sql = "SELECT m.*, p.handle, p.name, p.disabled FROM org_member m JOIN person p ON p.id = m.person_id \
               WHERE m.org_id = $1 AND m.person_id > $2 ORDER BY m.person_id LIMIT $3";
    cx.db().all(sql, args![org, &page.after, page.rows()]).await
}

/// Members and who is invited.
pub(super) async fn count(tx: &mut Tx, org: &str) -> Result<i64, DbError> {
    let members = "SELECT COUNT(*) AS n FROM org_member WHERE org_id = $1";
    let invites = "SELECT COUNT(*) AS n FROM org_invite WHERE org_id = $1";
    Ok(number(tx, members, args![org]).await? + number(tx, invites, args![org]).await?)
}

/// What a member is.
pub(super) async fn member(tx: &mut Tx, org: &str, person: &str) -> Result<Option<OrgRole>, DbError> {
    let sql = "SELECT role FROM org_member WHERE org_id = $1 AND person_id = $2";
    Ok(tx.one(sql, args![org, person]).await?.map(|Is { role }| role))
}

/// The same, as far as they are not shut out.
pub(super) async fn role(tx: &mut Tx, org: &str, person: &str) -> Result<Option<OrgRole>, DbError> {
    let sql = "SELECT m.role FROM org_member m JOIN person p ON p.id = m.person_id \
               WHERE m.org_id = $1 AND m.person_id = $2 AND p.disabled = 0";
    Ok(tx.one(sql, args![org, person]).await?.map(|Is { role }| role))
}

pub(super) async fn add_member(tx: &mut Tx, org: &str, person: &str, role: OrgRole) -> Result<(), DbError> {
    let sql = "INSERT INTO org_member (org_id, person_id, role, at_ms) VALUES ($1, $2, $3, $4)";
    let now_ms = tx.now_ms();
    tx.run(sql, args![org, person, role.name(), now_ms]).await.map(drop)
}

/// Gives a member another role, unless no owner would be left who is not shut out.
pub(super) async fn set_role(tx: &mut Tx, org: &str, person: &str, role: OrgRole) -> Result<bool, DbError> {
    let sql = "UPDATE org_member SET role = $3 WHERE org_id = $1 AND person_id = $2 AND ($3 = 'owner' OR role <> 'owner' OR \
               EXISTS (SELECT 1 FROM org_member o JOIN person p ON p.id = o.person_id WHERE o.org_id = $1 AND \
               o.person_id <> $2 AND o.role = 'owner' AND p.disabled = 0))";
    Ok(tx.run(sql, args![org, person, role.name()]).await? > 0)
}

/// Takes a member out, unless no owner would be left who is not shut out.
pub(super) async fn remove(tx: &mut Tx, org: &str, person: &str) -> Result<bool, DbError> {
    let sql = "DELETE FROM org_member WHERE org_id = $1 AND person_id = $2 AND (role <> 'owner' OR \
               EXISTS (SELECT 1 FROM org_member o JOIN person p ON p.id = o.person_id WHERE o.org_id = $1 AND \
               o.person_id <> $2 AND o.role = 'owner' AND p.disabled = 0))";
    Ok(tx.run(sql, args![org, person]).await? > 0)
}

/// Takes out who is forgotten.
pub(super) async fn remove_anyhow(tx: &mut Tx, org: &str, person: &str) -> Result<u64, DbError> {
    tx.run("DELETE FROM org_member WHERE org_id = $1 AND person_id = $2", args![org, person]).await
}

pub(super) async fn invites(cx: &Ctx, org: &str, page: &Page) -> Result<Vec<Invite>, DbError> {
    let sql = "SELECT i.*, p.handle, p.name FROM org_invite i JOIN person p ON p.id = i.person_id \
               WHERE i.org_id = $1 AND i.person_id > $2 ORDER BY i.person_id LIMIT $3";
    cx.db().all(sql, args![org, &page.after, page.rows()]).await
}

/// What somebody is invited to, behind one.
pub(super) async fn invited(
    cx: &Ctx,
    person: &str,
    after: &str,
    most: i64,
) -> Result<Vec<Invitation>, DbError> {
    let sql = "SELECT i.*, o.handle, o.name FROM org_invite i JOIN org o ON o.id = i.org_id \
               WHERE i.person_id = $1 AND i.org_id > $2 ORDER BY i.org_id LIMIT $3";
    cx.db().all(sql, args![person, after, most]).await
}

pub(super) async fn is_invited(cx: &Ctx, org: &str, person: &str) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM org_invite WHERE org_id = $1 AND person_id = $2";
    Ok(cx.db().one::<i64>(sql, args![org, person]).await?.unwrap_or_default() > 0)
}

pub(super) async fn invite(tx: &mut Tx, org: &str, invite: &Invite, by: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO org_invite (org_id, person_id, role, invited_by, at_ms) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (org_id, person_id) DO UPDATE SET role = excluded.role, invited_by = excluded.invited_by, \
               at_ms = excluded.at_ms";
    let Invite { user_id, role, invited_at, .. } = invite;
    tx.run(sql, args![org, user_id, role.name(), by, *invited_at]).await.map(drop)
}

/// What somebody is invited as.
pub(super) async fn invited_as(tx: &mut Tx, org: &str, person: &str) -> Result<Option<OrgRole>, DbError> {
    let sql = "SELECT role FROM org_invite WHERE org_id = $1 AND person_id = $2";
    Ok(tx.one(sql, args![org, person]).await?.map(|Is { role }| role))
}

/// Takes an invitation, once.
pub(super) async fn take_invite(tx: &mut Tx, org: &str, person: &str) -> Result<Option<Taken>, DbError> {
    let sql = "DELETE FROM org_invite WHERE org_id = $1 AND person_id = $2 RETURNING role, invited_by, at_ms";
    tx.one(sql, args![org, person]).await
}

pub(super) async fn drop_invites_before(tx: &mut Tx, at_ms: i64) -> Result<(), DbError> {
    tx.run("DELETE FROM org_invite WHERE at_ms <= $1", args![at_ms]).await.map(drop)
}

pub(super) async fn drop_invites_by(tx: &mut Tx, org: &str, person: &str) -> Result<(), DbError> {
    let sql = "DELETE FROM org_invite WHERE org_id = $1 AND invited_by = $2";
    tx.run(sql, args![org, person]).await.map(drop)
}

/// Forgets what somebody was invited to, whom they have invited and what they have made; how many rows there were.
pub(super) async fn erase(tx: &mut Tx, person: &str) -> Result<u64, DbError> {
    let made = tx.run("UPDATE org SET made_by = '' WHERE made_by = $1", args![person]).await?;
    let sql = "DELETE FROM org_invite WHERE person_id = $1 OR invited_by = $1";
    Ok(made + tx.run(sql, args![person]).await?)
}
