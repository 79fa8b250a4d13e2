//! What variants say to tell them apart: picture range, protection, pathways and failover.

use std::collections::{BTreeMap, BTreeSet};

use crate::m3u8::{Attributes, Multivariant};
use crate::report::{Report, rules};

rules! {
    RANGE_UNSAID: "HLS-29c", Warning, "once a variant is HLG or PQ, all say their VIDEO-RANGE", "Apple 9.16",
        "write VIDEO-RANGE=SDR, HLG or PQ into every variant with pictures";
    PATHWAY_UNSAID: "HLS-29d", Warning, "with content steering, every variant names its pathway", "Apple 9.18",
        "write PATHWAY-ID into every EXT-X-STREAM-INF";
    NO_HDCP: "HLS-30c", Warning, "protected HD and UHD say the HDCP-LEVEL that they need", "Apple 13.5, 13.6",
        "write HDCP-LEVEL=TYPE-0 for HD and TYPE-1 for UHD, or NONE where no protection of the output is asked for";
    NO_FAILOVER: "HLS-33", Warning, "once a variant has a failover, all have one", "Apple 10.2",
        "list each variant a second time with the address at another server, or in another pathway";
}

/// More lines than this are HD.
const SD_LINES_MAX: u64 = 576;
/// The key format whose keys everybody may read: no output is protected with it.
const CLEAR: &str = "identity";

/// Checks what is there because there are others.
pub(crate) fn check(playlist: &Multivariant, report: &mut Report) {
    ranges(playlist, report);
    protection(playlist, report);
    failover(playlist, report);
}

fn ranges(playlist: &Multivariant, report: &mut Report) {
    let pictures = || playlist.variants.iter().filter(|v| super::multivariant::has_pictures(&v.attributes));
    if !pictures().any(|v| matches!(v.attributes.get("VIDEO-RANGE"), Some("HLG" | "PQ"))) {
        return;
    }
    for variant in pictures().filter(|v| v.attributes.get("VIDEO-RANGE").is_none()) {
        let lines = [variant.attributes.line, variant.uri.line];
        report.add(&RANGE_UNSAID, playlist.text.finding(&lines, "no VIDEO-RANGE beside variants of HDR"));
    }
}

fn protection(playlist: &Multivariant, report: &mut Report) {
    let protects = |key: &Attributes| {
        key.get("METHOD") != Some("NONE") && key.get("KEYFORMAT").is_some_and(|format| format != CLEAR)
    };
    if !playlist.keys.iter().any(protects) {
        return;
    }
    for variant in &playlist.variants {
        let attributes = &variant.attributes;
        let Some((_, lines)) = attributes.resolution().filter(|(_, lines)| *lines > SD_LINES_MAX) else {
            continue;
        };
        if attributes.get("HDCP-LEVEL").is_none() {
            let what = format!("{lines} lines, protected, and no HDCP-LEVEL");
            report.add(&NO_HDCP, playlist.text.finding(&[attributes.line, variant.uri.line], what));
        }
    }
}

/// A variant that is listed again, at another address, is a failover of the first.
fn failover(playlist: &Multivariant, report: &mut Report) {
    let kind = |a: &Attributes| -> Vec<Option<String>> {
        ["BANDWIDTH", "CODECS", "RESOLUTION", "FRAME-RATE"].map(|name| a.get(name).map(str::to_owned)).into()
    };
    let mut places: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for variant in &playlist.variants {
        places.entry(kind(&variant.attributes)).or_default().insert(&variant.uri.value);
    }
    let steered = playlist.steering.is_some();
    // A steering manifest may name clones of everything.
    let wanted = !steered && places.values().any(|at| at.len() > 1);
    for variant in &playlist.variants {
        let lines = [variant.attributes.line, variant.uri.line];
        if wanted && places.get(&kind(&variant.attributes)).is_some_and(|at| at.len() < 2) {
            report.add(&NO_FAILOVER, playlist.text.finding(&lines, "a single address"));
        }
        if steered && variant.attributes.get("PATHWAY-ID").is_none() {
            report.add(&PATHWAY_UNSAID, playlist.text.finding(&lines, "no PATHWAY-ID"));
        }
    }
}
