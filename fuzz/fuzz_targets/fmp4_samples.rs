//! CMAF fragments as we read them back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_container::fuzz::fmp4_samples(data));
