//! What programs have reported of a person, by their id: given out, and erased.
//!
//! A report may name somebody anywhere, so all are looked through, some at a time, in a job.

use nx_chassis::{Api, Caller, Ctx, Event, Job, Json, NewJob, Path, Problem, Tx, args, row};
use nx_contract::identity::{Erasing, Forgotten, USER_FORGOTTEN};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The job that erases.
pub(super) const FORGET: &str = "forget";
/// Reports that are looked through at a time.
const CHUNK: i64 = 500;
/// Reports that are given out.
const GIVEN_MAX: i64 = 100;

pub(super) fn routes(api: Api) -> Api {
    api.get("/persons/{id}", give)
}

struct Named {
    id: String,
    title: String,
    at: i64,
}
row!(Named { id, title, at });

async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    by.must_be_service()?;
    let sql = "SELECT id, title, at FROM event WHERE body LIKE '%' || $1 || '%' ORDER BY id DESC LIMIT $2";
    let named: Vec<Named> = cx.db().all(sql, args![&id, GIVEN_MAX]).await?;
    let named =
        named.into_iter().map(|Named { id, title, at }| json!({"id": id, "title": title, "at_ms": at}));
    Ok(Json(json!({"reports": named.collect::<Value>()})))
}

#[derive(Serialize, Deserialize)]
struct Forget {
    person: String,
    erasure: String,
}

pub(super) async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let Erasing { erasure } = event.data()?;
    tx.forget(&event.subject).await?;
    Ok(tx.enqueue(NewJob::new(FORGET, &Forget { person: event.subject, erasure })).await.map(drop)?)
}

struct Place {
    last: Option<String>,
}
row!(Place { last });

/// Deletes every report that names them; the counts of it stay.
pub(super) async fn forget(cx: Ctx, job: Job) -> Result<(), Problem> {
    let Forget { person, erasure } = job.body()?;
    let (mut after, mut rows) = (String::new(), 0);
    loop {
        let sql =
            "SELECT MAX(id) AS last FROM (SELECT id FROM event WHERE id > $1 ORDER BY id LIMIT $2) AS chunk";
        let place: Option<Place> = cx.db().one(sql, args![&after, CHUNK]).await?;
        let Some(last) = place.and_then(|place| place.last) else { break };
        let sql = "DELETE FROM event WHERE id > $1 AND id <= $2 AND body LIKE '%' || $3 || '%'";
        rows += cx.run(sql, args![&after, &last, &person]).await?;
        after = last;
    }
    let mut tx = cx.begin();
    tx.emit(USER_FORGOTTEN, &erasure, &Forgotten { rows }).await?;
    Ok(tx.commit().await?)
}
