//! Sessions of apps of others, which somebody has let speak for them. Each is one more session of that person: listed among
//! their devices, ended there, and over with everything else when they are shut out.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Ctx, Json, Path, Problem, ShownOnce};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{self, abandon, first_tokens, may_come_in};
use crate::Done;
use crate::answer::Tokens;
use crate::session_mgr::{NewSession, Session};
use crate::token_mgr::App;

/// How such a session began, in the list of sessions.
const METHOD: &str = "app";

pub(super) fn routes(api: Api) -> Api {
    api.post("/apps", sign_in).post("/apps/{session}/end", end).get("/apps/sessions/{id}", session)
}

/// A session for an app, on the word of somebody who is signed in.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[garde(allow_unvalidated)]
pub(crate) struct NewAppSession {
    pub(crate) person_id: String,
    /// The session in which they have said so.
    pub(crate) session_id: String,
    /// What the app is called.
    pub(crate) name: String,
    pub(crate) app: App,
}

async fn sign_in(
    by: Caller,
    cx: Ctx,
    Body(new): Body<NewAppSession>,
) -> Result<ShownOnce<Json<Tokens>>, Problem> {
    by.must_be_service()?;
    let user = may_come_in(&cx, &new.person_id).await;
    let user = user.map_err(|e| if e.slug == "refused" { over() } else { e })?;
    let said_in = theirs(&cx, &new).await?;
    let (user_id, device) = (new.person_id.clone(), new.name.clone());
    let begun = NewSession { user_id, device, network: said_in.network, method: METHOD.into() };
    let session: Session = cx.call("session-mgr")?.post("/v1/sessions", &cx.new_id(), &begun).await?;
    let made = match first_tokens(&cx, &session, &user, Some(new.app.clone())).await {
        // Who was shut out, or signed out, meanwhile has ended the sessions that there were.
        Ok(tokens) => match (may_come_in(&cx, &new.person_id).await, theirs(&cx, &new).await) {
            (Ok(now), Ok(_)) if now.roles == user.roles => Ok(tokens),
            (Err(error), _) | (_, Err(error)) => Err(error),
            _ => Err(Problem::unauthorized("the account has changed meanwhile")),
        },
        Err(error) => Err(error),
    };
    if made.is_err() {
        abandon(&cx, &session.id).await;
    }
    Ok(ShownOnce(Json(made?)))
}

/// The session in which an app was allowed, if it goes on.
async fn theirs(cx: &Ctx, new: &NewAppSession) -> Result<Session, Problem> {
    let session = find(cx, &new.session_id).await?;
    (session.user_id == new.person_id).then_some(session).ok_or_else(over)
}

async fn find(cx: &Ctx, session: &str) -> Result<Session, Problem> {
    let found = cx.call("session-mgr")?.get(&format!("/v1/sessions/{session}")).await;
    found.map_err(|e| if e.slug == "refused" { over() } else { e })
}

fn over() -> Problem {
    Problem::unauthorized("the session in which this was allowed is over")
}

async fn session(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Session>, Problem> {
    by.must_be_service()?;
    Ok(Json(find(&cx, &id).await?))
}

async fn end(by: Caller, cx: Ctx, Path(session): Path<String>) -> Result<Json<Done>, Problem> {
    by.must_be_service()?;
    api::end(&cx, &session).await?;
    Ok(Json(Done {}))
}
