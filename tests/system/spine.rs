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
    let open = town.data().join("playback.public.json");
    let node = town.data().join("node.token");
    let program = nexus_bin();
    let words = ["token", "make", "--node", "--keys"];
    let files = [keys.to_str().expect("plain"), "--out", node.to_str().expect("plain")];
    let (ok, _, said) = run(program.to_str().expect("plain"), &[&words[..], &files].concat(), LIMIT);
    assert!(ok, "{said}");
    let origin = town.origin();
    let settings = plane.settings("edge", &format!("origins = [\"{}\"]", origin.plane()));
    let playback = format!(
        "[playback]\nkeys_file = {open:?}\nrevocations = [\"http://{}\"]\nnode_token_file = {node:?}\n",
        origin.origin()
    );
    town.launch("edge", &folder, &format!("{settings}{playback}"))
}

/// What the story is about.
struct Scene {
    town: Town,
    /// Elsewhere.
    edge: Server,
    /// Where the channel is asked for.
    channel: String,
    /// Of who watches.
    vera: String,
}

fn spine(name: &str, peers: Option<&Peers>) {
    let plane = Plane::new(&format!("spine-{name}"));
    let more = plane.settings("origin", "listen = \"127.0.0.1:0\"");
    let mut town = Town::build(&format!("spine-{name}"), peers, &SERVICES, &more);
    if town.is_apart() {
        town.revive("origin");
    }
    let edge = edge(&town, &plane);
    let vera = people(&mut town);
    sign_in(&mut town, "cleo");
    let made = town.post(CHANNELS, "club", &json!({"handle": "club", "members_only": true}));
    assert_eq!(made.status, 201, "{made:?}");
    let channel = format!("{CHANNELS}/{}", text(&made, "/id"));
    let mut scene = Scene { town, edge, channel, vera };
    let (key_id, key) = scene.goes_live();
    let seat = scene.takes_a_seat();
    if scene.town.is_apart() {
        for service in SERVICES {
            scene.goes_on_without(service, &seat);
        }
        // All of them at once.
        SERVICES.iter().for_each(|service| scene.town.kill(service));
        scene.is_shut(&seat.token);
        scene.goes_on(&seat);
        SERVICES.iter().for_each(|service| scene.town.revive(service));
        scene.town.pass(Duration::from_secs(31));
    } else {
        scene.goes_on(&seat);
    }
    scene.ends(&seat, &key_id, &key);
}

/// Who runs it, who makes something, who watches; the id of the last.
fn people(town: &mut Town) -> String {
    let invite = |town: &Town, role: &str| {
        let made = town.post(&format!("{AUTH}/invites"), role, &json!({"roles": [role]}));
        assert_eq!(made.status, 201, "{made:?}");
        made.body["token"].clone()
    };
    let sign_up = |town: &Town, handle: &str, invite: Value| {
        let account = json!({"handle": handle, "password": PASSWORD, "invite": invite});
        let said = town.post(&format!("{AUTH}/signup"), handle, &account);
        assert_eq!(said.status, 200, "{said:?}");
        text(&said, "/user/id")
    };
    sign_up(town, "root", invite(town, "operator"));
    sign_in(town, "root");
    sign_up(town, "cleo", invite(town, "creator"));
    let vera = sign_up(town, "vera", Value::Null);
    town.until("the core is behind the gateway", |town| town.get("/api/streamcore/v1/streams").status == 200);
    vera
}

/// What somebody watches with.
struct Seat {
    token: String,
    lease: String,
    /// In front of the names of files.
    base: String,
}

impl Scene {
    /// The channel's owner publishes; the key's id, and the key.
    fn goes_live(&mut self) -> (String, String) {
        let (town, keys) = (&mut self.town, format!("{}/stream-keys", self.channel));
        let key = town.post(&keys, "studio", &json!({"name": "studio"}));
        assert_eq!(key.status, 201, "{key:?}");
        let (key_id, key) = (text(&key, "/id"), text(&key, "/key"));
        town.until("the core knows the key", |town| town.get(&keys).body["items"][0]["ready"] == true);
        let wrong = refusal(town, "members/club?key=wrong");
        assert!(wrong.contains("the key is not one of NAME"), "{wrong}");
        for unknown in ["members/nobody-has-this?key=wrong", "channels/club?key=wrong"] {
            assert_eq!(refusal(town, unknown), wrong, "nobody learns which channels there are");
        }
        let (began, live) = (Instant::now(), format!("{}/live", self.channel));
        town.publish(&format!("members/club?key={key}"));
        town.until("it is live", |town| town.get(&live).body["stream"]["state"] == "live");
        eprintln!("live after {} ms, the start of the encoder included", began.elapsed().as_millis());
        (key_id, key)
    }

    /// Who is no member gets nothing; who becomes one watches at the edge elsewhere.
    fn takes_a_seat(&mut self) -> Seat {
        let (town, edge, playback) = (&mut self.town, self.edge.edge(), format!("{}/playback", self.channel));
        sign_in(town, "vera");
        assert_eq!(town.post(&playback, "vera early", &json!({})).status, 404);
        // Nor does she learn that it is there.
        let known =
            |town: &Town| town.list("/api/streamcore/v1/streams").iter().any(|s| s["key"] == "members/club");
        for path in ["streams/members/club/keys", "streams/members/club/targets", "streams/channels/x/keys"] {
            assert_eq!(town.get(&format!("/api/streamcore/v1/{path}")).status, 403, "{path}");
        }
        assert!(!known(town));
        sign_in(town, "root");
        assert!(known(town), "operators see it");
        sign_in(town, "cleo");
        let member = town.post(&format!("{}/members", self.channel), "", &json!({"handle": "vera"}));
        assert_eq!((member.status, &text(&member, "/user_id")), (200, &self.vera), "{member:?}");
        sign_in(town, "vera");
        let given = town.post(&playback, "vera", &json!({}));
        assert_eq!(given.status, 200, "{given:?}");
        let token = text(&given, "/token/token");
        let lease = format!("/api/session-mgr/v1/playback-leases/{}", text(&given, "/token/lease_id"));
        let base = format!("/token={token}/members/club");
        // Sent to whoever carries the core.
        let near = if town.is_apart() { town.origin().origin() } else { town.origin().edge() };
        assert_eq!(text(&given, "/urls/hls"), format!("http://{near}{base}/index.m3u8"));
        town.until("she watches at the edge elsewhere", |_| newest(edge, &base).is_some());
        let decoded = decode(&format!("http://{edge}{base}/index.m3u8"), 4);
        assert!(decoded.ok && decoded.video >= 30, "{decoded:?}");
        self.is_shut(&token);
        Seat { token, lease, base }
    }

    /// Without the right token there is not a byte, anywhere.
    fn is_shut(&self, token: &str) {
        let mut altered = token.to_owned().into_bytes();
        let at = altered.len() / 2;
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).expect("letters");
        let origin = self.town.origin();
        for node in [self.edge.edge(), if self.town.is_apart() { origin.origin() } else { origin.edge() }] {
            for (path, want) in [
                ("/members/club/index.m3u8", 401),
                (&format!("/token={token}/members/other/index.m3u8"), 403),
                (&format!("/token={altered}/members/club/index.m3u8"), 403),
                ("/token=x/members/club/v1/index.m3u8", 403),
            ] {
                assert_eq!(status(node, path), want, "{node} {path}");
            }
        }
    }

    /// Who publishes and who watches goes on.
    fn goes_on(&self, seat: &Seat) {
        let newest = || newest(self.edge.edge(), &seat.base);
        let before = newest();
        self.town.until("the stream goes on", |_| newest().is_some_and(|n| Some(n) != before));
    }

    /// Whatever dies; nothing new begins without those that it takes.
    fn goes_on_without(&mut self, service: &'static str, seat: &Seat) {
        self.town.kill(service);
        self.is_shut(&seat.token);
        let (tries, playback) = (Cell::new(0), format!("{}/playback", self.channel));
        let begin = |town: &Town| {
            tries.set(tries.get() + 1);
            town.post(&playback, &format!("{service} {}", tries.get()), &json!({})).status
        };
        if ["streaming-service-v2", "session-mgr"].contains(&service) {
            assert_eq!(begin(&self.town), 503, "{service}");
        } else {
            self.town.until("she begins to watch elsewhere too", |town| begin(town) == 200);
        }
        self.goes_on(seat);
        self.town.revive(service);
        // Ways to it that were closed are tried again after half a minute.
        self.town.pass(Duration::from_secs(31));
        sign_in(&mut self.town, "vera");
        self.town.until("her player says that it is there", |town| {
            town.send("PUT", &seat.lease, &[], &Value::Null).status == 200
        });
    }

    /// She is no member any more, and the key is deleted.
    fn ends(&mut self, seat: &Seat, key_id: &str, key: &str) {
        let (town, edge, channel) = (&mut self.town, self.edge.edge(), &self.channel);
        sign_in(town, "cleo");
        let member = format!("{channel}/members/{}", self.vera);
        town.until("it is answered", |town| town.send("DELETE", &member, &[], &Value::Null).status == 200);
        let asked = Instant::now();
        town.until("she is cut off", |_| status(edge, &format!("{}/index.m3u8", seat.base)) == 403);
        eprintln!("cut off at the edge elsewhere after {} ms", asked.elapsed().as_millis());
        // A clock that jumps lets processes think for a moment that others have been silent for long.
        let key_path = format!("{channel}/stream-keys/{key_id}");
        town.until("the key is deleted", |town| {
            town.send("DELETE", &key_path, &[], &Value::Null).status == 200
        });
        town.encoder_ends();
        let refused = refusal(town, &format!("members/club?key={key}"));
        assert_eq!(refused, refusal(town, "members/club?key=wrong"));
    }
}
