//! Pictures of a stream as JPEG, from key frames: thumbnails, posters, and sheets of them for players that seek.
//!
//! What is asked for is decided here, and only what there is a key frame for; a [`Painter`] makes it. Widths are few
//! and the grid of sheets is fixed, so that viewers cannot make work without bound.

mod poster;
mod sprites;
mod still;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use nx_hls::Window;
use tokio::time::Instant;

use crate::caching::Keep;
use crate::live::LiveStream;
use crate::media::{encrypted, not_live, nothing_stored};
use crate::past::{self, View};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Image;

pub use still::{KeyFrame, Still};

/// How wide pictures may be, pixels.
const WIDTHS: [u16; 4] = [160, 320, 640, 1280];
/// Of a thumbnail and of a poster whose width is not asked for.
const WIDTH: u16 = 320;
const POSTER_WIDTH: u16 = 640;
/// How long the newest picture is new: at most one is decoded in this time, for each width.
const NEW: Duration = Duration::from_secs(2);
/// How long before a time its key frame may be, milliseconds.
const REACH_MS: i64 = 60_000;

/// Draws key frames, each into its cell of a grid.
pub trait Painter: Debug + Send + Sync {
    /// The sheet as JPEG. Dropping the future does not stop the work: others may wait for the same.
    fn paint(&self, order: Order) -> Painting<'_>;
}

/// A picture that is being made.
pub type Painting<'a> = Pin<Box<dyn Future<Output = Result<Bytes, Problem>> + Send + 'a>>;

/// What is to be drawn.
#[derive(Debug, Clone)]
pub struct Order {
    /// Tells it from everything else: one name, one picture for ever.
    pub name: String,
    /// Nothing will be added to it: worth a place on disk.
    pub lasting: bool,
    /// Cells across.
    pub columns: u8,
    /// Cells down.
    pub rows: u8,
    /// Of a cell, pixels.
    pub width: u16,
    /// Of a cell, pixels; 0, for one cell, as the picture is shaped.
    pub height: u16,
    /// Which cell shows which key frame; row by row, from 0.
    pub stills: Vec<(u8, Still)>,
}

/// What a stream remembers of its pictures.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    newest: Mutex<Option<(Instant, Still)>>,
    index: tokio::sync::Mutex<Option<sprites::Index>>,
}

/// Pictures of an encrypted stream would be in the clear, also of one that is not on.
fn check_open(stream: &LiveStream) -> Result<(), Problem> {
    if stream.keys().is_some() || stream.read(Window::is_encrypted) {
        Err(encrypted(stream.key()))
    } else {
        Ok(())
    }
}

/// Answers for a picture or an index of pictures.
pub(crate) async fn reply(
    painter: Option<Arc<dyn Painter>>,
    stream: &Arc<LiveStream>,
    image: Image,
    query: &str,
) -> Result<Reply, Problem> {
    let painter = painter.ok_or_else(|| Problem::not_built("this node makes no pictures; ask the origin"));
    let painter = painter.and_then(|painter| check_open(stream).map(|()| painter));
    match image {
        Image::Index => sprites::index(stream, query).await,
        Image::Sheet(number) => sprites::sheet(&*painter?, stream, number, query).await,
        Image::Poster => {
            let made = match painter {
                Ok(painter) => thumbnail(&*painter, stream, query, Usual::Poster).await,
                Err(problem) => Err(problem),
            };
            // Pages put it where a picture is nice to have: none is no fault.
            made.or_else(|problem| match problem.status {
                StatusCode::BAD_REQUEST => Err(problem),
                _ => Ok(Reply::picture(Bytes::new(), Keep::Now)),
            })
        }
        Image::Thumbnail => thumbnail(&*painter?, stream, query, Usual::Newest).await,
    }
}

/// What is shown where no time is asked for.
#[derive(Debug, Clone, Copy)]
enum Usual {
    Newest,
    /// Of what is not on: what stands for it.
    Poster,
}

async fn thumbnail(
    painter: &dyn Painter,
    stream: &Arc<LiveStream>,
    query: &str,
    usual: Usual,
) -> Result<Reply, Problem> {
    let usual_width = if matches!(usual, Usual::Poster) { POSTER_WIDTH } else { WIDTH };
    let width = field(query, "width")?.map_or(Ok(usual_width), width)?;
    let asked = match (field(query, "time")?, usual) {
        (Some(text), _) => Some(at(stream, text).await?),
        (None, Usual::Poster) => stands_for(stream, query).await?,
        (None, Usual::Newest) => None,
    };
    let (still, keep) = match asked {
        Some(asked) => asked,
        None => (newest(stream).await?, Keep::Now),
    };
    let name = format!("{}/{}-{width}", stream.key(), still.name());
    let order =
        Order { name, lasting: false, columns: 1, rows: 1, width, height: 0, stills: vec![(0, still)] };
    Ok(Reply::picture(painter.paint(order).await?, keep))
}

fn width(text: &str) -> Result<u16, Problem> {
    let known = text.parse().ok().filter(|w| WIDTHS.contains(w) && !text.starts_with(['0', '+']));
    known.ok_or_else(|| Problem::bad_request(format!("width is one of {WIDTHS:?}, not {text:.40}")))
}

/// The value of a field, which may be there once.
fn field<'a>(query: &'a str, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut given = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(n, _)| *n == name);
    match (given.next(), given.next()) {
        (found, None) => Ok(found.map(|(_, value)| value)),
        (_, Some(_)) => Err(Problem::bad_request(format!("{name} is given twice"))),
    }
}

/// The newest key frame, for a while the same; of a stream that is not on, the last that is stored.
async fn newest(stream: &Arc<LiveStream>) -> Result<Still, Problem> {
    let held = || stream.pictures().newest.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = held().as_ref().filter(|(since, _)| since.elapsed() < NEW).map(|(_, still)| still.clone());
    if let Some(still) = kept {
        return Ok(still);
    }
    let still = match stream.read(still::newest) {
        Some(still) => Some(still),
        None => match stream.past().and_then(past::Past::newest_recording_ms) {
            Some(from_ms) => stored(stream, from_ms, i64::MAX).await?,
            None => None,
        },
    };
    let still = still.ok_or_else(|| not_live(stream.key()))?;
    *held() = Some((Instant::now(), still.clone()));
    Ok(still)
}

/// The key frame that stands for a view of the past, or for the last recording of a stream that is not on; `None` of
/// what is live, or not stored.
async fn stands_for(stream: &LiveStream, query: &str) -> Result<Option<(Still, Keep)>, Problem> {
    let now_ms = crate::wall_ms();
    let Some(past) = stream.past() else { return Ok(None) };
    let (from_ms, until_ms, keep) = match View::parse(query, now_ms).map_err(Problem::bad_request)? {
        Some(View::Between(from_ms, Some(until_ms))) if until_ms < settled_ms(stream, now_ms) => {
            (from_ms, until_ms, Keep::Forever)
        }
        Some(View::Between(from_ms, until_ms)) => (from_ms, until_ms.unwrap_or(i64::MAX), Keep::Now),
        None if stream.read(still::newest).is_none() => match past.newest_recording_ms() {
            Some(from_ms) => (from_ms, i64::MAX, Keep::Now),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let archive = past.archive();
    let found = reading(stream, move || poster::of(&archive, from_ms, until_ms)).await?;
    Ok(found.map(|still| (still, keep)))
}

/// The key frame at a time or before it, and how long it will be that.
async fn at(stream: &Arc<LiveStream>, text: &str) -> Result<(Still, Keep), Problem> {
    let now_ms = crate::wall_ms();
    let time_ms = past::moment(text, now_ms).ok_or_else(|| {
        Problem::bad_request(format!(
            "time is Unix seconds, a date such as 2026-11-21T04:00:00Z, or seconds before now such as -60; not {text:.40}"
        ))
    })?;
    let found = match stream.read(|w| still::before(w, time_ms)) {
        Some(still) => Some(still),
        None => stored(stream, time_ms.saturating_sub(REACH_MS), time_ms.saturating_add(1)).await?,
    };
    let still = found.ok_or_else(|| nothing_stored(stream.key()))?;
    // Only what has a successor is what it is for ever.
    let settled = !text.starts_with('-') && time_ms < settled_ms(stream, now_ms);
    Ok((still, if settled { Keep::Forever } else { Keep::Now }))
}

/// The last stored key frame of a stretch, Unix milliseconds.
async fn stored(stream: &LiveStream, from_ms: i64, until_ms: i64) -> Result<Option<Still>, Problem> {
    let Some(archive) = stream.past().map(past::Past::archive) else { return Ok(None) };
    let read = move || {
        let found = still::stored(&archive, from_ms, until_ms)?;
        Ok(found.iter().rev().find_map(|segment| segment.still(&archive)))
    };
    reading(stream, read).await
}

/// Reads files elsewhere.
async fn reading<T: Send + 'static>(
    stream: &LiveStream,
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let read = tokio::task::spawn_blocking(read).await.map_err(|_| past::unreadable())?;
    read.map_err(|error| past::broken(stream, &error))
}

/// What begins before this will not get a predecessor any more, Unix milliseconds.
fn settled_ms(stream: &LiveStream, now_ms: i64) -> i64 {
    let late_ms = i64::try_from(stream.read(Window::target_s) * past::LATE_TARGETS).unwrap_or(0) * 1000;
    now_ms.saturating_sub(late_ms)
}
