//! Files of Matroska, FLV and transport streams: any bytes give an index that is sound, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_container::fuzz_files::files(data));
