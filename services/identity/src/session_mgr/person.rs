//! What there is of a person: where they are signed in, and what they watch.

use nx_chassis::{Api, Caller, Ctx, Json, Path, Problem, args};
use nx_contract::identity::ROWS_GIVEN_MAX;
use serde_json::{Value, json};

use super::api::Session;
use super::leases::Lease;

pub(super) fn routes(api: Api) -> Api {
    api.get("/persons/{id}", give)
}

async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    by.must_be_service()?;
    let sql = "SELECT * FROM session WHERE user_id = $1 ORDER BY id LIMIT $2";
    let sessions: Vec<Session> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    let sql = "SELECT * FROM lease WHERE user_id = $1 ORDER BY id LIMIT $2";
    let leases: Vec<Lease> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    Ok(Json(json!({"sessions": sessions, "watching": leases})))
}
