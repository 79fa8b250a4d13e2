//! What can be said of a stream: every fault at once, in words.

use std::collections::BTreeMap;

use bytes::Bytes;
use nx_container::scte35;
use nx_contract::announce::{Attribute, NewCaptions, NewCue, NewDateRange};
use nx_hls::{Announced, Asset, DateRange, Rfc3339, TEXT_BYTES_MAX};
use nx_media::Language;

use super::read::bytes;
use super::{Cue, Range};
use crate::captions::is_tag;

/// What plays interstitials (RFC 8216bis appendix D.2).
const INTERSTITIAL: &str = "com.apple.hls.interstitial";
/// Cues in one request.
const CUES_MAX: usize = 256;
/// Longest time that a cue is shown, milliseconds.
const CUE_MS_MAX: u64 = 60_000;
/// How far in the past and in the future something may begin, milliseconds.
const PAST_MS_MAX: i64 = 60_000;
const FUTURE_MS_MAX: i64 = 24 * 3_600_000;
/// Longest range, milliseconds.
const LENGTH_MS_MAX: u64 = 7 * 24 * 3_600_000;
const ATTRIBUTES_MAX: usize = 32;
const ASSETS_MAX: usize = 32;
/// Longest name, and longest value.
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 2048;
/// Attributes that are made of other fields.
const OWN: [(&str, &str); 5] = [
    ("X-ASSET-URI", "assets"),
    ("X-ASSET-LIST", "assets"),
    ("X-RESUME-OFFSET", "resume_offset_ms"),
    ("X-PLAYOUT-LIMIT", "playout_limit_ms"),
    ("X-RESTRICT", "restrict"),
];

/// Faults found so far.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, good: bool, text: impl FnOnce() -> String) {
        if !good {
            self.0.push(text());
        }
    }

    fn start(&mut self, name: &str, start_ms: Option<i64>, now_ms: i64) -> i64 {
        let at = start_ms.unwrap_or(now_ms);
        self.unless((now_ms - PAST_MS_MAX..=now_ms + FUTURE_MS_MAX).contains(&at), || {
            format!("{name} must be at most {} s in the past and 24 h ahead", PAST_MS_MAX / 1000)
        });
        at
    }

    fn date(&mut self, name: &str, text: Option<&str>, now_ms: i64) -> i64 {
        let read = text.map(Rfc3339::parse);
        if read == Some(None) {
            self.0.push(format!("{name} must be a date such as 2026-11-21T04:00:00.000Z"));
            return now_ms;
        }
        self.start(name, read.flatten(), now_ms)
    }

    fn done<T>(self, good: T) -> Result<T, Vec<String>> {
        if self.0.is_empty() { Ok(good) } else { Err(self.0) }
    }
}

/// The cues of a request.
pub(super) fn cues(new: NewCaptions, now_ms: i64) -> Result<Vec<Cue>, Vec<String>> {
    let mut faults = Faults::default();
    let count = new.cues.len();
    faults.unless((1..=CUES_MAX).contains(&count), || format!("cues must be 1 to {CUES_MAX}, not {count}"));
    let named = new.cues.into_iter().take(CUES_MAX).enumerate();
    let cues = named.map(|(nth, cue)| checked(cue, &format!("cues[{nth}]."), now_ms, &mut faults)).collect();
    faults.done(cues)
}

fn checked(new: NewCue, at: &str, now_ms: i64, faults: &mut Faults) -> Cue {
    let both = new.start.is_some() && new.offset_ms.is_some();
    faults.unless(!both, || format!("{at}start and offset_ms exclude each other"));
    let start_ms = match new.offset_ms {
        Some(offset) if !both => {
            faults.start(&format!("{at}offset_ms"), Some(now_ms.saturating_add(offset)), now_ms)
        }
        _ => faults.date(&format!("{at}start"), new.start.as_deref(), now_ms),
    };
    faults.unless((1..=CUE_MS_MAX).contains(&new.duration_ms), || {
        format!("{at}duration_ms must be 1 to {CUE_MS_MAX}")
    });
    let text = nx_hls::escape(&new.text);
    let some = !new.text.trim().is_empty();
    faults.unless(some, || format!("{at}text must not be empty"));
    faults.unless(text.len() <= TEXT_BYTES_MAX, || {
        format!("{at}text must have at most {TEXT_BYTES_MAX} bytes")
    });
    faults.unless(is_tag(&new.language), || format!("{at}language must be a tag such as en or pt-BR"));
    let name = new.rendition.unwrap_or_else(|| {
        let known = Language::from_tag(&new.language);
        known.map_or_else(|| new.language.clone(), |l| l.name().to_owned())
    });
    faults.unless(is_plain(&name, NAME_BYTES_MAX), || {
        format!("{at}rendition must have 1 to {NAME_BYTES_MAX} bytes without quotes and control characters")
    });
    Cue { start_ms, duration_ms: new.duration_ms, text, language: new.language, name }
}

/// Whether a text may stand between quotes.
fn is_plain(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.contains(|c: char| c.is_control() || c == '"')
}

/// A range of a request.
pub(super) fn range(new: NewDateRange, id: String, now_ms: i64) -> Result<Range, Vec<String>> {
    let mut faults = Faults::default();
    let in_id = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    faults.unless((1..=NAME_BYTES_MAX).contains(&id.len()) && id.bytes().all(in_id), || {
        format!("id must be 1 to {NAME_BYTES_MAX} letters, digits or ._:-")
    });
    let start_ms = faults.date("start", new.start.as_deref(), now_ms);
    let assets = assets(&new, &mut faults);
    let class = new.class.clone().or((!assets.is_empty()).then(|| INTERSTITIAL.to_owned()));
    let interstitial = class.as_deref() == Some(INTERSTITIAL);
    faults.unless(class.as_deref().is_none_or(|c| is_plain(c, NAME_BYTES_MAX)), || {
        format!("class must have 1 to {NAME_BYTES_MAX} bytes without quotes")
    });
    faults.unless(assets.is_empty() || interstitial, || format!("assets go with class {INTERSTITIAL}"));
    lengths(&new, class.is_some(), &mut faults);
    let cue = words("cue", &new.cue, &["PRE", "POST", "ONCE"], &mut faults);
    let both = ["PRE", "POST"].iter().all(|word| new.cue.iter().any(|c| c == word));
    faults.unless(!both, || "cue must not be PRE and POST".into());
    let mut attributes = attributes(&new.attributes, &mut faults);
    if let Some(restrict) = words("restrict", &new.restrict, &["SKIP", "JUMP"], &mut faults) {
        attributes.push(("X-RESTRICT".into(), format!("\"{restrict}\"")));
    }
    for (name, ms) in [("X-RESUME-OFFSET", new.resume_offset_ms), ("X-PLAYOUT-LIMIT", new.playout_limit_ms)] {
        attributes.extend(ms.map(|ms| (name.to_owned(), format!("{}.{:03}", ms / 1000, ms % 1000))));
    }
    let scte35 = &new.scte35;
    let [scte35_out, scte35_in, scte35_cmd] =
        [("out", &scte35.out), ("in", &scte35.back), ("cmd", &scte35.cmd)]
            .map(|(name, text)| section(name, text.as_deref(), &mut faults));
    let twice = new.gap.is_some() && (scte35_out.is_some() || scte35_in.is_some());
    faults.unless(!twice, || "break makes its own sections: leave scte35.out and scte35.in out".into());
    let us = |ms: u64| ms.saturating_mul(1000);
    let range = DateRange {
        class,
        duration_us: new.duration_ms.map(us),
        planned_duration_us: new.gap.map(|b| b.duration_ms).or(new.planned_duration_ms).map(us),
        end_on_next: new.end_on_next,
        auto_return: new.gap.is_some_and(|b| b.auto_return),
        cue,
        scte35_out,
        scte35_in,
        scte35_cmd,
        attributes,
        assets,
        ..DateRange::default()
    };
    let splice = new.gap.map(|b| (event_id(&id), b.auto_return));
    faults.done(Range { range: DateRange { id, ..range }, start_ms, splice })
}

fn lengths(new: &NewDateRange, classed: bool, faults: &mut Faults) {
    let gap = new.gap.map(|b| b.duration_ms);
    for (name, ms) in [
        ("duration_ms", new.duration_ms),
        ("planned_duration_ms", new.planned_duration_ms),
        ("break.duration_ms", gap),
        ("playout_limit_ms", new.playout_limit_ms),
    ] {
        let least = u64::from(name == "break.duration_ms");
        faults.unless(ms.is_none_or(|ms| (least..=LENGTH_MS_MAX).contains(&ms)), || {
            format!("{name} must be {least} to {LENGTH_MS_MAX}")
        });
    }
    faults.unless(gap.is_none() || new.planned_duration_ms.is_none(), || {
        "planned_duration_ms and break.duration_ms exclude each other".into()
    });
    let limited = new.duration_ms.is_some() || gap.is_some();
    faults.unless(!new.end_on_next || (classed && !limited), || {
        "end_on_next needs a class, and excludes duration_ms and break".into()
    });
}

fn words(name: &str, given: &[String], known: &[&str], faults: &mut Faults) -> Option<String> {
    let fit = given.iter().all(|word| known.contains(&word.as_str()));
    faults.unless(fit && given.len() <= known.len(), || format!("{name} must be of {}", known.join(", ")));
    (fit && !given.is_empty()).then(|| given.join(","))
}

fn attributes(given: &BTreeMap<String, Attribute>, faults: &mut Faults) -> Vec<(String, String)> {
    faults.unless(given.len() <= ATTRIBUTES_MAX, || format!("attributes must be at most {ATTRIBUTES_MAX}"));
    let mut all = Vec::new();
    for (name, value) in given.iter().take(ATTRIBUTES_MAX) {
        let in_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
        let good =
            name.starts_with("X-") && (3..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(in_name);
        faults.unless(good, || format!("attributes: {name:.64} must be X- and capitals, digits or -"));
        if let Some((_, field)) = OWN.iter().find(|(own, _)| own == name) {
            faults.0.push(format!("attributes: {name} is made of {field}"));
        }
        let written = match value {
            Attribute::Number(number) => number.to_string(),
            Attribute::Text(text) => format!("\"{text}\""),
        };
        let plain = match value {
            Attribute::Number(number) => number.is_finite() && written.len() <= NAME_BYTES_MAX,
            Attribute::Text(text) => text.is_empty() || is_plain(text, VALUE_BYTES_MAX),
        };
        faults.unless(plain, || {
            format!(
                "attributes: {name:.64} must be a number, or a text without quotes and control characters"
            )
        });
        all.push((name.clone(), written));
    }
    all
}

fn assets(new: &NewDateRange, faults: &mut Faults) -> Vec<Asset> {
    faults.unless(new.assets.len() <= ASSETS_MAX, || format!("assets must be at most {ASSETS_MAX}"));
    let mut all = Vec::new();
    for (nth, asset) in new.assets.iter().take(ASSETS_MAX).enumerate() {
        let web = asset.uri.starts_with("https://") || asset.uri.starts_with("http://");
        let plain = is_plain(&asset.uri, VALUE_BYTES_MAX) && !asset.uri.contains([' ', '\\']);
        faults.unless(web && plain, || format!("assets[{nth}].uri must be an absolute http(s) URL"));
        faults.unless((1..=LENGTH_MS_MAX).contains(&asset.duration_ms), || {
            format!("assets[{nth}].duration_ms must be 1 to {LENGTH_MS_MAX}")
        });
        all.push(Asset { uri: asset.uri.clone(), duration_ms: asset.duration_ms });
    }
    all
}

fn section(name: &str, text: Option<&str>, faults: &mut Faults) -> Option<Bytes> {
    let read = bytes(text?);
    match read.as_ref().map(scte35::parse) {
        Some(Ok(_)) => return read,
        Some(Err(error)) => faults.0.push(format!("scte35.{name}: {error}")),
        None => faults.0.push(format!("scte35.{name} must be hexadecimal digits or base64")),
    }
    None
}

/// Number of the splice event of a range: the same whenever it is told (FNV-1a).
pub(super) fn event_id(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Whether a range only adds to one that is known; what it would change instead.
pub(super) fn adds(known: &Announced, new: &Range) -> Result<(), Vec<String>> {
    let (old, range) = (&known.range, &new.range);
    fn same<T: PartialEq>(old: Option<&T>, new: Option<&T>) -> bool {
        old.is_none() || new.is_none() || old == new
    }
    let mut faults = Faults::default();
    for (name, good) in [
        ("start", known.start_ms == new.start_ms),
        ("class", range.class.is_none() || old.class == range.class),
        ("duration_ms", same(old.duration_us.as_ref(), range.duration_us.as_ref())),
        ("planned_duration_ms", same(old.planned_duration_us.as_ref(), range.planned_duration_us.as_ref())),
        ("end_on_next", old.end_on_next || !range.end_on_next),
        ("cue", same(old.cue.as_ref(), range.cue.as_ref())),
        ("scte35.out", same(old.scte35_out.as_ref(), range.scte35_out.as_ref())),
        ("scte35.cmd", same(old.scte35_cmd.as_ref(), range.scte35_cmd.as_ref())),
        ("assets", old.assets.is_empty() || range.assets.is_empty() || old.assets == range.assets),
    ] {
        faults.unless(good, || format!("{name} of {} was told and stays", old.id));
    }
    faults.unless(!old.end_on_next || range.duration_us.is_none(), || {
        format!("duration_ms: {} lasts until the next of its class (end_on_next)", old.id)
    });
    for (name, value) in &range.attributes {
        let kept = old.attributes.iter().find(|(n, _)| n == name).is_none_or(|(_, v)| v == value);
        faults.unless(kept, || format!("{name} of {} was told and stays", old.id));
    }
    faults.done(())
}
