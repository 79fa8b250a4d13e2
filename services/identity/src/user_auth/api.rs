//! Routes of user-auth: people about themselves, operators about all, auth-service about who is new.

use garde::Validate;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, IfMatch, Json, List, Page, Path, Problem, Tagged, Time, Tx,
};
use nx_contract::identity::OPERATOR;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{erasure, exports, orgs, rules, scim, store};
use crate::{Done, Person, PersonNow, USER_CHANGED, USER_CREATED};

pub(super) fn routes() -> Api {
    orgs::routes(erasure::routes(exports::routes(scim::routes(Api::new()))))
        .get("/users", list)
        .post_once("/users", add)
        .get("/users/{id}", read)
        .patch("/users/{id}", rename)
        .delete("/users/{id}", erase)
        .put("/users/{id}/roles", set_roles)
        .get("/users/{id}/permissions", permissions)
        .post("/users/{id}/disable", disable)
        .post("/users/{id}/enable", enable)
        .get("/handles/{handle}", by_handle)
        .get("/operators", operators)
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) handle: String,
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    /// Shut out until somebody lets them in again.
    pub(crate) disabled: bool,
    pub(crate) created_at: Time,
    pub(crate) version: i64,
}

impl nx_chassis::FromRow for User {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        Ok(Self {
            id: row.get("id")?,
            handle: row.get("handle")?,
            name: row.get("name")?,
            roles: row.json("roles")?,
            disabled: row.get("disabled")?,
            created_at: row.get("at_ms")?,
            version: row.get("version")?,
        })
    }
}

impl User {
    pub(crate) fn person(&self) -> Person {
        let Self { id, handle, name, roles, .. } = self;
        Person { id: id.clone(), handle: handle.clone(), name: name.clone(), roles: roles.clone() }
    }

    fn now(&self) -> PersonNow {
        PersonNow { person: self.person(), disabled: self.disabled }
    }
}

/// Somebody new; whoever signs them up has chosen the id.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    #[garde(length(min = 36, max = 36))]
    pub(crate) id: String,
    #[garde(length(max = 100))]
    pub(crate) handle: String,
    #[garde(length(chars, max = 100))]
    pub(crate) name: String,
    #[garde(skip)]
    pub(crate) roles: Vec<String>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Roles {
    #[garde(length(max = 8))]
    roles: Vec<String>,
}

async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<User>, Problem> {
    by.must_be(OPERATOR)?;
    Ok(List::of(&page, store::list(&cx, &page).await?, |user| &user.id))
}

async fn add(by: Caller, cx: Ctx, mut tx: Tx, Body(new): Body<NewUser>) -> Result<Created<User>, Problem> {
    by.must_be_service()?;
    let handle = rules::handle(&new.handle).map_err(|e| Problem::invalid("/handle", e))?;
    let roles = rules::roles(&new.roles).map_err(|e| Problem::invalid("/roles", e))?;
    let name = if new.name.trim().is_empty() { handle.clone() } else { new.name.trim().to_owned() };
    let created_at = Time(cx.now_ms());
    let user = User { id: new.id, handle, name, roles, disabled: false, created_at, version: 1 };
    store::add(&mut tx, &by, &user, cx.now_ms()).await?;
    tell(&mut tx, USER_CREATED, &user).await?;
    Ok(Created { location: user.id.clone(), body: user })
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<User>, Problem> {
    by.must_own(&id)?;
    let body = store::find(&cx, &id).await?;
    Ok(Tagged { version: body.version, body })
}

/// Who is called that, for operators and services; `null` is nobody.
async fn by_handle(by: Caller, cx: Ctx, Path(handle): Path<String>) -> Result<Json<Option<User>>, Problem> {
    by.must_be(OPERATOR)?;
    Ok(Json(store::by_handle(&cx, &handle.to_ascii_lowercase()).await?))
}

async fn rename(
    by: Caller,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(new): Body<Rename>,
) -> Result<Tagged<User>, Problem> {
    by.must_own(&id)?;
    if new.name.trim().is_empty() {
        return Err(Problem::invalid("/name", "is blank"));
    }
    let user = store::rename(&mut tx, &by, &id, version, new.name.trim()).await?;
    changed(tx, user).await
}

async fn set_roles(
    by: Caller,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(new): Body<Roles>,
) -> Result<Tagged<User>, Problem> {
    by.must_be(OPERATOR)?;
    let roles = rules::roles(&new.roles).map_err(|e| Problem::invalid("/roles", e))?;
    let user = store::set_roles(&mut tx, &by, &id, version, &roles).await?;
    changed(tx, user).await
}

async fn disable(by: Caller, tx: Tx, Path(id): Path<String>) -> Result<Tagged<User>, Problem> {
    set_disabled(&by, tx, &id, true).await
}

async fn enable(by: Caller, tx: Tx, Path(id): Path<String>) -> Result<Tagged<User>, Problem> {
    set_disabled(&by, tx, &id, false).await
}

async fn set_disabled(by: &Caller, mut tx: Tx, id: &str, disabled: bool) -> Result<Tagged<User>, Problem> {
    by.must_be(OPERATOR)?;
    let user = store::set_disabled(&mut tx, by, id, disabled).await?;
    changed(tx, user).await
}

async fn changed(mut tx: Tx, body: User) -> Result<Tagged<User>, Problem> {
    tell(&mut tx, USER_CHANGED, &body).await?;
    Ok(Tagged { version: body.version, body })
}

/// Tells the other services how somebody is now.
pub(super) async fn tell(tx: &mut Tx, kind: &'static str, user: &User) -> Result<(), Problem> {
    tx.emit(kind, &user.id, &user.now()).await
}

async fn erase(by: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    erasure::at_once(&by, &mut tx, &id).await?;
    Ok(Json(Done {}))
}

/// What somebody may do: nothing while they are shut out.
#[derive(Debug, Serialize, JsonSchema)]
struct Permissions {
    items: Vec<&'static str>,
    roles: Vec<String>,
    /// What they are in organisations.
    orgs: Vec<orgs::Belongs>,
}

async fn permissions(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Permissions>, Problem> {
    by.must_own(&id)?;
    let user = store::find(&cx, &id).await?;
    if user.disabled {
        return Ok(Json(Permissions { items: vec![], roles: vec![], orgs: vec![] }));
    }
    let (items, orgs) = (rules::permissions(&user.roles), orgs::of(&cx, &id).await?);
    Ok(Json(Permissions { items, roles: user.roles, orgs }))
}

/// Whether there is anybody who may do everything.
async fn operators(by: Caller, cx: Ctx) -> Result<Json<bool>, Problem> {
    by.must_be_service()?;
    Ok(Json(store::has_operator(&cx).await?))
}
