//! DASH manifests of a live window: the same CMAF chunks that HLS serves, under another index.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]
