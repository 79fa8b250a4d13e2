//! H.264 and H.265 byte streams, cut into units.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_codec::fuzz::elementary_video(data));
