//! Movie fragments.
//!
//! Spec: ISO/IEC 14496-12 §8.8.

use super::bytes::Cursor;
use super::read::{Budget, Track};
use crate::index::{Cut, IndexError, Place};

/// `sample_is_non_sync_sample`.
const NON_SYNC: u32 = 0x1_0000;

/// What holds for samples of which a fragment does not say otherwise: `trex`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) bytes: u32,
    pub(super) flags: u32,
}

/// Reads the body of a `moof` that begins at a place in the file.
pub(super) fn moof(
    body: Cursor<'_>,
    start: u64,
    tracks: &mut [Track],
    budget: &mut Budget,
) -> Result<(), IndexError> {
    let mut follows = start;
    for found in body.boxes() {
        let found = found?;
        if found.kind == *b"traf" {
            traf(found.body, start, &mut follows, tracks, budget)?;
        }
    }
    Ok(())
}

fn traf(
    body: Cursor<'_>,
    start: u64,
    follows: &mut u64,
    tracks: &mut [Track],
    budget: &mut Budget,
) -> Result<(), IndexError> {
    const WHAT: &str = "tfhd";
    let mut tfhd = body.need(b"tfhd")?;
    let (_, flags) = tfhd.full(WHAT)?;
    let number = tfhd.u32(WHAT)?;
    let Some(track) = tracks.iter_mut().find(|t| t.number == number) else { return Ok(()) };
    let base = match (flags & 1 != 0, flags & 0x2_0000 != 0) {
        (true, _) => tfhd.u64(WHAT)?,
        (false, true) => start,
        (false, false) => *follows,
    };
    if flags & 2 != 0 {
        tfhd.u32(WHAT)?;
    }
    let mut defaults = track.defaults;
    for (flag, place) in
        [(8, &mut defaults.duration), (0x10, &mut defaults.bytes), (0x20, &mut defaults.flags)]
    {
        if flags & flag != 0 {
            *place = tfhd.u32(WHAT)?;
        }
    }
    if let Some(mut tfdt) = body.find(b"tfdt")? {
        let (version, _) = tfdt.full("tfdt")?;
        let told = i64::try_from(tfdt.wide(version, "tfdt")?).map_err(|_| tfdt.broken("tfdt"))?;
        // What overlaps comes behind what there is; before a hole the last sample is shown longer.
        let first = track.samples.is_empty();
        track.ends = if first { told } else { track.ends.max(told) };
    }
    *follows = base;
    for found in body.boxes() {
        let found = found?;
        if found.kind == *b"trun" {
            trun(found.body, base, follows, &defaults, track, budget)?;
        }
    }
    Ok(())
}

fn trun(
    mut trun: Cursor<'_>,
    base: u64,
    follows: &mut u64,
    defaults: &Defaults,
    track: &mut Track,
    budget: &mut Budget,
) -> Result<(), IndexError> {
    const WHAT: &str = "trun";
    let (_, flags) = trun.full(WHAT)?;
    let count = trun.u32(WHAT)?;
    if flags & 1 != 0 {
        let by = i64::from(trun.u32(WHAT)?.cast_signed());
        *follows = base.checked_add_signed(by).ok_or_else(|| trun.broken("trun's data offset"))?;
    }
    let mut first = if flags & 4 != 0 { Some(trun.u32(WHAT)?) } else { None };
    let has = |flag| flags & flag != 0;
    if count > 0 && !has(0x200) && defaults.bytes == 0 {
        return Err(trun.broken("a trun that does not say how large its samples are"));
    }
    for _ in 0..count {
        let duration = if has(0x100) { trun.u32(WHAT)? } else { defaults.duration };
        let bytes = if has(0x200) { trun.u32(WHAT)? } else { defaults.bytes };
        let told = if has(0x400) { Some(trun.u32(WHAT)?) } else { None };
        let flags = first.take().or(told).unwrap_or(defaults.flags);
        let cts = if has(0x800) { trun.u32(WHAT)?.cast_signed() } else { 0 };
        budget.take(1, bytes.into(), trun)?;
        let offset = *follows;
        let end = offset.checked_add(bytes.into()).filter(|end| *end <= budget.file_bytes);
        *follows =
            end.ok_or_else(|| trun.broken("a sample of a fragment lies behind the end of the file"))?;
        let dts = track.ends;
        track.ends = dts.saturating_add(duration.into());
        if bytes > 0 {
            track.samples.push(Place {
                dts,
                cts,
                duration,
                offset,
                bytes,
                key: flags & NON_SYNC == 0,
                cut: Cut::default(),
            });
        }
    }
    Ok(())
}
