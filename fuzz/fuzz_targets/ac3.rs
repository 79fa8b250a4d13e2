//! AC-3, E-AC-3 and MPEG audio headers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_codec::fuzz_audio::ac3(data));
