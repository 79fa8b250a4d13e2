//! Parts against their segment, and I-frame segments.

use super::media::{ROUNDING_S, SegmentSeen};
use super::media_rules as rule;
use super::media_span::{Span, lead, of_chunks};
use crate::probe::{self, Chunk, Init, Kind};
use crate::report::{Finding, Report};

/// A part and what the playlist says of it.
#[derive(Debug, Clone)]
pub struct PartSeen<'a> {
    /// Its address.
    pub url: &'a str,
    /// `DURATION` in seconds.
    pub duration_s: f64,
    /// `INDEPENDENT=YES`
    pub independent: bool,
    /// Its bytes; `None` when it was not fetched or is a gap.
    pub bytes: Option<&'a [u8]>,
}

/// Judges the parts of a segment whose tracks are `spans`.
pub(crate) fn judge(seen: &SegmentSeen<'_>, spans: &[Span], report: &mut Report) {
    if seen.parts.is_empty() {
        return;
    }
    let frame = lead(spans).map_or(0.0, Span::frame_s);
    let sum: f64 = seen.parts.iter().map(|p| p.duration_s).sum();
    if (sum - seen.extinf_s).abs() > frame + ROUNDING_S {
        let what = format!("parts last {sum:.5} s together, EXTINF is {:.5} s", seen.extinf_s);
        seen.tell(report, &rule::PARTS_SUM, what);
    }
    if let Some(bytes) = seen.parts.iter().map(|p| p.bytes).collect::<Option<Vec<_>>>() {
        whole(seen, &bytes, report);
    }
    let Some(init) = seen.init else { return };
    for (index, part) in seen.parts.iter().enumerate() {
        if let Some(bytes) = part.bytes {
            one(seen, init, (index, part, bytes), report);
        }
    }
}

/// Same bytes, or at least the same samples.
fn whole(seen: &SegmentSeen<'_>, parts: &[&[u8]], report: &mut Report) {
    let joined = parts.concat();
    if joined == seen.bytes {
        return;
    }
    let samples = |bytes: &[u8]| {
        let chunks = probe::fragment(seen.init?, bytes).ok()?;
        Some((list(&chunks), payload(bytes)))
    };
    if let (Some(of_parts), Some(of_segment)) = (samples(&joined), samples(seen.bytes))
        && of_parts == of_segment
    {
        return;
    }
    let differ = joined.iter().zip(seen.bytes).position(|(a, b)| a != b);
    let at = differ.unwrap_or(joined.len().min(seen.bytes.len()));
    let what = format!(
        "{} parts have {} bytes, the segment {}; they differ from byte {at}",
        parts.len(),
        joined.len(),
        seen.bytes.len()
    );
    seen.tell(report, &rule::PARTS_DIFFER, what);
}

/// Track, start, duration and size of all samples, by track.
fn list(chunks: &[Chunk]) -> Vec<(u32, u64, u32, u32)> {
    let mut all = Vec::new();
    for run in chunks.iter().flat_map(|c| &c.runs) {
        let mut at = run.tfdt.unwrap_or(0);
        for sample in &run.samples {
            all.push((run.track, at, sample.duration, sample.size));
            at = at.saturating_add(sample.duration.into());
        }
    }
    all.sort_by_key(|s| (s.0, s.1));
    all
}

/// The bytes of all `mdat` boxes of a piece that has been read before.
fn payload(bytes: &[u8]) -> Vec<u8> {
    probe::payload(bytes).concat()
}

fn one(
    seen: &SegmentSeen<'_>,
    init: &Init,
    (index, part, bytes): (usize, &PartSeen<'_>, &[u8]),
    report: &mut Report,
) {
    let mut tell = |rule, what: String| {
        let what = format!("part {index} of segment {}: {what}", seen.msn);
        report.add(rule, Finding { url: part.url.to_owned(), lines: vec![], what, at_us: seen.at_us });
    };
    let spans = match probe::fragment(init, bytes) {
        Ok(chunks) => of_chunks(init, &chunks),
        Err(fault) => return tell(&rule::UNREADABLE, fault.to_string()),
    };
    let Some(lead) = lead(&spans) else { return };
    let real = lead.seconds();
    if (real - part.duration_s).abs() > lead.frame_s() + ROUNDING_S {
        tell(&rule::PART_DURATION, format!("DURATION={} for {real:.5} s of media", part.duration_s));
    }
    if let Some(target) = seen.part_target_s
        && real > target + ROUNDING_S
    {
        tell(&rule::PART_OVER_TARGET, format!("{real:.5} s of media, PART-TARGET is {target} s"));
    }
    match (part.independent, lead.entry) {
        (true, Some(false)) => {
            tell(&rule::FALSE_INDEPENDENT, "INDEPENDENT=YES, but its first picture needs others".into());
        }
        (false, Some(true)) => {
            tell(&rule::HIDDEN_INDEPENDENT, "it can be decoded alone and does not say so".into());
        }
        _ => {}
    }
    if index == 0 && lead.entry == Some(false) {
        tell(&rule::FIRST_DEPENDS, "it begins without a key frame".into());
    }
}

/// Judges a segment of an I-frame playlist of fragmented MP4: `bytes` of its byte range.
pub fn iframe(url: &str, init: &Init, bytes: &[u8], at_us: u64, report: &mut Report) {
    let what = match probe::fragment(init, bytes) {
        Err(fault) => fault.to_string(),
        Ok(chunks) => {
            let spans = of_chunks(init, &chunks);
            let Some(video) = spans.iter().find(|s| s.kind == Kind::Video) else {
                return report.add(&rule::IFRAME, finding(url, "no picture", at_us));
            };
            if video.entry != Some(false) {
                return;
            }
            "its first picture needs others".to_owned()
        }
    };
    report.add(&rule::IFRAME, finding(url, &what, at_us));
}

fn finding(url: &str, what: &str, at_us: u64) -> Finding {
    Finding { url: url.to_owned(), lines: vec![], what: what.to_owned(), at_us }
}
