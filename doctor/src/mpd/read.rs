//! The tree of a manifest, with inheritance (ISO/IEC 23009-1 §5.3).

use reqwest::Url;
use roxmltree::{Document, Node, ParsingOptions};

use super::time::{date_time, duration};
use super::{Entry, Latency, Mpd, MpdError, NODES_MAX, Period, Representation, Set, Template};

const NAMESPACE: &str = "urn:mpeg:dash:schema:mpd:2011";

/// Parses XML without a document type, within bounds.
pub(crate) fn xml(text: &str) -> Result<Document<'_>, MpdError> {
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|e| MpdError::Xml(e.to_string()))
}

/// An element with typed access to its attributes.
#[derive(Clone, Copy)]
struct At<'a, 'i>(Node<'a, 'i>);

impl<'a, 'i> At<'a, 'i> {
    fn children(self, name: &'static str) -> impl Iterator<Item = Self> + 'a
    where
        'i: 'a,
    {
        self.0.children().filter(move |n| n.is_element() && n.tag_name().name() == name).map(At)
    }

    fn child(self, name: &'static str) -> Option<Self> {
        self.children(name).next()
    }

    fn text(self, name: &str) -> Option<String> {
        self.0.attribute(name).map(str::to_owned)
    }

    fn line(self) -> u32 {
        line(self.0)
    }

    /// An attribute by its reader.
    fn get<T>(
        self,
        name: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, MpdError> {
        let Some(value) = self.0.attribute(name) else { return Ok(None) };
        let fault = || MpdError::Value {
            element: self.0.tag_name().name().to_owned(),
            attribute: name,
            value: value.chars().take(80).collect(),
            expected,
            line: self.line(),
        };
        read(value.trim()).map(Some).ok_or_else(fault)
    }

    fn duration(self, name: &'static str) -> Result<Option<f64>, MpdError> {
        self.get(name, "a duration such as PT2.5S", duration)
    }

    fn date(self, name: &'static str) -> Result<Option<f64>, MpdError> {
        self.get(name, "a date and time such as 2026-01-31T12:00:00Z", date_time)
    }

    fn number(self, name: &'static str) -> Result<Option<u64>, MpdError> {
        self.get(name, "a number", |v| v.parse().ok())
    }

    fn truth(self, name: &'static str) -> Result<Option<bool>, MpdError> {
        self.get(name, "true or false", |v| match v {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    /// The address that `BaseURL` leads to from `base`.
    fn base(self, base: &str) -> String {
        let Some(given) = self.child("BaseURL").and_then(|b| b.0.text()) else { return base.to_owned() };
        join(base, given.trim())
    }
}

pub(crate) fn line(node: Node<'_, '_>) -> u32 {
    node.document().text_pos_at(node.range().start).row
}

/// `relative` as seen from `base`; itself when they do not make an address.
pub(crate) fn join(base: &str, relative: &str) -> String {
    let joined = Url::parse(base).and_then(|b| b.join(relative));
    joined.map_or_else(|_| relative.to_owned(), String::from)
}

pub(crate) fn document(url: &str, text: &str) -> Result<Mpd, MpdError> {
    let document = xml(text)?;
    let root = document.root_element();
    if root.tag_name().name() != "MPD" || root.tag_name().namespace() != Some(NAMESPACE) {
        let name = root.tag_name();
        return Err(MpdError::Root(format!(
            "{} of {}",
            name.name(),
            name.namespace().unwrap_or("no namespace")
        )));
    }
    let at = At(root);
    let latency = at.children("ServiceDescription").find_map(|s| s.child("Latency"));
    let base = at.base(url);
    let mut mpd = Mpd {
        dynamic: root.attribute("type") == Some("dynamic"),
        start_s: at.date("availabilityStartTime")?,
        published_s: at.date("publishTime")?,
        update_s: at.duration("minimumUpdatePeriod")?,
        location: at.child("Location").and_then(|l| l.0.text()).map(|to| join(url, to.trim())),
        depth_s: at.duration("timeShiftBufferDepth")?,
        delay_s: at.duration("suggestedPresentationDelay")?,
        buffer_s: at.duration("minBufferTime")?.unwrap_or(0.0),
        duration_s: at.duration("mediaPresentationDuration")?,
        clocks: at
            .children("UTCTiming")
            .map(|c| (c.text("schemeIdUri").unwrap_or_default(), c.text("value").unwrap_or_default()))
            .collect(),
        latency: latency.map(self::latency).transpose()?.flatten(),
        periods: Vec::new(),
    };
    let mut end = Some(0.0);
    for node in at.children("Period") {
        let start_s = node.duration("start")?.or(end);
        let duration_s = node.duration("duration")?;
        end = start_s.zip(duration_s).map(|(s, d)| s + d);
        let (base, template) = (node.base(&base), node.child("SegmentTemplate"));
        let sets =
            node.children("AdaptationSet").map(|s| set(s, &base, template)).collect::<Result<_, _>>()?;
        mpd.periods.push(Period { id: node.text("id"), start_s, duration_s, sets, line: node.line() });
    }
    Ok(mpd)
}

fn latency(at: At<'_, '_>) -> Result<Option<Latency>, MpdError> {
    let seconds = |name| Ok::<_, MpdError>(at.number(name)?.map(|ms| ms as f64 / 1000.0));
    let Some(target_s) = seconds("target")? else { return Ok(None) };
    Ok(Some(Latency { target_s, min_s: seconds("min")?, max_s: seconds("max")? }))
}

fn set(at: At<'_, '_>, base: &str, above: Option<At<'_, '_>>) -> Result<Set, MpdError> {
    let base = at.base(base);
    let templates = [above, at.child("SegmentTemplate")];
    let nodes: Vec<At<'_, '_>> = at.children("Representation").collect();
    let mut representations = Vec::new();
    for node in &nodes {
        let text = |name| node.text(name).or_else(|| at.text(name));
        let side = |name| Ok::<_, MpdError>(node.number(name)?.or(at.number(name)?));
        let side = |name| Ok::<_, MpdError>(side(name)?.and_then(|v| u32::try_from(v).ok()));
        representations.push(Representation {
            id: node.text("id").unwrap_or_default(),
            bandwidth_bps: node.number("bandwidth")?.unwrap_or(0),
            codecs: text("codecs"),
            mime: text("mimeType"),
            size: side("width")?.zip(side("height")?),
            template: template(&[templates[0], templates[1], node.child("SegmentTemplate")])?,
            base: node.base(&base),
            line: node.line(),
        });
    }
    let all = || std::iter::once(at).chain(nodes.iter().copied());
    let mut start_with_sap = None;
    for node in all() {
        start_with_sap = start_with_sap.or(node.number("startWithSAP")?);
    }
    Ok(Set {
        aligned: at.truth("segmentAlignment").unwrap_or(None).unwrap_or(false),
        start_with_sap: start_with_sap.and_then(|v| u32::try_from(v).ok()),
        events: all()
            .flat_map(|n| n.children("InbandEventStream"))
            .filter_map(|e| e.text("schemeIdUri"))
            .collect(),
        producer_time: all().any(|n| n.child("ProducerReferenceTime").is_some()),
        representations,
        line: at.line(),
    })
}

/// Merges the templates of period, set and representation: the last that has an attribute wins.
fn template(levels: &[Option<At<'_, '_>>; 3]) -> Result<Option<Template>, MpdError> {
    let levels: Vec<At<'_, '_>> = levels.iter().rev().flatten().copied().collect();
    let text = |name: &str| levels.iter().find_map(|l| l.text(name));
    let Some(media) = text("media") else { return Ok(None) };
    let number = |name: &'static str| {
        levels.iter().map(|l| l.number(name)).find(|v| !matches!(v, Ok(None))).unwrap_or(Ok(None))
    };
    let early = |v: &str| {
        if v == "INF" { Some(f64::INFINITY) } else { v.parse().ok().filter(|s: &f64| s.is_finite()) }
    };
    let (mut early_s, mut complete) = (None, None);
    for level in &levels {
        early_s = early_s.or(level.get("availabilityTimeOffset", "seconds or INF", early)?);
        complete = complete.or(level.truth("availabilityTimeComplete")?);
    }
    let timeline = levels.iter().find_map(|l| l.child("SegmentTimeline"));
    let entry = |at: At<'_, '_>| {
        let r = at.get("r", "a whole number", |v| v.parse().ok())?.unwrap_or(0);
        Ok(Entry { t: at.number("t")?, d: at.number("d")?.unwrap_or(0), r, line: at.line() })
    };
    Ok(Some(Template {
        media,
        initialization: text("initialization"),
        timescale: number("timescale")?.unwrap_or(1).max(1),
        duration: number("duration")?.filter(|d| *d > 0),
        start_number: number("startNumber")?.unwrap_or(1),
        offset: number("presentationTimeOffset")?.unwrap_or(0),
        early_s: early_s.unwrap_or(0.0),
        complete: complete.unwrap_or(true),
        timeline: timeline.map(|t| t.children("S").map(entry).collect::<Result<_, _>>()).transpose()?,
    }))
}
