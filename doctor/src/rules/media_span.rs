//! What rules need to know of a piece of media, fragmented MP4 or transport stream: when it begins, how long it is,
//! whether a decoder can begin with it.

use crate::probe::{Chunk, Init, Kind, Sample, Track, TsProbe};

/// One track over all chunks of a segment or part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    /// Track id or PID.
    pub(crate) track: u32,
    pub(crate) kind: Kind,
    /// Ticks in a second.
    pub(crate) timescale: u64,
    /// Decode time of the first sample in ticks.
    pub(crate) start: Option<u64>,
    /// Ticks.
    pub(crate) duration: u64,
    /// The longest sample, in ticks.
    pub(crate) frame: u64,
    /// Samples, or PES packets.
    pub(crate) samples: usize,
    /// Pictures: a decoder can begin here. `None` when it cannot be told; true for sound.
    pub(crate) entry: Option<bool>,
    /// The longest stretch from one key frame to the next or to the end, in ticks.
    pub(crate) keys_apart: u64,
    /// Marked as a sync sample, and none by its payload.
    pub(crate) false_sync: usize,
    /// Decode time inside does not continue from chunk to chunk: the first break, expected and found.
    pub(crate) inner_break: Option<(u64, u64)>,
}

impl Span {
    pub(crate) fn seconds(&self) -> f64 {
        self.duration as f64 / self.timescale as f64
    }

    pub(crate) fn frame_s(&self) -> f64 {
        self.frame as f64 / self.timescale as f64
    }

    pub(crate) fn end(&self) -> Option<u64> {
        self.start.map(|s| s.saturating_add(self.duration))
    }
}

/// The tracks of fragments, in the order of the initialization segment; tracks without samples are left out.
pub(crate) fn of_chunks(init: &Init, chunks: &[Chunk]) -> Vec<Span> {
    init.tracks.iter().filter_map(|track| of_track(track, chunks)).collect()
}

fn of_track(track: &Track, chunks: &[Chunk]) -> Option<Span> {
    let runs: Vec<_> = chunks.iter().flat_map(|c| &c.runs).filter(|r| r.track == track.id).collect();
    let first = runs.iter().find_map(|r| r.samples.first())?;
    let (mut at, mut inner_break) = (runs.first().and_then(|r| r.tfdt), None);
    for run in &runs {
        if let (Some(expected), Some(found), None) = (at, run.tfdt, inner_break)
            && expected != found
        {
            inner_break = Some((expected, found));
        }
        at = run.tfdt.or(at).map(|t| t.saturating_add(run.duration()));
    }
    let samples = || runs.iter().flat_map(|r| &r.samples);
    let decodable = |s: &Sample| s.sync && s.entry != Some(false);
    let (mut keys_apart, mut since) = (0, 0);
    for sample in samples() {
        if decodable(sample) {
            since = 0;
        }
        since += u64::from(sample.duration);
        keys_apart = keys_apart.max(since);
    }
    let video = track.kind == Kind::Video;
    Some(Span {
        track: track.id,
        kind: track.kind,
        timescale: track.timescale.into(),
        start: runs.first().and_then(|r| r.tfdt),
        duration: samples().map(|s| u64::from(s.duration)).sum(),
        frame: samples().map(|s| u64::from(s.duration)).max().unwrap_or(0),
        samples: samples().count(),
        entry: if video { Some(decodable(first)) } else { Some(true) },
        keys_apart: if video { keys_apart } else { 0 },
        false_sync: samples().filter(|s| s.sync && s.entry == Some(false)).count(),
        inner_break,
    })
}

/// The streams of pictures and sound of a transport stream.
pub(crate) fn of_ts(probe: &TsProbe) -> Vec<Span> {
    let media = probe.streams.iter().filter(|s| s.kind.is_video() || s.kind.is_audio());
    media
        .filter_map(|stream| {
            let duration = stream.duration()?;
            Some(Span {
                track: stream.pid.into(),
                kind: if stream.kind.is_video() { Kind::Video } else { Kind::Audio },
                timescale: 90_000,
                start: stream.first_dts,
                duration,
                frame: duration.checked_div(stream.pes.into()).unwrap_or(0),
                samples: stream.pes as usize,
                entry: if stream.kind.is_video() { stream.starts_with_entry } else { Some(true) },
                keys_apart: 0,
                false_sync: 0,
                inner_break: None,
            })
        })
        .collect()
}

/// What tells the length of the whole: pictures, or else the first.
pub(crate) fn lead(spans: &[Span]) -> Option<&Span> {
    spans.iter().find(|s| s.kind == Kind::Video).or_else(|| spans.first())
}
