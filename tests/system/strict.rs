//! Playlists read by a parser that we did not write, hls-parser in its strict mode.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::api::{SOON, multivariant, playlist};
use crate::captions::{QUICK, STREAMS};
use crate::encoder::{SMALL, eventually, ffmpeg, fresh, run};
use crate::live::playable;
use crate::support::{Server, http};

/// What the parser says of playlists: whether all are right, and its words. Multivariant ones are followed.
fn strict(paths: &[String]) -> (bool, String) {
    let script = format!("{}/web/e2e/strict.mjs", env!("CARGO_MANIFEST_DIR"));
    let names: Vec<&str> = std::iter::once(script.as_str()).chain(paths.iter().map(String::as_str)).collect();
    let (ok, out, err) = run("node", &names, Duration::from_secs(60));
    (ok, out + &err)
}

/// Every playlist of a stream, whole and as updates, is right; how many there are.
pub(crate) fn right(server: &Server, key: &str) -> usize {
    let (edge, text) = (server.edge(), multivariant(server, key));
    let media = text.split('"').chain(text.lines()).filter(|uri| uri.ends_with("/index.m3u8"));
    let mut all =
        vec![format!("http://{edge}/{key}/index.m3u8"), format!("http://{edge}/{key}/ts/index.m3u8")];
    all.extend(
        media.flat_map(|uri| ["YES", "v2"].map(|skip| format!("http://{edge}/{key}/{uri}?_HLS_skip={skip}"))),
    );
    let (ok, said) = strict(&all);
    assert!(ok, "{said}");
    said.lines().filter(|line| line.starts_with("right: ")).count()
}

/// Waits until a playlist says that.
fn says(server: &Server, path: &str, what: &str) -> String {
    let found = eventually(SOON * 2, || playlist(server, path).filter(|text| text.contains(what)));
    found
        .unwrap_or_else(|| panic!("{path} never says {what}: {:?}\n{}", playlist(server, path), server.log()))
}

#[test]
fn the_strict_parser_says_what_is_wrong_and_where() {
    let head =
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n";
    let part = "#EXT-X-PART:DURATION=1,URI=\"1.0.m4s\"\n#EXTINF:1,\n1.m4s\n";
    let late = format!(
        "{head}#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3\n#EXT-X-PART-INF:PART-TARGET=1\n{}",
        part.repeat(8)
    );
    for (text, words) in [
        (
            format!("{head}#EXTINF:2.6,\n1.m4s\n"),
            "less than or equal to the target duration\nline 5: #EXTINF:2.6,",
        ),
        (late, "Remove EXT-X-PART tags"),
    ] {
        let mut command = Command::new("node");
        command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/web/e2e/strict.mjs"), "-"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node runs");
        let mut into = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut into, text.as_bytes()).expect("it reads");
        drop(into);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
}

#[test]
fn low_latency_updates_key_frames_transport_stream_breaks_and_texts() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/strict", QUICK);
    playable(&server, "live/strict");
    for (what, body) in [
        ("daterange", r#"{"id":"ad-1","break":{"duration_ms":3000},"attributes":{"X-COM-N":1.5}}"#),
        ("daterange", r#"{"id":"i1","assets":[{"uri":"https://a.example/1.m3u8","duration_ms":5000}]}"#),
        (
            "captions",
            r#"{"cues":[{"duration_ms":1500,"text":"one","language":"en"},{"duration_ms":1500,"text":"eins","language":"de"}]}"#,
        ),
    ] {
        let path = format!("{STREAMS}/live/strict/{what}");
        assert_eq!(http::send(server.gateway(), "POST", &path, body).expect("an answer").status, 201);
    }
    says(&server, "/live/strict/index.m3u8", "s2/index.m3u8");
    let text = says(&server, "/live/strict/v1/index.m3u8", "#EXT-X-CUE-IN");
    assert!(text.contains("#EXT-X-DATERANGE") && text.contains("#EXT-X-PART:"), "{text}");
    // Longer than the skip boundary, so that updates leave something out.
    let update = "/live/strict/v1/index.m3u8?_HLS_skip=YES";
    says(&server, update, "#EXT-X-SKIP:");
    // The list, its transport stream; two tracks and two texts in three forms each; key frames.
    assert_eq!(right(&server, "live/strict"), 2 + 4 * 3 + 1);
}

#[test]
fn gaps_another_run_and_the_end() {
    let data = fresh(&format!("strict-{}", std::process::id()));
    let env = [("NEXUS__ORIGIN__STREAM__RECONNECT_S", "4")];
    let mut killed = Server::in_folder(&data, &env);
    let encoder = ffmpeg(killed.rtmp(), "live/gaps", SMALL);
    playable(&killed, "live/gaps");
    killed.terminate("KILL");
    drop((killed, encoder));
    let server = Server::in_folder(&data, &env);
    let encoder = ffmpeg(server.rtmp(), "live/gaps", SMALL);
    let text = says(&server, "/live/gaps/v1/index.m3u8", "#EXT-X-GAP");
    assert!(text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    says(&server, "/live/gaps/ts/index.m3u8", "#EXTINF");
    right(&server, "live/gaps");
    drop(encoder);
    says(&server, "/live/gaps/a1/index.m3u8", "#EXT-X-ENDLIST");
    right(&server, "live/gaps");
    let _ = std::fs::remove_dir_all(&data);
}
