//! Two nodes in one process: who gets what, how often it is asked for, and what strangers' names cost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use nx_access::{Claims, Gate, Terms, What};
use nx_delivery::{Directory, LiveStream};
use nx_hls::{Config as Packaging, Packager, Start, TrackSpec, Window};
use nx_media::{AudioCodec, AudioParams, Params, Sample, StreamKey, TrackId};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::sync::watch;

use crate::config::host;
use crate::moq::{Link, Over, VERSION};
use crate::{BrowserConfig, Browsers, Config, Edge, Figures, Guards, publish};

/// Serves one stream.
struct One(Arc<LiveStream>);

impl Directory for One {
    fn find(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        (self.0.key() == key).then(|| self.0.clone())
    }
}

fn key(name: &str) -> StreamKey {
    StreamKey::parse(name).unwrap()
}

/// A stream of sound, some seconds of it, and how it goes on.
fn stream() -> (Arc<LiveStream>, impl FnMut()) {
    let live = Arc::new(LiveStream::new(key("live/cam1"), Window::new(3, 2, 1 << 20)));
    let params = Params::Audio(AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: "mp4a.40.2".into(),
        language: None,
    });
    let mut packager = Packager::new(Packaging::default(), Start::default());
    packager.set_tracks(&[TrackSpec { id: TrackId::AUDIO, params }]);
    let (mut dts, into) = (0, live.clone());
    let mut second = move || {
        for _ in 0..47 {
            let payload = Bytes::from_static(&[7; 100]);
            packager.push(
                0,
                Sample { dts, pts: dts, duration: Some(1024), key: true, payload },
                1_795_000_000_000,
            );
            dts += 1024;
        }
        std::iter::from_fn(|| packager.poll()).for_each(|event| into.apply(event));
    };
    (0..7).for_each(|_| second());
    (live, second)
}

/// Certificates of a new authority, in a folder of that name.
fn identity(name: &str) -> Config {
    let folder = std::env::temp_dir().join(format!("nx-live-plane-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: String| -> Option<PathBuf> {
        std::fs::write(folder.join(name), text).unwrap();
        Some(folder.join(name))
    };
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let node = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    let cert = node.signed_by(&key, &issuer).unwrap();
    Config {
        ca: write("ca.pem", ca.pem()),
        cert: write("node.pem", cert.pem()),
        key: write("node.key", key.serialize_pem()),
        ..Config::default()
    }
}

/// Asks nobody for a token.
fn open() -> Arc<Gate> {
    Gate::open(Terms::default()).unwrap()
}

/// Asks everybody, and a token that it lets in until then.
fn guarded(name: &str, expires_s: i64) -> (Arc<Gate>, String) {
    let file = std::env::temp_dir().join(format!("nx-live-plane-{}-{name}.json", std::process::id()));
    let (keys, _) = nx_access::generate("k", nx_access::Algorithm::Hs256).unwrap();
    std::fs::write(&file, &*keys).unwrap();
    let gate = open().whole(file, None);
    let claims = Claims { expires_s, issued_s: Some(0), subject: Some("alice".into()), ..Claims::default() };
    let token = gate.make(claims).unwrap();
    (gate, token)
}

/// An origin that offers the stream, and an edge that knows it.
fn pair(live: &Arc<LiveStream>, name: &str, stop: &watch::Receiver<bool>) -> (Arc<Figures>, Arc<Edge>) {
    guarded_pair(live, (name, None), stop)
}

fn guarded_pair(
    live: &Arc<LiveStream>,
    (name, guards): (&str, Option<Guards>),
    stop: &watch::Receiver<bool>,
) -> (Arc<Figures>, Arc<Edge>) {
    let (figures, identity) = (Arc::<Figures>::default(), identity(name));
    let listen = Config { listen: Some("127.0.0.1:0".parse().unwrap()), ..identity.clone() };
    let address = publish(&listen, (Arc::new(One(live.clone())), guards), figures.clone(), stop.clone())
        .unwrap()
        .unwrap();
    let config = Config { origins: vec![address.to_string()], streams_max: 2, ..identity };
    (figures, Edge::start(&config, stop).unwrap())
}

fn edges_and_feeds(figures: &Figures) -> (u64, u64) {
    (figures.edges.load(Ordering::Relaxed), figures.feeds.load(Ordering::Relaxed))
}

fn playlist(live: &LiveStream) -> Option<String> {
    live.read(|w| w.media_playlist(nx_hls::Ask::Track(0), nx_hls::Skip::None))
}

#[tokio::test]
async fn a_crowd_of_first_viewers_asks_once_and_gets_what_the_origin_has() {
    let (_stop, stopped) = watch::channel(false);
    let (live, mut second) = stream();
    let (figures, edge) = pair(&live, "crowd", &stopped);
    let name = key("live/cam1");
    let seeking = (0..200).map(|_| {
        let (edge, name) = (edge.clone(), name.clone());
        tokio::spawn(async move { edge.seek(&name).await.ok().flatten() })
    });
    let mut found = Vec::new();
    for seeking in seeking.collect::<Vec<_>>() {
        found.push(seeking.await.unwrap().expect("it is there"));
    }
    assert!(found.iter().all(|f| Arc::ptr_eq(f, &found[0])));
    assert_eq!(edges_and_feeds(&figures), (1, 1));
    assert!(playlist(&live).is_some());
    assert_eq!(playlist(&found[0]), playlist(&live));
    for _ in 0..5 {
        let before = found[0].read(|w| w.next(0));
        second();
        let went_on =
            |w: &Window| (w.next(0) == live.read(|l| l.next(0)) && w.next(0) > before).then_some(());
        found[0].wait(0, std::time::Duration::from_secs(10), went_on).await.expect("it goes on");
        assert_eq!(playlist(&found[0]), playlist(&live));
    }
}

#[tokio::test]
async fn names_that_nobody_knows_cost_nothing_that_stays() {
    let (_stop, stopped) = watch::channel(false);
    let (live, _) = stream();
    let (figures, edge) = pair(&live, "unknown", &stopped);
    for nth in 0..1_500 {
        assert!(edge.seek(&key(&format!("live/no-{nth}"))).await.is_ok_and(|found| found.is_none()), "{nth}");
    }
    assert_eq!(edges_and_feeds(&figures), (1, 0));
    let health = edge.health().unwrap();
    assert_eq!(health["subscriptions"], serde_json::json!([]));
}

#[tokio::test]
async fn an_origin_that_cannot_be_reached_is_not_one_that_knows_nothing() {
    let (_stop, stopped) = watch::channel(false);
    let config = Config { origins: vec!["127.0.0.1:9".into()], ..identity("unreachable") };
    let edge = Edge::start(&config, &stopped).unwrap();
    assert!(edge.seek(&key("live/cam1")).await.is_err());
}

/// Connects as a page does that was told of a listener; what the server answers, if it is no.
async fn page(told: &serde_json::Value, path: &str, offered: &str) -> Result<Arc<Link>, String> {
    let hash = told["sha256"].as_str().unwrap();
    let hash = (0..hash.len()).step_by(2).map(|at| u8::from_str_radix(&hash[at..at + 2], 16).unwrap());
    let client = web_transport_quinn::ClientBuilder::new();
    let client = client.with_server_certificate_hashes(vec![hash.collect()]).unwrap();
    let url: url::Url = format!("https://127.0.0.1:{}/{path}", told["port"]).parse().unwrap();
    let request = web_transport_quinn::proto::ConnectRequest::new(url).with_protocol(offered);
    let session = client.connect(request).await.map_err(|e| e.to_string())?;
    Ok(Arc::new(Link::greet(session).await.map_err(|e| e.to_string())?))
}

/// Header and parts of a track as the window has them from its newest key frame on.
fn held(live: &LiveStream) -> Vec<Bytes> {
    live.read(|w| {
        let parts = w.parts_from(0, w.newest_independent(0).unwrap()).map(|part| part.bytes.clone());
        w.init("a1", 0, None).into_iter().chain(parts).collect()
    })
}

#[tokio::test]
async fn a_browser_gets_what_the_window_has_as_it_comes() {
    let (_stop, stopped) = watch::channel(false);
    let (live, mut second) = stream();
    let directory: Arc<dyn Directory> = Arc::new(One(live.clone()));
    let config = BrowserConfig { listen: Some("127.0.0.1:0".parse().unwrap()), ..BrowserConfig::default() };
    let (browsers, _done) = Browsers::start(&config, (&directory, &open()), &stopped).unwrap().unwrap();
    let page = page(&browsers.told(), "live/cam1", VERSION).await.unwrap();
    let cam = key("live/cam1");
    let mut catalog = page.ask(&cam, "catalog").await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&catalog.next().await.unwrap()).unwrap();
    let zero_ms = live.read(|w| w.runs().last().unwrap().wall_at_zero_ms);
    let sound =
        serde_json::json!({"name": "a1.0", "type": "audio/mp4; codecs=\"mp4a.40.2\"", "zero_ms": zero_ms});
    assert_eq!(told["tracks"], serde_json::json!([sound]));
    let mut sound = page.ask(&cam, "a1.0").await.unwrap();
    for expected in held(&live) {
        assert_eq!(sound.next().await, Ok(expected));
    }
    // A segment has two seconds: in three, one begins, and each begins with the header.
    let before = live.read(|w| w.next(0)).unwrap();
    (0..3).for_each(|_| second());
    let mut msn = before.msn;
    let came: Vec<_> = live.read(|w| w.parts_after(0, before).map(|(_, part)| part.clone()).collect());
    for part in came {
        if part.msn != msn {
            msn = part.msn;
            assert_eq!(sound.next().await.ok(), live.read(|w| w.init("a1", 0, None)));
        }
        assert_eq!(sound.next().await, Ok(part.bytes));
    }
    assert!(msn > before.msn);
    // The stream ends, and so does everything of it.
    live.apply(nx_hls::Event::End);
    assert_eq!(sound.next().await, Err(Over::Lost));
    assert_eq!(catalog.next().await, Err(Over::Lost));
}

#[tokio::test]
async fn a_browser_gets_the_stream_that_it_came_for_and_no_other() {
    let (_stop, stopped) = watch::channel(false);
    let (live, _) = stream();
    let directory: Arc<dyn Directory> = Arc::new(One(live));
    let config = BrowserConfig { listen: Some("127.0.0.1:0".parse().unwrap()), ..BrowserConfig::default() };
    let (browsers, _done) = Browsers::start(&config, (&directory, &open()), &stopped).unwrap().unwrap();
    let told = browsers.told();
    let other = page(&told, "live/other", VERSION).await.unwrap();
    for (stream, track) in [("live/cam1", "catalog"), ("live/other", "catalog")] {
        let asked = other.ask(&key(stream), track).await;
        assert_eq!(asked.err(), Some(Over::Unknown), "{stream}");
    }
    let own = page(&told, "live/cam1", VERSION).await.unwrap();
    for track in ["a1", "a1.x", "", "anything"] {
        assert_eq!(own.ask(&key("live/cam1"), track).await.err(), Some(Over::Unknown), "{track}");
    }
    // One of a run that is over has nothing more.
    let mut over = own.ask(&key("live/cam1"), "a1.7").await.unwrap();
    assert_eq!(over.next().await, Err(Over::Lost));
    for (path, offered) in [("live", VERSION), ("live/cam1/v1", VERSION), ("live/cam1", "moq-lite-01")] {
        assert!(page(&told, path, offered).await.is_err(), "{path} {offered}");
    }
    let stranger = serde_json::json!({"port": told["port"], "sha256": "00".repeat(32)});
    assert!(page(&stranger, "live/cam1", VERSION).await.is_err());
}

#[tokio::test]
async fn a_browser_shows_its_token_and_leaves_when_that_ends() {
    let (_stop, stopped) = watch::channel(false);
    let (live, _) = stream();
    let directory: Arc<dyn Directory> = Arc::new(One(live));
    let config = BrowserConfig { listen: Some("127.0.0.1:0".parse().unwrap()), ..BrowserConfig::default() };
    let (gate, token) = guarded("browsers", i64::MAX);
    let (browsers, _done) = Browsers::start(&config, (&directory, &gate), &stopped).unwrap().unwrap();
    let told = browsers.told();
    for path in ["live/cam1", "live/cam1?token=", "live/cam1?token=AAAA"] {
        assert!(page(&told, path, VERSION).await.is_err(), "{path}");
    }
    let link = page(&told, &format!("live/cam1?token={token}"), VERSION).await.unwrap();
    let mut catalog = link.ask(&key("live/cam1"), "catalog").await.unwrap();
    assert!(catalog.next().await.is_ok());
    gate.revoke(What::Subject("alice".into()), 0).unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), link.lost()).await.expect("it is sent away");
}

#[tokio::test]
async fn a_node_that_guards_nothing_gets_nothing_that_is_guarded() {
    let (_stop, stopped) = watch::channel(false);
    let (live, _) = stream();
    let guards = || Some(Arc::new(|key: &StreamKey| key.as_str() == "live/cam1") as Guards);
    let (figures, edge) = guarded_pair(&live, ("guarded", guards()), &stopped);
    assert!(edge.seek(&key("live/cam1")).await.is_err(), "it is there, and not for this node");
    assert_eq!(edges_and_feeds(&figures), (1, 0));
    let (_, edge) = guarded_pair(&live, ("guarding", guards()), &stopped);
    edge.guard(guards().unwrap());
    assert!(edge.seek(&key("live/cam1")).await.unwrap().is_some());
}

#[test]
fn addresses_are_host_and_port() {
    for (address, want) in [
        ("origin.example:7000", Some("origin.example")),
        ("10.0.0.1:7000", Some("10.0.0.1")),
        ("[::1]:7000", Some("::1")),
        ("[::1:7000", None),
        ("origin.example", None),
        (":7000", None),
        ("a:0", None),
        ("a:70000", None),
    ] {
        assert_eq!(host(address), want, "{address}");
    }
}

#[test]
fn what_is_missing_is_told_and_nothing_is_needed_when_it_is_off() {
    assert!(Config::default().validate().is_empty());
    let on = Config { origins: vec!["a".into()], streams_max: 0, ..Config::default() };
    let keys: Vec<String> = on.validate().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["ca", "cert", "key", "origins.0", "streams_max"]);
    let (_, stopped) = watch::channel(false);
    let missing = Config { ca: Some(Path::new("/nowhere/ca.pem").into()), ..identity("missing") };
    let missing = Config { origins: vec!["a:1".into()], ..missing };
    let error = Edge::start(&missing, &stopped).err().expect("there is no such file");
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
}
