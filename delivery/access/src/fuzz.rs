//! Bodies of the fuzz targets: each asserts a property for any input. Not part of the public promise.

use crate::claims::Claims;
use crate::cose;
use crate::keys::Keys;

const KEYS: &str = "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"k\", \"k\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}";

/// Nothing is proved that was not made, and what a payload says can be said again.
///
/// # Panics
///
/// When a property does not hold.
pub fn token(data: &[u8]) {
    if let Ok(keys) = Keys::parse(KEYS) {
        assert!(cose::open(data, &keys).is_err());
    }
    if let Ok(claims) = Claims::read(data) {
        assert_eq!(Claims::read(&claims.write()), Ok(claims));
    }
}
