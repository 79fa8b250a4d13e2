//! People: the link of the first administrator, the pages that people use, and that nothing of it is in a log.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::encoder::{eventually, fresh, run, scratch};
use crate::support::Server;
use crate::support::http::{Client, Reply};

const LIMIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct horse battery";

/// Asks with these headers beside those that every request has, each time as another request.
fn ask(server: &Server, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    static NTH: AtomicU32 = AtomicU32::new(0);
    let once = NTH.fetch_add(1, Ordering::Relaxed).to_string();
    let headers = [&[("content-type", "application/json"), ("idempotency-key", &*once)], headers].concat();
    let mut client = Client::connect(server.gateway()).expect("a connection");
    client.ask("POST", path, &headers, body.to_string().as_bytes()).expect("an answer")
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

fn text(reply: &Reply, at: &str) -> String {
    let body = json_of(reply);
    body.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("{at} in {body}")).to_owned()
}

/// What the link of the first administrator ends with.
fn first_invite(server: &Server) -> String {
    let line = server.said("administrator ").expect("a link");
    let start = format!("http://{}/account#invite=", server.gateway());
    line.strip_prefix(&start).unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// By the pages alone: an invitation, the first administrator, a password, two steps, an address of mail, a key, sessions, others' accounts.
#[test]
fn people_get_in_and_are_looked_after_by_the_pages() {
    let data = fresh("account-data");
    let server = Server::in_folder(&data, &[("NEXUS__GATEWAY__IDENTITY__SIGN_UP", "closed")]);
    let mail = data.join("mail");
    let script = format!("{}/web/e2e/account.mjs", env!("CARGO_MANIFEST_DIR"));
    let pictures = scratch("account-pictures");
    let url = format!("http://{}", server.gateway());
    let [into, mail] = [&pictures, &mail].map(|path| path.to_str().expect("a plain path"));
    let args = [&*script, &url, "--mail", mail, "--screenshots", into, "--width", "360"];
    let (ok, out, err) = run("node", &args, Duration::from_secs(90));
    assert!(ok, "{err}\n{}", server.log());
    let seen: Value = serde_json::from_str(out.trim()).unwrap_or_else(|e| panic!("{e}: {out}"));
    for fault in ["sideways_scroll", "console_errors", "external_requests"] {
        assert_eq!(seen[fault], json!([]), "{seen}");
    }
    assert!(pictures.join("account-first.png").is_file(), "pictures are kept");
}

/// By the pages alone: an account, its passkey, a channel, a broadcast that is planned, a key; an encoder that publishes with
/// what the page shows and begins the broadcast; a moment that is marked in the playlist; the picture; the key deleted,
/// everybody sent away, the broadcast ended, and all of it seen to end.
#[test]
fn a_channel_is_made_published_watched_and_ended_by_the_pages() {
    let server = Server::start(&[("NEXUS__ORIGIN__STORE__KEEP_S", "3600")]);
    let script = format!("{}/web/e2e/console.mjs", env!("CARGO_MANIFEST_DIR"));
    let pictures = scratch("console-pictures");
    let link = server.said("administrator ").expect("a link");
    let args = [&*script, link, "--screenshots", pictures.to_str().expect("a plain path"), "--width", "360"];
    let (ok, out, err) = run("node", &args, Duration::from_secs(120));
    assert!(ok, "{err}\n{}", server.log());
    let seen: Value = serde_json::from_str(out.trim()).unwrap_or_else(|e| panic!("{e}: {out}"));
    for fault in ["sideways_scroll", "console_errors", "external_requests"] {
        assert_eq!(seen[fault], json!([]), "{seen}");
    }
    assert_ne!(seen["publisher_code"], 0, "it was sent away: {seen}");
    let marker = seen["marker"].as_str().unwrap_or_default();
    assert!(
        marker.contains("CLASS=\"cos.nexus.chapter\"") && marker.contains("X-LABEL=\"Kick-off\""),
        "{seen}"
    );
    assert!(!server.log().contains("s3cret-key"), "what is behind the address of a target is in no log");
    eprintln!("{seen}");
    assert!(pictures.join("console-18-deleted.png").is_file(), "pictures are kept");
}

/// The link is printed while nobody is there, works once, and with it this machine loses its rights.
#[test]
fn the_first_administrator_comes_by_a_link_that_works_once() {
    let folder = fresh("first-link");
    let invited = {
        let server = Server::in_folder(&folder, &[]);
        first_invite(&server)
    };
    let server = Server::in_folder(&folder, &[]);
    let link = first_invite(&server);
    assert_ne!(link, invited);
    assert!(!server.log().contains(&link), "a link is no log line");
    let sign_up = |handle: &str, invite: &str| {
        let body = json!({"handle": handle, "password": PASSWORD, "invite": invite});
        ask(&server, "/api/auth-service/v1/signup", &[], &body)
    };
    assert_eq!(sign_up("mallory", &invited).status, 410, "the link of an earlier start");
    let root = sign_up("root", &link);
    assert_eq!(root.status, 200, "{}", json_of(&root));
    assert_eq!(sign_up("mallory", &link).status, 410);
    let rotate =
        |headers: &[(&str, &str)]| ask(&server, "/api/token-mgr/v1/keys/rotate", headers, &json!({})).status;
    assert!(eventually(LIMIT, || (rotate(&[]) == 401).then_some(())).is_some(), "from here without a token");
    let bearer = format!("Bearer {}", text(&root, "/access_token"));
    assert_eq!(rotate(&[("authorization", &bearer)]), 200);
    for (forged, why) in [
        (format!("{bearer}x"), "altered"),
        (bearer.replace("Bearer ey", "Bearer fy"), "no header"),
        // {"alg":"none","typ":"JWT"}
        (
            format!(
                "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
                bearer.split('.').nth(1).expect("claims")
            ),
            "unsigned",
        ),
        ("Bearer nxk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(), "no key"),
        ("Basic cm9vdDpyb290".to_owned(), "another scheme"),
    ] {
        assert_eq!(rotate(&[("authorization", &forged)]), 401, "{why}");
    }
    for (name, value) in
        [("x-nexus-caller", "root"), ("x-user-roles", "operator"), ("x-nexus-client", "127.0.0.1")]
    {
        assert_eq!(rotate(&[(name, value)]), 401, "{name}");
    }
    assert_eq!(rotate(&[("authorization", &bearer), ("origin", "http://evil.example")]), 403);
    drop(server);
    let server = Server::in_folder(&folder, &[]);
    assert_eq!(server.said("administrator "), None, "there is one");
}

/// An app that others have written shows codes that are taken: the next one too, each once.
#[test]
fn codes_of_another_library_are_taken() {
    let server = Server::start(&[]);
    let account = json!({"handle": "ada", "password": PASSWORD});
    let ada = ask(&server, "/api/auth-service/v1/signup", &[], &account);
    let bearer = format!("Bearer {}", text(&ada, "/access_token"));
    let with = [("authorization", bearer.as_str())];
    let begun = ask(&server, "/api/auth-service/v1/totp", &with, &json!({"password": PASSWORD}));
    let script = format!("{}/tests/support/totp.py", env!("CARGO_MANIFEST_DIR"));
    let (ok, out, err) = run("otp-python", &[&script, &text(&begun, "/uri")], LIMIT);
    assert!(ok, "{err}");
    let shown: Vec<&str> = out.rsplitn(3, ' ').map(str::trim).collect();
    let [next, now, whose] = shown[..] else { panic!("{out}") };
    assert_eq!(whose, "Nexus COS ada");
    let confirmed = ask(&server, "/api/auth-service/v1/totp/confirm", &with, &json!({"code": now}));
    assert_eq!(confirmed.status, 200, "{}", json_of(&confirmed));
    let second = |code: &str| {
        let challenge = text(&ask(&server, "/api/auth-service/v1/login", &[], &account), "/mfa/challenge");
        ask(&server, "/api/auth-service/v1/mfa", &[], &json!({"challenge": challenge, "code": code})).status
    };
    assert_eq!([second(now), second(next), second(next)], [401, 200, 401]);
}

/// A device that others have written makes a passkey and signs in with it; what does not hold is refused.
#[test]
fn passkeys_of_another_library_are_taken() {
    let server = Server::start(&[]);
    let script = format!("{}/tests/support/passkey.py", env!("CARGO_MANIFEST_DIR"));
    let gateway = server.gateway();
    let (url, origin) = (format!("http://{gateway}"), format!("http://localhost:{}", gateway.port()));
    let (ok, out, err) = run("fido-python", &[&script, &url, &origin, PASSWORD], LIMIT);
    assert!(ok, "{err}\n{}", server.log());
    let seen: Value = serde_json::from_str(out.trim()).unwrap_or_else(|e| panic!("{e}: {out}"));
    eprintln!("{seen}");
    for (what, status) in [
        ("registered_elsewhere", 422),
        ("registered", 201),
        ("signed_in", 200),
        ("same_answer_again", 410),
        ("same_answer_to_another_question", 401),
        ("wrong_origin", 401),
        ("wrong_site", 401),
        ("locked", 401),
        ("stranger", 401),
        ("counter_went_back", 401),
        ("counter_goes_on", 200),
        ("removed", 200),
        ("after_that", 401),
    ] {
        assert_eq!(seen[what], status, "{what}: {seen}");
    }
    assert_eq!(seen["same_person"], true);
    assert!(server.log().contains("a passkey's counter went back"), "{}", server.log());
}

/// The key of a channel that somebody publishes with, and what it is watched with, right and wrong.
fn of_a_channel(server: &Server, bearer: &str) -> [String; 3] {
    const CHANNELS: &str = "/api/streaming-service-v2/v1/channels";
    let with = [("authorization", bearer)];
    let channel = ask(server, CHANNELS, &with, &json!({"handle": "club", "members_only": true}));
    let at = format!("{CHANNELS}/{}", text(&channel, "/id"));
    let key = text(&ask(server, &format!("{at}/stream-keys"), &with, &json!({"name": "logs"})), "/key");
    let token = text(&ask(server, &format!("{at}/playback"), &with, &json!({})), "/token/token");
    let wrong = "a-forged-stream-key";
    for (key, seconds) in [(wrong, "1"), (&key, "3")] {
        let to = format!("rtmp://{}/members/club?key={key}", server.rtmp());
        let source = ["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=10"];
        let sent = ["-t", seconds, "-c:v", "libx264", "-g", "10", "-f", "flv", &to];
        let (ok, _, _) = run("ffmpeg", &[&source[..], &sent[..]].concat(), LIMIT);
        assert_eq!(ok, key != wrong, "{}", server.log());
    }
    let get = |path: &str| {
        let reply = Client::connect(server.edge()).and_then(|mut client| client.get(path, &[]));
        reply.expect("an answer").status
    };
    assert_eq!(get(&format!("/token={token}/members/club/index.m3u8")), 200);
    assert_eq!(get(&format!("/members/club/index.m3u8?token={token}")), 200);
    assert_eq!(get(&format!("/token={token}x/members/club/index.m3u8")), 403);
    assert_eq!(get(&format!("/token={token}/members/other/index.m3u8")), 403);
    [key, token, wrong.to_owned()]
}

/// Everything secret that people send and get, looked for in what the server writes with all its words.
#[test]
fn no_secret_is_in_a_log() {
    let server = Server::start(&[("NEXUS__LOG__FILTER", "trace,h2=info,hyper_util=info,sqlx=trace")]);
    let mut secrets = vec![PASSWORD.to_owned(), "a wrong password".to_owned(), "forged-refresh".to_owned()];
    let invite = first_invite(&server);
    let account = json!({"handle": "root", "password": PASSWORD, "invite": invite});
    let root = ask(&server, "/api/auth-service/v1/signup", &[], &account);
    let bearer = format!("Bearer {}", text(&root, "/access_token"));
    let with = [("authorization", bearer.as_str())];
    let key = ask(&server, "/api/token-mgr/v1/api-keys", &with, &json!({"name": "logs"}));
    let totp = ask(&server, "/api/auth-service/v1/totp", &with, &json!({"password": PASSWORD}));
    let invited = ask(&server, "/api/auth-service/v1/invites", &with, &json!({"roles": ["viewer"]}));
    let refresh =
        |token: &str| ask(&server, "/api/token-mgr/v1/tokens/refresh", &[], &json!({"refresh_token": token}));
    let (old, new) = (text(&root, "/refresh_token"), refresh(&text(&root, "/refresh_token")));
    for (reply, at) in [
        (&root, "/access_token"),
        (&root, "/refresh_token"),
        (&new, "/access_token"),
        (&new, "/refresh_token"),
        (&key, "/key"),
        (&totp, "/secret"),
        (&invited, "/token"),
    ] {
        secrets.push(text(reply, at));
    }
    secrets.push(invite);
    assert_eq!(refresh("forged-refresh").status, 401);
    let _ = refresh(&old);
    let wrong = json!({"handle": "root", "password": "a wrong password"});
    assert_eq!(ask(&server, "/api/auth-service/v1/login", &[], &wrong).status, 401);
    let by_key = format!("Bearer {}", text(&key, "/key"));
    let _ = ask(&server, "/api/token-mgr/v1/keys/rotate", &[("authorization", &by_key)], &json!({}));
    let _ = ask(&server, "/api/auth-service/v1/login", &[], &json!({"password": [PASSWORD]}));
    secrets.extend(of_a_channel(&server, &bearer));
    let log = server.log();
    assert!(log.contains("/v1/login"), "it says something at all: {log}");
    for secret in &secrets {
        assert!(
            !log.contains(secret.as_str()),
            "{secret}: {:?}",
            log.lines().find(|line| line.contains(secret.as_str()))
        );
    }
}
