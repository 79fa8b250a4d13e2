//! Bodies of the fuzz targets: each asserts a property for any input. Not part of the public promise.

use crate::h1::head::{self, HEAD_MAX, Read};

/// A head takes no more bytes than were given, and is the same however much comes behind it.
///
/// # Panics
///
/// When a property does not hold.
pub fn http_head(data: &[u8]) {
    if let Ok(Read::Ours(whole, len)) = head::read(data) {
        assert!(len <= data.len() && len <= HEAD_MAX);
        let alone = head::read(data.get(..len).unwrap_or_default());
        assert!(matches!(alone, Ok(Read::Ours(head, l)) if l == len && head.keep_alive == whole.keep_alive));
    }
}
