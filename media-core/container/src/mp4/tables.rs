//! Sample tables: where the samples of a track lie and when they are decoded, in the track's own timescale.
//!
//! Spec: ISO/IEC 14496-12 §8.6.1 (times), §8.6.2 (sync samples), §8.7 (sizes, chunks).

use super::bytes::{Cursor, pairs, words};
use super::read::Budget;
use crate::index::{Cut, IndexError, Place};

/// Reads an `stbl`.
pub(super) fn samples(stbl: Cursor<'_>, budget: &mut Budget) -> Result<Vec<Place>, IndexError> {
    let (count, total, sizes) = sizes(stbl)?;
    budget.take(count, total, stbl)?;
    let (_, times) = table(stbl.need(b"stts")?, 8, "stts")?;
    let mut times = Runs::new(pairs(times));
    let offsets = match stbl.find(b"ctts")? {
        Some(at) => table(at, 8, "ctts")?.1,
        None => &[],
    };
    // Version 0 has no signs, and is written as if it had.
    let mut offsets = Runs::new(pairs(offsets));
    let keys = stbl.find(b"stss")?.map(|at| table(at, 4, "stss")).transpose()?;
    let mut keys = keys.map(|(_, keys)| words(keys).peekable());
    let mut chunks = Chunks::read(stbl)?;
    let mut samples: Vec<Place> = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    let mut dts = 0_i64;
    for (number, bytes) in (1_u32..).zip(sizes) {
        let offset = chunks
            .next(bytes)
            .ok_or_else(|| stbl.broken(format!("sample {number} of {count} lies in no chunk")))?;
        if bytes > 0 && offset.checked_add(bytes.into()).is_none_or(|end| end > budget.file_bytes) {
            let file = budget.file_bytes;
            let what =
                format!("sample {number} lies at byte {offset}, behind the end of the file ({file} bytes)");
            return Err(stbl.broken(what));
        }
        let key = keys.as_mut().is_none_or(|keys| {
            while keys.next_if(|key| *key < number).is_some() {}
            keys.next_if_eq(&number).is_some()
        });
        let duration = times.next().unwrap_or(0);
        let cts = offsets.next().unwrap_or(0).cast_signed();
        if bytes > 0 {
            samples.push(Place { dts, cts, duration, offset, bytes, key, cut: Cut::default() });
        }
        dts = dts.saturating_add(duration.into());
    }
    Ok(samples)
}

/// The entries of a table behind version, flags and their count.
fn table<'a>(mut at: Cursor<'a>, len: usize, what: &'static str) -> Result<(u32, &'a [u8]), IndexError> {
    at.full(what)?;
    let count = at.u32(what)?;
    Ok((count, at.entries(count, len, what)?))
}

type Sizes<'a> = Box<dyn Iterator<Item = u32> + 'a>;

/// How many, how many bytes together, and each.
fn sizes(stbl: Cursor<'_>) -> Result<(u32, u64, Sizes<'_>), IndexError> {
    let sum = |sizes: Sizes<'_>| sizes.map(u64::from).sum::<u64>();
    if let Some(mut at) = stbl.find(b"stz2")? {
        at.full("stz2")?;
        let bits = at.u32("stz2")? & 0xff;
        let count = at.u32("stz2")?;
        let table = at.rest();
        let sizes = || -> Sizes<'_> {
            match bits {
                4 => Box::new(table.iter().flat_map(|b| [u32::from(b >> 4), u32::from(b & 15)])),
                8 => Box::new(table.iter().map(|b| u32::from(*b))),
                _ => Box::new(table.as_chunks::<2>().0.iter().map(|b| u16::from_be_bytes(*b).into())),
            }
        };
        let whole = u64::from(count) * u64::from(bits) <= table.len() as u64 * 8;
        if !whole || ![4, 8, 16].contains(&bits) {
            return Err(at.broken("stz2 is cut short"));
        }
        let count_of = usize::try_from(count).unwrap_or(0);
        return Ok((count, sum(Box::new(sizes().take(count_of))), Box::new(sizes().take(count_of))));
    }
    let mut at = stbl.need(b"stsz")?;
    at.full("stsz")?;
    let (same, count) = (at.u32("stsz")?, at.u32("stsz")?);
    if same > 0 {
        let count_of = usize::try_from(count).unwrap_or(0);
        return Ok((
            count,
            u64::from(count) * u64::from(same),
            Box::new(std::iter::repeat_n(same, count_of)),
        ));
    }
    let table = at.entries(count, 4, "stsz")?;
    Ok((count, sum(Box::new(words(table))), Box::new(words(table))))
}

/// Values that hold for so many samples each. The last one holds for all that follow.
struct Runs<I> {
    runs: I,
    left: u32,
    value: Option<u32>,
}

impl<I: Iterator<Item = (u32, u32)>> Runs<I> {
    fn new(runs: I) -> Self {
        Self { runs, left: 0, value: None }
    }

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            let Some((count, value)) = self.runs.next() else { return self.value };
            (self.left, self.value) = (count, Some(value));
        }
        self.left -= 1;
        self.value
    }
}

/// Goes through the chunks sample by sample.
struct Chunks<'a> {
    places: Box<dyn Iterator<Item = u64> + 'a>,
    /// First chunk of a run, and samples of each of its chunks.
    runs: std::iter::Peekable<Box<dyn Iterator<Item = (u32, u32)> + 'a>>,
    /// Number of the chunk that is gone through, from 1.
    number: u32,
    of_each: u32,
    left: u32,
    at: u64,
}

impl<'a> Chunks<'a> {
    fn read(stbl: Cursor<'a>) -> Result<Self, IndexError> {
        let (_, runs) = table(stbl.need(b"stsc")?, 12, "stsc")?;
        let runs = runs.as_chunks::<12>().0.iter().map(|&[a, b, c, d, e, f, g, h, ..]| {
            (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
        });
        let places: Box<dyn Iterator<Item = u64>> = match stbl.find(b"co64")? {
            Some(at) => {
                let places = table(at, 8, "co64")?.1.as_chunks::<8>().0;
                Box::new(places.iter().map(|place| u64::from_be_bytes(*place)))
            }
            None => Box::new(words(table(stbl.need(b"stco")?, 4, "stco")?.1).map(u64::from)),
        };
        let runs: Box<dyn Iterator<Item = (u32, u32)>> = Box::new(runs);
        Ok(Self { places, runs: runs.peekable(), number: 0, of_each: 0, left: 0, at: 0 })
    }

    /// Where the next sample begins, which has so many bytes.
    fn next(&mut self, bytes: u32) -> Option<u64> {
        while self.left == 0 {
            self.at = self.places.next()?;
            self.number = self.number.checked_add(1)?;
            while let Some((_, of_each)) = self.runs.next_if(|(first, _)| *first <= self.number) {
                self.of_each = of_each;
            }
            self.left = self.of_each;
        }
        self.left -= 1;
        let at = self.at;
        self.at = at.checked_add(bytes.into())?;
        Some(at)
    }
}
