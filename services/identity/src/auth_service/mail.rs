//! Links by mail: to confirm an address, to sign in, to choose a new password.
//!
//! Whether somebody has an address nobody is told: what is asked for becomes a job, and the job finds out. Links lead to where
//! people reach the pages; as long as that is not set, to this machine, for what a request says of its own address anybody can
//! say of anybody's.

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Caller, Ctx, Job, Json, NewJob, Problem, ShownOnce, Tx, args, row};
use nx_contract::identity::Config;
use nx_webhooks::{Sender, is_address};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::{Basis, LoggedIn, Place, Proof, confirm, in_session, may_come_in, sign_in};
use super::attempts::{self, Names};
use super::factors::{self, Confirm};
use super::{links, rules, store};
use crate::answer::InCookie;
use crate::client::Client;
use crate::here::Here;
use crate::{Done, FACTOR_ADDED, FACTOR_REMOVED, gone, hash};

/// The job that sends one.
pub(super) const JOB: &str = "mail";
/// How such a sign-in is called.
const METHOD: &str = "mail";
/// Longest address (RFC 5321 §4.5.3.1.3).
const ADDRESS_MAX: usize = 254;

pub(super) fn routes(api: Api, config: &Config) -> Api {
    // What the gateway says of itself is what was set.
    let set = config.url.is_some();
    let add = move |by: Caller, cx: Ctx, here: Here, body: Body<NewAddress>| add(by, cx, here, body, set);
    let mail = move |purpose: Purpose| {
        move |cx: Ctx, from: Client, here: Here, body: Body<Asked>| ask(cx, from, here, body, purpose, set)
    };
    api.get("/mail", read)
        .post("/mail", add)
        .delete("/mail", remove)
        .post("/mail/confirm", confirmed)
        .post("/magic-links", mail(Purpose::Enter))
        .post("/magic-links/enter", enter)
        .post("/password/reset-request", mail(Purpose::Reset))
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    Confirm,
    Enter,
    Reset,
}

impl Purpose {
    /// Its name in the store and in the fragment of the page; how long it holds, seconds; what it is called; what it does.
    fn about(self) -> (&'static str, i64, &'static str, &'static str) {
        match self {
            Self::Confirm => {
                ("confirm", 86_400, "Confirm your address", "confirms that this is your address")
            }
            Self::Enter => ("enter", 900, "Sign in", "signs you in"),
            Self::Reset => (links::RESET, 3600, "Choose a new password", "lets you choose a new password"),
        }
    }
}

/// What a job is told.
#[derive(Debug, Serialize, Deserialize)]
struct Wish {
    purpose: Purpose,
    /// Where it goes, if anybody has it.
    mail: String,
    /// Whose it shall be.
    person: Option<String>,
    /// Where links lead.
    site: String,
}

/// Where links lead: not to where somebody pretends that we are.
fn site(here: &Here, set: bool) -> Result<String, Problem> {
    if set || here.is_this_machine() {
        return Ok(here.to(""));
    }
    Err(Problem::conflict(
        "no-address",
        "mail needs to know where people reach the pages: who runs it sets gateway.identity.url",
    ))
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
    let kept: Option<Kept> =
        cx.db().one("SELECT * FROM address WHERE person_id = $1", args![&by.subject]).await?;
    Ok(Json(Address { mail: kept.map(|kept| kept.mail) }))
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
    here: Here,
    Body(given): Body<NewAddress>,
    set: bool,
) -> Result<Json<Done>, Problem> {
    in_session(&by)?;
    let site = site(&here, set)?;
    let mail = plain(&given.mail)?;
    confirm(&cx, &by, "/password", given.password).await?;
    let names: Names = vec![(format!("c|{}", by.subject), rules::MAIL), (format!("t|{mail}"), rules::MAIL)];
    attempts::count(&cx, &names).await?;
    send_later(&cx, &Wish { purpose: Purpose::Confirm, mail, person: Some(by.subject), site }).await
}

async fn remove(by: Caller, cx: Ctx, Body(given): Body<Confirm>) -> Result<Json<Done>, Problem> {
    in_session(&by)?;
    confirm(&cx, &by, "/password", given.password).await?;
    let mut tx = cx.begin();
    if tx.run("DELETE FROM address WHERE person_id = $1", args![&by.subject]).await? > 0 {
        end_links(&mut tx, &by.subject).await?;
        tx.emit(FACTOR_REMOVED, &by.subject, &json!({"factor": METHOD})).await?;
    }
    tx.commit().await?;
    Ok(Json(Done {}))
}

/// Forgets what was sent to the address that somebody had.
async fn end_links(tx: &mut Tx, person: &str) -> Result<(), Problem> {
    let sql = "DELETE FROM link WHERE person_id = $1 AND mail IS NOT NULL";
    Ok(tx.run(sql, args![person]).await.map(drop)?)
}

/// A link, as the page has it.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shown {
    #[garde(length(max = 100))]
    token: String,
}

/// Whoever has read it there has the address: before whom nobody else had confirmed it.
async fn confirmed(mut tx: Tx, cx: Ctx, Body(shown): Body<Shown>) -> Result<Json<Done>, Problem> {
    let Kept { person_id, mail } = take(&mut tx, &shown.token, Purpose::Confirm, cx.now_ms()).await?;
    let sql = "DELETE FROM address WHERE person_id = $1";
    tx.run(sql, args![&person_id]).await?;
    let sql =
        "INSERT INTO address (person_id, mail, at_ms) VALUES ($1, $2, $3) ON CONFLICT (mail) DO NOTHING";
    if tx.run(sql, args![&person_id, &mail, cx.now_ms()]).await? == 0 {
        return Err(Problem::conflict("taken", "another account has this address: remove it there first"));
    }
    tx.emit(FACTOR_ADDED, &person_id, &json!({"factor": METHOD})).await?;
    Ok(Json(Done {}))
}

/// Uses a link up; whose it is.
async fn take(tx: &mut Tx, token: &str, purpose: Purpose, now_ms: i64) -> Result<Kept, Problem> {
    let (kind, ..) = purpose.about();
    let sql = "DELETE FROM link WHERE hash = $1 AND kind = $2 AND mail IS NOT NULL AND ends_ms > $3 RETURNING person_id, mail";
    let taken: Option<Kept> = tx.one(sql, args![hash(token), kind, now_ms]).await?;
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
    Client(from): Client,
    here: Here,
    Body(asked): Body<Asked>,
    purpose: Purpose,
    set: bool,
) -> Result<Json<Done>, Problem> {
    let site = site(&here, set)?;
    let mail = plain(&asked.mail)?;
    let names: Names =
        vec![(format!("n|{}", rules::network(from)), rules::NETWORK), (format!("t|{mail}"), rules::MAIL)];
    attempts::count(&cx, &names).await?;
    send_later(&cx, &Wish { purpose, mail, person: None, site }).await
}

async fn send_later(cx: &Ctx, wish: &Wish) -> Result<Json<Done>, Problem> {
    let mut tx = cx.begin();
    tx.enqueue(NewJob::new(JOB, wish)).await?;
    tx.commit().await?;
    Ok(Json(Done {}))
}

/// Sends a link, if there is somebody to send it to.
pub(super) async fn send(cx: Ctx, job: Job, sender: Sender) -> Result<(), Problem> {
    let Wish { purpose, mail, person, site } = job.body()?;
    let person = match person {
        Some(person) => person,
        None => {
            let sql = "SELECT * FROM address WHERE mail = $1";
            let Some(kept) = cx.db().one::<Kept>(sql, args![&mail]).await? else { return Ok(()) };
            kept.person_id
        }
    };
    let (kind, lasts_s, title, does) = purpose.about();
    let token = nx_chassis::fresh()?;
    let mut tx = cx.begin();
    tx.run("DELETE FROM link WHERE kind = $1 AND person_id = $2", args![kind, &person]).await?;
    let sql = "INSERT INTO link (id, hash, kind, person_id, roles, claimed_ms, ends_ms, mail) \
               VALUES ($1, $2, $3, $4, '[]', 0, $5, $6)";
    let ends_ms = cx.now_ms() + lasts_s * 1000;
    tx.run(sql, args![cx.new_id(), hash(&token), kind, &person, ends_ms, &mail]).await?;
    tx.commit().await?;
    let lasts = if lasts_s < 3600 {
        format!("{} minutes", lasts_s / 60)
    } else {
        format!("{} hours", lasts_s / 3600)
    };
    let text = format!(
        "Somebody, you we hope, has asked for this link at {site}. It {does}, once, within {lasts}:\n\n{site}/account#{kind}={token}\n\n\
         If that was not you, there is nothing to do: without the link nothing happens.\n"
    );
    sender.mail(&cx.new_id(), &mail, &format!("Nexus COS: {title}"), text).await
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
    take(&mut tx, &given.token, Purpose::Enter, cx.now_ms()).await?;
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

pub(super) async fn erase(tx: &mut Tx, person: &str) -> Result<(), Problem> {
    Ok(tx.run("DELETE FROM address WHERE person_id = $1", args![person]).await.map(drop)?)
}
