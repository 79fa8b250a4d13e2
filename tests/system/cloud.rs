//! The past in object storage, over a bad line: nothing that was confirmed is lost, and live streams never notice.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::api::{SOON, multivariant, playlist};
use crate::encoder::{SMALL, decode, eventually, ffmpeg, fresh};
use crate::store::{assert_same, listed, over, packets, send};
use crate::support::ffmpeg::{Kind, clip};
use crate::support::proxy::{Line, Proxy};
use crate::support::{Server, http};

/// Until all is uploaded, after the longest pause between two tries.
const UPLOADED: Duration = Duration::from_secs(80);

/// moto's S3, with a bucket, behind a line; and a data folder.
pub(crate) struct Far {
    moto: Child,
    pub(crate) line: Proxy,
    data: PathBuf,
    url: String,
}

impl Far {
    pub(crate) fn start(name: &str) -> Self {
        let mut command = Command::new("moto_server");
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut moto = command.spawn().unwrap_or_else(|e| panic!("moto_server: {e}; make tools installs it"));
        let mut lines = BufReader::new(moto.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let address: SocketAddr = lines
            .find_map(|line| line.split_once("Running on http://")?.1.trim().parse().ok())
            .expect("an address");
        std::thread::spawn(move || lines.for_each(drop));
        let made = http::send(address, "PUT", "/past", "").expect("an answer");
        assert_eq!(made.status, 200);
        let data = fresh(&format!("cloud-{name}-{}", std::process::id()));
        std::fs::write(data.join("name"), "AKIAEXAMPLE\n").expect("a file");
        std::fs::write(data.join("key"), "not for logs\n").expect("a file");
        let line = Proxy::start(address);
        let url = format!("http://{}", line.address());
        Self { moto, line, data, url }
    }

    /// Ten seconds are kept on disk, an hour there.
    pub(crate) fn server(&self) -> Server {
        let cloud = "NEXUS__ORIGIN__STORE__CLOUD__";
        let (name, key) = (self.data.join("name"), self.data.join("key"));
        let of = |key: &str, value: &str| (format!("{cloud}{key}"), value.to_owned());
        let settings = [
            ("NEXUS__ORIGIN__STORE__KEEP_S".to_owned(), "10".to_owned()),
            ("NEXUS__ORIGIN__STREAM__RECONNECT_S".to_owned(), "1".to_owned()),
            of("KEEP_S", "3600"),
            of("URL", "s3://past/of/this"),
            of("ENDPOINT", &self.url),
            of("REGION", "us-east-1"),
            of("ALLOW_HTTP", "true"),
            of("ACCESS_KEY_FILE", &name.display().to_string()),
            of("SECRET_KEY_FILE", &key.display().to_string()),
        ];
        let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        Server::in_folder(&self.data, &settings)
    }

    fn folder(&self) -> PathBuf {
        self.data.join("store")
    }

    /// Waits until the storage has everything, and the disk's time is over for its media.
    pub(crate) fn until_away(&self, server: &Server, key: &str) {
        let done = || {
            let waits = figure(server, "waiting_volumes");
            (waits == 0 && files(&self.folder().join(key), ".media").is_empty()).then_some(())
        };
        let there = || files(&self.folder().join(key), ".media");
        assert!(eventually(UPLOADED, done).is_some(), "{:?} {}", there(), server.log());
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.moto.kill();
        let _ = self.moto.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    entries.filter(|p| p.to_string_lossy().ends_with(end)).collect()
}

/// A figure of object storage.
fn figure(server: &Server, name: &str) -> u64 {
    let page = http::get(server.origin(), "/metrics").expect("an answer").body;
    let page = String::from_utf8_lossy(&page).into_owned();
    let value = |line: &str| line.strip_prefix(&format!("nexus_store_cloud_{name} "))?.parse().ok();
    page.lines().find_map(value).unwrap_or_else(|| panic!("no {name}: {page}"))
}

#[test]
fn uploads_that_are_killed_and_disturbed_lose_no_packet() {
    let far = Far::start("kill");
    far.line.set(Line::Slow(40_000));
    let mut server = far.server();
    let clip = clip(14, Kind::Bframes);
    let sent = send(&server, &clip, "live/show");
    over(&server, "live/show");
    drop(sent);
    // Each time the upload is somewhere else.
    for (nth, line) in [
        Line::Slow(80_000),
        Line::Cut(60_000),
        Line::Failing,
        Line::Stalled,
        Line::Dead,
        Line::Slow(200_000),
        Line::Cut(200_000),
    ]
    .into_iter()
    .enumerate()
    {
        server.terminate("KILL");
        far.line.set(line);
        let tries = far.line.connections();
        server = far.server();
        let tried = eventually(SOON, || (far.line.connections() > tries).then_some(()));
        assert!(tried.is_some(), "{line:?}: {}", server.log());
        std::thread::sleep(Duration::from_millis(300 + 170 * nth as u64));
    }
    server.terminate("KILL");
    far.line.set(Line::Good);
    let server = far.server();
    far.until_away(&server, "live/show");
    let sent = packets(clip.to_str().expect("a path"));
    let recording = over(&server, "live/show");
    for url in ["hls_url", "dash_url", "mp4_url"] {
        assert_same(&packets(recording[url].as_str().expect("a URL")), &sent, url);
    }
    let path = recording["mp4_path"].as_str().expect("a path");
    let whole = http::get(server.edge(), path).expect("an answer").body;
    let (from, to) = (whole.len() / 3, whole.len() / 3 * 2);
    let bytes = format!("bytes={from}-{to}");
    let range = http::get_with(server.edge(), path, &[("range", &bytes)]).expect("an answer");
    assert!(range.status == 206 && range.body == whole[from..=to], "{}", range.status);
    assert!(figure(&server, "reads_total") > 0 && figure(&server, "up") == 1);
    for secret in ["not for logs", "AKIAEXAMPLE"] {
        assert!(!server.log().contains(secret), "{}", server.log());
    }
}

#[test]
fn kills_of_a_stream_that_is_uploaded_lose_no_segment_and_a_lost_disk_none_that_was() {
    let far = Far::start("disk");
    let mut known: Vec<(String, Vec<u8>)> = Vec::new();
    for line in [Line::Good, Line::Cut(50_000), Line::Failing, Line::Slow(50_000)] {
        far.line.set(line);
        let mut server = far.server();
        let get = |name: &str| http::get(server.edge(), &format!("/live/kill/v1/{name}")).expect("an answer");
        let _encoder = ffmpeg(server.rtmp(), "live/kill", SMALL);
        let news = || {
            let text = playlist(&server, "/live/kill/v1/index.m3u8?start=-3600")?;
            let fresh: Vec<String> =
                listed(&text).into_iter().filter(|l| known.iter().all(|(k, _)| k != l)).collect();
            (fresh.len() >= 3).then_some(fresh)
        };
        let fresh = eventually(SOON, news).unwrap_or_else(|| panic!("nothing kept: {}", server.log()));
        let fresh: Vec<_> = fresh.into_iter().map(|name| (get(&name).body, name)).collect();
        server.terminate("KILL");
        known.extend(fresh.into_iter().map(|(bytes, name)| (name, bytes)));
    }
    far.line.set(Line::Good);
    let check = |server: &Server| {
        let text = playlist(server, "/live/kill/v1/index.m3u8?start=-3600").expect("what was kept");
        assert!(known.iter().all(|(name, _)| listed(&text).contains(name)), "{text}");
        for (name, bytes) in &known {
            let reply = http::get(server.edge(), &format!("/live/kill/v1/{name}")).expect("an answer");
            assert!(reply.status == 200 && reply.body == *bytes, "{name}: {}", reply.status);
        }
        let decoded = decode(&format!("http://{}/live/kill/index.m3u8?start=-3600", server.edge()), 60);
        assert!(decoded.ok && decoded.video as usize >= known.len() * 58, "{decoded:?}");
    };
    let server = far.server();
    far.until_away(&server, "live/kill");
    check(&server);
    drop(server);
    std::fs::remove_dir_all(far.folder()).expect("removes");
    // It comes back while something else is live already.
    let server = far.server();
    let _encoder = ffmpeg(server.rtmp(), "live/other", SMALL);
    let back = || playlist(&server, "/live/kill/v1/index.m3u8?start=-3600");
    assert!(eventually(SOON, back).is_some(), "{}", server.log());
    check(&server);
    multivariant(&server, "live/other");
}

#[test]
fn storage_that_is_away_costs_the_far_past_alone() {
    let far = Far::start("away");
    let server = far.server();
    let sent = ffmpeg(server.rtmp(), "live/past", SMALL);
    let kept = || playlist(&server, "/live/past/v1/index.m3u8?start=-3600").filter(|t| listed(t).len() > 2);
    let text = eventually(SOON, kept).unwrap_or_else(|| panic!("nothing kept: {}", server.log()));
    drop(sent);
    far.until_away(&server, "live/past");
    drop(server);
    let server = far.server();
    far.line.set(Line::Dead);
    let old = |name: &str| http::get(server.edge(), &format!("/live/past/{name}")).expect("an answer");
    let segment = format!("v1/{}", listed(&text)[0]);
    for what in [segment.as_str(), "video.mp4?start=-3600"] {
        let reply = old(what);
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")), "{what}");
    }
    // Lists, live streams and what is on disk know nothing of it.
    assert!(playlist(&server, "/live/past/v1/index.m3u8?start=-3600").is_some());
    let encoder = ffmpeg(server.rtmp(), "live/now", SMALL);
    multivariant(&server, "live/now");
    let near = || {
        let text =
            playlist(&server, "/live/now/v1/index.m3u8?start=-3600").filter(|t| listed(t).len() > 3)?;
        let path = format!("/live/now/v1/{}", listed(&text)[0]);
        http::get(server.edge(), &path).ok().filter(|r| r.status == 200)
    };
    assert!(eventually(SOON, near).is_some(), "{}", server.log());
    drop(encoder);
    let waits =
        || (figure(&server, "waiting_volumes") > 0 && figure(&server, "failures_total") > 1).then_some(());
    assert!(eventually(SOON, waits).is_some(), "{}", server.log());
    assert_eq!((figure(&server, "up"), figure(&server, "uploaded_total")), (0, 0));
    assert!(files(&far.folder().join("live/now"), ".media").len() == 1, "what is not safe stays");
    for once in ["object storage takes nothing", "object storage cannot be read"] {
        assert_eq!(server.log().matches(once).count(), 1, "{}", server.log());
    }
    far.line.set(Line::Good);
    far.until_away(&server, "live/now");
    assert_eq!((old(&segment).status, old("video.mp4?start=-3600").status), (200, 200));
    assert_eq!((figure(&server, "up"), figure(&server, "dropped_total")), (1, 0));
    assert!(server.log().contains("takes everything again") && server.log().contains("can be read again"));
}
