//! The tracks of a run, as a file: a line of JSON, then the CMAF headers of its tracks one behind the other.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nx_crypt::Protection;
use nx_hls::{KeyPeriod, Run, RunTrack};
use nx_media::{Params, TrackId};
use serde::{Deserialize, Serialize};

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
    let (whole, draft) = (path(folder, run.number), folder.join("run.draft"));
    let mut file = File::create(&draft)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&draft, &whole)?;
    File::open(folder)?.sync_all()
}

pub(crate) fn read(folder: &Path, number: u32) -> io::Result<Arc<Run>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("run-{number} is not whole"));
    let bytes = Bytes::from(fs::read(path(folder, number))?);
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
