//! Links by mail: to confirm an address, to sign in, to choose a new password.
//!
//! Whether somebody has an address nobody is told: what is asked for becomes a job, and the job finds out (`mail/send.rs`). Links
//! lead to where people reach the pages; as long as that is not set, only who sits at this machine gets any, to this machine: what
//! a request says of its own address anybody can say of anybody's.

mod send;

use std::sync::Arc;

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Caller, Ctx, DbError, Json, NewJob, Path, Problem, ShownOnce, Tx, args, row};
use nx_contract::identity::Config;
use nx_webhooks::is_address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::{Basis, LoggedIn, Place, Proof, confirm, in_session, may_come_in, must_operate, sign_in};
use super::attempts::{self, Names};
use super::factors::{self, Confirm};
use super::{rules, store};
use crate::answer::InCookie;
use crate::client::Client;
use crate::here::Here;
use crate::{Done, FACTOR_ADDED, FACTOR_REMOVED, gone, hash};
pub(super) use send::{JOB, send};
use send::{Purpose, Wish, standing};

/// How such a sign-in is called.
const METHOD: &str = "mail";
/// Longest address (RFC 5321 §4.5.3.1.3).
const ADDRESS_MAX: usize = 254;

/// Where people reach the pages, if that is set.
type Site = Option<Arc<str>>;

pub(super) fn routes(api: Api, config: &Config) -> Api {
    let set: Site = config.site().ok().filter(|_| config.url.is_some()).map(|site| site.origin.into());
    let own = set.clone();
    let add = move |by: Caller, cx: Ctx, from: Client, here: Here, body: Body<NewAddress>| {
        add(by, cx, from, here, body, own.clone())
    };
    let mail = move |purpose: Purpose| {
        let set = set.clone();
        move |cx: Ctx, from: Client, here: Here, body: Body<Asked>| {
            ask(cx, from, here, body, purpose, set.clone())
        }
    };
    api.get("/mail", read)
        .post("/mail", add)
        .delete("/mail", remove)
        .post("/mail/confirm", confirmed)
        .delete("/users/{id}/mail", remove_of)
        .post("/magic-links", mail(Purpose::Enter))
        .post("/magic-links/enter", enter)
        .post("/password/reset-request", mail(Purpose::Reset))
}

/// Where links lead: not to where somebody pretends that we are.
fn site(set: Site, here: &Here, Client(from): Client) -> Result<String, Problem> {
    if let Some(set) = set {
        return Ok(set.to_string());
    }
    if here.is_this_machine() && from.is_some_and(|from| from.to_canonical().is_loopback()) {
        return Ok(here.to(""));
    }
    let text = "mail needs to know where people reach the pages: who runs it sets gateway.identity.url";
    Err(Problem::conflict("no-address", text))
}

/// An address as it is kept and looked for.
fn plain(given: &str) -> Result<String, Problem> {
    let mail = given.trim().to_lowercase();
    if mail.len() <= ADDRESS_MAX && is_address(&mail) {
        return Ok(mail);
    }
    Err(Problem::invalid("/mail", "is no address of mail: write it as ada@example.org"))
}

struct Kept {
    person_id: String,
    mail: String,
}
row!(Kept { person_id, mail });

/// One's own address.
#[derive(Debug, Serialize, JsonSchema)]
struct Address {
    /// None while there is none that was confirmed.
    mail: Option<String>,
}

async fn read(by: Caller, cx: Ctx) -> Result<Json<Address>, Problem> {
    Ok(Json(Address { mail: of(&cx, &by.subject).await? }))
}

/// The address of somebody.
pub(super) async fn of(cx: &Ctx, person: &str) -> Result<Option<String>, DbError> {
    let kept: Option<Kept> = cx.db().one("SELECT * FROM address WHERE person_id = $1", args![person]).await?;
    Ok(kept.map(|kept| kept.mail))
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewAddress {
    #[garde(length(max = 300))]
    mail: String,
    #[garde(length(max = 1024))]
    password: String,
}

/// Sends a link to an address that shall be one's own.
async fn add(
    by: Caller,
    cx: Ctx,
    from: Client,
    here: Here,
    Body(given): Body<NewAddress>,
    set: Site,
) -> Result<Json<Done>, Problem> {
    in_session(&by)?;
    let site = site(set, &here, from)?;
    let mail = plain(&given.mail)?;
    let kept = confirm(&cx, &by, "/password", given.password).await?;
    let box_ = cx.vault().tag(&mail);
    let names: Names = vec![(format!("c|{}", by.subject), rules::MAIL), (format!("u|{box_}"), rules::MAIL)];
    attempts::count(&cx, &names).await?;
    let own = Some((by.subject, standing(&cx, &kept)));
    send_later(&cx, &Wish::new(&cx, Purpose::Confirm, &mail, own, site)?).await
}

async fn remove(by: Caller, cx: Ctx, Body(given): Body<Confirm>) -> Result<Json<Done>, Problem> {
    in_session(&by)?;
    confirm(&cx, &by, "/password", given.password).await?;
    let mut tx = cx.begin();
    forget(&mut tx, &by.subject, "").await?;
    tx.commit().await?;
    Ok(Json(Done {}))
}

/// For who has lost what they sign in with to somebody else, by who runs it.
async fn remove_of(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    must_operate(&cx, &by).await?;
    forget(&mut tx, &id, "").await?;
    Ok(Json(Done {}))
}

/// Forgets the address of somebody, if it is not this one, and what was sent to it.
pub(super) async fn forget(tx: &mut Tx, person: &str, but: &str) -> Result<(), Problem> {
    tx.run("DELETE FROM link WHERE person_id = $1 AND mail IS NOT NULL", args![person]).await?;
    let sql = "DELETE FROM address WHERE person_id = $1 AND mail <> $2";
    if tx.run(sql, args![person, but]).await? > 0 {
        tx.emit(FACTOR_REMOVED, person, &json!({"factor": METHOD})).await?;
    }
    Ok(())
}

/// A link, as the page has it.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shown {
    #[garde(length(max = 100))]
    token: String,
}

/// Whoever has read it there has the address, if nobody else had confirmed it before: and it is theirs only where they are signed
/// in as who asked for it.
async fn confirmed(by: Caller, mut tx: Tx, Body(shown): Body<Shown>) -> Result<Json<Done>, Problem> {
    in_session(&by)?;
    let Kept { person_id, mail } = take(&mut tx, &shown.token, Purpose::Confirm).await?;
    if person_id != by.subject {
        return Err(Problem::forbidden("another account has asked for this link: sign in as that one"));
    }
    // Nobody changes what they sign in with meanwhile, and they are there.
    let sql = "UPDATE credential SET handle = handle WHERE person_id = $1";
    if tx.run(sql, args![&person_id]).await? == 0 {
        return Err(used());
    }
    forget(&mut tx, &person_id, &mail).await?;
    let sql = "INSERT INTO address AS a (person_id, mail, at_ms) VALUES ($1, $2, $3) \
               ON CONFLICT (mail) DO UPDATE SET at_ms = excluded.at_ms WHERE a.person_id = excluded.person_id";
    let now_ms = tx.now_ms();
    if tx.run(sql, args![&person_id, &mail, now_ms]).await? == 0 {
        return Err(Problem::conflict("taken", "another account has this address: remove it there first"));
    }
    tx.emit(FACTOR_ADDED, &person_id, &json!({"factor": METHOD})).await?;
    Ok(Json(Done {}))
}

/// Uses a link up; whose it is.
async fn take(tx: &mut Tx, token: &str, purpose: Purpose) -> Result<Kept, Problem> {
    let sql = "DELETE FROM link WHERE hash = $1 AND kind = $2 AND mail IS NOT NULL AND ends_ms > $3 \
               RETURNING person_id, mail";
    let now_ms = tx.now_ms();
    let taken: Option<Kept> = tx.one(sql, args![hash(token), purpose.kind(), now_ms]).await?;
    taken.ok_or_else(used)
}

fn used() -> Problem {
    gone("this link was used, or its time is over: ask for another")
}

/// Whom a link is wanted for.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[garde(length(max = 300))]
    mail: String,
}

async fn ask(
    cx: Ctx,
    from: Client,
    here: Here,
    Body(asked): Body<Asked>,
    purpose: Purpose,
    set: Site,
) -> Result<Json<Done>, Problem> {
    let site = site(set, &here, from)?;
    let mail = plain(&asked.mail)?;
    let network = rules::network(from.0);
    let names: Names =
        vec![(format!("l|{network}"), rules::NETWORK), (format!("t|{}", cx.vault().tag(&mail)), rules::MAIL)];
    attempts::count(&cx, &names).await?;
    send_later(&cx, &Wish::new(&cx, purpose, &mail, None, site)?).await
}

async fn send_later(cx: &Ctx, wish: &Wish) -> Result<Json<Done>, Problem> {
    let mut tx = cx.begin();
    tx.enqueue(NewJob::new(JOB, wish)).await?;
    tx.commit().await?;
    Ok(Json(Done {}))
}

/// A link by mail in place of the password.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[garde(length(max = 100))]
    token: String,
    #[garde(dive)]
    #[serde(flatten)]
    place: Place,
}

async fn enter(
    cx: Ctx,
    Client(from): Client,
    headers: HeaderMap,
    Body(given): Body<Entry>,
) -> Result<ShownOnce<InCookie<LoggedIn>>, Problem> {
    let network = rules::network(from);
    let sql = "SELECT person_id, mail FROM link WHERE hash = $1 AND mail IS NOT NULL";
    let known: Option<Kept> = cx.db().one(sql, args![hash(&given.token)]).await?;
    let person = known.map(|kept| kept.person_id).ok_or_else(used)?;
    // Before anything is used up that works once.
    may_come_in(&cx, &person).await?;
    let kept = store::by_person(&cx, &person).await?.ok_or_else(used)?;
    let second = store::totp(&cx, &person).await?.is_some_and(|totp| totp.confirmed);
    let mut tx = cx.begin();
    take(&mut tx, &given.token, Purpose::Enter).await?;
    if second {
        let mfa = factors::challenge(&mut tx, &person).await?;
        tx.commit().await?;
        return Ok(ShownOnce(InCookie { body: LoggedIn::Second { mfa }, cookie: None }));
    }
    tx.commit().await?;
    let proof = Proof { person, basis: Basis::Password(kept.password), method: METHOD, network };
    let ShownOnce(InCookie { body, cookie }) = sign_in(&cx, proof, &headers, given.place).await?;
    Ok(ShownOnce(InCookie { body: LoggedIn::In(Box::new(body)), cookie }))
}
