//! From a track's own clock to the one that it has with us, edit lists applied.
//!
//! Spec: ISO/IEC 14496-12 §8.6.6.

use nx_media::{Kind, Params, rescale};

use super::bytes::Cursor;
use crate::index::{IndexError, Place};

/// Sound before the beginning that decoders need to begin with, milliseconds.
const PREROLL_MS: i64 = 200;
/// A film may begin so late, seconds; fragments of live streams begin when they were made.
const LATE_MAX_S: i64 = 10;
/// Longest film, seconds.
const LENGTH_MAX_S: i64 = 30 * 86_400;

/// An edit list, as far as it is followed: it shifts the track and cuts its ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Edits {
    /// Ticks of the movie before the track begins.
    empty: u64,
    /// Where in the track it begins, its own ticks.
    from: i64,
    /// How much of it is shown, ticks of the movie; 0 all.
    length: u64,
    /// It shows parts in another order than they lie.
    pub(super) jumps: bool,
}

/// Reads an `elst`.
pub(super) fn edits(mut elst: Cursor<'_>) -> Result<Edits, IndexError> {
    const WHAT: &str = "elst";
    let (version, _) = elst.full(WHAT)?;
    let count = elst.u32(WHAT)?;
    let (mut edits, mut begun) = (Edits::default(), false);
    for _ in 0..count {
        let (length, from) = match version {
            1 => (elst.u64(WHAT)?, elst.u64(WHAT)?.cast_signed()),
            _ => (elst.u32(WHAT)?.into(), elst.u32(WHAT)?.cast_signed().into()),
        };
        elst.u32(WHAT)?;
        match (from, begun) {
            (..0, false) => edits.empty = edits.empty.saturating_add(length),
            (0.., false) => (edits.from, edits.length, begun) = (from, length, true),
            _ => (edits.length, edits.jumps) = (0, true),
        }
    }
    Ok(edits)
}

/// Brings a track to the timescale of `params`.
pub(super) fn place(
    mut samples: Vec<Place>,
    (own, movie): (u32, u32),
    edits: Edits,
    params: &Params,
) -> Vec<Place> {
    let ticks = |movie_ticks: u64| rescale(i64::try_from(movie_ticks).unwrap_or(i64::MAX), movie, own);
    let end = (edits.length > 0).then(|| {
        // A movie's clock is coarse: a tick of it may be missing.
        edits.from.saturating_add(ticks(edits.length)).saturating_add(ticks(1))
    });
    let pts = |s: &Place| s.dts.saturating_add(s.cts.into());
    while samples.len() > 1 && samples.last().is_some_and(|last| end.is_some_and(|end| pts(last) >= end)) {
        samples.pop();
    }
    let early = match params.kind() {
        _ if edits.from <= 0 => None,
        Kind::Video => samples.iter().rposition(|s| s.key && pts(s) <= edits.from),
        Kind::Audio => {
            let from = edits.from.saturating_sub(rescale(PREROLL_MS, 1000, own));
            samples.iter().position(|s| pts(s).saturating_add(s.duration.into()) > from)
        }
    };
    samples.drain(..early.unwrap_or(0));
    let to = params.timescale();
    let shift = ticks(edits.empty).saturating_sub(edits.from);
    let scaled = |at: i64| rescale(at.saturating_add(shift), own, to);
    let usual = match params {
        Params::Video(_) => to / 25,
        Params::Audio(audio) => audio.frame_samples,
    };
    let mut next = None;
    for sample in samples.iter_mut().rev() {
        let (dts, pts) = (scaled(sample.dts), scaled(pts(sample)));
        let ends = next.unwrap_or_else(|| scaled(sample.dts.saturating_add(sample.duration.into())));
        let length = u32::try_from(ends.saturating_sub(dts)).unwrap_or(u32::MAX);
        sample.duration = if next.is_none() && length == 0 { usual } else { length };
        sample.cts = i32::try_from(pts.saturating_sub(dts)).unwrap_or(0);
        sample.dts = dts;
        next = Some(dts);
    }
    samples
}

/// Has a film that begins very late begin near 0; refuses one that is too long.
pub(super) fn begin(tracks: &mut [(u32, &mut Vec<Place>)]) -> Result<(), IndexError> {
    let first = |scale: u32, samples: &[Place]| {
        let first = samples.first()?;
        Some(first.dts.saturating_add(first.cts.into()).div_euclid(scale.max(1).into()))
    };
    let late_s = tracks.iter().filter_map(|(scale, samples)| first(*scale, samples)).min().unwrap_or(0);
    for (scale, samples) in tracks {
        let by = if late_s > LATE_MAX_S { late_s.saturating_mul((*scale).into()) } else { 0 };
        samples.iter_mut().for_each(|s| s.dts = s.dts.saturating_sub(by));
        let most = LENGTH_MAX_S.saturating_mul((*scale).into());
        let within = |s: &Place| (-most..most).contains(&s.dts) && s.duration < u32::MAX;
        if !samples.iter().all(within) {
            return Err(IndexError::TooMuch { what: "seconds of film", max: LENGTH_MAX_S.unsigned_abs() });
        }
    }
    Ok(())
}
