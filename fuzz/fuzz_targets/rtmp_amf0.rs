//! AMF0: what decodes encodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_rtmp::fuzz::amf0(data));
