//! What the bytes of segments, parts and maps must be, beyond what is inside of them.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::evidence::Fetch;
use crate::report::{Report, rules};

use super::about;

rules! {
    PEAK: "HLS-24", Error, "the measured peak bit rate is below 125 % of BANDWIDTH", "rfc8216bis §4.4.6.2; Apple 1.28",
        "raise BANDWIDTH to the measured peak, or limit the encoder";
    VTT_HEAD: "HLS-31a", Error, "a WebVTT segment begins with WEBVTT", "rfc8216bis §3.1.4",
        "write the header into each segment";
    VTT_MAP: "HLS-31b", Warning, "a WebVTT segment has X-TIMESTAMP-MAP", "rfc8216bis §3.1.4; Apple 5.3",
        "write X-TIMESTAMP-MAP into each segment";
    HINT_REFUSED: "HLS-47d", Error, "an announced part can be asked for before it is complete", "rfc8216bis §6.2.6",
        "hold the request until the part is complete";
    HINT_DIFFERS: "HLS-47e", Error, "an announced part is the part that is listed later", "rfc8216bis §6.2.6",
        "serve one body for one address";
}

/// Segments remembered per rendition for the bit rate.
const SIZES_MAX: usize = 64;

/// Sizes and durations of the segments of one rendition.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// By media sequence number: bytes and microseconds.
    sizes: BTreeMap<u64, (u64, u64)>,
}

impl Rates {
    pub(crate) fn add(&mut self, msn: u64, bytes: usize, duration_us: u64) {
        self.sizes.insert(msn, (u64::try_from(bytes).unwrap_or(u64::MAX), duration_us));
        if self.sizes.len() > SIZES_MAX {
            self.sizes.pop_first();
        }
    }

    /// Largest bit rate of a segment that lasts at least half a target duration (rfc8216bis §4.1: peak segment bit
    /// rate).
    pub(crate) fn peak_bps(&self, target_us: u64) -> Option<u64> {
        let long = self.sizes.values().filter(|(_, us)| *us > 0 && *us >= target_us / 2);
        long.map(|(bytes, us)| bytes.saturating_mul(8).saturating_mul(1_000_000) / us).max()
    }
}

/// A text segment.
pub(crate) fn text(fetch: &Fetch, report: &mut Report) {
    let body = fetch.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&fetch.body);
    if !body.starts_with(b"WEBVTT") {
        report.add(&VTT_HEAD, about(fetch, "does not begin with WEBVTT"));
    } else if !body.windows(15).any(|w| w == b"X-TIMESTAMP-MAP") {
        report.add(&VTT_MAP, about(fetch, "no X-TIMESTAMP-MAP"));
    }
}

/// The answer to the request for an announced part. A plan may change, so 404 at the end of a hold is no fault.
pub(crate) fn hint(fetch: &Fetch, part_target_us: u64, report: &mut Report) {
    let held_us = fetch.first_byte_us.saturating_sub(fetch.asked_us);
    if !fetch.is_good() && held_us < part_target_us / 10 {
        report.add(&HINT_REFUSED, about(fetch, format!("status {} at once", fetch.status)));
    }
}

/// The bytes under one address, first as announced, then as listed.
pub(crate) fn same(fetch: &Fetch, hinted: &Bytes, report: &mut Report) {
    if *hinted != fetch.body {
        let what =
            format!("{} bytes when announced, {} when listed, not the same", hinted.len(), fetch.body.len());
        report.add(&HINT_DIFFERS, about(fetch, what));
    }
}
