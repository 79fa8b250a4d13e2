//! Opus identification headers and packets.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_codec::fuzz_audio::opus_head(data));
