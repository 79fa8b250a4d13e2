//! What the schema of a manifest demands of the elements that live streams use: attributes that must be there, the
//! form of each, and the order of children (ISO/IEC 23009-1 annex B).

use roxmltree::Node;

use super::read::{line, xml};
use super::{MpdError, forms, text};

/// Elements, the attributes they must have, and their children in order; no children means any.
type Element = (&'static str, &'static [&'static str], &'static [&'static str]);

const BASE: &[&str] = &[
    "FramePacking",
    "AudioChannelConfiguration",
    "ContentProtection",
    "OutputProtection",
    "EssentialProperty",
    "SupplementalProperty",
    "InbandEventStream",
    "Switching",
    "RandomAccess",
    "GroupLabel",
    "Label",
    "ProducerReferenceTime",
    "ContentPopularityRate",
    "Resync",
];

const ELEMENTS: &[Element] = &[
    (
        "MPD",
        &["profiles", "minBufferTime"],
        &[
            "ProgramInformation",
            "BaseURL",
            "Location",
            "PatchLocation",
            "ServiceDescription",
            "ContentSteering",
            "InitializationSet",
            "InitializationGroup",
            "InitializationPresentation",
            "ContentProtection",
            "Period",
            "Metrics",
            "EssentialProperty",
            "SupplementalProperty",
            "UTCTiming",
            "LeapSecondInformation",
        ],
    ),
    (
        "Period",
        &[],
        &[
            "BaseURL",
            "SegmentBase",
            "SegmentList",
            "SegmentTemplate",
            "AssetIdentifier",
            "EventStream",
            "ServiceDescription",
            "ContentProtection",
            "AdaptationSet",
            "Subset",
            "SupplementalProperty",
            "EmptyAdaptationSet",
            "GroupLabel",
            "Preselection",
        ],
    ),
    (
        "AdaptationSet",
        &[],
        &[
            "Accessibility",
            "Role",
            "Rating",
            "Viewpoint",
            "ContentComponent",
            "BaseURL",
            "SegmentBase",
            "SegmentList",
            "SegmentTemplate",
            "Representation",
        ],
    ),
    (
        "Representation",
        &["id", "bandwidth"],
        &[
            "BaseURL",
            "ExtendedBandwidth",
            "SubRepresentation",
            "SegmentBase",
            "SegmentList",
            "SegmentTemplate",
        ],
    ),
    (
        "SegmentTemplate",
        &[],
        &[
            "Initialization",
            "RepresentationIndex",
            "FailoverContent",
            "SegmentTimeline",
            "BitstreamSwitching",
        ],
    ),
    ("SegmentTimeline", &[], &["S", "Pattern"]),
    (
        "ServiceDescription",
        &[],
        &["Scope", "Latency", "PlaybackRate", "OperatingQuality", "OperatingBandwidth"],
    ),
    ("S", &["d"], &[]),
    ("UTCTiming", &["schemeIdUri"], &[]),
    ("Role", &["schemeIdUri"], &[]),
    ("Accessibility", &["schemeIdUri"], &[]),
    ("AudioChannelConfiguration", &["schemeIdUri"], &[]),
    ("ContentProtection", &["schemeIdUri"], &[]),
    ("EssentialProperty", &["schemeIdUri"], &[]),
    ("SupplementalProperty", &["schemeIdUri"], &[]),
    ("InbandEventStream", &["schemeIdUri"], &[]),
    ("EventStream", &["schemeIdUri"], &[]),
    ("ProducerReferenceTime", &["id", "wallClockTime", "presentationTime"], &["UTCTiming"]),
];

/// A breach of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Counted from 1.
    pub(crate) line: u32,
    pub(crate) what: String,
}

/// Flaws of a manifest, at most a hundred.
pub(crate) fn flaws(data: &[u8]) -> Result<Vec<Flaw>, MpdError> {
    let document = xml(text(data)?)?;
    let root = document.root_element();
    let namespace = root.tag_name().namespace();
    let ours = document.descendants().filter(|n| n.is_element() && n.tag_name().namespace() == namespace);
    Ok(ours.flat_map(element).take(100).collect())
}

fn element(node: Node<'_, '_>) -> Vec<Flaw> {
    let name = node.tag_name().name();
    let flaw = |what| Flaw { line: line(node), what };
    let own = node.attributes().filter(|a| a.namespace().is_none());
    let mut all: Vec<Flaw> = own.filter_map(|a| forms::flaw(name, a.name(), a.value())).map(flaw).collect();
    let Some((_, required, order)) = ELEMENTS.iter().find(|(n, ..)| *n == name) else { return all };
    let missing = required.iter().filter(|a| node.attribute(**a).is_none());
    all.extend(missing.map(|a| flaw(format!("{name} without @{a}"))));
    if name == "Period" && node.attribute("start").is_none() {
        // It follows from the period before; the first has none.
        let dynamic = node.parent().and_then(|p| p.attribute("type")) == Some("dynamic");
        if dynamic && node.prev_siblings().skip(1).all(|s| s.tag_name().name() != "Period") {
            all.push(flaw("the first Period of a dynamic MPD has no @start".into()));
        }
    }
    if order.is_empty() {
        return all;
    }
    let base: &[&str] = if matches!(name, "AdaptationSet" | "Representation") { BASE } else { &[] };
    let place = |child: &str| {
        let here = order.iter().position(|n| *n == child).map(|p| p + base.len());
        here.or_else(|| base.iter().position(|n| *n == child))
    };
    let mut reached = 0;
    let children = node.children().filter(|c| c.is_element());
    for child in children.filter(|c| c.tag_name().namespace() == node.tag_name().namespace()) {
        let child_name = child.tag_name().name();
        match place(child_name) {
            None => {
                all.push(Flaw { line: line(child), what: format!("{name} may not hold {child_name}") });
            }
            Some(at) if at < reached => {
                all.push(Flaw { line: line(child), what: format!("{child_name} comes too late in {name}") });
            }
            Some(at) => reached = at,
        }
    }
    all
}
