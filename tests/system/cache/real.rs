//! Behind an edge stands a real origin: titles and recordings, played by ffmpeg.

use super::*;
use crate::api::playlist;
use crate::encoder::{SMALL, decode, ffmpeg, run};
use crate::store::{KEEP, listed};

/// An edge in front of the origin of another process.
fn before(origin: &Server) -> Server {
    Server::configured(&format!(
        "[[edge.upstream]]\nname = \"stored\"\norigins = [\"http://{}\"]\nquery = [\"start\", \"end\", \"delay\"]\n",
        origin.origin()
    ))
}

#[test]
fn titles_play_through_an_edge_and_on_when_the_origin_is_gone() {
    let data = folder("titles");
    std::fs::create_dir_all(data.join("vod")).expect("a folder");
    let file = data.join("vod/film.mp4");
    let made = [
        "-nostdin",
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=30",
        "-t",
        "12",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "60",
        file.to_str().expect("a path"),
    ];
    assert!(run("ffmpeg", &made, Duration::from_secs(60)).0);
    let origin = Server::in_folder(&data, &[]);
    let server = before(&origin);
    let url = |server: &Server| format!("http://{}/vod/film/index.m3u8", server.edge());
    let through = decode(&url(&server), 60);
    assert!(through.ok && through.video == 360, "{through:?}\n{}", server.log());
    let text = playlist(&server, "/vod/film/v1/index.m3u8").expect("a playlist");
    for name in listed(&text) {
        let path = format!("/vod/film/v1/{name}");
        let (here, there) = (get(&server, &path), http::get(origin.origin(), &path).expect("an answer"));
        assert!(here.status == 200 && here.body == there.body, "{path}");
        assert_eq!(here.header("etag"), there.header("etag"), "{path}");
    }
    drop(origin);
    let alone = decode(&url(&server), 60);
    assert!(alone.ok && alone.video == 360, "the origin is gone: {alone:?}\n{}", server.log());
    // When its lists are stale, too.
    let stale = || {
        let list = get(&server, "/vod/film/v1/index.m3u8");
        assert_eq!((list.status, list.body.as_slice()), (200, text.as_bytes()));
        told(&list).ends_with("detail=stale-if-error").then_some(())
    };
    assert!(eventually(SOON, stale).is_some());
    let _ = std::fs::remove_dir_all(&data);
}

#[test]
fn the_past_of_a_live_stream_comes_through_an_edge_and_on_when_the_origin_is_gone() {
    let origin = Server::start(&[KEEP]);
    let server = before(&origin);
    let encoder = ffmpeg(origin.rtmp(), "live/show", SMALL);
    let past = || {
        let text = playlist(&server, "/live/show/v1/index.m3u8?start=-3600")?;
        (listed(&text).len() > 3).then_some(text)
    };
    let text = eventually(SOON * 2, past).unwrap_or_else(|| panic!("nothing stored: {}", server.log()));
    let name = &listed(&text)[0];
    let path = format!("/live/show/v1/{name}");
    let (here, there) = (get(&server, &path), http::get(origin.origin(), &path).expect("an answer"));
    assert!(here.status == 200 && here.body == there.body);
    assert!(told(&get(&server, &path)).starts_with("nexus; hit"));
    let all = || -> Vec<(u16, Vec<u8>)> {
        let paths = listed(&text).into_iter().map(|name| format!("/live/show/v1/{name}"));
        paths.map(|path| get(&server, &path)).map(|reply| (reply.status, reply.body)).collect()
    };
    let before = all();
    assert!(before.iter().all(|(status, _)| *status == 200));
    drop((encoder, origin));
    assert!(all() == before, "what was played once plays on");
    let stale = || {
        let list = get(&server, "/live/show/v1/index.m3u8?start=-3600");
        assert_eq!(list.status, 200, "{}", told(&list));
        told(&list).ends_with("detail=stale-if-error").then_some(())
    };
    assert!(eventually(SOON, stale).is_some());
}
