//! Follows a live stream part by part, for outputs that push: what an output cannot take in time it misses, and
//! the stream never knows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use nx_container::fmp4;
use nx_delivery::LiveStream;
use nx_hls::{Position, RunTrack, Window};
use nx_media::{Kind, Sample, rescale};
use tokio::time::Instant;

use crate::keys::StreamKeys;

/// How long nothing may come before the follower looks whether anybody still wants it.
const QUIET: Duration = Duration::from_secs(5);
/// A track that is this far ahead is not held for one that gives nothing; microseconds.
const AHEAD_US: i64 = 1_000_000;
/// Segments after its own from which a follower could go on, before it is sent there: then it is that far behind.
const BEHIND_SEGMENTS: u64 = 3;

/// A track in a piece, with its samples in decode order.
pub(crate) type TrackSamples = (Arc<RunTrack>, Vec<Sample>);

/// What came since the last piece: every track up to the same time.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Grows by one.
    pub(crate) number: u64,
    /// Stream time of the leading track that was missed in front of it; microseconds.
    pub(crate) missed_us: i64,
    /// The leading track first; a track that gives nothing just now has no samples.
    pub(crate) tracks: Vec<TrackSamples>,
}

/// What [`Follower::next`] finds.
#[derive(Debug)]
pub(crate) enum Next {
    Piece(Piece),
    /// Nothing for a while.
    Quiet,
    /// The stream is over.
    End,
}

/// Reads the first video and all audio tracks of a stream, from its newest key frame on.
#[derive(Debug)]
pub(crate) struct Follower {
    live: Arc<LiveStream>,
    number: u64,
    tracks: Vec<Track>,
    /// Up to where the leading track has been handed out; microseconds.
    reached_us: Option<i64>,
    /// The next piece does not continue the last one.
    skipped: bool,
    /// Opens what is encrypted, for outputs that may have it in the clear.
    keys: Option<StreamKeys>,
}

#[derive(Debug)]
struct Track {
    name: String,
    /// As the stream has it now, or as of the last sample that was handed out.
    run: Arc<RunTrack>,
    next: Position,
    queue: VecDeque<(Arc<RunTrack>, Sample)>,
}

impl Track {
    fn us((run, sample): &(Arc<RunTrack>, Sample)) -> i64 {
        us(run, sample.dts)
    }
}

/// The first video and all audio tracks, the leading one first.
fn chosen(w: &Window) -> impl Iterator<Item = &Arc<RunTrack>> {
    let video = w.tracks().find(|t| t.params.kind() == Kind::Video);
    video.into_iter().chain(w.tracks().filter(|t| t.params.kind() == Kind::Audio))
}

/// What a wait that found nothing means: waits are cut short when the node is about to stop.
fn nothing(asked: Instant) -> Next {
    if asked.elapsed() < QUIET { Next::End } else { Next::Quiet }
}

/// A time of a track in microseconds.
pub(crate) fn us(run: &RunTrack, ticks: i64) -> i64 {
    rescale(ticks, run.params.timescale(), 1_000_000)
}

impl Follower {
    pub(crate) fn new(live: Arc<LiveStream>) -> Self {
        Self { live, number: 0, tracks: Vec::new(), reached_us: None, skipped: false, keys: None }
    }

    /// Reads an encrypted stream in the clear.
    pub(crate) fn opening(self, keys: Option<StreamKeys>) -> Self {
        Self { keys, ..self }
    }

    /// Goes on at the newest key frame: the output was too slow.
    pub(crate) fn skip(&mut self) {
        self.tracks.clear();
        self.skipped = true;
    }

    /// The piece that was just handed out could not be taken whole: goes on at the newest key frame.
    pub(crate) fn skip_piece(&mut self, piece: &Piece) {
        self.skip();
        if let Some((run, first)) = piece.tracks.first().and_then(|(run, s)| Some((run, s.first()?))) {
            self.reached_us = Some(us(run, first.dts));
        }
    }

    /// Begins anew at the newest key frame: the output is another one.
    pub(crate) fn restart(&mut self) {
        self.tracks.clear();
        (self.reached_us, self.skipped) = (None, false);
    }

    /// Waits for the next piece. Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> Next {
        let asked = Instant::now();
        if self.tracks.is_empty() && !self.start().await {
            return if self.live.read(Window::is_ended) { Next::End } else { nothing(asked) };
        }
        let lead = self.tracks.first().map(|t| (t.name.clone(), t.next));
        let Some((name, from)) = lead else { return Next::Quiet };
        let track = self.live.read(|w| w.track_index(&name)).unwrap_or(0);
        let grown = |w: &Window| {
            // Without its leader the stream has become another one.
            let Some(index) = w.track_index(&name) else { return Some(()) };
            (w.parts_after(index, from).next().is_some() || w.is_ended()).then_some(())
        };
        if self.live.wait(track, QUIET, grown).await.is_none() {
            return nothing(asked);
        }
        if !self.take_parts() {
            self.skip();
            return Next::Quiet;
        }
        let ended = self.live.read(Window::is_ended);
        match self.piece(ended) {
            Some(piece) => Next::Piece(piece),
            None if ended => Next::End,
            None => Next::Quiet,
        }
    }

    /// Finds the newest place to start.
    async fn start(&mut self) -> bool {
        let live = self.live.clone();
        let found = |w: &Window| {
            let msn = w.newest_independent(w.track_index(&chosen(w).next()?.name)?)?;
            let next = Position { msn, part: 0 };
            let track = |t: &Arc<RunTrack>| Track {
                name: t.name.clone(),
                run: t.clone(),
                next,
                queue: VecDeque::new(),
            };
            Some(chosen(w).map(track).collect())
        };
        self.tracks = live.wait(0, QUIET, found).await.unwrap_or_default();
        !self.tracks.is_empty()
    }

    /// Takes new parts into the queues; false when something has been missed.
    fn take_parts(&mut self) -> bool {
        let (tracks, keys) = (&mut self.tracks, self.keys.as_ref());
        self.live.read(|w| {
            if !chosen(w).map(|t| &t.name).eq(tracks.iter().map(|t| &t.name)) {
                return false;
            }
            for (nth, track) in tracks.iter_mut().enumerate() {
                let Some(index) = w.track_index(&track.name) else { continue };
                let gone = w.oldest(index).is_some_and(|oldest| oldest > track.next.msn);
                let newest = w.newest_independent(index).unwrap_or(0);
                if nth == 0 && (gone || newest >= track.next.msn + BEHIND_SEGMENTS) {
                    return false;
                }
                if let Some(run) = w.tracks().nth(index).filter(|_| track.queue.is_empty()) {
                    track.run = run.clone();
                }
                for (run, part) in w.parts_after(index, track.next) {
                    track.next = Position { msn: part.msn, part: part.index + 1 };
                    let samples = match &run.key {
                        None => fmp4::samples(&part.bytes).unwrap_or_default(),
                        Some(key) => {
                            let key = keys.and_then(|keys| keys.find(&key.told.key_id));
                            key.and_then(|key| nx_crypt::open(&part.bytes, &run.params, &key).ok())
                                .unwrap_or_default()
                        }
                    };
                    track.queue.extend(samples.into_iter().map(|s| (run.clone(), s)));
                }
            }
            true
        })
    }

    /// Takes out of the queues what every track has reached, within one run.
    fn piece(&mut self, all: bool) -> Option<Piece> {
        let run = self.tracks.first()?.queue.front().map(|(run, _)| run.run)?;
        let ends = self.tracks.iter().map(|t| t.queue.back().map(Track::us));
        let furthest = ends.clone().flatten().max()?;
        let least = ends.map(|end| end.unwrap_or(furthest - AHEAD_US)).min()?;
        let until = if all { i64::MAX } else { least.max(furthest - AHEAD_US) };
        let mut tracks = Vec::new();
        for track in &mut self.tracks {
            // Sound of a run that is over, behind its picture: it has no place any more.
            while track.queue.front().is_some_and(|(r, _)| r.run < run) {
                track.queue.pop_front();
            }
            let mut samples = Vec::new();
            while track.queue.front().is_some_and(|s| s.0.run == run && Track::us(s) <= until) {
                let Some((run, sample)) = track.queue.pop_front() else { break };
                track.run = run;
                samples.push(sample);
            }
            // A track that has nothing just now is still one of the stream's tracks.
            if track.run.run == run {
                tracks.push((track.run.clone(), samples));
            }
        }
        if tracks.iter().all(|(_, samples)| samples.is_empty()) {
            return None;
        }
        self.number += 1;
        let leader = tracks.first().and_then(|(run, samples)| Some((run, samples.first()?, samples.last()?)));
        let (mut missed_us, skipped) = (0, std::mem::take(&mut self.skipped));
        if let Some((run, first, last)) = leader {
            if let Some(reached_us) = self.reached_us.filter(|_| skipped) {
                missed_us = (us(run, first.dts) - reached_us).max(0);
            }
            self.reached_us = Some(us(run, last.dts + i64::from(last.duration.unwrap_or(0))));
        }
        Some(Piece { number: self.number, missed_us, tracks })
    }
}

#[cfg(test)]
mod tests;
