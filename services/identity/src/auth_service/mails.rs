//! What lies in the folder of mail, for operators: as long as no server takes mail, they hand it over.
//!
//! Links in it let people in, once: nobody else sees them, apps of others neither, and nobody keeps what is answered.

use nx_chassis::{Api, Caller, Ctx, Json, Path, Problem};
use nx_webhooks::{Listed, Mail, Sender};
use schemars::JsonSchema;
use serde::Serialize;

use super::api::must_operate;

pub(super) fn routes(api: Api, sender: &Sender) -> Api {
    let (all, one) = (sender.clone(), sender.clone());
    api.get("/mails", move |by: Caller, cx: Ctx| list(by, cx, all.clone()))
        .get("/mails/{id}", move |by: Caller, cx: Ctx, id: Path<String>| read(by, cx, id, one.clone()))
}

#[derive(Debug, Serialize, JsonSchema)]
struct Mails {
    /// Whether a server takes mail: then none lies here.
    by_server: bool,
    /// The newest 200, newest first.
    items: Vec<Listed>,
}

async fn may_read(cx: &Ctx, by: &Caller) -> Result<(), Problem> {
    if by.scope.is_some() {
        return Err(Problem::forbidden("no app may read mail"));
    }
    must_operate(cx, by).await
}

async fn list(by: Caller, cx: Ctx, sender: Sender) -> Result<Json<Mails>, Problem> {
    may_read(&cx, &by).await?;
    let found = sender.mails().await?;
    Ok(Json(Mails { by_server: found.is_none(), items: found.unwrap_or_default() }))
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>, sender: Sender) -> Result<Json<Mail>, Problem> {
    may_read(&cx, &by).await?;
    let found = sender.read_mail(&id).await?;
    found.map(Json).ok_or_else(|| Problem::not_found("no such mail lies here"))
}
