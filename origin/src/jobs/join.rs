//! Pieces put behind one another, and looked over: what is published has the times of its source.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use nx_container::index::{Cut, Index, IndexTrack, Packing, Place};
use nx_media::{Kind, Params, Sample, TrackId, rescale};
use nx_worker_protocol::{LENGTH, Output, Reply, frame_len};

use super::plan::{Piece, Plan};

/// Pictures that may be missing, since the source is damaged there: one of so many.
const MISSING: usize = 100;
/// By how much less at its beginning and end a rendition may show, milliseconds.
const EDGE_MS: i64 = 250;
/// By how much sound may be earlier or later than its source, milliseconds.
const OFFSET_MS: i64 = 50;

/// Why there is nothing to publish, in words.
#[derive(Debug)]
pub(super) enum Flaw {
    /// The pieces are wrong: put together again they are no better.
    Content(String),
    /// The disk refuses: the pieces are good, and later it may take them.
    Storage(String),
}

impl From<String> for Flaw {
    fn from(why: String) -> Self {
        Self::Content(why)
    }
}

/// Writes all samples into one file; gives their index. `source` is that of the title.
///
/// # Errors
/// A piece cannot be read, they do not fit together or their source, or the disk refuses.
pub(super) fn join(plan: &Plan, folder: &Path, media: &Path, source: &Index) -> Result<Index, Flaw> {
    let mut out = Out { file: BufWriter::new(File::create(media).map_err(said)?), at: 0 };
    let mut tracks: Vec<Track> =
        plan.ids.iter().map(|id| Track { id: *id, params: None, samples: Vec::new() }).collect();
    for (nth, piece) in plan.pieces.iter().enumerate() {
        let language = source.tracks.iter().find(|t| t.id == piece.track).and_then(|t| match &t.params {
            Params::Audio(a) => a.language,
            Params::Video(_) => None,
        });
        let file = File::open(super::coded(folder, nth)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Flaw::Content(format!("piece {nth} is gone")),
            _ => Flaw::Storage(format!("piece {nth} cannot be read: {error}")),
        })?;
        let mut file = BufReader::new(file);
        while let Some(reply) = next(&mut file).map_err(|why| format!("piece {nth}: {why}"))? {
            let at = |output: u8| piece.outputs_from + usize::from(output);
            match reply {
                Reply::Opened { output, config, .. } => {
                    let made = piece.ladder.outputs.get(usize::from(output)).zip(tracks.get_mut(at(output)));
                    let Some((made, track)) = made else { continue };
                    let params = crate::ladder::params(made, &config, language)?;
                    if track.params.get_or_insert_with(|| params.clone()) != &params {
                        let why = format!(
                            "piece {nth} is coded in another way than those before: its workers differ"
                        );
                        return Err(Flaw::Content(why));
                    }
                }
                Reply::Coded { output, sample } if piece.chunk.shown.contains(&sample.pts) => {
                    if let Some(track) = tracks.get_mut(at(output)) {
                        track.samples.push(out.put(&sample)?);
                    }
                }
                _ => {}
            }
        }
    }
    out.file.flush().and_then(|()| out.file.get_ref().sync_all()).map_err(said)?;
    let outputs = outputs(plan);
    let made = tracks.into_iter().zip(&outputs).map(|(track, output)| track.finish(output, source));
    Ok(Index { tracks: made.collect::<Result<_, String>>()?, left_out: Vec::new() })
}

pub(super) fn said(error: io::Error) -> Flaw {
    Flaw::Storage(format!("the renditions cannot be written: {error}"))
}

/// All outputs, with the track that each is made of.
fn outputs(plan: &Plan) -> Vec<(TrackId, &Output)> {
    let mut all: Vec<(usize, TrackId, &Output)> = Vec::new();
    for Piece { outputs_from, track, ladder, .. } in &plan.pieces {
        if all.iter().all(|(from, ..)| from != outputs_from) {
            all.extend(ladder.outputs.iter().map(|output| (*outputs_from, *track, output)));
        }
    }
    all.sort_by_key(|(from, ..)| *from);
    all.into_iter().map(|(_, track, output)| (track, output)).collect()
}

/// The next frame; `None` at the end.
fn next(from: &mut impl Read) -> Result<Option<Reply>, String> {
    let mut length = [0; LENGTH];
    match from.read_exact(&mut length) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read.map_err(|e| e.to_string())?,
    }
    let mut frame = vec![0; frame_len(length).map_err(|e| e.to_string())?];
    from.read_exact(&mut frame).map_err(|e| e.to_string())?;
    Reply::read(frame.into()).map(Some).map_err(|e| e.to_string())
}

struct Out {
    file: BufWriter<File>,
    at: u64,
}

impl Out {
    fn put(&mut self, sample: &Sample) -> Result<Place, Flaw> {
        self.file.write_all(&sample.payload).map_err(said)?;
        let large = |_| format!("a sample at {} is too large, or shown too far from its turn", sample.pts);
        let bytes = u32::try_from(sample.payload.len()).map_err(large)?;
        let cts = i32::try_from(sample.pts.saturating_sub(sample.dts)).map_err(large)?;
        let (dts, duration, offset) = (sample.dts, sample.duration.unwrap_or(0), self.at);
        self.at += u64::from(bytes);
        Ok(Place { dts, cts, duration, offset, bytes, key: sample.key, cut: Cut::default() })
    }
}

/// What was made for one output.
struct Track {
    id: TrackId,
    params: Option<Params>,
    samples: Vec<Place>,
}

impl Track {
    fn finish(mut self, (of, output): &(TrackId, &Output), source: &Index) -> Result<IndexTrack, String> {
        let id = self.id;
        let params = self.params.ok_or_else(|| format!("{id}: nothing was made"))?;
        // A worker does not see where the next piece begins; each sample ends there.
        let next: Vec<i64> = self.samples.iter().skip(1).map(|s| s.dts).collect();
        for (sample, next) in self.samples.iter_mut().zip(next) {
            let length = u32::try_from(next.saturating_sub(sample.dts)).ok().filter(|ticks| *ticks > 0);
            sample.duration = length.ok_or_else(|| format!("{id}: time goes back at {next}"))?;
        }
        let own = source.tracks.iter().find(|t| t.id == *of).ok_or("the source's track is gone")?;
        let halved = matches!(output, Output::Rung(rung) if rung.halved);
        let checked = match id.kind {
            Kind::Video => pictures(&self.samples, own, halved),
            Kind::Audio => sound(&self.samples, params.timescale(), own),
        };
        checked.map_err(|why| format!("{id} is not what it was made of: {why}"))?;
        Ok(IndexTrack { id, params, packing: Packing::Whole, samples: self.samples })
    }
}

/// Every picture has the time of one of the source, key frames that of a key frame, and (nearly) none is missing.
fn pictures(made: &[Place], source: &IndexTrack, halved: bool) -> Result<(), String> {
    let mut times: Vec<(i64, bool)> = source.samples.iter().map(|s| (pts(s), s.key)).collect();
    times.sort_unstable();
    for sample in made {
        let at = times.binary_search_by_key(&pts(sample), |(pts, _)| *pts);
        let of = at
            .ok()
            .and_then(|at| times.get(at))
            .ok_or_else(|| format!("it has no picture at {}", pts(sample)))?;
        if sample.key && !of.1 {
            return Err(format!("it has no key frame at {}", pts(sample)));
        }
    }
    let least = if halved { times.len() / 2 } else { times.len() };
    if made.len() + least / MISSING < least || made.first().is_none_or(|first| !first.key) {
        return Err(format!("{} of its {least} pictures", made.len()));
    }
    let (from, to) = (ms(source, times.first().map_or(0, |t| t.0)), ms(source, shown_to(&source.samples)));
    edges(
        (from, to),
        (ms(source, made.iter().map(pts).min().unwrap_or(0)), ms(source, shown_to(made))),
        EDGE_MS,
    )
}

/// Sound begins and ends when the source's does, and has no holes that are not in it.
fn sound(made: &[Place], timescale: u32, source: &IndexTrack) -> Result<(), String> {
    let ms = |ticks: i64, scale: u32| rescale(ticks, scale, 1000);
    let span = |samples: &[Place], scale: u32| {
        let begins = samples.first().map_or(0, pts);
        (ms(begins, scale), ms(shown_to(samples), scale))
    };
    edges(span(&source.samples, source.params.timescale()), span(made, timescale), OFFSET_MS)
}

fn edges(source: (i64, i64), made: (i64, i64), most_ms: i64) -> Result<(), String> {
    let apart = (source.0 - made.0).abs().max((source.1 - made.1).abs());
    if apart <= most_ms {
        return Ok(());
    }
    Err(format!("it lasts from {} to {} ms, this from {} to {} ms", source.0, source.1, made.0, made.1))
}

fn pts(sample: &Place) -> i64 {
    sample.dts.saturating_add(sample.cts.into())
}

fn shown_to(samples: &[Place]) -> i64 {
    samples.iter().map(|s| pts(s).saturating_add(s.duration.into())).max().unwrap_or(0)
}

fn ms(track: &IndexTrack, ticks: i64) -> i64 {
    rescale(ticks, track.params.timescale(), 1000)
}
