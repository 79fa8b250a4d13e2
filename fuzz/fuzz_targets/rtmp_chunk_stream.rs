//! RTMP chunks: any split gives the same messages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_rtmp::fuzz::chunk_stream(data));
