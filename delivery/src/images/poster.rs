//! Which key frame stands for a recording or a title: one behind a cut, with much in it.
//!
//! Nothing is decoded: of pictures at one quality those have most bytes that show most, and a black or flat one has few.

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;

use super::still::{self, Found, Still};
use crate::past::Archive;

/// How far from the beginning it is looked for, milliseconds.
const REACH_MS: i64 = 60_000;
/// A picture that has so many percent fewer or more bytes than the one before shows something else.
const CUT_PERCENT: usize = 25;

/// The picture for a stretch of what is stored, Unix milliseconds. Reads files.
pub(crate) fn of(archive: &Arc<dyn Archive>, from_ms: i64, until_ms: i64) -> io::Result<Option<Still>> {
    let found = still::stored(archive, from_ms, until_ms.min(from_ms.saturating_add(REACH_MS)))?;
    let pictures: Vec<&Found> = found.iter().filter(|found| found.has_picture()).collect();
    let bytes: Vec<usize> = pictures.iter().filter_map(|found| found.segment.i_frame_bytes).collect();
    Ok(choose(&bytes).and_then(|at| pictures.get(at)?.still(archive)))
}

/// Of key frames, told by their bytes, the one with most of those behind a cut; without any, of all.
fn choose(bytes: &[usize]) -> Option<usize> {
    let all = bytes.iter().copied().enumerate();
    let cuts = all.clone().skip(1).zip(bytes).filter(|((_, after), before)| is_cut(**before, *after));
    most(cuts.map(|(frame, _)| frame)).or_else(|| most(all))
}

fn is_cut(before: usize, after: usize) -> bool {
    before.abs_diff(after) > before.max(after).saturating_mul(CUT_PERCENT) / 100
}

/// The first of those with most bytes.
fn most(frames: impl Iterator<Item = (usize, usize)>) -> Option<usize> {
    frames.max_by_key(|(at, bytes)| (*bytes, Reverse(*at))).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_with_most_in_it_behind_a_cut_is_chosen() {
        for (name, bytes, want) in [
            ("nothing", &[][..], None),
            ("one", &[9], Some(0)),
            ("one shot, of which the first is as good as any", &[100, 100, 100], Some(0)),
            ("one shot that moves a little", &[100, 110, 105], Some(1)),
            ("black, then the picture", &[4, 100, 105, 4], Some(1)),
            ("a title card, two scenes, and the end", &[30, 90, 92, 150, 148, 20], Some(3)),
            ("a rich first picture that nothing leads to", &[200, 195, 90, 91], Some(2)),
            ("black throughout", &[0, 0, 0], Some(0)),
            ("far apart", &[usize::MAX / 100, 1, usize::MAX / 100], Some(2)),
        ] {
            assert_eq!(choose(bytes), want, "{name}");
        }
    }
}
