//! What a NAL unit is to the access unit that it is in.

use nx_media::VideoCodec;

use crate::bits::{Bits, rbsp};
use crate::captions::number;
use crate::{avc, hevc};

/// Bytes that hold the first two numbers of a slice header, escaped or not.
const SLICE_HEAD_LEN: usize = 16;
/// `payloadType` of a recovery point SEI message.
const SEI_RECOVERY_POINT: usize = 6;

/// What a NAL unit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// An access unit delimiter: begins one.
    Delimiter,
    /// A parameter set: begins one, when it stands behind a slice.
    Set,
    /// Stands in front of slices, as SEI does: begins one, when it stands behind a slice.
    Prefix {
        /// Output is right from this access unit on if it is intra (recovery point without a count).
        recovery: bool,
    },
    /// A piece of a picture.
    Slice {
        /// Its first one: begins an access unit, when it stands behind a slice.
        first: bool,
        /// Decoding can start here.
        key: bool,
        /// Predicted from other pictures.
        inter: bool,
    },
    /// Stands behind slices.
    Suffix,
    /// Of no use: another layer, or nothing in it.
    Foreign,
}

/// Spec: ISO/IEC 14496-10 §7.4.1.2.3, ISO/IEC 23008-2 §7.4.2.4.4.
pub(super) fn role(codec: VideoCodec, nal: &[u8]) -> Role {
    match codec {
        VideoCodec::Hevc => hevc_role(nal),
        _ => avc_role(nal),
    }
}

fn avc_role(nal: &[u8]) -> Role {
    match avc::nal_type(nal) {
        0 => Role::Foreign,
        kind @ (1 | 2 | avc::NAL_IDR) => {
            let (first, inter) = avc_slice(nal);
            Role::Slice { first, key: kind == avc::NAL_IDR, inter }
        }
        // Data partitions B and C.
        3 | 4 => Role::Slice { first: false, key: false, inter: true },
        avc::NAL_SEI => Role::Prefix { recovery: recovers_at_once(nal) },
        avc::NAL_SPS | avc::NAL_PPS => Role::Set,
        avc::NAL_AUD => Role::Delimiter,
        14..=18 => Role::Prefix { recovery: false },
        _ => Role::Suffix,
    }
}

fn hevc_role(nal: &[u8]) -> Role {
    let Some(&[first, second]) = nal.first_chunk::<2>() else { return Role::Foreign };
    // nuh_layer_id
    if (first & 1, second >> 3) != (0, 0) {
        return Role::Foreign;
    }
    match hevc::nal_type(nal) {
        kind @ 0..32 => Role::Slice {
            first: nal.get(2).is_some_and(|b| b & 0x80 != 0),
            key: hevc::is_irap_type(kind),
            inter: true,
        },
        hevc::NAL_VPS | hevc::NAL_SPS | hevc::NAL_PPS => Role::Set,
        hevc::NAL_AUD => Role::Delimiter,
        hevc::NAL_SEI_PREFIX | 41..=44 | 48..=55 => Role::Prefix { recovery: false },
        _ => Role::Suffix,
    }
}

/// Whether `first_mb_in_slice` is 0, and whether `slice_type` is another than I.
fn avc_slice(nal: &[u8]) -> (bool, bool) {
    let head = rbsp(nal.get(1..nal.len().min(SLICE_HEAD_LEN)).unwrap_or_default());
    let mut bits = Bits::new(&head);
    let (first_mb, slice_type) = (bits.ue(), bits.ue());
    (first_mb == Some(0), !matches!(slice_type, Some(2 | 7)))
}

/// Whether the SEI has a recovery point with `recovery_frame_cnt` 0: an open group of pictures begins.
///
/// Spec: ISO/IEC 14496-10 §7.3.2.3.1, §D.1.8.
fn recovers_at_once(nal: &[u8]) -> bool {
    let data = rbsp(nal.get(1..).unwrap_or_default());
    let mut rest = &data[..];
    while let (Some(kind), Some(len)) = (number(&mut rest), number(&mut rest)) {
        if kind == SEI_RECOVERY_POINT {
            // ue(v) of 0 is one bit.
            return len > 0 && rest.first().is_some_and(|b| b & 0x80 != 0);
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    false
}
