//! Streams from one server to another and back, over every protocol, in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use nx_admission::{Action, Ask, Protocol};
use nx_contract::desired::{Change, Desired};
use nx_contract::keys::{KeyLimits, NewKey, OuterKey};
use nx_contract::sources::{InputRole, NewSource};
use nx_contract::targets::NewTarget;
use nx_delivery::{Limits, TlsConfig};
use nx_hls::Window;
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::claims::{Claim, Lost, Role};
use crate::follow::{Follower, Next};
use crate::ingest::clip::{Clip, ClipInput};
use crate::ingest::input::{About, Wire};
use crate::ingest::shard::Join;
use crate::restream::mux;
use crate::{Config, Doors, Face};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server with a folder that goes with it.
struct Server {
    folder: PathBuf,
    hub: Arc<Hub>,
    doors: Doors,
    stop: watch::Sender<bool>,
}

impl Server {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("nexus-outbound-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self::again(folder)
    }

    /// A server that goes on with a folder.
    fn again(folder: PathBuf) -> Self {
        let mut config = Config::default();
        config.stream.segment_ms = 1_000;
        config.rtmp.shards = 1;
        let (stop, stopped) = watch::channel(false);
        let hub =
            Hub::new(config, nx_access::Gate::open(nx_access::Terms::default()).unwrap(), &folder).unwrap();
        let doors = Doors::new(&hub, stopped).unwrap();
        Self { folder, hub, doors, stop }
    }

    /// Publishes a clip for ever.
    async fn show(&self, key: &str) {
        let clip = Clip::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tiny.flv")).unwrap();
        let key = StreamKey::parse(key).unwrap();
        let now_ms = self.hub.clock.ms();
        let claim = Claim::new(None, now_ms);
        let entry = self.hub.take_name(&key, Role::Primary, &claim).await.unwrap();
        let about = About { role: Role::Primary, ..About::slate() };
        let wire = Wire::Clip(Box::new(ClipInput::new(clip, now_ms)));
        self.doors.outbound().shards.join(Join::Input { key, entry, about: Box::new(about), claim, wire });
    }

    /// Waits until a stream can be watched.
    async fn playable(&self, key: &str) {
        let stream = StreamKey::parse(key).unwrap();
        let wait = async {
            loop {
                let mut came = std::pin::pin!(self.hub.came.notified());
                came.as_mut().enable();
                let Some(entry) = self.hub.entry(&stream) else {
                    came.await;
                    continue;
                };
                if entry.live.wait(0, PATIENCE, |w| w.is_playable().then_some(())).await.is_some() {
                    return;
                }
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        assert!(came, "{key} never came: {:?}", self.doors.outbound().sources(key));
    }

    async fn close(self) -> PathBuf {
        let _ = self.stop.send(true);
        self.hub.release_viewers();
        self.doors.drained().await;
        self.folder
    }
}

fn target(url: String) -> NewTarget {
    NewTarget { url, enabled: true, tls_insecure: true, public_only: false }
}

fn source(url: String) -> NewSource {
    NewSource { url, input: InputRole::Primary, enabled: true }
}

/// Looks again and again until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
}

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_out_over_every_protocol() {
    let (near, mut far) = (Server::new("near-out"), Server::new("far-out"));
    let rtmp = far.doors.rtmp(TcpListener::bind(LOCAL).await.unwrap(), None).unwrap();
    let tls = TlsConfig::default().certs(&far.folder).unwrap().server(&[]).unwrap();
    let rtmps = far.doors.rtmp(TcpListener::bind(LOCAL).await.unwrap(), Some(tls)).unwrap();
    let srt = far.doors.srt(SocketAddr::from(LOCAL)).unwrap();
    let out = near.doors.outbound();
    let first = out.add_target("live/one", target(format!("rtmp://{rtmp}/live/by-rtmp")), Some("x")).unwrap();
    assert_eq!(first.status.state, LinkState::WaitingForStream, "{:?}", first.status);
    let again = out.add_target("live/one", target(format!("rtmp://{rtmp}/live/by-rtmp")), Some("x")).unwrap();
    assert_eq!(first.id, again.id, "an idempotency key makes one thing");
    let other = out.add_target("live/one", target(format!("rtmp://{rtmp}/live/other")), Some("x"));
    assert!(matches!(other, Err(Fault::Conflict(_))));
    out.add_target("live/one", target(format!("rtmps://{rtmps}/live/by-rtmps")), None).unwrap();
    out.add_target("live/one", target(format!("srt://{srt}?streamid=#!::r=live/by-srt,m=publish")), None)
        .unwrap();
    near.show("live/one").await;
    for name in ["live/by-rtmp", "live/by-rtmps", "live/by-srt"] {
        far.playable(name).await;
    }
    let targets = out.targets("live/one").unwrap();
    for target in &targets {
        assert_eq!(target.status.state, LinkState::Live, "{target:?}");
        assert!(
            target.bytes_sent > 0 && target.url.contains("***") && !target.url.contains("by-"),
            "{target:?}"
        );
    }
    let tracks = far.hub.entry(&StreamKey::parse("live/by-rtmp").unwrap()).unwrap();
    assert_eq!(tracks.live.read(|w| w.tracks().count()), 2, "picture and sound");

    // The name is taken: said without the name, which is a secret, and tried again without hurry.
    let taken = out.add_target("live/one", target(format!("rtmp://{rtmp}/live/by-rtmps")), None).unwrap();
    let status = || out.targets("live/one").unwrap().into_iter().find(|t| t.id == taken.id).unwrap().status;
    until("the taken name is refused", || status().state == LinkState::Retrying).await;
    let text = status().last_error.unwrap_or_default();
    assert!(text.contains("BadName") && text.contains("***") && !text.contains("by-rtmps"), "{text}");

    // One target ends and begins again; the others do not notice.
    let state =
        || out.targets("live/one").unwrap().into_iter().find(|t| t.id == first.id).unwrap().status.state;
    out.change_target("live/one", &first.id, Change { enabled: false }).unwrap();
    until("a disabled target stops", || state() == LinkState::Stopped).await;
    out.change_target("live/one", &first.id, Change { enabled: true }).unwrap();
    until("an enabled one goes on", || state() == LinkState::Live).await;
    out.remove_target("live/one", &taken.id).unwrap();
    assert!(matches!(out.remove_target("live/one", &taken.id), Err(Fault::NotFound(_))));

    // What was wanted is wanted after a restart.
    let key = out.add_key("live/one", NewKey::default(), None).unwrap();
    drop(out);
    let near = Server::again(near.close().await);
    let out = near.doors.outbound();
    assert_eq!((out.targets("live/one").unwrap().len(), out.keys("live/one").unwrap()), (3, vec![key.about]));
    assert_eq!(near.hub.admission.keys().len(), 1);
    drop(out);
    for server in [near, far] {
        std::fs::remove_dir_all(server.close().await).unwrap();
    }
}

#[tokio::test]
async fn a_key_of_somebody_elses_is_put_and_deleted_for_ever_and_takes_its_publisher_along() {
    let server = Server::new("keys");
    let out = server.doors.outbound();
    let outer = |sha256: &str| OuterKey {
        sha256: sha256.into(),
        input: InputRole::Primary,
        limits: KeyLimits::default(),
    };
    let hash = "F52FBD32B2B3B86FF88EF6C490628285F482AF15DDCB29541F94BCF526A3F6C7";
    for (id, sha256) in [("", hash), ("k/1", hash), ("k1", "12"), ("k1", &"g".repeat(64))] {
        assert!(
            matches!(out.put_key("channels/a", id, outer(sha256)), Err(Fault::Invalid(_))),
            "{id} {sha256}"
        );
    }
    let put = out.put_key("channels/a", "k1", outer(hash)).unwrap();
    assert_eq!(out.put_key("channels/a", "k1", outer(hash)).unwrap(), put, "again is the same");
    assert!(matches!(out.put_key("channels/b", "k1", outer(hash)), Err(Fault::Conflict(_))));
    let ask = |key: &str| {
        let query = format!("key={key}");
        let name = StreamKey::parse("channels/a").unwrap();
        Ask::from_query(name, Action::Publish, Protocol::Rtmp, LOCAL.0.into(), &query, "")
    };
    assert!(server.hub.admission.decide(&ask("hunter1"), 0).await.is_err());
    let grant = server.hub.admission.decide(&ask("hunter2"), 0).await.unwrap();

    // It publishes, and is deleted.
    let claim = Claim::new(grant.key, server.hub.clock.ms());
    server.hub.take_name(&StreamKey::parse("channels/a").unwrap(), Role::Primary, &claim).await.unwrap();
    assert!(!claim.is_lost());
    assert!(matches!(out.remove_key("channels/b", "k1"), Err(Fault::NotFound(_))));
    out.remove_key("channels/a", "k1").unwrap();
    assert_eq!(claim.lost(), Some(Lost::Key));
    assert!(server.hub.admission.decide(&ask("hunter2"), 0).await.is_err());
    // Who was judged before and comes now is sent away too.
    let late = Claim::new(Some("k1".into()), server.hub.clock.ms());
    server.hub.take_name(&StreamKey::parse("channels/a").unwrap(), Role::Backup, &late).await.unwrap();
    assert_eq!(late.lost(), Some(Lost::Key));

    // What is deleted stays so, also what came after its end, also after a restart.
    assert!(matches!(out.remove_key("channels/a", "k2"), Err(Fault::NotFound(_))));
    out.put_key("channels/a", "k3", outer(hash)).unwrap();
    drop(out);
    let server = Server::again(server.close().await);
    let out = server.doors.outbound();
    for id in ["k1", "k2"] {
        assert!(matches!(out.put_key("channels/a", id, outer(hash)), Err(Fault::Conflict(_))), "{id}");
    }
    assert_eq!(server.hub.admission.decide(&ask("hunter2"), 0).await.unwrap().key.as_deref(), Some("k3"));
    drop(out);
    std::fs::remove_dir_all(server.close().await).unwrap();
}

/// Sends a stream as RTP to an address, until it is over.
async fn send_rtp(hub: Arc<Hub>, key: &str, to: SocketAddr) {
    let socket = UdpSocket::bind(LOCAL).await.unwrap();
    let entry = hub.entry(&StreamKey::parse(key).unwrap()).unwrap();
    let mut follower = Follower::new(entry.live.clone());
    loop {
        let piece = match follower.next().await {
            Next::Piece(piece) => piece,
            Next::Quiet => continue,
            Next::End => return,
        };
        for packets in mux(&piece).unwrap_or_default().chunks(1_316) {
            let header = [0x80, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            let _ = socket.send_to(&[&header, packets].concat(), to).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_comes_in_over_every_protocol() {
    let (near, mut far) = (Server::new("near-in"), Server::new("far-in"));
    let srt = far.doors.srt(SocketAddr::from(LOCAL)).unwrap();
    let face = Arc::new(Face::new(far.hub.clone()));
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let stopped = far.stop.subscribe();
    let http = nx_delivery::serve(listener, face, Limits::default(), stopped, GRACE).unwrap().address;
    far.show("live/one").await;
    far.playable("live/one").await;
    let out = near.doors.outbound();
    let udp = UdpSocket::bind(LOCAL).await.unwrap().local_addr().unwrap();
    let sources = [
        ("live/by-srt", format!("srt://{srt}?streamid=#!::r=live/one,m=request")),
        ("live/by-hls", format!("http://{http}/live/one/ts/index.m3u8?secret=hunter22")),
        ("live/by-udp", format!("udp://{udp}")),
    ];
    for (stream, url) in &sources {
        out.add_source(stream, source(url.clone()), None).unwrap();
    }
    let sending = tokio::spawn(send_rtp(far.hub.clone(), "live/one", udp));
    for (stream, _) in &sources {
        near.playable(stream).await;
        let source = out.sources(stream).unwrap().remove(0);
        assert_eq!(source.status.state, LinkState::Live, "{source:?}");
        assert!(source.bytes_received > 0 && !source.url.contains("hunter22"), "{source:?}");
        let entry = near.hub.entry(&StreamKey::parse(stream).unwrap()).unwrap();
        assert_eq!(entry.live.read(|w: &Window| w.tracks().count()), 2, "{stream}: picture and sound");
    }
    // What cannot be taken is said and not tried again.
    let bad =
        out.add_source("live/fmp4", source(format!("http://{http}/live/one/v1/index.m3u8")), None).unwrap();
    let status = || out.sources("live/fmp4").unwrap().remove(0).status;
    until("fragmented MP4 is refused", || status().state == LinkState::Refused).await;
    let text = status().last_error.unwrap_or_default();
    assert!(text.contains("MPEG-TS"), "{text}");
    out.remove_source("live/fmp4", &bad.id).unwrap();
    sending.abort();
    drop(out);
    for server in [near, far] {
        std::fs::remove_dir_all(server.close().await).unwrap();
    }
}
