//! Answers to requests for a stream's resources, by tables.

mod crowd;
mod pictures;
mod texts;
mod vanished;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use nx_hls::{Config, Event, Packager, Start, TrackSpec, Window};
use nx_media::{Params, Sample, StreamKey, TrackId, VideoCodec, VideoParams};

use super::{Directory, Media};
use crate::body::Body;
use crate::listen::{Request, Response};
use crate::live::LiveStream;
use crate::problem::Problem;
use crate::upload::Upload;

const FIRST: u64 = 7;
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn picture(codec: VideoCodec) -> Params {
    Params::Video(VideoParams {
        codec,
        config: Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe0, 0]),
        width: 1280,
        height: 720,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: "of no matter here".into(),
    })
}

/// What a packager makes of `seconds` of a picture with 30 frames and half a key frame a second.
fn events(codec: VideoCodec, seconds: i64) -> Vec<Event> {
    renditions(codec, seconds, 1)
}

/// The same, as often side by side.
fn renditions(codec: VideoCodec, seconds: i64, count: u8) -> Vec<Event> {
    let spec = |nth| TrackSpec { id: TrackId::video(nth), params: picture(codec) };
    let mut packager = Packager::new(Config::default(), Start { msn: FIRST, ..Start::default() });
    packager.set_tracks(&(0..count).map(spec).collect::<Vec<_>>());
    for (n, track) in (0..seconds * 30).flat_map(|n| (0..usize::from(count)).map(move |track| (n, track))) {
        let (dts, key) = (90_000 + n * 3000, n % 60 == 0);
        let payload = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
        let sample = Sample { dts, pts: dts, duration: Some(3000), key, payload };
        packager.push(track, sample, 1_795_000_000_000);
    }
    std::iter::from_fn(|| packager.poll()).collect()
}

/// A node with one stream, `live/cam1`.
struct Node {
    live: Arc<LiveStream>,
    media: Media,
}

struct One(Arc<LiveStream>);

impl Directory for One {
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        (key == self.0.key()).then(|| self.0.clone())
    }
}

impl Node {
    fn empty() -> Self {
        let key = StreamKey::new("live", "cam1").unwrap();
        let live = Arc::new(LiveStream::new(key, Window::new(30, 2, 1 << 20)));
        Self { media: Media::new(Arc::new(One(live.clone())), "edge", 10_000), live }
    }

    /// With so many seconds of a picture in this codec.
    fn showing(codec: VideoCodec, seconds: i64) -> Self {
        let node = Self::empty();
        events(codec, seconds).into_iter().for_each(|event| node.live.apply(event));
        node
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Result<Response, Problem> {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request: Request = request.body(Upload::None).unwrap();
        self.media.answer(&request, PEER).await
    }

    async fn get(&self, path: &str) -> Result<Response, Problem> {
        self.ask("GET", path, &[]).await
    }

    /// A playlist in `live/cam1`, as text.
    async fn text(&self, path: &str) -> String {
        let path = format!("/live/cam1/{path}");
        String::from_utf8(bytes(self.get(&path).await.unwrap())).unwrap()
    }
}

fn bytes(response: Response) -> Vec<u8> {
    match response.into_body() {
        Body::Slices(slices) => slices.into_iter().flatten().collect(),
        _ => Vec::new(),
    }
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |v| v.to_str().unwrap())
}

#[tokio::test]
async fn an_output_that_cannot_hold_the_codec_says_which_one_does() {
    let (av1, avc) = (Node::showing(VideoCodec::Av1, 5), Node::showing(VideoCodec::Avc, 5));
    for path in ["/live/cam1/ts/index.m3u8", "/live/cam1/ts/7.ts"] {
        let problem = av1.get(path).await.expect_err("a problem");
        assert_eq!((problem.status, problem.slug), (StatusCode::NOT_FOUND, "output-codec"));
        assert_eq!(problem.detail, "AV1 cannot be carried in MPEG-TS; play index.m3u8");
        assert!(avc.get(path).await.is_ok(), "{path}");
    }
    assert!(av1.get("/live/cam1/index.m3u8").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn every_answer_says_honestly_how_long_it_may_be_kept() {
    // Segments 7 and 8 are whole, 9 has three parts of a third of a second.
    let node = Node::showing(VideoCodec::Avc, 5);
    for (path, keep) in [
        ("index.m3u8", "public, max-age=1"),
        ("v1/index.m3u8", "public, max-age=1"),
        ("v1/index.m3u8?token=x", "public, max-age=1"),
        ("v1/index.m3u8?_HLS_skip=YES", "public, max-age=1"),
        ("v1/index.m3u8?_HLS_msn=8", "public, max-age=12"),
        ("v1/index.m3u8?_HLS_msn=0&_HLS_part=900", "public, max-age=12"),
        ("v1/index.m3u8?_HLS_msn=9&_HLS_part=1", "public, max-age=12"),
        // Nothing more comes: the hold ends with what there is.
        ("v1/index.m3u8?_HLS_msn=9", "public, no-cache"),
        ("v1/iframes.m3u8", "public, max-age=1"),
        ("ts/index.m3u8", "public, max-age=1"),
        ("v1/init-0.mp4", "public, max-age=3600, immutable"),
        ("v1/7.m4s", "public, max-age=3600, immutable"),
        ("v1/7.0.m4s", "public, max-age=3600, immutable"),
        ("ts/7.ts", "public, max-age=3600, immutable"),
    ] {
        let response =
            node.get(&format!("/live/cam1/{path}")).await.unwrap_or_else(|p| panic!("{path} {p:?}"));
        let headers = response.headers();
        assert_eq!(field(headers, "cache-control"), keep, "{path}");
        assert_eq!(field(headers, "timing-allow-origin"), "*", "{path}");
        assert_eq!(field(headers, "access-control-allow-origin"), "*", "{path}");
        assert!(field(headers, "etag").starts_with('"'), "{path}");
        assert!(field(headers, "cmsd-static").ends_with("sf=h,st=l"), "{path}");
        assert!(field(headers, "cmsd-dynamic").starts_with("\"nexus-edge\""), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_have_stable_types_and_lifetimes() {
    let node = Node::showing(VideoCodec::Avc, 5);
    let long = "x".repeat(5000);
    for (path, status, slug, keep, retry) in [
        ("/live/cam1/nothing", 404, "not-found", "public, max-age=1", ""),
        ("/live/cam1/thumbnail.jpg", 501, "not-built", "no-store", ""),
        ("/live/cam2/index.m3u8", 404, "stream-unknown", "public, max-age=1", ""),
        ("/live/cam1/v9/index.m3u8", 404, "not-held", "no-store", ""),
        ("/live/cam1/v1/3.m4s", 404, "not-held", "public, max-age=2", ""),
        ("/live/cam1/v1/8.99.m4s", 404, "not-held", "public, max-age=2", ""),
        ("/live/cam1/v1/11.m4s", 404, "not-held", "no-store", ""),
        ("/live/cam1/v1/9.4.m4s", 404, "not-held", "no-store", ""),
        ("/live/cam1/ts/3.ts", 404, "not-held", "public, max-age=2", ""),
        ("/live/cam1/ts/99.ts", 404, "not-held", "no-store", ""),
        // Hinted or listed ahead, and never made.
        ("/live/cam1/v1/10.m4s", 503, "not-in-time", "no-store", "1"),
        ("/live/cam1/v1/9.3.m4s", 503, "not-in-time", "no-store", "1"),
        ("/live/cam1/v1/index.m3u8?_HLS_part=1", 400, "bad-request", "public, max-age=8", ""),
        ("/live/cam1/v1/index.m3u8?_HLS_msn=99", 400, "bad-request", "no-store", ""),
        (&format!("/live/cam1/{long}"), 414, "uri-too-long", "no-store", ""),
        (&format!("/live/cam1/index.m3u8?{long}"), 414, "uri-too-long", "no-store", ""),
    ] {
        let problem = node.get(path).await.expect_err(path);
        assert_eq!((problem.status.as_u16(), problem.slug), (status, slug), "{path}");
        let response = problem.response("id");
        let headers = response.headers();
        let said = (field(headers, "cache-control"), field(headers, "retry-after"));
        assert_eq!(said, (keep, retry), "{path}");
        assert_eq!(field(headers, "timing-allow-origin"), "*", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_live_yet_says_when_to_ask_again() {
    let node = Node::empty();
    for (path, status, slug) in [
        // Held for three target durations in case it begins.
        ("/live/cam1/v1/index.m3u8", 404, "stream-not-live"),
        ("/live/cam1/ts/index.m3u8", 404, "stream-not-live"),
        ("/live/cam1/index.m3u8", 404, "stream-not-live"),
    ] {
        let problem = node.get(path).await.expect_err(path);
        let got = (problem.status.as_u16(), problem.slug, problem.retry_after_s);
        assert_eq!(got, (status, slug, Some(1)), "{path}");
    }
}

#[tokio::test]
async fn what_is_over_stays_to_be_watched_and_nobody_waits_for_more() {
    let node = Node::showing(VideoCodec::Avc, 5);
    node.live.apply(Event::End);
    for query in ["", "?_HLS_msn=9", "?_HLS_msn=99&_HLS_part=3"] {
        let response = node.get(&format!("/live/cam1/v1/index.m3u8{query}")).await.unwrap();
        assert_eq!(field(response.headers(), "cache-control"), "public, max-age=1", "{query}");
        assert!(field(response.headers(), "cmsd-static").ends_with("st=v"), "{query}");
        assert!(bytes(response).ends_with(b"#EXT-X-ENDLIST\n"), "{query}");
    }
}

#[tokio::test]
async fn each_coding_decodes_to_the_same_playlist_and_has_its_own_tag() {
    let node = Node::showing(VideoCodec::Avc, 20);
    let plain = node.text("v1/index.m3u8").await.into_bytes();
    let mut tags = Vec::new();
    for (accept, coding) in [("", ""), ("gzip", "gzip"), ("gzip, br", "br"), ("zstd", "zstd")] {
        let path = "/live/cam1/v1/index.m3u8";
        let response = node.ask("GET", path, &[("accept-encoding", accept)]).await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(field(&headers, "content-encoding"), coding);
        assert_eq!(field(&headers, "vary"), "Accept-Encoding");
        tags.push(field(&headers, "etag").to_owned());
        let (body, mut text) = (bytes(response), Vec::new());
        match coding {
            "gzip" => drop(flate2::read::GzDecoder::new(&*body).read_to_end(&mut text).unwrap()),
            "br" => drop(brotli::Decompressor::new(&*body, 4096).read_to_end(&mut text).unwrap()),
            "zstd" => text = zstd::bulk::decompress(&body, 1 << 20).unwrap(),
            _ => text.clone_from(&body),
        }
        assert!(
            text == plain && (coding.is_empty() || body.len() < plain.len() / 3),
            "{coding} {}",
            body.len()
        );
    }
    tags.dedup();
    assert_eq!(tags.len(), 4, "{tags:?}");
    // Media is never coded.
    let segment = node.ask("GET", "/live/cam1/v1/7.m4s", &[("accept-encoding", "gzip")]).await.unwrap();
    assert_eq!(field(segment.headers(), "content-encoding"), "");
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let node = Node::showing(VideoCodec::Avc, 5);
    for path in ["index.m3u8", "v1/index.m3u8", "ts/index.m3u8", "v1/7.m4s", "v1/7.0.m4s", "ts/7.ts"] {
        let path = format!("/live/cam1/{path}");
        let first = node.get(&path).await.unwrap();
        let tag = field(first.headers(), "etag").to_owned();
        let again = node.ask("GET", &path, &[("if-none-match", &tag)]).await.unwrap();
        assert_eq!((again.status(), again.body().size()), (StatusCode::NOT_MODIFIED, Some(0)), "{path}");
        for name in ["etag", "cache-control", "vary"] {
            assert_eq!(field(again.headers(), name), field(first.headers(), name), "{path} {name}");
        }
        let other = node.ask("GET", &path, &[("if-none-match", "\"other\"")]).await.unwrap();
        assert_eq!(other.status(), StatusCode::OK, "{path}");
    }
    // A change is another tag.
    let path = "/live/cam1/v1/index.m3u8";
    let tag = field(node.get(path).await.unwrap().headers(), "etag").to_owned();
    node.live.apply(Event::End);
    assert_eq!(node.ask("GET", path, &[("if-none-match", &tag)]).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn ranges_are_for_media_and_for_the_bytes_the_client_means() {
    let node = Node::showing(VideoCodec::Avc, 5);
    let path = "/live/cam1/v1/7.m4s";
    let whole = node.get(path).await.unwrap();
    let tag = field(whole.headers(), "etag").to_owned();
    let whole = bytes(whole);
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (method, path, fields, status) in [
        ("GET", path, vec![("range", "bytes=10-19")], 206),
        ("GET", path, vec![("range", "bytes=10-19"), ("if-range", &tag)], 206),
        ("GET", path, vec![("range", "bytes=10-19"), ("if-range", "\"x\"")], 200),
        ("GET", path, vec![("range", "bytes=10-19"), ("if-range", date)], 200),
        ("GET", path, vec![("range", "bytes=99999999-")], 416),
        ("HEAD", path, vec![("range", "bytes=10-19")], 200),
        ("GET", "/live/cam1/v1/index.m3u8", vec![("range", "bytes=0-9")], 200),
    ] {
        let response = node.ask(method, path, &fields).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path} {fields:?}");
        let range = field(response.headers(), "content-range").to_owned();
        match status {
            206 => {
                assert_eq!(range, format!("bytes 10-19/{}", whole.len()));
                assert_eq!(bytes(response), whole[10..20]);
            }
            416 => assert_eq!(
                (range.as_str(), field(response.headers(), "cache-control")),
                (format!("bytes */{}", whole.len()).as_str(), "no-store")
            ),
            _ => assert_eq!(range, ""),
        }
    }
}

#[tokio::test]
async fn players_are_counted_by_session_and_change_nothing() {
    let node = Node::showing(VideoCodec::Avc, 5);
    let plain = node.text("v1/index.m3u8").await;
    for n in 0..20 {
        let cmcd = format!("CMCD=bs,mtp%3D{},ot%3Dm,sid%3D%22{}%22,v%3D2", 1000 * n, n % 4);
        assert_eq!(node.text(&format!("v1/index.m3u8?{cmcd}")).await, plain);
    }
    let sum = node.live.quality().summary();
    assert_eq!((sum.reports, sum.starved, sum.version_2), (20, 20, 20));
    // Four sessions, and the one before that told nothing.
    let now = crate::wall_ms();
    assert_eq!((node.live.audience().count(now), node.live.audience().sessions(now)), (5, 4));
    assert_eq!(node.live.rendered(), 1);
}

/// A player that has the playlist and gets a delta puts the lines it has in place of `EXT-X-SKIP`
/// (RFC 8216bis §6.3.7).
fn reconstruct(full: &str, delta: &str) -> String {
    let first = |text: &str| -> u64 {
        let line = text.lines().find_map(|l| l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
        line.unwrap().parse().unwrap()
    };
    let at = delta.find("#EXT-X-SKIP:").unwrap();
    let (head, rest) = (&delta[..at], delta[at..].split_once('\n').unwrap());
    let skipped = rest.0.split("SKIPPED-SEGMENTS=").nth(1).unwrap();
    let skipped: u64 = skipped.split(',').next().unwrap().parse().unwrap();
    let kept = format!("\n{}.m4s\n", first(delta) + skipped - 1);
    let until = full.find(&kept).unwrap() + kept.len();
    let from = full.find("#EXT-X-MAP").unwrap();
    // The first segment that is not skipped restates its map, for those who do not merge.
    let rest = rest.1.strip_prefix("#EXT-X-MAP:URI=\"init-0.mp4\"\n").unwrap_or(rest.1);
    format!("{head}{}{rest}", &full[from..until])
}

#[tokio::test]
async fn a_delta_and_what_the_player_has_make_the_playlist() {
    let node = Node::showing(VideoCodec::Avc, 40);
    let full = node.text("v1/index.m3u8").await;
    for query in
        ["_HLS_skip=YES", "_HLS_skip=v2", "_HLS_msn=20&_HLS_skip=YES", "x=1&_HLS_skip=YES&_HLS_msn=20"]
    {
        let delta = node.text(&format!("v1/index.m3u8?{query}")).await;
        assert!(delta.len() < full.len(), "{query}");
        let head = |text: &str| {
            text.lines().filter(|l| !l.starts_with("#EXT-X-VERSION")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(head(&reconstruct(&full, &delta)), head(&full), "{query}");
    }
    // Full, YES and v2: whoever asked, in whatever words.
    assert_eq!(node.live.rendered(), 3);
}
