//! Body of the fuzz target. Not part of the public promise.

use bytes::Bytes;

use crate::{LENGTH, Reply, Request};

/// What reads is written as it was read, from either side; but for a reason that is no text.
///
/// # Panics
///
/// When a property does not hold.
pub fn frame(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    if let Ok(request) = Request::read(frame.clone()) {
        let written = request.write().unwrap_or_default();
        assert_eq!(written.get(LENGTH..), Some(data), "{request:?}");
    }
    if let Ok(reply) = Reply::read(frame) {
        let written = reply.write().unwrap_or_default();
        let plain = !matches!(&reply, Reply::Failed(why) | Reply::Refused { why, .. }
            if why.contains(char::REPLACEMENT_CHARACTER));
        assert!(!plain || written.get(LENGTH..) == Some(data), "{reply:?}");
    }
}
