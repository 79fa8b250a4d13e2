//! The segments that a template names at a given time (ISO/IEC 23009-1 §5.3.9.5.3, §5.3.9.6).

use super::read::join;
use super::{Entry, Mpd, Period, Representation, SEGMENTS_MAX, Template};

/// One segment that a manifest lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// `Period@id`, or its place counted from 0.
    pub period: String,
    /// `Representation@id`
    pub representation: String,
    /// Its address.
    pub url: String,
    /// `$Number$`
    pub number: u64,
    /// On the time line of the media, in ticks.
    pub t: u64,
    /// Ticks.
    pub d: u64,
    /// Ticks in a second.
    pub timescale: u64,
    /// The time line is that of a `SegmentTimeline`, to be taken exactly.
    pub exact: bool,
    /// When it may be asked for, in seconds since 1970; 0 in a static manifest. With `availabilityTimeOffset`.
    pub available_s: f64,
    /// When all of it is there, in seconds since 1970; 0 in a static manifest.
    pub complete_s: f64,
}

impl Segment {
    /// Its length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.d as f64 / self.timescale as f64
    }
}

impl Mpd {
    /// Segments of one representation as listed at `now_s`, oldest first; the newest [`SEGMENTS_MAX`] at most.
    #[must_use]
    pub fn segments(&self, period: &Period, representation: &Representation, now_s: f64) -> Vec<Segment> {
        let Some(template) = &representation.template else { return vec![] };
        let index = self.periods.iter().position(|p| std::ptr::eq(p, period)).unwrap_or(0);
        let start_s = period.start_s.unwrap_or(0.0);
        // What the time 0 of the media is on the wall clock.
        let zero_s =
            self.start_s.unwrap_or(0.0) + start_s - template.offset as f64 / template.timescale as f64;
        let next = self.periods.get(index + 1).and_then(|p| p.start_s);
        let length_s = period
            .duration_s
            .or(next.map(|n| n - start_s))
            .or(self.duration_s.filter(|_| !self.dynamic).map(|d| d - start_s));
        let last = length_s.map(|l| template.offset.saturating_add(ticks(l, template.timescale)));
        let live_end = ticks(now_s - zero_s, template.timescale);
        let spans = match &template.timeline {
            Some(entries) => {
                let until =
                    if self.dynamic { last.unwrap_or(u64::MAX).min(live_end) } else { last.unwrap_or(0) };
                timeline(entries, until)
            }
            None => self.steady(template, last, live_end),
        };
        let name = period.id.clone().unwrap_or_else(|| index.to_string());
        let mut all: Vec<Segment> = Vec::with_capacity(spans.len());
        for (index, t, d) in spans {
            let number = template.start_number.saturating_add(index);
            let end_s = zero_s + t.saturating_add(d) as f64 / template.timescale as f64;
            let named = fill(&template.media, representation, number, t);
            all.push(Segment {
                period: name.clone(),
                representation: representation.id.clone(),
                url: join(&representation.base, &named),
                number,
                t,
                d,
                timescale: template.timescale,
                exact: template.timeline.is_some(),
                available_s: if self.dynamic { end_s - template.early_s } else { 0.0 },
                complete_s: if self.dynamic { end_s } else { 0.0 },
            });
        }
        all
    }

    /// Address of the initialization segment.
    #[must_use]
    pub fn initialization(&self, representation: &Representation) -> Option<String> {
        let named = representation.template.as_ref()?.initialization.as_ref()?;
        Some(join(&representation.base, &fill(named, representation, 0, 0)))
    }

    /// Segments of equal length: index, time and duration.
    fn steady(&self, template: &Template, last: Option<u64>, live_end: u64) -> Vec<(u64, u64, u64)> {
        let Some(d) = template.duration else { return vec![] };
        let until = last.unwrap_or(u64::MAX).min(if self.dynamic { live_end } else { u64::MAX });
        if until == u64::MAX {
            return vec![];
        }
        let until = until.saturating_sub(template.offset);
        let count =
            if self.dynamic && last.is_none_or(|l| l > live_end) { until / d } else { until.div_ceil(d) };
        let depth =
            self.depth_s.filter(|_| self.dynamic).map_or(u64::MAX, |s| ticks(s, template.timescale) / d);
        let first = count.saturating_sub(depth.min(SEGMENTS_MAX as u64));
        (first..count).map(|i| (i, template.offset.saturating_add(i.saturating_mul(d)), d)).collect()
    }
}

fn ticks(seconds: f64, timescale: u64) -> u64 {
    // Saturates: negative times are 0.
    (seconds * timescale as f64).round() as u64
}

/// Index, time and duration of what a time line lists; open repeats go on to the next entry or to `until`.
fn timeline(entries: &[Entry], until: u64) -> Vec<(u64, u64, u64)> {
    let mut all = std::collections::VecDeque::new();
    let (mut at, mut index) = (0_u64, 0_u64);
    for (place, entry) in entries.iter().enumerate() {
        at = entry.t.unwrap_or(at);
        let end = entries.get(place + 1).and_then(|next| next.t).unwrap_or(until);
        let count = match u64::try_from(entry.r) {
            Ok(r) => r.saturating_add(1),
            Err(_) => end.saturating_sub(at).checked_div(entry.d).unwrap_or(0),
        };
        // Only the newest are kept, so the older need not be counted through.
        let skipped = count.saturating_sub(SEGMENTS_MAX as u64);
        at = at.saturating_add(skipped.saturating_mul(entry.d));
        index = index.saturating_add(skipped);
        for _ in skipped..count {
            if all.len() == SEGMENTS_MAX {
                all.pop_front();
            }
            all.push_back((index, at, entry.d));
            at = at.saturating_add(entry.d);
            index = index.saturating_add(1);
        }
    }
    all.into()
}

/// Replaces the identifiers of a template (§5.3.9.4.4).
fn fill(template: &str, representation: &Representation, number: u64, time: u64) -> String {
    let mut out = String::with_capacity(template.len());
    for (place, piece) in template.split('$').enumerate() {
        if place % 2 == 0 {
            out.push_str(piece);
            continue;
        }
        let (name, width) = piece.split_once("%0").unwrap_or((piece, ""));
        let width = width.strip_suffix('d').and_then(|w| w.parse().ok()).unwrap_or(1).min(32);
        match name {
            "" => out.push('$'),
            "RepresentationID" => out.push_str(&representation.id),
            "Number" => out.push_str(&format!("{number:0width$}")),
            "Time" => out.push_str(&format!("{time:0width$}")),
            "Bandwidth" => out.push_str(&format!("{:0width$}", representation.bandwidth_bps)),
            _ => out.push_str(piece),
        }
    }
    out
}
