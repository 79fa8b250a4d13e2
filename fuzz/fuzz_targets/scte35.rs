//! SCTE 35 sections.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_container::fuzz_ts::scte35(data));
