//! Sheets of small pictures for players that seek, and the index that tells which cell shows what.
//!
//! Sheets lie on a grid of absolute time: number N of those with a picture every T seconds covers the N-th hundred of
//! T seconds since 1970, whatever view asks for it. The index belongs to a view, as playlists do, and counts time as a
//! player of that view does: from its beginning, pauses left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use nx_hls::{Rfc3339, Window};
use nx_media::Params;

use super::still::{self, Found};
use super::{Order, Painter, field, reading, settled_ms};
use crate::caching::Keep;
use crate::live::LiveStream;
use crate::media::nothing_stored;
use crate::past::{Archive, Past, View};
use crate::problem::Problem;
use crate::rendered::Rendered;
use crate::reply::Reply;

/// How many seconds apart pictures may be.
const EVERY_S: [i64; 8] = [2, 5, 10, 30, 60, 300, 600, 3600];
/// Pictures that an index aims at; the longer the view, the further they are apart.
const PICTURES: i64 = 1_000;
/// Cells across, and down.
const SIDE: u8 = 10;
const CELLS: i64 = 100;
/// Pixels of a cell across, and down at most.
const WIDTH: u16 = 160;
const HEIGHT_MAX: u16 = 284;

/// An index that was written, and what it was written of.
#[derive(Debug)]
pub(crate) struct Index {
    of: (View, u64, i64),
    text: Arc<Rendered>,
}

/// A grid of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    every_s: i64,
    /// Rows that end later are not drawn yet, Unix milliseconds.
    settled_ms: i64,
}

/// What is in the cells of a sheet.
#[derive(Debug, Default)]
struct Sheet<'a> {
    cells: BTreeMap<u8, &'a Found>,
}

impl Grid {
    /// The grid for a view that lasts so long, with segments of at most so many seconds.
    fn of(length_ms: i64, target_s: i64, settled_ms: i64) -> Self {
        let fits = |every: &&i64| **every >= target_s && length_ms / (**every * 1000) <= PICTURES;
        let every_s = EVERY_S.iter().find(fits).or(EVERY_S.last()).copied().unwrap_or(1);
        Self { every_s, settled_ms }
    }

    fn sheet_ms(self) -> i64 {
        self.every_s * 1000 * CELLS
    }

    /// Sheet and cell of a picture, Unix milliseconds.
    fn place(self, at_ms: i64) -> (i64, u8) {
        let cell = at_ms.rem_euclid(self.sheet_ms()) / (self.every_s * 1000);
        (at_ms.div_euclid(self.sheet_ms()), u8::try_from(cell).unwrap_or(0))
    }

    /// The first picture of each cell, in rows to which nothing will be added.
    fn sheets(self, found: &[Found]) -> BTreeMap<i64, Sheet<'_>> {
        let mut sheets: BTreeMap<i64, Sheet<'_>> = BTreeMap::new();
        for segment in found.iter().filter(|f| f.has_picture()) {
            let (number, cell) = self.place(segment.segment.begins_ms);
            let row_ends = number * self.sheet_ms()
                + (i64::from(cell / SIDE) + 1) * i64::from(SIDE) * self.every_s * 1000;
            if row_ends <= self.settled_ms {
                sheets.entry(number).or_default().cells.entry(cell).or_insert(segment);
            }
        }
        sheets
    }
}

impl Sheet<'_> {
    /// Tells this content from any other.
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        for (cell, found) in &self.cells {
            (cell, &found.track.name, found.track.run, found.segment.msn).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    /// Pixels of a cell down: shaped as the first picture.
    fn height(&self) -> u16 {
        let shape = self.cells.values().next().and_then(|found| match &found.track.params {
            Params::Video(v) if v.width > 0 => Some(u32::from(WIDTH) * v.height / v.width),
            _ => None,
        });
        let height = shape.and_then(|h| u16::try_from(h).ok()).unwrap_or(90);
        height.clamp(16, HEIGHT_MAX) / 2 * 2
    }
}

/// `sprites.vtt` of a view; without one, of all of the last time that the stream was on.
pub(crate) async fn index(stream: &Arc<LiveStream>, query: &str) -> Result<Reply, Problem> {
    let now_ms = crate::wall_ms();
    let asked = View::parse(query, now_ms).map_err(Problem::bad_request)?;
    let past = stream.past().ok_or_else(|| nothing_stored(stream.key()))?;
    let view = asked.or_else(|| past.newest()).ok_or_else(|| nothing_stored(stream.key()))?;
    let View::Between(from_ms, until_ms) = view else {
        return Err(Problem::bad_request(
            "an index of pictures has a start and an end; delay is for playlists",
        ));
    };
    let archive = past.archive();
    let settled_ms = settled(stream, now_ms);
    let of = (view, archive.version(), settled_ms / 10_000);
    // One at a time: who asks for the same waits for it.
    let mut kept = stream.pictures().index.lock().await;
    if let Some(index) = kept.as_ref().filter(|index| index.of == of) {
        return Ok(Reply::pictures(index.text.clone()));
    }
    let target_s = i64::try_from(stream.read(Window::target_s)).unwrap_or(1);
    let write = move || write_view(&archive, (from_ms, until_ms.unwrap_or(i64::MAX)), target_s, settled_ms);
    let text = reading(stream, write).await?.ok_or_else(|| nothing_stored(stream.key()))?;
    let text = Arc::new(Rendered::new(text, now_ms, kept.as_ref().map(|index| &*index.text)));
    *kept = Some(Index { of, text: text.clone() });
    Ok(Reply::pictures(text))
}

/// Until when nothing will be added, Unix milliseconds: for ever in a stream that is over.
fn settled(stream: &LiveStream, now_ms: i64) -> i64 {
    let over = stream.read(|w| w.is_ended() || w.tracks().next().is_none());
    if over { i64::MAX } else { settled_ms(stream, now_ms) }
}

/// `None` when nothing is stored. Reads files.
fn write_view(
    archive: &Arc<dyn Archive>,
    (from_ms, until_ms): (i64, i64),
    target_s: i64,
    settled_ms: i64,
) -> io::Result<Option<String>> {
    let found = still::stored(archive, from_ms, until_ms)?;
    let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(None) };
    let (begins_ms, ends_ms) = (first.segment.begins_ms, last.segment.begins_ms);
    let grid = Grid::of(ends_ms - begins_ms, target_s, settled_ms);
    // Sheets are whole, whatever of them the view shows.
    let sheet_ms = grid.sheet_ms();
    let (first_ms, last_ms) =
        (begins_ms.div_euclid(sheet_ms) * sheet_ms, (ends_ms.div_euclid(sheet_ms) + 1) * sheet_ms);
    let mut whole = still::stored(archive, first_ms, begins_ms)?;
    whole.extend_from_slice(&found);
    if until_ms < last_ms {
        whole.extend(still::stored(archive, until_ms, last_ms)?);
    }
    let sheets = grid.sheets(&whole);
    Ok(Some(write(&found, &sheets, grid)))
}

fn write(found: &[Found], sheets: &BTreeMap<i64, Sheet<'_>>, grid: Grid) -> String {
    let names: BTreeMap<i64, (String, u16)> = sheets
        .iter()
        .map(|(number, sheet)| {
            let name = format!("sprites/{number}.jpg?every={}&v={}", grid.every_s, sheet.tag());
            (*number, (name, sheet.height()))
        })
        .collect();
    let zero_ms = found.first().map_or(0, |f| f.segment.begins_ms);
    let mut out = format!("WEBVTT\n\nNOTE 0 is {}\n", Rfc3339(zero_ms));
    let mut open: Option<(i64, i64, u8)> = None;
    let mut cue = |open: (i64, i64, u8), until_ms: i64| {
        let (begins_ms, number, cell) = open;
        let Some((name, height)) = names.get(&number) else { return };
        let (x, y) = (u16::from(cell % SIDE) * WIDTH, u16::from(cell / SIDE) * height);
        let _ = write!(
            out,
            "\n{} --> {}\n{name}#xywh={x},{y},{WIDTH},{height}\n",
            Clock(begins_ms),
            Clock(until_ms)
        );
    };
    let (mut at_ms, mut last) = (0, None::<&Found>);
    for segment in found {
        let begins_ms = segment.segment.begins_ms;
        at_ms += match last {
            // Within a run holes are shown as they are; between runs players see none.
            Some(last) if last.track.run == segment.track.run => begins_ms - last.segment.begins_ms,
            Some(last) => last.ends_ms() - last.segment.begins_ms,
            None => 0,
        };
        last = Some(segment);
        let (number, cell) = grid.place(begins_ms);
        let drawn = sheets.get(&number).and_then(|sheet| sheet.cells.get(&cell));
        if drawn.is_some_and(|drawn| drawn.segment.msn == segment.segment.msn) {
            open.replace((at_ms, number, cell)).into_iter().for_each(|before| cue(before, at_ms));
        }
    }
    let length_ms = at_ms + last.map_or(0, |last| last.ends_ms() - last.segment.begins_ms);
    // Pictures of what is behind it will come.
    open.into_iter().for_each(|before| cue(before, length_ms.min(before.0 + grid.every_s * 1000)));
    out
}

/// A time of WebVTT.
struct Clock(i64);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = self.0;
        write!(f, "{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }
}

/// `sprites/N.jpg?every=T`.
pub(crate) async fn sheet(
    painter: &dyn Painter,
    stream: &Arc<LiveStream>,
    number: u64,
    query: &str,
) -> Result<Reply, Problem> {
    let every = field(query, "every")?.and_then(|text| text.parse().ok()).filter(|s| EVERY_S.contains(s));
    let every_s = every.ok_or_else(|| {
        Problem::bad_request(format!("every is one of {EVERY_S:?} seconds; see sprites.vtt"))
    })?;
    let tag = field(query, "v")?;
    let archive = stream.past().map(Past::archive).ok_or_else(|| nothing_stored(stream.key()))?;
    let grid = Grid { every_s, settled_ms: settled(stream, crate::wall_ms()) };
    let begins_ms = i64::try_from(number).ok().and_then(|n| n.checked_mul(grid.sheet_ms()));
    let begins_ms = begins_ms.filter(|ms| *ms < i64::MAX / 2).ok_or_else(|| nothing_stored(stream.key()))?;
    let ends_ms = begins_ms + grid.sheet_ms();
    let key = stream.key().to_string();
    let order = reading(stream, move || {
        let found = still::stored(&archive, begins_ms, ends_ms)?;
        let sheets = grid.sheets(&found);
        Ok(sheets.values().next().map(|sheet| {
            let tag = sheet.tag();
            let stills = sheet.cells.iter().filter_map(|(cell, found)| Some((*cell, found.still(&archive)?)));
            let order = Order {
                name: format!("{key}/sprites/{every_s}-{number}-{tag}"),
                lasting: ends_ms <= grid.settled_ms,
                columns: SIDE,
                rows: SIDE,
                width: WIDTH,
                height: sheet.height(),
                stills: stills.collect(),
            };
            (tag, order)
        }))
    });
    let (is, order) = order.await?.ok_or_else(|| nothing_stored(stream.key()))?;
    let keep = if tag == Some(&is) { Keep::Forever } else { Keep::Now };
    Ok(Reply::picture(painter.paint(order).await?, keep))
}

#[cfg(test)]
mod tests;
