//! What there is of a person: given out, and erased.

use nx_chassis::{Api, Caller, Ctx, Event, Job, Json, NewJob, Path, Problem, Tx, args};
use nx_contract::identity::{Erasing, Forgotten, ROWS_GIVEN_MAX, USER_FORGOTTEN};
use serde_json::{Value, json};

use super::channels::{self, Channel};
use super::store;

/// The job that forgets that somebody was shut out.
pub(super) const FORGET: &str = "forget";
/// Access tokens are over by then, milliseconds.
const TOKENS_MS: i64 = 600_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/persons/{id}", give)
}

async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    by.must_be_service()?;
    let sql = "SELECT * FROM channel WHERE owner_id = $1 AND deleted = 0 ORDER BY id LIMIT $2";
    let owned: Vec<Channel> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    let sql = "SELECT * FROM channel WHERE id IN (SELECT channel_id FROM member WHERE user_id = $1) ORDER BY id LIMIT $2";
    let of: Vec<Channel> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    let of: Vec<_> = of.into_iter().map(|channel| channel.handle).collect();
    Ok(Json(json!({"channels": owned, "member_of": of})))
}

/// Ends their channels with all that they watch, and keeps no name of either. What an access token of theirs might yet begin is
/// refused until it is over.
pub(super) async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let person = &event.subject;
    store::set_person(tx, person, true, false).await?;
    store::end_of(tx, person, "the account was erased").await?;
    for channel in store::owned(tx, person).await? {
        channels::delete(tx, &channel).await?;
    }
    let rows = store::erase(tx, person).await?;
    tx.enqueue(NewJob::new(FORGET, person).due(tx.now_ms() + TOKENS_MS)).await?;
    tx.forget(person).await?;
    tx.emit(USER_FORGOTTEN, &event.data::<Erasing>()?.erasure, &Forgotten { rows }).await
}

pub(super) async fn forget(cx: Ctx, job: Job) -> Result<(), Problem> {
    let person: String = job.body()?;
    Ok(cx.run("DELETE FROM person WHERE user_id = $1", args![person]).await.map(drop)?)
}
