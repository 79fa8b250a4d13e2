//! Encryption of segments in MPEG-TS: whole, or of the samples that go into one.
//!
//! Spec: RFC 8216bis §4.4.4.4 (`AES-128`); Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming" (`SAMPLE-AES`).

use bytes::Bytes;
use nx_media::{Params, Sample};

use crate::cipher::{BLOCK, Way, cbc};
use crate::key::Key;

/// Bytes of a slice, and of sound behind its ADTS header, that stay clear.
const SLICE_LEAD: usize = 32;
const SOUND_LEAD: usize = 16;
/// One block of ten.
const SLICE_PATTERN: (u8, u8) = (1, 9);
/// Bytes of the length in front of a NAL unit.
const LENGTH: usize = 4;

/// A segment, wholly encrypted: AES-CBC with PKCS #7. The IV is its `number`, which a player takes for it by itself when
/// that is its media sequence number.
#[must_use]
pub fn seal_segment(segment: &[u8], key: &Key, number: u64) -> Bytes {
    let fill = BLOCK - segment.len() % BLOCK;
    let mut data = Vec::with_capacity(segment.len() + fill);
    data.extend_from_slice(segment);
    data.resize(segment.len() + fill, u8::try_from(fill).unwrap_or(0));
    cbc(&key.cipher(), Way::In, &u128::from(number).to_be_bytes(), (0, 0), &mut data);
    data.into()
}

/// Samples of H.264 or AAC, encrypted one by one with the IV of the key, for
/// [`nx_container::ts::sample_aes_segment`].
pub fn seal_samples(samples: &mut [Sample], params: &Params, key: &Key) {
    let (aes, iv) = (key.cipher(), &key.told.iv);
    for sample in samples {
        sample.payload = match params {
            Params::Audio(_) => {
                let mut data = sample.payload.to_vec();
                cbc(&aes, Way::In, iv, (0, 0), data.get_mut(SOUND_LEAD..).unwrap_or_default());
                data.into()
            }
            Params::Video(_) => {
                let slice = |unit: &mut [u8]| {
                    // The last byte stays clear: a NAL unit does not end with 0.
                    let end = unit.len().saturating_sub(1);
                    cbc(&aes, Way::In, iv, SLICE_PATTERN, unit.get_mut(SLICE_LEAD..end).unwrap_or_default());
                };
                slices(&sample.payload, slice)
            }
        };
    }
}

/// Has the slices among NAL units encrypted that are long enough for it, and takes care that no start code comes of that.
/// What cannot be read as NAL units is dropped.
fn slices(payload: &[u8], encrypt: impl Fn(&mut [u8])) -> Bytes {
    let (mut out, mut rest) = (Vec::with_capacity(payload.len() + payload.len() / 64), payload);
    while let Some((length, behind)) = rest.split_first_chunk::<LENGTH>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((unit, next)) = behind.split_at_checked(length) else { break };
        rest = next;
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH]);
        let is_slice = matches!(unit.first().map(|first| first & 0x1f), Some(1 | 5));
        if is_slice && unit.len() > SLICE_LEAD + BLOCK {
            let mut unit = unit.to_vec();
            encrypt(&mut unit);
            escape(&unit, &mut out);
        } else {
            out.extend_from_slice(unit);
        }
        let length = u32::try_from(out.len() - start - LENGTH).unwrap_or(u32::MAX);
        if let Some(field) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *field = length.to_be_bytes();
        }
    }
    out.into()
}

/// Emulation prevention (ISO/IEC 14496-10 §7.4.1), of what may have it already: it is undone before decryption.
fn escape(unit: &[u8], out: &mut Vec<u8>) {
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
}
