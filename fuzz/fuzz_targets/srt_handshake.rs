//! SRT handshakes and control packets of strangers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_srt::fuzz::handshake(data));
