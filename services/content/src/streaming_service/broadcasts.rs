//! Broadcasts: what a channel has on, had on, and is to have on. Their state follows what the core says of the stream.

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, IfMatch, Job, Json, List, Page, Path, Problem, Tagged, Time, Tx,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::air::{self, Air, Seen, State};
use super::channels::Channel;
use super::core::{self, Sent};
use super::rules::{self, Right};
use super::{BROADCAST_ENDED, BROADCAST_LIVE, BROADCAST_SCHEDULED, channels, store};
use crate::Done;

/// Broadcasts of a channel that are to come, at most.
const SCHEDULED_MAX: i64 = 100;
/// How far ahead one can be planned, milliseconds: a year.
const AHEAD_MS_MAX: i64 = 366 * 24 * 3_600_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels/{id}/broadcasts", list)
        .post_once("/channels/{id}/broadcasts", add)
        .get("/channels/{id}/broadcasts/{broadcast}", read)
        .patch("/channels/{id}/broadcasts/{broadcast}", change)
        .delete("/channels/{id}/broadcasts/{broadcast}", remove)
        .post("/channels/{id}/broadcasts/{broadcast}/start", start)
        .post("/channels/{id}/broadcasts/{broadcast}/end", end)
        .get("/channels/{id}/broadcasts/{broadcast}/health", health)
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Broadcast {
    pub(super) id: String,
    pub(super) channel_id: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) state: State,
    /// When it is to begin; without a time, when the channel is published next.
    pub(super) planned_at: Option<Time>,
    pub(super) started_at: Option<Time>,
    pub(super) ended_at: Option<Time>,
    /// The most that watched at a time.
    pub(super) viewers_peak: i64,
    pub(super) created_at: Time,
    pub(super) version: i64,
    /// When its stream was last known to be sent.
    #[serde(skip)]
    pub(super) seen_ms: i64,
}

impl nx_chassis::FromRow for Broadcast {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        let state: String = row.get("state")?;
        let state = State::parse(&state).ok_or(nx_chassis::DbError::Column(state))?;
        Ok(Self {
            id: row.get("id")?,
            channel_id: row.get("channel_id")?,
            title: row.get("title")?,
            description: row.get("description")?,
            state,
            planned_at: row.get("planned_ms")?,
            started_at: row.get("started_ms")?,
            ended_at: row.get("ended_ms")?,
            viewers_peak: row.get("viewers_peak")?,
            created_at: row.get("at_ms")?,
            version: row.get("version")?,
            seen_ms: row.get("seen_ms")?,
        })
    }
}

impl Broadcast {
    fn new(cx: &Ctx, channel: &Channel, title: &str, description: String, planned_at: Option<Time>) -> Self {
        let title = Some(title.trim()).filter(|t| !t.is_empty()).unwrap_or(&channel.title).to_owned();
        Self {
            id: cx.new_id(),
            channel_id: channel.id.clone(),
            title,
            description,
            state: State::Scheduled,
            planned_at,
            started_at: None,
            ended_at: None,
            viewers_peak: 0,
            created_at: Time(cx.now_ms()),
            version: 1,
            seen_ms: 0,
        }
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewBroadcast {
    /// By default that of the channel.
    #[garde(length(chars, max = 100))]
    #[serde(default)]
    title: String,
    #[garde(length(chars, max = 5000))]
    #[serde(default)]
    description: String,
    /// When it is to begin: it does with an encoder that comes within an hour of it. Without a time it begins when the channel
    /// is published next.
    #[garde(skip)]
    #[serde(default)]
    planned_at: Option<Time>,
}

/// What is not told stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BroadcastChange")]
struct Change {
    #[garde(length(chars, min = 1, max = 100))]
    #[serde(default)]
    title: Option<String>,
    #[garde(length(chars, max = 5000))]
    #[serde(default)]
    description: Option<String>,
    /// Only before it begins.
    #[garde(skip)]
    #[serde(default)]
    planned_at: Option<Time>,
}

/// How a broadcast that is on air goes. What the core does not know is absent.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    state: State,
    /// What the core says of the stream: `live`, `reconnecting`, `slate`, `ended`; absent while it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    bitrate_bps: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fps: Option<f64>,
    /// Distance of the last two key frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_interval_ms: Option<i64>,
    /// What the timeline mended since the stream began.
    repairs: i64,
    /// Seams that viewers saw.
    discontinuities: i64,
    viewers: i64,
    viewers_peak: i64,
    /// What the broadcaster could do better, in words.
    hints: Vec<String>,
}

impl Health {
    fn of(broadcast: &Broadcast, item: &Value) -> Self {
        let number = |at: &str| item.pointer(at).and_then(Value::as_i64).unwrap_or_default();
        let video = item["tracks"].as_array().and_then(|all| all.iter().find(|t| t["kind"] == "video"));
        let hints = item["hints"].as_array().map(Vec::as_slice).unwrap_or_default();
        let viewers = core::viewers(item);
        Self {
            state: broadcast.state,
            stream: item["state"].as_str().map(str::to_owned),
            bitrate_bps: number("/bitrate_bps"),
            fps: video.and_then(|track| track["fps"].as_f64()),
            key_interval_ms: video.and_then(|track| track["key_interval_ms"].as_i64()),
            repairs: number("/repairs/total"),
            discontinuities: number("/discontinuities"),
            viewers,
            viewers_peak: broadcast.viewers_peak.max(viewers),
            hints: hints.iter().filter_map(|hint| hint.as_str().map(str::to_owned)).collect(),
        }
    }
}

/// The latest first.
async fn list(by: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Broadcast>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Watch).await?;
    Ok(List::of(&page, store::broadcasts(&cx, &channel.id, &page).await?, |b: &Broadcast| &b.id))
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    Body(new): Body<NewBroadcast>,
) -> Result<Created<Broadcast>, Problem> {
    channels::may(&by, &cx, &id, Right::Publish).await?;
    let NewBroadcast { title, description, planned_at } = new;
    in_time(planned_at, cx.now_ms())?;
    let channel = channels::hold(&mut tx, &by, &id, Right::Publish).await?;
    if store::scheduled(&mut tx, &channel.id).await?.len() >= SCHEDULED_MAX as usize {
        let text = format!("the channel has {SCHEDULED_MAX} broadcasts to come: delete one first");
        return Err(Problem::conflict("broadcasts-max", text));
    }
    let broadcast = Broadcast::new(&cx, &channel, &title, description, planned_at);
    store::add_broadcast(&mut tx, &broadcast).await?;
    tx.emit(BROADCAST_SCHEDULED, &broadcast.id, &broadcast).await?;
    Ok(Created { location: broadcast.id.clone(), body: broadcast })
}

/// Whether something can be planned for then.
fn in_time(planned: Option<Time>, now_ms: i64) -> Result<(), Problem> {
    let good = |at: Time| (now_ms - air::NOW_MS..=now_ms + AHEAD_MS_MAX).contains(&at.0);
    if planned.is_none_or(good) {
        return Ok(());
    }
    Err(Problem::invalid("/planned_at", "is a time from now on, and within a year"))
}

async fn read(
    by: Caller,
    cx: Ctx,
    Path((id, broadcast)): Path<(String, String)>,
) -> Result<Tagged<Broadcast>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Watch).await?;
    let body = of(&cx, &channel, &broadcast).await?;
    Ok(Tagged { version: body.version, body })
}

async fn change(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, broadcast)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    Body(change): Body<Change>,
) -> Result<Tagged<Broadcast>, Problem> {
    let (_, mut broadcast) = may(&by, &cx, (&id, &broadcast), Right::Publish).await?;
    if let Some(at) = change.planned_at {
        if broadcast.state != State::Scheduled {
            return Err(Problem::conflict("begun", "it has begun: there is no time to plan any more"));
        }
        in_time(Some(at), cx.now_ms())?;
        broadcast.planned_at = Some(at);
    }
    broadcast.title = change.title.map_or(broadcast.title, |title| title.trim().to_owned());
    broadcast.description = change.description.unwrap_or(broadcast.description);
    let body = store::change_broadcast(&mut tx, &broadcast, version).await?;
    Ok(Tagged { version: body.version, body })
}

/// Only what has not begun: what was on air stays in the list.
async fn remove(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, broadcast)): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    let (_, broadcast) = may(&by, &cx, (&id, &broadcast), Right::Manage).await?;
    if !store::unplan(&mut tx, &broadcast.id).await? {
        return Err(Problem::conflict("begun", "it has begun: end it, it stays in the list"));
    }
    Ok(Json(Done {}))
}

/// Begins one with the stream that is there: for an encoder that went on sending after the broadcast before was ended, or came
/// at another time than planned.
async fn start(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, broadcast)): Path<(String, String)>,
) -> Result<Json<Broadcast>, Problem> {
    let (channel, broadcast) = may(&by, &cx, (&id, &broadcast), Right::Publish).await?;
    if !core::is_on(&cx, &channel.stream).await? {
        let text = "nobody publishes the channel: publish it, and it begins by itself or here";
        return Err(Problem::conflict("nobody-publishes", text));
    }
    channels::hold(&mut tx, &by, &channel.id, Right::Publish).await?;
    match store::begin(&mut tx, &broadcast.id, cx.now_ms()).await? {
        Some(begun) => {
            tx.emit(BROADCAST_LIVE, &begun.id, &begun).await?;
            Ok(Json(begun))
        }
        None if broadcast.state == State::Scheduled => {
            Err(Problem::conflict("on-air", "the channel has another broadcast on air: end that first"))
        }
        None => Err(Problem::conflict("begun", "it has begun already: plan another")),
    }
}

/// Ends one, whatever its encoder does; what that goes on sending belongs to none until it comes anew or one is started.
async fn end(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, broadcast)): Path<(String, String)>,
) -> Result<Json<Broadcast>, Problem> {
    let (_, broadcast) = may(&by, &cx, (&id, &broadcast), Right::Publish).await?;
    let ended = store::end_broadcast(&mut tx, &broadcast.id, cx.now_ms()).await?;
    let ended = ended.ok_or_else(|| Problem::conflict("not-on-air", "it is not on air"))?;
    tx.emit(BROADCAST_ENDED, &ended.id, &ended).await?;
    Ok(Json(ended))
}

async fn health(
    by: Caller,
    cx: Ctx,
    Path((id, broadcast)): Path<(String, String)>,
) -> Result<Json<Health>, Problem> {
    let (channel, broadcast) = may(&by, &cx, (&id, &broadcast), Right::Publish).await?;
    if !broadcast.state.is_on_air() {
        return Err(Problem::conflict(
            "not-on-air",
            "it is not on air: only then there is something to tell",
        ));
    }
    let standing = core::standing(&cx, &channel.stream, &HeaderMap::new()).await?;
    Ok(Json(Health::of(&broadcast, &standing.stream)))
}

/// A broadcast of a channel.
pub(super) async fn of(cx: &Ctx, channel: &Channel, id: &str) -> Result<Broadcast, Problem> {
    let found = store::broadcast(cx, &channel.id, id).await?;
    found.ok_or_else(|| Problem::not_found("the channel has no such broadcast"))
}

/// One of a channel that this caller has a right to.
pub(super) async fn may(
    by: &Caller,
    cx: &Ctx,
    (channel, id): (&str, &str),
    wanted: Right,
) -> Result<(Channel, Broadcast), Problem> {
    let channel = channels::may(by, cx, channel, wanted).await?;
    let broadcast = of(cx, &channel, id).await?;
    Ok((channel, broadcast))
}

/// Looks at all streams: what is on air goes on, is away or has ended; where somebody publishes and nothing is on air,
/// something begins.
pub(super) async fn look(cx: Ctx, _: Job) -> Result<(), Problem> {
    let sent = core::sent(&cx).await.ok();
    let on_air = store::on_air(&cx).await?;
    let streams: Vec<String> = on_air.iter().map(store::OnAir::stream).collect();
    if !on_air.is_empty() {
        let mut tx = cx.begin();
        for (of, stream) in on_air.iter().zip(&streams) {
            follow(&mut tx, &of.broadcast, sent.as_ref().map(|all| all.get(stream))).await?;
        }
        tx.commit().await?;
    }
    for (stream, sent) in sent.into_iter().flatten() {
        if rules::is_channel(&stream) && !streams.contains(&stream) {
            follow_new(&cx, &stream, sent).await?;
        }
    }
    Ok(())
}

/// Takes down how it stands with one that is on air, unless somebody has ended it meanwhile.
async fn follow(tx: &mut Tx, of: &Broadcast, sent: Option<Option<&Sent>>) -> Result<(), Problem> {
    let seen = match sent {
        Some(Some(sent)) => Seen::On { since_ms: sent.since_ms },
        Some(None) => Seen::Off,
        None => Seen::Untold,
    };
    let was = Air { state: of.state, seen_ms: of.seen_ms };
    let now = was.look(seen, tx.now_ms());
    if now == was {
        return Ok(());
    }
    let viewers = sent.flatten().map_or(0, |sent| sent.viewers);
    let changed = store::follow(tx, of, now, viewers).await?;
    if let Some(ended) = changed.filter(|broadcast| broadcast.state == State::Ended) {
        tx.emit(BROADCAST_ENDED, &ended.id, &ended).await?;
    }
    Ok(())
}

/// Has a broadcast begin with somebody who publishes a channel that has none on air, unless they went on after one was ended.
async fn follow_new(cx: &Ctx, stream: &str, sent: Sent) -> Result<(), Problem> {
    let Some(channel) = store::of_stream(cx, stream).await? else { return Ok(()) };
    if store::last_end(cx, &channel.id).await? >= sent.since_ms {
        return Ok(());
    }
    let mut tx = cx.begin();
    // Deleted meanwhile: nothing to do.
    if store::hold(&mut tx, &channel.id).await.is_err() {
        return Ok(());
    }
    let scheduled = store::scheduled(&mut tx, &channel.id).await?;
    let planned: Vec<_> = scheduled.iter().map(|b| b.planned_at.map(|at| at.0)).collect();
    let id = match air::begins(&planned, cx.now_ms()).and_then(|nth| scheduled.get(nth)) {
        Some(planned) => planned.id.clone(),
        None => {
            let new = Broadcast::new(cx, &channel, "", String::new(), None);
            store::add_broadcast(&mut tx, &new).await?;
            new.id
        }
    };
    let Some(begun) = store::begin(&mut tx, &id, cx.now_ms()).await? else { return Ok(()) };
    tx.emit(BROADCAST_LIVE, &begun.id, &begun).await?;
    store::forget_broadcasts(&mut tx, &channel.id).await?;
    Ok(tx.commit().await?)
}

/// Ends what a channel that goes has on air, and forgets all it had on.
pub(super) async fn delete_all(tx: &mut Tx, channel: &str) -> Result<(), Problem> {
    let now_ms = tx.now_ms();
    for ended in store::end_broadcasts(tx, channel, now_ms).await? {
        tx.emit(BROADCAST_ENDED, &ended.id, &ended).await?;
    }
    Ok(store::delete_broadcasts(tx, channel).await?)
}
