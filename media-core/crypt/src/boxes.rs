//! Boxes that tell of protection: in the header `encv`/`enca`, `sinf`, `pssh`; in fragments `seig`.
//!
//! Spec: ISO/IEC 23001-7 §8.1 (`pssh`), §8.2 (`tenc`), ISO/IEC 14496-12 §8.12 (`sinf`).

use bytes::Bytes;
use nx_media::Kind;

use crate::key::{Protection, Scheme};

/// W3C common system: its `pssh` names keys and nothing else; ClearKey players take it.
pub const COMMON: [u8; 16] =
    [0x10, 0x77, 0xef, 0xec, 0xc0, 0xb2, 0x4d, 0x02, 0xac, 0xe3, 0x3c, 0x1e, 0x52, 0xe2, 0xfb, 0x4b];
/// ClearKey as DASH-IF names it in manifests; it has no `pssh` of its own.
pub const CLEARKEY: [u8; 16] =
    [0xe2, 0x71, 0x9d, 0x58, 0xa9, 0x85, 0xb3, 0xc9, 0x78, 0x1a, 0xb0, 0x30, 0xaf, 0x78, 0xd3, 0x0e];
/// Google Widevine.
pub const WIDEVINE: [u8; 16] =
    [0xed, 0xef, 0x8b, 0xa9, 0x79, 0xd6, 0x4a, 0xce, 0xa3, 0xc8, 0x27, 0xdc, 0xd5, 0x1d, 0x21, 0xed];
/// Microsoft PlayReady.
pub const PLAYREADY: [u8; 16] =
    [0x9a, 0x04, 0xf0, 0x79, 0x98, 0x40, 0x42, 0x86, 0xab, 0x92, 0xe6, 0x5b, 0xe0, 0x88, 0x5f, 0x95];
/// Apple FairPlay.
pub const FAIRPLAY: [u8; 16] =
    [0x94, 0xce, 0x86, 0xfb, 0x07, 0xff, 0x4f, 0x43, 0xad, 0xb8, 0x93, 0xd2, 0xfa, 0x96, 0x8c, 0xa2];

/// One block of ten.
const PATTERN: (u8, u8) = (1, 9);
/// Size of an IV that each sample has in `cenc`.
pub(crate) const SAMPLE_IV: u8 = 8;

/// Blocks that are encrypted, and left, in turn; none and none is all.
pub(crate) fn pattern(scheme: Scheme, kind: Kind) -> (u8, u8) {
    if scheme == Scheme::Cbcs && kind == Kind::Video { PATTERN } else { (0, 0) }
}

/// A `pssh` box; with `key_ids` of version 1, without of version 0.
#[must_use]
pub fn pssh(system: &[u8; 16], key_ids: &[[u8; 16]], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + key_ids.len() * 16 + data.len());
    boxed(&mut out, b"pssh", |b| {
        b.extend_from_slice(&[u8::from(!key_ids.is_empty()), 0, 0, 0]);
        b.extend_from_slice(system);
        if !key_ids.is_empty() {
            u32b(b, u32::try_from(key_ids.len()).unwrap_or(0));
            key_ids.iter().for_each(|id| b.extend_from_slice(id));
        }
        u32b(b, u32::try_from(data.len()).unwrap_or(0));
        b.extend_from_slice(data);
    });
    out
}

/// The `pssh` box of the common system, which needs no data.
#[must_use]
pub fn common_pssh(key_id: [u8; 16]) -> Vec<u8> {
    pssh(&COMMON, &[key_id], &[])
}

/// The header of a track ([`nx_container::fmp4::init`]) as that of a protected one; `None` when it is no such header.
#[must_use]
pub fn protect(init: &Bytes, kind: Kind, told: &Protection) -> Option<Bytes> {
    let mut out = init.to_vec();
    let moov = find(&out, 0, out.len(), *b"moov")?;
    let (mut parents, mut at, mut from) = (vec![moov.0], moov, moov.0 + 8);
    for kind in [*b"trak", *b"mdia", *b"minf", *b"stbl", *b"stsd"] {
        at = find(&out, from, at.1, kind)?;
        parents.push(at.0);
        from = at.0 + 8;
    }
    // Version, flags and count of entries; then the only one.
    let entry = at.0 + 16;
    let end = entry.checked_add(usize::try_from(u32_at(&out, entry)?).ok()?).filter(|end| *end == at.1)?;
    let name: [u8; 4] = out.get(entry + 4..entry + 8)?.try_into().ok()?;
    out.get_mut(entry + 4..entry + 8)?.copy_from_slice(if kind == Kind::Video { b"encv" } else { b"enca" });
    parents.push(entry);
    let sinf = sinf(name, kind, told);
    out.splice(end..end, sinf.iter().copied());
    for parent in parents {
        grow(&mut out, parent, sinf.len())?;
    }
    let (before, moov_end) = (out.len(), moov.1 + sinf.len());
    out.splice(moov_end..moov_end, told.systems.iter().flat_map(|s| s.pssh.iter().copied()));
    let more = out.len() - before;
    grow(&mut out, moov.0, more)?;
    Some(out.into())
}

fn sinf(original: [u8; 4], kind: Kind, told: &Protection) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    boxed(&mut out, b"sinf", |b| {
        boxed(b, b"frma", |b| b.extend_from_slice(&original));
        boxed(b, b"schm", |b| {
            u32b(b, 0);
            b.extend_from_slice(told.scheme.name().as_bytes());
            u32b(b, 0x1_0000);
        });
        boxed(b, b"schi", |b| {
            boxed(b, b"tenc", |b| {
                // Version 1 has a pattern.
                b.extend_from_slice(&[u8::from(told.scheme == Scheme::Cbcs), 0, 0, 0, 0]);
                settings(b, kind, told);
            });
        });
    });
    out
}

/// What `tenc` and an entry of `seig` have in common: pattern, protection, IV, key.
fn settings(b: &mut Vec<u8>, kind: Kind, told: &Protection) {
    let (crypt, skip) = pattern(told.scheme, kind);
    let iv_len = if told.scheme == Scheme::Cenc { SAMPLE_IV } else { 0 };
    b.extend_from_slice(&[(crypt << 4) | skip, 1, iv_len]);
    b.extend_from_slice(&told.key_id);
    if told.scheme == Scheme::Cbcs {
        b.push(16);
        b.extend_from_slice(&told.iv);
    }
}

/// `sgpd` and `sbgp` of a fragment: all its samples have this key (ISO/IEC 23001-7 §6).
pub(crate) fn groups(b: &mut Vec<u8>, kind: Kind, told: &Protection, samples: u32) {
    let mut entry = vec![0];
    settings(&mut entry, kind, told);
    boxed(b, b"sgpd", |b| {
        b.extend_from_slice(&[1, 0, 0, 0]);
        b.extend_from_slice(b"seig");
        u32b(b, u32::try_from(entry.len()).unwrap_or(0));
        u32b(b, 1);
        b.extend_from_slice(&entry);
    });
    boxed(b, b"sbgp", |b| {
        u32b(b, 0);
        b.extend_from_slice(b"seig");
        u32b(b, 1);
        u32b(b, samples);
        // Descriptions of this fragment are numbered from here (ISO/IEC 14496-12 §8.9.4).
        u32b(b, 0x1_0001);
    });
}

/// Where a box begins and ends among those between two places.
fn find(data: &[u8], mut from: usize, to: usize, kind: [u8; 4]) -> Option<(usize, usize)> {
    while from < to {
        let len = usize::try_from(u32_at(data, from)?).ok().filter(|len| *len >= 8)?;
        let end = from.checked_add(len).filter(|end| *end <= to)?;
        if data.get(from + 4..from + 8)? == kind {
            return Some((from, end));
        }
        from = end;
    }
    None
}

pub(crate) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Adds to the number of 32 bits at a place.
pub(crate) fn grow(data: &mut [u8], at: usize, more: usize) -> Option<()> {
    let grown = u32_at(data, at)?.checked_add(u32::try_from(more).ok()?)?;
    data.get_mut(at..)?.first_chunk_mut().map(|bytes| *bytes = grown.to_be_bytes())
}

pub(crate) fn boxed(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out);
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(size) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *size = len.to_be_bytes();
    }
}

pub(crate) fn u32b(b: &mut Vec<u8>, value: u32) {
    b.extend_from_slice(&value.to_be_bytes());
}
