//! What apps are given for what they show (RFC 6749 §4 to §6, RFC 8628 §3.4, RFC 8693, OpenID Connect Core §3.1.3): bound to a
//! key, where they prove that they hold one (RFC 9449 §5).

use http::HeaderMap;
use nx_chassis::{Api, Ctx, args, row};
use nx_contract::identity::OPERATOR;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::clients::{self, Client};
use super::form::{Answer, Form, Refused};
use super::rules::{self, Params, covers, has};
use super::sessions::{self, AppSession};
use super::{CODE, CREDENTIALS, DEVICE, EXCHANGE, REFRESH, device};
use crate::answer::Tokens;
use crate::auth_service::NewAppSession;
use crate::here::Here;
use crate::proven::Proven;
use crate::token_mgr::{App, AppTokens, Known, NewAccess, Refresh, Sign, Signed, Token};
use crate::{Person, hash};

/// How long who reads an ID token may believe it, seconds.
const ID_S: i64 = 300;
const ACCESS_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) fn routes(api: Api) -> Api {
    api.post("/token", token)
}

/// What an app gets.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Given {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

/// What somebody has allowed.
pub(super) struct Grant {
    pub(super) person_id: String,
    /// The session in which they have.
    pub(super) session_id: String,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    /// When they had signed in, Unix seconds.
    pub(super) auth_s: i64,
}

async fn token(cx: Ctx, headers: HeaderMap, here: Here, proven: Proven, Form(form): Form) -> Answer<Given> {
    Answer(given(&cx, &headers, &here, proven, form).await)
}

/// Who asks, and the key that they hold.
struct Asking {
    client: Client,
    key: Option<String>,
}

impl Asking {
    fn app(&self, scope: String) -> App {
        App { client_id: self.client.id.clone(), scope, key: self.key.clone() }
    }
}

/// How a token is shown.
pub(super) fn token_type(bound: bool) -> &'static str {
    if bound { "DPoP" } else { "Bearer" }
}

async fn given(
    cx: &Ctx,
    headers: &HeaderMap,
    here: &Here,
    Proven(proven): Proven,
    form: Result<Params, Refused>,
) -> Result<Given, Refused> {
    let form = form?;
    let client = clients::authenticate(cx, headers, &form).await?;
    let key = proven.map_err(Refused::proof)?;
    if key.is_none() && client.about.dpop_bound_access_tokens {
        return Err(Refused::proof("the app is registered for tokens bound to a key: send a proof of it"));
    }
    let by = Asking { client, key };
    let need = |name| form.need(name).map_err(Refused::request);
    match need("grant_type")? {
        CODE => by_code(cx, here, &by, &form).await,
        REFRESH => by_refresh(cx, by, need("refresh_token")?, form.get("scope")).await,
        CREDENTIALS => for_itself(cx, &by, form.get("scope")).await,
        DEVICE => {
            let code = need("device_code")?;
            let grant = device::redeem(cx, &by.client, code).await?;
            let begun = begin(cx, here, &by, grant).await;
            if begun.as_ref().is_err_and(Refused::is_ours) {
                device::give_back(cx, code).await?;
            }
            begun.map(|(given, _)| given)
        }
        EXCHANGE => exchanged(cx, &by, &form).await,
        other => Err(Refused::new("unsupported_grant_type", format!("{other:.80} is not given here"))),
    }
}

struct Code {
    person_id: String,
    session_id: String,
    scope: String,
    nonce: Option<String>,
    auth_s: i64,
    redirect_uri: String,
    challenge: String,
    jkt: Option<String>,
}
row!(Code { person_id, session_id, scope, nonce, auth_s, redirect_uri, challenge, jkt });

async fn by_code(cx: &Ctx, here: &Here, by: &Asking, form: &Params) -> Result<Given, Refused> {
    let client = &by.client;
    client.may(CODE)?;
    let code = hash(form.need("code").map_err(Refused::request)?);
    let verifier = form.need("code_verifier").map_err(Refused::request)?;
    let sql = "UPDATE code SET used_ms = $1 WHERE hash = $2 AND client_id = $3 AND used_ms = 0 AND ends_ms > $1 RETURNING *";
    let mut tx = cx.begin();
    let found: Option<Code> = tx.one(sql, args![cx.now_ms(), code.clone(), &client.id]).await?;
    tx.commit().await?;
    let none = || Refused::grant("the code is none, was used, is over, or is another app's");
    let Some(found) = found else {
        burn(cx, client, code).await?;
        return Err(none());
    };
    let Code { person_id, session_id, scope, nonce, auth_s, redirect_uri, challenge, jkt } = found;
    if form.get("redirect_uri").is_some_and(|given| given != redirect_uri) {
        return Err(Refused::grant("redirect_uri is not the one that the code was asked for with"));
    }
    if !rules::proves(verifier, &challenge) {
        return Err(Refused::grant("code_verifier is not the one behind the challenge"));
    }
    if jkt.is_some() && jkt != by.key {
        return Err(Refused::proof("the code is bound to a key that was not proved"));
    }
    let grant = Grant { person_id, session_id, scope, nonce, auth_s };
    let begun = begin(cx, here, by, grant).await;
    if begun.as_ref().is_err_and(Refused::is_ours) {
        // It may be tried again.
        cx.run("UPDATE code SET used_ms = 0 WHERE hash = $1 AND burnt = 0", args![code.clone()]).await?;
    }
    let (given, session) = begun?;
    let sql = "UPDATE code SET made = $1 WHERE hash = $2 AND burnt = 0";
    if cx.run(sql, args![&session, code]).await? == 0 {
        sessions::abandon(cx, &session).await?;
        return Err(none());
    }
    Ok(given)
}

struct Burnt {
    made: Option<String>,
}
row!(Burnt { made });

/// A code that comes again was stolen, from this app or by it: what it was good for is over (RFC 6749 §4.1.2).
async fn burn(cx: &Ctx, client: &Client, code: Vec<u8>) -> Result<(), Refused> {
    let mut tx = cx.begin();
    let sql = "UPDATE code SET burnt = 1 WHERE hash = $1 AND client_id = $2 AND used_ms > 0 AND burnt = 0 RETURNING made";
    let burnt: Option<Burnt> = tx.one(sql, args![code, &client.id]).await?;
    tx.commit().await?;
    if let Some(Burnt { made }) = burnt {
        tracing::warn!(app = client.id, "a code came again: what was given for it is over");
        if let Some(session) = made {
            sessions::abandon(cx, &session).await?;
        }
    }
    Ok(())
}

/// The first tokens of an app for somebody, and the session that they stand on.
async fn begin(cx: &Ctx, here: &Here, by: &Asking, grant: Grant) -> Result<(Given, String), Refused> {
    let Grant { person_id, session_id: parent, scope, nonce, auth_s } = grant;
    let (client, app) = (&by.client, by.app(scope.clone()));
    let name = client.name.clone();
    let new = NewAppSession { person_id, session_id: parent.clone(), name, app };
    let tokens: Tokens = cx.call("auth-service")?.post("/v1/apps", &cx.new_id(), &new).await?;
    let session = AppSession {
        session_id: tokens.session_id.clone(),
        parent,
        client_id: client.id.clone(),
        person_id: new.person_id,
        offline: has(&scope, "offline_access"),
        auth_s,
        issuer: here.issuer(),
    };
    let id = session.session_id.clone();
    let made = match first(cx, &session).await {
        Ok(()) => with_id(cx, by, &session, AppTokens { tokens, scope }, nonce).await,
        Err(refused) => Err(refused),
    };
    if made.is_err() {
        sessions::abandon(cx, &id).await?;
    }
    Ok((made?, id))
}

/// Writes down a session that has begun, if what it stands on has not ended meanwhile.
async fn first(cx: &Ctx, session: &AppSession) -> Result<(), Refused> {
    sessions::begin(cx, session).await?;
    match sessions::stands(cx, session).await? {
        true => Ok(()),
        false => Err(Refused::grant("what it was allowed on is over")),
    }
}

async fn by_refresh(cx: &Ctx, by: Asking, token: &str, scope: Option<&str>) -> Result<Given, Refused> {
    let client = &by.client;
    client.may(REFRESH)?;
    let scope = scope.map(|scope| client.scope(Some(scope))).transpose()?;
    let (refresh_token, client_id, key) = (token.to_owned(), client.id.clone(), by.key.clone());
    let asked = Refresh { refresh_token, client_id, scope, key, public: client.public };
    let next: AppTokens = cx.call("token-mgr")?.post("/v1/apps/refresh", &cx.new_id(), &asked).await?;
    let over = || Refused::grant("the session of this app is over");
    let session = sessions::find(cx, &next.tokens.session_id).await?.ok_or_else(over)?;
    with_id(cx, &by, &session, next, None).await
}

/// Tokens as an app gets them, with one that says who it is where it has asked for that.
async fn with_id(
    cx: &Ctx,
    Asking { client, key }: &Asking,
    session: &AppSession,
    next: AppTokens,
    nonce: Option<String>,
) -> Result<Given, Refused> {
    let AppTokens { tokens: Tokens { access_token, expires_in_s, refresh_token, user, .. }, scope } = next;
    let id_token = match has(&scope, "openid") {
        true => Some(id_token(cx, client, session, &user, &scope, nonce).await?),
        false => None,
    };
    let refresh_token = refresh_token.filter(|_| client.may(REFRESH).is_ok());
    let (token_type, expires_in) = (token_type(key.is_some()), expires_in_s);
    Ok(Given {
        access_token,
        token_type,
        expires_in,
        scope,
        refresh_token,
        id_token,
        issued_token_type: None,
    })
}

async fn id_token(
    cx: &Ctx,
    client: &Client,
    session: &AppSession,
    person: &Person,
    scope: &str,
    nonce: Option<String>,
) -> Result<String, Refused> {
    let now_s = cx.now_ms().div_euclid(1000);
    let mut claims: Map<String, Value> = Map::from_iter([
        ("iss".into(), session.issuer.clone().into()),
        ("aud".into(), client.id.clone().into()),
        ("sub".into(), person.id.clone().into()),
        ("sid".into(), session.session_id.clone().into()),
        ("iat".into(), now_s.into()),
        ("exp".into(), (now_s + ID_S).into()),
        ("auth_time".into(), session.auth_s.into()),
    ]);
    claims.extend(nonce.map(|nonce| ("nonce".into(), nonce.into())));
    claims.extend(profile(person, scope));
    let asked = Sign { alg: client.about.id_token_alg, kind: "JWT".into(), claims };
    let signed: Signed = cx.call("token-mgr")?.post("/v1/apps/signed", &cx.new_id(), &asked).await?;
    Ok(signed.token)
}

/// What an app may know of somebody (OpenID Connect Core §5.4).
pub(super) fn profile(person: &Person, scope: &str) -> Map<String, Value> {
    let all = [("preferred_username", &person.handle), ("name", &person.name)];
    let shown = all.into_iter().filter(|_| has(scope, "profile"));
    shown.map(|(name, value)| (name.to_owned(), value.clone().into())).collect()
}

/// An app that speaks for itself: what its scopes name, and nobody's name.
async fn for_itself(cx: &Ctx, by: &Asking, scope: Option<&str>) -> Result<Given, Refused> {
    let client = &by.client;
    client.may(CREDENTIALS)?;
    // The others are about people, and nobody is here.
    let own: Vec<String> = client
        .about
        .scopes
        .iter()
        .filter(|s| ["watch", "publish", "operate"].contains(&s.as_str()))
        .cloned()
        .collect();
    let asked = scope.map_or_else(|| own.join(" "), str::to_owned);
    let scope = rules::scope(&asked, &own).map_err(|why| Refused::new("invalid_scope", why))?;
    let person = Person {
        id: client.id.clone(),
        handle: String::new(),
        name: String::new(),
        roles: vec![OPERATOR.into()],
    };
    access(cx, NewAccess { person, session_id: None, app: by.app(scope), until_s: None }, None).await
}

/// Somebody's access token for one that is this app's, and good for no more (RFC 8693).
async fn exchanged(cx: &Ctx, by: &Asking, form: &Params) -> Result<Given, Refused> {
    let client = &by.client;
    client.may(EXCHANGE)?;
    let need = |name| form.need(name).map_err(Refused::request);
    let subject = need("subject_token")?;
    let kinds = [Some(need("subject_token_type")?), form.get("requested_token_type")];
    if kinds.into_iter().flatten().any(|kind| kind != ACCESS_TYPE) || form.get("actor_token").is_some() {
        return Err(Refused::request(format!("there is {ACCESS_TYPE} alone, without an actor")));
    }
    if form.get("resource").is_some() || form.get("audience").is_some() {
        return Err(Refused::new("invalid_target", "tokens are for this system alone"));
    }
    let shown = Token { token: subject.to_owned() };
    let known: Option<Known> = cx.call("token-mgr")?.post("/v1/apps/known", &cx.new_id(), &shown).await?;
    let none = || Refused::request("subject_token is none of ours, or not good any more");
    let known = known.filter(|known| !known.refreshes).ok_or_else(none)?;
    // Who has stolen it must not get one that is bound to nothing.
    let bound = known.app.as_ref().and_then(|app| app.key.as_deref());
    if bound.is_some() && bound != by.key.as_deref() {
        return Err(Refused::proof("subject_token is bound to a key that was not proved"));
    }
    let asked =
        form.get("scope").map(str::to_owned).or_else(|| known.app.as_ref().map(|app| app.scope.clone()));
    let scope = client.scope(asked.as_deref())?;
    if known.app.as_ref().is_some_and(|app| !covers(&app.scope, &scope)) {
        return Err(Refused::new("invalid_scope", "is more than subject_token has"));
    }
    let Known { subject: id, roles, session_id, exp, .. } = known;
    let person = Person { id, handle: String::new(), name: String::new(), roles };
    let new = NewAccess { person, session_id, app: by.app(scope), until_s: Some(exp) };
    access(cx, new, Some(ACCESS_TYPE)).await
}

async fn access(cx: &Ctx, new: NewAccess, issued_token_type: Option<&'static str>) -> Result<Given, Refused> {
    let made: Signed = cx.call("token-mgr")?.post("/v1/apps/access", &cx.new_id(), &new).await?;
    let (access_token, expires_in, scope) = (made.token, made.expires_in_s, new.app.scope);
    let token_type = token_type(new.app.key.is_some());
    Ok(Given { access_token, token_type, expires_in, scope, issued_token_type, ..Given::default() })
}
