//! An app sends somebody here to ask whether they allow it (RFC 6749 §4.1, RFC 7636, RFC 9126, RFC 9207, RFC 9449 §10).
//!
//! ```text
//! app ─► /authorize ─► /account#authorize=REQUEST ─► look ─► allow | deny ─► app, with a code or an error
//! ```
//!
//! Nothing is kept until somebody allows it: the request travels through the page, under our tag.

use http::HeaderMap;
use nx_chassis::{Api, Ctx, Problem, args, row};
use schemars::JsonSchema;
use serde::Serialize;

use super::CODE;
use super::clients::{self, Client};
use super::form::{Answer, Elsewhere, Form, Fresh, Query, Refused};
use super::rules::{self, Params, has, with_query};
use crate::hash;
use crate::here::Here;
use crate::proven::Proven;

/// How long what was pushed holds, seconds, and how many an app may have so.
const PUSHED_S: i64 = 90;
const PUSHED_MAX: i64 = 500;
/// How a request names the key that its code is bound to.
const KEY: &str = "dpop_jkt";
const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";

pub(super) fn routes(api: Api) -> Api {
    api.get("/authorize", by_query).post("/authorize", by_form).post("/par", push)
}

/// What an app asks of somebody.
pub(super) struct Asked {
    pub(super) client: Client,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) challenge: String,
    /// The thumbprint of the key that whoever redeems the code must hold.
    pub(super) key: Option<String>,
    pub(super) prompt: String,
    pub(super) max_age_s: Option<i64>,
    /// An ID token of whom the app expects.
    pub(super) hint: Option<String>,
}

/// Why it is not asked.
pub(super) enum Fault {
    /// There is nobody whom one could tell safely: the page says so, in one word.
    Page(&'static str),
    /// The app is told, where it has registered.
    App { redirect_uri: String, state: Option<String>, refused: Refused },
    /// A store is away.
    Ours(Problem),
}

pub(super) async fn understand(cx: &Ctx, params: &Params) -> Result<Asked, Fault> {
    let id = params.get("client_id").ok_or(Fault::Page("app"))?;
    let client = clients::find(cx, id).await.map_err(|e| Fault::Ours(e.into()))?.ok_or(Fault::Page("app"))?;
    let given = params.get("redirect_uri").ok_or(Fault::Page("address"))?;
    if !client.about.redirect_uris.iter().any(|registered| rules::is_registered(given, registered)) {
        return Err(Fault::Page("address"));
    }
    let (redirect_uri, state) = (given.to_owned(), params.get("state").map(str::to_owned));
    match wanted(&client, params) {
        Ok((scope, challenge, max_age_s)) => {
            let key = params.get(KEY).map(str::to_owned);
            let nonce = params.get("nonce").map(str::to_owned);
            let prompt = params.get("prompt").unwrap_or_default().to_owned();
            let hint = params.get("id_token_hint").map(str::to_owned);
            Ok(Asked { client, redirect_uri, scope, state, nonce, challenge, key, prompt, max_age_s, hint })
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
    if params.get(KEY).is_some_and(|key| !rules::is_challenge(key)) {
        return Err(Refused::request(format!("{KEY} is the SHA-256 thumbprint of a key")));
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
pub(super) fn back(here: &Here, redirect_uri: &str, state: Option<&str>, more: &[(&str, &str)]) -> String {
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

async fn push(cx: Ctx, headers: HeaderMap, proven: Proven, Form(form): Form) -> Fresh<Pushed> {
    Fresh(Answer(keep(cx, headers, proven, form).await))
}

async fn keep(
    cx: Ctx,
    headers: HeaderMap,
    Proven(proven): Proven,
    form: Result<Params, Refused>,
) -> Result<Pushed, Refused> {
    let mut form = form?;
    if let Some(key) = proven.map_err(Refused::proof)? {
        if form.get(KEY).is_some_and(|named| named != key) {
            return Err(Refused::proof(format!("{KEY} is not the key that was proved")));
        }
        form.set(KEY, &key);
    }
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
