//! What all readers do last: durations, the origin of time, the numbers of tracks.

use nx_media::{Kind, Params, TrackId, rescale};

use super::{Index, IndexError, IndexTrack, Packing, Place, shown};

/// Things left out that are told.
const NOTES_MAX: usize = 100;

/// Says once what is left out.
pub(crate) fn note(left_out: &mut Vec<String>, what: String) {
    if left_out.len() < NOTES_MAX && !left_out.contains(&what) {
        left_out.push(what);
    }
}

/// A track as a reader collected it: decode times known, durations not.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) params: Params,
    pub(crate) packing: Packing,
    pub(crate) samples: Vec<Place>,
    /// Length of the last sample, if it is known.
    pub(crate) last: Option<u32>,
}

/// Makes the index.
pub(crate) fn assemble(drafts: Vec<Draft>, mut left_out: Vec<String>) -> Result<Index, IndexError> {
    let mut kept = Vec::new();
    for mut draft in drafts {
        match complete(&mut draft) {
            Ok(()) => kept.push(draft),
            Err(why) => left_out.push(format!("{} {why}", draft.params.rfc6381())),
        }
    }
    let starts = kept.iter().filter_map(|d| Some((shown(&d.params, &d.samples)?, d.params.timescale())));
    let origin = starts.min_by_key(|&(ticks, timescale)| rescale(ticks, timescale, 1_000_000_000));
    let Some((origin, timescale)) = origin else {
        let why = if left_out.is_empty() { String::new() } else { format!(": {}", left_out.join("; ")) };
        return Err(IndexError::Unsupported(format!("nothing in this file can be played{why}")));
    };
    let mut index = Index { tracks: Vec::new(), left_out };
    for Draft { params, packing, mut samples, .. } in kept {
        let shift = rescale(origin, timescale, params.timescale());
        for sample in &mut samples {
            sample.dts = sample.dts.saturating_sub(shift);
        }
        let kind = params.kind();
        let nth = index.tracks.iter().filter(|t| t.id.kind == kind).count();
        let id = TrackId { kind, nth: u8::try_from(nth).unwrap_or(u8::MAX) };
        index.tracks.push(IndexTrack { id, params, packing, samples });
    }
    Ok(index)
}

/// Lets each sample end where the next begins, and the first be one to begin with.
fn complete(draft: &mut Draft) -> Result<(), &'static str> {
    let samples = &mut draft.samples;
    if draft.params.kind() == Kind::Video {
        let first = samples.iter().position(|s| s.key).ok_or("is left out: it has no key frame")?;
        samples.drain(..first);
    }
    if samples.is_empty() {
        return Err("is left out: it has no samples");
    }
    let (mut before, mut whole) = (None::<&mut Place>, samples.len());
    let mut length = 0;
    for (nth, sample) in samples.iter_mut().enumerate() {
        if let Some(before) = before {
            let moved = before.dts.saturating_add(1).saturating_sub(sample.dts).max(0);
            sample.dts = sample.dts.saturating_add(moved);
            sample.cts = sample.cts.saturating_sub(i32::try_from(moved).unwrap_or(i32::MAX));
            let Ok(duration) = u32::try_from(sample.dts.saturating_sub(before.dts)) else {
                whole = nth;
                break;
            };
            (before.duration, length) = (duration, duration);
        }
        before = Some(sample);
    }
    // A hole of half a day: nobody watches beyond it.
    samples.truncate(whole);
    if let Some(last) = samples.last_mut() {
        last.duration = draft.last.filter(|&d| d > 0).unwrap_or(length).max(1);
    }
    samples.shrink_to_fit();
    Ok(())
}
