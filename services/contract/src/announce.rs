//! What is said about a live stream while it runs: captions and date ranges,
//! `/api/streamcore/v1/streams/APP/STREAM/captions` and `…/daterange`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::desired::Fault;

/// Whoever can say something about live streams. `stream` is `APP/STREAM`; `once` is the caller's idempotency key. A
/// call returns when viewers can see what it said, which takes a moment: call it where waiting is allowed.
pub trait Announce: Send + Sync + 'static {
    /// The stream's text renditions.
    ///
    /// # Errors
    /// [`Fault`].
    fn captions(&self, stream: &str) -> Result<Vec<Rendition>, Fault>;
    /// Shows text; gives the rendition of each cue.
    ///
    /// # Errors
    /// [`Fault`].
    fn add_captions(&self, stream: &str, new: NewCaptions, once: Option<&str>) -> Result<Shown, Fault>;

    /// What is announced, oldest first.
    ///
    /// # Errors
    /// [`Fault`].
    fn date_ranges(&self, stream: &str) -> Result<Vec<DateRange>, Fault>;
    /// Announces a stretch of time, or adds to one that is known.
    ///
    /// # Errors
    /// [`Fault`].
    fn add_date_range(&self, stream: &str, new: NewDateRange, once: Option<&str>)
    -> Result<DateRange, Fault>;
    /// Takes back what has not begun, ends what goes on.
    ///
    /// # Errors
    /// [`Fault`].
    fn remove_date_range(&self, stream: &str, id: &str) -> Result<(), Fault>;
}

/// Text to be shown, a batch at a time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCaptions {
    /// At least one.
    pub cues: Vec<NewCue>,
}

/// Text to be shown for a while. What comes later than its segment is shown from the next one on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCue {
    /// When, RFC 3339, on the clock of `EXT-X-PROGRAM-DATE-TIME`.
    #[serde(default)]
    pub start: Option<String>,
    /// Or so many milliseconds from now; below 0 is the past. Without either: now.
    #[serde(default)]
    pub offset_ms: Option<i64>,
    /// How long.
    pub duration_ms: u64,
    /// Plain text; lines are kept.
    pub text: String,
    /// BCP 47, such as `en` or `pt-BR`.
    #[serde(default = "undetermined")]
    pub language: String,
    /// Name of the rendition for people; by default that of the language. Renditions are told apart by name and
    /// language.
    #[serde(default)]
    pub rendition: Option<String>,
}

fn undetermined() -> String {
    "und".into()
}

/// A text rendition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rendition {
    /// Name in URLs: `s1`.
    pub id: String,
    /// For people.
    pub name: String,
    /// BCP 47.
    pub language: String,
    /// It tells sounds as well.
    pub captions: bool,
}

/// Text that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// How many cues.
    pub cues: usize,
    /// The renditions that they went to.
    pub renditions: Vec<Rendition>,
}

/// A stretch of time to be announced.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewDateRange {
    /// Letters, digits and `._:-`; made when absent.
    pub id: Option<String>,
    /// What kind it is; `com.apple.hls.interstitial` for [`NewDateRange::assets`].
    pub class: Option<String>,
    /// When it begins, RFC 3339; now when absent.
    pub start: Option<String>,
    /// Its length.
    pub duration_ms: Option<u64>,
    /// Its length if all goes as planned.
    pub planned_duration_ms: Option<u64>,
    /// It lasts until the next of its class.
    pub end_on_next: bool,
    /// When interstitials are played: `PRE`, `POST`, `ONCE`.
    pub cue: Vec<String>,
    /// `X-…` attributes.
    pub attributes: BTreeMap<String, Attribute>,
    /// Sections that others made.
    pub scte35: Scte35,
    /// A break; its section is made here.
    #[serde(rename = "break")]
    pub gap: Option<Break>,
    /// What is played in the place of the programme.
    pub assets: Vec<Asset>,
    /// Where the programme goes on after interstitials, counted from their beginning; absent: where it would be.
    pub resume_offset_ms: Option<u64>,
    /// Longest time that interstitials play.
    pub playout_limit_ms: Option<u64>,
    /// What viewers may not do meanwhile: `SKIP`, `JUMP`.
    pub restrict: Vec<String>,
}

/// Value of an `X-…` attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attribute {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// `splice_info_section`s, in hexadecimal digits (`0x` in front or not) or base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scte35 {
    /// Leaves the programme.
    pub out: Option<String>,
    /// Comes back to it.
    #[serde(rename = "in")]
    pub back: Option<String>,
    /// Anything else.
    pub cmd: Option<String>,
}

/// A break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// How long.
    pub duration_ms: u64,
    /// The programme comes back by itself.
    #[serde(default = "crate::targets::yes")]
    pub auto_return: bool,
}

/// Something that is played in the place of the programme.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// Absolute URL of a playlist.
    pub uri: String,
    /// Its length.
    pub duration_ms: u64,
}

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DateRange {
    /// Identifier, the same in the playlist.
    pub id: String,
    /// What kind it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What it is doing.
    pub state: RangeState,
    /// RFC 3339.
    pub start: String,
    /// When it is over, RFC 3339, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Its length if all goes as planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_duration_ms: Option<u64>,
    /// Section that leaves the programme, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scte35_out: Option<String>,
    /// How many assets it has.
    pub assets: usize,
}

/// Life of a date range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeState {
    /// Not begun.
    Announced,
    /// It goes on.
    Active,
    /// Over; it stays in playlists until its segments leave them.
    Over,
}
