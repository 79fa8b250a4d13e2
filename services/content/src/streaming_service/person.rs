//! What there is of a person: given out, and erased.

use nx_chassis::{Api, Caller, Ctx, Event, Job, Json, NewJob, Path, Problem, Tx, args, row};
use nx_contract::identity::{Erasing, Forgotten, ROWS_GIVEN_MAX, USER_FORGOTTEN};
use serde_json::{Value, json};

use super::channels::{self, Channel};
use super::{keys, store, targets};

/// The job that forgets that somebody was shut out.
pub(super) const FORGET: &str = "forget";
/// Access tokens are over by then, milliseconds.
const TOKENS_MS: i64 = 600_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/persons/{id}", give)
}

/// What somebody is in, and has made on their channels, each as a name and what is beside it.
const MADE: [(&str, &str); 6] = [
    (
        "in_organisations",
        "SELECT o.name, m.role AS about FROM org_member m JOIN org o ON o.id = m.org_id WHERE m.user_id = $1 \
         ORDER BY o.id LIMIT $2",
    ),
    (
        "stream_keys",
        "SELECT k.name, '' AS about FROM stream_key k JOIN channel c ON c.id = k.channel_id \
                     WHERE (c.owner_id = $1 OR k.maker_id = $1) AND k.deleted = 0 ORDER BY k.id LIMIT $2",
    ),
    (
        "broadcasts",
        "SELECT b.title AS name, b.description AS about FROM broadcast b JOIN channel c ON c.id = b.channel_id \
                    WHERE c.owner_id = $1 ORDER BY b.id LIMIT $2",
    ),
    (
        "markers",
        "SELECT m.label AS name, m.kind AS about FROM marker m JOIN broadcast b ON b.id = m.broadcast_id \
                 JOIN channel c ON c.id = b.channel_id WHERE c.owner_id = $1 ORDER BY m.id LIMIT $2",
    ),
    (
        "clips",
        "SELECT l.title AS name, l.mp4 AS about FROM clip l JOIN broadcast b ON b.id = l.broadcast_id \
               JOIN channel c ON c.id = b.channel_id WHERE c.owner_id = $1 ORDER BY l.id LIMIT $2",
    ),
    (
        "sent_on_to",
        "SELECT t.name, t.shown AS about FROM target t JOIN channel c ON c.id = t.channel_id \
                    WHERE (c.owner_id = $1 OR t.maker_id = $1) AND t.deleted = 0 ORDER BY t.id LIMIT $2",
    ),
];

struct Made {
    name: String,
    about: String,
}
row!(Made { name, about });

async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    by.must_be_service()?;
    let sql = "SELECT * FROM channel WHERE owner_id = $1 AND deleted = 0 ORDER BY id LIMIT $2";
    let owned: Vec<Channel> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    let sql = "SELECT * FROM channel WHERE id IN (SELECT channel_id FROM member WHERE user_id = $1) ORDER BY id LIMIT $2";
    let of: Vec<Channel> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    let of: Vec<_> = of.into_iter().map(|channel| channel.handle).collect();
    let mut made = json!({"channels": owned, "member_of": of});
    for (what, sql) in MADE {
        let rows: Vec<Made> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
        made[what] = rows.into_iter().map(|row| json!({"name": row.name, "about": row.about})).collect();
    }
    Ok(Json(made))
}

/// Ends their channels with all that they watch, and keeps no name of either. What an access token of theirs might yet begin is
/// refused until it is over.
pub(super) async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let person = &event.subject;
    store::set_person(tx, person, true, false).await?;
    store::end_of(tx, person, "the account was erased").await?;
    // Channels before keys, as whoever decides about a channel takes them.
    for channel in store::owned(tx, person).await? {
        channels::delete(tx, &channel).await?;
    }
    keys::delete_all(tx, person).await?;
    targets::delete_all(tx, person).await?;
    let rows = store::erase(tx, person).await?;
    tx.enqueue(NewJob::new(FORGET, person).due(tx.now_ms() + TOKENS_MS)).await?;
    tx.forget(person).await?;
    tx.emit(USER_FORGOTTEN, &event.data::<Erasing>()?.erasure, &Forgotten { rows }).await
}

pub(super) async fn forget(cx: Ctx, job: Job) -> Result<(), Problem> {
    let person: String = job.body()?;
    Ok(cx.run("DELETE FROM person WHERE user_id = $1", args![person]).await.map(drop)?)
}
