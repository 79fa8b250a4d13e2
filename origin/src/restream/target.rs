//! One target: waits for its stream, connects, sends, and tries again when that fails.

use std::sync::Arc;
use std::time::Duration;

use nx_contract::desired::LinkState;
use nx_delivery::LiveStream;
use nx_hls::Window;
use nx_media::StreamKey;
use tokio::sync::watch;

use crate::address::Target;
use crate::clock::Clock;
use crate::follow::{Follower, Piece, us};
use crate::hub::Hub;
use crate::restream::way::Care;
use crate::restream::{rtmp, srt};
use crate::retry::{Failure, Meter, Now};

/// Time between two looks after a stream that is about to begin, or to end.
const LOOK: Duration = Duration::from_secs(5);

/// How a connection ended.
pub(crate) enum Over {
    StreamEnded,
    Stopped,
    /// The server wants another connection, there or elsewhere.
    Moved(Option<String>),
    Failed(Failure),
}

/// Asks a task to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop(pub(crate) watch::Receiver<bool>);

impl Stop {
    /// Returns when the task shall end.
    pub(crate) async fn asked(&mut self) {
        nx_delivery::stopped(&mut self.0).await;
    }

    /// Waits; true when the task shall end instead.
    pub(crate) async fn within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.asked()).await.is_ok()
    }
}

/// A connection that the operator wants, whichever way it goes.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) hub: Arc<Hub>,
    pub(crate) id: String,
    pub(crate) stream: StreamKey,
    /// URL without secrets.
    pub(crate) shown: String,
    pub(crate) meter: Arc<Meter>,
}

impl Job {
    pub(crate) fn enter(&self, state: LinkState) {
        self.meter.life().enter(state, now(self.hub.clock));
    }

    /// The connection is there.
    pub(crate) fn live(&self) {
        self.enter(LinkState::Live);
        self.meter.life().note(None);
        tracing::info!(stream = %self.stream, id = self.id, url = self.shown, "connected");
    }

    /// Notes a failure and waits until the next attempt, if there shall be one.
    pub(crate) async fn failed(&self, failure: &Failure, stop: &mut Stop) -> Verdict {
        let jitter = getrandom::u32().unwrap_or_default();
        let pause_ms = self.meter.life().fail(failure, now(self.hub.clock), jitter);
        let (stream, id, url, reason) = (&self.stream, &self.id, &self.shown, failure.text());
        tracing::warn!(%stream, id, url, reason, retry_ms = pause_ms, "connection failed");
        match pause_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))) {
            Some(pause) if stop.within(pause).await => Verdict::Stop,
            Some(_) => Verdict::Again,
            None => Verdict::Never,
        }
    }
}

/// What is to be done after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Again,
    Never,
    Stop,
}

pub(crate) fn now(clock: Clock) -> Now {
    Now { ms: clock.ms(), wall_ms: nx_delivery::wall_ms() }
}

/// Runs a target until it is asked to stop.
pub(crate) async fn run(job: Job, to: Target, care: Care, mut stop: Stop) {
    loop {
        job.enter(LinkState::WaitingForStream);
        let live = tokio::select! {
            biased;
            () = stop.asked() => break,
            live = begun(&job.hub, &job.stream) => live,
        };
        if serve(&job, &to, care, &live, &mut stop).await {
            break;
        }
    }
    job.enter(LinkState::Stopped);
}

/// Waits until somebody publishes the stream.
async fn begun(hub: &Hub, key: &StreamKey) -> Arc<LiveStream> {
    loop {
        let mut came = std::pin::pin!(hub.came.notified());
        came.as_mut().enable();
        if let Some(entry) = hub.entry(key) {
            let has_begun = |w: &Window| (!w.is_ended() && w.tracks().next().is_some()).then_some(());
            if entry.live.wait(0, LOOK, has_begun).await.is_some() {
                return entry.live.clone();
            }
        }
        let _ = tokio::time::timeout(LOOK, came).await;
    }
}

/// Waits until the stream is over.
async fn ended(live: &LiveStream) {
    let is_over = |w: &Window| w.is_ended().then_some(());
    while live.wait(0, LOOK, is_over).await.is_none() {
        // Waits are cut short when the node is about to stop.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Carries one life of the stream; true when the task shall end.
async fn serve(job: &Job, to: &Target, care: Care, live: &Arc<LiveStream>, stop: &mut Stop) -> bool {
    let keys = job.hub.keys.of(&job.stream);
    if keys.as_ref().is_some_and(|keys| !keys.clear_targets()) {
        let text = "the stream is encrypted and a target would get it in the clear; set clear_targets in its section of origin.encryption if that is wanted";
        job.failed(&Failure::Final(text.into()), stop).await;
        return tokio::select! {
            biased;
            () = stop.asked() => true,
            () = ended(live) => false,
        };
    }
    let mut follower = Follower::new(live.clone()).opening(keys);
    let mut here = to.clone();
    loop {
        job.enter(LinkState::Connecting);
        match attempt(job, &here, care, &mut follower, stop).await {
            Over::Stopped => return true,
            Over::StreamEnded => return false,
            Over::Moved(tc_url) => {
                let moved = if let Target::Rtmp(rtmp) = &here { rtmp.moved(tc_url.as_deref()) } else { None };
                here = moved.map_or_else(|| to.clone(), Target::Rtmp);
                tracing::info!(stream = %job.stream, id = job.id, to = here.shown(), "sent on by the server");
            }
            Over::Failed(failure) => {
                here = to.clone();
                let over = tokio::select! {
                    biased;
                    () = ended(live) => return false,
                    over = job.failed(&failure, stop) => over,
                };
                match over {
                    Verdict::Again => {}
                    Verdict::Stop => return true,
                    // The next stream under this name may be another one.
                    Verdict::Never => {
                        return tokio::select! {
                            biased;
                            () = stop.asked() => true,
                            () = ended(live) => false,
                        };
                    }
                }
            }
        }
    }
}

/// One connection.
async fn attempt(job: &Job, to: &Target, care: Care, follower: &mut Follower, stop: &mut Stop) -> Over {
    match to {
        Target::Rtmp(to) => {
            let line = tokio::select! {
                biased;
                () = stop.asked() => return Over::Stopped,
                line = rtmp::connect(to, care) => line,
            };
            match line {
                Ok(line) => {
                    job.live();
                    line.run(to, follower, &job.meter, stop).await
                }
                Err(failure) => Over::Failed(failure),
            }
        }
        Target::Srt(to) => {
            let link = tokio::select! {
                biased;
                () = stop.asked() => return Over::Stopped,
                link = srt::connect(to, care.public_only) => link,
            };
            match link {
                Ok(link) => {
                    job.live();
                    srt::run(link, follower, &job.meter, stop).await
                }
                Err(failure) => Over::Failed(failure),
            }
        }
    }
}

/// Frames of the leading track that were missed in front of a piece.
pub(crate) fn missed_frames(piece: &Piece) -> u64 {
    let Some((run, samples)) = piece.tracks.first() else { return 0 };
    let ticks = samples.first().and_then(|s| s.duration).unwrap_or(0);
    let frame_us = us(run, ticks.into()).max(1_000);
    u64::try_from(piece.missed_us / frame_us).unwrap_or(0)
}
