//! What a client of HTTP/2 says.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_h2::fuzz::client(data));
