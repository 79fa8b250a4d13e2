//! A node that takes networks over its API and from its file, and follows them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, header};
use http_body_util::BodyExt as _;
use nx_access::{Claims, Denial, Keys, Shown, Way, What};
use nx_cdn_config::Seat;
use nx_delivery::{Body, Directory, LiveStream, Response, TlsConfig, Upload};
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::cache::CacheConfig;

const KEY: &str = "a-key-of-the-network";
const EDGES: &str = "\
[[region]]
name = \"home\"
[[edge]]
name = \"e1\"
region = \"home\"
url = \"http://127.0.0.1:1\"
[[edge]]
name = \"e2\"
region = \"home\"
url = \"http://127.0.0.2:1\"
[[origin]]
name = \"theirs\"
http = \"http://127.0.0.1:1\"
[steering]
ttl_s = 5
";
const ROUTE: &str = "[[route]]\npath = \"/hls/*\"\norigins = [\"theirs\"]\n";

struct Empty;

impl Directory for Empty {
    fn find(&self, _key: &StreamKey) -> Option<Arc<LiveStream>> {
        None
    }
}

/// A node in a folder of its own, which goes with it.
struct Node {
    control: Arc<Control>,
    folder: PathBuf,
    _stop: watch::Sender<bool>,
}

impl Node {
    fn start(name: &str, network: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("nexus-network-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("network.toml"), network).expect("a file");
        std::fs::write(folder.join("countries"), "198.51.100.0/24,DE\n").expect("a file");
        Self::again(folder)
    }

    fn again(folder: PathBuf) -> Self {
        let config = NetworkConfig {
            file: Some(folder.join("network.toml")),
            node: Some("e1".into()),
            key: Some(serde_json::from_value(KEY.into()).expect("a key")),
            countries: Some(folder.join("countries")),
            ..NetworkConfig::default()
        };
        let (stop, stopped) = watch::channel(false);
        let opened = Opened::read(&config, false).expect("good").expect("it is named");
        let gate = Gate::open(nx_access::Terms::default()).expect("a gate");
        let parts = Parts {
            cache: Cache::open(&CacheConfig::default(), &[], (&gate, None), &stopped).expect("a cache"),
            media: Arc::new(Media::new(Arc::new(Empty), "edge", 1)),
            plane: None,
            certs: TlsConfig::default().certs(&folder).expect("certificates"),
            gate,
        };
        Self { control: Control::start(opened, parts).expect("it starts"), folder, _stop: stop }
    }

    /// Whether the route of a path lets somebody in who is in Germany.
    fn opens(&self, path: &str, token: &str) -> Result<(), Denial> {
        let mut request = request(path, "");
        let route = self.control.parts.cache.route(&request).expect("a route");
        let gate = route.rules.token.clone().expect("it asks for a token");
        let shown = Shown { token: token.to_owned(), way: Way::Header };
        let place = ("198.51.100.7".parse().expect("an address"), Some("DE"));
        gate.enter(&mut request, Some(shown), place, 1).map(|pass| assert!(pass.is_some()))
    }

    /// Status and body of an answer of the API.
    async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let mut request = request(path, body);
        *request.method_mut() = method;
        let key = format!("Bearer {KEY}").parse().expect("a value");
        request.headers_mut().insert(header::AUTHORIZATION, key);
        let answer = self.control.answer(request).await;
        let response = answer.unwrap_or_else(|problem| problem.response("test"));
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    async fn put(&self, network: &str) -> (u16, Value) {
        self.ask(Method::PUT, "/api/v1/network", network).await
    }

    /// What a viewer with this address gets for a path: the status, and when to ask again.
    fn admits(&self, address: &str, path: &str) -> (u16, Option<u32>) {
        let request = request(path, "");
        let Some(upstream) = self.control.parts.cache.route(&request) else { return (404, None) };
        let address = address.parse().expect("an address");
        match self.control.admit(&upstream.rules, address, &request) {
            Ok(_) => (200, None),
            Err(problem) => (problem.status.as_u16(), problem.retry_after_s),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn request(path: &str, body: &str) -> Request {
    let mut request = Request::new(Upload::Whole(Bytes::copy_from_slice(body.as_bytes())));
    *request.uri_mut() = path.parse().expect("a target");
    request
}

fn peer(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().expect("an address"), 1)
}

#[tokio::test]
async fn nobody_changes_the_network_without_the_key() {
    let node = Node::start("key", EDGES);
    for (key, status) in [(None, 401), (Some("Bearer other"), 401), (Some("Basic x"), 401)] {
        let mut request = request("/api/v1/network", EDGES);
        *request.method_mut() = Method::PUT;
        if let Some(key) = key {
            request.headers_mut().insert(header::AUTHORIZATION, key.parse().expect("a value"));
        }
        let answer = node.control.answer(request).await;
        assert_eq!(answer.err().map(|problem| problem.status.as_u16()), Some(status), "{key:?}");
    }
    assert_eq!(node.control.held().number, 1);
}

#[tokio::test]
async fn what_has_mistakes_changes_nothing_and_every_mistake_has_its_place() {
    let node = Node::start("mistakes", EDGES);
    let bad = format!("{EDGES}[[route]]\npath = \"live\"\norigins = [\"nobody\"]\n");
    let (status, told) = node.put(&bad).await;
    assert_eq!((status, told["type"].as_str()), (422, Some("urn:nexus:problem:bad-network")));
    let errors = told["errors"].as_array().expect("errors");
    let place = |nth: usize| (errors[nth]["line"].as_u64(), errors[nth]["key"].as_str());
    let lines = EDGES.lines().count() as u64;
    assert_eq!(place(0), (Some(lines + 2), Some("route[0].path")), "{told:#}");
    assert!(errors.iter().all(|e| e["remedy"].as_str().is_some_and(|r| !r.is_empty())), "{told:#}");
    // Good in itself, and not for this node.
    for (network, key) in [
        (EDGES.replace("\"e1\"", "\"e3\""), "edge"),
        (EDGES.replace("127.0.0.1:1\"\n[steer", "127.0.0.1:1\"\nplane = \"a:1\"\n[steer"), "origin[0].plane"),
    ] {
        let (status, told) = node.put(&network).await;
        assert_eq!((status, told["errors"][0]["key"].as_str()), (422, Some(key)), "{told:#}");
    }
    assert_eq!((node.control.held().number, node.admits("127.0.0.1", "/hls/a").0), (1, 404));
}

#[tokio::test]
async fn versions_are_put_listed_rolled_back_and_outlive_a_restart() {
    let node = Node::start("versions", EDGES);
    assert_eq!(node.admits("127.0.0.1", "/hls/a").0, 404, "there is no route");
    let (status, told) = node.put(&format!("{EDGES}{ROUTE}")).await;
    assert_eq!((status, told["version"].as_u64()), (200, Some(2)));
    assert!(told["changes"][0].as_str().is_some_and(|c| c.starts_with("+ route /hls/*")), "{told:#}");
    assert_eq!(node.admits("127.0.0.1", "/hls/a").0, 200);
    let (_, shown) = node.ask(Method::GET, "/api/v1/network", "").await;
    assert_eq!((&shown["version"], &shown["network"]["route"][0]["path"]), (&2.into(), &"/hls/*".into()));
    // JSON is as good as TOML.
    let (status, _) = node.ask(Method::PUT, "/api/v1/network", &shown["network"].to_string()).await;
    assert_eq!(status, 422, "when it says so");
    let rolled = node.ask(Method::POST, "/api/v1/network/rollback", "{\"version\": 1}").await;
    assert_eq!((rolled.0, &rolled.1["version"]), (200, &3.into()));
    assert_eq!(node.admits("127.0.0.1", "/hls/a").0, 404);
    let missing = node.ask(Method::POST, "/api/v1/network/rollback", "{\"version\": 9}").await;
    assert_eq!(missing.0, 404);
    let (_, versions) = node.ask(Method::GET, "/api/v1/network/versions", "").await;
    assert_eq!(versions, serde_json::json!({"current": 3, "versions": [1, 2, 3]}));
    let (_, second) = node.ask(Method::GET, "/api/v1/network/versions/2", "").await;
    assert_eq!(second["network"], shown["network"]);
    node.put(&format!("{EDGES}{ROUTE}")).await;
    // The process starts again: the file has not changed since, so the fourth version stays.
    let again = Node::again(node.folder.clone());
    assert_eq!((again.control.held().number, again.admits("127.0.0.1", "/hls/a").0), (4, 200));
    // The file changes.
    std::fs::write(node.folder.join("network.toml"), EDGES.replace("ttl_s = 5", "ttl_s = 6"))
        .expect("written");
    again.control.read_again();
    assert_eq!((again.control.held().number, again.admits("127.0.0.1", "/hls/a").0), (5, 404));
    std::fs::write(node.folder.join("network.toml"), "[[edge]]\n").expect("written");
    again.control.read_again();
    assert_eq!(again.control.held().number, 5, "what has mistakes is not taken over");
}

#[tokio::test]
async fn access_and_limits_are_in_force_at_once() {
    let node = Node::start("rules", &format!("{EDGES}{ROUTE}"));
    let rules = "access = \"here\"\nlimit = \"few\"\n[[access]]\nname = \"here\"\ndeny = [\"10.0.0.0/8\"]\n\
                 countries_allow = [\"DE\"]\n[[limit]]\nname = \"few\"\nrequests_per_s = 2\n";
    assert_eq!(node.admits("10.0.0.1", "/hls/a").0, 200);
    assert_eq!(node.put(&format!("{EDGES}{ROUTE}{rules}")).await.0, 200);
    assert_eq!(node.admits("10.0.0.1", "/hls/a"), (403, None));
    assert_eq!(node.admits("203.0.113.1", "/hls/a"), (403, None), "of no country");
    let german = || node.admits("198.51.100.7", "/hls/a");
    assert_eq!([german(), german(), german()], [(200, None), (200, None), (429, Some(1))]);
    let token = "token = \"shop\"\n[[token]]\nname = \"shop\"\nkeys = \"https://id.example.com/keys\"\n";
    let (_, told) = node.put(&format!("{EDGES}{ROUTE}{token}")).await;
    assert!(told["notes"][0].as_str().is_some_and(|note| note.contains("name a file")), "{told:#}");
    assert_eq!(node.opens("/hls/a", ""), Err(Denial::Missing));
    assert_eq!(
        node.opens("/hls/a", "AAAA"),
        Err(Denial::Malformed),
        "nobody is let in by keys that are not read"
    );
}

#[test]
fn a_stream_is_guarded_when_no_way_to_it_is_open() {
    let key = StreamKey::parse("live/cam1").expect("a name");
    let guarded = |routes: &[(&str, bool)]| {
        let route = |(path, token): &(&str, bool)| {
            let token = if *token { "token = \"shop\"\n" } else { "" };
            format!("[[route]]\npath = \"{path}\"\norigins = [\"theirs\"]\n{token}")
        };
        let text: String = routes.iter().map(route).collect();
        let shop = "[[token]]\nname = \"shop\"\nkeys = \"shop.json\"\n";
        let network = Network::from_toml(&format!("{EDGES}{text}{shop}")).expect("a network");
        all_guard(&network, &key)
    };
    for (routes, want) in [
        (&[("/live/*", true)][..], true),
        (&[("/live/*", false)], false),
        (&[("/other/*", true)], false),
        (&[("/live/*", true), ("/live/cam1/ts/*", false)], false),
        (&[("/live/*", true), ("/live/cam1/thumbnail.jpg", false)], false),
        (&[("/live/*", true), ("/live/cam2/*", false)], true),
        (&[("/live/cam1/*", true), ("/*", false)], false),
        (&[("/live/cam1/*", true), ("/*", true)], true),
    ] {
        assert_eq!(guarded(routes), want, "{routes:?}");
    }
}

/// What makes the last route of a network ask for tokens of a new key, and that key; `more` is a line of their policy.
fn shop(node: &Node, more: &str) -> (String, Keys) {
    let (keys, _) = nx_access::generate("k", nx_access::Algorithm::Es256).expect("a key");
    let file = node.folder.join("shop.json");
    std::fs::write(&file, &*keys).expect("written");
    let file = file.display();
    let policy = format!("token = \"shop\"\n[[token]]\nname = \"shop\"\n{more}\nkeys = \"{file}\"\n");
    (policy, Keys::parse(&keys).expect("keys"))
}

#[tokio::test]
async fn a_route_is_opened_by_tokens_of_its_own_keys() {
    let node = Node::start("tokens", &format!("{EDGES}{ROUTE}"));
    let (policy, set) = shop(&node, "issuer = \"shop\"");
    assert_eq!(node.put(&format!("{EDGES}{ROUTE}{policy}")).await.0, 200);
    let claims = Claims { expires_s: i64::MAX, issuer: Some("shop".into()), ..Claims::default() };
    let made = |claims: &Claims| nx_access::make(claims, set.maker(None).expect("a key")).expect("a token");
    assert_eq!(node.opens("/hls/a", &made(&claims)), Ok(()));
    assert_eq!(node.opens("/hls/a", &made(&Claims { issuer: None, ..claims.clone() })), Err(Denial::Foreign));
    let french = Claims { countries: vec!["FR".into()], ..claims.clone() };
    assert_eq!(node.opens("/hls/a", &made(&french)), Err(Denial::Place));
    let german = Claims { countries: vec!["DE".into()], ..claims.clone() };
    assert_eq!(node.opens("/hls/a", &made(&german)), Ok(()));
    // What is taken back at the node is taken back for its routes.
    node.control.parts.gate.revoke(What::Everything, 0).expect("taken back");
    assert_eq!(
        node.opens("/hls/a", &made(&claims)),
        Err(Denial::Revoked),
        "it does not say when it was made"
    );
}

#[tokio::test]
async fn a_token_is_used_on_so_many_devices_over_a_region() {
    let node = Node::start("seats", &format!("{EDGES}{ROUTE}"));
    let (policy, set) = shop(&node, "streams_max = 2");
    let (_, told) = node.put(&format!("{EDGES}{ROUTE}{policy}")).await;
    assert_eq!(told["notes"], serde_json::json!([]), "it is enforced");
    let made = |id: u8| {
        let claims = Claims { expires_s: i64::MAX, id: vec![id], ..Claims::default() };
        nx_access::make(&claims, set.maker(None).expect("a key")).expect("a token")
    };
    let (one, other) = (made(1), made(2));
    let seat = |token: &str, address: &str, player: &str| {
        let mut request = request("/hls/a", "");
        request.headers_mut().insert(header::USER_AGENT, player.parse().expect("a value"));
        let (rules, address) = (node.control.parts.cache.route(&request).expect("a route"), address.parse());
        let (rules, address) = (&rules.rules, address.expect("an address"));
        let shown = Some(Shown { token: token.to_owned(), way: Way::Header });
        let gate = rules.token.as_ref().expect("it asks for a token");
        let guest = nx_delivery::Guest::enter(gate, &mut request, shown, (address, None)).expect("it opens");
        node.control.seat(rules, guest.as_ref(), address, &request)
    };
    let sits = |token: &str, address: &str, player: &str| {
        seat(token, address, player).map_or_else(|problem| problem.status.as_u16(), |_| 200)
    };
    let long = |sitting| {
        let response = node.control.sit(sitting, Response::new(Body::from(Bytes::from(vec![0; 2 << 20]))));
        async { response.into_body().collect().await.map(|body| body.to_bytes().len()).ok() }
    };
    let asked = [("10.0.0.1", "tv"), ("10.0.0.1", "phone"), ("10.0.0.2", "tv"), ("10.0.0.1", "tv")];
    assert_eq!(asked.map(|(address, player)| sits(&one, address, player)), [200, 200, 403, 200]);
    assert_eq!(sits(&other, "10.0.0.2", "tv"), 200, "another token has seats of its own");
    let (_, told) = node.ask(Method::GET, "/api/v1/seats", "").await;
    assert_eq!(told.as_array().map(Vec::len), Some(3));
    assert_eq!(node.control.told().seats, 3);
    let sitting = seat(&one, "10.0.0.1", "tv").expect("a seat");
    assert_eq!(long(sitting).await, Some(2 << 20));
    // As another edge tells of two devices for each token that came first.
    let mine: Vec<Seat> = serde_json::from_value(told).expect("seats");
    let elder = |seat: &Seat, nth| Seat { device: (nth, 0), since_ms: seat.since_ms - 9_000, ..*seat };
    let theirs: Vec<Seat> = mine.iter().flat_map(|seat| [elder(seat, 0), elder(seat, 1)]).collect();
    let e2 = Name::try_from("e2".to_owned()).expect("a name");
    lock(&node.control.seats).hear(&e2, &theirs, nx_delivery::wall_ms());
    assert_eq!(long(sitting).await, None, "it breaks off");
    assert_eq!(sits(&one, "10.0.0.1", "tv"), 403, "they came first");
    let without = EDGES.replace("name = \"e2\"", "name = \"e3\"");
    assert_eq!(node.put(&format!("{without}{ROUTE}{policy}")).await.0, 200);
    node.control.tidy_seats();
    assert_eq!(sits(&one, "10.0.0.1", "tv"), 200, "that edge is gone");
}

#[tokio::test]
async fn players_are_steered_from_a_node_that_drains() {
    let node = Node::start("steering", EDGES);
    let steer = |query: &str| -> Value {
        let request = request(&format!("/steering.json?{query}"), "");
        let response = node.control.steering(&request, peer("203.0.113.1")).expect("it steers");
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let Body::Slices(slices) = response.into_body() else { panic!("it is whole") };
        serde_json::from_slice(&slices[0]).expect("JSON")
    };
    let first = |query: &str| steer(query)["PATHWAY-PRIORITY"][0].clone();
    assert_eq!((first("_HLS_pathway=."), first("_HLS_pathway=e2")), (".".into(), "e2".into()));
    // The same player, asking the other edge as it was told to.
    assert_eq!(first("base=e2&_HLS_pathway=."), ".");
    assert_eq!(
        steer("")["RELOAD-URI"].as_str().map(|uri| uri.ends_with("/steering.json?base=e1")),
        Some(true)
    );
    let (status, told) = node.ask(Method::PUT, "/api/v1/drain", "{\"draining\": true}").await;
    assert_eq!((status, &told["draining"]), (200, &true.into()));
    assert_eq!((first("_HLS_pathway=."), first("base=e2&_HLS_pathway=.")), ("e2".into(), ".".into()));
    let (_, told) = node.ask(Method::GET, "/api/v1/node", "").await;
    assert_eq!((&told["node"], &told["draining"]), (&"e1".into(), &true.into()));
    let still = request("/hls/a", "");
    assert!(node.control.steering(&still, peer("203.0.113.1")).is_none());
    node.put(EDGES.split("[steering]").next().unwrap_or_default()).await;
    assert!(node.control.steering(&request("/steering.json", ""), peer("203.0.113.1")).is_none());
}

#[tokio::test]
async fn a_purge_is_known_to_who_asks_later_and_strangers_pass_nothing_on() {
    let node = Node::start("purge", EDGES);
    let (_, known) = node.ask(Method::GET, "/api/v1/purges", "").await;
    assert_eq!(known, serde_json::json!({}));
    let purge = |body: &str| {
        let mut request = request("/cache/purge", body);
        *request.method_mut() = Method::POST;
        let key = format!("Bearer {KEY}").parse().expect("a value");
        request.headers_mut().insert(header::AUTHORIZATION, key);
        node.control.purge(request)
    };
    // As another edge passes it on: it goes no further.
    let passed = purge("{\"prefixes\": [\"/a\"], \"id\": \"0000000000001-a\"}").await.expect("carried out");
    let Body::Slices(slices) = passed.into_body() else { panic!("it is whole") };
    assert_eq!(slices[0], "{\"purged\":0}");
    // Its own: the other edge is not there, and is named.
    let own = purge("{\"prefixes\": [\"/b\"]}").await.expect("carried out");
    let Body::Slices(slices) = own.into_body() else { panic!("it is whole") };
    let told: Value = serde_json::from_slice(&slices[0]).expect("JSON");
    assert_eq!(
        (&told["confirmed"], &told["missing"]),
        (&serde_json::json!(["e1"]), &serde_json::json!(["e2"]))
    );
    let (_, known) = node.ask(Method::GET, "/api/v1/purges", "").await;
    assert_eq!(known.as_object().map(serde_json::Map::len), Some(2));
}

#[test]
fn streams_come_from_the_origins_of_their_route_and_hosts_do_not_share_paths() {
    let text = |second: &str| {
        format!(
            "[[origin]]\nname = \"a\"\nhttp = \"http://a\"\nplane = \"a:1\"\n[[origin]]\nname = \"b\"\nhttp = \"http://b\"\n\
             plane = \"b:1\"\n[[origin]]\nname = \"c\"\nhttp = \"http://c\"\n[[region]]\nname = \"r\"\n[[edge]]\nname = \"e1\"\n\
             region = \"r\"\nurl = \"http://e1\"\n[[route]]\npath = \"/live/*\"\norigins = [\"b\", \"a\"]\n[[route]]\n\
             path = \"/files/*\"\norigins = [\"c\"]\n{second}"
        )
    };
    let network = |second: &str| Network::from_toml(&text(second)).expect("a network");
    let one = network("[[route]]\npath = \"/other/*\"\norigins = [\"a\"]\n");
    let key = |app: &str| StreamKey::new(app, "cam1").expect("a name");
    assert_eq!(sources(&one, &key("live")), ["b:1", "a:1"]);
    assert_eq!(sources(&one, &key("other")), ["a:1"]);
    assert!(sources(&one, &key("files")).is_empty() && sources(&one, &key("none")).is_empty());
    let mut all = planes(&one);
    all.sort();
    assert_eq!(all, ["a:1", "b:1"]);
    let node = Name::try_from("e1".to_owned()).expect("a name");
    let faults = |second: &str| {
        unfit(&network(second), &node, true).into_iter().map(|fault| fault.key).collect::<Vec<_>>()
    };
    for (second, want) in [
        ("[[route]]\nhost = \"h\"\npath = \"/live/a*\"\norigins = [\"a\"]\n", vec!["route[2].origins"]),
        ("[[route]]\nhost = \"h\"\npath = \"/*\"\norigins = [\"a\"]\n", vec!["route[2].origins"]),
        ("[[route]]\nhost = \"h\"\npath = \"/live/*\"\norigins = [\"b\", \"a\"]\n", vec![]),
        ("[[route]]\nhost = \"h\"\npath = \"/live/*\"\norigins = [\"c\"]\n", vec![]),
        ("[[route]]\nhost = \"h\"\npath = \"/else/*\"\norigins = [\"a\"]\n", vec![]),
    ] {
        assert_eq!(faults(second), want, "{second}");
    }
}
