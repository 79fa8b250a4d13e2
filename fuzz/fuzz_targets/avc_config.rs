//! H.264 decoder configuration records.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_codec::fuzz::avc_config(data));
