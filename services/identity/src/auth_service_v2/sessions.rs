//! What apps have of people: which sessions are theirs, and that they are over.
//!
//! | ends | then |
//! | --- | --- |
//! | the session of an app, or its person is erased | the app is told, if it wants to be (OpenID Connect Back-Channel Logout) |
//! | the session in which somebody has allowed it | so is it, unless it may go on (`offline_access`); then it is told |
//! | somebody takes back what they have allowed | so are all of its sessions with them |

use nx_chassis::{
    Api, Caller, Ctx, DbError, Event, Job, Json, List, NewJob, Page, Path, Problem, Time, Tx, args, row,
};
use nx_webhooks::Sender;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::consent::in_words;
use super::{clients, themselves};
use crate::session_mgr::Session;
use crate::token_mgr::{Sign, Signed};
use crate::{Done, forgotten};

/// The job that ends a session of an app.
pub(super) const END: &str = "end";
/// The one that tells an app that one has ended.
pub(super) const TELL: &str = "tell";
/// Pause between rounds of tries to end a session, milliseconds.
const AGAIN_MS: i64 = 300_000;
/// How long such a word is good, seconds.
const WORD_S: i64 = 300;

pub(super) fn routes(api: Api) -> Api {
    api.get("/apps", own).delete("/apps/{id}", take_back)
}

/// A session of an app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AppSession {
    pub(super) session_id: String,
    /// The one in which it was allowed.
    pub(super) parent: String,
    pub(super) client_id: String,
    pub(super) person_id: String,
    /// Whether it goes on when that one is over.
    pub(super) offline: bool,
    /// When somebody had signed in, Unix seconds.
    pub(super) auth_s: i64,
    /// What the app knows us as.
    pub(super) issuer: String,
}
row!(AppSession { session_id, parent, client_id, person_id, offline, auth_s, issuer });

pub(super) async fn begin(cx: &Ctx, new: &AppSession) -> Result<(), DbError> {
    let sql = "INSERT INTO app_session (session_id, parent, client_id, person_id, offline, auth_s, issuer, at_ms) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let AppSession { session_id, parent, client_id, person_id, offline, auth_s, issuer } = new;
    let row = args![session_id, parent, client_id, person_id, *offline, *auth_s, issuer, cx.now_ms()];
    cx.run(sql, row).await.map(drop)
}

pub(super) async fn find(cx: &Ctx, session: &str) -> Result<Option<AppSession>, DbError> {
    cx.db().one("SELECT * FROM app_session WHERE session_id = $1", args![session]).await
}

/// What somebody has let an app do.
#[derive(Serialize, JsonSchema)]
struct Allowed {
    /// The app.
    id: String,
    name: String,
    /// What it may, in words.
    may: Vec<&'static str>,
    allowed_at: Time,
}

struct Kept {
    id: String,
    name: String,
    scope: String,
    at_ms: Time,
}
row!(Kept { id, name, scope, at_ms });

async fn own(by: Caller, cx: Ctx, page: Page) -> Result<List<Allowed>, Problem> {
    themselves(&by)?;
    let sql = "SELECT client.id, client.name, consent.scope, consent.at_ms FROM consent \
               JOIN client ON client.id = consent.client_id \
               WHERE consent.person_id = $1 AND client.id > $2 ORDER BY client.id LIMIT $3";
    let kept: Vec<Kept> = cx.db().all(sql, args![&by.subject, &page.after, page.rows()]).await?;
    let allowed = kept.into_iter().map(|Kept { id, name, scope, at_ms }| {
        let may = in_words(&scope);
        Allowed { id, name, may, allowed_at: at_ms }
    });
    Ok(List::of(&page, allowed.collect(), |allowed| &allowed.id))
}

async fn take_back(by: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    themselves(&by)?;
    let sql = "DELETE FROM consent WHERE person_id = $1 AND client_id = $2";
    tx.run(sql, args![&by.subject, &id]).await?;
    // What was begun before and comes after it.
    tx.run("DELETE FROM code WHERE person_id = $1 AND client_id = $2", args![&by.subject, &id]).await?;
    tx.run("DELETE FROM device WHERE person_id = $1 AND client_id = $2", args![&by.subject, &id]).await?;
    // Without its line here no refresh token of it is good, whenever the session itself is ended.
    let sql = "DELETE FROM app_session WHERE person_id = $1 AND client_id = $2 RETURNING *";
    for session in tx.all::<AppSession>(sql, args![&by.subject, &id]).await? {
        end_later(&mut tx, &session.session_id).await?;
        tell_later(&mut tx, &session).await?;
    }
    Ok(Json(Done {}))
}

/// Ends everything that an app has.
pub(super) async fn end_of_client(tx: &mut Tx, id: &str) -> Result<(), Problem> {
    let sql = "DELETE FROM app_session WHERE client_id = $1 RETURNING *";
    for session in tx.all::<AppSession>(sql, args![id]).await? {
        end_later(tx, &session.session_id).await?;
    }
    Ok(())
}

/// Any session, as session-mgr has it.
pub(super) async fn read(cx: &Ctx, id: &str) -> Result<Session, Problem> {
    cx.call("auth-service")?.get(&format!("/v1/apps/sessions/{id}")).await
}

/// Whether all that a session stands on is there yet: what has ended before its line was written was heard before.
pub(super) async fn stands(cx: &Ctx, session: &AppSession) -> Result<bool, Problem> {
    let sql = "SELECT COUNT(*) AS n FROM consent WHERE person_id = $1 AND client_id = $2";
    let allowed: Option<i64> = cx.db().one(sql, args![&session.person_id, &session.client_id]).await?;
    if allowed != Some(1) {
        return Ok(false);
    }
    for id in [&session.parent, &session.session_id] {
        match read(cx, id).await {
            Ok(_) => {}
            Err(error) if error.slug == "refused" => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Forgets a session that must not be, and ends it, now or later.
pub(super) async fn abandon(cx: &Ctx, session: &str) -> Result<(), Problem> {
    let mut tx = cx.begin();
    let sql = "DELETE FROM app_session WHERE session_id = $1 RETURNING *";
    if let Some(ended) = tx.one::<AppSession>(sql, args![session]).await? {
        tell_later(&mut tx, &ended).await?;
    }
    end_later(&mut tx, session).await?;
    Ok(tx.commit().await?)
}

async fn end_later(tx: &mut Tx, session: &str) -> Result<(), Problem> {
    Ok(tx.enqueue(NewJob::new(END, &json!({"session_id": session}))).await.map(drop)?)
}

/// Ends a session of an app now.
pub(super) async fn end(cx: &Ctx, session: &str) -> Result<(), Problem> {
    let path = format!("/v1/apps/{session}/end");
    cx.call("auth-service")?.post::<Done>(&path, &cx.new_id(), &Done {}).await.map(drop)
}

/// Ends one as long as it takes: after the tries of one job comes another.
pub(super) async fn work_end(cx: Ctx, job: Job) -> Result<(), Problem> {
    let wish: Value = job.body()?;
    let session = wish["session_id"].as_str().unwrap_or_default();
    let ended = end(&cx, session).await;
    if ended.is_err() && job.is_last_try() {
        let mut tx = cx.begin();
        tx.enqueue(NewJob::new(END, &wish).due(cx.now_ms() + AGAIN_MS)).await?;
        return Ok(tx.commit().await?);
    }
    ended
}

/// A session is over: of an app, or one in which somebody has allowed some.
pub(super) async fn over(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let sql = "DELETE FROM app_session WHERE session_id = $1 RETURNING *";
    if let Some(ended) = tx.one::<AppSession>(sql, args![&event.subject]).await? {
        tell_later(tx, &ended).await?;
    }
    for under in
        tx.all::<AppSession>("SELECT * FROM app_session WHERE parent = $1", args![&event.subject]).await?
    {
        if under.offline {
            tell_later(tx, &under).await?;
        } else {
            end_later(tx, &under.session_id).await?;
        }
    }
    Ok(())
}

/// Nothing of somebody is left here; apps that know them are told that they are gone.
pub(super) async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let sql = "DELETE FROM app_session WHERE person_id = $1 RETURNING *";
    let ended = tx.all::<AppSession>(sql, args![&event.subject]).await?;
    for ended in &ended {
        tell_later(tx, ended).await?;
    }
    let mut rows = ended.len() as u64;
    for sql in [
        "DELETE FROM consent WHERE person_id = $1",
        "DELETE FROM code WHERE person_id = $1",
        "DELETE FROM device WHERE person_id = $1",
        "DELETE FROM guess WHERE person_id = $1",
    ] {
        rows += tx.run(sql, args![&event.subject]).await?;
    }
    forgotten(tx, &event, rows).await
}

async fn tell_later(tx: &mut Tx, session: &AppSession) -> Result<(), Problem> {
    Ok(tx.enqueue(NewJob::new(TELL, session)).await.map(drop)?)
}

/// Tells an app that a session of it is over, where it wants to be told.
pub(super) async fn work_tell(cx: Ctx, job: Job, sender: Sender) -> Result<(), Problem> {
    let session: AppSession = job.body()?;
    let Some(client) = clients::find(&cx, &session.client_id).await? else { return Ok(()) };
    let Some(uri) = &client.about.backchannel_logout_uri else { return Ok(()) };
    let now_s = cx.now_ms().div_euclid(1000);
    let claims: Map<String, Value> = Map::from_iter([
        ("iss".into(), session.issuer.into()),
        ("aud".into(), client.id.into()),
        ("sub".into(), session.person_id.into()),
        ("sid".into(), session.session_id.into()),
        ("iat".into(), now_s.into()),
        ("exp".into(), (now_s + WORD_S).into()),
        ("jti".into(), cx.new_id().into()),
        ("events".into(), json!({"http://schemas.openid.net/event/backchannel-logout": {}})),
    ]);
    let word = Sign { alg: client.about.id_token_alg, kind: "logout+jwt".into(), claims };
    let Signed { token, .. } = cx.call("token-mgr")?.post("/v1/apps/signed", &cx.new_id(), &word).await?;
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
    sender.post_form(uri, form).await
}
