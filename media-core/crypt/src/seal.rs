//! Encrypts a part where it lies, and gives the samples of an encrypted one back.
//!
//! `senc`, `saiz`, `saio` (and `sgpd`, `sbgp` where the part says its own key) go behind the `trun`; what stands in front
//! of the `moof` stays. Sizes of samples do not change, so neither do tables that point at them.
//!
//! Spec: ISO/IEC 23001-7 §7, ISO/IEC 14496-12 §8.7.8 and §8.7.9.

use bytes::Bytes;
use nx_container::fmp4::{self, Header, ReadError};
use nx_media::{Kind, Params, Sample};

use crate::boxes::{SAMPLE_IV, boxed, groups, grow, pattern, u32_at, u32b};
use crate::cipher::{Ctr, Way, cbc};
use crate::key::{Key, Scheme};
use crate::subsample::{self, NotEncryptable, Sub};

/// `senc` has ranges.
const RANGES: u32 = 2;
/// Size of `mfhd`; of the headers of `moof` and `traf`; of `tfdt` as the container writes them.
const MFHD: usize = 16;
const BOX: usize = 8;
const TFDT: usize = 20;

/// The part is not encrypted, and not to be given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Not a part of the container's making.
    #[error("a part that cannot be read cannot be encrypted: {0}")]
    Part(#[from] ReadError),
    /// Less than a part.
    #[error("a part that is not whole cannot be encrypted")]
    Torn,
    /// Its codec has no rule here.
    #[error(transparent)]
    Codec(#[from] NotEncryptable),
    /// The ranges do not fit the samples.
    #[error("ranges of sample {0} do not fit it: the part is damaged, or not of this server")]
    Ranges(usize),
}

/// Encrypts a part ([`fmp4::fragment_behind`]). `first_iv` is the IV of its first sample in `cenc`, each further sample has
/// the next: no two samples under one key may have the same. `own` writes down which key it is, for players that have
/// the header of another.
///
/// # Errors
/// [`SealError`].
pub fn seal(part: &Bytes, params: &Params, key: &Key, first_iv: u64, own: bool) -> Result<Bytes, SealError> {
    subsample::check(params)?;
    let Header::Whole(fragment, media, end) = fmp4::header(part)? else { return Err(SealError::Torn) };
    let moof = moof_at(part).ok_or(SealError::Torn)?;
    let scheme = key.told.scheme;
    let mut data = part.get(..end).ok_or(SealError::Torn)?.to_vec();
    let mut ranges = Vec::with_capacity(fragment.samples.len());
    let (mut rest, aes) = (data.get_mut(media..).ok_or(SealError::Torn)?, key.cipher());
    for (nth, sample) in (0..).zip(&fragment.samples) {
        let (this, next) = usize::try_from(sample.size)
            .ok()
            .and_then(|n| rest.split_at_mut_checked(n))
            .ok_or(SealError::Torn)?;
        let subs = subsample::ranges(params, scheme, this);
        let iv = first_iv.wrapping_add(nth).to_be_bytes();
        crypt(&aes, Way::In, key, params.kind(), iv, subs.as_deref(), this).ok_or(SealError::Torn)?;
        ranges.push(subs);
        rest = next;
    }
    let count = u32::try_from(ranges.len()).map_err(|_| SealError::Torn)?;
    let mut more = Vec::with_capacity(128 + ranges.len() * 24);
    told(&mut more, scheme, &ranges, first_iv, media - BOX - moof);
    if own {
        groups(&mut more, params.kind(), &key.told, count);
    }
    insert(data, moof, media, &more).ok_or(SealError::Torn)
}

/// The samples of encrypted parts that lie one behind the other, decrypted.
///
/// # Errors
/// [`SealError`].
pub fn open(parts: &Bytes, params: &Params, key: &Key) -> Result<Vec<Sample>, SealError> {
    let (mut samples, mut rest, aes) = (Vec::new(), parts.clone(), key.cipher());
    while !rest.is_empty() {
        let Header::Whole(_, _, end) = fmp4::header(&rest)? else { return Err(SealError::Torn) };
        if end == 0 || end > rest.len() {
            return Err(SealError::Torn);
        }
        open_part(&rest.split_to(end), params, key, &aes, &mut samples)?;
    }
    Ok(samples)
}

fn open_part(
    part: &Bytes,
    params: &Params,
    key: &Key,
    aes: &aes::Aes128,
    all: &mut Vec<Sample>,
) -> Result<(), SealError> {
    let moof = moof_at(part).ok_or(SealError::Torn)?;
    let entries = entries(part, moof, key.told.scheme);
    let mut samples = fmp4::samples(part)?;
    for (nth, sample) in samples.iter_mut().enumerate() {
        let none = ([0; 8], None);
        let (iv, subs) =
            entries.as_ref().map_or(Some(&none), |e| e.get(nth)).ok_or(SealError::Ranges(nth))?;
        let mut data = sample.payload.to_vec();
        crypt(aes, Way::Out, key, params.kind(), *iv, subs.as_deref(), &mut data)
            .ok_or(SealError::Ranges(nth))?;
        sample.payload = data.into();
    }
    all.append(&mut samples);
    Ok(())
}

/// Encrypts or decrypts a sample; `None` when the ranges go beyond it.
fn crypt(
    aes: &aes::Aes128,
    way: Way,
    key: &Key,
    kind: Kind,
    iv: [u8; 8],
    subs: Option<&[Sub]>,
    sample: &mut [u8],
) -> Option<()> {
    let blocks = pattern(key.told.scheme, kind);
    let mut ctr = Ctr::new(aes, iv);
    let mut apply = |data: &mut [u8]| match key.told.scheme {
        Scheme::Cbcs => cbc(aes, way, &key.told.iv, blocks, data),
        Scheme::Cenc => ctr.apply(data),
    };
    let Some(subs) = subs else {
        apply(sample);
        return Some(());
    };
    let mut rest = sample;
    for sub in subs {
        let (_, behind) = rest.split_at_mut_checked(sub.clear.into())?;
        let (protected, next) = behind.split_at_mut_checked(usize::try_from(sub.protected).ok()?)?;
        apply(protected);
        rest = next;
    }
    Some(())
}

/// `senc` with `saiz` and `saio`; nothing where each sample is wholly protected with the one IV. `moof_len` is the size of
/// the `moof` before anything is added.
fn told(b: &mut Vec<u8>, scheme: Scheme, ranges: &[Option<Vec<Sub>>], first_iv: u64, moof_len: usize) {
    let any = ranges.iter().any(Option::is_some);
    if !any && scheme == Scheme::Cbcs {
        return;
    }
    let count = u32::try_from(ranges.len()).unwrap_or(0);
    let (mut sizes, mut most) = (Vec::with_capacity(ranges.len()), 0);
    boxed(b, b"senc", |b| {
        u32b(b, if any { RANGES } else { 0 });
        u32b(b, count);
        for (nth, subs) in (0..).zip(ranges) {
            let start = b.len();
            if scheme == Scheme::Cenc {
                b.extend_from_slice(&first_iv.wrapping_add(nth).to_be_bytes());
            }
            if let Some(subs) = subs {
                b.extend_from_slice(&u16::try_from(subs.len()).unwrap_or(u16::MAX).to_be_bytes());
                for sub in subs {
                    b.extend_from_slice(&sub.clear.to_be_bytes());
                    u32b(b, sub.protected);
                }
            }
            sizes.push(b.len() - start);
            most = most.max(b.len() - start);
        }
    });
    boxed(b, b"saiz", |b| {
        u32b(b, 0);
        let same = sizes.iter().all(|s| *s == most);
        b.push(if same { u8::try_from(most).unwrap_or(u8::MAX) } else { 0 });
        u32b(b, count);
        if !same {
            b.extend(sizes.iter().map(|s| u8::try_from(*s).unwrap_or(u8::MAX)));
        }
    });
    boxed(b, b"saio", |b| {
        u32b(b, 0);
        u32b(b, 1);
        // Behind the header of `senc`, its version, flags and count.
        u32b(b, u32::try_from(moof_len + BOX + 8).unwrap_or(0));
    });
}

/// Puts boxes at the end of the `traf`, which ends the `moof`, which ends where the header of `mdat` begins.
fn insert(mut data: Vec<u8>, moof: usize, media: usize, more: &[u8]) -> Option<Bytes> {
    let traf = moof + BOX + MFHD;
    let tfhd = traf + BOX;
    let trun = tfhd + usize::try_from(u32_at(&data, tfhd)?).ok()? + TFDT;
    for at in [moof, traf, trun + 16] {
        grow(&mut data, at, more.len())?;
    }
    let at = media.checked_sub(BOX)?;
    let mut out = Vec::with_capacity(data.len() + more.len());
    out.extend_from_slice(data.get(..at)?);
    out.extend_from_slice(more);
    out.extend_from_slice(data.get(at..)?);
    Some(out.into())
}

/// Where the `moof` begins.
fn moof_at(part: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    while part.get(at + 4..at + 8)? != b"moof" {
        at = at.checked_add(usize::try_from(u32_at(part, at)?).ok().filter(|len| *len >= BOX)?)?;
    }
    Some(at)
}

/// What `senc` says of each sample; `None` without one.
type Entries = Vec<([u8; 8], Option<Vec<Sub>>)>;

fn entries(part: &[u8], moof: usize, scheme: Scheme) -> Option<Entries> {
    let end = moof.checked_add(usize::try_from(u32_at(part, moof)?).ok()?)?;
    let mut at = moof + BOX + MFHD + BOX;
    while part.get(at + 4..at + 8)? != b"senc" {
        at = at.checked_add(usize::try_from(u32_at(part, at)?).ok().filter(|len| *len >= BOX)?)?;
        if at >= end {
            return None;
        }
    }
    let (flags, count) = (u32_at(part, at + 8)?, u32_at(part, at + 12)?);
    let mut rest = part.get(at + 16..end)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let mut iv = [0; 8];
        if scheme == Scheme::Cenc {
            let (given, behind) = rest.split_first_chunk::<{ SAMPLE_IV as usize }>()?;
            (iv, rest) = (*given, behind);
        }
        let mut subs = None;
        if flags & RANGES != 0 {
            let (ranges, behind) = rest.split_first_chunk::<2>()?;
            rest = behind;
            let mut all = Vec::new();
            for _ in 0..u16::from_be_bytes(*ranges) {
                let (clear, behind) = rest.split_first_chunk::<2>()?;
                let (protected, behind) = behind.split_first_chunk::<4>()?;
                all.push(Sub {
                    clear: u16::from_be_bytes(*clear),
                    protected: u32::from_be_bytes(*protected),
                });
                rest = behind;
            }
            subs = Some(all);
        }
        entries.push((iv, subs));
    }
    Some(entries)
}
