//! Broadcasts of a channel with real encoders: on air by themselves, sent on to a server that we did not write, cut, and over
//! when the encoder stays away; and a token that holds in the networks of its channel alone.

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::encoder::{Process, SMALL, eventually, ffmpeg, run, scratch};
use crate::support::Server;
use crate::support::http::Client;

const CHANNELS: &str = "/api/streaming-service-v2/v1/channels";
const LIMIT: Duration = Duration::from_secs(20);
/// How long an encoder may be gone.
const WINDOW: Duration = Duration::from_secs(30);
/// Beside that: how often streams are looked at, and a machine that has more to do.
const SLACK: Duration = Duration::from_secs(10);

fn ask(server: &Server, method: &str, path: &str, more: &[(&str, &str)], body: &Value) -> (u16, Value) {
    static NTH: AtomicU32 = AtomicU32::new(0);
    let once = NTH.fetch_add(1, Ordering::Relaxed).to_string();
    let headers = [&[("content-type", "application/json"), ("idempotency-key", &*once)], more].concat();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut client = Client::connect(server.gateway()).expect("a connection");
    let reply =
        client.ask(method, &format!("{CHANNELS}{path}"), &headers, body.as_bytes()).expect("an answer");
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

/// Makes something, and gives what the answer says of it.
fn make(server: &Server, path: &str, body: &Value, what: &str) -> String {
    let (status, made) = ask(server, "POST", path, &[], body);
    let text = made[what].as_str().filter(|_| status < 300);
    text.unwrap_or_else(|| panic!("{status} {made}\n{}", server.log())).to_owned()
}

fn get(server: &Server, path: &str) -> Value {
    ask(server, "GET", path, &[], &Value::Null).1
}

/// An RTMP server of ffmpeg that takes one stream and keeps three seconds of it.
fn receiver(port: u16, into: &str) -> Process {
    let from = format!("rtmp://127.0.0.1:{port}/app/s3cret-key");
    let args = ["-v", "error", "-nostdin", "-y", "-listen", "1", "-i", &from, "-t", "3", "-c", "copy", into];
    Process::start(Command::new("ffmpeg").args(args))
}

/// Pictures in a file, or behind an address.
fn pictures(of: &str) -> usize {
    let args =
        ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0", of];
    let (ok, out, err) = run("ffprobe", &args, LIMIT);
    assert!(ok, "{of}: {err}");
    out.lines().count()
}

#[test]
fn a_broadcast_begins_is_sent_on_and_cut_and_ends_with_its_encoder() {
    let server = Server::configured("[origin.store]\nkeep_s = 3600\n");
    let show = format!("/{}", make(&server, "", &json!({"handle": "show"}), "id"));
    let key = make(&server, &format!("{show}/stream-keys"), &json!({"name": "encoder"}), "key");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let file = scratch("sent-on").join("received.flv");
    let file = file.to_str().expect("a plain path");
    let mut receiver = receiver(port, file);
    let target = json!({"name": "Elsewhere", "url": format!("rtmp://127.0.0.1:{port}/app/s3cret-key")});
    make(&server, &format!("{show}/simulcast-targets"), &target, "id");

    let began = Instant::now();
    let encoder = ffmpeg(server.rtmp(), &format!("channels/show?key={key}"), SMALL);
    let state = || Some(get(&server, &format!("{show}/broadcasts"))["items"][0].clone());
    let is = |state: Value, want: &str| (state["state"] == want).then_some(state);
    let on_air = eventually(LIMIT, || is(state()?, "live")).unwrap_or_else(|| panic!("{}", server.log()));
    let on_air_ms = began.elapsed().as_millis();
    let path = format!("{show}/broadcasts/{}", on_air["id"].as_str().expect("an id"));
    assert_eq!(receiver.wait(LIMIT), Some(0), "{}", get(&server, &format!("{show}/simulcast-targets")));
    let received = pictures(file);
    assert!((80..=92).contains(&received), "three seconds of 30 pictures each: {received}");

    let even = |health: &Value| health["fps"].as_f64().is_some_and(|fps| (29.0..31.0).contains(&fps));
    let health = || get(&server, &format!("{path}/health"));
    let health = eventually(LIMIT, || Some(health()).filter(even)).unwrap_or_else(|| panic!("{}", health()));
    assert!(health["bitrate_bps"].as_i64() > Some(10_000) && health["key_interval_ms"] == 2000, "{health}");
    let from = on_air["started_at"].as_str().expect("a time");
    let (_, to, _) = run("date", &["-u", "-d", &format!("{from} + 2 seconds"), "+%FT%T.%3NZ"], LIMIT);
    let clip = json!({"from": from, "to": to.trim(), "title": "The beginning"});
    let mp4 = make(&server, &format!("{path}/clips"), &clip, "mp4_path");
    let cut = pictures(&format!("http://{}{mp4}", server.edge()));
    assert!((59..=61).contains(&cut), "two seconds: {cut}");

    drop(encoder);
    let gone = Instant::now();
    eventually(LIMIT, || is(state()?, "away")).expect("away");
    let away_ms = gone.elapsed().as_millis();
    let ended = eventually(WINDOW + 2 * SLACK, || is(state()?, "ended")).expect("over");
    let ended_ms = gone.elapsed().as_millis();
    // Never sooner; how much later is for who looks, and for the machine.
    assert!(ended_ms >= WINDOW.as_millis(), "{ended_ms} {ended}");
    eprintln!(
        "on air after {on_air_ms} ms, away after {away_ms} ms, over after {ended_ms} ms; {received} received, {cut} cut"
    );
    assert!(!server.log().contains("s3cret-key"), "the address of a target is in no log");
}

#[test]
fn a_token_holds_in_the_networks_of_its_channel_alone() {
    let server = Server::start(&[]);
    let club = format!("/{}", make(&server, "", &json!({"handle": "club", "members_only": true}), "id"));
    for (version, network, status) in [("\"1\"", "192.0.2.0/24", 403), ("\"2\"", "127.0.0.0/8", 404)] {
        let policy = json!({"access": "members", "networks": [network], "token_s": 900});
        let (code, answer) =
            ask(&server, "PUT", &format!("{club}/playback-policy"), &[("if-match", version)], &policy);
        assert_eq!(code, 200, "{answer}");
        let (_, given) = ask(&server, "POST", &format!("{club}/playback"), &[], &json!({}));
        let token = given["token"]["token"].as_str().unwrap_or_else(|| panic!("{given}"));
        let mut edge = Client::connect(server.edge()).expect("a connection");
        let reply = edge.get(&format!("/token={token}/members/club/index.m3u8"), &[]).expect("an answer");
        assert_eq!(
            reply.status, status,
            "{network}: nobody publishes, and whoever is elsewhere learns not even that"
        );
    }
}
