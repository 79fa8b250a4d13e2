//! Judges segments and parts by what is inside of them, against what a playlist claims.
//!
//! Pure: bytes and claims come in, breaches go into the [`Report`].

use std::collections::BTreeMap;

use super::media_rules as rule;
use super::media_span::{Span, lead, of_chunks, of_ts};
use super::{media_codecs, media_parts};
use crate::probe::{self, Fault, Init, Kind, TsProbe};
use crate::report::{Finding, Report, Rule};

pub use super::media_codecs::{agree, codecs, initialization};
pub use super::media_parts::{PartSeen, iframe};

/// All rules about media.
pub static RULES: &[&Rule] = rule::ALL;

/// Longest time between key frames, in seconds (Apple authoring 1.13).
const KEYS_S_MAX: f64 = 2.0;
/// What players allow above the target duration, in seconds.
const TARGET_SLACK_S: f64 = 0.5;
/// Rounding of a claimed duration with few decimals, in seconds.
pub(crate) const ROUNDING_S: f64 = 0.001;

/// A segment and what the playlist says of it.
#[derive(Debug, Clone)]
pub struct SegmentSeen<'a> {
    /// Its address.
    pub url: &'a str,
    /// When its bytes were complete, in microseconds since the watch began.
    pub at_us: u64,
    /// Media sequence number.
    pub msn: u64,
    /// `EXTINF` in seconds.
    pub extinf_s: f64,
    /// `EXT-X-TARGETDURATION` in seconds.
    pub target_s: f64,
    /// `PART-TARGET` in seconds.
    pub part_target_s: Option<f64>,
    /// `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity_before: bool,
    /// `EXT-X-INDEPENDENT-SEGMENTS` holds for it.
    pub independent_segments: bool,
    /// What its `EXT-X-MAP` named; `None` without one.
    pub init: Option<&'a Init>,
    /// The whole segment, decrypted or never encrypted as a whole.
    pub bytes: &'a [u8],
    /// Its parts in order; empty when they are not known.
    pub parts: &'a [PartSeen<'a>],
}

impl SegmentSeen<'_> {
    pub(crate) fn tell(&self, report: &mut Report, rule: &'static Rule, what: String) {
        let (url, at_us) = (self.url.to_owned(), self.at_us);
        report.add(rule, Finding { url, lines: vec![], what, at_us });
    }
}

/// Judges the segments of one media playlist, given in order. Holds a few figures per track.
#[derive(Debug, Default)]
pub struct MediaJudge {
    last: Option<Last>,
    drift: Drift,
}

/// Where the segment before ended.
#[derive(Debug)]
struct Last {
    msn: u64,
    ends: BTreeMap<u32, u64>,
    counters: BTreeMap<u16, u8>,
}

/// Sum of claimed minus real durations since the last break, with its extremes: the worst run of segments is the
/// difference between them.
#[derive(Debug, Default, Clone, Copy)]
struct Drift {
    sum_s: f64,
    low_s: f64,
    high_s: f64,
    segments: u32,
}

impl MediaJudge {
    /// Judges the next segment. A number that does not follow starts afresh.
    pub fn segment(&mut self, seen: &SegmentSeen<'_>, report: &mut Report) {
        let follows = self.last.as_ref().is_some_and(|l| Some(seen.msn) == l.msn.checked_add(1));
        if !follows || seen.discontinuity_before {
            self.last = None;
            self.drift = Drift::default();
        }
        let (spans, ts) = match read(seen) {
            Ok(found) => found,
            Err(fault) => {
                let rule = match fault {
                    Unread::NoMap => &rule::NO_MAP,
                    Unread::Fault(_) => &rule::UNREADABLE,
                };
                self.last = None;
                return seen.tell(report, rule, fault.to_string());
            }
        };
        pictures(seen, &spans, report);
        self.continues(seen, &spans, report);
        if let Some(ts) = &ts {
            self.transport(seen, ts, report);
        }
        let audio = match (&ts, seen.init) {
            (Some(ts), _) => ts.audio_streams(),
            (None, Some(init)) => init.tracks.iter().filter(|t| t.kind == Kind::Audio).count(),
            (None, None) => 0,
        };
        if audio > 1 {
            seen.tell(report, &rule::AUDIO_COUNT, format!("{audio} audio streams in one segment"));
        }
        self.durations(seen, &spans, report);
        media_parts::judge(seen, &spans, report);
        self.last = Some(Last {
            msn: seen.msn,
            ends: spans.iter().filter_map(|s| Some((s.track, s.end()?))).collect(),
            counters: ts
                .iter()
                .flat_map(|t| &t.streams)
                .filter_map(|s| Some((s.pid, s.last_counter?)))
                .collect(),
        });
    }

    /// Decode times continue, inside and from segment to segment.
    fn continues(&self, seen: &SegmentSeen<'_>, spans: &[Span], report: &mut Report) {
        for span in spans {
            let Some(start) = span.start else {
                seen.tell(report, &rule::NO_TFDT, format!("track {} has no tfdt", span.track));
                continue;
            };
            let before = self.last.as_ref().and_then(|l| l.ends.get(&span.track));
            let across = before.map(|end| (*end, start)).filter(|(a, b)| a != b);
            for (expected, found) in across.into_iter().chain(span.inner_break) {
                let off = time_apart(seen.init.is_none(), expected, found);
                // Times of transport streams are rounded, and their ends are estimates.
                let slack = if seen.init.is_none() { span.frame } else { 0 };
                if off.unsigned_abs() <= slack {
                    continue;
                }
                let gap = off.unsigned_abs() > (span.frame / 2).max(slack);
                let rule = if gap { &rule::GAP } else { &rule::JITTER };
                let ms = off as f64 * 1000.0 / span.timescale as f64;
                let what = format!(
                    "track {} continues at {found} instead of {expected} ({ms:+.1} ms) in segment {}",
                    span.track, seen.msn
                );
                seen.tell(report, rule, what);
            }
        }
    }

    fn transport(&self, seen: &SegmentSeen<'_>, ts: &TsProbe, report: &mut Report) {
        if !ts.tables_first || ts.programs != 1 {
            let what = format!("{} programs, tables before all payload: {}", ts.programs, ts.tables_first);
            seen.tell(report, &rule::NO_TABLES, what);
        }
        for stream in &ts.streams {
            let pid = stream.pid;
            if stream.continuity_faults > 0 {
                let what = format!("PID {pid}: {} breaks inside of the segment", stream.continuity_faults);
                seen.tell(report, &rule::CONTINUITY, what);
            }
            let before = self.last.as_ref().and_then(|l| l.counters.get(&pid));
            if let (Some(before), Some(first)) = (before, stream.first_counter)
                && first != (before + 1) & 15
            {
                let what =
                    format!("PID {pid} begins with counter {first}, the last segment ended with {before}");
                seen.tell(report, &rule::CONTINUITY, what);
            }
            if stream.backwards > 0 {
                let what = format!("PID {pid}: {} PES packets do not go forward in time", stream.backwards);
                seen.tell(report, &rule::BACKWARDS, what);
            }
        }
        if ts.streams.iter().any(|s| s.kind == probe::TsKind::Hevc) {
            seen.tell(report, &rule::HEVC_IN_TS, "stream type 0x24 in a transport stream".into());
        }
    }

    fn durations(&mut self, seen: &SegmentSeen<'_>, spans: &[Span], report: &mut Report) {
        let Some(lead) = lead(spans) else { return };
        let real = lead.seconds();
        if real > seen.target_s + TARGET_SLACK_S {
            let what = format!("{real:.3} s of media, the target duration is {} s", seen.target_s);
            seen.tell(report, &rule::OVER_TARGET, what);
        }
        let drift = &mut self.drift;
        drift.sum_s += seen.extinf_s - real;
        drift.segments += 1;
        (drift.low_s, drift.high_s) = (drift.low_s.min(drift.sum_s), drift.high_s.max(drift.sum_s));
        let worst = drift.high_s - drift.low_s;
        if worst > lead.frame_s() + ROUNDING_S {
            let what = format!(
                "EXTINF {:.6} s for {real:.6} s of media; {worst:.3} s off over a run of up to {} segments",
                seen.extinf_s, drift.segments
            );
            seen.tell(report, &rule::EXTINF_DRIFT, what);
            *drift = Drift::default();
        }
    }
}

/// `found - expected`; 33-bit clocks may have begun anew.
fn time_apart(is_ts: bool, expected: u64, found: u64) -> i64 {
    let apart = found.wrapping_sub(expected).cast_signed();
    if is_ts { apart << 31 >> 31 } else { apart }
}

#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("fragmented MP4 without an initialization segment")]
    NoMap,
    #[error("{0}")]
    Fault(#[from] Fault),
}

type Read = (Vec<Span>, Option<TsProbe>);

fn read(seen: &SegmentSeen<'_>) -> Result<Read, Unread> {
    if let Some(init) = seen.init {
        return Ok((of_chunks(init, &probe::fragment(init, seen.bytes)?), None));
    }
    let box_type = seen.bytes.get(4..8).unwrap_or_default();
    if [b"styp", b"moof", b"sidx", b"prft", b"emsg"].iter().any(|kind| box_type == *kind) {
        return Err(Unread::NoMap);
    }
    if media_codecs::is_packed(seen.bytes) {
        return Ok((vec![], None));
    }
    let ts = probe::ts(seen.bytes)?;
    Ok((of_ts(&ts), Some(ts)))
}

fn pictures(seen: &SegmentSeen<'_>, spans: &[Span], report: &mut Report) {
    for span in spans.iter().filter(|s| s.kind == Kind::Video) {
        if span.entry == Some(false) {
            let rule = if seen.independent_segments { &rule::NOT_INDEPENDENT } else { &rule::STARTS_LATE };
            seen.tell(report, rule, format!("segment {} does not begin with a key frame", seen.msn));
        }
        if span.false_sync > 0 {
            let what =
                format!("{} samples are marked as sync and are no IDR or IRAP pictures", span.false_sync);
            seen.tell(report, &rule::FALSE_SYNC, what);
        }
        let apart = span.keys_apart as f64 / span.timescale as f64;
        if apart > KEYS_S_MAX + span.frame_s() {
            seen.tell(report, &rule::KEYS_RARE, format!("{apart:.2} s without a key frame"));
        }
        let rate = span.samples as f64 / span.seconds();
        if span.samples > 30 && rate > 60.5 {
            seen.tell(report, &rule::TOO_FAST, format!("{rate:.1} frames a second"));
        }
    }
}
