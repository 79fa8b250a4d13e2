//! Titles under keys: files lie in the clear and leave encrypted.

use super::*;
use crate::views::{decoded, errors};

#[test]
fn a_title_under_a_key_leaves_encrypted_in_every_view() {
    let (folder, text) =
        settings("title", "streams = \"vod/*\"\nclear_keys = \"open\"\nts = \"aes-128\"\nrotate_s = 10");
    let data = folder.join("data");
    std::fs::create_dir_all(data.join("vod")).expect("a folder of titles");
    let file = data.join("vod/show.mp4");
    let clip = clip(14, Kind::Bframes);
    let (from, to) = (clip.to_str().expect("a path"), file.to_str().expect("a path"));
    let (ok, _, err) = run("ffmpeg", &["-v", "error", "-i", from, "-c", "copy", to], SOON);
    assert!(ok, "{err}");
    let server = Server::configured_in(&data, &text);
    let top = playlist(&server, "/vod/show/index.m3u8").expect("a playlist");
    assert!(top.contains("#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES") && !top.contains("I-FRAME"), "{top}");
    for (track, name) in [("v1", "0:v"), ("a1", "0:a")] {
        let list = playlist(&server, &format!("/vod/show/{track}/index.m3u8")).expect("a playlist");
        let fetch = |name: &str| {
            let reply = get(&server, &format!("/vod/show/{track}/{name}"));
            assert_eq!(reply.status, 200, "{name}");
            reply.body
        };
        let all = segments(&list);
        let mut bytes = fetch(&all[0].0);
        all.iter().for_each(|(_, segment)| bytes.extend(fetch(segment)));
        assert_eq!(fetch(&all[0].1), fetch(&all[0].1), "the same bytes every time");
        let got = folder.join(format!("title-{track}.mp4"));
        std::fs::write(&got, bytes).expect("a file");
        let want = sent(&file, name);
        assert_eq!(packets(&new_tool(), &got, Some(KEY)), want, "{track}");
        assert_eq!(packets("ffmpeg", &unpacked(&got, track, KEY), None), want, "{track} by shaka-packager");
        let closed = packets(&new_tool(), &got, None);
        assert!(closed.iter().filter(|hash| want.contains(hash)).count() * 2 < closed.len(), "{track}");
        // Nothing but what is listed: no header without a key, no segment under a name of the file.
        let clear = all[0].0.replace(".0.mp4", ".mp4");
        assert!(clear != all[0].0 && get(&server, &format!("/vod/show/{track}/{clear}")).status == 404);
        assert_eq!(get(&server, &format!("/vod/show/{track}/0.m4s")).status, 404);
    }
    for path in ["video.mp4", "thumbnail.jpg"] {
        let reply = get(&server, &format!("/vod/show/{path}"));
        assert!(reply.status >= 400, "{path}: {}", reply.status);
    }
    let base = format!("http://{}/vod/show", server.edge());
    let (pictures, got) = (decoded(to, "0:v:0"), decoded(&format!("{base}/ts/index.m3u8"), "0:v:0"));
    assert!(got.len() == 420 && got == pictures, "{} of {}", got.len(), pictures.len());
    for view in ["index.m3u8", "manifest.mpd", "ts/index.m3u8"] {
        let found = errors(&format!("{base}/{view}"), 4);
        assert!(found.is_empty(), "{view}: {found:#?}");
    }
    let watched = watch(&base, 6).into_iter().chain(watch_with(&base, 6, &["--players=hls-ts"]));
    for (player, fared) in watched {
        eprintln!("title {player} {fared}");
        let clean = fared["fatal"].as_array().is_some_and(Vec::is_empty);
        assert!(clean && fared["alive"] == true, "{player}: {fared}");
    }
    assert!(!holds(&data, KEY.as_bytes()));
    drop(server);
    std::fs::remove_dir_all(folder).expect("removes");
}
