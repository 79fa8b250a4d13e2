//! What there is of a person, without what they sign in with.

use nx_chassis::{Api, Caller, Ctx, Json, Path, Problem, args, row};
use nx_contract::identity::ROWS_GIVEN_MAX;
use serde_json::{Value, json};

use super::{mail, passkeys, store};

pub(super) fn routes(api: Api) -> Api {
    api.get("/persons/{id}", give)
}

struct Link {
    kind: String,
}
row!(Link { kind });

async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    by.must_be_service()?;
    let links = "SELECT kind FROM link WHERE person_id = $1 ORDER BY id LIMIT $2";
    let links: Vec<Link> = cx.db().all(links, args![&id, ROWS_GIVEN_MAX]).await?;
    Ok(Json(json!({
        "handle": store::by_person(&cx, &id).await?.map(|known| known.handle),
        "mail": mail::of(&cx, &id).await?,
        "app_for_codes": store::totp(&cx, &id).await?.is_some_and(|totp| totp.confirmed),
        "recovery_codes_left": store::codes_left(&cx, &id).await?,
        "passkeys": passkeys::of(&cx, &id, ROWS_GIVEN_MAX).await?,
        "open_links": links.into_iter().map(|link| link.kind).collect::<Vec<_>>(),
    })))
}
