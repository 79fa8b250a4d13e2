//! Forgetting somebody, everywhere.
//!
//! ```text
//! asked for ─► shut out and signed out ─► waits, and may be taken back ─► begins: nothing is left here
//!           └────────────────────── or at once ───────────────────────►    └► user.erased ─► each service erases, and says so
//!                                                                               └► all have: done; one has not in a day: late
//! ```
//!
//! Which services owe an answer stands in the catalogue. What stays is that it was done, for whom by their id, when and who asked:
//! so nobody gets that id again.

pub(super) mod rules;
mod store;

use garde::Validate;
use nx_catalog::catalog;
use nx_chassis::{
    Api, Body, Caller, Ctx, Event, Job, Json, List, NewJob, Page, Path, Problem, ShownOnce, Time, Tx,
};
use nx_contract::identity::{Erasing, Forgotten, OPERATOR, USER_CHANGED};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::store::{self as people, Turn};
use super::{api, exports, orgs};
use crate::{Done, ERASURE_DONE, ERASURE_LATE, USER_ERASED, gone, hash};

/// The job that begins what has waited.
pub(super) const BEGIN: &str = "begin-erasure";
/// The one that looks whether all have answered.
pub(super) const WATCH: &str = "watch-erasure";
const SERVICE: &str = "user-auth";

pub(super) fn routes(api: Api) -> Api {
    api.post("/users/{id}/erasure", ask)
        .get("/users/{id}/erasure", of)
        .delete("/users/{id}/erasure", take_back)
        .get("/erasures", list)
        .get("/erasures/{id}", read)
        .post("/erasures/take-back", take_back_by_secret)
}

/// That somebody is forgotten.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Erasure {
    pub(crate) id: String,
    pub(crate) user_id: String,
    /// Who has asked for it, by their id.
    pub(crate) asked_by: String,
    pub(crate) asked_at: Time,
    pub(crate) begins_at: Time,
    pub(crate) state: rules::State,
    pub(crate) done_at: Option<Time>,
    /// What services have said.
    pub(crate) services: Vec<Part>,
    /// What it is taken back with, as long as it waits; it is not shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) take_back: Option<String>,
}

/// What one service has said of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ErasurePart")]
pub(crate) struct Part {
    pub(crate) service: String,
    pub(crate) state: rules::State,
    pub(crate) done_at: Option<Time>,
    /// How many rows it had.
    pub(crate) rows: Option<i64>,
}

/// How long it may be taken back.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewErasure {
    /// 0, at once, to 30.
    #[garde(range(max = 30))]
    #[serde(default)]
    pub(crate) grace_days: u32,
}

/// Services whose catalogue says that they keep something of people.
pub(super) fn keepers() -> impl Iterator<Item = &'static str> {
    let all = catalog().services.iter().filter(|service| service.built && service.persons == Some(true));
    all.map(|service| service.id.as_str())
}

/// For operators, and for auth-service, which has had people show their password.
async fn ask(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    Body(new): Body<NewErasure>,
) -> Result<ShownOnce<Json<Erasure>>, Problem> {
    by.must_own(&id)?;
    if by.must_be(OPERATOR).is_err() {
        return Err(Problem::forbidden("ask auth-service for that, with your password: POST v1/erasure"));
    }
    if let Some(begun) = store::of(&cx, &id).await?.filter(store::Kept::has_begun) {
        return told(&cx, Some(begun)).await.map(ShownOnce);
    }
    let secret = match new.grace_days {
        0 => {
            at_once(&by, &mut tx, &id).await?;
            None
        }
        days => Some(later(&by, &mut tx, &id, days).await?),
    };
    let (kept, parts) = store::now(&mut tx, &id).await?.ok_or_else(people::unknown)?;
    Ok(ShownOnce(Json(Erasure { take_back: secret, ..kept.told(&parts, cx.now_ms()) })))
}

/// Who it is told of that asks: people ask by way of auth-service.
fn asker<'a>(by: &'a Caller, id: &'a str) -> &'a str {
    if by.must_be_service().is_ok() { id } else { &by.subject }
}

/// Shuts somebody out who is to be forgotten in so many days; the secret that takes it back.
async fn later(by: &Caller, tx: &mut Tx, id: &str, days: u32) -> Result<String, Problem> {
    Turn::begin(tx, by).await?;
    let shut = people::find_in(tx, id).await?.disabled;
    let (erasure, secret) = (nx_chassis::new_id(tx.now_ms()), nx_chassis::fresh()?);
    let due_ms = rules::due_ms(tx.now_ms(), days);
    // Before it waits: who shuts them out after that means it.
    let user = people::set_disabled(tx, by, id, true).await?;
    if !store::ask(tx, (&erasure, id, asker(by, id)), (due_ms, shut), Some(hash(&secret))).await? {
        return Err(Problem::conflict("erasure-waits", "that was asked for already, and waits"));
    }
    api::tell(tx, USER_CHANGED, &user).await?;
    tx.enqueue(NewJob::new(BEGIN, &()).due(due_ms)).await?;
    Ok(secret)
}

/// Forgets somebody now.
pub(super) async fn at_once(by: &Caller, tx: &mut Tx, id: &str) -> Result<(), Problem> {
    by.must_be(OPERATOR)?;
    Turn::begin(tx, by).await?;
    let shut = people::find_in(tx, id).await?.disabled;
    let erasure = nx_chassis::new_id(tx.now_ms());
    store::ask(tx, (&erasure, id, asker(by, id)), (tx.now_ms(), shut), None).await?;
    begin(by, tx, id).await
}

/// The person is forgotten here now, and elsewhere by whoever hears of it.
async fn begin(by: &Caller, tx: &mut Tx, person: &str) -> Result<(), Problem> {
    let Some(erasure) = store::begin(tx, person).await? else { return Ok(()) };
    let rows = orgs::erase(tx, person).await?;
    let rows = rows + people::erase(tx, by, person).await? + exports::erase(tx, person).await?;
    for service in keepers() {
        store::owe(tx, &erasure.id, service).await?;
    }
    tx.emit(USER_ERASED, person, &Erasing { erasure: erasure.id.clone() }).await?;
    tx.enqueue(watch_later(tx.now_ms(), &erasure.id)).await?;
    forgot(tx, &erasure.id, SERVICE, rows).await
}

/// Begins what has waited long enough; now and then too, for who was away when the time came.
pub(super) async fn work_begin(cx: Ctx, _: Job) -> Result<(), Problem> {
    let by = Caller::service(SERVICE);
    for kept in store::due(&cx).await? {
        let mut tx = cx.begin();
        Turn::begin(&mut tx, &by).await?;
        begin(&by, &mut tx, &kept.person_id).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// A service says that it keeps nothing of somebody any more.
pub(super) async fn heard(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let service = event.source.strip_prefix("/services/").unwrap_or_default();
    forgot(tx, &event.subject, service, event.data::<Forgotten>()?.rows).await
}

async fn forgot(tx: &mut Tx, id: &str, service: &str, rows: u64) -> Result<(), Problem> {
    if let Some(done) = store::forgot(tx, id, service, rows).await? {
        tx.forget(&done.person_id).await?;
        tx.emit(ERASURE_DONE, id, &()).await?;
    }
    Ok(())
}

fn watch_later(now_ms: i64, erasure: &str) -> NewJob {
    NewJob::new(WATCH, &Erasing { erasure: erasure.into() }).due(now_ms + rules::DEADLINE_MS)
}

/// Raises the alarm for who has not answered, and tells it again, every day anew: who has erased it does so again, and finds nothing.
pub(super) async fn work_watch(cx: Ctx, job: Job) -> Result<(), Problem> {
    let Erasing { erasure } = job.body()?;
    let owing = store::owing(&cx, &erasure).await?;
    let owing: Vec<_> = owing.into_iter().map(|part| part.service).collect();
    let Some(kept) = store::find(&cx, &erasure).await?.filter(|_| !owing.is_empty()) else { return Ok(()) };
    let mut tx = cx.begin();
    tracing::warn!(erasure, ?owing, "somebody is to be forgotten, and services have not said that they have");
    tx.emit(ERASURE_LATE, &erasure, &json!({"services": owing})).await?;
    tx.emit(USER_ERASED, &kept.person_id, &Erasing { erasure: erasure.clone() }).await?;
    tx.enqueue(watch_later(cx.now_ms(), &erasure)).await?;
    Ok(tx.commit().await?)
}

async fn of(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Erasure>, Problem> {
    by.must_own(&id)?;
    told(&cx, store::of(&cx, &id).await?).await
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Erasure>, Problem> {
    by.must_be(OPERATOR)?;
    told(&cx, store::find(&cx, &id).await?).await
}

async fn told(cx: &Ctx, kept: Option<store::Kept>) -> Result<Json<Erasure>, Problem> {
    let kept = kept.ok_or_else(people::unknown)?;
    let parts = store::parts(cx, &kept.id, &kept.id).await?;
    Ok(Json(kept.told(&parts, cx.now_ms())))
}

async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<Erasure>, Problem> {
    by.must_be(OPERATOR)?;
    let all = store::list(&cx, &page).await?;
    let end = |kept: Option<&store::Kept>| kept.map(|kept| kept.id.clone()).unwrap_or_default();
    let parts = store::parts(&cx, &end(all.first()), &end(all.last())).await?;
    let all = all.into_iter().map(|kept| kept.told(&parts, cx.now_ms())).collect();
    Ok(List::of(&page, all, |erasure: &Erasure| &erasure.id))
}

async fn take_back(by: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    by.must_be(OPERATOR)?;
    let waits = "there is none that waits, or it has begun";
    undo(&by, &mut tx, &id, None).await?.ok_or_else(|| Problem::not_found(waits))
}

/// What somebody was told when they asked.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Secret {
    #[garde(length(min = 1, max = 100))]
    token: String,
}

/// Who has asked is signed out, and shows what they were told.
async fn take_back_by_secret(cx: Ctx, mut tx: Tx, Body(secret): Body<Secret>) -> Result<Json<Done>, Problem> {
    let (by, over) = (Caller::service(SERVICE), || gone("that was taken back already, or it has begun"));
    // Who only guesses keeps nobody waiting.
    if !store::waits(&cx, &hash(&secret.token)).await? {
        return Err(over());
    }
    undo(&by, &mut tx, "", Some(hash(&secret.token))).await?.ok_or_else(over)
}

async fn undo(
    by: &Caller,
    tx: &mut Tx,
    person: &str,
    secret: Option<Vec<u8>>,
) -> Result<Option<Json<Done>>, Problem> {
    Turn::begin(tx, by).await?;
    let Some(kept) = store::take_back(tx, person, secret).await? else { return Ok(None) };
    if !kept.shut {
        let user = people::set_disabled(tx, by, &kept.person_id, false).await?;
        api::tell(tx, USER_CHANGED, &user).await?;
    }
    Ok(Some(Json(Done {})))
}
