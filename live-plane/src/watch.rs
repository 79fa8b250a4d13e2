//! A stream for one browser.
//!
//! The broadcast has a track `catalog`: each of its groups is one JSON text that says what there is from now on. The
//! media tracks that it names, such as `v1.0` for `v1` in run 0, have a group for each segment: its CMAF header, then
//! each part as soon as it is there. They end with their run.
//!
//! The window is read as players read it, part by part: a browser that is too slow costs it nothing, and misses what
//! has left the window or was not taken within [`LAG_MAX`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nx_delivery::{Directory, LiveStream};
use nx_hls::{Position, RunTrack, Window};
use nx_media::{Kind, StreamKey};
use serde::Serialize;
use tokio::time::Instant;

use crate::browsers::Watched;
use crate::figures::add;
use crate::moq::{Asked, Sink};
use crate::publish::find;

const CATALOG: &str = "catalog";
/// How far a browser may fall behind.
const LAG_MAX: Duration = Duration::from_secs(3);
/// How long nothing may come before it is looked whether the node is about to stop.
const QUIET: Duration = Duration::from_secs(1);

/// What there is of a stream.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Catalog {
    /// The first picture and the first sound.
    tracks: Vec<Listed>,
    /// Longest part.
    part_ms: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Listed {
    /// Name of its track in the broadcast.
    name: String,
    /// Media type as a `SourceBuffer` wants it.
    #[serde(rename = "type")]
    media_type: String,
    /// Unix time of its presentation time 0.
    zero_ms: i64,
}

impl Catalog {
    /// `None` before there is anything.
    fn of(window: &Window) -> Option<Self> {
        let zero_ms = window.runs().last()?.wall_at_zero_ms;
        let listed = |(kind, name): (Kind, &str)| {
            let track: &RunTrack = window.tracks().find(|t| t.params.kind() == kind)?;
            Some(Listed {
                name: format!("{}.{}", track.name, track.run),
                media_type: format!("{name}/mp4; codecs=\"{}\"", track.params.rfc6381()),
                zero_ms,
            })
        };
        let tracks: Vec<_> =
            [(Kind::Video, "video"), (Kind::Audio, "audio")].into_iter().filter_map(listed).collect();
        (!tracks.is_empty()).then_some(Self { tracks, part_ms: window.part_target_us().div_ceil(1000) })
    }
}

/// Sends a track of a stream to one browser for as long as it wants it. An encrypted stream is refused: who plays this
/// has no keys.
pub(crate) async fn feed(directory: Arc<dyn Directory>, figures: Arc<Watched>, key: StreamKey, asked: Asked) {
    let Some((live, asked)) = find(&*directory, &key, asked).await else { return };
    if live.read(Window::is_encrypted) {
        return asked.refuse();
    }
    let name = asked.track().to_owned();
    let feed = Feed { directory, live, figures };
    match name.rsplit_once('.').and_then(|(track, run)| Some((track, run.parse().ok()?))) {
        Some((track, run)) => feed.media(track, run, asked.accept(LAG_MAX)).await,
        None if name == CATALOG => feed.catalog(asked.accept(LAG_MAX)).await,
        None => asked.unknown(),
    }
}

struct Feed {
    directory: Arc<dyn Directory>,
    live: Arc<LiveStream>,
    figures: Arc<Watched>,
}

/// A part, and the header that it needs.
struct Piece {
    at: Position,
    header: Bytes,
    part: Bytes,
}

impl Feed {
    async fn catalog(&self, mut sink: Sink) {
        let mut told = None;
        loop {
            let news = |w: &Window| {
                if w.is_ended() || w.is_encrypted() {
                    return Some(None);
                }
                let catalog = Catalog::of(w).filter(|c| told.as_ref() != Some(c))?;
                Some(Some(catalog))
            };
            let Some(Some(catalog)) = self.wait(&sink, 0, news).await else { break };
            let Ok(text) = serde_json::to_vec(&catalog) else { break };
            if sink.send(text.into()).and_then(|()| sink.cut()).is_err() {
                break;
            }
            told = Some(catalog);
        }
        sink.end();
    }

    /// A track in a run, from the newest key frame on.
    async fn media(&self, track: &str, run: u32, mut sink: Sink) {
        let newest = |w: &Window| w.newest_independent(w.leader());
        let mut next = Position { msn: self.live.read(newest).unwrap_or(0), part: 0 };
        let mut group = None;
        loop {
            let index = self.live.read(|w| w.track_index(track)).unwrap_or(0);
            let pieces = self.wait(&sink, index, |w| pieces(w, track, run, next)).await.unwrap_or_default();
            // Nothing more comes of the run, or for this browser.
            let Some(last) = pieces.last() else { break };
            next = Position { part: last.at.part + 1, ..last.at };
            if pieces.into_iter().any(|piece| self.send(&mut sink, &mut group, piece).is_none()) {
                break;
            }
        }
        sink.end();
    }

    fn send(&self, sink: &mut Sink, group: &mut Option<u64>, piece: Piece) -> Option<()> {
        if group.replace(piece.at.msn) != Some(piece.at.msn) {
            sink.cut().and_then(|()| sink.send(piece.header)).ok()?;
        }
        add(&self.figures.sent_bytes, piece.part.len());
        sink.send(piece.part).ok()
    }

    /// Waits until `look` sees something in the window, with the bell of `track`; `None` when nobody wants it any more,
    /// the stream is another one, or the node is about to stop.
    async fn wait<T>(&self, sink: &Sink, track: usize, look: impl Fn(&Window) -> Option<T>) -> Option<T> {
        loop {
            let asked = Instant::now();
            // Who is found is watched: an edge goes on fetching it.
            let now = self.directory.live(self.live.key());
            if !now.is_some_and(|now| Arc::ptr_eq(&now, &self.live)) {
                return None;
            }
            let found = tokio::select! {
                () = sink.unwanted() => return None,
                found = self.live.wait(track, QUIET, &look) => found,
            };
            if found.is_some() || asked.elapsed() < QUIET {
                return found;
            }
        }
    }
}

/// Parts of a track in a run from a position on; none at all when no more will come.
fn pieces(w: &Window, track: &str, run: u32, from: Position) -> Option<Vec<Piece>> {
    let index = w.track_index(track);
    let parts = index.into_iter().flat_map(|index| w.parts_after(index, from)).filter(|(t, _)| t.run == run);
    let pieces: Vec<_> = parts
        .map(|(track, part)| Piece {
            at: Position { msn: part.msn, part: part.index },
            header: track.init.clone(),
            part: part.bytes.clone(),
        })
        .collect();
    let over = w.is_ended() || w.is_encrypted() || w.runs().last().is_none_or(|r| r.number != run);
    (over || !pieces.is_empty()).then_some(pieces)
}
