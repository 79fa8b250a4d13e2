//! When which frame was sent. Frames are told apart by their last bytes, which no server changes.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

const TAIL: usize = 24;

/// Frames and the moment just before they were written; a clip that repeats writes over its older moments.
#[derive(Debug, Default)]
pub(crate) struct Sent(Mutex<HashMap<[u8; TAIL], Instant>>);

impl Sent {
    /// This message goes out now.
    pub(crate) fn note(&self, body: &[u8]) {
        if let Some(tail) = body.last_chunk() {
            self.0.lock().expect("nobody panics here").insert(*tail, Instant::now());
        }
    }

    /// When the frame at the end of these bytes was sent.
    pub(crate) fn at_end_of(&self, bytes: &[u8]) -> Option<Instant> {
        self.0.lock().expect("nobody panics here").get(bytes.last_chunk::<TAIL>()?).copied()
    }
}
