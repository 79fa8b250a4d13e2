//! Many who wait for the same.

use std::time::Duration;

use nx_hls::Event;
use nx_media::VideoCodec;
use tokio::time::Instant;

use super::{Node, bytes, events, field};

const CROWD: usize = 3000;

/// Splits what a packager made before the last part: that one is waited for.
fn before_last_part(seconds: i64) -> (Vec<Event>, Vec<Event>) {
    let mut all = events(VideoCodec::Avc, seconds);
    let at = all.iter().rposition(|e| matches!(e, Event::Part { .. })).expect("parts");
    let last = all.split_off(at);
    (all, last)
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_waits_for_a_part_is_answered_with_one_text() {
    let (before, last) = before_last_part(5);
    let node = std::sync::Arc::new(Node::empty());
    before.into_iter().for_each(|event| node.live.apply(event));
    let Some(Event::Part { part, .. }) = last.first() else { panic!("a part comes last") };
    let paths = [
        format!("/live/cam1/v1/index.m3u8?_HLS_msn={}&_HLS_part={}", part.msn, part.index),
        format!("/live/cam1/v1/index.m3u8?_HLS_part={}&_HLS_msn={}&viewer=2", part.index, part.msn),
    ];
    let waiting: Vec<_> = (0..CROWD)
        .map(|n| {
            let (node, path) = (node.clone(), paths[n % 2].clone());
            tokio::spawn(async move { node.ask("GET", &path, &[("accept-encoding", "br")]).await })
        })
        .collect();
    while node.live.held() < CROWD as u64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.live.rendered(), 0);
    tokio::time::advance(Duration::from_millis(250)).await;
    last.into_iter().for_each(|event| node.live.apply(event));
    let mut same = None;
    for waited in waiting {
        let response = waited.await.unwrap().unwrap();
        let headers = response.headers();
        assert_eq!(field(headers, "cmsd-static"), "ht=250,ot=m,sf=h,st=l");
        assert_eq!(field(headers, "cache-control"), "public, max-age=12");
        let crate::body::Body::Slices(slices) = response.into_body() else { panic!("a text") };
        let at = slices[0].as_ptr();
        assert_eq!(*same.get_or_insert(at), at, "the same bytes in memory");
    }
    assert_eq!((node.live.rendered(), node.live.held()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_after_three_target_durations_with_what_there_is() {
    let node = Node::showing(VideoCodec::Avc, 5);
    let before = node.text("v1/index.m3u8").await;
    let since = Instant::now();
    let response = node.get("/live/cam1/v1/index.m3u8?_HLS_msn=9&_HLS_part=3").await.unwrap();
    assert_eq!(since.elapsed().as_secs(), 6);
    assert_eq!(field(response.headers(), "cache-control"), "public, no-cache");
    assert_eq!(bytes(response), before.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_answers_at_once() {
    let node = std::sync::Arc::new(Node::showing(VideoCodec::Avc, 5));
    let paths = ["v1/index.m3u8?_HLS_msn=9", "v1/9.3.m4s"];
    let waiting = paths.map(|path| {
        let node = node.clone();
        tokio::spawn(async move { node.get(&format!("/live/cam1/{path}")).await })
    });
    while node.live.held() < 2 {
        tokio::task::yield_now().await;
    }
    let since = Instant::now();
    node.live.release();
    let [playlist, part] = waiting;
    assert_eq!(playlist.await.unwrap().unwrap().status().as_u16(), 200);
    assert_eq!(part.await.unwrap().expect_err("never made").slug, "not-in-time");
    // Nor does anybody who comes now wait.
    assert_eq!(node.get("/live/cam1/v1/9.3.m4s").await.expect_err("never made").slug, "not-in-time");
    assert_eq!(since.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_nobody_waits_and_those_who_need_not_are_served() {
    let mut node = Node::showing(VideoCodec::Avc, 5);
    node.media = super::Media::new(std::sync::Arc::new(super::One(node.live.clone())), "edge", 1);
    let node = std::sync::Arc::new(node);
    let waits = node.clone();
    let first = tokio::spawn(async move { waits.get("/live/cam1/v1/9.3.m4s").await });
    while node.live.held() < 1 {
        tokio::task::yield_now().await;
    }
    let problem = node.get("/live/cam1/v1/index.m3u8?_HLS_msn=9").await.expect_err("full");
    assert_eq!((problem.slug, problem.retry_after_s), ("overloaded", Some(1)));
    let response = node.get("/live/cam1/v1/index.m3u8").await.unwrap();
    assert!(field(response.headers(), "cmsd-dynamic").contains(";du;"));
    assert_eq!(first.await.unwrap().expect_err("never made").slug, "not-in-time");
}
