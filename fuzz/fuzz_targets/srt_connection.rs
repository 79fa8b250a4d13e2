//! An SRT connection after its handshake.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_srt::fuzz::connection(data));
