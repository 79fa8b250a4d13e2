//! SCTE-35 cues as what playlists can say.

use nx_container::scte35::{Command, Splice};
use nx_hls::DateRange;

/// Segmentation types that begin something, each followed by the one that ends it (SCTE 35 table 23).
const STARTS: std::ops::RangeInclusive<u8> = 0x10..=0x50;
/// Types below this are about programmes and chapters; breaks, advertisements and placements begin here.
const FIRST_BREAK: u8 = 0x22;

/// What a splice section announces. `at_us` turns its time, or `None` for "now", into stream time.
pub(crate) fn ranges(splice: &Splice, at_us: impl Fn(Option<u64>) -> i64) -> Vec<DateRange> {
    let pts_us = at_us(splice.time());
    let raw = || Some(splice.raw.clone());
    let us = |ticks: u64| ticks.saturating_mul(100) / 9;
    match &splice.command {
        Command::Insert(insert) => {
            let Some(action) = insert.action else { return Vec::new() };
            let range =
                DateRange { id: format!("splice-{}", insert.event_id), pts_us, ..DateRange::default() };
            let planned_duration_us = action.duration.map(|d| us(d.duration_90k));
            vec![match action.out_of_network {
                true => DateRange { planned_duration_us, scte35_out: raw(), ..range },
                false => DateRange { scte35_in: raw(), ..range },
            }]
        }
        Command::TimeSignal { .. } => {
            let segments = splice.segmentation.iter().filter_map(|s| Some((s.event_id, s.segment.as_ref()?)));
            let range = |(event_id, segment): (u32, &nx_container::scte35::Segment)| {
                let range =
                    DateRange { id: format!("segmentation-{event_id}"), pts_us, ..DateRange::default() };
                let planned_duration_us = segment.duration_90k.map(us);
                if segment.type_id < FIRST_BREAK || !STARTS.contains(&segment.type_id) {
                    DateRange { planned_duration_us, scte35_cmd: raw(), ..range }
                } else if segment.type_id % 2 == 0 {
                    DateRange { planned_duration_us, scte35_out: raw(), ..range }
                } else {
                    DateRange { scte35_in: raw(), ..range }
                }
            };
            segments.map(range).collect()
        }
        _ => Vec::new(),
    }
}
