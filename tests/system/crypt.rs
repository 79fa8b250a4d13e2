//! Encrypted streams: who has the key gets what was sent, who has not gets nothing, by whatever door.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

mod titles;
mod ts;

use crate::api::{SOON, multivariant, playlist, refusal, stream, until};
use crate::encoder::{Process, SMALL, eventually, ffmpeg, ffmpeg_new, run, scratch};
use crate::support::ffmpeg::{Kind, clip};
use crate::support::{Server, http};

const ID: &str = "00112233445566778899aabbccddeeff";
const KEY: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
const ID_2: &str = "ffeeddccbbaa99887766554433221100";
const KEY_2: &str = "f9e8d7c6b5a493827160504f3e2d1c0b";

/// A folder with a file of keys, and settings for streams under `live/`.
fn settings(name: &str, more: &str) -> (PathBuf, String) {
    let folder = scratch(&format!("crypt-{name}-{}", std::process::id()));
    let file = folder.join("keys");
    std::fs::write(&file, format!("{ID}:{KEY}\n{ID_2}:{KEY_2}\n")).expect("a file");
    let text = format!(
        "[origin.stream]\nreconnect_s = 1\n[origin.store]\nkeep_s = 3600\n[[origin.encryption]]\nkeys = \"static\"\nfile = {file:?}\n{more}\n"
    );
    (folder, text)
}

fn send(server: &Server, clip: &Path, key: &str) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-i"]).arg(clip).args(["-c", "copy", "-f", "flv"]);
    Process::start(command.arg(format!("rtmp://{}/{key}", server.rtmp())))
}

fn get(server: &Server, path: &str) -> http::Reply {
    http::get(server.edge(), path).expect("an answer")
}

/// Segments of a playlist with the header before each.
fn segments(playlist: &str) -> Vec<(String, String)> {
    let (mut header, mut all) = (String::new(), Vec::new());
    for line in playlist.lines() {
        if let Some(uri) = line.strip_prefix("#EXT-X-MAP:URI=\"") {
            uri.trim_end_matches('"').clone_into(&mut header);
        } else if line.ends_with(".m4s") && !line.starts_with('#') {
            all.push((header.clone(), line.to_owned()));
        }
    }
    all
}

/// Hashes of the packets of a file, opened with a key.
fn packets(tool: &str, file: &Path, key: Option<&str>) -> Vec<String> {
    let file = file.to_str().expect("a path");
    let mut args = vec!["-v", "error"];
    args.extend(key.iter().flat_map(|key| ["-decryption_key", key]));
    args.extend(["-i", file, "-c", "copy", "-f", "framehash", "-"]);
    let (ok, out, err) = run(tool, &args, Duration::from_secs(40));
    assert!(ok, "{file}: {err}");
    let rows = out.lines().filter(|l| !l.starts_with('#'));
    rows.filter_map(|l| l.split(',').nth(5).map(|hash| hash.trim().to_owned())).collect()
}

/// Packets of one track of a clip.
fn sent(clip: &Path, track: &str) -> Vec<String> {
    let args = [
        "-v",
        "error",
        "-i",
        clip.to_str().expect("a path"),
        "-map",
        track,
        "-c",
        "copy",
        "-f",
        "framehash",
        "-",
    ];
    let (ok, out, err) = run("ffmpeg", &args, Duration::from_secs(40));
    assert!(ok, "{err}");
    let rows = out.lines().filter(|l| !l.starts_with('#'));
    rows.filter_map(|l| l.split(',').nth(5).map(|hash| hash.trim().to_owned())).collect()
}

/// `got` lies in `all`, whole and in order; sound before the first picture and what was not fetched is missing.
fn lies_in(got: &[String], all: &[String]) -> bool {
    !got.is_empty() && all.windows(got.len()).any(|window| window == got)
}

/// The file decrypted by shaka-packager.
fn unpacked(file: &Path, track: &str, key: &str) -> PathBuf {
    let (open, kind) =
        (file.with_extension("open.mp4"), if track.starts_with('v') { "video" } else { "audio" });
    let id = if key == KEY { ID } else { ID_2 };
    let stream = format!("in={},stream={kind},output={}", file.display(), open.display());
    let keys = format!("label=:key_id={id}:key={key}");
    let args = [&stream, "--enable_raw_key_decryption", "--keys", &keys];
    let (ok, _, err) = run("shaka-packager", &args.map(|a| -> &str { a }), SOON);
    assert!(ok, "{err}");
    open
}

fn new_tool() -> String {
    ffmpeg_new().into_string().expect("a path")
}

fn key_of(header: &str, playlist: &str) -> &'static str {
    let before = playlist.split(&format!("#EXT-X-MAP:URI=\"{header}\"")).next().expect("text");
    let of = |id: &str| before.rfind(id).unwrap_or(0);
    if of(ID) >= of(ID_2) { KEY } else { KEY_2 }
}

/// Opens every listed segment with the key that the playlist names, and compares with what was sent.
fn check_track(
    server: &Server,
    folder: &Path,
    stream: &str,
    query: &str,
    track: &str,
    all: &[String],
) -> usize {
    let text = playlist(server, &format!("/live/{stream}/{track}/index.m3u8{query}")).expect("a playlist");
    let mut runs: Vec<(String, Vec<u8>, u32)> = Vec::new();
    for (header, segment) in segments(&text) {
        let fetch = |name: &str| get(server, &format!("/live/{stream}/{track}/{name}")).body;
        if runs.last().is_none_or(|(h, _, _)| *h != header) {
            runs.push((header.clone(), fetch(&header), 0));
        }
        let (_, bytes, count) = runs.last_mut().expect("one");
        bytes.extend(fetch(&segment));
        *count += 1;
    }
    for (nth, (header, bytes, _)) in runs.iter().enumerate() {
        let file = folder.join(format!("{stream}-{track}-{nth}.mp4"));
        std::fs::write(&file, bytes).expect("a file");
        let key = key_of(header, &text);
        let opened = packets(&new_tool(), &file, Some(key));
        assert!(
            lies_in(&opened, all),
            "{stream} {track} {header}: {} packets are not those sent",
            opened.len()
        );
        let by_packager = unpacked(&file, track, key);
        assert!(
            lies_in(&packets("ffmpeg", &by_packager, None), all),
            "{stream} {track} {header} by shaka-packager"
        );
        let closed = packets(&new_tool(), &file, None);
        assert_eq!(closed.len(), opened.len());
        let clear = closed.iter().filter(|hash| all.contains(hash)).count();
        // Small slices are clear by rule; what is worth seeing is not.
        assert!(
            clear * 2 < closed.len() && !all.contains(&closed[0]),
            "{stream} {track}: {clear} of {}",
            closed.len()
        );
        for wrong in [KEY, KEY_2].into_iter().filter(|k| *k != key) {
            let other = packets(&new_tool(), &file, Some(wrong));
            assert!(!lies_in(&other, all), "{stream} {track} opens with another key");
        }
    }
    runs.len()
}

/// The oldest ffmpeg that we know reads a part alone; of several it takes the first one's IVs for all.
fn check_part(server: &Server, folder: &Path, stream: &str, track: &str, all: &[String]) {
    let text = playlist(server, &format!("/live/{stream}/{track}/index.m3u8")).expect("a playlist");
    let (header, segment) = segments(&text).pop().expect("a segment");
    let name = segment.replace(".m4s", ".0.m4s");
    let fetch = |name: &str| get(server, &format!("/live/{stream}/{track}/{name}")).body;
    let file = folder.join(format!("{stream}-{track}-part.mp4"));
    std::fs::write(&file, [fetch(&header), fetch(&name)].concat()).expect("a file");
    let opened = packets("ffmpeg", &file, Some(KEY));
    let places: Vec<_> = opened.iter().map(|hash| all.iter().position(|h| h == hash)).collect();
    assert!(lies_in(&opened, all), "{stream} {track} {name}: {places:?}");
    let probe = ["-v", "trace", file.to_str().expect("a path")];
    let (_, _, boxes) = run("ffprobe", &probe, SOON);
    for name in ["sinf", "schm", "tenc", "pssh"] {
        assert!(boxes.contains(&format!("type:'{name}'")), "{name}");
    }
}

/// Whether these bytes are anywhere below a folder.
fn holds(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        std::fs::read(&path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|w| w == needle))
    })
}

#[test]
fn who_has_the_key_gets_every_packet_in_either_scheme() {
    let (folder, mut text) = settings("open", "streams = \"live/cbcs\"\nclear_keys = \"open\"");
    let file = folder.join("keys");
    text.push_str(&format!(
        "[[origin.encryption]]\nkeys = \"static\"\nfile = {file:?}\nstreams = \"live/cenc\"\nscheme = \"cenc\"\n"
    ));
    let server = Server::configured(&text);
    let clip = clip(14, Kind::Bframes);
    let (video, audio) = (sent(&clip, "0:v"), sent(&clip, "0:a"));
    let _sending = ["live/cbcs", "live/cenc"].map(|key| send(&server, &clip, key));
    for (name, method) in [("cbcs", "SAMPLE-AES"), ("cenc", "SAMPLE-AES-CTR")] {
        let key = format!("live/{name}");
        let top = multivariant(&server, &key);
        assert!(top.contains(&format!("#EXT-X-SESSION-KEY:METHOD={method},")), "{top}");
        let long = || {
            let text = playlist(&server, &format!("/{key}/v1/index.m3u8"))?;
            (segments(&text).len() > 2).then_some(text)
        };
        let text = eventually(SOON, long).expect("segments");
        assert!(text.contains(&format!("#EXT-X-KEY:METHOD={method},")), "{text}");
        check_track(&server, &folder, name, "", "v1", &video);
        check_track(&server, &folder, name, "", "a1", &audio);
        check_part(&server, &folder, name, "v1", &video);
        check_part(&server, &folder, name, "a1", &audio);
        let manifest = String::from_utf8(get(&server, &format!("/{key}/manifest.mpd")).body).expect("text");
        let common = format!("value=\"{name}\" cenc:default_KID=\"00112233-4455-6677-8899-aabbccddeeff\"");
        assert_eq!(manifest.matches(&common).count(), 2, "{manifest}");
    }
    let raw = get(&server, &format!("/live/cbcs/keys/{ID}.bin"));
    assert_eq!((raw.status, raw.body.len(), raw.header("cache-control")), (200, 16, Some("no-store")));
    let licence = http::send(server.edge(), "POST", "/live/cbcs/keys/licence.json", "{\"kids\":[]}")
        .expect("an answer");
    let licence: Value = serde_json::from_slice(&licence.body).expect("JSON");
    assert_eq!(licence["keys"][0]["k"], "ChssPU5fYHGCk6S1xtfo-Q");
    for name in [&format!("{ID}.bin"), "licence.json"] {
        assert_eq!(get(&server, &format!("/live/cenc/keys/{name}")).status, 404, "keys are not open there");
    }
    std::fs::remove_dir_all(folder).expect("removes");
}

#[test]
fn nothing_of_an_encrypted_stream_leaves_in_the_clear() {
    let (folder, mut text) = settings("exits", "streams = \"live/*\"\nts = \"off\"");
    let target = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    text.push_str(&format!("[[origin.targets]]\nstream = \"live/shut\"\nurl = \"rtmp://{target}/live/x\"\n"));
    let data = folder.join("data");
    let server = Server::configured_in(&data, &text);
    let _encoder = ffmpeg(server.rtmp(), "live/shut", SMALL);
    multivariant(&server, "live/shut");
    let stored = || playlist(&server, "/live/shut/v1/index.m3u8?start=-60").filter(|t| t.contains("#EXTINF"));
    eventually(SOON, stored).expect("something stored");
    let newest =
        segments(&playlist(&server, "/live/shut/v1/index.m3u8").expect("a playlist")).pop().expect("one").1;
    let ts = newest.replace("m4s", "ts");
    for path in ["video.mp4", "video.mp4?start=-60", "v1/init-0.mp4", "ts/index.m3u8", &format!("ts/{ts}")] {
        let reply = get(&server, &format!("/live/shut/{path}"));
        assert_eq!(reply.status, 404, "{path}: {}", String::from_utf8_lossy(&reply.body));
    }
    let reason = String::from_utf8(get(&server, "/live/shut/ts/index.m3u8").body).expect("text");
    assert!(reason.contains("encrypted stream cannot"), "{reason}");
    assert!(get(&server, "/live/shut/thumbnail.jpg").status >= 400);
    assert_eq!(get(&server, &format!("/live/shut/keys/{ID}.bin")).status, 404);
    let rtmp = format!("rtmp://{}/live/shut", server.rtmp());
    let srt = format!("srt://{}?streamid=%23!::r=live/shut,m=request", server.srt());
    for url in [&rtmp, &srt] {
        let (ok, _, err) = run("ffprobe", &["-v", "error", "-show_streams", url], SOON);
        assert!(!ok, "{url} was played: {err}");
        refusal(&server, "not given out in the clear");
    }
    let targets =
        http::get(server.gateway(), "/api/streamcore/v1/streams/live%2Fshut/targets").expect("an answer");
    let said = String::from_utf8_lossy(&targets.body).into_owned();
    assert!(said.contains("clear_targets") || server.wait_for_log("clear_targets", SOON), "{said}");
    // What is on the disk is what went out, and the key is nowhere.
    let raw: Vec<u8> =
        (0..16).map(|n| u8::from_str_radix(&KEY[n * 2..n * 2 + 2], 16).expect("hex")).collect();
    for needle in [KEY.as_bytes(), &raw] {
        assert!(!holds(&data, needle), "the key is on the disk");
    }
    let status = http::get(server.gateway(), "/api/streamcore/v1/streams").expect("an answer").body;
    assert!(!String::from_utf8_lossy(&status).contains(KEY) && !server.log().contains(KEY));
    drop(server);
    std::fs::remove_dir_all(folder).expect("removes");
}

#[test]
fn a_target_that_may_gets_the_stream_in_the_clear() {
    let there = Server::start(&[]);
    let (folder, mut text) =
        settings("target", "streams = \"live/sent\"\nclear_targets = true\nrotate_s = 10");
    text.push_str(&format!(
        "[[origin.targets]]\nstream = \"live/sent\"\nurl = \"rtmp://{}/live/got\"\n",
        there.rtmp()
    ));
    let server = Server::configured(&text);
    let _encoder = ffmpeg(server.rtmp(), "live/sent", SMALL);
    multivariant(&there, "live/got");
    let decoded = crate::encoder::decode(&format!("http://{}/live/got/index.m3u8", there.edge()), 5);
    assert!(decoded.ok && decoded.complaints.is_empty() && decoded.video > 100, "{decoded:?}");
    std::fs::remove_dir_all(folder).expect("removes");
}

#[test]
fn keys_take_turns_and_the_past_knows_which_was_whose_after_a_restart() {
    let (folder, text) = settings("turns", "streams = \"live/*\"\nclear_keys = \"open\"\nrotate_s = 10");
    let data = folder.join("data");
    let clip = clip(24, Kind::Bframes);
    let (video, audio) = (sent(&clip, "0:v"), sent(&clip, "0:a"));
    let mut server = Server::configured_in(&data, &text);
    let sending = send(&server, &clip, "live/turns");
    multivariant(&server, "live/turns");
    let past = "?start=-3600";
    // Of a stretch with an end, only what is stored is listed.
    let turned = || {
        let keys = |track: &str| {
            let path = format!("/live/turns/{track}/index.m3u8{past}&end=4000000000");
            playlist(&server, &path).map_or(0, |text| text.matches("#EXT-X-MAP").count())
        };
        (keys("v1") >= 3 && keys("a1") >= 3).then_some(())
    };
    eventually(Duration::from_secs(40), turned).unwrap_or_else(|| panic!("no two turns: {}", server.log()));
    server.terminate("KILL");
    drop((sending, server));
    let server = Server::configured_in(&data, &text);
    for (track, all) in [("v1", &video), ("a1", &audio)] {
        let runs = check_track(&server, &folder, "turns", past, track, all);
        assert!(runs >= 3, "{track}: {runs}");
    }
    let manifest =
        String::from_utf8(get(&server, &format!("/live/turns/manifest.mpd{past}")).body).expect("text");
    assert!(manifest.matches("<Period").count() >= 3, "{manifest}");
    assert_eq!(get(&server, &format!("/live/turns/keys/{ID}.bin")).status, 200);
    assert!(
        get(&server, &format!("/live/turns/video.mp4{past}")).status >= 400,
        "one MP4 would be of several keys"
    );
    drop(server);
    std::fs::remove_dir_all(folder).expect("removes");
}

/// `web/e2e/players.mjs` with licences: how each player fared. hls.js is not asked: it takes `KEYFORMAT="identity"` for
/// keys that it decrypts with by itself, which it does in MPEG-TS only, and a ClearKey of its own format Shaka does not
/// know.
fn watch(url: &str, seconds: u32) -> serde_json::Map<String, Value> {
    watch_with(url, seconds, &["--clearkey", "--players=shaka-hls,shaka-dash,dashjs"])
}

fn watch_with(url: &str, seconds: u32, how: &[&str]) -> serde_json::Map<String, Value> {
    let script = format!("{}/web/e2e/players.mjs", env!("CARGO_MANIFEST_DIR"));
    let out = Command::new("node")
        .args([&script, url, &format!("--seconds={seconds}")])
        .args(how)
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    let text = String::from_utf8_lossy(&out.stdout);
    let line = text.lines().find(|l| l.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&out.stderr))))
        .expect("JSON")
}

#[test]
fn players_play_on_over_a_change_of_key_and_out_of_the_past() {
    let (folder, text) = settings("players", "streams = \"live/*\"\nclear_keys = \"open\"\nrotate_s = 10");
    let server = Server::configured(&text);
    let encoder = ffmpeg(server.rtmp(), "live/watched", SMALL);
    multivariant(&server, "live/watched");
    let live = format!("http://{}/live/watched", server.edge());
    for (player, fared) in watch(&live, 14) {
        eprintln!("live {player} {fared}");
        assert!(fared["alive"] == true && fared["reopened"] == 0, "{player}: {fared}\n{}", server.log());
    }
    let doctor = |path: &str| {
        let url = format!("{live}/{path}");
        let nexus = crate::support::server::nexus_bin();
        let args = ["doctor", &url, "--seconds", "12", "--format", "json"];
        let (_, out, err) = run(nexus.to_str().expect("a path"), &args, Duration::from_secs(60));
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
        report.to_string()
    };
    for path in ["index.m3u8", "manifest.mpd"] {
        let report = doctor(path);
        assert!(!report.contains("\"error\""), "{path}: {report}");
    }
    drop(encoder);
    until(&server, "live/watched", "ended", |s| s["state"] == "ended");
    for (player, fared) in watch(&format!("{live}?start=-3600"), 8) {
        eprintln!("past {player} {fared}");
        let clean = fared["fatal"].as_array().is_some_and(Vec::is_empty);
        assert!(clean && fared["alive"] == true, "{player}: {fared}");
    }
    std::fs::remove_dir_all(folder).expect("removes");
}

/// A service of keys: answers what it is told to, and notes what it was asked.
struct KeyService {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl KeyService {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let service = Self {
            address: listener.local_addr().expect("an address"),
            answer: Arc::default(),
            asked: Arc::default(),
        };
        let (answer, asked) = (service.answer.clone(), service.asked.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let mut lines = BufReader::new(&socket).lines().map_while(Result::ok);
                asked.lock().expect("a list").push(lines.next().unwrap_or_default());
                lines.find(String::is_empty);
                let (status, body) = match answer.lock().expect("an answer").clone() {
                    Some(body) => ("200 OK", body),
                    None => ("503 Service Unavailable", String::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = (&socket).write_all((head + &body).as_bytes());
            }
        });
        service
    }

    fn answer(&self, body: Option<&str>) {
        *self.answer.lock().expect("an answer") = body.map(str::to_owned);
    }
}

#[test]
fn without_a_key_nothing_is_shown_and_a_running_stream_outlives_its_key_service() {
    let service = KeyService::start();
    let text = format!(
        "[[origin.encryption]]\nstreams = \"live/*\"\nkeys = \"http\"\nurl = \"http://{}/k?for=me\"\nrotate_s = 10\n",
        service.address
    );
    let server = Server::configured(&text);
    let _encoder = ffmpeg(server.rtmp(), "live/asked", SMALL);
    let says = |s: &Value| s["hints"][0].as_str().is_some_and(|h| h.contains("no key yet"));
    until(&server, "live/asked", "waiting for its key", says);
    assert!(server.wait_for_log("it is not shown", SOON), "{}", server.log());
    assert!(playlist(&server, "/live/asked/v1/index.m3u8").is_none());
    service.answer(Some(&format!("{{\"key_id\":\"{ID}\",\"key\":\"{KEY}\"}}")));
    let top = multivariant(&server, "live/asked");
    assert!(top.contains("#EXT-X-SESSION-KEY"), "{top}");
    let asked = service.asked.lock().expect("a list").first().cloned().expect("a question");
    assert!(asked.starts_with("GET /k?for=me&stream=live%2Fasked&period="), "{asked}");
    // It goes away: the next period has no key of its own.
    service.answer(None);
    assert!(
        server.wait_for_log("it goes on with the key before", Duration::from_secs(30)),
        "{}",
        server.log()
    );
    let before = playlist(&server, "/live/asked/v1/index.m3u8").expect("a playlist");
    let goes_on =
        || playlist(&server, "/live/asked/v1/index.m3u8").filter(|t| !t.contains(&segments(&before)[0].1));
    let after = eventually(Duration::from_secs(30), goes_on).expect("it goes on");
    assert!(after.contains("#EXT-X-KEY:METHOD=SAMPLE-AES") && !after.contains("METHOD=NONE"), "{after}");
    assert!(stream(&server, "live/asked").is_some_and(|s| s["state"] == "live"));
    assert!(!server.log().contains(KEY));
}

#[test]
fn a_cpix_document_tells_playlists_and_manifests_of_every_key_system() {
    let base64 = nx_crypt::base64;
    let raw: Vec<u8> =
        (0..16).map(|n| u8::from_str_radix(&KEY[n * 2..n * 2 + 2], 16).expect("hex")).collect();
    let kid = "00112233-4455-6677-8899-aabbccddeeff";
    let widevine = "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed";
    let mut pssh = vec![0, 0, 0, 34];
    pssh.extend(b"pssh\0\0\0\0");
    pssh.extend([
        0xed, 0xef, 0x8b, 0xa9, 0x79, 0xd6, 0x4a, 0xce, 0xa3, 0xc8, 0x27, 0xdc, 0xd5, 0x1d, 0x21, 0xed,
    ]);
    pssh.extend([0, 0, 0, 2, 0x48, 0x01]);
    let line = format!(
        "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"data:text/plain;base64,{}\",KEYFORMAT=\"urn:uuid:{widevine}\",KEYFORMATVERSIONS=\"1\"",
        base64(&pssh)
    );
    let document = format!(
        "<?xml version=\"1.0\"?><cpix:CPIX xmlns:cpix=\"urn:dashif:org:cpix\" xmlns:pskc=\"urn:ietf:params:xml:ns:keyprov:pskc\">\
         <cpix:ContentKeyList><cpix:ContentKey kid=\"{kid}\" commonEncryptionScheme=\"cbcs\"><cpix:Data><pskc:Secret>\
         <pskc:PlainValue>{}</pskc:PlainValue></pskc:Secret></cpix:Data></cpix:ContentKey></cpix:ContentKeyList>\
         <cpix:DRMSystemList><cpix:DRMSystem kid=\"{kid}\" systemId=\"{widevine}\"><cpix:PSSH>{}</cpix:PSSH>\
         <cpix:HLSSignalingData playlist=\"media\">{}</cpix:HLSSignalingData></cpix:DRMSystem>\
         <cpix:DRMSystem kid=\"{kid}\" systemId=\"94ce86fb-07ff-4f43-adb8-93d2fa968ca2\">\
         <cpix:URIExtXKey>{}</cpix:URIExtXKey></cpix:DRMSystem></cpix:DRMSystemList></cpix:CPIX>",
        base64(&raw),
        base64(&pssh),
        base64(line.as_bytes()),
        base64(b"skd://asset-7")
    );
    let service = KeyService::start();
    service.answer(Some(&document));
    let text = format!(
        "[[origin.encryption]]\nstreams = \"live/*\"\nkeys = \"cpix\"\nurl = \"http://{}/\"\n",
        service.address
    );
    let server = Server::configured(&text);
    let _encoder = ffmpeg(server.rtmp(), "live/cpix", SMALL);
    multivariant(&server, "live/cpix");
    let list = playlist(&server, "/live/cpix/v1/index.m3u8").expect("a playlist");
    for want in [
        format!("{line},KEYID=0x{ID}\n"),
        "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://asset-7\",KEYFORMAT=\"com.apple.streamingkeydelivery\",KEYFORMATVERSIONS=\"1\"\n".into(),
    ] {
        assert!(list.contains(&want), "{want} is missing in {list}");
    }
    let manifest = String::from_utf8(get(&server, "/live/cpix/manifest.mpd").body).expect("text");
    assert!(
        manifest.contains(&format!("schemeIdUri=\"urn:uuid:{widevine}\" value=\"Widevine\"")),
        "{manifest}"
    );
    assert!(manifest.contains(&format!("<cenc:pssh>{}</cenc:pssh>", base64(&pssh))), "{manifest}");
    let (header, _) = segments(&list).pop().expect("a segment");
    let header = get(&server, &format!("/live/cpix/v1/{header}")).body;
    assert!(header.windows(pssh.len()).any(|w| w == pssh));
}
