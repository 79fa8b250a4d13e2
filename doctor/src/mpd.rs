//! Reads a DASH manifest into what the rules need: the tree with what is inherited filled in, and the segments that
//! it lists at a given time.
//!
//! Spec: ISO/IEC 23009-1 §5. Limits: [`BYTES_MAX`], [`NODES_MAX`], [`SEGMENTS_MAX`].

mod forms;
mod read;
mod schema;
mod segments;
mod time;

pub(crate) use schema::flaws;
pub use segments::Segment;
pub(crate) use time::date_time;

/// Longest manifest, in bytes.
pub const BYTES_MAX: usize = 8 << 20;
/// Elements, attributes and texts of one manifest.
pub const NODES_MAX: u32 = 400_000;
/// Segments listed for one representation.
pub const SEGMENTS_MAX: usize = 20_000;

/// The manifest cannot be read at all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MpdError {
    /// Longer than [`BYTES_MAX`].
    #[error("manifest of {0} bytes, at most {BYTES_MAX} are read")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("not UTF-8 from byte {0}")]
    Text(usize),
    /// Not well-formed XML.
    #[error("not XML: {0}")]
    Xml(String),
    /// The root element is another.
    #[error("the root element is {0}, expected MPD of urn:mpeg:dash:schema:mpd:2011")]
    Root(String),
    /// An attribute that does not have the form of its type.
    #[error("{element}@{attribute} is \"{value}\" in line {line}, expected {expected}")]
    Value {
        /// The element.
        element: String,
        /// The attribute.
        attribute: &'static str,
        /// What it says.
        value: String,
        /// What it should be.
        expected: &'static str,
        /// Counted from 1.
        line: u32,
    },
}

/// A whole manifest. Times are in seconds; points in time since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Mpd {
    /// `@type` is `dynamic`.
    pub dynamic: bool,
    /// `@availabilityStartTime`
    pub start_s: Option<f64>,
    /// `@publishTime`
    pub published_s: Option<f64>,
    /// `@minimumUpdatePeriod`
    pub update_s: Option<f64>,
    /// `Location`: where it is had from now on.
    pub location: Option<String>,
    /// `@timeShiftBufferDepth`
    pub depth_s: Option<f64>,
    /// `@suggestedPresentationDelay`
    pub delay_s: Option<f64>,
    /// `@minBufferTime`
    pub buffer_s: f64,
    /// `@mediaPresentationDuration`
    pub duration_s: Option<f64>,
    /// `UTCTiming`: scheme and value.
    pub clocks: Vec<(String, String)>,
    /// `ServiceDescription/Latency`
    pub latency: Option<Latency>,
    /// In order.
    pub periods: Vec<Period>,
}

/// `ServiceDescription/Latency`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// `@target`
    pub target_s: f64,
    /// `@min`
    pub min_s: Option<f64>,
    /// `@max`
    pub max_s: Option<f64>,
}

/// One period.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    /// `@id`
    pub id: Option<String>,
    /// `@start`, or the end of the one before, or 0 for the first; `None` for an early available period.
    pub start_s: Option<f64>,
    /// `@duration`
    pub duration_s: Option<f64>,
    /// In order.
    pub sets: Vec<Set>,
    /// Line in the text.
    pub line: u32,
}

/// One adaptation set.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// `@segmentAlignment`
    pub aligned: bool,
    /// `@startWithSAP` of the set or a representation.
    pub start_with_sap: Option<u32>,
    /// Schemes of `InbandEventStream`, of the set and its representations.
    pub events: Vec<String>,
    /// `ProducerReferenceTime` is there.
    pub producer_time: bool,
    /// In order.
    pub representations: Vec<Representation>,
    /// Line in the text.
    pub line: u32,
}

/// One representation, with what it inherits.
#[derive(Debug, Clone, PartialEq)]
pub struct Representation {
    /// `@id`
    pub id: String,
    /// `@bandwidth` in bits a second.
    pub bandwidth_bps: u64,
    /// `@codecs`
    pub codecs: Option<String>,
    /// `@mimeType`
    pub mime: Option<String>,
    /// `@width` and `@height`
    pub size: Option<(u32, u32)>,
    /// How its segments are named; `None` with another scheme than `SegmentTemplate`.
    pub template: Option<Template>,
    /// What relative addresses are relative to.
    pub base: String,
    /// Line in the text.
    pub line: u32,
}

/// `SegmentTemplate`, merged from all levels.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// `@media`
    pub media: String,
    /// `@initialization`
    pub initialization: Option<String>,
    /// Ticks in a second; never 0.
    pub timescale: u64,
    /// `@duration` in ticks.
    pub duration: Option<u64>,
    /// `@startNumber`
    pub start_number: u64,
    /// `@presentationTimeOffset` in ticks.
    pub offset: u64,
    /// `@availabilityTimeOffset` in seconds; may be infinite.
    pub early_s: f64,
    /// `@availabilityTimeComplete`
    pub complete: bool,
    /// `SegmentTimeline`
    pub timeline: Option<Vec<Entry>>,
}

/// `S` of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// `@t`; `None` continues the one before.
    pub t: Option<u64>,
    /// `@d`
    pub d: u64,
    /// `@r`; negative repeats to the next.
    pub r: i64,
    /// Line in the text.
    pub line: u32,
}

impl Mpd {
    /// Reads the text found at `url`.
    ///
    /// # Errors
    ///
    /// [`MpdError`] when the rules have nothing to look at.
    pub fn read(url: &str, data: &[u8]) -> Result<Self, MpdError> {
        read::document(url, text(data)?)
    }

    /// All representations with their period and set.
    pub fn representations(&self) -> impl Iterator<Item = (&Period, &Set, &Representation)> {
        let sets = self.periods.iter().flat_map(|p| p.sets.iter().map(move |s| (p, s)));
        sets.flat_map(|(p, s)| s.representations.iter().map(move |r| (p, s, r)))
    }
}

/// The bytes as text, within bounds.
pub(crate) fn text(data: &[u8]) -> Result<&str, MpdError> {
    if data.len() > BYTES_MAX {
        return Err(MpdError::TooLong(data.len()));
    }
    let data = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    std::str::from_utf8(data).map_err(|e| MpdError::Text(e.valid_up_to()))
}

#[cfg(test)]
mod tests;
