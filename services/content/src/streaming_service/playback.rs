//! Watching: addresses of a channel, with a token where it is for members.
//!
//! A token stands on a lease of session-mgr, of which its holder says every twenty seconds that it is still used
//! (`PUT /api/session-mgr/v1/playback-leases/ID`). When the lease is over, so is the token, and all that were given after it.

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Caller, Ctx, Json, Path, Problem, ShownOnce, Time, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::channels::Channel;
use super::core::{self, Urls};
use super::rules::{self, Right};
use super::{PLAYBACK_GRANTED, channels, store};
use crate::Done;

/// Tokens that one person is given in as long as a token holds: each that is taken back is remembered on every edge.
const GIVEN_MAX: i64 = 200;

pub(super) fn routes(api: Api) -> Api {
    api.post_once("/channels/{id}/playback", watch)
        .post_once("/channels/{id}/playback/{token}", renew)
        .delete("/channels/{id}/playback", end)
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Watch {}

/// Where to watch.
#[derive(Serialize, JsonSchema)]
struct Playback {
    stream: String,
    urls: Urls,
    /// What opens them; absent where nothing has to. It is in the addresses already.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Token>,
}

#[derive(Serialize, JsonSchema)]
struct Token {
    token: String,
    id: String,
    expires_at: Time,
    /// How long it holds from now, seconds. Half of that is a good time for another: POST …/playback/ID.
    lasts_s: u32,
    /// To be put again every twenty seconds.
    lease_id: String,
}

/// A token that was given out.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub(super) token_id: &'a str,
    pub(super) user_id: &'a str,
    pub(super) session_id: Option<&'a str>,
    pub(super) lease_id: &'a str,
    pub(super) ends_ms: i64,
}

#[derive(Deserialize)]
struct Lease {
    id: String,
}

async fn watch(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    headers: HeaderMap,
    Path(id): Path<String>,
    Body(Watch {}): Body<Watch>,
) -> Result<ShownOnce<Json<Playback>>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Watch).await?;
    let stream = channel.stream.clone();
    if !channel.members_only {
        let urls = core::open_urls(&cx, &stream, &headers).await?;
        return Ok(ShownOnce(Json(Playback { stream, urls, token: None })));
    }
    still_signed_in(&by, &cx).await?;
    let wish = json!({"stream": stream, "user_id": by.subject});
    let lease: Lease = cx.call("session-mgr")?.post("/v1/playback-leases", &cx.new_id(), &wish).await?;
    let lease_path = format!("/v1/playback-leases/{}", lease.id);
    match grant(&cx, &mut tx, &by, &channel, lease.id, &headers).await {
        Ok(playback) => Ok(ShownOnce(Json(playback))),
        Err(problem) => {
            // It would run out by itself in a minute.
            let _ = cx.call("session-mgr")?.delete(&lease_path).await;
            Err(problem)
        }
    }
}

/// Gives who watches another token on the same lease, before the one that they have runs out: the seat stays theirs, and the
/// picture does not stand still.
async fn renew(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    headers: HeaderMap,
    Path((id, token)): Path<(String, String)>,
    Body(Watch {}): Body<Watch>,
) -> Result<ShownOnce<Json<Playback>>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Watch).await?;
    still_signed_in(&by, &cx).await?;
    let lease = store::lease_of(&cx, &channel.id, &by.subject, &token).await?;
    let lease = lease
        .ok_or_else(|| Problem::not_found("nobody of your name watches this channel with that token"))?;
    Ok(ShownOnce(Json(grant(&cx, &mut tx, &by, &channel, lease, &headers).await?)))
}

/// What somebody bears may be some minutes older than the end of their session.
async fn still_signed_in(by: &Caller, cx: &Ctx) -> Result<(), Problem> {
    let Some(session) = &by.session else { return Ok(()) };
    let ended = |_| Problem::unauthorized("this session is over: sign in again");
    let found = cx.call("session-mgr")?.get::<serde_json::Value>(&format!("/v1/sessions/{session}")).await;
    found.map(drop).map_err(|e| if e.status.is_client_error() { ended(()) } else { e })
}

/// Gives out a token that stands on a lease. Nobody sees it before all else is well.
async fn grant(
    cx: &Ctx,
    tx: &mut Tx,
    by: &Caller,
    channel: &Channel,
    lease_id: String,
    headers: &HeaderMap,
) -> Result<Playback, Problem> {
    if store::count_given(cx, &by.subject).await? >= GIVEN_MAX {
        let text = "you have begun to watch too often in the last hours: come again later";
        return Err(Problem::new(http::StatusCode::TOO_MANY_REQUESTS, "too-often", text));
    }
    let made = core::make_token(cx, channel, &by.subject).await?;
    let ends_ms = cx.now_ms() + i64::from(channel.token_s) * 1000;
    let given = Given {
        token_id: &made.id,
        user_id: &by.subject,
        session_id: by.session.as_deref(),
        lease_id: &lease_id,
        ends_ms,
    };
    give(tx, by, channel, &given).await?;
    let told = json!({"channel_id": channel.id, "user_id": by.subject, "lease_id": lease_id});
    tx.emit(PLAYBACK_GRANTED, &made.id, &told).await?;
    let urls = made.urls.reached(headers);
    let token = Token {
        token: made.token,
        id: made.id,
        expires_at: Time(ends_ms),
        lasts_s: channel.token_s,
        lease_id,
    };
    Ok(Playback { stream: channel.stream.clone(), urls, token: Some(token) })
}

/// Writes down a token that is given out, unless somebody has been sent away meanwhile: whoever does that waits here, or has
/// been.
async fn give(tx: &mut Tx, by: &Caller, channel: &Channel, given: &Given<'_>) -> Result<(), Problem> {
    let shut = store::person(tx, &by.subject).await?.shut;
    let over = store::has_ended(tx, given.lease_id, given.session_id.unwrap_or_default()).await?;
    let now = store::hold(tx, &channel.id).await?;
    if (&now.networks, now.token_s) != (&channel.networks, channel.token_s) {
        return Err(Problem::unavailable("changed", "the channel has another policy now: ask again", 1));
    }
    let tie = store::tie_in(tx, &now, &by.subject).await?;
    if shut || over || rules::right(tie, by, now.members_only).is_none() {
        return Err(Problem::not_found("there is no such channel, or it is not for you"));
    }
    Ok(store::give(tx, &channel.id, given).await.map(drop)?)
}

/// Sends everybody away who watches with a token; members come back with another.
async fn end(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Manage).await?;
    store::hold(&mut tx, &channel.id).await?;
    store::end_all(&mut tx, &channel.id, "everybody was sent away").await?;
    Ok(Json(Done {}))
}
