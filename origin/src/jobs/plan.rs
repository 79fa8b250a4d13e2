//! What is to be made of a title, and in which pieces.

use nx_container::index::{Index, IndexTrack};
use nx_ladder::{Chunk, Picture, Source, chunks, plan};
use nx_media::{FrameRate, Kind, Params, TrackId, VIDEO_TIMESCALE, VideoParams, rescale};
use nx_vod::Found;
use nx_worker_protocol::{Filters, Ladder, Output};

use crate::ladder::{LadderConfig, Mode};

/// What a second of sound costs beside one of pictures.
const SOUND_SHARE: f64 = 0.05;
/// Bytes that a piece may have beyond twice its bit rate: lossless beginnings, headers, what is told of progress.
const SLACK_BYTES: f64 = (64_u32 << 20) as f64;

/// See the module. The same title and settings give the same plan.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) found: Found,
    pub(super) pieces: Vec<Piece>,
    /// Of the outputs of all pieces: rungs first, then sound.
    pub(super) ids: Vec<TrackId>,
}

/// What one worker does at a time.
#[derive(Debug)]
pub(super) struct Piece {
    /// Of the source.
    pub(super) track: TrackId,
    /// What is made; `outputs_from` is the number of its first output.
    pub(super) ladder: Ladder,
    pub(super) outputs_from: usize,
    pub(super) chunk: Chunk,
    /// How long it is, seconds.
    pub(super) length_s: f64,
}

impl Plan {
    /// # Errors
    /// In words: there is nothing to make, or it cannot be.
    pub(super) fn new(
        found: Found,
        index: &Index,
        config: &LadderConfig,
        encrypted: bool,
    ) -> Result<Self, String> {
        let profile = config.wish().map_err(|error| error.to_string())?;
        let (video, audio) = (first(index, Kind::Video), first(index, Kind::Audio));
        let told = video.and_then(|track| Some((picture(&track.params)?, rate(track))));
        let params = told
            .map(|(params, rate)| VideoParams { frame_rate: params.frame_rate.or(rate), ..params.clone() });
        let sound = audio.and_then(|track| if let Params::Audio(a) = &track.params { Some(a) } else { None });
        let source = Source { video: params.as_ref(), turned: false, audio: sound };
        let nothing =
            || "nothing is to be made of it: no rendition of its ladder is smaller than it is".to_owned();
        let Ladder { video: picture, audio: sound, filters, outputs } =
            plan(&profile, source, &config.filters(None, 0)).ladder.ok_or_else(nothing)?;
        let wanted = |output: &Output| match output {
            Output::Rung(rung) => {
                let lines = rung.width.min(rung.height);
                let clear = encrypted && rung.codec == nx_media::VideoCodec::Av1;
                config.mode_of(lines, rung.codec) != Mode::Never && !clear
            }
            Output::Sound(_) => true,
        };
        let (rungs, sounds): (Vec<Output>, Vec<Output>) =
            outputs.into_iter().filter(wanted).partition(|output| matches!(output, Output::Rung(_)));
        let mut made = Self { found, pieces: Vec::new(), ids: Vec::new() };
        let mut ids = Numbers::behind(index);
        made.ids.extend(rungs.iter().map(|_| ids.next(Kind::Video)));
        made.ids.extend(sounds.iter().map(|_| ids.next(Kind::Audio)));
        // What takes longest in one piece is begun first.
        if let (Some(track), false) = (audio, sounds.is_empty()) {
            let ladder = Ladder { video: None, audio: sound, filters: Filters::default(), outputs: sounds };
            let chunk = Chunk { pictures: 0..track.samples.len(), shown: i64::MIN..i64::MAX };
            made.pieces.push(piece(track, ladder, rungs.len(), chunk));
        }
        if let (Some(track), false) = (video, rungs.is_empty()) {
            let ladder = Ladder { video: picture, audio: None, filters, outputs: rungs };
            let times =
                track.samples.iter().map(|s| Picture { pts: s.dts.saturating_add(s.cts.into()), key: s.key });
            made.pieces.extend(chunks(times).into_iter().map(|chunk| piece(track, ladder.clone(), 0, chunk)));
        }
        if made.pieces.is_empty() { Err(nothing()) } else { Ok(made) }
    }

    /// What pieces that were made belong to: of another plan they are worth nothing.
    pub(super) fn text(&self) -> String {
        format!("{:?}\n{:#?}\n", self.ids, self.pieces)
    }
}

impl Piece {
    /// What it costs beside others.
    pub(super) fn weight(&self) -> f64 {
        self.length_s * if self.track.kind == Kind::Audio { SOUND_SHARE } else { 1.0 }
    }

    /// Bytes that its outputs may have.
    pub(super) fn bytes_max(&self) -> u64 {
        let bps = |output: &Output| match output {
            Output::Rung(rung) => f64::from(rung.peak_bps),
            Output::Sound(sound) => f64::from(sound.bitrate_bps),
        };
        let all: f64 = self.ladder.outputs.iter().map(bps).sum();
        (all * self.length_s / 8.0 * 2.0 + SLACK_BYTES) as u64
    }
}

/// The track of a kind that is decoded: one that is also played, if there is one.
pub(super) fn first(index: &Index, kind: Kind) -> Option<&IndexTrack> {
    let of = || index.tracks.iter().filter(|t| t.id.kind == kind && !t.samples.is_empty());
    of().find(|t| t.params.is_carried()).or_else(|| of().next())
}

fn picture(params: &Params) -> Option<&VideoParams> {
    if let Params::Video(v) = params { Some(v) } else { None }
}

/// As measured.
fn rate(track: &IndexTrack) -> Option<FrameRate> {
    let (first, last) = track.samples.first().zip(track.samples.last())?;
    let ticks = last.dts.saturating_add(last.duration.into()).saturating_sub(first.dts);
    let frames = u64::try_from(track.samples.len()).ok()?;
    let per_1000s = frames.saturating_mul(VIDEO_TIMESCALE.into()).saturating_mul(1000)
        / u64::try_from(ticks).ok()?.max(1);
    let num = u32::try_from(per_1000s).ok().filter(|num| *num > 0)?;
    Some(FrameRate { num, den: 1000 })
}

fn piece(track: &IndexTrack, ladder: Ladder, outputs_from: usize, chunk: Chunk) -> Piece {
    let places = track.samples.get(chunk.pictures.clone()).unwrap_or_default();
    let ends = places.last().map_or(0, |last| last.dts.saturating_add(last.duration.into()));
    let ticks = ends.saturating_sub(places.first().map_or(0, |first| first.dts));
    let length_s = rescale(ticks, track.params.timescale(), 1000) as f64 / 1000.0;
    Piece { track: track.id, ladder, outputs_from, chunk, length_s }
}

/// Numbers behind those that are played as they are.
struct Numbers([u8; 2]);

impl Numbers {
    fn behind(index: &Index) -> Self {
        let count = |kind| {
            let own = index.tracks.iter().filter(|t| t.id.kind == kind && t.params.is_carried());
            own.map(|t| t.id.nth.saturating_add(1)).max().unwrap_or(0)
        };
        Self([count(Kind::Video), count(Kind::Audio)])
    }

    fn next(&mut self, kind: Kind) -> TrackId {
        let [video, audio] = &mut self.0;
        let nth = if kind == Kind::Video { video } else { audio };
        *nth = nth.saturating_add(1);
        TrackId { kind, nth: nth.saturating_sub(1) }
    }
}
