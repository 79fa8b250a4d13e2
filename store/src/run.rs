//! The tracks of a run, as a file: a line of JSON, then the CMAF headers of its tracks one behind the other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nx_crypt::Protection;
use nx_hls::{KeyPeriod, Run, RunTrack};
use nx_media::{Params, TrackId};
use serde::{Deserialize, Serialize};

use crate::marker;

#[derive(Serialize, Deserialize)]
struct Head {
    number: u32,
    first_msn: u64,
    start_ms: i64,
    wall_at_zero_ms: i64,
    part_target_us: u32,
    tracks: Vec<Track>,
    /// What is told of its keys; the keys themselves are nowhere on this disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Told>,
}

#[derive(Serialize, Deserialize)]
struct Told {
    first_msn: u64,
    begins_ms: i64,
    told: Protection,
}

#[derive(Serialize, Deserialize)]
struct Track {
    id: TrackId,
    name: String,
    params: Params,
    /// Length of its header.
    header_bytes: usize,
}

pub(crate) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("run-{number}"))
}

/// Writes it so that it is there whole or not at all, and stays. `keys` are those that it has had so far.
pub(crate) fn write(folder: &Path, run: &Run, keys: &[KeyPeriod]) -> io::Result<()> {
    let told = |key: &KeyPeriod| {
        let KeyPeriod { first_msn, begins_ms, told } = key.clone();
        Told { first_msn, begins_ms, told: Protection::clone(&told) }
    };
    let track = |t: &Arc<RunTrack>| Track {
        id: t.id,
        name: t.name.clone(),
        params: t.params.clone(),
        header_bytes: t.init.len(),
    };
    let head = Head {
        number: run.number,
        first_msn: run.first_msn,
        start_ms: run.start_ms,
        wall_at_zero_ms: run.wall_at_zero_ms,
        part_target_us: run.part_target_us,
        tracks: run.tracks.iter().map(track).collect(),
        keys: keys.iter().map(told).collect(),
    };
    let mut bytes = serde_json::to_vec(&head)?;
    bytes.push(b'\n');
    run.tracks.iter().for_each(|t| bytes.extend_from_slice(&t.init));
    marker::place(folder, &format!("run-{}", run.number), &bytes)
}

/// The runs whose tracks are here with a lower number, in no order.
pub(crate) fn before(folder: &Path, number: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix("run-")?.parse::<u32>().ok());
        found.extend(of.filter(|of| *of < number));
    }
    Ok(found)
}

pub(crate) fn read(folder: &Path, number: u32) -> io::Result<Arc<Run>> {
    parse(number, &fs::read(path(folder, number))?.into())
}

/// Reads the bytes of such a file.
pub(crate) fn parse(number: u32, bytes: &Bytes) -> io::Result<Arc<Run>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("run-{number} is not whole"));
    let line = bytes.iter().position(|b| *b == b'\n').ok_or_else(broken)?;
    let head: Head = serde_json::from_slice(bytes.get(..line).unwrap_or_default())?;
    let key = |Told { first_msn, begins_ms, told }| KeyPeriod { first_msn, begins_ms, told: Arc::new(told) };
    let mut at = line + 1;
    let mut tracks = Vec::with_capacity(head.tracks.len());
    for track in head.tracks {
        let end = at.checked_add(track.header_bytes).filter(|end| *end <= bytes.len()).ok_or_else(broken)?;
        let Track { id, name, params, .. } = track;
        tracks.push(Arc::new(RunTrack {
            id,
            name,
            run: number,
            params,
            init: bytes.slice(at..end),
            key: None,
        }));
        at = end;
    }
    Ok(Arc::new(Run {
        number,
        first_msn: head.first_msn,
        tracks,
        start_ms: head.start_ms,
        wall_at_zero_ms: head.wall_at_zero_ms,
        part_target_us: head.part_target_us,
        keys: head.keys.into_iter().map(key).collect(),
    }))
}

/// Whether the file `later` is `earlier`, or that with further keys: one grows as keys change.
pub(crate) fn continues(number: u32, earlier: &Bytes, later: &Bytes) -> bool {
    let (Ok(earlier), Ok(later)) = (parse(number, earlier), parse(number, later)) else { return false };
    let without = |run: &Run| Run { keys: Vec::new(), ..run.clone() };
    later.keys.starts_with(&earlier.keys) && without(&earlier) == without(&later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_with_further_keys_and_is_no_other_run() {
        let folder = std::env::temp_dir().join(format!("nx-run-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let told = |nth: u8| {
            let (key_id, iv, systems, ts) = ([nth; 16], [0; 16], Vec::new(), nx_crypt::TsCipher::Off);
            Arc::new(Protection { scheme: nx_crypt::Scheme::Cbcs, key_id, iv, systems, ts })
        };
        let key = |nth: u8| KeyPeriod { first_msn: nth.into(), begins_ms: 0, told: told(nth) };
        let file = |start_ms: i64, keys: &[KeyPeriod]| -> Bytes {
            let run = Run {
                number: 3,
                first_msn: 1,
                tracks: Vec::new(),
                start_ms,
                wall_at_zero_ms: 0,
                part_target_us: 1,
                keys: Vec::new(),
            };
            write(&folder, &run, keys).expect("writes");
            fs::read(path(&folder, 3)).expect("reads").into()
        };
        let (one, two, other) = (file(7, &[key(1)]), file(7, &[key(1), key(2)]), file(8, &[key(1), key(2)]));
        for (earlier, later, want) in [
            (&one, &one, true),
            (&one, &two, true),
            (&two, &one, false),
            (&one, &other, false),
            (&file(7, &[key(2)]), &two, false),
            (&file(7, &[]), &two, true),
            (&one, &one.slice(..9), false),
        ] {
            assert_eq!(continues(3, earlier, later), want, "{earlier:?} {later:?}");
        }
        fs::remove_dir_all(&folder).expect("removes");
    }
}
