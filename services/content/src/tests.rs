//! Channels from their making to their end, with the services of identity beside them and a core that only remembers; on both
//! stores.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Method, Request, Response, StatusCode};
use nx_chassis::Caller;
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_contract::identity::Config;
use serde_json::{Value, json};
use tokio::task::JoinSet;

mod broadcasts;
mod orgs;

const CHANNELS: &str = "/streaming-service-v2/v1/channels";

/// What the core was told.
#[derive(Debug, Default)]
struct Told {
    away: bool,
    keys: Vec<(String, Value)>,
    deleted: Vec<String>,
    tokens: Vec<Value>,
    revoked: Vec<Value>,
    /// What it says that is published, when a test says so.
    on: Option<Vec<Value>>,
    /// Date ranges, targets and clips, by path and idempotency key.
    made: Vec<(String, String, Value)>,
}

impl Told {
    /// Makes what an idempotency key has not made yet.
    fn make(&mut self, path: &str, once: &str, body: &Value) -> (u16, Value) {
        if body["attributes"]["X-LABEL"] == "too late" || body["url"] == "rtmp://192.0.2.9/app/refused" {
            return (400, json!({"detail": "it cannot be"}));
        }
        let known = self.made.iter().position(|(at, key, _)| at == path && key == once);
        let nth = known.unwrap_or_else(|| {
            self.made.push((path.to_owned(), once.to_owned(), body.clone()));
            self.made.len() - 1
        });
        let at = |rest: &str| format!("/members/club/from-1-to-2/{rest}");
        let paths = [at("index.m3u8"), at("manifest.mpd"), at("clip.mp4")];
        (
            201,
            json!({"id": format!("c{nth}"), "hls_path": paths[0], "dash_path": paths[1], "mp4_path": paths[2]}),
        )
    }

    fn targets(&self, path: &str) -> Value {
        let all = self.made.iter().enumerate().filter(|(_, (at, ..))| at == path);
        let gone = |id: &str| self.deleted.iter().any(|gone| *gone == format!("{path}/{id}"));
        let ids = all.map(|(nth, _)| format!("c{nth}")).filter(|id| !gone(id));
        let items: Vec<_> = ids.map(|id| json!({"id": id, "state": "live"})).collect();
        json!({"items": items, "next_cursor": null})
    }
}

#[derive(Clone, Default)]
struct Core(Arc<Mutex<Told>>);

impl Core {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        assert!(
            head.extensions.get::<Caller>().is_some_and(Caller::is_operator),
            "services may do everything"
        );
        let body = to_bytes(body, 1 << 16).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let once = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
        let mut told = self.told();
        let (status, answer) = match (head.method.as_str(), head.uri.path()) {
            _ if told.away => (503, json!({"detail": "away"})),
            ("PUT", path) => {
                let gone = told.deleted.iter().any(|gone| gone == path);
                told.keys.push((path.to_owned(), body));
                (if gone { 409 } else { 200 }, json!({}))
            }
            ("DELETE", path) => {
                let was = told.keys.iter().any(|(key, _)| key == path);
                told.deleted.push(path.to_owned());
                (if was { 204 } else { 404 }, json!({}))
            }
            ("POST", "/v1/playback-tokens") => {
                let id = format!("t{}", told.tokens.len());
                let url = |rest: &str| format!("http://0.0.0.0:8080/token=secret-{id}/{rest}");
                let urls = json!({"hls": url("x/index.m3u8"), "dash": url("x/manifest.mpd"), "watch": url("watch/x")});
                told.tokens.push(body);
                (201, json!({"id": id, "token": format!("secret-{id}"), "expires_at": "", "urls": urls}))
            }
            ("POST", "/v1/revocations") => {
                assert!(body["lasts_s"].as_i64().is_some_and(|s| (1..=21_601).contains(&s)), "{body}");
                told.revoked.push(body["token"].clone());
                (201, json!({"seq": 1}))
            }
            ("GET", "/v1/streams") => {
                let only = head.uri.query().unwrap_or_default().strip_prefix("stream=");
                let item = json!({"key": "channels/open", "state": "live"});
                let all = told.on.clone().unwrap_or_else(|| vec![item]);
                let items: Vec<_> = all.into_iter().filter(|i| only.is_none_or(|o| i["key"] == o)).collect();
                let ingest = json!({"rtmp": "rtmp://[::]:1935", "rtmps": "", "srt": "srt://192.0.2.9:10080"});
                let edge = "http://0.0.0.0:8080";
                (
                    200,
                    json!({"items": items, "next_cursor": null, "server": {"ingest": ingest}, "viewers_url": edge}),
                )
            }
            ("GET", path) if path.ends_with("/targets") => (200, told.targets(path)),
            ("POST", path) if ["/daterange", "/targets", "/cuts"].iter().any(|end| path.ends_with(end)) => {
                told.make(path, once, &body)
            }
            other => panic!("{other:?}"),
        };
        let body = if status == 204 { Body::empty() } else { answer.to_string().into() };
        Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body).unwrap()
    }
}

struct House {
    app: TestApp,
    core: Core,
}

/// Somebody who is signed in.
#[derive(Clone)]
struct In(Caller);

impl In {
    async fn asks(&self, house: &House, method: Method, path: &str, body: Value) -> Answer {
        let key = nx_chassis::new_id(0);
        let headers = [("idempotency-key", key.as_str()), ("x-nexus-reached", "tv.example:3000")];
        house.app.send_as(Some(self.0.clone()), method, path, &headers, &body).await
    }

    async fn post(&self, house: &House, path: &str, body: Value) -> Answer {
        self.asks(house, Method::POST, path, body).await
    }

    async fn get(&self, house: &House, path: &str) -> Answer {
        self.asks(house, Method::GET, path, Value::Null).await
    }

    async fn delete(&self, house: &House, path: &str) -> Answer {
        self.asks(house, Method::DELETE, path, Value::Null).await
    }

    async fn channel(&self, house: &House, handle: &str, members_only: bool) -> String {
        let new = json!({"handle": handle, "members_only": members_only});
        self.post(house, CHANNELS, new).await.is(201)["id"].as_str().unwrap().to_owned()
    }

    async fn handles(&self, house: &House) -> Vec<String> {
        let list = self.get(house, CHANNELS).await;
        let all = list.is(200)["items"].as_array().unwrap();
        // Made in the same millisecond, they come in any order.
        let mut all: Vec<_> = all.iter().map(|c| c["handle"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    }
}

impl House {
    async fn of(app: TestApp) -> Self {
        let core = Core::default();
        let answers = core.clone();
        app.join("streamcore", move |request| answers.clone().answer(request));
        Self { app, core }
    }

    fn services() -> Vec<nx_chassis::Service> {
        let sender = nx_webhooks::Sender::new(&nx_webhooks::Config::default(), &std::env::temp_dir());
        [crate::services(), nx_identity::services(&Config::default(), &sender.expect("a sender"))].concat()
    }

    async fn lite() -> Self {
        Self::of(TestApp::new(Self::services()).await).await
    }

    async fn sign_up(&self, handle: &str, roles: &[&str]) -> In {
        let new = json!({"handle": handle, "password": "correct horse"});
        let headers = [("x-nexus-client", "192.0.2.1")];
        let answer = self.app.send_as(None, Method::POST, "/auth-service/v1/signup", &headers, &new).await;
        let answer = answer.is(200);
        let text = |at: &str| answer.pointer(at).and_then(Value::as_str).unwrap().to_owned();
        self.app.settle().await;
        let mut caller = Caller::new(&text("/user/id"), roles);
        caller.session = Some(text("/session_id"));
        In(caller)
    }
}

/// A key is shown once, and the core is told its hash: where.
async fn a_key_is_shown_once(house: &House, cleo: &In, (open, club): (&str, &str)) -> String {
    let club_path = format!("{CHANNELS}/{club}");
    let keys = format!("{club_path}/stream-keys");
    let made = cleo.post(house, &keys, json!({"name": "studio", "backup": true})).await;
    let (id, secret) = (made.is(201)["id"].as_str().unwrap(), made.body["key"].as_str().unwrap());
    assert_eq!(made.body["ready"], false);
    house.app.settle().await;
    let (path, told) = house.core.told().keys.first().cloned().unwrap();
    assert_eq!(path, format!("/v1/streams/members/club/keys/{id}"));
    use sha2::{Digest, Sha256};
    let hash: String = Sha256::digest(secret.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(told, json!({"sha256": hash, "input": "backup", "limits": {}}));
    let listed = cleo.get(house, &keys).await;
    assert_eq!(listed.is(200)["items"][0]["ready"], true);
    assert!(!listed.body.to_string().contains(secret) && !told.to_string().contains(secret));
    let standing = cleo.get(house, &format!("{CHANNELS}/{open}/live")).await;
    assert_eq!(standing.is(200)["ingest"]["rtmp"], "rtmp://tv.example:1935");
    assert_eq!(standing.body["ingest"]["srt"], "srt://192.0.2.9:10080");
    assert_eq!(standing.body["stream"]["state"], "live");
    assert_eq!(cleo.get(house, &format!("{club_path}/live")).await.is(200)["stream"], Value::Null);
    path
}

async fn from_its_making_to_its_end(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let vera = house.sign_up("vera", &["viewer"]).await;
    for (by, new, status) in [
        (&vera, json!({"handle": "mine"}), 403),
        (&cleo, json!({"handle": "a/b"}), 422),
        (&cleo, json!({"handle": "abc", "title": "x".repeat(101)}), 422),
        (&cleo, json!({"handle": "abc", "owner_id": "somebody"}), 422),
    ] {
        let answer = by.post(&house, CHANNELS, new).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let open = cleo.channel(&house, "open", false).await;
    let club = cleo.channel(&house, "Club", true).await;
    let taken = vera.post(&house, CHANNELS, json!({"handle": "club"})).await;
    assert_eq!(taken.status, 403, "who may make none learns nothing");
    let other = house.sign_up("other", &["creator"]).await;
    assert_eq!(other.post(&house, CHANNELS, json!({"handle": "club"})).await.slug(), "taken");

    // Who sees what.
    assert_eq!(cleo.handles(&house).await, ["club", "open"]);
    assert_eq!(vera.handles(&house).await, ["open"]);
    let seen = vera.get(&house, CHANNELS).await;
    let first = &seen.is(200)["items"][0];
    assert_eq!(
        (&first["mine"], &first["live"], &first["stream"]),
        (&json!(false), &json!(true), &json!("channels/open"))
    );
    let club_path = format!("{CHANNELS}/{club}");
    for path in [
        club_path.clone(),
        format!("{club_path}/stream-keys"),
        format!("{club_path}/members"),
        format!("{club_path}/live"),
    ] {
        assert_eq!(vera.get(&house, &path).await.status, 404, "{path}");
    }
    for path in ["stream-keys", "members", "live"] {
        assert_eq!(vera.get(&house, &format!("{CHANNELS}/{open}/{path}")).await.status, 403, "{path}");
    }

    let path = a_key_is_shown_once(&house, &cleo, (&open, &club)).await;

    // A title is another, by who has read the one before.
    let change = |version: &'static str| {
        let (house, cleo, path) = (&house, cleo.0.clone(), &club_path);
        async move {
            let headers = [("if-match", version)];
            house.app.send_as(Some(cleo), Method::PATCH, path, &headers, &json!({"title": "The club"})).await
        }
    };
    assert_eq!(change("\"1\"").await.is(200)["title"], "The club");
    assert_eq!(change("\"1\"").await.status, 412);

    // A deleted channel takes all with it, and its name.
    assert_eq!(vera.delete(&house, &format!("{CHANNELS}/{open}")).await.status, 403);
    assert_eq!(cleo.delete(&house, &club_path).await.status, 200);
    house.app.settle().await;
    assert_eq!(house.core.told().deleted, [path]);
    assert_eq!(cleo.get(&house, &club_path).await.status, 404);
    assert_eq!(other.post(&house, CHANNELS, json!({"handle": "club"})).await.slug(), "taken");
}

#[tokio::test]
async fn a_channel_from_its_making_to_its_end() {
    from_its_making_to_its_end(House::lite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_from_its_making_to_its_end_on_postgresql() {
    let postgres = Postgres::start();
    from_its_making_to_its_end(House::of(TestApp::on(&postgres, House::services()).await).await).await;
    watched(House::of(TestApp::on(&postgres, House::services()).await).await).await;
}

/// Each of these ends what somebody watches, and nothing else.
async fn each_end_is_one(
    house: &House,
    (cleo, vera): (&In, &In),
    (playback, members): (&str, &str),
    first: &Value,
) {
    let again = async |by: &In| {
        let given = by.post(house, playback, json!({})).await;
        given.is(200)["token"].clone()
    };
    let ended = async |token: &Value, what: &str| {
        house.app.settle().await;
        assert_eq!(house.core.told().revoked, std::slice::from_ref(&token["id"]), "{what}");
        house.core.told().revoked.clear();
    };
    let own = again(cleo).await;
    // Another token before hers is over, on the same lease; a stranger's, or one that is over, gives none.
    let renew = |token: &Value| format!("{playback}/{}", token["id"].as_str().unwrap());
    let further = vera.post(house, &renew(first), json!({})).await.is(200)["token"].clone();
    assert_eq!(further["lease_id"], first["lease_id"]);
    assert_ne!(further["id"], first["id"]);
    assert_eq!(cleo.post(house, &renew(first), json!({})).await.status, 404, "not hers");
    let lease = format!("/session-mgr/v1/playback-leases/{}", first["lease_id"].as_str().unwrap());
    assert_eq!(vera.delete(house, &lease).await.status, 200);
    house.app.settle().await;
    let mut revoked = std::mem::take(&mut house.core.told().revoked);
    revoked.sort_by_key(ToString::to_string);
    assert_eq!(revoked, [&first["id"], &further["id"]].map(Value::clone), "the lease was given back");
    assert_eq!(vera.post(house, &renew(&further), json!({})).await.status, 404, "it is over");
    let token = again(vera).await;
    let path = format!("{members}/{}", vera.0.subject);
    assert_eq!(cleo.delete(house, &path).await.status, 200);
    ended(&token, "no member any more").await;
    assert_eq!(vera.post(house, playback, json!({})).await.status, 404);
    assert_eq!(cleo.post(house, members, json!({"handle": "vera"})).await.status, 200);
    let token = again(vera).await;
    let user = format!("/user-auth/v1/users/{}", vera.0.subject);
    assert_eq!(house.app.post(&format!("{user}/disable"), &json!({})).await.status, 200);
    ended(&token, "shut out").await;
    // What she bears holds for minutes yet.
    let unsigned = In(Caller { session: None, ..vera.0.clone() });
    assert_eq!(vera.post(house, playback, json!({})).await.status, 401, "the session is over");
    assert_eq!(unsigned.post(house, playback, json!({})).await.status, 404, "and she is shut out");
    assert_eq!(house.app.post(&format!("{user}/enable"), &json!({})).await.status, 200);
    house.app.settle().await;
    house.core.told().revoked.clear();
    let token = again(&unsigned).await;
    // A player that says nothing for a minute has gone.
    house.app.pass(Duration::from_secs(400)).await;
    let mut revoked = std::mem::take(&mut house.core.told().revoked);
    revoked.sort_by_key(ToString::to_string);
    let mut want = vec![own["id"].clone(), token["id"].clone()];
    want.sort_by_key(ToString::to_string);
    assert_eq!(revoked, want, "those whose lease ran out");
    // Everybody is sent away, and members come back.
    let token = again(&unsigned).await;
    assert_eq!(cleo.delete(house, playback).await.status, 200);
    ended(&token, "all").await;
    let token = again(&unsigned).await;
    assert_eq!(house.app.send(Method::DELETE, &user, &[], &json!({})).await.status, 200);
    ended(&token, "erased").await;
    assert_eq!(cleo.get(house, members).await.is(200)["items"], json!([]));
}

/// Who may watch, and who may no more.
async fn watched(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let vera = house.sign_up("vera", &["viewer"]).await;
    let open = cleo.channel(&house, "open", false).await;
    let club = cleo.channel(&house, "club", true).await;
    let playback = format!("{CHANNELS}/{club}/playback");
    let members = format!("{CHANNELS}/{club}/members");
    let nobody =
        house.app.send_as(None, Method::POST, &playback, &[("idempotency-key", "n")], &json!({})).await;
    assert_eq!(nobody.status, 401);
    let free = vera.post(&house, &format!("{CHANNELS}/{open}/playback"), json!({})).await;
    assert_eq!(free.is(200)["urls"]["hls"], "http://tv.example:8080/channels/open/index.m3u8");
    assert!(free.body.get("token").is_none() && house.core.told().tokens.is_empty());
    assert_eq!(vera.post(&house, &playback, json!({})).await.status, 404);

    // Made a member.
    for (by, at, handle, status) in [
        (&vera, &club, "vera", 404),
        (&cleo, &open, "vera", 409),
        (&cleo, &club, "nobody-here", 422),
        (&cleo, &club, "../users", 422),
        (&cleo, &club, "Vera", 200),
        (&cleo, &club, "vera", 200),
    ] {
        let answer = by.post(&house, &format!("{CHANNELS}/{at}/members"), json!({"handle": handle})).await;
        assert_eq!(answer.status, status, "{handle} {answer:?}");
    }
    assert_eq!(vera.handles(&house).await, ["club", "open"]);
    assert_eq!(vera.get(&house, &members).await.status, 403);
    let given = vera.post(&house, &playback, json!({})).await;
    assert_eq!(given.is(200)["urls"]["watch"], "http://tv.example:8080/token=secret-t0/watch/x");
    let wish = house.core.told().tokens[0].clone();
    assert_eq!((&wish["stream"], &wish["subject"]), (&json!("members/club"), &json!(vera.0.subject)));
    house.app.settle().await;
    assert!(house.core.told().revoked.is_empty());

    each_end_is_one(&house, (&cleo, &vera), (&playback, &members), &given.body["token"]).await;
}

#[tokio::test]
async fn who_may_watch_and_who_may_no_more() {
    watched(House::lite().await).await;
}

/// Who may have no channels any more publishes none, whatever an access token says for some minutes yet.
#[tokio::test]
async fn a_creator_who_is_none_any_more_loses_the_keys() {
    let house = House::lite().await;
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let user = format!("/user-auth/v1/users/{}", cleo.0.subject);
    let roles = async |roles: &[&str]| {
        let tag = house.app.get(&user).await.etag().to_owned();
        let path = format!("{user}/roles");
        let answer =
            house.app.send(Method::PUT, &path, &[("if-match", &tag)], &json!({"roles": roles})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        house.app.settle().await;
    };
    roles(&["creator"]).await;
    let club = cleo.channel(&house, "club", true).await;
    let (keys, members) = (format!("{CHANNELS}/{club}/stream-keys"), format!("{CHANNELS}/{club}/members"));
    for change in ["demoted", "disabled"] {
        assert_eq!(cleo.post(&house, &keys, json!({"name": change})).await.status, 201);
        house.app.settle().await;
        match change {
            "demoted" => roles(&["viewer"]).await,
            _ => assert_eq!(house.app.post(&format!("{user}/disable"), &json!({})).await.status, 200),
        }
        house.app.settle().await;
        {
            let told = house.core.told();
            assert_eq!(told.deleted.last(), told.keys.last().map(|(path, _)| path), "{change}");
        }
        for (path, new) in [
            (CHANNELS, json!({"handle": "another"})),
            (&keys, json!({"name": "another"})),
            (&members, json!({"handle": "cleo"})),
        ] {
            assert_eq!(cleo.post(&house, path, new).await.status, 403, "{change} {path}");
        }
        if change == "demoted" {
            roles(&["creator"]).await;
        }
    }
}

async fn keys_of_a_deleted_channel(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    for round in 0..4 {
        let club = cleo.channel(&house, &format!("club-{round}"), true).await;
        let path = format!("{CHANNELS}/{club}");
        let keys = format!("{path}/stream-keys");
        let add = async |n: u32| {
            cleo.post(&house, &keys, json!({"name": format!("key {n}")})).await.status.as_u16()
        };
        let (a, b, gone, c, d) = tokio::join!(
            add(1),
            add(2),
            async { cleo.delete(&house, &path).await.status.as_u16() },
            add(3),
            add(4)
        );
        assert_eq!(gone, 200);
        assert!([a, b, c, d].iter().all(|status| [201, 404].contains(status)), "{a} {b} {c} {d}");
    }
    house.app.settle().await;
    let told = house.core.told();
    assert!(
        told.keys.iter().all(|(key, _)| told.deleted.contains(key)),
        "none of them opens anything: {told:?}"
    );
}

#[tokio::test]
async fn no_key_outlives_its_channel() {
    keys_of_a_deleted_channel(House::lite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_outlives_its_channel_on_postgresql() {
    let postgres = Postgres::start();
    keys_of_a_deleted_channel(House::of(TestApp::on(&postgres, House::services()).await).await).await;
}

#[tokio::test]
async fn nobody_fills_the_memory_of_what_was_taken_back() {
    let house = House::lite().await;
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let club = cleo.channel(&house, "club", true).await;
    let playback = format!("{CHANNELS}/{club}/playback");
    let mut given = 0;
    let refused = loop {
        let answer = cleo.post(&house, &playback, json!({})).await;
        if answer.status != 200 {
            break answer;
        }
        given += 1;
        let lease =
            format!("/session-mgr/v1/playback-leases/{}", answer.body["token"]["lease_id"].as_str().unwrap());
        assert_eq!(cleo.delete(&house, &lease).await.status, 200);
    };
    assert_eq!((given, refused.status.as_u16()), (200, 429));
    house.app.pass(Duration::from_secs(6 * 3600 + 120)).await;
    assert_ne!(cleo.post(&house, &playback, json!({})).await.status, 429, "later again");
}

#[tokio::test]
async fn what_the_core_could_not_hear_it_hears_later_and_in_the_right_order() {
    let house = House::lite().await;
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let club = cleo.channel(&house, "club", true).await;
    let (keys, playback) = (format!("{CHANNELS}/{club}/stream-keys"), format!("{CHANNELS}/{club}/playback"));
    let token = cleo.post(&house, &playback, json!({})).await.is(200)["token"].clone();
    house.core.told().away = true;
    let key = async |name: &str| {
        let made = cleo.post(&house, &keys, json!({"name": name})).await;
        made.is(201)["id"].as_str().unwrap().to_owned()
    };
    let (kept, deleted) = (key("kept").await, key("deleted").await);
    assert_eq!(cleo.delete(&house, &format!("{keys}/{deleted}")).await.status, 200);
    assert_eq!(cleo.delete(&house, &format!("{keys}/{deleted}")).await.status, 404, "it is gone already");
    assert_eq!(cleo.delete(&house, &playback).await.status, 200);
    assert_eq!(cleo.post(&house, &playback, json!({})).await.status, 503);
    assert_eq!(cleo.get(&house, CHANNELS).await.is(200)["items"][0].get("live"), None, "nobody knows");
    // For longer than a job is tried.
    house.app.pass(Duration::from_secs(3 * 24 * 3600)).await;
    assert_eq!(cleo.get(&house, &keys).await.is(200)["items"][0]["ready"], false);
    house.core.told().away = false;
    house.app.pass(Duration::from_secs(120)).await;
    assert_eq!(cleo.get(&house, &keys).await.is(200)["items"][0]["ready"], true);
    {
        let told = house.core.told();
        let path = |id: &str| format!("/v1/streams/members/club/keys/{id}");
        assert_eq!(
            told.keys.iter().map(|k| &k.0).collect::<Vec<_>>(),
            [&path(&kept)],
            "a key that is gone never comes"
        );
        assert_eq!(told.deleted, [path(&deleted)]);
        assert_eq!(told.revoked, [] as [Value; 0], "the token had run out by itself: {token}");
    }
    // A core that has lost what it knew hears it again.
    house.core.told().keys.clear();
    house.app.pass(Duration::from_secs(3600)).await;
    assert_eq!(house.core.told().keys.len(), 1);
    house.core.told().keys.clear();
    // All are told, also of more than one go.
    let mut many = JoinSet::new();
    let house = Arc::new(house);
    for n in 0..40 {
        let (house, cleo, keys) = (house.clone(), cleo.clone(), keys.clone());
        many.spawn(async move { cleo.post(&house, &keys, json!({"name": format!("key {n}")})).await });
    }
    let all: Vec<Answer> = many.join_all().await;
    assert_eq!(all.iter().filter(|a| a.status == 201).count(), 15, "with the one that is there: 16");
    assert!(all.iter().filter(|a| a.status != 201).all(|a| a.slug() == "keys-max"));
    house.app.settle().await;
    assert_eq!(house.core.told().keys.len(), 15);
}
