//! What the schema of a manifest allows as attributes, and in which form (ISO/IEC 23009-1 annex B).

use super::time;

/// The form of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Any,
    Uint,
    Ulong,
    Integer,
    Double,
    Bool,
    Duration,
    DateTime,
    Language,
    /// `16:9`
    Ratio,
    /// `30`, `30000/1001`
    Rate,
    /// One or two sampling rates.
    Rates,
    /// Type of a stream access point, 0 to 6.
    Sap,
    /// No white space.
    Word,
    OneOf(&'static [&'static str]),
}

use Form::{
    Any, Bool, DateTime, Double, Duration, Integer, Language, OneOf, Rate, Rates, Ratio, Sap, Uint, Ulong,
    Word,
};

type Attributes = &'static [(&'static str, Form)];

const MPD: Attributes = &[
    ("id", Any),
    ("profiles", Any),
    ("type", OneOf(&["static", "dynamic"])),
    ("availabilityStartTime", DateTime),
    ("availabilityEndTime", DateTime),
    ("publishTime", DateTime),
    ("mediaPresentationDuration", Duration),
    ("minimumUpdatePeriod", Duration),
    ("minBufferTime", Duration),
    ("timeShiftBufferDepth", Duration),
    ("suggestedPresentationDelay", Duration),
    ("maxSegmentDuration", Duration),
    ("maxSubsegmentDuration", Duration),
];

const PERIOD: Attributes =
    &[("id", Any), ("start", Duration), ("duration", Duration), ("bitstreamSwitching", Bool)];

/// Of sets and representations alike.
const BASE: Attributes = &[
    ("profiles", Any),
    ("width", Uint),
    ("height", Uint),
    ("sar", Ratio),
    ("frameRate", Rate),
    ("audioSamplingRate", Rates),
    ("mimeType", Any),
    ("segmentProfiles", Any),
    ("codecs", Word),
    ("containerProfiles", Any),
    ("maximumSAPPeriod", Double),
    ("startWithSAP", Sap),
    ("maxPlayoutRate", Double),
    ("codingDependency", Bool),
    ("scanType", OneOf(&["progressive", "interlaced", "unknown"])),
    ("selectionPriority", Uint),
    ("tag", Any),
];

const SET: Attributes = &[
    ("id", Uint),
    ("group", Uint),
    ("lang", Language),
    ("contentType", OneOf(&["text", "image", "audio", "video", "application", "font"])),
    ("par", Ratio),
    ("minBandwidth", Uint),
    ("maxBandwidth", Uint),
    ("minWidth", Uint),
    ("maxWidth", Uint),
    ("minHeight", Uint),
    ("maxHeight", Uint),
    ("minFrameRate", Rate),
    ("maxFrameRate", Rate),
    ("segmentAlignment", Bool),
    ("subsegmentAlignment", Bool),
    ("subsegmentStartsWithSAP", Sap),
    ("bitstreamSwitching", Bool),
    ("initializationSetRef", Any),
    ("initializationPrincipal", Any),
];

const REPRESENTATION: Attributes = &[
    ("id", Word),
    ("bandwidth", Uint),
    ("qualityRanking", Uint),
    ("dependencyId", Any),
    ("associationId", Any),
    ("associationType", Any),
    ("mediaStreamStructureId", Any),
];

const TEMPLATE: Attributes = &[
    ("timescale", Uint),
    ("eptDelta", Integer),
    ("pdDelta", Integer),
    ("presentationTimeOffset", Ulong),
    ("presentationDuration", Ulong),
    ("timeShiftBufferDepth", Duration),
    ("indexRange", Word),
    ("indexRangeExact", Bool),
    ("availabilityTimeOffset", Double),
    ("availabilityTimeComplete", Bool),
    ("duration", Uint),
    ("startNumber", Uint),
    ("endNumber", Uint),
    ("media", Any),
    ("index", Any),
    ("initialization", Any),
    ("bitstreamSwitching", Any),
];

const DESCRIPTOR: Attributes = &[("schemeIdUri", Any), ("value", Any), ("id", Any)];
const EVENTS: Attributes =
    &[("schemeIdUri", Any), ("value", Any), ("timescale", Uint), ("presentationTimeOffset", Ulong)];
const LATENCY: Attributes = &[("referenceId", Uint), ("target", Uint), ("max", Uint), ("min", Uint)];
const PRODUCER: Attributes = &[
    ("id", Uint),
    ("inband", Bool),
    ("type", OneOf(&["encoder", "captured", "application"])),
    ("applicationScheme", Any),
    ("wallClockTime", Any),
    ("presentationTime", Ulong),
];

/// Attributes of an element; `None` for one whose attributes are not judged.
fn of(element: &str) -> Option<[Attributes; 2]> {
    let own = match element {
        "MPD" => MPD,
        "Period" => PERIOD,
        "AdaptationSet" => return Some([BASE, SET]),
        "Representation" => return Some([BASE, REPRESENTATION]),
        "SegmentTemplate" => TEMPLATE,
        "SegmentTimeline" => &[],
        "S" => &[("t", Ulong), ("n", Ulong), ("d", Ulong), ("r", Integer), ("k", Ulong)],
        "UTCTiming"
        | "Role"
        | "Accessibility"
        | "AudioChannelConfiguration"
        | "EssentialProperty"
        | "SupplementalProperty" => DESCRIPTOR,
        "InbandEventStream" | "EventStream" => EVENTS,
        "ServiceDescription" => &[("id", Uint)],
        "Latency" => LATENCY,
        "PlaybackRate" => &[("max", Double), ("min", Double)],
        "ProducerReferenceTime" => PRODUCER,
        "Label" => &[("id", Uint), ("lang", Language)],
        _ => return None,
    };
    Some([own, &[]])
}

/// What is wrong with an attribute of an element, if anything.
pub(super) fn flaw(element: &str, name: &str, value: &str) -> Option<String> {
    let known = of(element)?;
    match known.into_iter().flatten().find(|(known, _)| *known == name) {
        None => Some(format!("{element} has no @{name}")),
        Some((_, form)) if form.fits(value) => None,
        Some((_, form)) => Some(format!("@{name} of {element} is {value:?}, not {}", form.words())),
    }
}

impl Form {
    fn fits(self, value: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // White space around the value belongs to it in the types that are strings.
        let value = if matches!(self, Word | OneOf(_)) { value } else { value.trim() };
        match self {
            Any => true,
            Uint => value.parse::<u32>().is_ok(),
            Ulong => value.parse::<u64>().is_ok(),
            Integer => value.parse::<i64>().is_ok(),
            // XML writes INF; "inf", "nan" and "infinity" are Rust's.
            Double => {
                let plain = value.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
                matches!(value, "INF" | "-INF" | "NaN") || plain && value.parse::<f64>().is_ok()
            }
            Bool => matches!(value, "true" | "false" | "1" | "0"),
            Duration => time::duration(value).is_some(),
            DateTime => time::date_time(value).is_some(),
            Language => {
                let mut tags = value.split('-');
                let first = tags.next().unwrap_or_default();
                (1..=8).contains(&first.len())
                    && first.bytes().all(|b| b.is_ascii_alphabetic())
                    && tags
                        .all(|t| (1..=8).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric()))
            }
            Ratio => value.split_once(':').is_some_and(|(a, b)| digits(a) && digits(b)),
            Rate => match value.split_once('/') {
                Some((num, den)) => digits(num) && digits(den) && !den.starts_with('0'),
                None => digits(value),
            },
            Rates => {
                let rates: Vec<_> = value.split_ascii_whitespace().collect();
                matches!(rates.len(), 1 | 2) && rates.iter().all(|r| r.parse::<u32>().is_ok())
            }
            Sap => value.parse::<u32>().is_ok_and(|sap| sap <= 6),
            Word => !value.contains(char::is_whitespace),
            OneOf(values) => values.contains(&value),
        }
    }

    fn words(self) -> String {
        let words = match self {
            Any => "a string",
            Uint => "a whole number below 2^32",
            Ulong => "a whole number below 2^64",
            Integer => "a whole number",
            Double => "a number",
            Bool => "true or false",
            Duration => "a duration such as PT2.5S",
            DateTime => "a date and time",
            Language => "a language tag",
            Ratio => "a ratio such as 16:9",
            Rate => "a frame rate such as 30000/1001",
            Rates => "one or two sampling rates",
            Sap => "0 to 6",
            Word => "one word",
            OneOf(values) => return format!("one of {}", values.join(", ")),
        };
        words.to_owned()
    }
}
