//! What there is of a person: given out, and erased. What they did stays written down, and who it was does not.

use nx_chassis::{Api, Caller, Ctx, DbError, Event, Json, Path, Problem, Tx, args, row};
use nx_contract::identity::{Erasing, Forgotten, ROWS_GIVEN_MAX, USER_FORGOTTEN};
use serde_json::{Value, json};

pub(super) fn routes(api: Api) -> Api {
    api.get("/persons/{id}", give)
}

struct Text {
    text: String,
}
row!(Text { text });

async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    by.must_be_service()?;
    let texts = async |sql| {
        let found: Result<Vec<Text>, DbError> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await;
        found.map(|rows| rows.into_iter().map(|row| row.text).collect::<Vec<_>>())
    };
    let keys = texts("SELECT key AS text FROM custodian WHERE person = $1 ORDER BY key LIMIT $2").await?;
    let did = texts("SELECT what || ' ' || key AS text FROM audit WHERE who = $1 ORDER BY id DESC LIMIT $2")
        .await?;
    Ok(Json(json!({"custodian_of": keys, "did": did})))
}

/// Keys of which they were a custodian have one fewer. What is open and names them is void.
pub(super) async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let person = &event.subject;
    let mut rows = 0;
    for sql in [
        "DELETE FROM custodian WHERE person = $1",
        "DELETE FROM approval WHERE person = $1",
        "DELETE FROM changed WHERE person = $1",
        "UPDATE ceremony SET opened_by = '' WHERE opened_by = $1",
        "UPDATE ceremony SET state = 'void' WHERE state = 'open' AND action LIKE '%' || $1 || '%'",
        "UPDATE ceremony SET action = REPLACE(action, $1, '') WHERE action LIKE '%' || $1 || '%'",
        "UPDATE audit SET who = '' WHERE who = $1",
        "UPDATE audit SET detail = REPLACE(detail, $1, '') WHERE what = 'entrusted' AND detail LIKE '%' || $1 || '%'",
    ] {
        rows += tx.run(sql, args![person]).await?;
    }
    let sql = "SELECT name AS text FROM private_key WHERE destroyed_ms IS NULL AND approvals > \
               (SELECT COUNT(*) FROM custodian WHERE key = name) ORDER BY name";
    for Text { text: key } in tx.all(sql, args![]).await? {
        tracing::error!(key, "the key has fewer custodians left than it takes to decide anything about it");
    }
    tx.forget(person).await?;
    tx.emit(USER_FORGOTTEN, &event.data::<Erasing>()?.erasure, &Forgotten { rows }).await
}
