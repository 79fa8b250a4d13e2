//! An index on disk: a line of JSON about the tracks, their samples in numbers of variable length, a checksum.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use nx_container::index::{Cut, Index, IndexTrack, Packing, Place, SAMPLES_MAX};
use nx_media::{Params, TrackId};
use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// Changes when the format does, or what an indexer finds.
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    identity: Identity,
    left_out: Vec<String>,
    tracks: Vec<Track>,
}

#[derive(Serialize, Deserialize)]
struct Track {
    id: TrackId,
    params: Params,
    packing: Packed,
    samples: usize,
}

#[derive(Serialize, Deserialize)]
enum Packed {
    Whole,
    Behind(Bytes),
    Ts(u16, u8),
}

/// Where the index of a title is, if it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    /// What all indexes of the folder may take, bytes.
    pub(crate) bytes_max: u64,
}

impl Kept {
    /// Writes it so that it is there whole or not at all. Those that were not read for longest go to make room.
    pub(crate) fn write(&self, identity: Identity, index: &Index) -> io::Result<()> {
        let bytes = encode(identity, index)?;
        let Some(folder) = self.path.parent().filter(|_| bytes.len() as u64 <= self.bytes_max) else {
            return Ok(());
        };
        fs::create_dir_all(folder)?;
        let draft = self.path.with_extension("draft");
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        fs::rename(draft, &self.path)?;
        shrink(folder, self.bytes_max)
    }

    /// The index of this version of a file; `None` when it is not there, of another, or damaged.
    pub(crate) fn read(&self, identity: Identity) -> Option<Index> {
        let mut file = File::open(&self.path).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let index = decode(&bytes, identity)?;
        // When it was read last is the time of its last change.
        #[expect(clippy::disallowed_methods, reason = "the rim: a file's time")]
        let _ = file.set_modified(SystemTime::now());
        Some(index)
    }
}

/// Removes what was not read for longest, as long as there is too much.
fn shrink(folder: &Path, bytes_max: u64) -> io::Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let (path, meta) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        if path.extension().is_some_and(|end| end == "index") {
            found.push((meta.modified()?, meta.len(), path));
        }
    }
    found.sort_unstable();
    let mut all: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in found {
        if all <= bytes_max {
            break;
        }
        fs::remove_file(path)?;
        all -= bytes;
    }
    Ok(())
}

fn encode(identity: Identity, index: &Index) -> io::Result<Vec<u8>> {
    let track = |t: &IndexTrack| Track {
        id: t.id,
        params: t.params.clone(),
        packing: match &t.packing {
            Packing::Whole => Packed::Whole,
            Packing::Behind(bytes) => Packed::Behind(bytes.clone()),
            Packing::Ts { pid, stride } => Packed::Ts(*pid, *stride),
        },
        samples: t.samples.len(),
    };
    let head = Head {
        version: VERSION,
        identity,
        left_out: index.left_out.clone(),
        tracks: index.tracks.iter().map(track).collect(),
    };
    let mut out = serde_json::to_vec(&head)?;
    out.push(b'\n');
    for track in &index.tracks {
        let (mut dts, mut offset) = (0_i64, 0_u64);
        for p in &track.samples {
            signed(&mut out, p.dts.wrapping_sub(dts));
            signed(&mut out, p.cts.into());
            signed(&mut out, p.offset.wrapping_sub(offset).cast_signed());
            number(&mut out, p.duration.into());
            let plain = p.cut == Cut::default();
            number(&mut out, u64::from(p.bytes) << 2 | u64::from(!plain) << 1 | u64::from(p.key));
            if !plain {
                out.extend_from_slice(&[p.cut.head, p.cut.tail, u8::from(p.cut.sets)]);
            }
            dts = p.dts.wrapping_add(p.duration.into());
            offset = p.offset.wrapping_add(p.bytes.into());
        }
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    Ok(out)
}

fn decode(bytes: &[u8], identity: Identity) -> Option<Index> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
        return None;
    }
    let line = body.iter().position(|b| *b == b'\n')?;
    let (head, mut rest) = body.split_at_checked(line)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    if head.version != VERSION || head.identity != identity {
        return None;
    }
    rest = rest.get(1..)?;
    let mut tracks = Vec::with_capacity(head.tracks.len());
    for Track { id, params, packing, samples } in head.tracks {
        let packing = match packing {
            Packed::Whole => Packing::Whole,
            Packed::Behind(bytes) => Packing::Behind(bytes),
            Packed::Ts(pid, stride) => Packing::Ts { pid, stride },
        };
        let mut places = Vec::with_capacity(samples.min(SAMPLES_MAX));
        let (mut dts, mut offset) = (0_i64, 0_u64);
        for _ in 0..samples {
            dts = dts.wrapping_add(take_signed(&mut rest)?);
            let cts = i32::try_from(take_signed(&mut rest)?).ok()?;
            offset = offset.wrapping_add_signed(take_signed(&mut rest)?);
            let duration = u32::try_from(take(&mut rest)?).ok()?;
            let packed = take(&mut rest)?;
            let bytes = u32::try_from(packed >> 2).ok()?;
            let mut cut = Cut::default();
            if packed & 2 != 0 {
                let (&[head, tail, sets], left) = rest.split_first_chunk()?;
                rest = left;
                cut = Cut { head, tail, sets: sets == 1 };
            }
            places.push(Place { dts, cts, duration, offset, bytes, key: packed & 1 == 1, cut });
            dts = dts.wrapping_add(duration.into());
            offset = offset.wrapping_add(bytes.into());
        }
        tracks.push(IndexTrack { id, params, packing, samples: places });
    }
    rest.is_empty().then_some(Index { tracks, left_out: head.left_out })
}

/// Seven bits in a byte, the lowest first.
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn signed(out: &mut Vec<u8>, value: i64) {
    number(out, (value << 1 ^ value >> 63).cast_unsigned());
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_signed(from: &mut &[u8]) -> Option<i64> {
    let value = take(from)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use nx_container::index::Packing;
    use proptest::prelude::*;

    use super::*;

    const IDENTITY: Identity = Identity { bytes: 7, changed_ns: 8 };

    proptest! {
        #[test]
        fn what_was_written_is_read_and_nothing_else(
            samples in prop::collection::vec((any::<i64>(), any::<i32>(), any::<u32>(), any::<u64>(), any::<u32>(), any::<bool>(), any::<(u8, u8, bool)>()), 0..50),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let place = |(dts, cts, duration, offset, bytes, key, (head, tail, sets))| {
                Place { dts, cts, duration, offset, bytes, key, cut: Cut { head, tail, sets } }
            };
            let track = IndexTrack {
                id: TrackId::AUDIO,
                params: Params::Audio(nx_codec::opus::params(2, None)),
                packing: Packing::Behind(Bytes::from_static(b"front")),
                samples: samples.into_iter().map(place).collect(),
            };
            let index = Index { tracks: vec![track], left_out: vec!["a\nline".into()] };
            let mut bytes = encode(IDENTITY, &index).expect("encodes");
            prop_assert_eq!(decode(&bytes, IDENTITY), Some(index));
            prop_assert_eq!(decode(&bytes, Identity { bytes: 8, ..IDENTITY }), None);
            let at = at.index(bytes.len());
            prop_assert_eq!(decode(&bytes[..at], IDENTITY), None);
            bytes[at] ^= flip;
            prop_assert_eq!(decode(&bytes, IDENTITY), None);
        }
    }
}
