//! Fetches an HLS stream: one half keeps up with the playlist, the other hands segments out at the speed of their
//! media, so that what comes in bursts goes on smoothly.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use reqwest::{Response, Url};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::retry::Failure;
use crate::sources::SILENCE;
use crate::sources::http::{broken, get, peer};
use crate::sources::playlist::{self, Following, Media, Playlist, PlaylistError, Segment};
use crate::sources::queue::{Closed, Writer};

/// Largest playlist, and largest segment; bytes.
const PLAYLIST_BYTES_MAX: usize = 4 << 20;
const SEGMENT_BYTES_MAX: usize = 64 << 20;
/// Failures in a row after which the source is lost.
const FAILURES_MAX: u32 = 3;
/// Segments that may lie between the two halves; when more than these wait, the stream is played a little faster.
const AHEAD: usize = 2;
const WAITING_MAX: usize = 4;
/// Time between two slices of a segment.
const SLICE: Duration = Duration::from_millis(40);
/// Longest segment that is believed.
const DURATION_MAX: Duration = Duration::from_secs(60);

/// A playlist that can be followed.
pub(crate) struct Session {
    url: Url,
    list: Media,
    peer: IpAddr,
}

/// A segment on its way from one half to the other.
struct Fetched {
    bytes: Bytes,
    duration: Duration,
}

/// Fetches the playlist, and the one that it chooses.
pub(crate) async fn open(url: &str) -> Result<Session, Failure> {
    let mut url = url.to_owned();
    // A multivariant playlist that leads to another one leads nowhere.
    for _ in 0..2 {
        let response = get(&url).await?;
        let (base, peer) = (response.url().clone(), peer(&response));
        match read(response).await? {
            Playlist::Media(list) => return Ok(Session { url: base, list, peer }),
            Playlist::Multivariant(uri) => {
                let to = base.join(&uri).map_err(|_| refused(&PlaylistError::NoVariant))?;
                url = to.into();
            }
        }
    }
    Err(refused(&PlaylistError::NoVariant))
}

async fn read(response: Response) -> Result<Playlist, Failure> {
    let bytes = whole(response, PLAYLIST_BYTES_MAX).await?;
    playlist::parse(&String::from_utf8_lossy(&bytes)).map_err(|e| refused(&e))
}

fn refused(error: &PlaylistError) -> Failure {
    if error.is_final() { Failure::Final(error.to_string()) } else { Failure::Passing(error.to_string()) }
}

/// An answer's body, if it is not too large.
async fn whole(mut response: Response, bytes_max: usize) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    loop {
        match timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(bytes))) if whole.len() + bytes.len() <= bytes_max => whole.extend_from_slice(&bytes),
            Ok(Ok(Some(_))) => {
                return Err(Failure::Slow(format!("the server sent a file of more than {bytes_max} bytes")));
            }
            Ok(Ok(None)) => return Ok(whole.freeze()),
            Ok(Err(error)) => return Err(broken(error)),
            Err(_) => return Err(Failure::Passing(format!("the server paused for {} s", SILENCE.as_secs()))),
        }
    }
}

impl Session {
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Follows the playlist until it fails or ends.
    pub(crate) async fn carry(self, writer: &Writer) -> Failure {
        let (sender, segments) = mpsc::channel(AHEAD);
        let (failure, ()) = tokio::join!(self.fetch(sender), hand_out(segments, writer));
        failure
    }

    /// The half that keeps up with the playlist.
    async fn fetch(mut self, out: mpsc::Sender<Fetched>) -> Failure {
        let mut following = Following::default();
        let (mut failures, mut look) = (0, Some(Instant::now()));
        let mut reload = following.update(&self.list);
        loop {
            while let Some(segment) = following.next() {
                let is_late = following.waiting() > WAITING_MAX;
                match self.segment(&segment, is_late).await {
                    Ok(fetched) => {
                        failures = 0;
                        if out.send(fetched).await.is_err() {
                            return std::future::pending().await;
                        }
                    }
                    Err(failure) => {
                        failures += 1;
                        tracing::warn!(reason = failure.text(), "a segment was left out");
                        if failures >= FAILURES_MAX {
                            return failure;
                        }
                    }
                }
            }
            let Some(pause) = reload else {
                let text = "the playlist is complete: disable and enable the source to fetch it again";
                return Failure::Final(text.into());
            };
            // Counted from the last look: fetching takes its own time.
            let next = look.map_or_else(Instant::now, |look| look + pause);
            sleep_until(next).await;
            look = Some(Instant::now());
            let reloaded = async { read(get(self.url.as_str()).await?).await };
            match reloaded.await {
                Ok(Playlist::Media(list)) => {
                    failures = 0;
                    self.list = list;
                    reload = following.update(&self.list);
                }
                Ok(Playlist::Multivariant(_)) => return refused(&PlaylistError::NoVariant),
                Err(failure) => {
                    failures += 1;
                    if failures >= FAILURES_MAX || matches!(failure, Failure::Final(_)) {
                        return failure;
                    }
                }
            }
        }
    }

    async fn segment(&self, segment: &Segment, is_late: bool) -> Result<Fetched, Failure> {
        let url = self.url.join(&segment.uri);
        let url = url.map_err(|_| Failure::Passing("a segment's address cannot be used".into()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::Passing("a segment lies neither on HTTP nor on HTTPS".into()));
        }
        if segment.discontinuity {
            tracing::debug!("the source has a seam, or segments were missed");
        }
        let bytes = whole(get(url.as_str()).await?, SEGMENT_BYTES_MAX).await?;
        let duration = segment.duration.min(DURATION_MAX);
        Ok(Fetched { bytes, duration: if is_late { duration * 4 / 5 } else { duration } })
    }
}

/// The half that hands out.
async fn hand_out(mut segments: mpsc::Receiver<Fetched>, writer: &Writer) {
    let mut begin = Instant::now();
    while let Some(Fetched { mut bytes, duration }) = segments.recv().await {
        begin = begin.max(Instant::now());
        for (size, after) in slices(bytes.len(), duration) {
            sleep_until(begin + after).await;
            let slice = bytes.copy_to_bytes(size.min(bytes.len()));
            if writer.push(slice).await == Err(Closed) {
                return;
            }
        }
        begin += duration;
    }
}

/// Sizes of a segment's slices, each with the time after the segment's begin at which it goes.
fn slices(bytes: usize, duration: Duration) -> impl Iterator<Item = (usize, Duration)> {
    let count = u32::try_from(duration.as_millis() / SLICE.as_millis()).unwrap_or(0).max(1);
    let size = bytes.div_ceil(usize::try_from(count).unwrap_or(1)).max(1);
    let used = u32::try_from(bytes.div_ceil(size)).unwrap_or(0);
    (0..used).map(move |nth| (size, duration * nth / used.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_spread_over_its_duration() {
        let ms = |bytes, ms| {
            let cut: Vec<_> = slices(bytes, Duration::from_millis(ms)).collect();
            let times: Vec<_> = cut.iter().map(|(_, after)| after.as_millis()).collect();
            (cut.len(), cut.first().map(|c| c.0), times.get(1).copied(), times.last().copied())
        };
        assert_eq!(ms(1_000_000, 4_000), (100, Some(10_000), Some(40), Some(3_960)));
        assert_eq!(ms(10, 4_000), (10, Some(1), Some(400), Some(3_600)));
        assert_eq!(ms(1_000, 0), (1, Some(1_000), None, Some(0)));
        assert_eq!(ms(0, 4_000), (0, None, None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn bursts_go_on_smoothly_and_in_order() {
        let (writer, mut reader) = crate::sources::queue::queue();
        let (sender, segments) = mpsc::channel(AHEAD);
        let began = Instant::now();
        let send = async move {
            for byte in [1_u8, 2] {
                let bytes = Bytes::from(vec![byte; 100]);
                let _ = sender.send(Fetched { bytes, duration: Duration::from_secs(4) }).await;
            }
        };
        tokio::join!(send, hand_out(segments, &writer));
        let took = began.elapsed();
        assert!((7_900..8_000).contains(&took.as_millis()), "{took:?}");
        let mut out = Vec::new();
        crate::ingest::ts_input::TsSource::drain(&mut reader, &mut out, 1_000).unwrap();
        assert_eq!((out.len(), out.concat()), (200, [[1; 100], [2; 100]].concat()));
    }
}
