//! Markers: moments of a broadcast that have a name. The core announces them in the playlist as date ranges, where it is told
//! of them within a minute.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Created, Ctx, Json, List, Page, Path, Problem, Time, Tx};
use nx_contract::announce::Attribute;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rules::{self, Right};
use super::{broadcasts, channels, store};
use crate::Done;

/// Markers of a broadcast, at most.
const MARKERS_MAX: i64 = 500;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels/{id}/broadcasts/{broadcast}/markers", list)
        .post_once("/channels/{id}/broadcasts/{broadcast}/markers", add)
        .delete("/channels/{id}/broadcasts/{broadcast}/markers/{marker}", remove)
}

/// What a marker is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Something begins.
    #[default]
    Chapter,
    /// Somebody pays for it.
    Ad,
    /// Worth to be found again.
    Note,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chapter => "chapter",
            Self::Ad => "ad",
            Self::Note => "note",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Chapter, Self::Ad, Self::Note].into_iter().find(|kind| kind.name() == name)
    }
}

/// Whether players are told of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Announced {
    /// The core is yet to hear of it.
    Waiting,
    /// It stands in the playlist, until its segments leave that.
    Yes,
    /// The core did not take it: nobody sends the stream any more, or it is too long ago.
    No,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Marker {
    /// The same in the playlist.
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) label: String,
    /// On the clock of the playlist.
    pub(super) at: Time,
    announced: Announced,
}

impl nx_chassis::FromRow for Marker {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        let kind: String = row.get("kind")?;
        let announced = match row.get::<i64>("told")? {
            0 => Announced::Waiting,
            1 => Announced::Yes,
            _ => Announced::No,
        };
        Ok(Self {
            id: row.get("id")?,
            kind: Kind::parse(&kind).ok_or(nx_chassis::DbError::Column(kind))?,
            label: row.get("label")?,
            at: row.get("at_ms")?,
            announced,
        })
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewMarker {
    /// What people read, on one line.
    #[garde(length(chars, min = 1, max = 100))]
    label: String,
    #[garde(skip)]
    #[serde(default)]
    kind: Kind,
    /// Between the beginning of the broadcast and now; by default now.
    #[garde(skip)]
    #[serde(default)]
    at: Option<Time>,
}

/// A marker that the core does not know of.
pub(super) struct Untold {
    pub(super) id: String,
    pub(super) stream: String,
    pub(super) kind: String,
    pub(super) label: String,
    pub(super) at_ms: i64,
}
nx_chassis::row!(Untold { id, stream, kind, label, at_ms });

impl Untold {
    /// As the core is told of it: a moment without a length. Quotes would end the attribute.
    pub(super) fn range(&self) -> Value {
        let label = Attribute::Text(self.label.replace('"', "\u{201d}"));
        let class = format!("cos.nexus.{}", self.kind);
        json!({"id": self.id, "class": class, "start": Time(self.at_ms), "duration_ms": 0, "attributes": {"X-LABEL": label}})
    }
}

async fn list(
    by: Caller,
    cx: Ctx,
    Path((id, broadcast)): Path<(String, String)>,
    page: Page,
) -> Result<List<Marker>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Watch).await?;
    let broadcast = broadcasts::of(&cx, &channel, &broadcast).await?;
    Ok(List::of(&page, store::markers(&cx, &broadcast.id, &page).await?, |m: &Marker| &m.id))
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path((id, broadcast)): Path<(String, String)>,
    Body(new): Body<NewMarker>,
) -> Result<Created<Marker>, Problem> {
    let (channel, broadcast) = broadcasts::may(&by, &cx, (&id, &broadcast), Right::Publish).await?;
    let now_ms = cx.now_ms();
    let NewMarker { label, kind, at } = new;
    let label = rules::line(&label).map_err(|e| Problem::invalid("/label", e))?;
    let begun = broadcast.started_at.ok_or_else(|| {
        Problem::conflict("not-begun", "it has not begun: there is no moment of it to mark yet")
    })?;
    let at = at.unwrap_or(Time(now_ms));
    let end = broadcast.ended_at.map_or(now_ms, |end| end.0);
    if !(begun.0..=end).contains(&at.0) {
        return Err(Problem::invalid(
            "/at",
            "is within the broadcast: without it, now, as long as it is on air",
        ));
    }
    channels::hold(&mut tx, &by, &channel.id, Right::Publish).await?;
    if store::count_markers(&mut tx, &broadcast.id).await? >= MARKERS_MAX {
        let text = format!("the broadcast has {MARKERS_MAX} markers: delete those that nobody needs");
        return Err(Problem::conflict("markers-max", text));
    }
    let marker = Marker { id: cx.new_id(), kind, label, at, announced: Announced::Waiting };
    store::add_marker(&mut tx, &broadcast.id, &channel.stream, &marker).await?;
    super::tell(&mut tx).await?;
    Ok(Created { location: marker.id.clone(), body: marker })
}

/// It goes from the list; from the playlist it goes with its segments.
async fn remove(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path([id, broadcast, marker]): Path<[String; 3]>,
) -> Result<Json<Done>, Problem> {
    let (_, broadcast) = broadcasts::may(&by, &cx, (&id, &broadcast), Right::Manage).await?;
    if !store::delete_marker(&mut tx, &broadcast.id, &marker).await? {
        return Err(Problem::not_found("the broadcast has no such marker"));
    }
    Ok(Json(Done {}))
}
