//! MP4 files as an index.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_container::fuzz::mp4_index(data));
