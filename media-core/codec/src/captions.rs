//! Captions inside pictures: where they are in an access unit, and which services they are for.
//!
//! Nothing here changes a picture: the captions travel on in it, bit by bit as they came. [`cea608`] decodes the older
//! of the two kinds into lines of text.
//!
//! Spec: ATSC A/53 part 4 §6.2.3 (`cc_data` in user data), ITU-T T.35, CEA-608, CEA-708 §5 (packets) and §6 (services).

use std::fmt;

use nx_media::VideoCodec;

use crate::bits::rbsp;
use crate::{avc, hevc};

pub mod cea608;
mod charset;
mod dtvcc;

pub use dtvcc::Seen;

/// Longest SEI unit that is looked into, in bytes: captions of a picture need less than a tenth.
const SEI_BYTES_MAX: usize = 4096;
/// `payloadType` of registered user data.
const SEI_REGISTERED: usize = 4;
/// Country, provider, identifier and type that stand before `cc_data` (A/53 part 4 table 6.7).
const HEAD: [u8; 8] = [0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 3];
/// `process_cc_data_flag`.
const PROCESS: u8 = 0x40;

/// Two bytes of captions and what they are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// CEA-608, field 1 or 2 (as 0 and 1), with parity.
    Line21 {
        /// 0: CC1 and CC2; 1: CC3 and CC4.
        field: u8,
        /// As sent, the first before the second.
        bytes: [u8; 2],
    },
    /// CEA-708: the beginning of a packet, or more of it.
    Dtvcc {
        /// A packet begins.
        start: bool,
        /// As sent.
        bytes: [u8; 2],
    },
}

/// A service that a stream declares: `INSTREAM-ID` of HLS (RFC 8216bis §4.4.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// CEA-608, 1 to 4.
    Cc(u8),
    /// CEA-708, 1 to 63.
    Dtvcc(u8),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cc(n) => write!(f, "CC{n}"),
            Self::Dtvcc(n) => write!(f, "SERVICE{n}"),
        }
    }
}

impl std::str::FromStr for Service {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.parse::<u8>().ok().filter(|n| !text.starts_with('0') && *n <= 63);
        match (text.strip_prefix("CC"), text.strip_prefix("SERVICE")) {
            (Some(n), _) => number(n).filter(|n| *n <= 4).map(Self::Cc).ok_or(()),
            (_, Some(n)) => number(n).map(Self::Dtvcc).ok_or(()),
            _ => Err(()),
        }
    }
}

/// Appends the captions of an access unit to `out`, as they stand in it; those marked invalid are left out.
///
/// `payload` is a sample of H.264 or H.265 with four-byte lengths; of other codecs nothing is found. Only what stands
/// before the first slice is looked at, and of that only units of user data: the cost does not grow with the picture.
pub fn pairs(codec: VideoCodec, payload: &[u8], out: &mut Vec<Pair>) {
    let hevc = match codec {
        VideoCodec::Avc => false,
        VideoCodec::Hevc => true,
        _ => return,
    };
    for nal in avc::nals(payload) {
        let (slice, sei, head) = if hevc {
            let kind = hevc::nal_type(nal);
            (kind < hevc::NAL_VPS, kind == hevc::NAL_SEI_PREFIX, 2)
        } else {
            let kind = avc::nal_type(nal);
            ((1..=avc::NAL_IDR).contains(&kind), kind == avc::NAL_SEI, 1)
        };
        if slice {
            return;
        }
        // Neither of the identifier's letters can be escaped, so a unit without it needs no more work.
        let body = nal.get(head..).filter(|b| sei && b.len() <= SEI_BYTES_MAX);
        if let Some(body) = body.filter(|b| memchr::memmem::find(b, b"GA94").is_some()) {
            messages(&rbsp(body), out);
        }
    }
}

/// Spec: ISO/IEC 14496-10 §7.3.2.3.1, 23008-2 §7.3.5.
fn messages(mut rest: &[u8], out: &mut Vec<Pair>) {
    while let (Some(kind), Some(len)) = (number(&mut rest), number(&mut rest)) {
        let Some((message, behind)) = rest.split_at_checked(len) else { return };
        if kind == SEI_REGISTERED
            && let Some(data) = message.strip_prefix(&HEAD)
        {
            cc_data(data, out);
        }
        rest = behind;
    }
}

/// A type or size: bytes of 255 add up with the first other one.
pub(crate) fn number(data: &mut &[u8]) -> Option<usize> {
    let mut value = 0usize;
    loop {
        let (&byte, tail) = data.split_first()?;
        *data = tail;
        value = value.saturating_add(usize::from(byte));
        if byte != 0xff {
            return Some(value);
        }
    }
}

fn cc_data(data: &[u8], out: &mut Vec<Pair>) {
    let Some((&[flags, _em_data], rest)) = data.split_first_chunk::<2>() else { return };
    if flags & PROCESS == 0 {
        return;
    }
    let (triples, _) = rest.as_chunks::<3>();
    for &[kind, first, second] in triples.iter().take(usize::from(flags & 0x1f)) {
        let bytes = [first, second];
        match (kind & 4 != 0, kind & 3) {
            (true, field @ (0 | 1)) => out.push(Pair::Line21 { field, bytes }),
            (true, kind) => out.push(Pair::Dtvcc { start: kind == 3, bytes }),
            (false, _) => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
