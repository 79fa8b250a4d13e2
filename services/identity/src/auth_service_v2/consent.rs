//! Somebody is asked whether an app may do what it wants, and says so: the page's side of a request.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Json, Problem, ShownOnce, Time, Tx, args, row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::authorize::{Asked, Fault, back, understand};
use super::logout::hinted;
use super::rules::{Params, SCOPES, covers, has};
use super::{CONSENT_GRANTED, sessions, themselves};
use crate::hash;
use crate::here::Here;

/// How long somebody has to sign in and say yes, milliseconds.
const REQUEST_MS: i64 = 3_600_000;
/// How long a code holds.
const CODE_MS: i64 = 60_000;
const CODE_PREFIX: &str = "nxc_";

pub(super) fn routes(api: Api) -> Api {
    api.post("/requests/look", look).post("/requests/allow", allow).post("/requests/deny", deny)
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
    let session = sessions::read(cx, session).await?;
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
    let known = covers(&before, &asked.scope) && !before.is_empty();
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
               used_ms, burnt, ends_ms, jkt) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10, $11)";
    let ends_ms = cx.now_ms() + CODE_MS;
    let Asked { client, redirect_uri, scope, nonce, challenge, key, state, .. } = &asked;
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
        ends_ms,
        key.clone()
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
    let known = covers(&before, scope);
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
