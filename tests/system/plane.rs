//! The live plane with real processes: an origin and its edges, what they serve, and what becomes of it when one goes.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::encoder::{SMALL, eventually, ffmpeg, run, scratch};
use crate::support::hls::LowLatency;
use crate::support::plane::Plane;
use crate::support::relay::{Faults, Relay, Way};
use crate::support::{Server, http};

const LIMIT: Duration = Duration::from_secs(30);
const CAM: &str = "/live/cam1";

fn body(node: SocketAddr, path: &str) -> Vec<u8> {
    let reply = http::get(node, path).unwrap_or_else(|e| panic!("{node}{path}: {e}"));
    assert_eq!(reply.status, 200, "{node}{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.body
}

/// Waits until a stream can be played there in every way.
fn playable(node: SocketAddr) {
    let path = format!("{CAM}/ts/index.m3u8");
    let found = eventually(LIMIT, || http::get(node, &path).ok().filter(|reply| reply.status == 200));
    assert!(found.is_some(), "{CAM} is not playable at {node}");
}

fn figure(node: SocketAddr, name: &str) -> u64 {
    let page = String::from_utf8(body(node, "/metrics")).expect("text");
    let line = page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().expect("a number")
}

fn health(edge: &Server) -> String {
    String::from_utf8(body(edge.edge(), "/health/ready")).expect("text")
}

/// What all nodes say at one moment: the same, or this fails. Between two nodes the stream may go on, so they are asked
/// again then, which shows when the first of them says something else the second time.
fn all_say(nodes: &[SocketAddr], path: &str) -> Vec<u8> {
    let mut seen = Vec::new();
    let same = eventually(Duration::from_secs(10), || {
        let each: Vec<Vec<u8>> = nodes.iter().map(|node| body(*node, path)).collect();
        seen.clone_from(&each);
        each.iter().all(|one| *one == each[0]).then(|| each[0].clone())
    });
    same.unwrap_or_else(|| {
        let each: Vec<_> = seen.iter().map(|one| String::from_utf8_lossy(one)).collect();
        panic!("{path} is not the same:\n{}", each.join("\n---\n"))
    })
}

/// Addresses of what a playlist lists.
fn listed(playlist: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(playlist).into_owned();
    let quoted = text.split("URI=\"").skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned));
    let plain = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned);
    quoted.chain(plain).filter(|uri| !uri.contains(".m3u8")).collect()
}

#[test]
fn what_is_published_once_is_the_same_everywhere_and_leaves_the_origin_once_per_edge() {
    let plane = Plane::new("plane-same");
    let origin = plane.origin();
    let edges = [plane.edge(&[origin.plane()]), plane.edge(&[origin.plane()])];
    let region = plane.edge(&[edges[0].plane()]);
    let _encoder = ffmpeg(origin.rtmp(), "live/cam1", SMALL);
    let nodes = [origin.origin(), edges[0].edge(), edges[1].edge(), region.edge()];
    nodes.iter().for_each(|node| playable(*node));
    for text in ["index.m3u8", "manifest.mpd", "v1/iframes.m3u8"] {
        all_say(&nodes, &format!("{CAM}/{text}"));
    }
    for folder in ["v1", "a1", "ts"] {
        for _ in 0..3 {
            let playlist = all_say(&nodes, &format!("{CAM}/{folder}/index.m3u8"));
            let uris = listed(&playlist);
            // What is hinted at comes last of the quoted ones; the nodes wait for it.
            assert!(!uris.is_empty(), "{}", String::from_utf8_lossy(&playlist));
            uris.iter().for_each(|uri| drop(all_say(&nodes, &format!("{CAM}/{folder}/{uri}"))));
        }
    }
    // However many watch, a stream is sent once to each of the two edges.
    let mut viewers: Vec<LowLatency> = Vec::new();
    for node in nodes.iter().skip(1).cycle().take(30) {
        viewers.push(LowLatency::join(*node, &format!("{CAM}/v1/")).expect("it plays"));
    }
    let before = figure(origin.origin(), "nexus_plane_sent_bytes_total");
    let mut video = 0;
    for _ in 0..12 {
        for (nth, viewer) in viewers.iter_mut().enumerate() {
            let parts = viewer.step().expect("it goes on");
            video += if nth == 0 { parts.iter().map(|p| p.bytes.len() as u64).sum() } else { 0 };
        }
    }
    let sent = figure(origin.origin(), "nexus_plane_sent_bytes_total") - before;
    assert_eq!(figure(origin.origin(), "nexus_plane_feeds"), 2);
    assert_eq!(figure(origin.origin(), "nexus_stream_edges{stream=\"live/cam1\"}"), 2);
    // Two edges, the sound beside the pictures, and a part or two that came meanwhile.
    assert!(sent > video && sent < video * 3, "{sent} bytes were sent for {video} of pictures");
}

#[test]
fn a_stream_is_fetched_with_the_first_viewer_and_let_go_after_the_last() {
    let plane = Plane::new("plane-linger");
    let origin = plane.origin();
    let edge = plane.edge_with(&[origin.plane()], "linger_s = 1");
    let _encoder = ffmpeg(origin.rtmp(), "live/cam1", SMALL);
    playable(origin.origin());
    assert_eq!(figure(origin.origin(), "nexus_plane_feeds"), 0, "nobody watches yet");
    playable(edge.edge());
    assert_eq!(figure(origin.origin(), "nexus_plane_feeds"), 1);
    assert!(health(&edge).contains("\"subscriptions\":[\"live/cam1\"]"), "{}", health(&edge));
    let gone = || (figure(origin.origin(), "nexus_plane_feeds") == 0).then_some(());
    assert!(eventually(LIMIT, gone).is_some(), "it is still fetched");
    assert!(health(&edge).contains("\"subscriptions\":[]"), "{}", health(&edge));
    playable(edge.edge());
}

#[test]
fn an_edge_says_what_it_does_not_have() {
    let plane = Plane::new("plane-missing");
    let origin = plane.origin();
    let edge = plane.edge(&[origin.plane()]);
    let _encoder = ffmpeg(origin.rtmp(), "live/cam1", SMALL);
    playable(edge.edge());
    for (path, status) in [
        ("/live/nobody/index.m3u8", 404),
        ("/live/cam1/index.m3u8?start=0", 502),
        ("/live/cam1/video.mp4", 502),
        ("/live/cam1/thumbnail.jpg", 502),
        ("/live/cam1/v1/1.m4s", 404),
    ] {
        let reply = http::get(edge.edge(), path).expect("an answer");
        let kind = reply.header("content-type").unwrap_or_default();
        assert_eq!((reply.status, kind), (status, "application/problem+json"), "{path}");
    }
}

#[test]
fn an_edge_goes_on_from_another_node_when_one_is_killed() {
    let plane = Plane::new("plane-killed");
    let origin = plane.origin();
    let [mut first, second] = [plane.edge(&[origin.plane()]), plane.edge(&[origin.plane()])];
    let last = plane.edge(&[first.plane(), second.plane()]);
    let _encoder = ffmpeg(origin.rtmp(), "live/cam1", SMALL);
    playable(last.edge());
    assert_eq!(figure(first.edge(), "nexus_plane_feeds"), 1, "the first that has it gives it");
    let mut viewer = LowLatency::join(last.edge(), &format!("{CAM}/v1/")).expect("it plays");
    viewer.step().expect("it goes on");
    first.terminate("KILL");
    // Each asks for what follows the part before, so that a jump would be an error; none fails.
    for _ in 0..15 {
        assert!(!viewer.step().expect("no request fails").is_empty());
    }
    assert_eq!(figure(second.edge(), "nexus_plane_feeds"), 1);
    all_say(&[origin.origin(), last.edge()], &format!("{CAM}/v1/index.m3u8"));
}

#[test]
fn a_window_goes_on_after_its_origin_was_away() {
    let plane = Plane::new("plane-away");
    let origin = plane.origin();
    let relay = Relay::start(origin.plane(), Faults::none());
    let edge = plane.edge(&[relay.address()]);
    let _encoder = ffmpeg(origin.rtmp(), "live/cam1", SMALL);
    playable(edge.edge());
    let mut viewer = LowLatency::join(edge.edge(), &format!("{CAM}/v1/")).expect("it plays");
    viewer.step().expect("it goes on");
    relay.set(Faults::both(Way { loss_pct: 100.0, ..Way::default() }, 1));
    let down = || health(&edge).contains("\"up\":false").then_some(());
    assert!(eventually(LIMIT, down).is_some(), "the edge has not noticed");
    assert_eq!(http::get(edge.edge(), &format!("{CAM}/v1/index.m3u8")).expect("an answer").status, 200);
    relay.set(Faults::none());
    // The reader that was at the live edge goes on where it was.
    for _ in 0..6 {
        viewer.step().expect("no request fails");
    }
    all_say(&[origin.origin(), edge.edge()], &format!("{CAM}/v1/index.m3u8"));
    assert_eq!(figure(edge.edge(), "nexus_plane_reconnects_total"), 1);
}

#[test]
fn a_bad_line_costs_no_viewer_a_part() {
    let plane = Plane::new("plane-bad-line");
    let origin = plane.origin();
    let way = Way { loss_pct: 2.0, delay: Duration::from_millis(20), reorder_pct: 5.0, ..Way::default() };
    let relay = Relay::start(
        origin.plane(),
        Faults::both(Way { reorder_delay: Duration::from_millis(10), ..way }, 7),
    );
    let edge = plane.edge(&[relay.address()]);
    let _encoder = ffmpeg(origin.rtmp(), "live/cam1", SMALL);
    playable(edge.edge());
    let mut viewer = LowLatency::join(edge.edge(), &format!("{CAM}/v1/")).expect("it plays");
    for _ in 0..20 {
        assert!(!viewer.step().expect("it goes on").is_empty());
    }
    assert!(relay.counts().lost > 0, "the line was too good");
    assert_eq!(figure(edge.edge(), "nexus_plane_dropped_total"), 0);
}

#[test]
fn nodes_of_another_authority_are_refused_on_both_sides() {
    let [plane, other] = [Plane::new("plane-ours"), Plane::new("plane-theirs")];
    let origin = plane.origin();
    let _encoder = ffmpeg(origin.rtmp(), "live/cam1", SMALL);
    let stranger = other.edge(&[origin.plane()]);
    let reply = http::get(stranger.edge(), &format!("{CAM}/index.m3u8")).expect("an answer");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert!(stranger.wait_for_log("cannot be reached", LIMIT), "{}", stranger.log());
    // One that believes ours, but whom ours does not believe.
    let mixed = other.settings("edge", &format!("origins = [\"{}\"]", origin.plane()));
    let mixed = Server::role("edge", &mixed.replace(&other.file("ca.pem"), &plane.file("ca.pem")));
    assert!(origin.wait_for_log("a node was turned away", LIMIT), "{}", origin.log());
    let reply = http::get(mixed.edge(), &format!("{CAM}/index.m3u8")).expect("an answer");
    assert_eq!(reply.status, 503);
    assert_eq!(figure(origin.origin(), "nexus_plane_feeds"), 0);
}

/// A node with a good certificate and that protocol, which sends this on its streams.
async fn misbehave(plane: &Plane, origin: SocketAddr, alpn: &[u8], bytes: &[u8]) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let path = |name: &str| PathBuf::from(plane.file(name));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(path("ca.pem")).map_err(|e| text(&e))?).map_err(|e| text(&e))?;
    let chain = vec![CertificateDer::from_pem_file(path("node.pem")).map_err(|e| text(&e))?];
    let key = PrivateKeyDer::from_pem_file(path("node.key")).map_err(|e| text(&e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| text(&e))?;
    let mut tls =
        tls.with_root_certificates(roots).with_client_auth_cert(chain, key).map_err(|e| text(&e))?;
    tls.alpn_protocols = vec![alpn.to_vec()];
    let quic = QuicClientConfig::try_from(tls).map_err(|e| text(&e))?;
    let mut endpoint =
        quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(|e| text(&e))?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(quic)));
    let connecting = endpoint.connect(origin, "localhost").map_err(|e| text(&e))?;
    let connection = connecting.await.map_err(|e| text(&e))?;
    for _ in 0..50 {
        let (mut both, _) = connection.open_bi().await.map_err(|e| text(&e))?;
        let mut one = connection.open_uni().await.map_err(|e| text(&e))?;
        // It may hang up at any of them.
        let _ = both.write_all(bytes).await;
        let _ = one.write_all(bytes).await;
    }
    connection.close(0u32.into(), b"");
    endpoint.wait_idle().await;
    Ok(())
}

#[test]
fn hostile_nodes_cost_nothing() {
    let plane = Plane::new("plane-hostile");
    let origin = plane.origin();
    let _encoder = ffmpeg(origin.rtmp(), "live/cam1", SMALL);
    let edge = plane.edge(&[origin.plane()]);
    playable(edge.edge());
    let before_kib = origin.rss_kib();
    let anybody = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for nth in 0..2_000u32 {
        anybody.send_to(&nth.to_be_bytes().repeat(300), origin.plane()).expect("it is sent");
    }
    let runtime = tokio_runtime();
    let huge = [&[0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0xaa; 4000]].concat();
    let mut refused = 0;
    for alpn in [&b"moq-lite-06"[..], b"moq-lite-01", b"h3"] {
        for bytes in [&[0u8; 16][..], &[0xff; 5_000], &huge, b"GET / HTTP/1.1\r\n\r\n"] {
            refused += usize::from(runtime.block_on(misbehave(&plane, origin.plane(), alpn, bytes)).is_err());
        }
    }
    assert!(refused >= 8, "other protocols are refused: {refused}");
    let mut viewer = LowLatency::join(edge.edge(), &format!("{CAM}/v1/")).expect("it plays");
    for _ in 0..3 {
        viewer.step().expect("it goes on");
    }
    assert!(!origin.log().contains("panicked"), "{}", origin.log());
    assert_eq!(figure(origin.origin(), "nexus_plane_edges"), 1, "none of them is still there");
    assert!(origin.rss_kib() < before_kib + 64 * 1024, "{} KiB, {before_kib} before", origin.rss_kib());
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn faults_in_the_settings_are_told() {
    let folder = scratch("plane-settings");
    let file = Path::new(&folder).join("edge.toml");
    let mut written = std::fs::File::create(&file).expect("a file");
    write!(written, "[edge.plane]\norigins = [\"nowhere\"]\n").expect("it is written");
    let nexus = crate::support::nexus_bin().display().to_string();
    let (ok, _, err) = run(&nexus, &["check", &file.display().to_string()], LIMIT);
    assert!(!ok && err.contains("edge.plane.origins.0: must be HOST:PORT"), "{err}");
    assert!(
        ["ca", "cert", "key"].iter().all(|key| err.contains(&format!("edge.plane.{key}: is needed"))),
        "{err}"
    );
}
