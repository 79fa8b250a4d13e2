//! Frames between the origin and a worker, from either side.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_worker_protocol::fuzz::frame(data));
