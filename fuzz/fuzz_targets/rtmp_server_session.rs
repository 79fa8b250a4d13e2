//! A whole RTMP server session after its handshake.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_rtmp::fuzz::server_session(data));
