//! Two origins that one encoder feeds, and an edge that goes from one to the other without a viewer noticing.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::encoder::{Process, SMALL, eventually, ffmpeg_to, fresh};
use crate::support::hls::LowLatency;
use crate::support::plane::Plane;
use crate::support::{Server, http};

const LIMIT: Duration = Duration::from_secs(30);
const CAM: &str = "/live/cam1";

/// An origin that comes back under its addresses.
struct Node {
    data: PathBuf,
    settings: String,
    rtmp: SocketAddr,
    server: Option<Server>,
}

impl Node {
    fn start(&mut self) -> &Server {
        let rtmp = self.rtmp.to_string();
        let env = [("NEXUS__ORIGIN__RTMP__LISTEN", rtmp.as_str())];
        self.server.insert(Server::role_in("origin", &self.data, &self.settings, &env))
    }

    fn on(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    fn kill(&mut self) {
        self.server.take().expect("it runs").terminate("KILL");
    }
}

/// A port that is free for TCP and UDP, of those that the system gives to nobody who asks for any: the two must know
/// each other's addresses before they start, and keep them.
fn port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 9_000).unwrap_or(0);
    let any = (0..1_000).map(|_| 20_000 + first + NEXT.fetch_add(1, Ordering::Relaxed));
    let mut free = any.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    free.find(|at| TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()).expect("a free port")
}

/// Two origins that know each other, and the addresses of their planes.
fn twins(plane: &Plane) -> [(Node, SocketAddr); 2] {
    let [one, two] = [port(), port()];
    [(one, two, true), (two, one, false)].map(|(listen, peer, leads)| {
        let at = port();
        let twin = format!(
            "listen = \"{at}\"\n[origin.twin]\nlisten = \"{listen}\"\npeer = \"{peer}\"\nleads = {leads}"
        );
        let settings = plane.settings("origin", &twin);
        let data = fresh(&format!("twins-{leads}"));
        // Nothing of an earlier run: its streams would go on.
        std::fs::remove_dir_all(&data).expect("it is removed");
        let mut node = Node { data, settings, rtmp: port(), server: None };
        node.start();
        (node, at)
    })
}

/// One encoder that sends to both, and comes back to one that was away.
fn encoder(nodes: [&Node; 2]) -> Process {
    let to = nodes.map(|node| {
        format!(
            "[f=fifo:fifo_format=flv:drop_pkts_on_overflow=1:attempt_recovery=1:recover_any_error=1:\
             recovery_wait_time=1:restart_with_keyframe=1]rtmp://{}{CAM}",
            node.rtmp
        )
    });
    let flags = ["-flags", "+global_header", "-map", "0:v", "-map", "1:a", "-f", "tee"];
    ffmpeg_to(&[&flags[..], &[&to.join("|")]].concat(), SMALL)
}

fn text(node: SocketAddr, path: &str) -> Option<String> {
    let reply = http::get(node, path).ok().filter(|reply| reply.status == 200)?;
    String::from_utf8(reply.body).ok()
}

/// Whole segments that a playlist lists, by name.
fn segments(node: SocketAddr, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let list = text(node, &format!("{CAM}/{folder}/index.m3u8")).unwrap_or_default();
    let names = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let bytes = |name: &str| http::get(node, &format!("{CAM}/{folder}/{name}")).ok().map(|reply| reply.body);
    names.filter_map(|name| Some((name.to_owned(), bytes(name)?))).collect()
}

/// Asks an edge for everything, all the time; tells what failed.
struct Poller(Arc<AtomicBool>, JoinHandle<(usize, Vec<String>)>);

impl Poller {
    fn start(edge: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = stop.clone();
        let poll = move || {
            let (mut asked, mut failed) = (0, Vec::new());
            while !until.load(Ordering::Relaxed) {
                for list in ["index.m3u8", "v1/index.m3u8", "a1/index.m3u8", "ts/index.m3u8", "manifest.mpd"]
                {
                    asked += 1;
                    match http::get(edge, &format!("{CAM}/{list}")) {
                        Ok(reply) if reply.status == 200 => {}
                        Ok(reply) => failed.push(format!("{list}: {}", reply.status)),
                        Err(error) => failed.push(format!("{list}: {error}")),
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            (asked, failed)
        };
        Self(stop, std::thread::spawn(poll))
    }

    #[track_caller]
    fn stop(self) {
        self.0.store(true, Ordering::Relaxed);
        let (asked, failed) = self.1.join().expect("it asks");
        assert!(asked > 100 && failed.is_empty(), "{asked} requests: {failed:#?}");
    }
}

#[test]
fn when_one_of_two_origins_is_killed_no_viewer_notices() {
    let plane = Plane::new("twins-plane");
    let [(mut one, at_one), (mut two, at_two)] = twins(&plane);
    let edge = plane.edge(&[at_one, at_two]);
    let _encoder = encoder([&one, &two]);
    let both = |one: &Node, two: &Node| [one.on().origin(), two.on().origin()];
    for node in both(&one, &two).into_iter().chain([edge.edge()]) {
        let there = eventually(LIMIT, || text(node, &format!("{CAM}/ts/index.m3u8")));
        assert!(there.is_some(), "{}\n{}", one.on().log(), two.on().log());
    }
    let poller = Poller::start(edge.edge());
    let mut viewers =
        ["v1", "a1"].map(|t| LowLatency::join(edge.edge(), &format!("{CAM}/{t}/")).expect("it plays"));
    for _ in 0..6 {
        viewers.iter_mut().for_each(|viewer| assert!(!viewer.step().expect("it goes on").is_empty()));
    }
    for folder in ["v1", "a1", "ts"] {
        let [first, second] = both(&one, &two).map(|node| segments(node, folder));
        let common = first.iter().filter(|(name, _)| second.contains_key(*name));
        assert!(common.clone().count() >= 1, "{:?} {:?}", first.keys(), second.keys());
        common.for_each(|(name, bytes)| assert!(Some(bytes) == second.get(name), "{folder}/{name} differs"));
    }
    assert!(two.on().log().contains("the other origin packages this stream"), "{}", two.on().log());
    // Each viewer asks for what follows what it had, so that a jump would be an error; none fails. The second time it is
    // the other one's turn, when the first has come back.
    one.kill();
    for _ in 0..12 {
        viewers.iter_mut().for_each(|viewer| assert!(!viewer.step().expect("no request fails").is_empty()));
    }
    assert!(two.on().log().contains("\"went_on\":true"), "{}", two.on().log());
    let back = one.start().wait_for_log("the other origin packages this stream", LIMIT);
    assert!(back && one.on().wait_for_log("on air", LIMIT), "{}", one.on().log());
    // It goes on out of what the encoder has sent to it: some parts, so that the newest that viewers have is among that.
    for _ in 0..4 {
        viewers.iter_mut().for_each(|viewer| drop(viewer.step().expect("it goes on")));
    }
    two.kill();
    for _ in 0..12 {
        viewers.iter_mut().for_each(|viewer| assert!(!viewer.step().expect("no request fails").is_empty()));
    }
    poller.stop();
    let list = text(edge.edge(), &format!("{CAM}/v1/index.m3u8")).expect("a list");
    assert!(!list.contains("#EXT-X-DISCONTINUITY\n") && !list.contains("#EXT-X-GAP"), "{list}");
    assert!(one.on().log().contains("\"went_on\":true"), "{}", one.on().log());
}
