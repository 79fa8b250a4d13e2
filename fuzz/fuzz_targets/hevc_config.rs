//! H.265 decoder configuration records.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_codec::fuzz::hevc_config(data));
