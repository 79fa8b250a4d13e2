//! What there is of a person: what they have let apps do.

use nx_chassis::{Api, Caller, Ctx, Json, Path, Problem, Time, args, row};
use nx_contract::identity::ROWS_GIVEN_MAX;
use serde_json::{Value, json};

pub(super) fn routes(api: Api) -> Api {
    api.get("/persons/{id}", give)
}

struct Allowed {
    client_id: String,
    scope: String,
    at_ms: Time,
}
row!(Allowed { client_id, scope, at_ms });

struct Session {
    client_id: String,
    at_ms: Time,
}
row!(Session { client_id, at_ms });

async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    by.must_be_service()?;
    let sql = "SELECT client_id, scope, at_ms FROM consent WHERE person_id = $1 ORDER BY client_id LIMIT $2";
    let allowed: Vec<Allowed> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    let allowed = allowed.into_iter().map(
        |Allowed { client_id, scope, at_ms }| json!({"app": client_id, "scope": scope, "allowed_at": at_ms}),
    );
    let sql = "SELECT client_id, at_ms FROM app_session WHERE person_id = $1 ORDER BY at_ms LIMIT $2";
    let sessions: Vec<Session> = cx.db().all(sql, args![&id, ROWS_GIVEN_MAX]).await?;
    let sessions =
        sessions.into_iter().map(|Session { client_id, at_ms }| json!({"app": client_id, "began_at": at_ms}));
    Ok(Json(json!({"apps": allowed.collect::<Value>(), "sessions_of_apps": sessions.collect::<Value>()})))
}
