//! Sends a stream to an SRT listener.

use std::io::ErrorKind;
use std::sync::Arc;

use nx_container::ts;
use nx_srt::{CallerConfig, Link, Passphrase, RefusedByListener, Reject, SendError};
use tokio::sync::Notify;

use crate::address::Srt;
use crate::follow::{Follower, Next, Piece};
use crate::restream::target::{Over, Stop, missed_frames};
use crate::restream::way::resolve;
use crate::restream::{MESSAGE, mux};
use crate::retry::{Failure, Meter};

/// Calls a listener; also for sources.
pub(crate) async fn connect(to: &Srt, public_only: bool) -> Result<Link, Failure> {
    let found = resolve(&to.host, to.port, public_only).await?;
    let remote = *found.first().ok_or_else(|| Failure::Passing(format!("{} has no address", to.host)))?;
    let mut config = CallerConfig::new(remote, to.stream_id.clone());
    let passphrase = to.passphrase.clone().map(Passphrase::try_from).transpose();
    config.passphrase = passphrase.map_err(|e| Failure::Final(e.to_string()))?;
    config.key = to.key;
    config.latency_ms = to.latency_ms.unwrap_or(config.latency_ms);
    let called = tokio::task::spawn_blocking(move || nx_srt::connect(config)).await;
    match called {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(error)) => Err(failure(to, &error)),
        Err(_) => Err(Failure::Passing("the call was given up because the server stops".into())),
    }
}

fn failure(to: &Srt, error: &std::io::Error) -> Failure {
    let refused = error.get_ref().and_then(|e| e.downcast_ref::<RefusedByListener>());
    let Some(RefusedByListener(reason)) = refused else {
        let hint = if error.kind() == ErrorKind::TimedOut {
            "; check host and port, and that UDP passes"
        } else {
            ""
        };
        return Failure::Passing(format!("{} port {}: {error}{hint}", to.host, to.port));
    };
    let text = format!("the listener refused: {reason}");
    match reason {
        Reject::BadSecret => Failure::Slow(format!("{text}; check the passphrase")),
        Reject::Unsecure if to.passphrase.is_some() => {
            Failure::Slow(format!("{text}; leave the passphrase out, or have the listener encrypt"))
        }
        Reject::Unsecure => Failure::Slow(format!("{text}; add passphrase=… to the URL")),
        Reject::BadRequest
        | Reject::Unauthorized
        | Reject::Forbidden
        | Reject::NotFound
        | Reject::BadMode => Failure::Slow(format!("{text}; check the stream id")),
        Reject::Conflict => Failure::Slow(format!("{text}; stop the other one")),
        _ => Failure::Passing(text),
    }
}

/// Rings when the link has something to say, such as its end.
pub(crate) fn bell(link: &Link) -> Arc<Notify> {
    let bell = Arc::new(Notify::new());
    let ring = bell.clone();
    link.set_waker(Box::new(move || ring.notify_one()));
    bell
}

/// Sends the stream until something ends it.
pub(crate) async fn run(link: Link, follower: &mut Follower, meter: &Meter, stop: &mut Stop) -> Over {
    let bell = bell(&link);
    let mut aside = Vec::new();
    follower.restart();
    let over = loop {
        let next = tokio::select! {
            biased;
            () = stop.asked() => break Over::Stopped,
            () = bell.notified() => {
                // A listener has nothing to tell us but its end.
                link.drain(&mut aside);
                aside.clear();
                None
            }
            next = follower.next() => Some(next),
        };
        if let Some(reason) = link.closed() {
            break Over::Failed(Failure::Passing(format!("the connection ended: {reason}")));
        }
        match next {
            Some(Next::End) => break Over::StreamEnded,
            Some(Next::Piece(piece)) => {
                if let Err(over) = send(&link, &piece, follower, meter) {
                    break over;
                }
            }
            Some(Next::Quiet) | None => {}
        }
    };
    link.close();
    over
}

fn send(link: &Link, piece: &Piece, follower: &mut Follower, meter: &Meter) -> Result<(), Over> {
    meter.dropped(missed_frames(piece));
    let left_out = left_out(piece);
    let Some(mut bytes) = mux(piece) else {
        let text =
            format!("{left_out}: there is nothing to send; publish H.264 and AAC, or use an RTMP target");
        return Err(Over::Failed(Failure::Final(text)));
    };
    meter.life().note((!left_out.is_empty()).then_some(left_out));
    while !bytes.is_empty() {
        let message = bytes.split_to(bytes.len().min(MESSAGE));
        let size = message.len();
        match link.send(message) {
            Ok(()) => meter.passed(size),
            Err(SendError::Full) => {
                // The rest of the piece counts too.
                follower.skip_piece(piece);
                return Ok(());
            }
            Err(SendError::Closed) => {
                let reason = link.closed().unwrap_or_else(|| "closed".into());
                return Err(Over::Failed(Failure::Passing(format!("the connection ended: {reason}"))));
            }
        }
    }
    Ok(())
}

/// What a transport stream cannot carry, in words; empty when it carries all.
fn left_out(piece: &Piece) -> String {
    let codecs: Vec<&str> = piece
        .tracks
        .iter()
        .filter(|(t, _)| !ts::carries(&t.params))
        .map(|(t, _)| t.params.rfc6381())
        .collect();
    match codecs.as_slice() {
        [] => String::new(),
        codecs => format!("left out, because a transport stream does not carry it: {}", codecs.join(", ")),
    }
}
