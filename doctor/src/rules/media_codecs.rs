//! Codec strings and sample descriptions against what they stand for.

use super::media_rules as rule;
use crate::probe::{Init, Kind};
use crate::report::{Finding, Report, Rule};

/// Judges an initialization segment by itself.
pub fn initialization(url: &str, init: &Init, at_us: u64, report: &mut Report) {
    let mut tell = |rule: &'static Rule, what: String| {
        report.add(rule, Finding { url: url.to_owned(), lines: vec![], what, at_us });
    };
    for track in init.tracks.iter().filter(|t| t.kind == Kind::Video) {
        if !track.parameter_sets || track.codec.starts_with("avc3") || track.codec.starts_with("hev1") {
            tell(&rule::IN_BAND, format!("track {} is {}", track.id, track.codec));
        }
        if too_high(&track.codec) {
            tell(&rule::TOO_HIGH, format!("track {} is {}", track.id, track.codec));
        }
        if let Some(picture) = track.picture {
            if !picture.progressive {
                tell(&rule::INTERLACED, format!("track {} may hold fields", track.id));
            }
            let entry = (u32::from(track.width), u32::from(track.height));
            if entry != (picture.width, picture.height) {
                let what = format!(
                    "the sample entry says {}x{}, the parameter set {}x{}",
                    entry.0, entry.1, picture.width, picture.height
                );
                tell(&rule::PICTURE_SIZE, what);
            }
        }
        if let Some(encryption) = &track.encryption
            && encryption.scheme == *b"cbcs"
            && (encryption.crypt_blocks, encryption.skip_blocks) != (1, 9)
        {
            let what = format!("pattern {}:{}", encryption.crypt_blocks, encryption.skip_blocks);
            tell(&rule::PATTERN, what);
        }
    }
}

/// Judges the `CODECS` of a variant against `real`, the codec strings of all renditions that it plays with.
pub fn codecs(url: &str, claimed: &str, real: &[&str], at_us: u64, report: &mut Report) {
    let claims: Vec<&str> = claimed.split(',').map(str::trim).filter(|c| !c.is_empty()).collect();
    let mut tell = |rule: &'static Rule, what: String| {
        report.add(rule, Finding { url: url.to_owned(), lines: vec![], what, at_us });
    };
    for real in real {
        if claims.iter().any(|claim| agree(claim, real)) {
            continue;
        }
        match claims.iter().find(|claim| family(claim) == family(real)) {
            Some(claim) => tell(&rule::CODECS, format!("CODECS says {claim}, the bitstream is {real}")),
            None => tell(&rule::CODECS_MISSING, format!("CODECS=\"{claimed}\" lacks {real}")),
        }
    }
}

/// Whether a claimed codec string stands for the real one.
#[must_use]
pub fn agree(claimed: &str, real: &str) -> bool {
    let (claimed, real) = (claimed.to_ascii_lowercase(), real.to_ascii_lowercase());
    if claimed == real {
        return true;
    }
    let fields =
        |text: &str, count: usize| text.split('.').take(count).map(str::to_owned).collect::<Vec<_>>();
    match family(&real) {
        // The optional fields of the long form may be left out.
        "av01" | "vp09" => fields(&claimed, 4) == fields(&real, 4) && claimed.split('.').count() >= 4,
        // Trailing constraint bytes may be left out.
        "hvc1" | "hev1" => fields(&claimed, 4) == fields(&real, 4),
        // SBR and PS may be signalled in the bitstream only.
        "mp4a" => real == "mp4a.40.2" && matches!(claimed.as_str(), "mp4a.40.5" | "mp4a.40.29"),
        // The XML of a subtitle track names its profile, the sample entry need not.
        "stpp" => claimed.starts_with("stpp."),
        _ => false,
    }
}

fn family(codec: &str) -> &str {
    codec.split('.').next().unwrap_or(codec)
}

/// Over High 5.2 (H.264) or Main10 5.1 (H.265).
fn too_high(codec: &str) -> bool {
    let mut fields = codec.split('.');
    match (fields.next(), fields.next()) {
        (Some("avc1" | "avc3"), Some(hex)) => {
            let byte =
                |at: usize| hex.get(at..at + 2).and_then(|b| u8::from_str_radix(b, 16).ok()).unwrap_or(0);
            byte(0) > 100 || byte(4) > 52
        }
        (Some("hvc1" | "hev1"), Some(profile)) => {
            let profile: u8 = profile.trim_start_matches(['A', 'B', 'C']).parse().unwrap_or(0);
            let level = fields.nth(1).and_then(|l| l.get(1..)).and_then(|l| l.parse::<u8>().ok());
            profile > 2 || level.unwrap_or(0) > 153
        }
        _ => false,
    }
}

/// Packed audio and subtitles (RFC 8216 §3.4, §3.5), which are not looked into: ADTS, MPEG audio, AC-3, ID3, WebVTT.
pub(crate) fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ID3")
        || bytes.starts_with(b"WEBVTT")
        || bytes.starts_with(&[0x0B, 0x77])
        || matches!(bytes, [0xFF, second, ..] if second & 0xE0 == 0xE0)
}
