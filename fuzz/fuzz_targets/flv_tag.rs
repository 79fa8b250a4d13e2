//! FLV tag bodies, plain and enhanced.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_container::fuzz::flv_tag(data));
