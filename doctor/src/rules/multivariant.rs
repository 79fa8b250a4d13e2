//! What must hold in a multivariant playlist.

use std::collections::BTreeSet;

use crate::m3u8::{Attributes, Multivariant, Variant};
use crate::report::{Report, rules};

use super::alternatives;

rules! {
    NO_BANDWIDTH: "HLS-22a", Error, "every variant has BANDWIDTH", "rfc8216bis §4.4.6.2",
        "write the peak bit rate of the variant in bits per second";
    NO_CODECS: "HLS-22b", Warning, "every variant has CODECS", "rfc8216bis §4.4.6.2; Apple 9.1",
        "write CODECS with every format in the variant";
    NO_RESOLUTION: "HLS-22c", Warning, "every variant with pictures has RESOLUTION", "Apple 9.2",
        "write RESOLUTION";
    NO_FRAME_RATE: "HLS-22d", Warning, "every variant with pictures has FRAME-RATE", "Apple 9.15",
        "write FRAME-RATE";
    NO_AVERAGE: "HLS-22e", Warning, "every variant has AVERAGE-BANDWIDTH", "Apple 9.14",
        "write AVERAGE-BANDWIDTH";
    ONE_RATE: "HLS-25a", Warning, "pictures come in several bit rates", "Apple 9.9",
        "offer a ladder of variants, or ignore this rule for contribution feeds";
    ASPECT: "HLS-25b", Warning, "all variants have one aspect ratio", "Apple 1.33",
        "scale all variants from the same picture";
    RENDITION_INCOMPLETE: "HLS-26a", Error, "EXT-X-MEDIA has TYPE, GROUP-ID and NAME", "rfc8216bis §4.4.6.1",
        "complete the EXT-X-MEDIA";
    NAME_TWICE: "HLS-26b", Error, "a NAME is used once per group", "rfc8216bis §4.4.6.1.1",
        "give each rendition of a group its own NAME";
    NO_GROUP: "HLS-26c", Error, "every group that a variant names exists", "rfc8216bis §4.4.6.2",
        "add the EXT-X-MEDIA with this TYPE and GROUP-ID, or correct the name";
    NO_LANGUAGE: "HLS-26d", Warning, "renditions other than video have LANGUAGE", "Apple 8.10",
        "write LANGUAGE, 'und' when it is not known";
    DEFAULTS: "HLS-26e", Error, "at most one rendition of a group is DEFAULT, and it is AUTOSELECT",
        "rfc8216bis §4.4.6.1", "mark one rendition DEFAULT=YES, and do not say AUTOSELECT=NO there";
    RENDITION_URI: "HLS-26f", Error, "SUBTITLES have a URI, CLOSED-CAPTIONS an INSTREAM-ID and none",
        "rfc8216bis §4.4.6.1", "correct URI and INSTREAM-ID";
    CAPTIONS_NONE: "HLS-27", Error, "CLOSED-CAPTIONS=NONE is said by all variants or by none", "rfc8216bis §4.4.6.2",
        "write CLOSED-CAPTIONS=NONE into every EXT-X-STREAM-INF, or into none";
    NO_I_FRAMES: "HLS-28a", Warning, "there are I-frame playlists", "Apple 6.1",
        "offer an EXT-X-I-FRAME-STREAM-INF for trick play";
    I_FRAMES_INCOMPLETE: "HLS-28b", Error, "EXT-X-I-FRAME-STREAM-INF has BANDWIDTH and URI", "rfc8216bis §4.4.6.3",
        "complete the EXT-X-I-FRAME-STREAM-INF";
    I_FRAMES_VAGUE: "HLS-28c", Warning, "EXT-X-I-FRAME-STREAM-INF has CODECS and RESOLUTION", "Apple 9.3, 9.4",
        "write CODECS and RESOLUTION";
    I_FRAMES_ONLY: "HLS-28d", Error, "the playlist of an I-frame variant has EXT-X-I-FRAMES-ONLY",
        "rfc8216bis §4.4.6.3", "write EXT-X-I-FRAMES-ONLY, or list the playlist as a variant";
    VIDEO_RANGE: "HLS-29a", Error, "VIDEO-RANGE is SDR, HLG or PQ", "rfc8216bis §4.4.6.2",
        "write SDR, HLG or PQ";
    SCORES: "HLS-29b", Warning, "SCORE is said by all variants or by none", "rfc8216bis §4.4.6.2",
        "write SCORE into every variant, or into none";
    NO_VARIANT: "HLS-0h", Error, "a multivariant playlist has a variant", "rfc8216bis §4.4.6",
        "list at least one variant with its address";
}

pub(crate) fn check(playlist: &Multivariant, report: &mut Report) {
    if playlist.variants.is_empty() {
        report.add(&NO_VARIANT, playlist.text.finding(&[], "no EXT-X-STREAM-INF"));
    }
    playlist.variants.iter().for_each(|variant| one(playlist, variant, report));
    ladder(playlist, report);
    renditions(playlist, report);
    i_frames(playlist, report);
    alternatives::check(playlist, report);
}

/// Whether a variant has pictures, as far as its attributes tell.
pub(crate) fn has_pictures(variant: &Attributes) -> bool {
    let codecs = variant.get("CODECS").unwrap_or_default();
    let names = ["avc", "hvc", "hev", "av01", "vp08", "vp09", "dvh", "dva"];
    variant.get("RESOLUTION").is_some() || names.iter().any(|n| codecs.contains(n))
}

fn one(playlist: &Multivariant, variant: &Variant, report: &mut Report) {
    let attributes = &variant.attributes;
    let lines = [attributes.line, variant.uri.line];
    if attributes.integer("BANDWIDTH").is_none_or(|b| b == 0) {
        report.add(&NO_BANDWIDTH, playlist.text.finding(&lines, "no BANDWIDTH above 0"));
    }
    let pictures = has_pictures(attributes);
    let wanted = [
        ("CODECS", &NO_CODECS, true),
        ("RESOLUTION", &NO_RESOLUTION, pictures),
        ("FRAME-RATE", &NO_FRAME_RATE, pictures),
        ("AVERAGE-BANDWIDTH", &NO_AVERAGE, true),
    ];
    for (name, rule, _) in
        wanted.into_iter().filter(|(name, _, asked)| *asked && attributes.get(name).is_none())
    {
        report.add(rule, playlist.text.finding(&lines, format!("no {name}")));
    }
    for kind in ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"] {
        let Some(id) = attributes.get(kind) else { continue };
        let none = kind == "CLOSED-CAPTIONS" && attributes.is_quoted(kind) == Some(false);
        if !none && playlist.group(kind, id).next().is_none() {
            let what = format!("no EXT-X-MEDIA with TYPE={kind} and GROUP-ID=\"{id}\"");
            report.add(&NO_GROUP, playlist.text.finding(&lines, what));
        }
    }
    if let Some(range) = attributes.get("VIDEO-RANGE").filter(|r| !["SDR", "HLG", "PQ"].contains(r)) {
        report.add(&VIDEO_RANGE, playlist.text.finding(&lines, format!("VIDEO-RANGE={range}")));
    }
}

fn ladder(playlist: &Multivariant, report: &mut Report) {
    let lines: Vec<u32> = playlist.variants.iter().map(|v| v.attributes.line).collect();
    let pictures = || playlist.variants.iter().filter(|v| has_pictures(&v.attributes));
    if pictures().map(|v| v.attributes.get("BANDWIDTH")).collect::<BTreeSet<_>>().len() == 1 {
        report.add(&ONE_RATE, playlist.text.finding(&lines, "a single bit rate"));
    }
    let mut shapes = pictures().filter_map(|v| v.attributes.resolution());
    if let Some((width, height)) = shapes.next()
        // Sizes are rounded to even numbers: two percent are no other shape.
        && shapes.any(|(w, h)| (w * height).abs_diff(width * h) * 50 > width * h)
    {
        report.add(&ASPECT, playlist.text.finding(&lines, "more than one aspect ratio"));
    }
    let mixed = |said: &dyn Fn(&Attributes) -> bool| {
        let n = playlist.variants.iter().filter(|v| said(&v.attributes)).count();
        n > 0 && n < playlist.variants.len()
    };
    if mixed(&|a| a.get("CLOSED-CAPTIONS") == Some("NONE") && a.is_quoted("CLOSED-CAPTIONS") == Some(false)) {
        report.add(
            &CAPTIONS_NONE,
            playlist.text.finding(&lines, "only some variants say CLOSED-CAPTIONS=NONE"),
        );
    }
    if mixed(&|a| a.get("SCORE").is_some()) {
        report.add(&SCORES, playlist.text.finding(&lines, "only some variants have SCORE"));
    }
}

fn renditions(playlist: &Multivariant, report: &mut Report) {
    let mut names = BTreeSet::new();
    let mut defaults = BTreeSet::new();
    for rendition in &playlist.renditions {
        let mut tell = |rule, what: String| report.add(rule, playlist.text.finding(&[rendition.line], what));
        let (kind, group) = (rendition.get("TYPE"), rendition.get("GROUP-ID"));
        let name = rendition.get("NAME");
        if kind.is_none() || group.is_none() || name.is_none() {
            tell(&RENDITION_INCOMPLETE, "TYPE, GROUP-ID or NAME is missing".to_owned());
            continue;
        }
        if !names.insert((kind, group, name)) {
            tell(&NAME_TWICE, format!("NAME=\"{}\" again", name.unwrap_or_default()));
        }
        let default = rendition.yes("DEFAULT");
        if default && (rendition.get("AUTOSELECT") == Some("NO") || !defaults.insert((kind, group))) {
            tell(&DEFAULTS, "DEFAULT=YES with AUTOSELECT=NO, or twice".to_owned());
        }
        if kind != Some("VIDEO") && rendition.get("LANGUAGE").is_none() {
            tell(&NO_LANGUAGE, "no LANGUAGE".to_owned());
        }
        let uri = rendition.get("URI").is_some();
        let wrong = match kind {
            Some("SUBTITLES") => !uri,
            Some("CLOSED-CAPTIONS") => uri || rendition.get("INSTREAM-ID").is_none(),
            _ => false,
        };
        if wrong {
            tell(&RENDITION_URI, format!("TYPE={}", kind.unwrap_or_default()));
        }
    }
}

fn i_frames(playlist: &Multivariant, report: &mut Report) {
    let pictures = playlist.variants.iter().any(|v| has_pictures(&v.attributes));
    if playlist.i_frames.is_empty() && pictures {
        report.add(&NO_I_FRAMES, playlist.text.finding(&[], "no EXT-X-I-FRAME-STREAM-INF"));
    }
    for list in &playlist.i_frames {
        let mut tell = |rule, what| report.add(rule, playlist.text.finding(&[list.line], what));
        if list.integer("BANDWIDTH").is_none() || list.get("URI").is_none() {
            tell(&I_FRAMES_INCOMPLETE, "BANDWIDTH or URI is missing");
        }
        if list.get("CODECS").is_none() || list.get("RESOLUTION").is_none() {
            tell(&I_FRAMES_VAGUE, "CODECS or RESOLUTION is missing");
        }
    }
}
