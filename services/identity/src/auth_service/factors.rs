//! The second step: codes of an app (RFC 6238), and codes on paper for who has lost it.

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Caller, Ctx, Json, Path, Problem, ShownOnce, Time, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::{Basis, Place, Proof, confirm, in_session, may_come_in, must_operate, sign_in};
use super::attempts::{self, Names};
use super::{passkeys, rules, store, totp};
use crate::answer::{InCookie, Tokens};
use crate::client::Client;
use crate::{Done, FACTOR_ADDED, FACTOR_REMOVED, gone, hash};

/// What an app is called in facts and in the list of sessions.
const METHOD: &str = "totp";
/// Time for the second step.
const CHALLENGE_MS: i64 = 300_000;
/// Codes on paper.
const CODES: usize = 10;
/// Characters that nobody takes for each other: 30 of them, ten to a code are 49 bits.
const CODE_CHARS: &[u8] = b"23456789abcdefghjkmnpqrstvwxyz";

pub(super) fn routes(api: Api) -> Api {
    api.post("/mfa", second)
        .get("/factors", list)
        .post("/totp", begin)
        .post("/totp/confirm", confirmed)
        .post("/totp/remove", remove)
        .delete("/users/{id}/totp", remove_of)
        .delete("/users/{id}/passkeys", remove_passkeys_of)
        .post("/recovery-codes", renew_codes)
}

/// What the second step is shown with.
#[derive(Serialize, JsonSchema)]
pub(super) struct Challenge {
    challenge: String,
    expires_at: Time,
}

/// The password was right, and that is not enough.
pub(super) async fn challenge(tx: &mut Tx, person: &str) -> Result<Challenge, Problem> {
    let (challenge, ends_ms) = (nx_chassis::fresh()?, tx.now_ms() + CHALLENGE_MS);
    store::challenge(tx, person, hash(&challenge), ends_ms).await?;
    Ok(Challenge { challenge, expires_at: Time(ends_ms) })
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Second {
    #[garde(length(max = 100))]
    challenge: String,
    /// Of the app.
    #[garde(length(max = 10))]
    #[serde(default)]
    code: Option<String>,
    /// Or one of those on paper.
    #[garde(length(max = 40))]
    #[serde(default)]
    recovery_code: Option<String>,
    #[garde(dive)]
    #[serde(flatten)]
    place: Place,
}

async fn second(
    cx: Ctx,
    Client(from): Client,
    headers: HeaderMap,
    Body(given): Body<Second>,
) -> Result<ShownOnce<InCookie<Tokens>>, Problem> {
    let challenge = hash(&given.challenge);
    let person = store::try_challenge(&cx, challenge.clone()).await?;
    let person = person.ok_or_else(|| gone("the time or the tries for it are over: sign in again"))?;
    // Before anything is used up that works once.
    may_come_in(&cx, &person).await?;
    let kept = store::by_person(&cx, &person).await?.ok_or_else(wrong)?;
    let names: Names = vec![(format!("m|{person}"), rules::SECOND)];
    attempts::count(&cx, &names).await?;
    let step = match &given.code {
        Some(code) => step(&cx, &person, code).await?.map(|(step, _)| step),
        None => None,
    };
    let mut tx = cx.begin();
    let method = match (step, given.recovery_code.as_deref()) {
        (Some(step), _) if store::use_step(&mut tx, &person, step).await? => METHOD,
        (None, Some(code)) if store::use_code(&mut tx, &person, hash(&plain(code))).await? => "recovery",
        _ => return Err(wrong()),
    };
    if !store::end_challenge(&mut tx, challenge).await? {
        return Err(gone("it was used already: sign in again"));
    }
    attempts::succeeded(&mut tx, &names).await?;
    tx.commit().await?;
    let proof =
        Proof { person, basis: Basis::Password(kept.password), method, network: rules::network(from) };
    sign_in(&cx, proof, &headers, given.place).await
}

/// The step that a code is of, and whether the secret is in use.
async fn step(cx: &Ctx, person: &str, code: &str) -> Result<Option<(i64, bool)>, Problem> {
    let Some(kept) = store::totp(cx, person).await? else { return Ok(None) };
    let secret = cx.vault().open(&place(person), &kept.sealed)?;
    Ok(totp::step_of(&secret, code.trim(), cx.now_ms()).map(|step| (step, kept.confirmed)))
}

#[derive(Debug, Serialize, JsonSchema)]
struct Factors {
    totp: bool,
    recovery_codes_left: i64,
}

async fn list(by: Caller, cx: Ctx) -> Result<Json<Factors>, Problem> {
    let totp = store::totp(&cx, &by.subject).await?.is_some_and(|totp| totp.confirmed);
    Ok(Json(Factors { totp, recovery_codes_left: store::codes_left(&cx, &by.subject).await? }))
}

/// The password once more.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirm {
    #[garde(length(max = 1024))]
    pub(super) password: String,
}

/// A secret for an app.
#[derive(Serialize, JsonSchema)]
struct Secret {
    /// To type.
    secret: String,
    /// To scan.
    uri: String,
}

async fn begin(by: Caller, cx: Ctx, Body(given): Body<Confirm>) -> Result<ShownOnce<Json<Secret>>, Problem> {
    in_session(&by)?;
    let handle = confirm(&cx, &by, "/password", given.password).await?.handle;
    let mut secret = [0; totp::SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut secret).map_err(Problem::internal)?;
    let sealed = cx.vault().close(&place(&by.subject), &secret)?;
    let mut tx = cx.begin();
    if !store::begin_totp(&mut tx, &by.subject, sealed).await? {
        return Err(Problem::conflict("totp-in-use", "an app is in use already: remove it first"));
    }
    tx.commit().await?;
    Ok(ShownOnce(Json(Secret { secret: totp::base32(&secret), uri: totp::uri(&secret, &handle) })))
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Code {
    #[garde(length(max = 10))]
    code: String,
}

/// Codes on paper, each good once.
#[derive(Serialize, JsonSchema)]
struct Codes {
    recovery_codes: Vec<String>,
}

/// The app has the secret: from now on its codes are asked for.
async fn confirmed(by: Caller, cx: Ctx, Body(given): Body<Code>) -> Result<ShownOnce<Json<Codes>>, Problem> {
    in_session(&by)?;
    let names: Names = vec![(format!("m|{}", by.subject), rules::SECOND)];
    attempts::count(&cx, &names).await?;
    let step = step(&cx, &by.subject, &given.code).await?;
    let wrong = || Problem::invalid("/code", "is not what the app shows now: does its clock go right?");
    let (step, _) = step.filter(|(_, in_use)| !in_use).ok_or_else(wrong)?;
    let mut tx = cx.begin();
    if !store::confirm_totp(&mut tx, &by.subject, step).await? {
        return Err(wrong());
    }
    attempts::succeeded(&mut tx, &names).await?;
    let codes = put_codes(&mut tx, &by.subject).await?;
    tx.emit(FACTOR_ADDED, &by.subject, &json!({"factor": METHOD})).await?;
    tx.commit().await?;
    Ok(codes)
}

async fn remove(by: Caller, cx: Ctx, Body(given): Body<Confirm>) -> Result<Json<Done>, Problem> {
    in_session(&by)?;
    confirm(&cx, &by, "/password", given.password).await?;
    let mut tx = cx.begin();
    forget(&mut tx, &by.subject).await?;
    tx.commit().await?;
    Ok(Json(Done {}))
}

async fn forget(tx: &mut Tx, person: &str) -> Result<(), Problem> {
    if store::remove_totp(tx, person).await? {
        tx.emit(FACTOR_REMOVED, person, &json!({"factor": METHOD})).await?;
    }
    Ok(())
}

/// For who has lost the app and the paper, by who runs it.
async fn remove_of(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    must_operate(&cx, &by).await?;
    forget(&mut tx, &id).await?;
    Ok(Json(Done {}))
}

/// The same for passkeys.
async fn remove_passkeys_of(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
) -> Result<Json<Done>, Problem> {
    must_operate(&cx, &by).await?;
    if passkeys::remove_all(&mut tx, &id).await? {
        tx.emit(FACTOR_REMOVED, &id, &json!({"factor": "passkey"})).await?;
    }
    Ok(Json(Done {}))
}

async fn renew_codes(
    by: Caller,
    cx: Ctx,
    Body(given): Body<Confirm>,
) -> Result<ShownOnce<Json<Codes>>, Problem> {
    in_session(&by)?;
    confirm(&cx, &by, "/password", given.password).await?;
    if !store::totp(&cx, &by.subject).await?.is_some_and(|totp| totp.confirmed) {
        return Err(Problem::conflict("no-totp", "codes on paper stand in for an app: set that up first"));
    }
    let mut tx = cx.begin();
    let codes = put_codes(&mut tx, &by.subject).await?;
    tx.commit().await?;
    Ok(codes)
}

async fn put_codes(tx: &mut Tx, person: &str) -> Result<ShownOnce<Json<Codes>>, Problem> {
    let recovery_codes = (0..CODES).map(|_| code()).collect::<Result<Vec<_>, _>>()?;
    let hashes = recovery_codes.iter().map(|code| hash(&plain(code))).collect();
    store::put_codes(tx, person, hashes).await?;
    Ok(ShownOnce(Json(Codes { recovery_codes })))
}

/// A code for paper: `xxxxx-xxxxx`.
fn code() -> Result<String, Problem> {
    let mut bytes = [0; 10];
    aws_lc_rs::rand::fill(&mut bytes).map_err(Problem::internal)?;
    // A little more of the first characters than of the last: two bits of all fifty.
    let chars: String =
        bytes.iter().map(|byte| char::from(CODE_CHARS[usize::from(*byte) % CODE_CHARS.len()])).collect();
    Ok(format!("{}-{}", &chars[..5], &chars[5..]))
}

/// A code as it was made, however it was typed.
fn plain(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn place(person: &str) -> String {
    format!("totp {person}")
}

fn wrong() -> Problem {
    Problem::unauthorized("the code is wrong, or was used already")
}
