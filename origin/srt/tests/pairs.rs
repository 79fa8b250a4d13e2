//! Caller and listener over real sockets, through bad networks, and with libsrt where it is installed.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test waits on the real clock and fails by panic"
)]

#[path = "../../../tests/support/relay.rs"]
mod relay;

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nx_srt::{
    Answer, CallerConfig, Gate, KeyLength, Link, Listener, ListenerConfig, Passphrase, RefusedByListener,
    Reject, Request, SendError, connect,
};
use relay::{Counts, Faults, Relay, Way};

const SECRET: &str = "correct-horse";
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers by stream id: `secret..` wants the passphrase, `no` is not found, `late` is kept, the rest comes in.
struct House {
    links: Mutex<Sender<Link>>,
    refused: Mutex<Sender<String>>,
    kept: Mutex<Vec<Answer>>,
}

impl Gate for House {
    fn admit(&self, request: Request) {
        let Request { stream_id, answer, .. } = request;
        let passphrase = stream_id.starts_with("secret").then(|| secret(SECRET));
        match stream_id.as_str() {
            "no" => answer.reject(Reject::NotFound),
            "drop" => drop(answer),
            "late" => self.kept.lock().expect("whole").push(answer),
            _ => {
                let links = self.links.lock().expect("whole").clone();
                answer.accept(passphrase, Box::new(move |link| drop(links.send(link))));
            }
        }
    }

    fn refused(&self, _: SocketAddr, stream_id: &str, reason: &str) {
        let _ = self.refused.lock().expect("whole").send(format!("{stream_id}: {reason}"));
    }
}

struct Server {
    listener: Listener,
    house: Arc<House>,
    links: Receiver<Link>,
    refused: Receiver<String>,
}

fn serve(config: ListenerConfig) -> Server {
    let ((links_in, links), (refused_in, refused)) = (channel(), channel());
    let house =
        House { links: Mutex::new(links_in), refused: Mutex::new(refused_in), kept: Mutex::new(Vec::new()) };
    let house = Arc::new(house);
    let gate: Arc<dyn Gate> = house.clone();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), config, gate).expect("loopback can be bound");
    Server { listener, house, links, refused }
}

fn secret(words: &str) -> Passphrase {
    Passphrase::try_from(words.to_owned()).expect("of good length")
}

fn pair(server: &Server, config: CallerConfig) -> (Link, Link) {
    let near = connect(config).expect("the gate lets it in");
    (near, server.links.recv_timeout(PATIENCE).expect("the listener has it too"))
}

fn caller(server: &Server, stream_id: &str) -> CallerConfig {
    CallerConfig::new(server.listener.address(), stream_id)
}

/// Why a call was refused.
fn reason(config: CallerConfig) -> Reject {
    let error = connect(config).expect_err("refused");
    error.get_ref().and_then(|e| e.downcast_ref::<RefusedByListener>()).unwrap_or_else(|| panic!("{error}")).0
}

/// A bell for a link.
fn bell(link: &Link) -> Receiver<()> {
    let (ring, bell) = channel();
    let ring = Mutex::new(ring);
    link.set_waker(Box::new(move || {
        // Nobody listens any more when the test is over.
        let _ = ring.lock().expect("whole").send(());
    }));
    bell
}

/// Messages until `count` are there or the link is closed.
fn gather(link: &Link, count: usize) -> Vec<Bytes> {
    let (bell, mut got, until) = (bell(link), Vec::new(), Instant::now() + PATIENCE * 3);
    while link.drain(&mut got) > 0 || (got.len() < count && link.closed().is_none()) {
        if got.len() < count && bell.recv_timeout(PATIENCE).is_err() || Instant::now() > until {
            break;
        }
    }
    link.drain(&mut got);
    got
}

fn wait_closed(link: &Link) -> String {
    let bell = bell(link);
    let until = Instant::now() + PATIENCE;
    while link.closed().is_none() && Instant::now() < until {
        let _ = bell.recv_timeout(PATIENCE);
    }
    link.closed().expect("closed in time")
}

/// A pause without a sleep: nothing ever comes from a channel that is held.
fn pause(time: Duration) {
    let (_held, never) = channel::<()>();
    let _ = never.recv_timeout(time);
}

fn message(n: u32, length: usize) -> Bytes {
    let mut message = vec![(n % 251) as u8; length];
    message[..4].copy_from_slice(&n.to_be_bytes());
    message.into()
}

fn number(message: &Bytes) -> u32 {
    u32::from_be_bytes(message[..4].try_into().expect("four bytes"))
}

/// Sends `count` messages, `batch` every 5 ms.
fn feed(link: &Link, count: u32, batch: u32, length: usize) {
    let start = Instant::now();
    for first in (0..count).step_by(batch as usize) {
        for n in first..count.min(first + batch) {
            assert_eq!(link.send(message(n, length)), Ok(()));
        }
        let due = start + Duration::from_millis(5) * (first / batch + 1);
        pause(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn both_ways_messages_arrive_in_order() {
    let server = serve(ListenerConfig::default());
    let (near, far) = pair(&server, caller(&server, "#!::r=live/a,m=publish"));
    assert_eq!(far.stream_id(), "#!::r=live/a,m=publish");
    feed(&near, 50, 5, 1316);
    feed(&far, 50, 5, 188);
    let (there, back) = (gather(&far, 50), gather(&near, 50));
    assert_eq!(there, (0..50).map(|n| message(n, 1316)).collect::<Vec<_>>());
    assert_eq!(back, (0..50).map(|n| message(n, 188)).collect::<Vec<_>>());
    near.close();
    assert_eq!(wait_closed(&near), "closed here");
    assert_eq!(wait_closed(&far), "closed by the peer");
    assert_eq!(far.send(Bytes::from_static(b"x")), Err(SendError::Closed));
}

#[test]
fn the_gate_decides_and_the_caller_learns_why() {
    let server = serve(ListenerConfig { connections_max: 2, ..ListenerConfig::default() });
    assert_eq!(reason(caller(&server, "no")), Reject::NotFound);
    assert_eq!(reason(caller(&server, "drop")), Reject::Peer);
    let wrong = CallerConfig { passphrase: Some(secret("not the horse")), ..caller(&server, "secret") };
    assert_eq!(reason(wrong), Reject::BadSecret);
    assert_eq!(reason(caller(&server, "secret")), Reject::Unsecure);
    let needless = CallerConfig { passphrase: Some(secret(SECRET)), ..caller(&server, "open") };
    assert_eq!(reason(needless), Reject::Unsecure);
    let told: Vec<String> = server.refused.try_iter().collect();
    assert_eq!(told.len(), 3);
    assert_eq!(told[0], "secret: wrong passphrase (10)");
    let (_a, _b) = (pair(&server, caller(&server, "a")), pair(&server, caller(&server, "b")));
    assert_eq!(reason(caller(&server, "c")), Reject::Overload);
}

#[test]
fn an_answer_has_five_seconds() {
    let server = serve(ListenerConfig::default());
    let patient = CallerConfig { connect_timeout: PATIENCE, ..caller(&server, "late") };
    assert_eq!(reason(patient), Reject::Timeout);
    assert_eq!(server.refused.recv_timeout(PATIENCE).expect("told"), "late: no answer in time (16)");
    // The answer after that changes nothing, and the retransmitted conclusions were one request.
    let kept = std::mem::take(&mut *server.house.kept.lock().expect("whole"));
    // A conclusion that comes together with the refusal is a new request.
    assert!((1..=2).contains(&kept.len()));
    kept.into_iter().for_each(|a| a.reject(Reject::Conflict));
    pair(&server, caller(&server, "next"));
}

#[test]
fn each_key_length_carries_messages_both_ways() {
    let server = serve(ListenerConfig::default());
    for key in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
        let config = CallerConfig { passphrase: Some(secret(SECRET)), key, ..caller(&server, "secret/x") };
        let (near, far) = pair(&server, config);
        feed(&near, 40, 10, 1316);
        feed(&far, 40, 10, 1316);
        assert_eq!(gather(&far, 40), (0..40).map(|n| message(n, 1316)).collect::<Vec<_>>());
        assert_eq!(gather(&near, 40).len(), 40);
        pause(Duration::from_millis(300));
        assert_eq!(far.stats().key_bytes, key.bytes());
        assert_eq!(far.stats().packets_undecrypted, 0);
    }
}

#[test]
fn a_hundred_thousand_messages_are_complete_and_in_order() {
    // Room for a busy machine: what is late is dropped, as it should be.
    let server = serve(ListenerConfig { latency_ms: 500, ..ListenerConfig::default() });
    let (near, far) = pair(&server, CallerConfig { latency_ms: 500, ..caller(&server, "many") });
    let reader = std::thread::spawn(move || gather(&far, 100_000));
    feed(&near, 100_000, 50, 100);
    near.close();
    let got = reader.join().expect("no panic");
    assert_eq!(got.len(), 100_000);
    assert!(got.iter().enumerate().all(|(n, m)| number(m) as usize == n));
}

#[test]
fn two_percent_of_loss_is_repaired_within_the_latency() {
    let server = serve(ListenerConfig::default());
    let way = Way { loss_pct: 2.0, delay: Duration::from_millis(25), ..Way::default() };
    let relay = Relay::start(server.listener.address(), Faults::both(way, 7));
    let config = CallerConfig { latency_ms: 500, ..CallerConfig::new(relay.address(), "lossy") };
    let (near, far) = pair(&server, config);
    feed(&near, 3_000, 5, 1316);
    let got = gather(&far, 3_000);
    pause(Duration::from_millis(300));
    let (stats, counts) = (far.stats(), relay.counts());
    assert_eq!(got.len(), 3_000, "{stats:?} {counts:?}");
    assert!(got.windows(2).all(|w| number(&w[0]) < number(&w[1])));
    assert!(
        counts.lost > 20 && stats.packets_lost > 20 && stats.packets_retransmitted > 20,
        "{stats:?} {counts:?}"
    );
    assert!((45_000..120_000).contains(&stats.rtt_us), "{stats:?}");
    assert!(stats.naks_sent > 10 && stats.latency_ms == 500, "{stats:?}");
}

#[test]
fn reordered_repeated_and_broken_datagrams_do_no_harm() {
    let server = serve(ListenerConfig::default());
    let way = Way {
        reorder_pct: 10.0,
        reorder_delay: Duration::from_millis(15),
        duplicate_pct: 10.0,
        ..Way::default()
    };
    let relay = Relay::start(server.listener.address(), Faults::both(way, 3));
    let (near, far) =
        pair(&server, CallerConfig { latency_ms: 300, ..CallerConfig::new(relay.address(), "odd") });
    feed(&near, 1_000, 5, 1316);
    assert_eq!(gather(&far, 1_000).len(), 1_000);
    // SRT has no checksum of its own: with corruption only survival counts.
    relay.set(Faults::both(Way { corrupt_pct: 30.0, ..way }, 3));
    for n in 0..1_000 {
        let _ = near.send(message(n, 1316));
        pause(Duration::from_micros(500));
    }
    let Counts { received, lost, reordered, duplicated, corrupted, clients } = relay.counts();
    assert!(
        received > 2_000
            && lost == 0
            && reordered > 100
            && duplicated > 100
            && corrupted > 100
            && clients == 1
    );
    relay.set(Faults::none());
    let (near, far) = pair(&server, CallerConfig::new(relay.address(), "after"));
    feed(&near, 10, 10, 100);
    assert_eq!(gather(&far, 10).len(), 10);
}

#[test]
fn a_silent_peer_and_a_slow_reader_are_cut_off_with_the_reason() {
    let server =
        serve(ListenerConfig { peer_idle_s: 1, queue_bytes_max: 50_000, ..ListenerConfig::default() });
    let relay = Relay::start(server.listener.address(), Faults::none());
    let (near, far) = pair(&server, CallerConfig::new(relay.address(), "silent"));
    relay.set(Faults::both(Way { loss_pct: 100.0, ..Way::default() }, 1));
    assert_eq!(wait_closed(&far), "nothing heard for 1 s");
    drop(near);
    let (near, far) = pair(&server, caller(&server, "slow"));
    feed(&near, 100, 10, 1316);
    assert_eq!(wait_closed(&far), "the reader is too slow: more than 50000 bytes wait");
    assert_eq!(wait_closed(&near), "closed by the peer");
}

#[test]
fn a_dropped_link_and_a_shut_down_listener_say_goodbye() {
    let server = serve(ListenerConfig::default());
    let (near, far) = pair(&server, caller(&server, "dropped"));
    drop(near);
    assert_eq!(wait_closed(&far), "closed by the peer");
    let (near, far) = pair(&server, caller(&server, "stopped"));
    server.listener.shutdown();
    assert_eq!(wait_closed(&far), "the server stops");
    assert_eq!(wait_closed(&near), "closed by the peer");
}

#[test]
fn junk_and_old_versions_get_nowhere() {
    let server = serve(ListenerConfig::default());
    let (near, far) = pair(&server, caller(&server, "good"));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    socket.connect(server.listener.address()).expect("an address");
    let mut state = 0x1234_5678_u64;
    for n in 0..20_000_u32 {
        let mut junk = [0_u8; 80];
        for byte in &mut junk {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        match n % 3 {
            // An induction, a conclusion without our cookie, noise.
            0 => induction(&mut junk, 1),
            1 => induction(&mut junk, -1),
            _ => {}
        }
        socket.send(&junk[..(n as usize % 81)]).expect("sent");
    }
    // Version 4, with the right cookie.
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let mut first = [0; 64];
    induction(&mut first, 1);
    let mut reply = [0; 1_500];
    while socket.set_nonblocking(true).is_ok() && socket.recv(&mut reply).is_ok() {}
    socket.set_nonblocking(false).expect("possible");
    first[40..44].copy_from_slice(&77_u32.to_be_bytes());
    socket.send(&first).expect("sent");
    let until = Instant::now() + PATIENCE;
    while reply[12..16] != 77_u32.to_be_bytes() && Instant::now() < until {
        socket.recv(&mut reply).expect("an answer with a cookie");
    }
    first[36..40].copy_from_slice(&(-1_i32).to_be_bytes());
    first[44..48].copy_from_slice(&reply[44..48]);
    socket.send(&first).expect("sent");
    while reply[36..40] != 1_008_i32.to_be_bytes() && Instant::now() < until {
        socket.recv(&mut reply).expect("a refusal");
    }
    assert_eq!(server.refused.recv_timeout(PATIENCE).expect("told"), ": version too old (8)");
    feed(&near, 20, 10, 1316);
    assert_eq!(gather(&far, 20).len(), 20);
    assert!(server.links.try_recv().is_err());
}

/// Turns junk into a handshake of version 4.
fn induction(datagram: &mut [u8], kind: i32) {
    datagram[..16].fill(0);
    datagram[0] = 0x80;
    datagram[16..20].copy_from_slice(&4_u32.to_be_bytes());
    datagram[20..24].copy_from_slice(&2_u32.to_be_bytes());
    datagram[36..40].copy_from_slice(&kind.to_be_bytes());
}

/// Whether this machine has ffmpeg with libsrt.
fn libsrt() -> bool {
    let protocols = Command::new("ffmpeg").args(["-hide_banner", "-protocols"]).output();
    protocols.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("srt"))
}

fn ffmpeg(arguments: &str) -> std::process::Child {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-v", "error", "-nostdin"]).args(arguments.split(' '));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ffmpeg starts")
}

const PICTURE: &str = "-re -f lavfi -i testsrc2=s=320x180:r=25:d=4 -c:v mpeg2video -b:v 3M -f mpegts";

#[test]
fn libsrt_publishes_with_keys_that_change() {
    if !libsrt() {
        return;
    }
    let server = serve(ListenerConfig::default());
    let address = server.listener.address();
    for (id, keys) in [
        ("live/plain", ""),
        ("secret/16", "&passphrase=correct-horse&pbkeylen=16&kmrefreshrate=250&kmpreannounce=100"),
        ("secret/32", "&passphrase=correct-horse&pbkeylen=32&kmrefreshrate=250&kmpreannounce=100"),
    ] {
        let mut child = ffmpeg(&format!("{PICTURE} srt://{address}?streamid={id}&pkt_size=1316{keys}"));
        let far = server.links.recv_timeout(PATIENCE).expect("ffmpeg comes");
        let got = gather(&far, usize::MAX);
        assert!(child.wait().expect("ends").success());
        // Four seconds are at least 600 messages: two changes of keys at least.
        assert!(
            got.len() > 600 && got.iter().all(|m| m.len() % 188 == 0 && m[0] == 0x47),
            "{id}: {}",
            got.len()
        );
        let stats = far.stats();
        assert_eq!((stats.packets_undecrypted, stats.packets_dropped), (0, 0), "{id}");
        assert_eq!(wait_closed(&far), "closed by the peer");
    }
    let mut child = ffmpeg(&format!("{PICTURE} srt://{address}?streamid=secret/x&passphrase=wrong-horse"));
    assert!(!child.wait().expect("ends").success(), "the wrong passphrase");
    assert_eq!(server.refused.recv_timeout(PATIENCE).expect("told"), "secret/x: wrong passphrase (10)");
}

#[test]
fn libsrt_plays_what_is_sent_and_takes_what_is_pushed() {
    if !libsrt() {
        return;
    }
    let server = serve(ListenerConfig::default());
    let address = server.listener.address();
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port();
    let copy = |input: &str| {
        let mut command = Command::new("ffmpeg");
        command.args([
            "-v", "error", "-nostdin", "-f", "mpegts", "-i", input, "-c", "copy", "-f", "mpegts", "pipe:1",
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ffmpeg starts")
    };
    let pushed = copy(&format!("srt://127.0.0.1:{port}?mode=listener&passphrase=correct-horse"));
    let played = copy(&format!("srt://{address}?streamid=read:live/x"));
    let player = server.links.recv_timeout(PATIENCE).expect("the player comes");
    let target = SocketAddr::from(([127, 0, 0, 1], port));
    let target = CallerConfig { passphrase: Some(secret(SECRET)), ..CallerConfig::new(target, "x") };
    let push = connect(CallerConfig { connect_timeout: PATIENCE, ..target }).expect("ffmpeg listens");
    let mut child = ffmpeg(&format!("{PICTURE} srt://{address}?streamid=live/x&pkt_size=1316"));
    let source = server.links.recv_timeout(PATIENCE).expect("ffmpeg comes");
    let (bell, mut got, mut sent) = (bell(&source), Vec::new(), 0);
    while source.closed().is_none() {
        let _ = bell.recv_timeout(PATIENCE);
        source.drain(&mut got);
        for message in got.drain(..) {
            sent += message.len();
            player.send(message.clone()).expect("room");
            push.send(message).expect("room");
        }
    }
    assert!(child.wait().expect("ends").success());
    player.close();
    push.close();
    for child in [played, pushed] {
        let output = child.wait_with_output().expect("ends").stdout;
        // The copy has other padding; what counts is that nearly all of it came.
        assert!(output.len() > sent * 8 / 10 && sent > 700_000, "{} of {sent}", output.len());
    }
}
