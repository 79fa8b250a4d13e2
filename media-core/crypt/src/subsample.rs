//! Which bytes of a sample are encrypted.
//!
//! * Sound: all of it (ISO/IEC 23001-7 §9.5.1 full sample encryption). What is no whole block at the end stays clear in
//!   `cbcs`.
//! * H.264, H.265: slices, behind their first 32 bytes, the length in front not counted; every other NAL unit is clear.
//!   Decoders in hardware read slice headers in front of decryption. Theirs have no fixed length; 32 bytes is what Apple's
//!   "MPEG-2 Stream Encryption Format for HTTP Live Streaming" leaves of each slice, so what plays there plays here. A
//!   slice of 48 bytes or less is clear there too. In `cenc` the protected bytes are whole blocks (CMAF, ISO/IEC
//!   23000-19 §8.2.2.3): what is over is clear in front.
//! * AV1, VP9: refused. Their rules ask for parsing of frame headers, and a rule of thumb would break players.

use nx_media::{Params, VideoCodec};

use crate::cipher::BLOCK;
use crate::key::Scheme;

/// Bytes of a NAL unit with a slice that stay clear, its length field not counted.
const LEAD: usize = 32;
/// Least length of a protected range.
const LEAST: usize = BLOCK + 1;
/// Ranges of a sample at most: `saiz` has a byte for their size. Behind them all is protected.
const RANGES_MAX: usize = 40;
/// Bytes of the length in front of a NAL unit.
const LENGTH: usize = 4;

/// No way to encrypt this codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{codec} cannot be encrypted yet: send H.264 or H.265, or take the stream out of the encryption")]
pub struct NotEncryptable {
    /// As people write it.
    pub codec: &'static str,
}

/// Clear bytes, and behind them protected ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sub {
    pub(crate) clear: u16,
    pub(crate) protected: u32,
}

/// Whether a track can be encrypted.
///
/// # Errors
/// [`NotEncryptable`].
pub fn check(params: &Params) -> Result<(), NotEncryptable> {
    match params {
        Params::Audio(_) => Ok(()),
        Params::Video(v) => match v.codec {
            VideoCodec::Avc | VideoCodec::Hevc => Ok(()),
            VideoCodec::Av1 => Err(NotEncryptable { codec: "AV1" }),
            VideoCodec::Vp9 => Err(NotEncryptable { codec: "VP9" }),
            _ => Err(NotEncryptable { codec: "this codec" }),
        },
    }
}

/// The ranges of a sample of pictures, from its beginning to its end; `None` of sound: all is protected. What cannot be
/// read as NAL units is protected.
pub(crate) fn ranges(params: &Params, scheme: Scheme, sample: &[u8]) -> Option<Vec<Sub>> {
    let Params::Video(video) = params else { return None };
    let is_slice: fn(u8) -> bool = match video.codec {
        VideoCodec::Hevc => |first| (first >> 1) & 0x3f < 32,
        _ => |first| matches!(first & 0x1f, 1..=5),
    };
    let (mut subs, mut clear, mut rest) = (Vec::new(), 0, sample);
    while !rest.is_empty() {
        let unit = rest.split_first_chunk::<LENGTH>().and_then(|(length, data)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            data.split_at_checked(length)
        });
        let Some((unit, next)) = unit else {
            push(&mut subs, clear, rest.len());
            return Some(subs);
        };
        let protected = match unit.first() {
            Some(first) if is_slice(*first) => unit.len().saturating_sub(LEAD),
            _ => 0,
        };
        let protected = match scheme {
            _ if protected < LEAST => 0,
            Scheme::Cbcs => protected,
            Scheme::Cenc => protected - protected % BLOCK,
        };
        clear += LENGTH + unit.len() - protected;
        let spare = RANGES_MAX.saturating_sub(subs.len() + clear / usize::from(u16::MAX) + 1);
        if protected > 0 && spare < 2 {
            let all = protected + next.len();
            let over = if scheme == Scheme::Cenc { all % BLOCK } else { 0 };
            push(&mut subs, clear + over, all - over);
            return Some(subs);
        }
        if protected > 0 {
            push(&mut subs, std::mem::take(&mut clear), protected);
        }
        rest = next;
    }
    if clear > 0 {
        push(&mut subs, clear, 0);
    }
    Some(subs)
}

/// A clear range may be longer than its field: then it takes several.
fn push(subs: &mut Vec<Sub>, mut clear: usize, protected: usize) {
    while clear > usize::from(u16::MAX) {
        subs.push(Sub { clear: u16::MAX, protected: 0 });
        clear -= usize::from(u16::MAX);
    }
    let clear = u16::try_from(clear).unwrap_or(u16::MAX);
    subs.push(Sub { clear, protected: u32::try_from(protected).unwrap_or(u32::MAX) });
}
