//! Writer of one fragment: `moof` and `mdat` in one allocation of the exact size.

use bytes::Bytes;
use nx_media::{Kind, Sample};

use super::{
    FLAGS_DELTA, FLAGS_KEY, TFHD_BASE_IS_MOOF, TFHD_DEFAULT_DURATION, TFHD_DEFAULT_FLAGS, TRACK_ID, TRUN_CTS,
    TRUN_DATA_OFFSET, TRUN_DURATION, TRUN_FLAGS, TRUN_SIZE,
};

/// The samples do not make a fragment. All are mistakes of the caller or of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// A fragment has at least one sample.
    #[error("a fragment needs at least one sample")]
    Empty,
    /// `tfdt` cannot say a negative time.
    #[error("the fragment begins at decode time {0}, which is negative")]
    NegativeTime(i64),
    /// The last sample has no duration, and no next sample tells it.
    #[error("the last sample at {dts} has no duration")]
    NoDuration {
        /// Decode time of the sample.
        dts: i64,
    },
    /// Decode time and duration of a sample do not lead to the next one.
    #[error("sample {index} is expected at {expected}, is at {got}")]
    Gap {
        /// Position in the slice.
        index: usize,
        /// End of the sample before.
        expected: i64,
        /// Decode time of the sample.
        got: i64,
    },
    /// A number does not fit its 32-bit field: presentation minus decode time, a duration, or the size.
    #[error("{what} {got} does not fit into 32 bits")]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// The number.
        got: i64,
    },
}

/// What the samples need, computed before the first byte is written.
struct Plan {
    base_dts: u64,
    tfhd_flags: u32,
    trun_flags: u32,
    default_duration: u32,
    tfhd_len: u32,
    trun_len: u32,
    moof_len: u32,
    mdat_len: u32,
    count: u32,
}

/// Box header; full box header.
const BOX: u32 = 8;
pub(super) const FULL: u32 = 12;
const MFHD_LEN: u32 = FULL + 4;
const TFDT_LEN: u32 = FULL + 8;

/// Writes one fragment (a part): `moof` with `mfhd`, `tfhd`, `tfdt`, `trun`, then `mdat`.
///
/// `sequence` goes into `mfhd`. `samples` are in decode order in the track's timescale; the decode time of
/// the first is the fragment's. A `duration` of `None` is told by the next sample; the last one must have
/// its own. Audio samples all count as key. The result has one allocation of its exact size.
///
/// # Errors
///
/// [`FragmentError`].
///
/// Spec: ISO/IEC 14496-12 §8.8.
pub fn fragment(sequence: u32, kind: Kind, samples: &[Sample]) -> Result<Bytes, FragmentError> {
    fragment_behind(&[], sequence, kind, samples)
}

/// [`fragment`] with whole boxes before its `moof`: [`prft`](super::prft).
///
/// # Errors
///
/// [`FragmentError`].
pub fn fragment_behind(
    boxes: &[u8],
    sequence: u32,
    kind: Kind,
    samples: &[Sample],
) -> Result<Bytes, FragmentError> {
    let plan = plan(kind, samples)?;
    let total = u64::from(plan.moof_len) + u64::from(plan.mdat_len) + boxes.len() as u64;
    let capacity = usize::try_from(total).map_err(|_| too_large("fragment size", total))?;
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(boxes);
    head(&mut out, sequence, &plan);
    for (i, sample) in samples.iter().enumerate() {
        entry(&mut out, plan.trun_flags, sample, samples.get(i + 1));
    }
    u32b(&mut out, plan.mdat_len);
    out.extend_from_slice(b"mdat");
    for sample in samples {
        out.extend_from_slice(&sample.payload);
    }
    debug_assert_eq!(out.len(), capacity, "sizes are computed exactly");
    Ok(out.into())
}

fn plan(kind: Kind, samples: &[Sample]) -> Result<Plan, FragmentError> {
    let (first, last) = samples.first().zip(samples.last()).ok_or(FragmentError::Empty)?;
    let base_dts = u64::try_from(first.dts).map_err(|_| FragmentError::NegativeTime(first.dts))?;
    let default_duration = first.duration.unwrap_or_else(|| duration(first, samples.get(1)));
    let (mut same_duration, mut any_cts, mut mdat_len) = (true, false, u64::from(BOX));
    for (i, sample) in samples.iter().enumerate() {
        let next = samples.get(i + 1);
        let duration = checked_duration(sample, next, i + 1)?;
        let cts = sample.pts.checked_sub(sample.dts).and_then(|cts| i32::try_from(cts).ok());
        let cts = cts.ok_or_else(|| FragmentError::TooLarge {
            what: "presentation minus decode time",
            got: sample.pts.saturating_sub(sample.dts),
        })?;
        same_duration &= duration == default_duration;
        any_cts |= cts != 0;
        mdat_len += sample.payload.len() as u64;
    }
    if last.dts.checked_add(i64::from(last.duration.unwrap_or(0))).is_none() {
        return Err(FragmentError::TooLarge { what: "end of the fragment", got: last.dts });
    }
    let video = kind == Kind::Video;
    let mut trun_flags = TRUN_DATA_OFFSET | TRUN_SIZE;
    for (wanted, flag) in [(video || !same_duration, TRUN_DURATION), (video, TRUN_FLAGS), (any_cts, TRUN_CTS)]
    {
        trun_flags |= if wanted { flag } else { 0 };
    }
    let tfhd_flags = if video {
        TFHD_BASE_IS_MOOF
    } else {
        TFHD_BASE_IS_MOOF | TFHD_DEFAULT_DURATION | TFHD_DEFAULT_FLAGS
    };
    let tfhd_len = FULL + 4 + if video { 0 } else { 8 };
    let entry_len = 4 * (trun_flags >> 8).count_ones();
    let count = u32::try_from(samples.len()).map_err(|_| too_large("sample count", samples.len() as u64))?;
    let trun_len = u64::from(FULL + 8) + u64::from(count) * u64::from(entry_len);
    let moof_len = u64::from(BOX + MFHD_LEN + BOX + tfhd_len + TFDT_LEN) + trun_len;
    Ok(Plan {
        base_dts,
        tfhd_flags,
        trun_flags,
        default_duration,
        tfhd_len,
        // `data_offset` is signed: the header must stay below 2 GiB.
        moof_len: i32::try_from(moof_len).map_err(|_| too_large("moof size", moof_len))?.unsigned_abs(),
        trun_len: u32::try_from(trun_len).map_err(|_| too_large("trun size", trun_len))?,
        mdat_len: u32::try_from(mdat_len).map_err(|_| too_large("mdat size", mdat_len))?,
        count,
    })
}

fn too_large(what: &'static str, got: u64) -> FragmentError {
    FragmentError::TooLarge { what, got: i64::try_from(got).unwrap_or(i64::MAX) }
}

/// Duration of a sample that [`plan`] has checked.
fn duration(sample: &Sample, next: Option<&Sample>) -> u32 {
    let told = next.map(|n| n.dts.saturating_sub(sample.dts));
    sample.duration.or_else(|| told.and_then(|d| u32::try_from(d).ok())).unwrap_or(0)
}

fn checked_duration(sample: &Sample, next: Option<&Sample>, next_index: usize) -> Result<u32, FragmentError> {
    let Some(next) = next else {
        return sample.duration.ok_or(FragmentError::NoDuration { dts: sample.dts });
    };
    let span = next.dts.saturating_sub(sample.dts);
    let known = sample.duration.map_or(span.max(0), i64::from);
    if span != known {
        let expected = sample.dts.saturating_add(known);
        return Err(FragmentError::Gap { index: next_index, expected, got: next.dts });
    }
    u32::try_from(span).map_err(|_| FragmentError::TooLarge { what: "sample duration", got: span })
}

/// Everything up to the first entry of the `trun`.
fn head(out: &mut Vec<u8>, sequence: u32, plan: &Plan) {
    u32b(out, plan.moof_len);
    out.extend_from_slice(b"moof");
    full(out, MFHD_LEN, b"mfhd", 0);
    u32b(out, sequence);
    u32b(out, plan.moof_len - BOX - MFHD_LEN);
    out.extend_from_slice(b"traf");
    full(out, plan.tfhd_len, b"tfhd", plan.tfhd_flags);
    u32b(out, TRACK_ID);
    if plan.tfhd_flags & TFHD_DEFAULT_FLAGS != 0 {
        u32b(out, plan.default_duration);
        u32b(out, FLAGS_KEY);
    }
    full(out, TFDT_LEN, b"tfdt", 1 << 24);
    out.extend_from_slice(&plan.base_dts.to_be_bytes());
    full(out, plan.trun_len, b"trun", (1 << 24) | plan.trun_flags);
    u32b(out, plan.count);
    u32b(out, plan.moof_len + BOX);
}

/// One sample in the `trun`: duration, size, flags, offset, each when its flag says so.
fn entry(out: &mut Vec<u8>, trun_flags: u32, sample: &Sample, next: Option<&Sample>) {
    if trun_flags & TRUN_DURATION != 0 {
        u32b(out, duration(sample, next));
    }
    // The plan has checked the sum of sizes and each offset against 32 bits.
    u32b(out, u32::try_from(sample.payload.len()).unwrap_or(u32::MAX));
    if trun_flags & TRUN_FLAGS != 0 {
        u32b(out, if sample.key { FLAGS_KEY } else { FLAGS_DELTA });
    }
    if trun_flags & TRUN_CTS != 0 {
        let cts = i32::try_from(sample.pts.saturating_sub(sample.dts)).unwrap_or(0);
        out.extend_from_slice(&cts.to_be_bytes());
    }
}

pub(super) fn full(out: &mut Vec<u8>, len: u32, kind: &[u8; 4], version_flags: u32) {
    u32b(out, len);
    out.extend_from_slice(kind);
    u32b(out, version_flags);
}

pub(super) fn u32b(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}
