//! Properties of the indexers that hold for any file; the fuzz target calls them, and so do the tests.

use bytes::Bytes;
use nx_media::rescale;

use crate::index::{
    Index, IndexError, IndexTrack, Kind, PLACE_BYTES_MAX, Packing, Place, READ_MAX, SAMPLES_MAX, Step,
    TRACKS_MAX, indexer, shown, sniff,
};
use crate::ts;

/// What an indexer read.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cost {
    /// How often.
    pub reads: usize,
    /// How many bytes together.
    pub bytes: usize,
}

/// Any bytes, taken for each kind of file by the first byte, give an error or an index that is sound, in a bounded
/// number of steps.
///
/// # Panics
///
/// When a property does not hold.
pub fn files(data: &[u8]) {
    let Some((&choice, file)) = data.split_first() else { return };
    let kind = match choice % 3 {
        0 => Kind::Mkv,
        1 => Kind::Flv,
        _ => Kind::Ts,
    };
    // A file that is shorter than it was said to be ends where it ends.
    let longer = u64::from(choice / 3);
    match index_of(kind, file, file.len() as u64 + longer) {
        Ok((index, _)) if longer == 0 => {
            sound(file, &index);
            for track in &index.tracks {
                for place in &track.samples {
                    let payload = payload(file, track, place);
                    assert!(payload.is_ok_and(|p| !p.is_empty()), "what is told can be taken out");
                }
            }
        }
        Ok((index, _)) => assert!(!index.tracks.is_empty(), "something can be played"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error has words"),
    }
    assert!(!file.is_empty() || sniff(file).is_none(), "nothing is of no kind");
}

/// Runs an indexer to its end over a file that is said to have `told` bytes.
///
/// # Errors
/// Those of the indexer.
///
/// # Panics
/// When it asks for nothing, too much, or too often.
pub fn index_of(kind: Kind, file: &[u8], told: u64) -> Result<(Index, Cost), IndexError> {
    let (mut indexer, mut cost) = (indexer(kind, told), Cost::default());
    loop {
        match indexer.next()? {
            Step::Done(index) => return Ok((index, cost)),
            Step::Read { offset, bytes } => {
                assert!((1..=READ_MAX).contains(&bytes), "{bytes} bytes are asked for");
                assert_eq!(indexer.next()?, Step::Read { offset, bytes }, "the same until it is given");
                let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
                let rest = file.get(begin..).unwrap_or_default();
                let piece = rest.get(..bytes).unwrap_or(rest);
                cost = Cost { reads: cost.reads + 1, bytes: cost.bytes + piece.len() };
                assert!(cost.reads <= file.len() + 16, "it goes on");
                indexer.take(piece)?;
            }
        }
    }
}

/// The payload of a sample.
///
/// # Errors
/// It cannot be taken out of its place.
pub fn payload(file: &[u8], track: &IndexTrack, place: &Place) -> Result<Bytes, IndexError> {
    let begin = usize::try_from(place.offset).unwrap_or(usize::MAX);
    let rest = file.get(begin..).unwrap_or_default();
    let bytes = usize::try_from(place.bytes).ok().and_then(|bytes| rest.get(..bytes)).unwrap_or_default();
    match &track.packing {
        Packing::Whole => Ok(Bytes::copy_from_slice(bytes)),
        Packing::Behind(front) => Ok([front, bytes].concat().into()),
        Packing::Ts { .. } => ts::unpack(bytes, track, place),
    }
}

/// What holds of every index.
///
/// # Panics
/// When it does not.
pub fn sound(file: &[u8], index: &Index) {
    let mut earliest = i64::MAX;
    assert!(index.tracks.len() <= TRACKS_MAX, "bounded");
    for track in &index.tracks {
        assert!(track.samples.len() <= SAMPLES_MAX, "bounded");
        assert!(track.samples.first().is_some_and(|s| s.key), "it begins with a key frame");
        for (place, next) in track.samples.iter().zip(track.samples.iter().skip(1)) {
            assert!(place.duration > 0, "{place:?}");
            assert_eq!(place.dts + i64::from(place.duration), next.dts, "each ends where the next begins");
        }
        for place in &track.samples {
            assert!((1..=PLACE_BYTES_MAX).contains(&place.bytes), "bounded");
            assert!(place.offset + u64::from(place.bytes) <= file.len() as u64, "in the file");
        }
        if let Some(shown) = shown(&track.params, &track.samples) {
            earliest = earliest.min(rescale(shown, track.params.timescale(), 1_000));
        }
    }
    assert!(!index.tracks.is_empty() && earliest.abs() <= 1, "it begins at {earliest} ms");
}
