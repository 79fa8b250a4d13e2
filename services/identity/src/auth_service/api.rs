//! Signing up, in and out, and the password.

use garde::Validate;
use http::{HeaderMap, header};
use nx_chassis::{Api, Body, Caller, Ctx, DbError, Json, Problem, ShownOnce, Time};
use nx_contract::identity::{OPERATOR, SignUp, VIEWER};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::attempts::{self, Names};
use super::passkeys::{self, Party};
use super::{factors, links, passwords, rules, store};
use crate::answer::{InCookie, Tokens, set_cookie};
use crate::client::Client;
use crate::session_mgr::{NewSession, Session};
use crate::token_mgr::{App, NewFamily};
use crate::user_auth::{self, NewUser, User};
use crate::{CREDENTIAL_CHANGED, Changed, Done, SIGNED_IN};

/// Longest name of a device, characters.
const DEVICE_MAX: usize = 200;

pub(super) fn routes(api: Api, how: SignUp, party: &Party) -> Api {
    let up = move |cx: Ctx, from: Client, headers: HeaderMap, body: Body<NewAccount>| {
        sign_up(cx, from, headers, body, how)
    };
    let passkeys_at = party.origin().to_owned();
    api.get("/state", move |cx: Ctx| state(cx, how, passkeys_at.clone()))
        .post("/signup", up)
        .post("/login", log_in)
        .post("/logout", log_out)
        .post("/password", change_password)
}

/// How one gets in here.
#[derive(Debug, Serialize, JsonSchema)]
struct State {
    /// Whether one has to: while nobody may do everything, this machine does without.
    sign_in: bool,
    /// `open` or `closed`.
    sign_up: &'static str,
    /// The address of the pages where browsers make passkeys and show them; `http://localhost`: there on any port.
    passkeys_at: String,
}

async fn state(cx: Ctx, how: SignUp, passkeys_at: String) -> Result<Json<State>, Problem> {
    // Who cannot be asked may well say yes.
    let sign_in = cx.call("user-auth")?.get("/v1/operators").await.unwrap_or(true);
    let sign_up = match how {
        SignUp::Open => "open",
        SignUp::Closed => "closed",
    };
    Ok(Json(State { sign_in, sign_up, passkeys_at }))
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    #[garde(length(max = 100))]
    handle: String,
    #[garde(length(max = 1024))]
    password: String,
    /// What others see; by default the handle.
    #[garde(length(chars, max = 100))]
    #[serde(default)]
    name: String,
    /// From an invitation.
    #[garde(length(max = 100))]
    #[serde(default)]
    invite: Option<String>,
    #[garde(dive)]
    #[serde(flatten)]
    place: Place,
}

/// Where somebody signs in.
#[derive(Debug, Default, Deserialize, Validate, JsonSchema)]
pub(super) struct Place {
    /// What it is called in the list of sessions; by default what the browser calls itself.
    #[garde(length(chars, max = 200))]
    #[serde(default)]
    device: Option<String>,
    /// Whether the refresh token comes as a cookie that no script reads, for browsers.
    #[garde(skip)]
    #[serde(default)]
    cookie: bool,
}

async fn sign_up(
    cx: Ctx,
    Client(from): Client,
    headers: HeaderMap,
    Body(new): Body<NewAccount>,
    how: SignUp,
) -> Result<ShownOnce<InCookie<Tokens>>, Problem> {
    let NewAccount { handle, password, name, invite, place } = new;
    let handle = user_auth::handle(&handle).map_err(|e| Problem::invalid("/handle", e))?;
    rules::password(&password, &handle).map_err(|e| Problem::invalid("/password", e))?;
    let network = rules::network(from);
    attempts::count(&cx, &vec![(format!("s|{network}"), rules::NETWORK)]).await?;
    let (id, roles, method) = match (&invite, how) {
        (Some(token), _) => links::claim(&cx, token).await.map(|(id, roles)| (id, roles, "invite"))?,
        (None, SignUp::Open) => (cx.new_id(), vec![VIEWER.to_owned()], "password"),
        (None, SignUp::Closed) => {
            return Err(Problem::forbidden("accounts are made by invitation here: ask who runs it for one"));
        }
    };
    let made = make(&cx, NewUser { id: id.clone(), handle: handle.clone(), name, roles }, password).await;
    if let (Err(_), Some(token)) = (&made, &invite) {
        links::give_back(&cx, token, &id).await?;
    }
    let hash = made?;
    let mut tx = cx.begin();
    if let Some(token) = &invite {
        links::use_up(&mut tx, token, &id).await?;
    }
    store::put(&mut tx, &id, &handle, &hash).await?;
    tx.commit().await?;
    sign_in(&cx, Proof { person: id, basis: Basis::Password(hash), method, network }, &headers, place).await
}

/// Has user-auth know somebody new; what is kept of their password.
async fn make(cx: &Ctx, new: NewUser, password: String) -> Result<String, Problem> {
    let hash = passwords::hash(password).await?;
    let made = cx.call("user-auth")?.post::<User>("/v1/users", &cx.new_id(), &new).await;
    // The names that it refuses are refused before, all but those that somebody has.
    let taken = "somebody has this handle, or one that looks like it: take another";
    made.map(|_| hash).map_err(|e| if e.slug == "refused" { Problem::conflict("taken", taken) } else { e })
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    #[garde(length(max = 100))]
    handle: String,
    #[garde(length(max = 1024))]
    password: String,
    #[garde(dive)]
    #[serde(flatten)]
    place: Place,
}

/// Somebody who is in, or the way on.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum LoggedIn {
    In(Box<Tokens>),
    Second { mfa: factors::Challenge },
}

async fn log_in(
    cx: Ctx,
    Client(from): Client,
    headers: HeaderMap,
    Body(given): Body<LogIn>,
) -> Result<ShownOnce<InCookie<LoggedIn>>, Problem> {
    let (handle, network) = (given.handle.trim().to_lowercase(), rules::network(from));
    let names: Names = vec![
        (format!("a|{handle}|{network}"), rules::GUESSES),
        (format!("h|{handle}"), rules::ACCOUNT),
        (format!("n|{network}"), rules::NETWORK),
    ];
    attempts::count(&cx, &names).await?;
    let known = store::by_handle(&cx, &handle).await?;
    let (person, hash) = known.map(|c| (c.person_id, c.password)).unzip();
    let right = passwords::is(given.password, hash.clone()).await?;
    let wrong = || Problem::unauthorized("handle or password is wrong");
    let (person, hash) = person.zip(hash).filter(|_| right).ok_or_else(wrong)?;
    let second = store::totp(&cx, &person).await?.is_some_and(|totp| totp.confirmed);
    let mut tx = cx.begin();
    attempts::succeeded(&mut tx, &names).await?;
    if second {
        if !store::is_still(&mut tx, &person, &hash).await? {
            return Err(wrong());
        }
        let mfa = factors::challenge(&mut tx, &person).await?;
        tx.commit().await?;
        return Ok(ShownOnce(InCookie { body: LoggedIn::Second { mfa }, cookie: None }));
    }
    tx.commit().await?;
    let proof = Proof { person, basis: Basis::Password(hash), method: "password", network };
    let ShownOnce(InCookie { body, cookie }) = sign_in(&cx, proof, &headers, given.place).await?;
    Ok(ShownOnce(InCookie { body: LoggedIn::In(Box::new(body)), cookie }))
}

/// That somebody is who they say.
pub(super) struct Proof {
    pub(super) person: String,
    pub(super) basis: Basis,
    /// How.
    pub(super) method: &'static str,
    /// From where.
    pub(super) network: String,
}

/// What that rests on.
pub(super) enum Basis {
    /// What was kept of the password when it was proved.
    Password(String),
    /// The passkey of this id.
    Passkey(String),
}

impl Basis {
    /// Whether it is still there.
    async fn stands(&self, cx: &Ctx, person: &str) -> Result<bool, DbError> {
        match self {
            Self::Password(hash) => {
                Ok(store::by_person(cx, person).await?.is_some_and(|kept| kept.password == *hash))
            }
            Self::Passkey(id) => passkeys::is_there(cx, person, id).await,
        }
    }
}

/// A session and its first tokens, for somebody who has shown who they are and may come in.
///
/// Whoever shuts somebody out, or has another password, ends the sessions that there are. One that is just being made must not
/// slip through: what it rests on is looked at once more when it is there.
pub(super) async fn sign_in(
    cx: &Ctx,
    proof: Proof,
    headers: &HeaderMap,
    place: Place,
) -> Result<ShownOnce<InCookie<Tokens>>, Problem> {
    let user = may_come_in(cx, &proof.person).await?;
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("unknown");
    let device = place.device.filter(|d| !d.is_empty()).unwrap_or_else(|| agent.to_owned());
    let device = device.chars().take(DEVICE_MAX).collect();
    let (user_id, network, method) = (user.id.clone(), proof.network.clone(), proof.method.to_owned());
    let new = NewSession { user_id, device, network, method };
    let session: Session = cx.call("session-mgr")?.post("/v1/sessions", &cx.new_id(), &new).await?;
    let made = match first_tokens(cx, &session, &user, None).await {
        Ok(tokens) => still_good(cx, &proof, &user, &session.id).await.map(|()| tokens),
        Err(error) => Err(error),
    };
    let mut body = match made {
        Ok(tokens) => tokens,
        Err(error) => {
            abandon(cx, &session.id).await;
            return Err(error);
        }
    };
    let mut tx = cx.begin();
    tx.emit(SIGNED_IN, &user.id, &json!({"method": proof.method})).await?;
    tx.commit().await?;
    let lasts_s = (session.expires_at.0 - cx.now_ms()).div_euclid(1000);
    let cookie = place.cookie.then(|| body.take_cookie(headers, lasts_s));
    Ok(ShownOnce(InCookie { body, cookie }))
}

/// Who this is, unless they are shut out.
pub(super) async fn may_come_in(cx: &Ctx, person: &str) -> Result<User, Problem> {
    let user: User = cx.call("user-auth")?.get(&format!("/v1/users/{person}")).await?;
    if user.disabled {
        let text = "this account is shut out: ask who runs it";
        return Err(Problem::new(http::StatusCode::FORBIDDEN, "disabled", text));
    }
    Ok(user)
}

pub(super) async fn first_tokens(
    cx: &Ctx,
    session: &Session,
    user: &User,
    app: Option<App>,
) -> Result<Tokens, Problem> {
    let (session_id, ends_ms) = (session.id.clone(), session.expires_at.0);
    let new = NewFamily { session_id, user: user.person(), ends_ms, app };
    cx.call("token-mgr")?.post("/v1/tokens", &cx.new_id(), &new).await
}

/// Whether what a log-in began with is still so.
async fn still_good(cx: &Ctx, proof: &Proof, user: &User, session: &str) -> Result<(), Problem> {
    let now = may_come_in(cx, &proof.person).await?;
    let there = cx.call("session-mgr")?.get::<Session>(&format!("/v1/sessions/{session}")).await.is_ok();
    if there && now.roles == user.roles && proof.basis.stands(cx, &proof.person).await? {
        return Ok(());
    }
    Err(Problem::unauthorized("your account has changed meanwhile: sign in again"))
}

/// Ends what was begun, wherever it has come to. What cannot be reached has no tokens, or runs out.
pub(super) async fn abandon(cx: &Ctx, session: &str) {
    if let Err(error) = end(cx, session).await {
        tracing::warn!(session, %error, "a session that must not be could not be ended");
    }
}

/// Ends a session and its tokens; one that is over already is no failure.
///
/// # Errors
/// When somebody could not be told; the other was.
pub(super) async fn end(cx: &Ctx, session: &str) -> Result<(), Problem> {
    let path = format!("/v1/sessions/{session}/end");
    let mut done = Ok(());
    for service in ["session-mgr", "token-mgr"] {
        let told = cx.call(service)?.post::<Done>(&path, &cx.new_id(), &Done {}).await;
        done = done.and(told.map(drop).or_else(|e| if e.slug == "refused" { Ok(()) } else { Err(e) }));
    }
    done
}

async fn log_out(by: Caller, cx: Ctx, headers: HeaderMap) -> Result<InCookie<Done>, Problem> {
    let session = in_session(&by)?;
    let path = format!("/v1/sessions/{session}/end");
    let ended = cx.call("session-mgr")?.post::<Done>(&path, &cx.new_id(), &Done {}).await;
    // One that is over already is no failure.
    ended.map(drop).or_else(|e| if e.slug == "refused" { Ok(()) } else { Err(e) })?;
    Ok(InCookie { body: Done {}, cookie: Some(set_cookie(&headers, "", 0)) })
}

/// The session that somebody speaks in.
pub(super) fn in_session(by: &Caller) -> Result<&str, Problem> {
    let none = || Problem::forbidden("sign in for that: a key or this machine will not do");
    by.session.as_deref().ok_or_else(none)
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    #[garde(length(max = 1024))]
    current: String,
    #[garde(length(max = 1024))]
    new: String,
}

async fn change_password(by: Caller, cx: Ctx, Body(given): Body<NewPassword>) -> Result<Json<Done>, Problem> {
    let session = in_session(&by)?.to_owned();
    let old = confirm(&cx, &by, "/current", given.current).await?;
    rules::password(&given.new, &old.handle).map_err(|e| Problem::invalid("/new", e))?;
    let hash = passwords::hash(given.new).await?;
    let mut tx = cx.begin();
    if !store::is_still(&mut tx, &by.subject, &old.password).await? {
        return Err(Problem::invalid("/current", "is not your password any more"));
    }
    store::put(&mut tx, &by.subject, &old.handle, &hash).await?;
    store::end_challenges(&mut tx, &by.subject).await?;
    tx.emit(CREDENTIAL_CHANGED, &by.subject, &Changed { keep: Some(session) }).await?;
    tx.commit().await?;
    Ok(Json(Done {}))
}

/// Refuses who is no operator any more, whatever their token says.
pub(super) async fn must_operate(cx: &Ctx, by: &Caller) -> Result<(), Problem> {
    by.must_be(OPERATOR)?;
    if by.is_person() && !may_come_in(cx, &by.subject).await?.roles.iter().any(|role| role == OPERATOR) {
        return Err(Problem::forbidden("you are no operator any more"));
    }
    Ok(())
}

/// Has somebody who is signed in show the password again, which is at `pointer` of the body; what was kept of it.
pub(super) async fn confirm(
    cx: &Ctx,
    by: &Caller,
    pointer: &str,
    password: String,
) -> Result<store::Credential, Problem> {
    let names: Names = vec![(format!("p|{}", by.subject), rules::SECOND)];
    attempts::count(cx, &names).await?;
    let known = store::by_person(cx, &by.subject).await?;
    let right = passwords::is(password, known.as_ref().map(|c| c.password.clone())).await?;
    let known = known.filter(|_| right).ok_or_else(|| Problem::invalid(pointer, "is not your password"))?;
    let mut tx = cx.begin();
    attempts::succeeded(&mut tx, &names).await?;
    tx.commit().await?;
    Ok(known)
}

/// How long a one-time thing holds, as it is told.
pub(super) fn until(cx: &Ctx, lasts_s: i64) -> Time {
    Time(cx.now_ms() + lasts_s * 1000)
}
