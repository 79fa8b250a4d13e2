//! What of streams outlives the time that they are kept: recordings and clips.

use serde::{Deserialize, Serialize};

use crate::desired::Fault;

/// How an asset came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All of a time that a stream was on.
    Recording,
    /// Cut out by somebody.
    Clip,
}

/// Life of an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its end is still to come.
    Waiting,
    /// It is all there.
    Ready,
    /// Its end came, and nothing of it was kept.
    Failed,
    /// In the trash: it can be restored until that is emptied.
    Deleted,
}

/// A stretch of a stream that is kept. Dates are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asset {
    /// `UUIDv7`.
    pub id: String,
    /// How it came to be.
    pub kind: Kind,
    /// `APP/STREAM`.
    pub stream: String,
    /// What it is called.
    pub title: String,
    /// Where it begins.
    pub start: String,
    /// Where it ends.
    pub end: String,
    /// When it was made.
    pub created_at: String,
    /// When it goes by itself; null for never.
    pub keep_until: Option<String>,
    /// When it was put into the trash.
    pub deleted_at: Option<String>,
    /// What the segments that it needs weigh on disk; 0 while it waits.
    pub bytes: u64,
    /// How long it plays, without the stream's pauses; milliseconds.
    pub duration_ms: u64,
    /// How far it is.
    pub state: State,
    /// Where it is played as HLS, on an edge or origin; from whole segments.
    pub hls_path: String,
    /// Where it is played as DASH; from whole segments.
    pub dash_path: String,
    /// Where it is had as one MP4, to the frame.
    pub mp4_path: String,
}

/// A time as callers tell it: Unix seconds, or a date.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Moment {
    /// Unix seconds; from now when negative or 0.
    Seconds(f64),
    /// A date of RFC 3339, or seconds as text.
    Text(String),
}

/// A clip that is wanted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCut {
    /// `APP/STREAM`.
    pub stream: String,
    /// Where it begins.
    pub from: Moment,
    /// Where it ends; less than a minute ahead at most.
    pub to: Moment,
    /// What it is called.
    #[serde(default)]
    pub title: Option<String>,
}

/// What can be changed of an asset; what is not told stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AssetChange {
    /// What it is called.
    pub title: Option<String>,
    /// When it goes by itself, a date; null for never.
    #[serde(deserialize_with = "told")]
    pub keep_until: Option<Option<String>>,
}

/// Tells null from nothing.
fn told<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Which assets are wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// At most so many.
    pub limit: usize,
    /// Those behind the last one of the page before.
    pub cursor: Option<String>,
    /// Of this stream.
    pub stream: Option<String>,
    /// That came to be so.
    pub kind: Option<Kind>,
    /// That go on behind this time.
    pub from: Option<Moment>,
    /// That begin before this time.
    pub to: Option<Moment>,
    /// With this in their title or the name of their stream.
    pub words: Option<String>,
    /// Those in the trash, rather than the others.
    pub deleted: bool,
}

/// Assets, those that begin latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As many as were wanted, if there are so many.
    pub items: Vec<Asset>,
    /// Cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// What is taken of the room for what is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Bytes kept.
    pub bytes: u64,
    /// Of them, what belongs to assets.
    pub pinned_bytes: u64,
    /// Bytes that may be kept.
    pub bytes_max: u64,
    /// What belongs to assets fills it: nothing more is kept until some of them go.
    pub full: bool,
    /// Why the disk takes nothing of at least one stream now; null while it takes everything.
    pub fault: Option<RoomFault>,
    /// How long deleted assets can be restored, seconds.
    pub trash_s: u64,
}

/// Why the disk takes nothing. Live streams go on; what is lost is a gap in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomFault {
    /// There is no room, and nothing that may be dropped.
    DiskFull,
    /// It may only be read.
    ReadOnly,
    /// The folder is not there.
    Away,
    /// Something else; the log says what.
    Failing,
}

/// A manifest as JSON, piece by piece; each may take as long as it takes to read a segment. One that breaks off has no
/// signature.
pub type Manifest = Box<dyn Iterator<Item = Result<String, Fault>> + Send>;

/// Whoever keeps them. What changes something returns when the change will outlast a crash: it may wait for the disk.
pub trait Assets: Send + Sync + 'static {
    /// A page of them.
    ///
    /// # Errors
    /// [`Fault::Invalid`] when the cursor or a time is none.
    fn find(&self, wanted: &Wanted) -> Result<Found, Fault>;
    /// One of them.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    fn asset(&self, id: &str) -> Result<Asset, Fault>;
    /// How much room is taken.
    fn room(&self) -> Room;
    /// What is stored of one, hashed, chained and signed.
    ///
    /// # Errors
    /// [`Fault::NotFound`]; [`Fault::Conflict`] while it is not all stored.
    fn manifest(&self, id: &str) -> Result<Manifest, Fault>;
    /// Keeps a stretch; `once` is the caller's idempotency key.
    ///
    /// # Errors
    /// [`Fault`].
    fn cut(&self, new: NewCut, once: Option<&str>) -> Result<Asset, Fault>;
    /// Changes one.
    ///
    /// # Errors
    /// [`Fault`].
    fn change(&self, id: &str, change: AssetChange) -> Result<Asset, Fault>;
    /// Puts one into the trash.
    ///
    /// # Errors
    /// [`Fault`].
    fn delete(&self, id: &str) -> Result<Asset, Fault>;
    /// Takes one out of the trash.
    ///
    /// # Errors
    /// [`Fault`].
    fn restore(&self, id: &str) -> Result<Asset, Fault>;
}
