//! `Users`: the people of user-auth, as a directory sees them.
//!
//! | SCIM | here |
//! | --- | --- |
//! | `userName` | unique without its case among people and handles; the handle, which people log in with, is made of it once and stays |
//! | `displayName`, else `name`, else `userName` | the name |
//! | `active` | not shut out; who removes it lets them in, who replaces somebody without it leaves that as it was |
//! | `roles` | all but `operator`, which operators alone give and take; who removes them makes a viewer |
//! | `password` | of people whom a directory has made, see `given.rs` |
//! | everything else | kept and given back |
//!
//! Who has signed up is there too, with their handle as `userName`.

use nx_chassis::{Ctx, Path, Time, Tx};
use nx_contract::identity::{USER_CHANGED, VIEWER};
use serde_json::{Map, Value, json};

use super::eval::fold;
use super::given::{self, Ticket};
use super::patch;
use super::schema::{ENTERPRISE, USER, USERS};
use super::shape::{conform, whole};
use super::store::{self, By, Link, UserRow};
use super::wire::{Asked, Doc, Given, New, Patch, Refusal, Resource, Versions, tag};
use crate::USER_CREATED;
use crate::user_auth::store::{Turn, keep_shut, set_disabled};
use crate::user_auth::{User, api, erasure, rules};

/// Longest name of a person, characters.
const NAME_MAX: usize = 100;
/// Characters of a handle before what makes it unique.
const STEM_MAX: usize = 17;

pub(super) async fn read(asked: Asked, cx: Ctx, Path(id): Path<String>) -> Result<Doc, Refusal> {
    let found = store::users(&cx, &By::Id(id), "", 1).await?.pop().ok_or_else(Refusal::unknown)?;
    let groups = store::groups_of(&cx, &found.user.id).await?;
    Ok(Doc(asked.wanted.of(USERS.scope, document(&found, &asked.base, &groups)).into()))
}

pub(super) async fn create(
    asked: Asked,
    cx: Ctx,
    mut tx: Tx,
    Given(given): Given<Resource>,
) -> Result<New, Refusal> {
    let mut of = conform(USERS.scope, &given)?;
    whole(USERS.scope, &of)?;
    let (id, created_at, roles) = (cx.new_id(), Time(cx.now_ms()), given::roles(&of)?);
    let handles = handles(user_name(&of), &id);
    let handle = handles.first().map_or("", |handle| handle);
    let ticket = given::ticket(&cx, given::password(&mut of), handle).await?;
    Turn::begin(&mut tx, &asked.by).await?;
    let active = of.insert("active".into(), true.into()) != Some(false.into());
    let roles = roles.unwrap_or_else(|| vec![VIEWER.to_owned()]);
    let user =
        User { id, handle: String::new(), name: name(&of), roles, disabled: false, created_at, version: 1 };
    let mut user = store::add_user(&mut tx, &user, &handles, &fold(user_name(&of))).await?;
    store::keep_user(&mut tx, &user.id, &of).await?;
    store::note_made(&mut tx, &user.id).await?;
    api::tell(&mut tx, USER_CREATED, &user).await?;
    if let Some(ticket) = ticket {
        given::tell(&mut tx, &user, ticket).await?;
    }
    if !active {
        user = set_disabled(&mut tx, &asked.by, &user.id, true).await?;
        api::tell(&mut tx, USER_CHANGED, &user).await?;
    }
    let made = UserRow { changed_ms: user.created_at.0, user, attributes: Some(of), made: true };
    Ok(New(asked.wanted.of(USERS.scope, document(&made, &asked.base, &[])).into()))
}

pub(super) async fn replace(
    asked: Asked,
    versions: Versions,
    cx: Ctx,
    tx: Tx,
    Path(id): Path<String>,
    Given(given): Given<Resource>,
) -> Result<Doc, Refusal> {
    change(asked, versions, (cx, tx), &id, |of| {
        let mut new = conform(USERS.scope, &given)?;
        // Who says nothing of these does not let anybody in, or shut them out, or make something else of them.
        for name in ["active", "roles"] {
            if let (None, Some(now)) = (new.get(name), of.get(name)) {
                new.insert(name.into(), now.clone());
            }
        }
        *of = new;
        Ok(())
    })
    .await
}

pub(super) async fn modify(
    asked: Asked,
    versions: Versions,
    cx: Ctx,
    tx: Tx,
    Path(id): Path<String>,
    Given(Patch(changes)): Given<Patch>,
) -> Result<Doc, Refusal> {
    change(asked, versions, (cx, tx), &id, |of| patch::apply(USERS.scope, of, &changes)).await
}

async fn change(
    asked: Asked,
    versions: Versions,
    (cx, mut tx): (Ctx, Tx),
    id: &str,
    edit: impl Fn(&mut Resource) -> Result<(), Refusal>,
) -> Result<Doc, Refusal> {
    let ticket = new_password(&cx, id, &edit).await?;
    Turn::begin(&mut tx, &asked.by).await?;
    let mut row = store::hold_user(&mut tx, id).await?;
    versions.allow(row.user.version)?;
    let before = kept(&row);
    let mut of = before.clone();
    edit(&mut of)?;
    given::password(&mut of);
    whole(USERS.scope, &of)?;
    if let Some(ticket) = ticket {
        given::may_set(&row)?;
        given::tell(&mut tx, &row.user, ticket).await?;
    }
    let disabled = of.get("active") == Some(&false.into());
    if disabled {
        keep_shut(&mut tx, id).await?;
    }
    if of != before {
        if disabled != row.user.disabled {
            set_disabled(&mut tx, &asked.by, id, disabled).await?;
        }
        given::set_roles(&mut tx, &row.user, &before, &of).await?;
        row.user = store::name_user(&mut tx, id, &name(&of), &fold(user_name(&of))).await?;
        row.changed_ms = tx.now_ms();
        store::keep_user(&mut tx, id, &of).await?;
        api::tell(&mut tx, USER_CHANGED, &row.user).await?;
        row.attributes = Some(of);
    }
    let groups = store::groups_of_in(&mut tx, id).await?;
    Ok(Doc(asked.wanted.of(USERS.scope, document(&row, &asked.base, &groups)).into()))
}

/// What auth-service has made of the password that an edit brings, if it brings one: it is asked before anybody waits for the
/// store, and the edit is made again then.
async fn new_password(
    cx: &Ctx,
    id: &str,
    edit: &impl Fn(&mut Resource) -> Result<(), Refusal>,
) -> Result<Option<Ticket>, Refusal> {
    let row = store::users(cx, &By::Id(id.to_owned()), "", 1).await?.pop().ok_or_else(Refusal::unknown)?;
    let mut of = kept(&row);
    edit(&mut of)?;
    let Some(password) = given::password(&mut of) else { return Ok(None) };
    given::may_set(&row)?;
    given::ticket(cx, Some(password), &row.user.handle).await
}

pub(super) async fn delete(
    asked: Asked,
    versions: Versions,
    mut tx: Tx,
    Path(id): Path<String>,
) -> Result<http::StatusCode, Refusal> {
    Turn::begin(&mut tx, &asked.by).await?;
    versions.allow(store::hold_user(&mut tx, &id).await?.user.version)?;
    erasure::at_once(&asked.by, &mut tx, &id).await?;
    Ok(http::StatusCode::NO_CONTENT)
}

/// What a client may change of somebody. What was changed elsewhere is in it.
fn kept(row: &UserRow) -> Resource {
    let new =
        || Map::from_iter([("userName".into(), json!(row.user.handle)), ("active".into(), json!(true))]);
    let mut of = row.attributes.clone().unwrap_or_else(new);
    if name(&of) != row.user.name {
        of.insert("displayName".into(), json!(row.user.name));
    }
    given::show_roles(&row.user, &mut of);
    // It is kept whether a client wants to know of it.
    if row.user.disabled || of.contains_key("active") {
        of.insert("active".into(), json!(!row.user.disabled));
    }
    of
}

/// Somebody as clients see them.
pub(super) fn document(row: &UserRow, base: &str, groups: &[Link]) -> Resource {
    let mut of = kept(row);
    let schemas: Vec<&str> =
        [USER, ENTERPRISE].into_iter().filter(|&space| space == USER || of.contains_key(space)).collect();
    of.insert("schemas".into(), json!(schemas));
    of.insert("id".into(), json!(row.user.id));
    if !groups.is_empty() {
        let group = |Link { id, name }: &Link| json!({"value": id, "$ref": format!("{base}/Groups/{id}"), "display": name, "type": "direct"});
        of.insert("groups".into(), groups.iter().map(group).collect());
    }
    let meta = json!({
        "resourceType": USERS.name,
        "created": row.user.created_at,
        "lastModified": Time(row.changed_ms),
        "location": format!("{base}{}/{}", USERS.endpoint, row.user.id),
        "version": tag(row.user.version),
    });
    of.insert("meta".into(), meta);
    of
}

fn user_name(of: &Resource) -> &str {
    of.get("userName").and_then(Value::as_str).unwrap_or_default()
}

/// What somebody is called.
fn name(of: &Resource) -> String {
    let of_name = |part: &str| of.get("name").and_then(|name| name.get(part)?.as_str()).unwrap_or_default();
    let display = of.get("displayName").and_then(Value::as_str).unwrap_or_default();
    let parts = format!("{} {}", of_name("givenName"), of_name("familyName"));
    let all = [display, of_name("formatted"), &parts, user_name(of)];
    let found = all.into_iter().map(str::trim).find(|name| !name.is_empty()).unwrap_or_default();
    found.chars().take(NAME_MAX).collect::<String>().trim_end().to_owned()
}

/// Handles for somebody new, the best first: what stands before the `@` in so far as it can be one, then with something behind
/// it that nobody else has.
fn handles(user_name: &str, id: &str) -> Vec<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let stem: String = user_name.split('@').next().unwrap_or_default().chars().map(plain).collect();
    let stem = stem.to_ascii_lowercase();
    let trim = |text: &str| text.trim_matches(['.', '_', '-']).to_owned();
    let stem = trim(&stem);
    let short = trim(&stem.chars().take(STEM_MAX).collect::<String>());
    let short = if short.is_empty() { "user" } else { &short };
    let tail = id.rsplit('-').next().unwrap_or_default();
    let more = [8, 12].map(|digits| {
        let tail = tail.get(tail.len().saturating_sub(digits)..).unwrap_or(tail);
        format!("{short}-{tail}")
    });
    [stem].into_iter().chain(more).filter_map(|handle| rules::handle(&handle).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_made_of_whatever_a_directory_calls_somebody() {
        let id = "01a2030e-1c91-75f5-bb4c-d832a5cf02e1";
        for (user_name, want) in [
            ("bjensen@example.com", &["bjensen", "bjensen-a5cf02e1", "bjensen-d832a5cf02e1"][..]),
            ("Ada Lovelace", &["ada-lovelace", "ada-lovelace-a5cf02e1", "ada-lovelace-d832a5cf02e1"]),
            ("@", &["user-a5cf02e1", "user-d832a5cf02e1"]),
            ("x", &["x-a5cf02e1", "x-d832a5cf02e1"]),
            ("\u{5ca9}\u{7530}", &["user-a5cf02e1", "user-d832a5cf02e1"]),
            (
                "2819c223-7f76-453a-919d-413861904646",
                &["2819c223-7f76-453-a5cf02e1", "2819c223-7f76-453-d832a5cf02e1"],
            ),
        ] {
            assert_eq!(handles(user_name, id), want, "{user_name}");
        }
    }

    #[test]
    fn a_name_is_made_of_the_best_that_there_is() {
        for (of, want) in [
            (json!({"userName": "a@b", "displayName": " Ada ", "name": {"formatted": "L"}}), "Ada"),
            (json!({"userName": "a@b", "displayName": "  ", "name": {"formatted": "Ada L"}}), "Ada L"),
            (json!({"userName": "a@b", "name": {"givenName": "Ada", "familyName": "L"}}), "Ada L"),
            (json!({"userName": "a@b", "name": {"familyName": "L"}}), "L"),
            (json!({"userName": "a@b"}), "a@b"),
            (json!({"userName": "a@b", "displayName": "x".repeat(300)}), &"x".repeat(100)),
        ] {
            assert_eq!(name(of.as_object().expect("an object")), want, "{of}");
        }
    }
}
