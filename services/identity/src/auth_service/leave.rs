//! Leaving for good: somebody has themselves forgotten, with their password.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Json, Problem, ShownOnce};
use schemars::JsonSchema;
use serde::Deserialize;

use super::api::{confirm, in_session};
use crate::user_auth::{Erasure, GRACE_DAYS, NewErasure};

pub(super) fn routes(api: Api) -> Api {
    api.post("/erasure", leave)
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Leave {
    #[garde(length(max = 1024))]
    password: String,
    /// Without a week in which it may be taken back.
    #[garde(skip)]
    #[serde(default)]
    at_once: bool,
}

async fn leave(by: Caller, cx: Ctx, Body(given): Body<Leave>) -> Result<ShownOnce<Json<Erasure>>, Problem> {
    in_session(&by)?;
    confirm(&cx, &by, "/password", given.password).await?;
    let new = NewErasure { grace_days: if given.at_once { 0 } else { GRACE_DAYS } };
    let path = format!("/v1/users/{}/erasure", by.subject);
    let asked = cx.call("user-auth")?.post(&path, &cx.new_id(), &new).await?;
    Ok(ShownOnce(Json(asked)))
}
