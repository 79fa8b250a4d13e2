//! An app has somebody sign out here (OpenID Connect RP-Initiated Logout): the page asks them, and sends them back.

use garde::Validate;
use nx_chassis::{Api, Body, Ctx, Json, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::clients;
use super::form::{Elsewhere, Form, Query};
use super::rules::{self, Params, with_query};
use crate::token_mgr::Token;

pub(super) fn routes(api: Api) -> Api {
    api.get("/end_session", by_query).post("/end_session", by_form).post("/end_session/look", look)
}

async fn by_query(cx: Ctx, Query(params): Query) -> Result<Elsewhere, Problem> {
    begin(&cx, params.unwrap_or_default()).await
}

async fn by_form(cx: Ctx, Form(params): Form) -> Result<Elsewhere, Problem> {
    begin(&cx, params.unwrap_or_default()).await
}

async fn begin(cx: &Ctx, params: Params) -> Result<Elsewhere, Problem> {
    // Without an address that the app has registered people stay here.
    let to = back(cx, &params).await?.unwrap_or_default();
    let fragment = with_query("", &[("leave", &format!("{}.{to}", cx.vault().tag(&to)))]);
    Ok(Elsewhere(format!("/account#{}", fragment.trim_start_matches('?'))))
}

/// Where people are sent when they have signed out.
async fn back(cx: &Ctx, params: &Params) -> Result<Option<String>, Problem> {
    let hinted = match params.get("id_token_hint") {
        Some(hint) => hinted(cx, hint, "aud").await?,
        None => None,
    };
    let named = params.get("client_id").map(str::to_owned);
    let id = match (&hinted, &named) {
        (Some(hinted), Some(named)) if hinted != named => return Ok(None),
        _ => hinted.or(named),
    };
    let (Some(id), Some(to)) = (id, params.get("post_logout_redirect_uri")) else { return Ok(None) };
    let Some(client) = clients::find(cx, &id).await? else { return Ok(None) };
    if !client.about.post_logout_redirect_uris.iter().any(|registered| rules::is_registered(to, registered)) {
        return Ok(None);
    }
    Ok(Some(params.get("state").map_or_else(|| to.to_owned(), |state| with_query(to, &[("state", state)]))))
}

/// What an ID token of ours says, however old it is: which app it was made for, or of whom.
pub(super) async fn hinted(cx: &Ctx, hint: &str, claim: &str) -> Result<Option<String>, Problem> {
    let shown = Token { token: hint.to_owned() };
    let claims: Option<Map<String, Value>> =
        cx.call("token-mgr")?.post("/v1/apps/read", &cx.new_id(), &shown).await?;
    Ok(claims.and_then(|claims| claims.get(claim)?.as_str().map(str::to_owned)))
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Request {
    #[garde(length(max = 8192))]
    request: String,
}

/// Where to go on, if anywhere.
#[derive(Serialize, JsonSchema)]
struct Onward {
    location: Option<String>,
}

async fn look(cx: Ctx, Body(given): Body<Request>) -> Result<Json<Onward>, Problem> {
    let (tag, to) = given.request.split_once('.').unwrap_or_default();
    let ours = cx.vault().is_tag(to, tag) && !to.is_empty();
    Ok(Json(Onward { location: ours.then(|| to.to_owned()) }))
}
