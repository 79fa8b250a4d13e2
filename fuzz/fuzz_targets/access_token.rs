//! Playback tokens, and what they say.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_access::fuzz::token(data));
