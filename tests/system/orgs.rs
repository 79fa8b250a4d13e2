//! An organisation with real people, by the gateway, and a real encoder: who is taken out is sent away, and may nothing any more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::encoder::{Process, SMALL, eventually, ffmpeg};
use crate::support::Server;
use crate::support::http::Client;

const LIMIT: Duration = Duration::from_secs(20);
/// How long somebody who is taken out may do anything yet.
const AT_ONCE: Duration = Duration::from_secs(1);
const PASSWORD: &str = "correct horse battery";
const ORGS: &str = "/api/user-auth/v1/orgs";
const CHANNELS: &str = "/api/streaming-service-v2/v1/channels";

/// Somebody who is signed in, and a server.
struct In<'a> {
    server: &'a Server,
    bearer: String,
    id: String,
}

fn text(body: &Value, at: &str) -> String {
    body.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("{at} in {body}")).to_owned()
}

fn ask(server: &Server, method: &str, path: &str, bearer: &str, body: &Value) -> (u16, Value) {
    static NTH: AtomicU32 = AtomicU32::new(0);
    let once = NTH.fetch_add(1, Ordering::Relaxed).to_string();
    let headers =
        [("content-type", "application/json"), ("idempotency-key", &*once), ("authorization", bearer)];
    let headers = if bearer.is_empty() { &headers[..2] } else { &headers[..] };
    let mut client = Client::connect(server.gateway()).expect("a connection");
    let reply = client.ask(method, path, headers, body.to_string().as_bytes()).expect("an answer");
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

impl<'a> In<'a> {
    /// Makes an account by an invitation.
    fn new(server: &'a Server, handle: &str, invite: &str) -> Self {
        let body = json!({"handle": handle, "password": PASSWORD, "invite": invite});
        let (status, answer) = ask(server, "POST", "/api/auth-service/v1/signup", "", &body);
        assert_eq!(status, 200, "{answer}");
        let bearer = format!("Bearer {}", text(&answer, "/access_token"));
        Self { server, bearer, id: text(&answer, "/user/id") }
    }

    fn asks(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        ask(self.server, method, path, &self.bearer, &body)
    }

    /// What comes of what goes well.
    fn does(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.asks(method, path, body);
        assert!(status < 300, "{method} {path} {status} {answer}\n{}", self.server.log());
        answer
    }

    fn invites(&self, handle: &str) -> Self {
        let made = self.does("POST", "/api/auth-service/v1/invites", json!({"roles": ["creator"]}));
        Self::new(self.server, handle, &text(&made, "/token"))
    }
}

#[test]
fn who_is_taken_out_of_an_organisation_is_sent_away_and_may_nothing() {
    let server = Server::start(&[]);
    let line = server.said("administrator ").expect("a link");
    let root = In::new(&server, "root", line.split_once("#invite=").expect("a link").1);
    let (cleo, paul) = (root.invites("cleo"), root.invites("pavel"));
    let org = text(&cleo.does("POST", ORGS, json!({"handle": "studio", "name": "The studio"})), "/id");
    // What user-auth tells is there a moment later.
    let show = json!({"handle": "show", "members_only": true, "org_id": org});
    let made = eventually(LIMIT, || {
        let (status, answer) = cleo.asks("POST", CHANNELS, show.clone());
        (status == 201).then_some(answer)
    });
    let at = format!("{CHANNELS}/{}", text(&made.expect("a channel"), "/id"));
    assert_eq!(paul.asks("GET", &at, json!({})).0, 404, "it is not for him yet");
    cleo.does("POST", &format!("{ORGS}/{org}/invites"), json!({"handle": "pavel", "role": "publisher"}));
    assert_eq!(paul.asks("GET", &at, json!({})).0, 404, "he has not said yes");
    let accepted = Instant::now();
    paul.does("POST", &format!("{ORGS}/invites/{org}/accept"), json!({}));
    eventually(LIMIT, || (paul.asks("GET", &at, json!({})).0 == 200).then_some(())).expect("he is in it");
    let in_ms = accepted.elapsed().as_millis();

    let keys = format!("{at}/stream-keys");
    let key = text(&paul.does("POST", &keys, json!({"name": "his"})), "/key");
    let first = |all: Value| all["items"][0]["ready"].as_bool();
    eventually(LIMIT, || first(paul.does("GET", &keys, json!({}))).filter(|ready| *ready)).expect("ready");
    let mut encoder: Process = ffmpeg(server.rtmp(), &format!("members/show?key={key}"), SMALL);
    let live = |who: &In| text_of(&who.does("GET", &format!("{at}/live"), json!({})));
    eventually(LIMIT, || (live(&paul) == "live").then_some(())).unwrap_or_else(|| panic!("{}", server.log()));
    let token = text(&paul.does("POST", &format!("{at}/playback"), json!({})), "/token/token");
    let watch = || {
        let mut edge = Client::connect(server.edge()).expect("a connection");
        let path = format!("/token={token}/members/show/index.m3u8");
        edge.get(&path, &[]).expect("an answer").status
    };
    eventually(LIMIT, || (watch() == 200).then_some(())).expect("a picture");

    // Taken out.
    let gone = Instant::now();
    cleo.does("DELETE", &format!("{ORGS}/{org}/members/{}", paul.id), json!({}));
    eventually(AT_ONCE, || (paul.asks("GET", &at, json!({})).0 == 404).then_some(())).expect("at once");
    let out_ms = gone.elapsed().as_millis();
    let code = encoder.wait(LIMIT);
    let away_ms = gone.elapsed().as_millis();
    assert!(code.is_some_and(|code| code != 0), "the encoder was sent away: {code:?}");
    eventually(LIMIT, || (watch() == 403).then_some(())).expect("no picture");
    let dark_ms = gone.elapsed().as_millis();
    let name = json!({"name": "x"});
    for (method, path, body) in [
        ("GET", at.clone(), &name),
        ("GET", format!("{at}/live"), &name),
        ("GET", keys.clone(), &name),
        ("POST", keys, &name),
        ("POST", format!("{at}/broadcasts"), &json!({"title": "x"})),
        ("DELETE", at.clone(), &name),
        ("GET", format!("{ORGS}/{org}"), &name),
        ("GET", format!("{ORGS}/{org}/members"), &name),
    ] {
        assert_eq!(paul.asks(method, &path, body.clone()).0, 404, "{method} {path}");
    }
    let code = ffmpeg(server.rtmp(), &format!("members/show?key={key}"), SMALL).wait(LIMIT);
    assert!(code.is_some_and(|code| code != 0), "his key opens nothing: {code:?}");
    assert_eq!(cleo.asks("GET", &at, json!({})).0, 200, "it goes on without him");
    eprintln!(
        "in after {in_ms} ms; taken out: nothing after {out_ms} ms, encoder away after {away_ms} ms, picture after {dark_ms} ms"
    );
}

/// How the core says that a stream stands.
fn text_of(standing: &Value) -> String {
    standing.pointer("/stream/state").and_then(Value::as_str).unwrap_or_default().to_owned()
}
