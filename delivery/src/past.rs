//! What a stream was before its window: views of what is stored, `?start=…`, `?end=…`, `?delay=…`.
//!
//! A view is a window of its own onto the past, fed from the archive when somebody asks; its playlists and manifests
//! are written as live ones are, and name the segments that everybody else fetches.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use nx_hls::{Event, Rfc3339, Run, Unstored, Window};
use tokio::sync::Mutex as Turn;

use crate::film::Film;
use crate::live::LiveStream;
use crate::media::not_in_ts;
use crate::problem::Problem;
use crate::ts::{self, Share};

/// Views of a stream that are kept for the next who asks; the one that was not asked for longest goes first. One that has
/// reached the present holds the parts of some seconds for as long.
const VIEWS_MAX: usize = 16;
/// A view whose end has passed still waits for the segment that was being made then, in target durations.
pub(crate) const LATE_TARGETS: u64 = 3;
/// What of the time before a delayed view is read for its list, milliseconds.
const DELAYED_MS: i64 = 600_000;
/// Longest delay, seconds: a year.
const DELAY_MAX_S: u64 = 366 * 86_400;

/// Where older segments of a stream are. Its methods read files: not to be called by an async task. An error that is a
/// [`Problem`] is what the client is told.
pub trait Archive: Debug + Send + Sync {
    /// Grows with every segment that is stored.
    fn version(&self) -> u64;

    /// Grows when something older than what was read has come back: views are made anew.
    fn epoch(&self) -> u64 {
        0
    }

    /// When the stream was on last, Unix milliseconds: its beginning; `None` when nothing is stored.
    fn newest_recording_ms(&self) -> Option<i64>;

    /// Reads from a time on, Unix milliseconds.
    fn reader(self: Arc<Self>, from_ms: i64) -> Box<dyn Reader>;

    /// The bytes of a segment; of this run, if one is given.
    ///
    /// # Errors
    /// The store cannot be read; [`io::ErrorKind::HostUnreachable`] when storage elsewhere does not answer.
    fn segment(&self, track: &str, msn: u64, run: Option<u32>) -> io::Result<Option<Bytes>>;

    /// The text of a segment, WebVTT; the rendition by its index.
    ///
    /// # Errors
    /// The store cannot be read.
    fn text(&self, _rendition: usize, _msn: u64) -> io::Result<Option<Bytes>> {
        Ok(None)
    }

    /// The run of a segment, this one if one is given, once nothing more of that number will be stored.
    ///
    /// # Errors
    /// The store cannot be read.
    fn run(&self, msn: u64, run: Option<u32>) -> io::Result<Option<Arc<Run>>>;

    /// The first bytes of a segment of a run.
    ///
    /// # Errors
    /// The store cannot be read.
    fn beginning(&self, track: &str, msn: u64, run: u32, bytes: usize) -> io::Result<Option<Bytes>> {
        let segment = self.segment(track, msn, Some(run))?;
        Ok(segment.map(|whole| whole.slice(..bytes.min(whole.len()))))
    }

    /// What is shown between two times as one MP4, Unix milliseconds. Of what is `live` it takes what is not stored yet.
    ///
    /// # Errors
    /// The store cannot be read; [`io::ErrorKind::Unsupported`] when one MP4 cannot have it, with the reason.
    fn film(&self, from_ms: i64, to_ms: i64, live: Vec<Unstored>) -> io::Result<Option<Film>>;

    /// The CMAF header of a track in a run, in an encrypted one that of the key which begins with a segment.
    ///
    /// # Errors
    /// The store cannot be read.
    fn init(&self, track: &str, run: u32, key: Option<u64>) -> io::Result<Option<Bytes>>;
}

/// Reads an archive bit by bit.
pub trait Reader: Send {
    /// What follows and begins before a time, Unix milliseconds: runs, and [`Event::Stored`].
    ///
    /// # Errors
    /// The store cannot be read.
    fn read(&mut self, until_ms: i64) -> io::Result<Vec<Event>>;
}

/// What is asked of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// From a time, to another or as far as it goes. Unix milliseconds.
    Between(i64, Option<i64>),
    /// The stream as it was so many milliseconds ago.
    Delayed(i64),
}

/// The query that names the view in addresses: absolute, so that all its playlists show the same.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        match *self {
            Self::Between(start, None) => write!(f, "start={}", seconds(start)),
            Self::Between(start, Some(end)) => write!(f, "start={}&end={}", seconds(start), seconds(end)),
            Self::Delayed(ms) => write!(f, "delay={}", ms / 1000),
        }
    }
}

impl View {
    /// Reads `start`, `end` and `delay` of a query; `None` when it has none of them. Times are Unix seconds, or dates of
    /// RFC 3339, or negative: seconds before `now_ms`.
    pub(crate) fn parse(query: &str, now_ms: i64) -> Result<Option<Self>, String> {
        let mut given = [None; 3];
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let Some(at) = ["start", "end", "delay"].iter().position(|n| *n == name) else { continue };
            if let Some(place) = given.get_mut(at)
                && place.replace(value).is_some()
            {
                return Err(format!("{name} is given twice"));
            }
        }
        let time = |name: &str, text: Option<&str>| -> Result<Option<i64>, String> {
            let Some(text) = text else { return Ok(None) };
            let ms = moment(text, now_ms).ok_or_else(|| {
                format!("{name} is Unix seconds, a date such as 2026-11-21T04:00:00Z, or seconds before now such as -3600; not {text:.40}")
            })?;
            Ok(Some(ms))
        };
        let [start, end, delay] = given;
        let (start, end) = (time("start", start)?, time("end", end)?);
        match (start, end, delay) {
            (None, None, None) => Ok(None),
            (None, None, Some(text)) => {
                let seconds =
                    text.parse().ok().filter(|s| (1..=DELAY_MAX_S).contains(s) && !text.starts_with('+'));
                let seconds = seconds.and_then(|s| i64::try_from(s).ok());
                let ms = seconds
                    .ok_or_else(|| format!("delay is 1 to {DELAY_MAX_S} seconds, not {text:.40}"))?
                    * 1000;
                Ok(Some(Self::Delayed(ms)))
            }
            (_, _, Some(_)) => Err("delay goes without start and end".into()),
            (Some(start), Some(end), None) if end <= start => Err("end is not after start".into()),
            (start, end, None) => Ok(Some(Self::Between(start.unwrap_or(0), end))),
        }
    }

    /// What of the past belongs to it now: from, and until.
    fn stretch(self, now_ms: i64) -> (i64, i64) {
        match self {
            Self::Between(start, end) => (start, end.unwrap_or(i64::MAX)),
            Self::Delayed(ms) => {
                let until = now_ms.saturating_sub(ms);
                (until.saturating_sub(DELAYED_MS), until)
            }
        }
    }
}

/// Unix milliseconds.
pub(crate) fn moment(text: &str, now_ms: i64) -> Option<i64> {
    let (negative, number) = text.strip_prefix('-').map_or((false, text), |number| (true, number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 12 && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        let text = text.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+").replace("%2b", "+");
        return Rfc3339::parse(&text).filter(|ms| *ms >= 0);
    }
    let ms = whole.parse::<i64>().ok()? * 1000 + format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    Some(if negative { (now_ms - ms).max(0) / 1000 * 1000 } else { ms })
}

/// The past of a stream.
#[derive(Debug)]
pub(crate) struct Past {
    archive: Arc<dyn Archive>,
    /// Newest last.
    views: Mutex<VecDeque<(View, Arc<Kept>)>>,
}

#[derive(Debug)]
struct Kept {
    /// Of the archive, when the view was made.
    epoch: u64,
    stream: Arc<LiveStream>,
    feed: Turn<Feed>,
    ended: AtomicBool,
}

struct Feed {
    reader: Option<Box<dyn Reader>>,
    /// Of the archive, when it was read last.
    version: Option<u64>,
}

impl Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Past {
    pub(crate) fn new(archive: Arc<dyn Archive>) -> Self {
        Self { archive, views: Mutex::default() }
    }

    pub(crate) fn archive(&self) -> Arc<dyn Archive> {
        self.archive.clone()
    }

    /// When the stream was on last, Unix milliseconds: its beginning.
    pub(crate) fn newest_recording_ms(&self) -> Option<i64> {
        self.archive.newest_recording_ms()
    }

    /// What an ended stream shows to who asks for nothing in particular: all of the last time that it was on.
    pub(crate) fn newest(&self) -> Option<View> {
        Some(View::Between(self.archive.newest_recording_ms()?, None))
    }

    /// A view as a stream, up to date. `live` is the stream that it is a view of.
    pub(crate) async fn view(&self, live: &LiveStream, view: View) -> Result<Arc<LiveStream>, Problem> {
        let kept = self.kept(live, view);
        let now_ms = crate::wall_ms();
        let mut feed = kept.feed.lock().await;
        let version = self.archive.version();
        let stale = feed.version != Some(version) || matches!(view, View::Delayed(_));
        let events = if stale { self.read(&kept.stream, &mut feed, view, now_ms).await? } else { Vec::new() };
        feed.version = Some(version);
        let (over, target_s) = live.read(|w| (w.is_ended() || w.tracks().next().is_none(), w.target_s()));
        let late_ms = i64::try_from(target_s * LATE_TARGETS).unwrap_or(0) * 1000;
        let past = matches!(view, View::Between(_, Some(end)) if now_ms > end.saturating_add(late_ms));
        // A view without an end goes on to the present.
        kept.stream.refill(events, !over && !past, matches!(view, View::Between(_, None)).then_some(live));
        drop(feed);
        let empty = kept.stream.read(|w| w.tracks().next().is_none());
        if (over || past) && !empty && !kept.ended.swap(true, Ordering::Relaxed) {
            kept.stream.apply(Event::End);
        }
        Ok(kept.stream.clone())
    }

    /// What came since the last time.
    async fn read(
        &self,
        stream: &LiveStream,
        feed: &mut Feed,
        view: View,
        now_ms: i64,
    ) -> Result<Vec<Event>, Problem> {
        let (from_ms, until_ms) = view.stretch(now_ms);
        let (archive, reader) = (self.archive.clone(), feed.reader.take());
        let read = move || {
            let mut reader = reader.unwrap_or_else(|| archive.reader(from_ms));
            let events = reader.read(until_ms);
            (reader, events)
        };
        let (reader, events) = tokio::task::spawn_blocking(read).await.map_err(|_| unreadable())?;
        feed.reader = Some(reader);
        events.map_err(|error| broken(stream, &error))
    }

    fn kept(&self, live: &LiveStream, view: View) -> Arc<Kept> {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let at = views.iter().position(|(of, _)| *of == view);
        let epoch = self.archive.epoch();
        let found = at.and_then(|at| views.remove(at)).map(|(_, kept)| kept);
        let kept = found.filter(|kept| kept.epoch == epoch);
        let kept = kept.unwrap_or_else(|| Arc::new(Kept::new(live, view, epoch)));
        if views.len() >= VIEWS_MAX {
            views.pop_front();
        }
        views.push_back((view, kept.clone()));
        kept
    }

    /// A segment that has left the window.
    pub(crate) async fn segment(
        &self,
        live: &LiveStream,
        track: &str,
        msn: u64,
        run: Option<u32>,
    ) -> Result<Option<Bytes>, Problem> {
        let (archive, track) = (self.archive.clone(), track.to_owned());
        let read = tokio::task::spawn_blocking(move || archive.segment(&track, msn, run));
        read.await.map_err(|_| unreadable())?.map_err(|error| broken(live, &error))
    }

    /// Text of a segment that has left the window.
    pub(crate) async fn text(
        &self,
        live: &LiveStream,
        rendition: usize,
        msn: u64,
    ) -> Result<Option<Bytes>, Problem> {
        let archive = self.archive.clone();
        let read = tokio::task::spawn_blocking(move || archive.text(rendition, msn));
        read.await.map_err(|_| unreadable())?.map_err(|error| broken(live, &error))
    }

    /// A segment in MPEG-TS, as it was live.
    pub(crate) async fn ts_segment(
        &self,
        live: &LiveStream,
        msn: u64,
        run: Option<u32>,
    ) -> Result<Option<Bytes>, Problem> {
        let (archive, keys) = (self.archive.clone(), live.keys().cloned());
        let make = move || {
            let Some(run) = archive.run(msn, run)? else { return Ok(None) };
            let mut shares = Vec::with_capacity(2);
            for index in run.ts_tracks().map_err(|why| io::Error::other(not_in_ts(why)))? {
                let Some(track) = run.track_at(index, msn) else { return Ok(None) };
                let parts = archive.segment(&track.name, msn, Some(run.number))?;
                shares.extend(parts.map(|bytes| Share { track, parts: vec![bytes] }));
            }
            Ok((!shares.is_empty()).then(|| ts::segment(&shares, msn, keys.as_deref())).flatten())
        };
        let made = tokio::task::spawn_blocking(make);
        made.await.map_err(|_| unreadable())?.map_err(|error| broken(live, &error))
    }

    /// A view as one MP4.
    pub(crate) async fn film(&self, live: &LiveStream, view: View) -> Result<Option<Film>, Problem> {
        let archive = self.archive.clone();
        let View::Between(from_ms, until) = view else {
            return Err(Problem::bad_request("an MP4 has a start and an end; delay is for playlists"));
        };
        let until_ms = until.unwrap_or_else(crate::wall_ms);
        let held = live.held_before(until_ms);
        let read = tokio::task::spawn_blocking(move || archive.film(from_ms, until_ms, held));
        read.await.map_err(|_| unreadable())?.map_err(|error| match error.kind() {
            io::ErrorKind::Unsupported => Problem::new(
                http::StatusCode::CONFLICT,
                "not-one-file",
                "Not in one file",
                format!("{error}; ask for a stretch of it"),
            ),
            _ => broken(live, &error),
        })
    }

    /// A CMAF header of a run that has left the window.
    pub(crate) async fn init(
        &self,
        live: &LiveStream,
        track: &str,
        (run, key): (u32, Option<u64>),
    ) -> Result<Option<Bytes>, Problem> {
        let (archive, track) = (self.archive.clone(), track.to_owned());
        let read = tokio::task::spawn_blocking(move || archive.init(&track, run, key));
        read.await.map_err(|_| unreadable())?.map_err(|error| broken(live, &error))
    }
}

impl Kept {
    fn new(live: &LiveStream, view: View, epoch: u64) -> Self {
        let (target_s, listed) = live.read(|w| (w.target_s(), w.listed_max()));
        let listed = matches!(view, View::Delayed(_)).then_some(listed);
        let window = Window::past(target_s, listed, &view.to_string());
        // Of a clip, the first picture is wanted; where a list goes on, its newest.
        let window = match view {
            View::Between(start, Some(_)) if start > 0 => window.beginning_at(start),
            _ => window,
        };
        let stream = Arc::new(LiveStream::new(live.key().clone(), window));
        let feed = Turn::new(Feed { reader: None, version: None });
        Self { epoch, stream, feed, ended: AtomicBool::new(false) }
    }
}

pub(crate) fn unreadable() -> Problem {
    let detail = "what is stored of this stream cannot be read now; ask again shortly";
    Problem::new(http::StatusCode::SERVICE_UNAVAILABLE, "store-unreadable", "Store not readable", detail)
        .retry_after(2)
}

/// Seconds after which it is worth asking storage elsewhere again.
const AWAY_S: u32 = 5;

pub(crate) fn broken(stream: &LiveStream, error: &io::Error) -> Problem {
    if let Some(told) = error.get_ref().and_then(|e| e.downcast_ref::<Problem>()) {
        return told.clone();
    }
    // The store says so itself, once.
    if error.kind() == io::ErrorKind::HostUnreachable {
        let detail =
            "this part of the past is in object storage, which does not answer now; ask again shortly";
        let status = http::StatusCode::SERVICE_UNAVAILABLE;
        return Problem::new(status, "store-away", "Object storage away", detail).retry_after(AWAY_S);
    }
    tracing::warn!(stream = %stream.key(), %error, "the store cannot be read");
    unreadable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_read_in_every_spelling_and_named_in_one() {
        let now_ms = 1_763_700_000_500;
        for (query, want) in [
            ("", Ok(None)),
            ("token=x&_HLS_msn=4", Ok(None)),
            ("start=1763690000", Ok(Some("start=1763690000.000"))),
            ("start=1763690000.25&end=1763690010", Ok(Some("start=1763690000.250&end=1763690010.000"))),
            ("start=-3600", Ok(Some("start=1763696400.000"))),
            ("end=1763690010&token=y", Ok(Some("start=0.000&end=1763690010.000"))),
            ("start=2025-11-21T04:00:00Z", Ok(Some("start=1763697600.000"))),
            ("start=2025-11-21T05:00:00%2B01:00", Ok(Some("start=1763697600.000"))),
            ("delay=30", Ok(Some("delay=30"))),
            ("delay=0", Err(())),
            ("delay=-3", Err(())),
            ("delay=30&start=5", Err(())),
            ("start=5&start=6", Err(())),
            ("start=9&end=9", Err(())),
            ("start=", Err(())),
            ("start=yesterday", Err(())),
            ("start=99999999999999999999", Err(())),
            ("end=-0x10", Err(())),
        ] {
            let got = View::parse(query, now_ms).map(|view| view.map(|v| v.to_string())).map_err(drop);
            assert_eq!(got, want.map(|w| w.map(str::to_owned)), "{query}");
            if let Ok(Some(named)) = got {
                let again = View::parse(&named, 0).expect("reads").expect("a view");
                assert_eq!(again.to_string(), named);
            }
        }
    }
}
