//! Segments that are sent while they are made.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http_body::Body as _;
use nx_hls::{Config, Event, Packager, Start, TrackSpec, Window};
use nx_media::{Params, Sample, StreamKey, TrackId, VideoCodec, VideoParams};

use super::*;
use crate::body::Body;

/// What a packager says of three segments from number 7 on.
fn events() -> Vec<Event> {
    let params = Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe0, 0]),
        width: 1280,
        height: 720,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: "of no matter here".into(),
    });
    let mut packager = Packager::new(Config::default(), Start { msn: 7, ..Start::default() });
    packager.set_tracks(&[TrackSpec { id: TrackId::VIDEO, params }]);
    for n in 0..180 {
        let dts = 90_000 + n * 3000;
        let payload = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
        packager.push(0, Sample { dts, pts: dts, duration: Some(3000), key: n % 60 == 0, payload }, 0);
    }
    packager.finish();
    std::iter::from_fn(|| packager.poll()).collect()
}

/// A stream that has come to this part of segment 7, and what comes then.
fn stream(parts: usize) -> (Arc<LiveStream>, std::vec::IntoIter<Event>) {
    let window = Window::new(3, 2, 0);
    let live = Arc::new(LiveStream::new(StreamKey::new("live", "cam1").unwrap(), window));
    let mut events = events().into_iter();
    for event in events.by_ref().take(1 + parts) {
        live.apply(event);
    }
    (live, events)
}

fn poll(body: &mut Body) -> Poll<Option<io::Result<Bytes>>> {
    let frame = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    frame.map(|f| f.map(|f| f.map(|f| f.into_data().expect("data"))))
}

/// Lets those who wait hear the bell.
async fn rung() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn parts_come_one_by_one_and_the_end_is_clean() {
    let (live, mut later) = stream(2);
    let mut body = Body::Growing(Box::new(
        Growing::open(&live, &Holds::new(9), "v1", 7, &|_: &_| false)
            .await
            .expect("a place")
            .expect("an open segment"),
    ));
    assert_eq!((body.size(), body.is_end_stream()), (None, false));
    let mut sent = Vec::new();
    for _ in 0..2 {
        let Poll::Ready(Some(Ok(part))) = poll(&mut body) else { panic!("a part is there") };
        sent.push(part);
    }
    assert!(poll(&mut body).is_pending(), "the third part is not made yet");
    loop {
        match poll(&mut body) {
            Poll::Ready(Some(part)) => sent.push(part.expect("no break")),
            Poll::Ready(None) => break,
            Poll::Pending => {
                live.apply(later.next().expect("more to come"));
                rung().await;
            }
        }
    }
    let whole = live.read(|w| match w.segment(0, 7) {
        Lookup::Found(s) => s.parts.iter().map(|p| p.bytes.clone()).collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    assert_eq!(sent, whole);
    assert!(sent.len() > 4);
}

#[tokio::test]
async fn the_next_segment_is_promised_and_no_other() {
    let (live, later) = stream(2);
    assert!(Growing::open(&live, &Holds::new(9), "v1", 6, &|_: &_| false).await.expect("a place").is_none());
    assert!(Growing::open(&live, &Holds::new(9), "v1", 9, &|_: &_| false).await.expect("a place").is_none());
    assert!(Growing::open(&live, &Holds::new(9), "v9", 7, &|_: &_| false).await.expect("a place").is_none());
    let holds = Holds::new(9);
    let next = Growing::open(&live, &holds, "v1", 8, &|_: &_| false);
    let mut next = std::pin::pin!(next);
    assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    later.take_while(|e| !matches!(e, Event::Part { part, .. } if part.msn > 8)).for_each(|e| live.apply(e));
    let mut body = Body::Growing(Box::new(next.await.expect("a place").expect("the next segment")));
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
}

#[tokio::test]
async fn what_will_not_be_whole_breaks_off() {
    // The node stops; the stream ends within the segment.
    for end in [None, Some(Event::End)] {
        let (live, _) = stream(1);
        let mut body = Body::Growing(Box::new(
            Growing::open(&live, &Holds::new(9), "v1", 7, &|_: &_| false)
                .await
                .expect("a place")
                .expect("an open segment"),
        ));
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
        assert!(poll(&mut body).is_pending());
        match end {
            Some(end) => live.apply(end),
            None => live.release(),
        }
        rung().await;
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(_)))));
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_cut_off() {
    let (live, later) = stream(1);
    let mut body = Body::Growing(Box::new(
        Growing::open(&live, &Holds::new(9), "v1", 7, &|_: &_| false)
            .await
            .expect("a place")
            .expect("an open segment"),
    ));
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
    later.for_each(|event| live.apply(event));
    // Two more rounds: segment 7 has left a window of three that keeps nothing beyond it.
    for round in 1..3 {
        for event in events() {
            let shift = |msn| msn + 3 * round;
            live.apply(match event {
                Event::Part { track, mut part } => {
                    part.msn = shift(part.msn);
                    Event::Part { track, part }
                }
                Event::SegmentEnd { track, msn, duration } => {
                    Event::SegmentEnd { track, msn: shift(msn), duration }
                }
                other => other,
            });
        }
    }
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(_)))));
}
