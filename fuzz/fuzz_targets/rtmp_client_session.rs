//! A whole RTMP client session after its handshake.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_rtmp::fuzz::client_session(data));
