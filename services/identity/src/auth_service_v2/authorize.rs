//! An app sends somebody here to ask whether they allow it (RFC 6749 §4.1, RFC 7636, RFC 9126, RFC 9207).
//!
//! ```text
//! app ─► /authorize ─► /account#authorize=REQUEST ─► look ─► allow | deny ─► app, with a code or an error
//! ```
//!
//! Nothing is kept until somebody allows it: the request travels through the page, under our tag.

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Caller, Ctx, Json, Problem, ShownOnce, Time, Tx, args, row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::clients::{self, Client};
use super::form::{Answer, Elsewhere, Form, Fresh, Query, Refused};
use super::logout::hinted;
use super::rules::{self, Params, SCOPES, has, with_query};
use super::{CODE, CONSENT_GRANTED, themselves};
use crate::hash;
use crate::here::Here;

/// How long somebody has to sign in and say yes, milliseconds.
const REQUEST_MS: i64 = 3_600_000;
/// How long a code holds.
const CODE_MS: i64 = 60_000;
/// How long what was pushed holds, seconds, and how many an app may have so.
const PUSHED_S: i64 = 90;
const PUSHED_MAX: i64 = 500;
const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";
const CODE_PREFIX: &str = "nxc_";

pub(super) fn routes(api: Api) -> Api {
    api.get("/authorize", by_query)
        .post("/authorize", by_form)
        .post("/par", push)
        .post("/requests/look", look)
        .post("/requests/allow", allow)
        .post("/requests/deny", deny)
}

/// What an app asks of somebody.
struct Asked {
    client: Client,
    redirect_uri: String,
    scope: String,
    state: Option<String>,
    nonce: Option<String>,
    challenge: String,
    prompt: String,
    max_age_s: Option<i64>,
    /// An ID token of whom the app expects.
    hint: Option<String>,
}

/// Why it is not asked.
enum Fault {
    /// There is nobody whom one could tell safely: the page says so, in one word.
    Page(&'static str),
    /// The app is told, where it has registered.
    App { redirect_uri: String, state: Option<String>, refused: Refused },
    /// A store is away.
    Ours(Problem),
}

async fn understand(cx: &Ctx, params: &Params) -> Result<Asked, Fault> {
    let id = params.get("client_id").ok_or(Fault::Page("app"))?;
    let client = clients::find(cx, id).await.map_err(|e| Fault::Ours(e.into()))?.ok_or(Fault::Page("app"))?;
    let given = params.get("redirect_uri").ok_or(Fault::Page("address"))?;
    if !client.about.redirect_uris.iter().any(|registered| rules::is_registered(given, registered)) {
        return Err(Fault::Page("address"));
    }
    let (redirect_uri, state) = (given.to_owned(), params.get("state").map(str::to_owned));
    match wanted(&client, params) {
        Ok((scope, challenge, max_age_s)) => {
            let nonce = params.get("nonce").map(str::to_owned);
            let prompt = params.get("prompt").unwrap_or_default().to_owned();
            let hint = params.get("id_token_hint").map(str::to_owned);
            Ok(Asked { client, redirect_uri, scope, state, nonce, challenge, prompt, max_age_s, hint })
        }
        Err(refused) => Err(Fault::App { redirect_uri, state, refused }),
    }
}

/// Scopes, challenge and greatest age of the sign-in.
fn wanted(client: &Client, params: &Params) -> Result<(String, String, Option<i64>), Refused> {
    client.may(CODE)?;
    let prompt = params.get("prompt").unwrap_or_default();
    if has(prompt, "none") && prompt != "none" {
        return Err(Refused::request("prompt: none stands alone"));
    }
    match params.need("response_type").map_err(Refused::request)? {
        "code" => {}
        _ => return Err(Refused::new("unsupported_response_type", "there is code alone")),
    }
    if !matches!(params.get("response_mode"), None | Some("query")) {
        return Err(Refused::request("response_mode: there is query alone"));
    }
    for (name, error) in
        [("request", "request_not_supported"), ("registration", "registration_not_supported")]
    {
        if params.get(name).is_some() {
            return Err(Refused::new(error, format!("{name} is not taken here")));
        }
    }
    let challenge =
        params.need("code_challenge").map_err(|why| Refused::request(format!("{why}: PKCE is needed")))?;
    if params.get("code_challenge_method") != Some("S256") || !rules::is_challenge(challenge) {
        return Err(Refused::request("code_challenge_method must be S256, and the challenge one of SHA-256"));
    }
    let max_age_s = params.get("max_age").map(|v| v.parse::<u32>().map(i64::from)).transpose();
    let max_age_s = max_age_s.map_err(|_| Refused::request("max_age is a number of seconds"))?;
    Ok((client.scope(params.get("scope"))?, challenge.to_owned(), max_age_s))
}

async fn by_query(cx: Ctx, here: Here, Query(params): Query) -> Result<Elsewhere, Problem> {
    begin(&cx, &here, params.ok()).await
}

async fn by_form(cx: Ctx, here: Here, Form(params): Form) -> Result<Elsewhere, Problem> {
    begin(&cx, &here, params.ok()).await
}

async fn begin(cx: &Ctx, here: &Here, params: Option<Params>) -> Result<Elsewhere, Problem> {
    let Some(mut params) = params else { return Ok(refused_on_page("request")) };
    if let Some(uri) = params.take("request_uri") {
        match pushed(cx, &uri, params.get("client_id").unwrap_or_default()).await? {
            Some(pushed) => params = pushed,
            None => return Ok(refused_on_page("request")),
        }
    }
    Ok(match understand(cx, &params).await {
        Ok(_) => {
            let text = format!("{}.{}", cx.now_ms(), params.query());
            let fragment = with_query("", &[("authorize", &format!("{}.{text}", cx.vault().tag(&text)))]);
            Elsewhere(format!("/account#{}", fragment.trim_start_matches('?')))
        }
        Err(Fault::Page(what)) => refused_on_page(what),
        Err(Fault::App { redirect_uri, state, refused }) => {
            let Refused { error, description, .. } = &refused;
            let more = [("error", *error), ("error_description", description)];
            Elsewhere(back(here, &redirect_uri, state.as_deref(), &more))
        }
        Err(Fault::Ours(problem)) => return Err(problem),
    })
}

fn refused_on_page(what: &str) -> Elsewhere {
    Elsewhere(format!("/account#refused={what}"))
}

/// Where an app hears what came of it.
fn back(here: &Here, redirect_uri: &str, state: Option<&str>, more: &[(&str, &str)]) -> String {
    let issuer = here.issuer();
    let own = [("state", state.unwrap_or_default()), ("iss", &issuer)];
    let own = own.into_iter().filter(|(_, value)| !value.is_empty());
    with_query(redirect_uri, &more.iter().copied().chain(own).collect::<Vec<_>>())
}

/// A request that was pushed.
#[derive(Serialize, JsonSchema)]
struct Pushed {
    request_uri: String,
    expires_in: i64,
}

async fn push(cx: Ctx, headers: HeaderMap, Form(form): Form) -> Fresh<Pushed> {
    Fresh(Answer(keep(cx, headers, form).await))
}

async fn keep(cx: Ctx, headers: HeaderMap, form: Result<Params, Refused>) -> Result<Pushed, Refused> {
    let mut form = form?;
    let client = clients::authenticate(&cx, &headers, &form).await?;
    if form.get("request_uri").is_some() {
        return Err(Refused::request("what is pushed names nothing that was pushed"));
    }
    form.take("client_secret");
    form.set("client_id", &client.id);
    match understand(&cx, &form).await {
        Ok(_) => {}
        Err(Fault::Page("address")) => {
            return Err(Refused::request("redirect_uri is none that the app has registered"));
        }
        Err(Fault::Page(_)) => return Err(Refused::client()),
        Err(Fault::App { refused, .. }) => return Err(refused),
        Err(Fault::Ours(problem)) => return Err(problem.into()),
    }
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    let sql = "SELECT COUNT(*) AS n FROM pushed WHERE client_id = $1 AND ends_ms > $2";
    if tx.one::<i64>(sql, args![&client.id, now_ms]).await?.unwrap_or_default() >= PUSHED_MAX {
        return Err(Problem::unavailable("busy", "too many requests wait", 30).into());
    }
    let token = nx_chassis::fresh().map_err(Problem::from)?;
    let sql = "INSERT INTO pushed (hash, client_id, query, ends_ms) VALUES ($1, $2, $3, $4)";
    tx.run(sql, args![hash(&token), &client.id, form.query(), now_ms + PUSHED_S * 1000]).await?;
    tx.commit().await?;
    Ok(Pushed { request_uri: format!("{PUSHED}{token}"), expires_in: PUSHED_S })
}

struct Kept {
    query: String,
}
row!(Kept { query });

/// What an app has pushed, once.
async fn pushed(cx: &Ctx, uri: &str, client: &str) -> Result<Option<Params>, Problem> {
    let Some(token) = uri.strip_prefix(PUSHED) else { return Ok(None) };
    let mut tx = cx.begin();
    let sql = "DELETE FROM pushed WHERE hash = $1 AND client_id = $2 AND ends_ms > $3 RETURNING query";
    let kept: Option<Kept> = tx.one(sql, args![hash(token), client, cx.now_ms()]).await?;
    tx.commit().await?;
    Ok(kept.and_then(|kept| Params::parse(kept.query.as_bytes()).ok()))
}

/// A request, as the page has it from us.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Request {
    #[garde(length(max = 16384))]
    request: String,
}

/// What somebody is asked.
#[derive(Serialize, JsonSchema)]
struct View {
    /// What the app is called.
    app: String,
    /// Where they are sent back to.
    host: String,
    /// What it wants to do, in words.
    wants: Vec<&'static str>,
    /// Whether they have allowed it before, and need not be asked.
    allowed: bool,
    /// Whether they have to sign in once more.
    sign_in_again: bool,
    /// Whether nothing may be asked: who is not signed in, or has not allowed it, is sent back at once.
    silent: bool,
}

/// Where to go on.
#[derive(Serialize, JsonSchema)]
struct Onward {
    location: String,
}

/// A request that we have let through, and when that was.
async fn opened(cx: &Ctx, request: &str) -> Result<(Asked, i64), Problem> {
    let old = || {
        Problem::new(
            http::StatusCode::GONE,
            "gone",
            "go back to the app and begin again: this has taken too long",
        )
    };
    let (tag, text) = request.split_once('.').ok_or_else(old)?;
    let (at_ms, query) = text.split_once('.').ok_or_else(old)?;
    let at_ms: i64 = at_ms.parse().map_err(|_| old())?;
    if !cx.vault().is_tag(text, tag) || !(0..REQUEST_MS).contains(&(cx.now_ms() - at_ms)) {
        return Err(old());
    }
    let params = Params::parse(query.as_bytes()).map_err(|_| old())?;
    match understand(cx, &params).await {
        Ok(asked) => Ok((asked, at_ms)),
        Err(Fault::Ours(problem)) => Err(problem),
        Err(_) => Err(Problem::new(
            http::StatusCode::GONE,
            "gone",
            "the app was changed meanwhile: go back and begin again",
        )),
    }
}

/// When somebody signed in, seconds, and whether that is good enough.
async fn signed_in(
    cx: &Ctx,
    by: &Caller,
    session: &str,
    asked: &Asked,
    at_ms: i64,
) -> Result<(i64, bool), Problem> {
    let session: crate::session_mgr::Session =
        cx.call("auth-service")?.get(&format!("/v1/apps/sessions/{session}")).await?;
    let Time(signed_ms) = session.created_at;
    let old = asked.max_age_s.is_some_and(|age_s| signed_ms + age_s * 1000 < at_ms);
    let again = has(&asked.prompt, "login") && signed_ms < at_ms;
    // Somebody else may be signed in than whom the app knows.
    let other = match &asked.hint {
        // One that nobody can read any more tells nothing.
        Some(hint) => hinted(cx, hint, "sub").await?.is_some_and(|sub| sub != by.subject),
        None => false,
    };
    Ok((signed_ms.div_euclid(1000), !(old || again || other)))
}

struct Consent {
    scope: String,
}
row!(Consent { scope });

/// What somebody has let an app do.
async fn consent(cx: &Ctx, person: &str, client: &str) -> Result<String, Problem> {
    let sql = "SELECT scope FROM consent WHERE person_id = $1 AND client_id = $2";
    let consent: Option<Consent> = cx.db().one(sql, args![person, client]).await?;
    Ok(consent.map(|consent| consent.scope).unwrap_or_default())
}

async fn look(by: Caller, cx: Ctx, Body(given): Body<Request>) -> Result<Json<View>, Problem> {
    let session = themselves(&by)?;
    let (asked, at_ms) = opened(&cx, &given.request).await?;
    let (_, fresh) = signed_in(&cx, &by, session, &asked, at_ms).await?;
    let before = consent(&cx, &by.subject, &asked.client.id).await?;
    let known =
        asked.scope.split(' ').all(|scope| scope.is_empty() || has(&before, scope)) && !before.is_empty();
    // Any program can say that it is the one on this machine (RFC 8252 §8.6).
    let sure = !asked.client.public || asked.redirect_uri.starts_with("https:");
    let allowed = sure && (asked.client.about.trusted || known);
    let host = asked.redirect_uri.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', '?']).next().unwrap_or_default();
    Ok(Json(View {
        app: asked.client.name,
        host: if host.is_empty() { "an app on this device" } else { host }.to_owned(),
        wants: in_words(&asked.scope),
        allowed: allowed && !has(&asked.prompt, "consent"),
        sign_in_again: !fresh,
        silent: has(&asked.prompt, "none"),
    }))
}

/// Scopes as people read them.
pub(super) fn in_words(scope: &str) -> Vec<&'static str> {
    SCOPES.iter().filter(|(name, _)| has(scope, name)).map(|(_, words)| *words).collect()
}

async fn allow(
    by: Caller,
    cx: Ctx,
    here: Here,
    mut tx: Tx,
    Body(given): Body<Request>,
) -> Result<ShownOnce<Json<Onward>>, Problem> {
    let session = themselves(&by)?.to_owned();
    let (asked, at_ms) = opened(&cx, &given.request).await?;
    let (auth_s, fresh) = signed_in(&cx, &by, &session, &asked, at_ms).await?;
    if !fresh {
        return Err(Problem::unauthorized("the app wants you to sign in once more"));
    }
    let code = format!("{CODE_PREFIX}{}", nx_chassis::fresh()?);
    let sql = "INSERT INTO code (hash, client_id, person_id, session_id, scope, nonce, auth_s, redirect_uri, challenge, \
               used_ms, burnt, ends_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10)";
    let ends_ms = cx.now_ms() + CODE_MS;
    let Asked { client, redirect_uri, scope, nonce, challenge, state, .. } = &asked;
    let kept = args![
        hash(&code),
        &client.id,
        &by.subject,
        session,
        scope,
        nonce.clone(),
        auth_s,
        redirect_uri,
        challenge,
        ends_ms
    ];
    tx.run(sql, kept).await?;
    allowed(&cx, &mut tx, &by.subject, &client.id, scope).await?;
    let location = back(&here, redirect_uri, state.as_deref(), &[("code", &code)]);
    Ok(ShownOnce(Json(Onward { location })))
}

/// Remembers what somebody has allowed, with what they had before.
pub(super) async fn allowed(
    cx: &Ctx,
    tx: &mut Tx,
    person: &str,
    client: &str,
    scope: &str,
) -> Result<(), Problem> {
    let before = consent(cx, person, client).await?;
    let known = scope.split(' ').all(|s| s.is_empty() || has(&before, s));
    // What is allowed already is no news. Who allows nothing by name allows that it is connected.
    if known
        && tx
            .run(
                "UPDATE consent SET at_ms = at_ms WHERE person_id = $1 AND client_id = $2",
                args![person, client],
            )
            .await?
            > 0
    {
        return Ok(());
    }
    let all: Vec<&str> =
        SCOPES.iter().map(|(s, _)| *s).filter(|s| has(&before, s) || has(scope, s)).collect();
    let sql = "INSERT INTO consent (person_id, client_id, scope, at_ms) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (person_id, client_id) DO UPDATE SET scope = excluded.scope, at_ms = excluded.at_ms";
    tx.run(sql, args![person, client, all.join(" "), cx.now_ms()]).await?;
    tx.emit(CONSENT_GRANTED, person, &json!({"client_id": client, "scope": scope})).await
}

/// Why nobody allows it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// They said no.
    Denied,
    /// They are not signed in, and may not be asked to.
    SignedOut,
    /// They have not allowed it before, and may not be asked to.
    Unasked,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Denial {
    #[garde(length(max = 16384))]
    request: String,
    #[garde(skip)]
    reason: Reason,
}

async fn deny(cx: Ctx, here: Here, Body(given): Body<Denial>) -> Result<Json<Onward>, Problem> {
    let (asked, _) = opened(&cx, &given.request).await?;
    let error = match given.reason {
        Reason::Denied => "access_denied",
        Reason::SignedOut => "login_required",
        Reason::Unasked => "consent_required",
    };
    let location = back(&here, &asked.redirect_uri, asked.state.as_deref(), &[("error", error)]);
    Ok(Json(Onward { location }))
}
