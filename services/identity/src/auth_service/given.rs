//! Passwords that a directory gives to people whom it has made.
//!
//! user-auth brings one before it writes anything down, and gets a ticket; whose it is it tells as a fact, together with all else
//! that the directory changes. What was refused there is never told, and its ticket runs out.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Event, Json, Problem, ShownOnce, Tx, args, row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{mail, passkeys, passwords, store};
use crate::{CREDENTIAL_CHANGED, Changed, GivenPassword};

/// How long a ticket holds: longer than a fact is under way.
const TICKET_MS: i64 = 24 * 3_600_000;

pub(super) fn routes(api: Api) -> Api {
    api.post("/given-passwords", keep)
}

/// A password that is nobody's yet.
#[derive(Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTicket {
    #[garde(length(max = 1024))]
    pub(crate) password: String,
}

async fn keep(by: Caller, cx: Ctx, Body(new): Body<NewTicket>) -> Result<ShownOnce<Json<String>>, Problem> {
    by.must_be_service()?;
    let (ticket, hash) = (cx.new_id(), passwords::hash(new.password).await?);
    let sql = "INSERT INTO given_password (ticket, hash, ends_ms) VALUES ($1, $2, $3)";
    cx.run(sql, args![&ticket, hash, cx.now_ms() + TICKET_MS]).await?;
    Ok(ShownOnce(Json(ticket)))
}

struct Kept {
    hash: String,
}
row!(Kept { hash });

/// It is theirs now, and what they had before is over, as after a password that was lost.
pub(super) async fn told(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let GivenPassword { ticket, handle } = event.data()?;
    let sql = "DELETE FROM given_password WHERE ticket = $1 RETURNING hash";
    let Some(Kept { hash }) = tx.one(sql, args![&ticket]).await? else {
        tracing::warn!(person = event.subject, "a password came too late: the directory is to give it again");
        return Ok(());
    };
    store::put(tx, &event.subject, &handle, &hash).await?;
    store::end_challenges(tx, &event.subject).await?;
    passkeys::remove_all(tx, &event.subject).await?;
    mail::forget(tx, &event.subject, "").await?;
    tx.emit(CREDENTIAL_CHANGED, &event.subject, &Changed { keep: None }).await
}
