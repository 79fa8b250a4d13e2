//! Heads of HTTP/1.1 requests.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_delivery::fuzz::http_head(data));
