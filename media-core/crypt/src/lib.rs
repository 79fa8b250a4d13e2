//! Common encryption of CMAF, and that of MPEG-TS in HLS: parts and headers in, encrypted ones out; what is told of
//! keys, never keys.
//!
//! | specification | where |
//! | --- | --- |
//! | ISO/IEC 23001-7 (common encryption): `cenc`, `cbcs`, §7 auxiliary information, §8 `pssh`, `tenc`, `senc` | [`seal`], [`protect`] |
//! | ISO/IEC 23001-7 §6 (`seig`): a part says its own key, so a header of the key before does no harm | [`seal`] |
//! | RFC 8216bis §4.4.4.4 (`AES-128`) | [`seal_segment`] |
//! | Apple, MPEG-2 Stream Encryption Format for HTTP Live Streaming (`SAMPLE-AES`) | [`seal_samples`] |
//! | DASH-IF CPIX 2.3 | [`cpix`] |
//!
//! [`seal`] takes a part that the container wrote and encrypts it where it lies; [`open`] gives its samples back.
//! Which bytes of a sample stay clear is in `subsample`.
//!
//! Not here: where keys come from (`nx-origin`), playlists and manifests (`nx-hls`, `nx-dash`).
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod boxes;
mod cipher;
pub mod cpix;
mod key;
mod seal;
mod subsample;
mod ts;

pub use boxes::{CLEARKEY, COMMON, FAIRPLAY, PLAYREADY, WIDEVINE, common_pssh, protect, pssh};
pub use key::{HlsKey, Key, Protection, Scheme, System, TsCipher, base64, from_base64, hex, parse_hex, uuid};
pub use seal::{SealError, open, seal};
pub use subsample::{NotEncryptable, check};
pub use ts::{seal_samples, seal_segment};

#[cfg(test)]
mod tests;
