//! Frames of the live plane: windows and events of live streams.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nx_plane::fuzz::frames(data));
