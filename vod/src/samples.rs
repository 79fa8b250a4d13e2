//! Samples out of a file, by range reads.

use bytes::Bytes;
use nx_codec::{avc, hevc};
use nx_container::index::{IndexError, IndexTrack, Packing, Place};
use nx_container::ts;
use nx_media::{Params, Sample, VideoCodec};

use crate::library::Found;
use crate::open::{Same, TitleError};

/// Samples with fewer bytes of others between them are read together.
const BETWEEN: u64 = 4 << 10;
/// Bytes that are read together at most, unless one sample has more.
const TOGETHER: u64 = 8 << 20;

/// What happens to the bytes of a sample between the file and a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// These come first.
    Behind(Bytes),
    /// NAL units get lengths of four bytes; they have so many.
    Lengths(u8),
    /// They are taken out of packets.
    Unpack,
}

impl Change {
    pub(crate) fn of(track: &IndexTrack) -> Self {
        let lengths = match &track.params {
            Params::Video(v) if v.codec == VideoCodec::Avc => avc::nal_length_size(&v.config).ok(),
            Params::Video(v) if v.codec == VideoCodec::Hevc => hevc::nal_length_size(&v.config).ok(),
            _ => None,
        };
        match (&track.packing, lengths) {
            (Packing::Whole, Some(size @ (1 | 2))) => Self::Lengths(size),
            (Packing::Whole, _) => Self::None,
            (Packing::Behind(bytes), _) => Self::Behind(bytes.clone()),
            (Packing::Ts { .. }, _) => Self::Unpack,
        }
    }

    /// How many bytes a sample has then, if that is known before it is read.
    pub(crate) fn bytes(&self, of: &Place) -> Option<u64> {
        match self {
            Self::None => Some(of.bytes.into()),
            Self::Behind(bytes) => Some(u64::from(of.bytes) + bytes.len() as u64),
            Self::Lengths(_) | Self::Unpack => None,
        }
    }

    fn apply(&self, bytes: Bytes, track: &IndexTrack, place: &Place) -> Result<Bytes, TitleError> {
        match self {
            Self::None => Ok(bytes),
            Self::Behind(first) => Ok([first.clone(), bytes].concat().into()),
            Self::Lengths(size) => avc::to_four_byte_lengths(&bytes, *size).map_err(|e| {
                IndexError::Broken { what: format!("a picture cannot be read ({e})"), at: 0 }.into()
            }),
            Self::Unpack => Ok(ts::unpack(&bytes, track, place)?),
        }
    }
}

/// Reads the samples of places in a title's file, with the times that they have there.
///
/// # Errors
/// The file cannot be read, or is another by now.
pub fn samples(found: &Found, track: &IndexTrack, places: &[Place]) -> Result<Vec<Sample>, TitleError> {
    let file = Same::open(&found.path, found.identity)?;
    let samples = read(&file, track, places, 0)?;
    file.check()?;
    Ok(samples)
}

/// Reads the samples of these places; their times are later by `late` ticks.
pub(crate) fn read(
    file: &Same,
    track: &IndexTrack,
    places: &[Place],
    late: i64,
) -> Result<Vec<Sample>, TitleError> {
    let change = Change::of(track);
    let mut samples = Vec::with_capacity(places.len());
    let mut rest = places;
    while let Some(first) = rest.first() {
        let mut end = first.offset.saturating_add(first.bytes.into());
        let near = |place: &&Place| {
            // In a transport stream two samples may share a packet.
            let follows = place.offset >= first.offset && place.offset <= end.saturating_add(BETWEEN);
            let ends = place.offset.saturating_add(place.bytes.into());
            let fits = follows && ends - first.offset <= TOGETHER;
            end = if fits { end.max(ends) } else { end };
            fits
        };
        let more = rest.iter().skip(1).take_while(near).count();
        let (now, then) = rest.split_at(more + 1);
        let bytes =
            Bytes::from(file.read(first.offset, usize::try_from(end - first.offset).unwrap_or(usize::MAX))?);
        for place in now {
            let at = usize::try_from(place.offset - first.offset).unwrap_or(usize::MAX);
            let payload = bytes.slice(at..at.saturating_add(usize::try_from(place.bytes).unwrap_or(0)));
            samples.push(sample(place, late, change.apply(payload, track, place)?));
        }
        rest = then;
    }
    Ok(samples)
}

/// A sample that was at a place.
pub(crate) fn sample(place: &Place, late: i64, payload: Bytes) -> Sample {
    let dts = place.dts.saturating_add(late);
    Sample {
        dts,
        pts: dts.saturating_add(place.cts.into()),
        duration: Some(place.duration),
        key: place.key,
        payload,
    }
}
