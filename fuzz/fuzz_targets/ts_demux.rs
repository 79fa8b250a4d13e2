//! Transport streams: any cut gives the same units.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_container::fuzz_ts::ts_demux(data));
