//! The tracks of a run, as a file: a line of JSON, then the CMAF headers of its tracks one behind the other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nx_hls::{Run, RunTrack};
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

/// Writes it so that it is there whole or not at all, and stays.
pub(crate) fn write(folder: &Path, run: &Run) -> io::Result<()> {
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
    let mut at = line + 1;
    let mut tracks = Vec::with_capacity(head.tracks.len());
    for track in head.tracks {
        let end = at.checked_add(track.header_bytes).filter(|end| *end <= bytes.len()).ok_or_else(broken)?;
        let Track { id, name, params, .. } = track;
        tracks.push(Arc::new(RunTrack { id, name, run: number, params, init: bytes.slice(at..end) }));
        at = end;
    }
    Ok(Arc::new(Run {
        number,
        first_msn: head.first_msn,
        tracks,
        start_ms: head.start_ms,
        wall_at_zero_ms: head.wall_at_zero_ms,
        part_target_us: head.part_target_us,
    }))
}
