//! Breaks as segments show them: `EXT-X-CUE-OUT`, `EXT-X-CUE-OUT-CONT` and `EXT-X-CUE-IN`, which old players and ad
//! stitchers read beside `EXT-X-DATERANGE`.
//!
//! A segment gets its marks when it begins, and keeps them: the same in every track and playlist. The tags are no part
//! of RFC 8216; this is how most packagers write them.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::daterange::DateRanges;

/// A segment may begin before the time of the cue that it was cut for: half a long frame of picture or sound.
const EARLY_MS: i64 = 40;
/// Segments whose marks are remembered for the other tracks.
const MARKS_MAX: usize = 32;

/// What a segment says of breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// A break is over with its beginning.
    pub back: bool,
    /// It belongs to a break.
    pub away: Option<Away>,
}

/// A segment's place in a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// Since the break's first segment began; 0 in that one. Milliseconds.
    pub elapsed_ms: u64,
    /// Length of the break, if anybody told. Milliseconds.
    pub planned_ms: Option<u64>,
}

impl Mark {
    pub(crate) fn write(self, out: &mut String) -> fmt::Result {
        if self.back {
            out.write_str("#EXT-X-CUE-IN\n")?;
        }
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        match self.away {
            None => Ok(()),
            Some(Away { elapsed_ms: 0, planned_ms: None }) => out.write_str("#EXT-X-CUE-OUT\n"),
            Some(Away { elapsed_ms: 0, planned_ms: Some(ms) }) => {
                writeln!(out, "#EXT-X-CUE-OUT:{}", seconds(ms))
            }
            Some(Away { elapsed_ms, planned_ms: None }) => {
                writeln!(out, "#EXT-X-CUE-OUT-CONT:{}", seconds(elapsed_ms))
            }
            Some(Away { elapsed_ms, planned_ms: Some(ms) }) => {
                writeln!(out, "#EXT-X-CUE-OUT-CONT:{}/{}", seconds(elapsed_ms), seconds(ms))
            }
        }
    }
}

/// The break that goes on, and the marks of the newest segments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Breaks {
    now: Option<Now>,
    marks: VecDeque<(u64, Mark)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Now {
    id: String,
    from_ms: i64,
}

impl Breaks {
    /// Marks of the segment with that number, which begins at `wall_ms` in the first track that has it.
    pub(crate) fn mark(&mut self, msn: u64, wall_ms: i64, dates: &mut DateRanges) -> Mark {
        if let Some((_, mark)) = self.marks.iter().find(|(m, _)| *m == msn) {
            return *mark;
        }
        let at_ms = wall_ms.saturating_add(EARLY_MS);
        let mut mark = Mark::default();
        if self.now.take_if(|now| dates.break_end_ms(&now.id).is_none_or(|end| end <= at_ms)).is_some() {
            mark.back = true;
        }
        if let Some(id) = dates.begin_break(at_ms) {
            // A break that begins within another takes its place.
            mark.back |= self.now.is_some();
            self.now = Some(Now { id, from_ms: wall_ms });
        }
        mark.away = self.now.as_ref().map(|now| Away {
            elapsed_ms: u64::try_from(wall_ms.saturating_sub(now.from_ms)).unwrap_or(0),
            planned_ms: dates.planned_ms(&now.id),
        });
        if self.marks.len() >= MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((msn, mark));
        mark
    }
}
