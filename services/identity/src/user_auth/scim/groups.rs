//! `Groups`: who belongs together, as a directory says it. A group gives nobody a right.

use std::collections::BTreeSet;

use nx_chassis::{Ctx, Path, Time, Tx};
use serde_json::{Map, Value, json};

use super::patch;
use super::schema::{GROUP, GROUPS};
use super::shape::{VALUES_MAX, conform, whole};
use super::store::{self, By, GroupRow, Link};
use super::wire::{Asked, Doc, Given, New, Patch, Refusal, Resource, Versions, tag};
use crate::user_auth::store::Turn;

/// Groups.
const GROUPS_MAX: i64 = 10_000;

pub(super) async fn read(asked: Asked, cx: Ctx, Path(id): Path<String>) -> Result<Doc, Refusal> {
    let found = store::groups(&cx, &By::Id(id), "", 1).await?.pop().ok_or_else(Refusal::unknown)?;
    let members = match asked.wanted.has("members") {
        true => store::members_of(&cx, &found.id).await?,
        false => vec![],
    };
    Ok(Doc(asked.wanted.of(GROUPS.scope, document(&found, &asked.base, &members)).into()))
}

pub(super) async fn create(
    asked: Asked,
    cx: Ctx,
    mut tx: Tx,
    Given(given): Given<Resource>,
) -> Result<New, Refusal> {
    let of = conform(GROUPS.scope, &given)?;
    whole(GROUPS.scope, &of)?;
    Turn::begin(&mut tx, &asked.by).await?;
    let row = store::add_group(&mut tx, &cx.new_id(), &of, GROUPS_MAX).await?;
    set_members(&mut tx, &row.id, &BTreeSet::new(), &members(&of)?).await?;
    Ok(New(answer(&asked, &mut tx, &row).await?))
}

pub(super) async fn replace(
    asked: Asked,
    versions: Versions,
    tx: Tx,
    Path(id): Path<String>,
    Given(given): Given<Resource>,
) -> Result<Doc, Refusal> {
    change(asked, versions, tx, &id, |of| {
        *of = conform(GROUPS.scope, &given)?;
        Ok(())
    })
    .await
}

pub(super) async fn modify(
    asked: Asked,
    versions: Versions,
    tx: Tx,
    Path(id): Path<String>,
    Given(Patch(changes)): Given<Patch>,
) -> Result<Doc, Refusal> {
    change(asked, versions, tx, &id, |of| patch::apply(GROUPS.scope, of, &changes)).await
}

async fn change(
    asked: Asked,
    versions: Versions,
    mut tx: Tx,
    id: &str,
    edit: impl FnOnce(&mut Resource) -> Result<(), Refusal>,
) -> Result<Doc, Refusal> {
    Turn::begin(&mut tx, &asked.by).await?;
    let mut row = store::hold_group(&mut tx, id).await?;
    versions.allow(row.version)?;
    let mut of = kept(&row, &asked.base, &store::members_of_in(&mut tx, id).await?);
    let before = members(&of)?;
    edit(&mut of)?;
    whole(GROUPS.scope, &of)?;
    let (after, external_id) = (members(&of)?, of.get("externalId").and_then(Value::as_str));
    let renamed = of.get("displayName").and_then(Value::as_str) != Some(&*row.name);
    if renamed || after != before || external_id != row.external_id.as_deref() {
        row = store::keep_group(&mut tx, id, &of).await?;
        set_members(&mut tx, id, &before, &after).await?;
        if renamed {
            store::touch_members(&mut tx, id).await?;
        }
    }
    Ok(Doc(answer(&asked, &mut tx, &row).await?))
}

pub(super) async fn delete(
    asked: Asked,
    versions: Versions,
    mut tx: Tx,
    Path(id): Path<String>,
) -> Result<http::StatusCode, Refusal> {
    Turn::begin(&mut tx, &asked.by).await?;
    versions.allow(store::hold_group(&mut tx, &id).await?.version)?;
    store::remove_group(&mut tx, &id).await?;
    Ok(http::StatusCode::NO_CONTENT)
}

async fn answer(asked: &Asked, tx: &mut Tx, row: &GroupRow) -> Result<Value, Refusal> {
    let members = match asked.wanted.has("members") {
        true => store::members_of_in(tx, &row.id).await?,
        false => vec![],
    };
    Ok(asked.wanted.of(GROUPS.scope, document(row, &asked.base, &members)).into())
}

async fn set_members(
    tx: &mut Tx,
    id: &str,
    before: &BTreeSet<String>,
    after: &BTreeSet<String>,
) -> Result<(), Refusal> {
    for gone in before.difference(after) {
        store::set_member(tx, id, gone, false).await?;
    }
    for new in after.difference(before) {
        store::set_member(tx, id, new, true).await?;
    }
    Ok(())
}

/// The ids of the members.
fn members(of: &Resource) -> Result<BTreeSet<String>, Refusal> {
    let members = of.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if members.len() > VALUES_MAX {
        return Err(Refusal::value(format!("a group has at most {VALUES_MAX} members")));
    }
    let id = |member: &Value| {
        let is_user = member.get("type").is_none_or(|kind| kind == "User");
        let id = member.get("value").and_then(Value::as_str).filter(|_| is_user);
        let told = || Refusal::value("a member is a User, and has its id as its value");
        id.map(str::to_owned).ok_or_else(told)
    };
    members.iter().map(id).collect()
}

/// What a client may change of a group.
fn kept(row: &GroupRow, base: &str, members: &[Link]) -> Resource {
    let mut of = Map::from_iter([("displayName".to_owned(), json!(row.name))]);
    if let Some(id) = &row.external_id {
        of.insert("externalId".into(), json!(id));
    }
    if !members.is_empty() {
        let member = |Link { id, .. }: &Link| json!({"value": id, "$ref": format!("{base}/Users/{id}"), "type": "User"});
        of.insert("members".into(), members.iter().map(member).collect());
    }
    of
}

/// A group as clients see it.
pub(super) fn document(row: &GroupRow, base: &str, members: &[Link]) -> Resource {
    let mut of = kept(row, base, members);
    of.insert("schemas".into(), json!([GROUP]));
    of.insert("id".into(), json!(row.id));
    let meta = json!({
        "resourceType": GROUPS.name,
        "created": Time(row.at_ms),
        "lastModified": Time(row.changed_ms),
        "location": format!("{base}{}/{}", GROUPS.endpoint, row.id),
        "version": tag(row.version),
    });
    of.insert("meta".into(), meta);
    of
}
