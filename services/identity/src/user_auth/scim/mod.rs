//! SCIM 2.0: a directory of others makes, changes and removes people and groups here (RFC 7643, RFC 7644).
//!
//! Operators alone may, as everywhere with other people. Somebody is shut out, let in and erased in exactly the way in which the
//! routes of user-auth do it, with its rules and its events.
//!
//! Not here: bulk requests, sorting, groups in groups, `Me`.

mod about;
mod eval;
mod filter;
mod given;
mod groups;
mod list;
mod patch;
mod schema;
mod shape;
mod store;
mod users;
mod wire;

use nx_chassis::{Api, Ctx, DbError, Tx};
use serde_json::{Value, json};

use wire::{Asked, Doc, Refusal};

pub(super) fn routes(api: Api) -> Api {
    api.get("/scim/v2/Users", list::all_users)
        .post("/scim/v2/Users", users::create)
        .post("/scim/v2/Users/.search", list::search_users)
        .get("/scim/v2/Users/{id}", users::read)
        .put("/scim/v2/Users/{id}", users::replace)
        .patch("/scim/v2/Users/{id}", users::modify)
        .delete("/scim/v2/Users/{id}", users::delete)
        .get("/scim/v2/Groups", list::all_groups)
        .post("/scim/v2/Groups", groups::create)
        .post("/scim/v2/Groups/.search", list::search_groups)
        .get("/scim/v2/Groups/{id}", groups::read)
        .put("/scim/v2/Groups/{id}", groups::replace)
        .patch("/scim/v2/Groups/{id}", groups::modify)
        .delete("/scim/v2/Groups/{id}", groups::delete)
        .post("/scim/v2/.search", list::search)
        .get("/scim/v2/ServiceProviderConfig", about::config)
        .get("/scim/v2/ResourceTypes", about::types)
        .get("/scim/v2/ResourceTypes/{id}", about::one_type)
        .get("/scim/v2/Schemas", about::schemas)
        .get("/scim/v2/Schemas/{id}", about::one_schema)
        .post("/scim/v2/Bulk", not_built)
        .get("/scim/v2/Me", not_built)
        .post("/scim/v2/Me", not_built)
        .put("/scim/v2/Me", not_built)
        .patch("/scim/v2/Me", not_built)
        .delete("/scim/v2/Me", not_built)
        .get("/scim/v2/{other}", nothing)
}

async fn not_built(_: Asked) -> Result<Doc, Refusal> {
    Err(Refusal::not_built("there is no Bulk and no Me here: ServiceProviderConfig says what there is"))
}

/// Clients read the errors of SCIM alone.
async fn nothing(_: Asked) -> Result<Doc, Refusal> {
    Err(Refusal::unknown())
}

/// Forgets what SCIM has brought of somebody who is erased.
pub(super) async fn forget(tx: &mut Tx, id: &str) -> Result<u64, DbError> {
    store::forget_user(tx, id).await
}

/// What it has brought of somebody, and the groups that they are in.
pub(super) async fn of(cx: &Ctx, id: &str) -> Result<Value, DbError> {
    let row = store::users(cx, &store::By::Id(id.to_owned()), "", 1).await?.pop();
    let groups = store::groups_of(cx, id).await?;
    let groups: Vec<_> = groups.into_iter().map(|group| group.name).collect();
    Ok(json!({"attributes": row.and_then(|row| row.attributes), "groups": groups}))
}

#[cfg(test)]
mod tests;
