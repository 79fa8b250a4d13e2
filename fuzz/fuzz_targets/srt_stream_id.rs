//! SRT stream ids in every form.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_srt::fuzz::stream_id(data));
