//! Resumable uploads, by a client that we did not write and by hand.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::Value;

use super::*;
use crate::encoder::eventually;

const UPLOADS: &str = "/api/streamcore/v1/uploads";
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const PART: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// Python with tuspy: `NEXUS_TUS_PYTHON`, or the one that `make test` puts on the path.
fn tus_python() -> std::ffi::OsString {
    std::env::var_os("NEXUS_TUS_PYTHON").unwrap_or_else(|| "tus-python".into())
}

/// Sends a file in chunks; begins or goes on at what `url.txt` says; ends after so many chunks if told to.
const SEND: &str = "
import os, sys
from tusclient import client
base, path, note, chunk, limit, name = sys.argv[1:7]
tus = client.TusClient(base + '/api/streamcore/v1/uploads')
url = open(note).read() if os.path.exists(note) else None
if url: url = base + url[url.index('/api/'):]
up = tus.uploader(path, chunk_size=int(chunk), metadata={'filename': name}, upload_checksum=True, url=url)
for _ in range(int(limit)):
    if up.offset >= up.get_file_size(): break
    up.upload_chunk()
    open(note, 'w').write(up.url)
    print(up.offset, flush=True)
";

fn tuspy(stage: &Stage, file: &Path, note: &Path, chunk: u32, limit: u32, name: &str) -> (bool, u64, String) {
    let base = format!("http://{}", stage.server().gateway());
    let (file, note) = (file.to_str().expect("a path"), note.to_str().expect("a path"));
    let python = tus_python();
    let args = ["-c", SEND, &base, file, note, &chunk.to_string(), &limit.to_string(), name];
    let (ok, out, err) = run(python.to_str().expect("a name"), &args, LONG);
    (ok, out.lines().last().and_then(|l| l.parse().ok()).unwrap_or(0), err)
}

fn clip(stage: &Stage) -> PathBuf {
    let file = stage.data.join("clip.mp4");
    ffmpeg(&format!("{} -c:v libx264 -b:v 3M -preset ultrafast -g 60 -c:a aac", source(8)), &file);
    file
}

#[test]
fn an_upload_outlives_its_client_and_the_server() {
    let mut stage = Stage::new("upload");
    let (file, note) = (clip(&stage), stage.data.join("url.txt"));
    let size = std::fs::metadata(&file).expect("a file").len();
    let (ok, sent, err) = tuspy(&stage, &file, &note, 100_000, 3, "My Show.mp4");
    assert!(ok && sent == 300_000, "{sent} {err}");
    let mut reached = sent;
    for _ in 0..3 {
        // In the middle of a chunk: what was told before is there, whatever became of this one.
        let url = std::fs::read_to_string(&note).expect("a URL");
        let path = &url[url.find("/api/").expect("a path")..];
        let mut socket = TcpStream::connect(stage.server().gateway()).expect("connects");
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: localhost\r\n{}: {}\r\n{}: {}\r\nupload-offset: {reached}\r\ncontent-length: 500000\r\n\r\n",
            TUS.0, TUS.1, PART.0, PART.1
        );
        socket.write_all(head.as_bytes()).expect("sends");
        let bytes = std::fs::read(&file).expect("a file");
        let from = usize::try_from(reached).expect("small");
        socket.write_all(&bytes[from..from + 50_000]).expect("sends");
        let mut server = stage.server.take().expect("it runs");
        server.terminate("KILL");
        drop(server);
        stage.server = Some(Server::in_folder(&stage.data, &[]));
        let reply = http::Client::connect(stage.server().gateway()).expect("connects");
        let reply = { reply }.ask("HEAD", path, &[TUS], b"").expect("an answer");
        let told: u64 = reply.header("upload-offset").and_then(|o| o.parse().ok()).expect("an offset");
        assert!((reached..=reached + 50_000).contains(&told), "{told} of {reached}");
        let (ok, sent, err) = tuspy(&stage, &file, &note, 100_000, 2, "My Show.mp4");
        assert!(ok && sent == told + 200_000, "{sent} {err}");
        reached = sent;
    }
    let (ok, sent, err) = tuspy(&stage, &file, &note, 300_000, 1_000, "My Show.mp4");
    assert!(ok && sent == size, "{sent} {err}");
    let there = std::fs::read(stage.file("My-Show.mp4")).expect("a title");
    assert!(there == std::fs::read(&file).expect("a file"), "byte by byte");
    same(&stage, "My-Show.mp4");
    // Gone again, file and all.
    let removed = http::send(stage.server().gateway(), "DELETE", "/api/streamcore/v1/titles/My-Show", "{}");
    assert_eq!(removed.expect("an answer").status, 204);
    assert!(!stage.file("My-Show.mp4").exists());
    assert_eq!(stage.get("/vod/My-Show/index.m3u8").status, 404);
}

/// One request; status, one of its headers, its body.
fn ask(stage: &Stage, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> http::Reply {
    let mut client = http::Client::connect(stage.server().gateway()).expect("connects");
    client.ask(method, path, &[headers, &[TUS]].concat(), body).expect("an answer")
}

fn begin(stage: &Stage, bytes: usize, name: &str) -> http::Reply {
    use base64::Engine as _;
    let name = base64::engine::general_purpose::STANDARD.encode(name);
    let (bytes, metadata) = (bytes.to_string(), format!("filetype dmlkZW8vbXA0,filename {name}"));
    ask(stage, "POST", UPLOADS, &[("upload-length", &bytes), ("upload-metadata", &metadata)], b"")
}

#[test]
fn what_is_no_title_is_refused_and_removed() {
    let stage = Stage::new("refused");
    let junk = vec![0x5a; 5_000];
    let begun = begin(&stage, junk.len(), "junk.mp4");
    assert_eq!(begun.status, 201, "{:?}", String::from_utf8_lossy(&begun.body));
    let place = begun.header("location").expect("a place").to_owned();
    let reply = ask(&stage, "PATCH", &place, &[PART, ("upload-offset", "0")], &junk);
    let problem: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert!(reply.status == 422, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("none of MP4")), "{problem}");
    assert_eq!(ask(&stage, "HEAD", &place, &[], b"").status, 404);
    let left = || std::fs::read_dir(stage.file(".uploads")).map_or(0, Iterator::count);
    assert_eq!(left(), 0, "nothing is left of it");
    assert!(!stage.file("junk.mp4").exists());
    for (bytes, name, status) in [
        (10, "clip.exe", 400),
        (10, "", 400),
        (0, "clip.mp4", 400),
        (usize::MAX >> 1, "clip.mp4", 413),
        (10, "../../etc/passwd.mp4", 201),
        // It would be the same title.
        (10, "passwd.mov", 409),
        (10, "passwd.mp4", 409),
    ] {
        let reply = begin(&stage, bytes, name);
        assert_eq!(reply.status, status, "{name} {}", String::from_utf8_lossy(&reply.body));
    }
    assert!(!stage.data.join("passwd.mp4").exists() && left() == 2, "{}", left());
}

#[test]
fn the_protocol_is_kept_to() {
    let stage = Stage::new("protocol");
    let file = std::fs::read(clip(&stage)).expect("a file");
    let place = begin(&stage, file.len(), "show.mp4").header("location").expect("a place").to_owned();
    let patch = |offset: &str, more: &[(&str, &str)], body: &[u8]| {
        ask(&stage, "PATCH", &place, &[&[PART, ("upload-offset", offset)], more].concat(), body)
    };
    let sum = |text: &str| patch("0", &[("upload-checksum", text)], b"hello");
    // The first is of other bytes; then one by each algorithm, of `hello`, each taken back by what follows it.
    for (text, status) in [
        ("sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=", 460),
        ("md5 XUFAKrxLKna5cZ2REBfFkg==", 400),
        ("crc32 AAAAAA==", 460),
    ] {
        let reply = sum(text);
        assert_eq!(reply.status, status, "{text}: {}", String::from_utf8_lossy(&reply.body));
        let head = ask(&stage, "HEAD", &place, &[], b"");
        assert_eq!(head.header("upload-offset"), Some("0"), "nothing of it counts");
    }
    assert_eq!(patch("7", &[], b"x").status, 409);
    assert_eq!(patch("-1", &[], b"x").status, 400);
    let plain = ask(&stage, "PATCH", &place, &[("upload-offset", "0")], b"x");
    assert_eq!(plain.status, 415);
    let much = vec![0; file.len() + 1];
    assert_eq!(patch("0", &[], &much).status, 413);
    let mut client = http::Client::connect(stage.server().gateway()).expect("connects");
    let old = client.ask("HEAD", &place, &[("tus-resumable", "0.2.2")], b"").expect("an answer");
    assert_eq!((old.status, old.header("tus-version")), (412, Some("1.0.0")));
    assert_eq!(ask(&stage, "HEAD", &format!("{UPLOADS}/never"), &[], b"").status, 404);
    let foreign = ask(&stage, "POST", UPLOADS, &[("origin", "http://evil.example")], b"");
    assert_eq!(foreign.status, 403);
    // Two at a time: the second is told to wait.
    let mut slow = TcpStream::connect(stage.server().gateway()).expect("connects");
    let length = file.len();
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nhost: localhost\r\n{}: {}\r\n{}: {}\r\nupload-offset: 0\r\ncontent-length: {length}\r\n\r\nabc",
        TUS.0, TUS.1, PART.0, PART.1
    );
    slow.write_all(head.as_bytes()).expect("sends");
    // At a wrong offset, so that it is not this one that is in the way of the other.
    let locked = eventually(SOON, || Some(patch("1", &[], b"")).filter(|r| r.status == 423));
    assert!(locked.is_some(), "one at a time");
    assert_eq!(ask(&stage, "DELETE", &place, &[], b"").status, 423);
    drop(slow);
    // What came of it before it broke off counts.
    let three =
        || Some(ask(&stage, "HEAD", &place, &[], b"")).filter(|h| h.header("upload-offset") == Some("3"));
    let head = eventually(SOON, three).expect("three bytes");
    assert_eq!(head.header("upload-length"), Some(length.to_string().as_str()));
    assert!(head.header("upload-expires").is_some() && head.header("cache-control") == Some("no-store"));
    assert_eq!(ask(&stage, "DELETE", &place, &[], b"").status, 204);
    assert_eq!(ask(&stage, "HEAD", &place, &[], b"").status, 404);
    // All in one, method and all hidden behind POST.
    let name = "filename c2hvdy5tcDQ=";
    let all = [PART, ("upload-length", &length.to_string()), ("upload-metadata", name)];
    let made = ask(&stage, "POST", UPLOADS, &all, &file);
    assert_eq!((made.status, made.header("upload-offset")), (201, Some(length.to_string().as_str())));
    let place = made.header("location").expect("a place");
    let over = [("x-http-method-override", "HEAD")];
    let head = ask(&stage, "POST", place, &over, b"");
    assert_eq!((head.status, head.header("upload-offset")), (200, Some(length.to_string().as_str())));
    same(&stage, "show.mp4");
}
