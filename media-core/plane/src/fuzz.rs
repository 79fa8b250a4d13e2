//! What the fuzz target and the tests ask of any bytes.

use bytes::Bytes;

use crate::{Message, Reader, Told};

/// Frames from anybody: read without a panic, and what is read says the same when it is written again.
///
/// # Panics
/// When that is not so.
pub fn frames(data: &[u8]) {
    let mut reader = Reader::default();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (frame, after) = after.split_at(after.len().min(usize::from(u16::from_be_bytes(*length))));
        rest = after;
        match reader.take(Bytes::copy_from_slice(frame)) {
            Ok(None) => {}
            Ok(Some((at_ms, told))) => same_again(at_ms, &told),
            Err(_) => return,
        }
    }
}

fn same_again(at_ms: i64, told: &Told) {
    let message = match told {
        Told::Window(window) => Message::window(at_ms, window),
        Told::Event(event) => Message::event(at_ms, event),
    };
    let message = message.expect("what was read can be written");
    let mut reader = Reader::default();
    let again = message.frames().filter_map(|f| reader.take(f).expect("what was written can be read")).last();
    let again = again.expect("it is whole");
    assert_eq!(again.0, at_ms, "the time is another");
    assert_eq!(format!("{:?}", again.1), format!("{told:?}"), "the value is another");
}
