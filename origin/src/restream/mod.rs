//! Streams going out: to SRT players, and to other servers.

mod messages;
mod rtmp;
pub(crate) mod srt;
pub(crate) mod target;
mod tls;
pub(crate) mod way;

use std::sync::Arc;

use bytes::Bytes;
use nx_container::ts;
use nx_delivery::LiveStream;
use nx_media::{AudioParams, Params, Sample, VideoParams};
use nx_srt::{Link, SendError};

use crate::follow::{Follower, Next, Piece};
use crate::ingest::viewer::Viewer;

/// Seven transport packets: what an SRT message usually holds; bytes.
pub(crate) const MESSAGE: usize = 7 * ts::PACKET_LEN;

/// Sends a stream to an SRT player until either is over.
pub(crate) async fn play_srt(live: Arc<LiveStream>, link: Link, viewer: Viewer) {
    let mut follower = Follower::new(live.clone());
    let reason = loop {
        let next = tokio::select! {
            biased;
            () = viewer.ends() => break "its token has ended".into(),
            next = follower.next() => next,
        };
        if let Some(reason) = link.closed() {
            break reason;
        }
        match next {
            Next::End => break "the stream is over".into(),
            Next::Quiet => {}
            Next::Piece(piece) => match send(&link, &piece) {
                Ok(()) => {}
                Err(SendError::Full) => follower.skip(),
                Err(SendError::Closed) => break "closed by the player".into(),
            },
        }
    };
    tracing::info!(stream = %live.key(), peer = %link.peer(), reason, "player left");
    link.close();
    drop(viewer);
}

/// Sends a piece as transport packets.
pub(crate) fn send(link: &Link, piece: &Piece) -> Result<(), SendError> {
    let Some(bytes) = mux(piece) else { return Ok(()) };
    let mut rest = bytes;
    while !rest.is_empty() {
        link.send(rest.split_to(rest.len().min(MESSAGE)))?;
    }
    Ok(())
}

/// The piece as a transport stream; `None` when it has nothing that one can carry.
pub(crate) fn mux(piece: &Piece) -> Option<Bytes> {
    let mut video: Option<(&VideoParams, &[Sample])> = None;
    let mut audio: Vec<(&AudioParams, &[Sample])> = Vec::new();
    for (track, samples) in piece.tracks.iter().filter(|(t, _)| ts::carries(&t.params)) {
        match &track.params {
            Params::Video(v) => video = Some((v, samples)),
            Params::Audio(a) => audio.push((a, samples)),
        }
    }
    if video.is_none() && audio.is_empty() {
        return None;
    }
    ts::segment(&ts::Tracks { video, audio: &audio }, piece.number).ok()
}
