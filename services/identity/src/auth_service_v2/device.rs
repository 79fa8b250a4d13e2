//! For what has no keyboard: a television shows a code, somebody types it where they are signed in (RFC 8628).

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Caller, Ctx, Json, Problem, Tx, args, row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clients::{self, Client};
use super::consent::{allowed, in_words};
use super::form::{Answer, Form, Refused};
use super::rules::{self, CODE_CHARS, Params};
use super::token::Grant;
use super::{DEVICE, sessions, themselves};
use crate::here::Here;
use crate::{Done, hash};

/// How long a code is good, seconds, how many an app may have at a time.
const LASTS_S: i64 = 600;
const CODES_MAX: i64 = 1000;
/// Pause between two questions, seconds; who asks sooner waits so much longer each time.
const PAUSE_S: i64 = 5;
/// Codes that somebody may get wrong in an hour.
const GUESSES_MAX: i64 = 20;
const HOUR_MS: i64 = 3_600_000;
const CODE_LEN: usize = 8;

pub(super) fn routes(api: Api) -> Api {
    api.post("/device_authorization", begin)
        .post("/devices/look", look)
        .post("/devices/allow", allow)
        .post("/devices/deny", deny)
}

/// What a television shows, and asks with.
#[derive(Serialize, JsonSchema)]
struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: i64,
    interval: i64,
}

async fn begin(cx: Ctx, headers: HeaderMap, here: Here, Form(form): Form) -> Answer<Begun> {
    Answer(begun(cx, headers, here, form).await)
}

async fn begun(
    cx: Ctx,
    headers: HeaderMap,
    here: Here,
    form: Result<Params, Refused>,
) -> Result<Begun, Refused> {
    let form = form?;
    let client = clients::authenticate(&cx, &headers, &form).await?;
    client.may(DEVICE)?;
    let scope = client.scope(form.get("scope"))?;
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    let sql = "SELECT COUNT(*) AS n FROM device WHERE client_id = $1 AND ends_ms > $2 AND state IN ('asked', 'allowed')";
    if tx.one::<i64>(sql, args![&client.id, now_ms]).await?.unwrap_or_default() >= CODES_MAX {
        return Err(Problem::unavailable("busy", "too many codes wait", 30).into());
    }
    let device_code = nx_chassis::fresh().map_err(Problem::from)?;
    let code = user_code()?;
    let sql = "INSERT INTO device (hash, user_code, client_id, scope, state, pause_s, polled_ms, ends_ms) \
               VALUES ($1, $2, $3, $4, 'asked', $5, 0, $6)";
    tx.run(sql, args![hash(&device_code), &code, &client.id, scope, PAUSE_S, now_ms + LASTS_S * 1000])
        .await?;
    tx.commit().await?;
    let (one, two) = code.split_at(CODE_LEN / 2);
    let user_code = format!("{one}-{two}");
    Ok(Begun {
        device_code,
        verification_uri: here.to("/device"),
        verification_uri_complete: here.to(&format!("/device?code={user_code}")),
        user_code,
        expires_in: LASTS_S,
        interval: PAUSE_S,
    })
}

/// Letters that nobody guesses in ten minutes.
fn user_code() -> Result<String, Problem> {
    let secret = nx_chassis::fresh()?;
    // 256 random bits; of the last byte that fits evenly, all letters are as likely.
    let bytes = hash(&secret).into_iter().filter(|byte| usize::from(*byte) < 240);
    let letters: String =
        bytes.take(CODE_LEN).map(|byte| char::from(CODE_CHARS[usize::from(byte) % 20])).collect();
    if letters.len() == CODE_LEN { Ok(letters) } else { Err(Problem::internal("no code came of 32 bytes")) }
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Typed {
    #[garde(length(max = 40))]
    user_code: String,
}

/// What somebody is asked.
#[derive(Serialize, JsonSchema)]
struct View {
    app: String,
    wants: Vec<&'static str>,
}

struct Waiting {
    client_id: String,
    scope: String,
}
row!(Waiting { client_id, scope });

async fn look(by: Caller, cx: Ctx, Body(typed): Body<Typed>) -> Result<Json<View>, Problem> {
    themselves(&by)?;
    let code = rules::typed(&typed.user_code);
    guess(&cx, &by.subject).await?;
    let sql = "SELECT client_id, scope FROM device WHERE user_code = $1 AND state = 'asked' AND ends_ms > $2";
    let waiting: Waiting = cx.db().one(sql, args![code, cx.now_ms()]).await?.ok_or_else(unknown)?;
    let client = clients::find(&cx, &waiting.client_id).await?.ok_or_else(unknown)?;
    cx.run("UPDATE guess SET count = count - 1 WHERE person_id = $1", args![&by.subject]).await?;
    Ok(Json(View { app: client.name, wants: in_words(&waiting.scope) }))
}

fn unknown() -> Problem {
    Problem::not_found("no app waits with this code: look at it again, or have the app show a new one")
}

/// Counts a code that somebody types, which is wrong until it turns out to be right.
async fn guess(cx: &Ctx, person: &str) -> Result<(), Problem> {
    let now_ms = cx.now_ms();
    let sql = "INSERT INTO guess AS g (person_id, count, since_ms) VALUES ($1, 1, $2) ON CONFLICT (person_id) DO UPDATE SET \
               count = CASE WHEN g.since_ms <= $3 THEN 1 ELSE g.count + 1 END, \
               since_ms = CASE WHEN g.since_ms <= $3 THEN $2 ELSE g.since_ms END \
               WHERE g.since_ms <= $3 OR g.count < $4";
    match cx.run(sql, args![person, now_ms, now_ms - HOUR_MS, GUESSES_MAX]).await? {
        0 => {
            let text = "too many codes were wrong: wait an hour";
            Err(Problem {
                retry_after_s: Some(3600),
                ..Problem::new(http::StatusCode::TOO_MANY_REQUESTS, "slow-down", text)
            })
        }
        _ => Ok(()),
    }
}

async fn allow(by: Caller, cx: Ctx, mut tx: Tx, Body(typed): Body<Typed>) -> Result<Json<Done>, Problem> {
    let session = themselves(&by)?.to_owned();
    let code = rules::typed(&typed.user_code);
    guess(&cx, &by.subject).await?;
    let signed_in = sessions::read(&cx, &session).await?;
    let sql = "UPDATE device SET state = 'allowed', person_id = $1, session_id = $2, auth_s = $3 \
               WHERE user_code = $4 AND state = 'asked' AND ends_ms > $5 RETURNING client_id, scope";
    let auth_s = signed_in.created_at.0.div_euclid(1000);
    let row = args![&by.subject, session, auth_s, code, cx.now_ms()];
    let Waiting { client_id, scope } = tx.one(sql, row).await?.ok_or_else(unknown)?;
    tx.run("UPDATE guess SET count = count - 1 WHERE person_id = $1", args![&by.subject]).await?;
    allowed(&cx, &mut tx, &by.subject, &client_id, &scope).await?;
    Ok(Json(Done {}))
}

async fn deny(by: Caller, cx: Ctx, Body(typed): Body<Typed>) -> Result<Json<Done>, Problem> {
    themselves(&by)?;
    guess(&cx, &by.subject).await?;
    let sql = "UPDATE device SET state = 'denied' WHERE user_code = $1 AND state = 'asked' AND ends_ms > $2";
    match cx.run(sql, args![rules::typed(&typed.user_code), cx.now_ms()]).await? {
        0 => Err(unknown()),
        _ => Ok(Json(Done {})),
    }
}

struct Polled {
    state: String,
    scope: String,
    person_id: Option<String>,
    session_id: Option<String>,
    auth_s: Option<i64>,
    pause_s: i64,
    polled_ms: i64,
    ends_ms: i64,
}
row!(Polled { state, scope, person_id, session_id, auth_s, pause_s, polled_ms, ends_ms });

/// What became of a code, for the app that asks with it: once it is allowed, the grant, once.
pub(super) async fn redeem(cx: &Ctx, client: &Client, code: &str) -> Result<Grant, Refused> {
    client.may(DEVICE)?;
    let (mut tx, now_ms, hash) = (cx.begin(), cx.now_ms(), hash(code));
    let unknown = || Refused::grant("the code is none, was used, or is another app's");
    let sql = "UPDATE device SET state = CASE WHEN state = 'allowed' THEN 'used' ELSE 'told' END \
               WHERE hash = $1 AND client_id = $2 AND state IN ('allowed', 'denied') AND ends_ms > $3 RETURNING *";
    let done: Option<Polled> = tx.one(sql, args![hash.clone(), &client.id, now_ms]).await?;
    if let Some(Polled { state, scope, person_id, session_id, auth_s, .. }) = done {
        tx.commit().await?;
        let grant = person_id.zip(session_id).zip(auth_s).filter(|_| state == "used");
        let denied = || Refused::new("access_denied", "they have said no");
        let ((person_id, session_id), auth_s) = grant.ok_or_else(denied)?;
        return Ok(Grant { person_id, session_id, scope, nonce: None, auth_s });
    }
    let sql = "SELECT * FROM device WHERE hash = $1 AND client_id = $2";
    let waiting: Option<Polled> = tx.one(sql, args![hash.clone(), &client.id]).await?;
    let waiting = waiting.filter(|waiting| waiting.state == "asked").ok_or_else(unknown)?;
    if waiting.ends_ms <= now_ms {
        return Err(Refused::new("expired_token", "nobody has said yes in time: begin again"));
    }
    let soon = now_ms - waiting.polled_ms < waiting.pause_s * 1000;
    let pause_s = waiting.pause_s + if soon { PAUSE_S } else { 0 };
    let sql = "UPDATE device SET polled_ms = $1, pause_s = $2 WHERE hash = $3";
    tx.run(sql, args![now_ms, pause_s, hash]).await?;
    tx.commit().await?;
    Err(match soon {
        true => Refused::new("slow_down", format!("ask every {pause_s} seconds")),
        false => Refused::new("authorization_pending", "nobody has said yes or no yet"),
    })
}

/// What was redeemed and came to nothing by no fault of the app's may be redeemed again.
pub(super) async fn give_back(cx: &Ctx, code: &str) -> Result<(), Refused> {
    let sql = "UPDATE device SET state = 'allowed' WHERE hash = $1 AND state = 'used'";
    Ok(cx.run(sql, args![hash(code)]).await.map(drop)?)
}
