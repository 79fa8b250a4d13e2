//! Text renditions and lists of assets.

use nx_hls::{Asset, Captions, DateRange, Event, TextCue, TextRendition};
use nx_media::{TrackId, VideoCodec};

use super::{FIRST, Node, bytes, events, field, renditions};

fn declared() -> Event {
    let (language, name) = ("en".into(), "English".into());
    let about = TextRendition { language, name, captions: false, forced: false, default: false };
    Event::Captions(Captions { embedded: vec![], renditions: vec![about] })
}

#[tokio::test]
async fn text_goes_on_with_the_leaders_segments() {
    let node = Node::empty();
    let all = events(VideoCodec::Avc, 5);
    let (begun, rest) = all.split_at(4);
    begun.iter().chain([&declared()]).for_each(|event| node.live.apply(event.clone()));
    let (start_us, duration_us, text) = (1_500_000, Some(1_000_000), "hello".into());
    node.live.apply(Event::Text {
        rendition: 0,
        cue: TextCue { start_us, duration_us, text, settings: String::new() },
    });
    let going_on = async {
        for event in rest {
            node.live.apply(event.clone());
            tokio::task::yield_now().await;
        }
    };
    let path = format!("s1/index.m3u8?_HLS_msn={}", FIRST + 1);
    let (first, second, ()) = tokio::join!(node.text("s1/index.m3u8"), node.text(&path), going_on);
    assert!(first.contains("\n7.vtt\n") && !first.contains("8.vtt"), "{first}");
    assert!(second.contains("\n7.vtt\n") && second.contains("\n8.vtt\n"), "{second}");
    let last = node.text("s1/index.m3u8").await;
    let rendered = node.live.rendered();
    node.live.apply(Event::Text {
        rendition: 0,
        cue: TextCue { start_us: 9_000_000, duration_us, text: "x".into(), settings: String::new() },
    });
    assert_eq!((node.text("s1/index.m3u8").await, node.live.rendered()), (last, rendered));

    let segment = node.get("/live/cam1/s1/7.vtt").await.unwrap();
    assert_eq!(field(segment.headers(), "content-type"), "text/vtt");
    assert_eq!(field(segment.headers(), "cache-control"), "public, max-age=3600, immutable");
    let text = String::from_utf8(bytes(segment)).unwrap();
    assert!(text.ends_with("00:00:01.500 --> 00:00:02.500\nhello\n\n"), "{text}");
    for gone in ["s1/6.vtt", "s2/7.vtt", "s2/index.m3u8", "s1/99.vtt"] {
        let problem = node.get(&format!("/live/cam1/{gone}")).await.unwrap_err();
        assert_eq!(problem.status.as_u16(), 404, "{gone}");
    }
    let refused = node.get("/live/cam1/s1/index.m3u8?_HLS_msn=99").await.unwrap_err();
    assert_eq!(refused.status.as_u16(), 400);
}

#[tokio::test]
async fn a_list_of_assets_is_json_that_is_asked_for_again() {
    let node = Node::showing(VideoCodec::Avc, 3);
    let asset = |n: u64| Asset { uri: format!("https://a.example/{n}.m3u8"), duration_ms: n * 1000 };
    let range = DateRange { id: "i1".into(), assets: vec![asset(1), asset(2)], ..DateRange::default() };
    node.live.apply(Event::DateRange(range));
    let path = "/live/cam1/breaks/i1.json";
    let list = node.get(path).await.unwrap();
    assert_eq!(field(list.headers(), "content-type"), "application/json");
    assert_eq!(field(list.headers(), "cache-control"), "public, max-age=1");
    let etag = field(list.headers(), "etag").to_owned();
    let known = node.ask("GET", path, &[("if-none-match", &etag)]).await.unwrap();
    assert_eq!(known.status().as_u16(), 304);
    let want = "{\"ASSETS\":[{\"URI\":\"https://a.example/1.m3u8\",\"DURATION\":1.000},\
                {\"URI\":\"https://a.example/2.m3u8\",\"DURATION\":2.000}]}\n";
    assert_eq!(String::from_utf8(bytes(list)).unwrap(), want);
    assert_eq!(node.get("/live/cam1/breaks/i2.json").await.unwrap_err().status.as_u16(), 404);
}

#[tokio::test]
async fn what_is_hidden_and_what_is_announced_again_is_in_the_next_answer() {
    let node = Node::empty();
    renditions(VideoCodec::Avc, 5, 2).into_iter().for_each(|event| node.live.apply(event));
    for hidden in [false, true, false] {
        node.live.hide(if hidden { vec![TrackId::VIDEO] } else { Vec::new() });
        for (path, source) in [("index.m3u8", "v1/index.m3u8"), ("manifest.mpd", "id=\"v1\"")] {
            let text = node.text(path).await;
            assert_eq!(!text.contains(source), hidden, "{text}");
        }
    }
}
