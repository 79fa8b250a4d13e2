//! Clips: stretches of a broadcast that the core keeps as assets. Whose channel it is cuts them.

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Caller, Created, Ctx, Json, List, Page, Path, Problem, Time, Tx, hex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::broadcasts::Broadcast;
use super::core::{self, Cut};
use super::rules::{self, Right};
use super::{broadcasts, channels, store};
use crate::Done;

/// Clips of a broadcast, at most: what they hold stays on the disk.
const CLIPS_MAX: i64 = 50;
/// Longest clip, milliseconds.
const CLIP_MS_MAX: i64 = 3_600_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels/{id}/broadcasts/{broadcast}/clips", list)
        .post_once("/channels/{id}/broadcasts/{broadcast}/clips", add)
        .delete("/channels/{id}/broadcasts/{broadcast}/clips/{clip}", remove)
}

/// Its addresses are paths on an edge or the origin; those of a channel for members open with a token of its playback, as its
/// picture does.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Clip {
    /// That of the asset.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) created_at: Time,
    pub(super) hls_path: String,
    pub(super) dash_path: String,
    pub(super) mp4_path: String,
}

impl nx_chassis::FromRow for Clip {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        Ok(Self {
            id: row.get("id")?,
            title: row.get("title")?,
            from: row.get("from_ms")?,
            to: row.get("to_ms")?,
            created_at: row.get("at_ms")?,
            hls_path: row.get("hls")?,
            dash_path: row.get("dash")?,
            mp4_path: row.get("mp4")?,
        })
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewClip {
    /// By default that of the broadcast.
    #[garde(length(chars, max = 100))]
    #[serde(default)]
    title: String,
    /// Where it begins, within the broadcast.
    #[garde(skip)]
    #[serde(default)]
    from: Option<Time>,
    /// Where it ends, an hour later at most.
    #[garde(skip)]
    #[serde(default)]
    to: Option<Time>,
    /// In place of both: so much of what the broadcast has had up to now, or to its end. Seconds.
    #[garde(range(min = 1, max = CLIP_MS_MAX / 1000))]
    #[serde(default)]
    last_s: Option<i64>,
}

impl NewClip {
    /// From when to when, within the broadcast.
    fn stretch(&self, of: &Broadcast, now_ms: i64) -> Result<(Time, Time), Problem> {
        let wrong = |at: &str, text: &str| Err(Problem::invalid(at, text));
        let Some(begun) = of.started_at else { return wrong("/from", "the broadcast has not begun") };
        let end = of.ended_at.map_or(now_ms, |end| end.0);
        let (from, to) = match (self.from, self.to, self.last_s) {
            (None, None, Some(last_s)) => (Time(begun.0.max(end - last_s * 1000)), Time(end)),
            (Some(from), Some(to), None) => (from, to),
            _ => return wrong("/from", "goes with to, or last_s stands in place of both"),
        };
        if !(begun.0..=end).contains(&from.0) {
            return wrong("/from", "is within the broadcast");
        }
        if to <= from || to.0 > end || to.0 - from.0 > CLIP_MS_MAX {
            return wrong("/to", "is behind from, by an hour at most, and within the broadcast");
        }
        Ok((from, to))
    }
}

/// The latest first.
async fn list(
    by: Caller,
    cx: Ctx,
    Path((id, broadcast)): Path<(String, String)>,
    page: Page,
) -> Result<List<Clip>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Watch).await?;
    let broadcast = broadcasts::of(&cx, &channel, &broadcast).await?;
    Ok(List::of(&page, store::clips(&cx, &broadcast.id, &page).await?, |clip: &Clip| &clip.id))
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    headers: HeaderMap,
    Path((id, broadcast)): Path<(String, String)>,
    Body(new): Body<NewClip>,
) -> Result<Created<Clip>, Problem> {
    by.must_be(nx_contract::identity::CREATOR)?;
    let (channel, broadcast) = broadcasts::may(&by, &cx, (&id, &broadcast), Right::Publish).await?;
    let title = Some(new.title.trim()).filter(|t| !t.is_empty()).unwrap_or(&broadcast.title);
    let title = rules::line(title).map_err(|e| Problem::invalid("/title", e))?;
    let (from, to) = new.stretch(&broadcast, cx.now_ms())?;
    if store::count_clips(&cx, &broadcast.id).await? >= CLIPS_MAX {
        let text = format!("the broadcast has {CLIPS_MAX} clips, and room for no more");
        return Err(Problem::conflict("clips-max", text));
    }
    // Tried again, it is the same clip.
    let key = headers.get("idempotency-key").map(http::HeaderValue::as_bytes).unwrap_or_default();
    let once =
        hex(&Sha256::digest([by.subject.as_bytes(), b"|", broadcast.id.as_bytes(), b"|", key].concat()));
    let cut = Cut { stream: &channel.stream, from, to, title: &title };
    let made = core::cut(&cx, &cut, &once).await?;
    let clip = Clip {
        id: made.id,
        title,
        from,
        to,
        created_at: Time(cx.now_ms()),
        hls_path: made.hls_path,
        dash_path: made.dash_path,
        mp4_path: made.mp4_path,
    };
    store::add_clip(&mut tx, &broadcast.id, &clip).await?;
    Ok(Created { location: clip.id.clone(), body: clip })
}

/// The core puts its asset into the trash: until that is emptied, an operator can restore it there.
async fn remove(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path([id, broadcast, clip]): Path<[String; 3]>,
) -> Result<Json<Done>, Problem> {
    let (_, broadcast) = broadcasts::may(&by, &cx, (&id, &broadcast), Right::Manage).await?;
    if !store::has_clip(&cx, &broadcast.id, &clip).await? {
        return Err(Problem::not_found("the broadcast has no such clip"));
    }
    // What is not done here after that is done when it is tried again: it is deleted there then.
    core::drop_asset(&cx, &clip).await?;
    store::delete_clip(&mut tx, &broadcast.id, &clip).await?;
    Ok(Json(Done {}))
}
