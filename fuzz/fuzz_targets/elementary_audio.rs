//! Audio streams of a transport stream, cut into units.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_codec::fuzz_audio::elementary_audio(data));
