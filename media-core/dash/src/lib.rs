//! DASH manifests of a live window: the same CMAF chunks that HLS serves, under another index.
//!
//! | specification | where |
//! | --- | --- |
//! | ISO/IEC 23009-1 (DASH), §5 manifest, §5.3.9.6 segment timeline, annex K low latency | [`manifest`] |
//! | DASH-IF low-latency modes: `availabilityTimeOffset`, chunks of a segment that is being made | `timeline` |
//!
//! A manifest is a function of the window alone: the same window gives the same bytes, whoever asks and whenever.
//! Presentation time is Unix time (`availabilityStartTime` is 1970), so that nothing has to be remembered. A run
//! of the stream is a Period.
//!
//! Not here: HTTP, segments that are sent while they are made (`nx-delivery`).
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod manifest;
mod sets;
mod timeline;

pub use manifest::{manifest, manifest_steered};

#[cfg(test)]
mod tests;
