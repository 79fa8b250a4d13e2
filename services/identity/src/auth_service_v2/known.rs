//! What is known of tokens: for who was shown one (RFC 7662), for who wants one to be over (RFC 7009), and who somebody is
//! (OpenID Connect Core §5.3).

use http::HeaderMap;
use nx_chassis::{Api, Caller, Ctx, Json, Problem};
use nx_contract::identity::{Confirmation, ISSUER};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::form::{Answer, Form, Refused};
use super::rules::{Params, has};
use super::token::{profile, token_type};
use super::{clients, sessions};
use crate::token_mgr::{Known, Token};
use crate::{Done, Person};

pub(super) fn routes(api: Api) -> Api {
    api.post("/introspect", introspect)
        .post("/revoke", revoke)
        .get("/userinfo", userinfo)
        .post("/userinfo", userinfo)
}

/// What is said of a token.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct State {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'static str>,
}

async fn introspect(cx: Ctx, headers: HeaderMap, Form(form): Form) -> Answer<State> {
    Answer(state(&cx, &headers, form).await)
}

async fn state(cx: &Ctx, headers: &HeaderMap, form: Result<Params, Refused>) -> Result<State, Refused> {
    let form = form?;
    let client = clients::authenticate(cx, headers, &form).await?;
    // Who can keep no secret could have every token looked at by anybody.
    if client.public {
        return Err(Refused::client());
    }
    let Some(known) = known(cx, &form).await? else { return Ok(State::default()) };
    // What new tokens are got with is its app's business alone.
    if known.refreshes && known.app.as_ref().is_none_or(|app| app.client_id != client.id) {
        return Ok(State::default());
    }
    let Known { refreshes, subject, handle, app, iat, exp, .. } = known;
    let named = app.as_ref().is_none_or(|app| has(&app.scope, "profile"));
    let cnf = app.as_ref().and_then(|app| app.key.clone()).map(|jkt| Confirmation { jkt });
    let (client_id, scope) = app.map(|app| (app.client_id, app.scope)).unzip();
    Ok(State {
        active: true,
        scope,
        client_id,
        username: handle.filter(|_| named),
        token_type: (!refreshes).then_some(token_type(cnf.is_some())),
        cnf,
        exp: Some(exp),
        iat,
        sub: Some(subject),
        aud: Some(ISSUER),
        iss: Some(ISSUER),
    })
}

async fn known(cx: &Ctx, form: &Params) -> Result<Option<Known>, Refused> {
    let shown = Token { token: form.need("token").map_err(Refused::request)?.to_owned() };
    Ok(cx.call("token-mgr")?.post("/v1/apps/known", &cx.new_id(), &shown).await?)
}

async fn revoke(cx: Ctx, headers: HeaderMap, Form(form): Form) -> Answer<Done> {
    Answer(revoked(&cx, &headers, form).await)
}

/// Ends the session behind a token of the app that asks; any other token is none to it (RFC 7009 §2.2).
async fn revoked(cx: &Ctx, headers: &HeaderMap, form: Result<Params, Refused>) -> Result<Done, Refused> {
    let form = form?;
    let client = clients::authenticate(cx, headers, &form).await?;
    let known = known(cx, &form).await?;
    let own = known.filter(|known| known.app.as_ref().is_some_and(|app| app.client_id == client.id));
    let Some(session) = own.and_then(|own| own.session_id) else { return Ok(Done {}) };
    // A token that was exchanged stands on another app's session, which is not this one's to end.
    if sessions::find(cx, &session).await?.is_some_and(|session| session.client_id == client.id) {
        sessions::end(cx, &session).await?;
    }
    Ok(Done {})
}

/// Who the app's token speaks for, as far as its scopes let it know.
async fn userinfo(by: Caller, cx: Ctx) -> Result<Json<Map<String, Value>>, Problem> {
    let over = || Problem::unauthorized("the session of this token is over");
    let session =
        by.session.as_deref().ok_or_else(|| Problem::forbidden("an app that speaks for itself is nobody"))?;
    let path = format!("/v1/apps/sessions/{session}/person");
    let person: Option<Person> = cx.call("token-mgr")?.get(&path).await?;
    let person = person.filter(|person| person.id == by.subject).ok_or_else(over)?;
    let scope = by.scope.as_deref().unwrap_or("openid profile");
    if !has(scope, "openid") {
        return Err(Problem::forbidden("the token has not the scope openid"));
    }
    let mut claims = profile(&person, scope);
    claims.insert("sub".into(), person.id.into());
    Ok(Json(claims))
}
