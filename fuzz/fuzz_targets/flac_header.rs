//! FLAC stream headers and frames.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_codec::fuzz_audio::flac_header(data));
