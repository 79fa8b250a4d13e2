//! AV1 configuration records and temporal units.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_codec::fuzz::av1_config(data));
