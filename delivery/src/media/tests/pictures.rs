//! Thumbnails, posters and sheets: which key frame is drawn, how often, and how long the answer may be kept.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nx_hls::{Run, RunTrack, Stored};

use super::*;
use crate::{Archive, Film, Order, Painter, Painting, Reader};

/// Notes what it is to draw; draws nothing.
#[derive(Debug, Default)]
struct Notes {
    orders: Mutex<Vec<Order>>,
    fails: bool,
}

impl Painter for Notes {
    fn paint(&self, order: Order) -> Painting<'_> {
        let jpeg = Bytes::from(format!("JPEG of {}", order.name));
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        let broken = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "picture-unreadable", "", "");
        Box::pin(std::future::ready(if self.fails { Err(broken) } else { Ok(jpeg) }))
    }
}

struct Painted(One, Arc<Notes>);

impl Directory for Painted {
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        self.0.find(key)
    }

    fn painter(&self) -> Option<Arc<dyn Painter>> {
        Some(self.1.clone())
    }
}

fn painted(node: Node, fails: bool) -> (Node, Arc<Notes>) {
    let notes = Arc::new(Notes { fails, ..Notes::default() });
    let directory = Painted(One(node.live.clone()), notes.clone());
    (Node { media: Media::new(Arc::new(directory), "edge", 10), ..node }, notes)
}

impl Notes {
    /// What was ordered last: name, grid, and the samples.
    fn last(&self) -> (String, [u16; 4], Vec<(u8, usize)>) {
        let orders = self.orders.lock().unwrap();
        let order = orders.last().expect("an order");
        let stills = order.stills.iter().map(|(cell, still)| {
            let key = still.load().expect("reads").expect("is there");
            (*cell, key.sample.len())
        });
        let grid = [order.columns.into(), order.rows.into(), order.width, order.height];
        (order.name.clone(), grid, stills.collect())
    }

    fn count(&self) -> usize {
        self.orders.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_thumbnail_is_the_newest_key_frame_for_two_seconds() {
    let (node, notes) = painted(Node::showing(VideoCodec::Avc, 5), false);
    let first = node.get("/live/cam1/thumbnail.jpg").await.expect("a picture");
    assert_eq!(field(first.headers(), "content-type"), "image/jpeg");
    assert_eq!(field(first.headers(), "cache-control"), "public, max-age=1");
    assert_eq!(notes.last(), ("live/cam1/v1/9-0-320".into(), [1, 1, 320, 0], vec![(0, 6)]));
    let tag = field(first.headers(), "etag").to_owned();
    let again =
        node.ask("GET", "/live/cam1/thumbnail.jpg", &[("if-none-match", &tag)]).await.expect("an answer");
    assert_eq!(again.status(), 304);
    events(VideoCodec::Avc, 7).into_iter().for_each(|event| node.live.apply(event));
    node.get("/live/cam1/thumbnail.jpg?width=640").await.expect("a picture");
    assert_eq!(notes.last().0, "live/cam1/v1/9-0-640", "still new");
    tokio::time::advance(Duration::from_secs(2)).await;
    node.get("/live/cam1/poster.jpg").await.expect("a picture");
    assert_eq!(notes.last().0, "live/cam1/v1/10-0-640");
}

#[tokio::test(start_paused = true)]
async fn a_time_is_answered_with_the_key_frame_at_it_or_before() {
    let (node, notes) = painted(Node::showing(VideoCodec::Avc, 5), false);
    let begins_ms = |msn| {
        node.live.read(|w| match w.segment(0, msn) {
            nx_hls::Lookup::Found(segment) => segment.program_date_time_ms,
            other => panic!("{other:?}"),
        })
    };
    let (first, second) = (begins_ms(7), begins_ms(8));
    for (at_ms, msn) in [(first, 7), (second - 1, 7), (second, 8), (second + 5_000, 8)] {
        let path = format!("/live/cam1/thumbnail.jpg?time={}.{:03}", at_ms / 1000, at_ms % 1000);
        let found = node.get(&path).await.expect("a picture");
        assert_eq!(notes.last().0, format!("live/cam1/v1/{msn}-0-320"), "{path}");
        assert!(field(found.headers(), "cache-control").starts_with("public, max-age="), "{path}");
    }
    let before = format!("/live/cam1/thumbnail.jpg?time={}", first / 1000 - 1);
    assert_eq!(node.get(&before).await.expect_err("nothing").slug, "not-stored");
}

#[tokio::test(start_paused = true)]
async fn only_few_widths_are_drawn_and_nonsense_is_said_so() {
    let (node, notes) = painted(Node::showing(VideoCodec::Avc, 5), false);
    for query in [
        "width=321",
        "width=0320",
        "width=",
        "width=320&width=640",
        "width=99999999",
        "time=soon",
        "time=1&time=2",
    ] {
        for name in ["thumbnail", "poster"] {
            let problem = node.get(&format!("/live/cam1/{name}.jpg?{query}")).await.expect_err("a problem");
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{name} {query}");
        }
    }
    for path in ["sprites.vtt?delay=5", "sprites.vtt?start=9&end=5"] {
        let problem = node.get(&format!("/live/cam1/{path}")).await.expect_err("a problem");
        assert!(matches!(problem.slug, "bad-request" | "not-stored"), "{path}: {problem:?}");
    }
    for path in ["sprites/7.jpg", "sprites/7.jpg?every=3", "sprites/7.jpg?every=2&every=2"] {
        let problem = node.get(&format!("/live/cam1/{path}")).await.expect_err("a problem");
        assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(notes.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_does_without_a_poster() {
    let (failing, _) = painted(Node::showing(VideoCodec::Avc, 5), true);
    assert_eq!(
        failing.get("/live/cam1/thumbnail.jpg").await.expect_err("a problem").slug,
        "picture-unreadable"
    );
    for node in [failing, Node::showing(VideoCodec::Avc, 5), Node::empty()] {
        let poster = node.get("/live/cam1/poster.jpg").await.expect("an answer");
        assert_eq!((poster.status(), bytes(poster)), (StatusCode::NO_CONTENT, Vec::new()));
    }
}

/// Segments of two seconds from a time on, the 5th without a key frame.
#[derive(Debug)]
struct Kept {
    begins_ms: i64,
    count: u64,
}

impl Kept {
    fn run(&self) -> Arc<Run> {
        let params = picture(VideoCodec::Avc);
        let track =
            RunTrack { id: TrackId::VIDEO, name: "v1".into(), run: 3, params, init: Bytes::new(), key: None };
        Arc::new(Run {
            keys: Vec::new(),
            number: 3,
            first_msn: 0,
            tracks: vec![Arc::new(track)],
            start_ms: self.begins_ms,
            wall_at_zero_ms: 0,
            part_target_us: 333_000,
        })
    }
}

impl Archive for Kept {
    fn version(&self) -> u64 {
        1
    }

    fn newest_recording_ms(&self) -> Option<i64> {
        Some(self.begins_ms)
    }

    fn reader(self: Arc<Self>, from_ms: i64) -> Box<dyn Reader> {
        Box::new(From(self, from_ms))
    }

    fn segment(&self, _track: &str, msn: u64, run: Option<u32>) -> io::Result<Option<Bytes>> {
        assert_eq!(run, Some(3));
        let part = events(VideoCodec::Avc, 1).into_iter().find_map(|event| match event {
            Event::Part { part, .. } => Some(part.bytes),
            _ => None,
        });
        Ok(part.filter(|_| msn < self.count))
    }

    fn run(&self, _msn: u64, _run: Option<u32>) -> io::Result<Option<Arc<Run>>> {
        Ok(Some(Self::run(self)))
    }

    fn film(&self, _from_ms: i64, _to_ms: i64, _live: Vec<nx_hls::Unstored>) -> io::Result<Option<Film>> {
        Ok(None)
    }

    fn init(&self, _track: &str, _run: u32, _key: Option<u64>) -> io::Result<Option<Bytes>> {
        Ok(None)
    }
}

struct From(Arc<Kept>, i64);

impl Reader for From {
    fn read(&mut self, until_ms: i64) -> io::Result<Vec<Event>> {
        let segment = |msn: u64| Stored {
            named_by_run: false,
            msn,
            begins_ms: self.0.begins_ms + 2_000 * msn as i64,
            pts: 0,
            duration: 180_000,
            bytes: 10_000,
            independent: msn != 5,
            i_frame_bytes: (msn != 5).then_some(if [9, 40].contains(&msn) { 20_000 } else { 9_000 }),
        };
        let within = |s: &Stored| s.begins_ms + 2_000 > self.1 && s.begins_ms < until_ms;
        let segments = (0..self.0.count).map(segment).filter(within);
        let stored = segments.map(|segment| Event::Stored { track: 0, segment });
        Ok([Event::Run(self.0.run())].into_iter().chain(stored).collect())
    }
}

#[tokio::test]
async fn the_past_has_thumbnails_and_sheets_of_a_stream_that_is_not_on() {
    // The 8 970 000th sheet of 200 s, and the beginning of the next.
    let (number, begins_ms) = (8_970_000_u64, 8_970_000 * 200_000_i64);
    let node = Node::empty();
    node.live.apply(Event::End);
    node.live.remember(Arc::new(Kept { begins_ms, count: 103 }));
    let (node, notes) = painted(node, false);
    node.get("/live/cam1/thumbnail.jpg").await.expect("the last");
    assert_eq!(notes.last().0, "live/cam1/v1/102-3-320");
    let at =
        node.get(&format!("/live/cam1/thumbnail.jpg?time={}", begins_ms / 1000 + 11)).await.expect("one");
    assert_eq!(notes.last().0, "live/cam1/v1/4-3-320", "the 5th has none");
    assert_eq!(field(at.headers(), "cache-control"), "public, max-age=3600, immutable");
    // What stands for it is within the first minute, and behind a cut.
    let from_s = begins_ms / 1000;
    for (query, msn, keep) in [
        (String::new(), 9, "public, max-age=1"),
        (format!("?start={from_s}"), 9, "public, max-age=1"),
        (format!("?start={}&end={}", from_s + 20, from_s + 70), 10, "public, max-age=3600, immutable"),
        (format!("?start={}&end={}", from_s + 30, from_s + 90), 40, "public, max-age=3600, immutable"),
        (format!("?time={}", from_s + 3), 1, "public, max-age=3600, immutable"),
    ] {
        let poster = node.get(&format!("/live/cam1/poster.jpg{query}")).await.expect("one");
        assert_eq!(notes.last().0, format!("live/cam1/v1/{msn}-3-640"), "{query}");
        assert_eq!(field(poster.headers(), "cache-control"), keep, "{query}");
    }
    let index = node.text("sprites.vtt?start=-31536000000").await;
    assert_eq!(index.matches(" --> ").count(), 102);
    assert!(index.contains("00:00:08.000 --> 00:00:12.000\n"), "the 4th is shown for the 5th: {index}");
    let mut sheets: Vec<&str> =
        index.lines().filter_map(|l| l.split_once('#')).map(|(sheet, _)| sheet).collect();
    sheets.dedup();
    let [whole, rest] = sheets[..] else { panic!("{sheets:?}") };
    assert!(whole.starts_with(&format!("sprites/{number}.jpg?every=2&v=")), "{whole}");
    for (sheet, cells) in [(whole, 99), (rest, 3)] {
        let made = node.get(&format!("/live/cam1/{sheet}")).await.expect("a sheet");
        assert_eq!(field(made.headers(), "cache-control"), "public, max-age=3600, immutable", "{sheet}");
        let (name, grid, stills) = notes.last();
        assert_eq!((grid, stills.len()), ([10, 10, 160, 90], cells), "{name}");
    }
    // Under any other name it is what it is now.
    let other = node.get(&format!("/live/cam1/sprites/{number}.jpg?every=2&v=0")).await.expect("a sheet");
    assert_eq!(field(other.headers(), "cache-control"), "public, max-age=1");
    for path in
        [format!("sprites/{}.jpg?every=2", number + 2), format!("sprites/{}.jpg?every=3600", u64::MAX)]
    {
        let problem = node.get(&format!("/live/cam1/{path}")).await.expect_err("nothing");
        assert_eq!(problem.slug, "not-stored", "{path}");
    }
    let seen = notes.count();
    assert_eq!(node.text("sprites.vtt?start=-31536000000").await, index);
    assert_eq!(notes.count(), seen, "an index draws nothing");
}
