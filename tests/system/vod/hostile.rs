//! Files that lie, names that lead elsewhere, codecs that are not carried.

use std::os::unix::fs::symlink;

use serde_json::Value;

use super::*;

/// Status, kind of problem and its detail, of a title's playlist.
fn told(stage: &Stage, title: &str) -> (u16, String, String) {
    let reply = stage.get(&format!("/vod/{title}/index.m3u8"));
    let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
    (reply.status, text("type").rsplit(':').next().unwrap_or_default().to_owned(), text("detail"))
}

#[test]
fn what_cannot_be_played_says_why() {
    let stage = Stage::new("why");
    let how = "-c:v libx264 -preset ultrafast -g 60 -c:a aac";
    ffmpeg(&format!("{} {how}", source(4)), &stage.file("good.mp4"));
    let good = std::fs::read(stage.file("good.mp4")).expect("a file");
    let put = |file: &str, bytes: &[u8]| std::fs::write(stage.file(file), bytes).expect("writes");
    ffmpeg(&format!("{} -an -c:v mpeg4", source(1)), &stage.file("old.mp4"));
    ffmpeg(&format!("{} -an -c:v prores", source(1)), &stage.file("studio.mov"));
    put("short.mp4", &good[..good.len() / 2]);
    put("junk.mp4", &[0x5a; 4096]);
    put("empty.mp4", b"");
    let huge = [&good[..32], b"\xff\xff\xff\xf0moov", &good[40..]].concat();
    put("huge.mp4", &huge);
    let nothing = [&good[..32], b"\0\0\0\x04moov", &good[40..]].concat();
    put("nothing.mp4", &nothing);
    for (title, status, kind, words) in [
        (
            "old",
            415,
            "codec-not-carried",
            "mp4v.20 is not carried; a transcoder would be needed, and no ladder",
        ),
        ("studio", 415, "codec-not-carried", "transcoder"),
        ("short", 422, "broken-file", "is the file whole?"),
        ("junk", 415, "unknown-file", "none of MP4"),
        ("empty", 415, "unknown-file", "is empty"),
        ("huge", 422, "broken-file", "box 'moov' has"),
        ("nothing", 422, "broken-file", "of 4 bytes"),
        ("never", 404, "stream-unknown", ""),
    ] {
        let got = told(&stage, title);
        assert!(got.0 == status && got.1 == kind && got.2.contains(words), "{title}: {got:?}");
        for name in ["video.mp4", "manifest.mpd"] {
            assert_eq!(stage.get(&format!("/vod/{title}/{name}")).status, status, "{title} {name}");
        }
    }
    let list = http::get(stage.server().gateway(), "/api/streamcore/v1/titles").expect("an answer");
    let list: Value = serde_json::from_slice(&list.body).expect("JSON");
    let of = |name: &str| {
        let items = list["items"].as_array().expect("items");
        items.iter().find(|t| t["name"] == name).cloned().unwrap_or_else(|| panic!("{name} in {list}"))
    };
    assert_eq!((&of("good")["state"], &of("good")["duration_ms"]), (&"ready".into(), &4000.into()));
    assert_eq!((&of("short")["state"], &of("short")["duration_ms"]), (&"refused".into(), &Value::Null));
    assert!(of("old")["notes"][0].as_str().is_some_and(|n| n.contains("mp4v")), "{}", of("old"));
}

#[test]
fn names_do_not_lead_out_of_the_folder() {
    let stage = Stage::new("names");
    let outside = stage.data.join("secret.mp4");
    ffmpeg(&format!("{} -c:v libx264 -preset ultrafast -c:a aac", source(2)), &outside);
    symlink(&outside, stage.file("link.mp4")).expect("links");
    symlink(&stage.data, stage.file("up")).expect("links");
    std::fs::copy(&outside, stage.file(".hidden.mp4")).expect("copies");
    std::fs::copy(&outside, stage.file("good.mp4")).expect("copies");
    symlink(stage.file("good.mp4"), stage.file("alias.mp4")).expect("links");
    for (name, status) in [
        ("good", 200),
        ("alias", 200),
        ("link", 404),
        ("up~secret", 404),
        ("..~secret", 404),
        (".hidden", 404),
        ("~good", 404),
        ("good~", 404),
        ("..%2fsecret", 404),
        ("%2e%2e", 404),
        ("good.mp4", 404),
    ] {
        assert_eq!(stage.get(&format!("/vod/{name}/index.m3u8")).status, status, "{name}");
    }
    let list = http::get(stage.server().gateway(), "/api/streamcore/v1/titles").expect("an answer");
    let list: Value = serde_json::from_slice(&list.body).expect("JSON");
    let names: Vec<&str> =
        list["items"].as_array().expect("items").iter().filter_map(|t| t["name"].as_str()).collect();
    assert_eq!(names, ["alias", "good"]);
}

#[test]
fn a_million_entries_and_a_hundred_readers_stay_within_bounds() {
    let stage = Stage::new("bounds");
    ffmpeg(&format!("{} -c:v libx264 -preset ultrafast -g 30 -c:a aac", source(4)), &stage.file("good.mp4"));
    let good = std::fs::read(stage.file("good.mp4")).expect("a file");
    // A table of sizes that claims four million samples of a byte each, in a file that has as many bytes.
    let at = good.windows(4).position(|w| w == b"stsz").expect("a table");
    let mut bomb = good.clone();
    bomb[at + 8..at + 16].copy_from_slice(&[0, 0, 0, 1, 0, 0x40, 0, 0]);
    bomb.resize(8 << 20, 0);
    std::fs::write(stage.file("bomb.mp4"), &bomb).expect("writes");
    // Thousands of pictures wide: nothing is decoded, so nothing grows.
    let at = good.windows(4).position(|w| w == b"avc1").expect("an entry");
    let mut wide = good;
    wide[at + 28..at + 32].copy_from_slice(&[0xff; 4]);
    std::fs::write(stage.file("wide.mp4"), &wide).expect("writes");
    stage.get("/vod/good/index.m3u8");
    let before = stage.server().rss_kib();
    std::thread::scope(|scope| {
        for nth in 0..100 {
            let stage = &stage;
            scope.spawn(move || {
                let title = ["bomb", "wide"][nth % 2];
                stage.get(&format!("/vod/{title}/v1/index.m3u8?start={nth}"))
            });
        }
    });
    let grown = stage.server().rss_kib().saturating_sub(before);
    assert!(grown < 300 << 10, "{grown} KiB");
    assert_eq!(stage.get("/vod/good/index.m3u8").status, 200);
}
