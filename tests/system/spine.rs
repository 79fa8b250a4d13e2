//! The spine: from sign-up to a viewer at an edge, and to their end. Told in one process and in processes of their own, with
//! an edge elsewhere that asks nobody.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::encoder::{decode, run};
use crate::support::plane::Plane;
use crate::support::town::{Peers, Said, Town};
use crate::support::{Server, http, nexus_bin};

const SERVICES: [&str; 5] = ["streaming-service-v2", "token-mgr", "session-mgr", "user-auth", "auth-service"];
const AUTH: &str = "/api/auth-service/v1";
const CHANNELS: &str = "/api/streaming-service-v2/v1/channels";
const PASSWORD: &str = "correct horse";
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn in_one_process() {
    spine("one", None);
}

#[test]
fn as_processes_of_their_own() {
    spine("apart", Some(&Peers::start()));
}

fn text(said: &Said, at: &str) -> String {
    let found = said.body.pointer(at).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {at}: {said:?}")).to_owned()
}

/// Signs somebody in, as soon as that can be.
fn sign_in(town: &mut Town, handle: &str) {
    let bearer = RefCell::new(None);
    town.until("somebody signs in", |town| {
        let said = town.post(&format!("{AUTH}/login"), "", &json!({"handle": handle, "password": PASSWORD}));
        bearer.replace((said.status == 200).then(|| text(&said, "/access_token")));
        bearer.borrow().is_some()
    });
    town.bearer = bearer.into_inner();
}

fn status(node: SocketAddr, path: &str) -> u16 {
    http::get(node, path).map_or(0, |reply| reply.status)
}

/// The segment that a stream got last, for who has the token.
fn newest(edge: SocketAddr, base: &str) -> Option<String> {
    let list =
        http::get(edge, &format!("{base}/ts/index.m3u8")).ok().filter(|reply| reply.status == 200)?.body;
    let list = String::from_utf8_lossy(&list).into_owned();
    list.lines().rfind(|line| !line.starts_with('#')).map(str::to_owned)
}

/// Why a publisher is turned away.
fn refusal(town: &Town, stream: &str) -> String {
    let to = format!("rtmp://{}/{stream}", town.origin().rtmp());
    let source = ["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=10", "-t", "2"];
    let (ok, _, said) = run("ffmpeg", &[&source[..], &["-c:v", "libx264", "-f", "flv", &to]].concat(), LIMIT);
    assert!(!ok, "{stream} was let in");
    let name = stream.split('?').next().unwrap_or_default();
    let said = said.lines().find_map(|line| line.split_once("Server error: ")).map(|(_, said)| said);
    said.unwrap_or_default().replace(name, "NAME")
}

/// An edge elsewhere, which has the origin's key and learns from it what is taken back.
fn edge(town: &Town, plane: &Plane) -> Server {
    let (keys, folder) = (town.data().join("playback.json"), town.data().join("edge"));
    let node = town.data().join("node.token");
    let program = nexus_bin();
    let words = ["token", "make", "--node", "--keys"];
    let files = [keys.to_str().expect("plain"), "--out", node.to_str().expect("plain")];
    let (ok, _, said) = run(program.to_str().expect("plain"), &[&words[..], &files].concat(), LIMIT);
    assert!(ok, "{said}");
    let origin = town.origin();
    let settings = plane.settings("edge", &format!("origins = [\"{}\"]", origin.plane()));
    let playback = format!(
        "[playback]\nkeys_file = {keys:?}\nrevocations = [\"http://{}\"]\nnode_token_file = {node:?}\n",
        origin.origin()
    );
    town.launch("edge", &folder, &format!("{settings}{playback}"))
}

fn spine(name: &str, peers: Option<&Peers>) {
    let plane = Plane::new(&format!("spine-{name}"));
    let more = plane.settings("origin", "listen = \"127.0.0.1:0\"");
    let mut town = Town::build(&format!("spine-{name}"), peers, &SERVICES, &more);
    if town.is_apart() {
        town.revive("origin");
    }
    let edge = edge(&town, &plane);
    let edge = (edge.edge(), edge);

    // People: who runs it, who makes something, who watches.
    let invite = town.post(&format!("{AUTH}/invites"), "first", &json!({"roles": ["operator"]}));
    let sign_up = |town: &Town, handle: &str, invite: Value| {
        let said = town.post(
            &format!("{AUTH}/signup"),
            handle,
            &json!({
                "handle": handle, "password": PASSWORD, "invite": invite,
            }),
        );
        assert_eq!(said.status, 200, "{said:?}");
        text(&said, "/user/id")
    };
    sign_up(&town, "root", invite.body["token"].clone());
    sign_in(&mut town, "root");
    let cleo = town.post(&format!("{AUTH}/invites"), "second", &json!({"roles": ["creator"]}));
    assert_eq!(cleo.status, 201, "{cleo:?}");
    sign_up(&town, "cleo", cleo.body["token"].clone());
    let vera = sign_up(&town, "vera", Value::Null);
    town.until("the core is behind the gateway", |town| town.get("/api/streamcore/v1/streams").status == 200);

    // A channel, and what it is published with.
    sign_in(&mut town, "cleo");
    let made = town.post(CHANNELS, "club", &json!({"handle": "club", "members_only": true}));
    assert_eq!(made.status, 201, "{made:?}");
    let channel = format!("{CHANNELS}/{}", text(&made, "/id"));
    let keys = format!("{channel}/stream-keys");
    let key = town.post(&keys, "studio", &json!({"name": "studio"}));
    assert_eq!(key.status, 201, "{key:?}");
    let (key_id, key) = (text(&key, "/id"), text(&key, "/key"));
    town.until("the core knows the key", |town| town.get(&keys).body["items"][0]["ready"] == true);
    let wrong = refusal(&town, "members/club?key=wrong");
    assert!(wrong.contains("the key is not one of NAME"), "{wrong}");
    for unknown in ["members/nobody-has-this?key=wrong", "channels/club?key=wrong"] {
        assert_eq!(refusal(&town, unknown), wrong, "nobody learns which channels there are");
    }
    let began = Instant::now();
    town.publish(&format!("members/club?key={key}"));
    town.until("it is live", |town| town.get(&format!("{channel}/live")).body["stream"]["state"] == "live");
    eprintln!("live after {} ms, the start of the encoder included", began.elapsed().as_millis());

    // Who is no member gets no byte.
    let playback = format!("{channel}/playback");
    sign_in(&mut town, "vera");
    assert_eq!(town.post(&playback, "vera early", &json!({})).status, 404);
    sign_in(&mut town, "cleo");
    let member = town.post(&format!("{channel}/members"), "", &json!({"handle": "vera"}));
    assert_eq!((member.status, text(&member, "/user_id")), (200, vera.clone()), "{member:?}");
    sign_in(&mut town, "vera");
    let given = town.post(&playback, "vera", &json!({}));
    assert_eq!(given.status, 200, "{given:?}");
    let token = text(&given, "/token/token");
    let lease = format!("/api/session-mgr/v1/playback-leases/{}", text(&given, "/token/lease_id"));
    let base = format!("/token={token}/members/club");
    town.until("she watches at the edge elsewhere", |_| newest(edge.0, &base).is_some());
    let decoded = decode(&format!("http://{}{base}/index.m3u8", edge.0), 4);
    assert!(decoded.ok && decoded.video >= 30, "{decoded:?}");
    let mut altered = token.clone().into_bytes();
    let at = altered.len() / 2;
    altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).expect("letters");
    let shut = |town: &Town| {
        let here = if town.is_apart() { town.origin().origin() } else { town.origin().edge() };
        for node in [edge.0, here] {
            for (path, want) in [
                ("/members/club/index.m3u8".to_owned(), 401),
                (format!("/token={token}/members/other/index.m3u8"), 403),
                (format!("/token={altered}/members/club/index.m3u8"), 403),
                (format!("/token=x/members/club/v1/index.m3u8"), 403),
            ] {
                assert_eq!(status(node, &path), want, "{node} {path}");
            }
        }
    };
    shut(&town);

    // Whatever dies, who publishes and who watches goes on; nothing new begins without those it takes.
    if town.is_apart() {
        for service in SERVICES {
            town.kill(service);
            let before = newest(edge.0, &base);
            shut(&town);
            let tries = Cell::new(0);
            let begin = |town: &Town| {
                tries.set(tries.get() + 1);
                town.post(&playback, &format!("{service} {}", tries.get()), &json!({})).status
            };
            if ["streaming-service-v2", "session-mgr"].contains(&service) {
                assert_eq!(begin(&town), 503, "{service}");
            } else {
                // Or three are watched already.
                town.until("others begin to watch", |town| [200, 409].contains(&begin(town)));
            }
            town.until("the stream goes on", |_| newest(edge.0, &base).is_some_and(|n| Some(n) != before));
            town.revive(service);
            // Ways to it that were closed are tried again after half a minute.
            town.pass(Duration::from_secs(31));
            sign_in(&mut town, "vera");
            town.until("her player says that it is there", |town| {
                town.send("PUT", &lease, &[], &Value::Null).status == 200
            });
        }
        // All of them at once: the edge asks nobody.
        SERVICES.iter().for_each(|service| town.kill(service));
        shut(&town);
        let before = newest(edge.0, &base);
        town.until("she still watches", |_| newest(edge.0, &base).is_some_and(|n| Some(n) != before));
        SERVICES.iter().for_each(|service| town.revive(service));
        town.pass(Duration::from_secs(31));
    } else {
        let before = newest(edge.0, &base);
        town.until("she still watches", |_| newest(edge.0, &base).is_some_and(|n| Some(n) != before));
    }

    // She is no member any more, and the key is deleted.
    sign_in(&mut town, "cleo");
    town.until("it is answered", |town| {
        town.send("DELETE", &format!("{channel}/members/{vera}"), &[], &Value::Null).status == 200
    });
    let asked = Instant::now();
    town.until("she is cut off", |_| status(edge.0, &format!("{base}/index.m3u8")) == 403);
    eprintln!("cut off at the edge elsewhere after {} ms", asked.elapsed().as_millis());
    let gone = town.send("DELETE", &format!("{keys}/{key_id}"), &[], &Value::Null);
    assert_eq!(gone.status, 200, "{gone:?}");
    town.encoder_ends();
    assert_eq!(refusal(&town, &format!("members/club?key={key}")), wrong);
}
