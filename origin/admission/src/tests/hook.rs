//! The hook, against a real socket.

use std::time::Duration;

use serde_json::{Value, json};

use super::peer::{Peer, answer};
use super::*;
use crate::{Input, Limits};
use RefusalKind::{HookDenied, HookFailed, NoCredential, WrongKey};

fn hooked(peer: &Peer, more: &str) -> Admission {
    admission(&format!("[hook]\nurl = '{}'\ntimeout_ms = 10000\n{more}", peer.url))
}

#[tokio::test]
async fn the_answer_decides() {
    let json = "application/json";
    let huge = format!("{{\"text\":\"{}\"}}", "x".repeat(64 << 10));
    for (reply, want) in [
        (answer("200 OK", json, ""), Ok("hook")),
        (answer("204 No Content", json, ""), Ok("hook")),
        (answer("200 OK", json, "{}"), Ok("hook")),
        (answer("200 OK", "text/plain", "OK"), Ok("hook")),
        (answer("200 OK", "text/plain", "{\"limits\":{\"width\":1}}"), Ok("hook")),
        (answer("200 OK", json, "OK"), Err(HookFailed)),
        (answer("200 OK", "application/json; charset=utf-8", "[1"), Err(HookFailed)),
        (answer("200 OK", "text/plain", "{\"limits\":"), Err(HookFailed)),
        (answer("200 OK", json, "{\"limits\":{\"bitrate\":1}}"), Err(HookFailed)),
        (answer("200 OK", json, "{\"input\":\"third\"}"), Err(HookFailed)),
        (answer("200 OK", json, &huge), Err(HookFailed)),
        (answer("401 Unauthorized", json, ""), Err(HookDenied)),
        (answer("403 Forbidden", json, "{\"text\":\"no\"}"), Err(HookDenied)),
        (answer("403 Forbidden", json, "garbage"), Err(HookDenied)),
        (answer("404 Not Found", json, ""), Err(HookFailed)),
        (answer("500 Oops", json, "{}"), Err(HookFailed)),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), Err(HookFailed)),
    ] {
        let peer = Peer::open(reply.clone()).await;
        let ask = ask("key=hunter2");
        assert_eq!(by(&hooked(&peer, ""), &ask).await, want, "{reply:.200}");
        assert_eq!(peer.count(), 1, "{reply:.200}");
        let lenient = hooked(&peer, "on_failure = 'allow'");
        let want = if want == Err(HookFailed) { Ok("hook") } else { want };
        assert_eq!(by(&lenient, &ask).await, want, "{reply:.200}");
    }
}

#[tokio::test]
async fn an_answer_may_name_the_input_and_tighten_limits() {
    let body = r#"{"input":"backup","limits":{"width":9,"height":2,"concurrent":1},"text":"hello"}"#;
    let peer = Peer::open(answer("200 OK", "application/json", body)).await;
    let admission = hooked(&peer, "[[streams]]\nname = 'live/*'\nlimits = { width = 5, height = 5 }");
    let grant = decide(&admission, &ask("")).await.unwrap();
    let want = Limits { width: Some(5), height: Some(2), concurrent: Some(1), ..Limits::default() };
    assert_eq!((grant.input, grant.limits, grant.lease.is_some()), (Input::Backup, want, true));
}

#[tokio::test]
async fn the_question_is_whole_and_signed() {
    let peer = Peer::open(answer("200 OK", "application/json", "")).await;
    let ask = Ask { client: "OBS 31".into(), ..ask("key=hunter2&token=t&user=bob&input=backup") };
    assert_eq!(by(&hooked(&peer, "secret = 'hook secret'"), &ask).await, Ok("hook"));
    let (head, body) = peer.last();
    let want = json!({
        "action": "publish", "protocol": "rtmp", "stream": "live/show", "ip": "192.0.2.7", "client": "OBS 31",
        "input": "backup", "user": "bob", "key": "hunter2", "token": "t",
    });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), want);
    let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    assert_eq!(line("content-type: ").as_deref(), Some("application/json"));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"hook secret");
    let tag = aws_lc_rs::hmac::sign(&key, format!("1000.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(line("nexus-signature: "), Some(format!("t=1000,v1={hex}")));

    assert_eq!(by(&hooked(&peer, ""), &ask).await, Ok("hook"));
    assert!(!peer.last().0.contains("nexus-signature"), "without secret there is nothing to sign with");
}

#[tokio::test]
async fn the_hooks_words_reach_the_publisher_without_its_key() {
    for (body, want) in [
        (r#"{"text":"pay first"}"#, "pay first"),
        (r#"{"text":"no key hunter2\r\nhere"}"#, "no key ***  here"),
        (r#"{"text":" "}"#, "live/show was refused: check key and name"),
        ("", "live/show was refused: check key and name"),
    ] {
        let peer = Peer::open(answer("403 Forbidden", "application/json", body)).await;
        assert_eq!(decide(&hooked(&peer, ""), &ask("key=hunter2")).await.unwrap_err().text, want);
    }
    let body = format!("{{\"text\":\"{}\"}}", "ä".repeat(300));
    let peer = Peer::open(answer("403 Forbidden", "application/json", &body)).await;
    assert_eq!(decide(&hooked(&peer, ""), &ask("")).await.unwrap_err().text.chars().count(), 200);
}

#[tokio::test]
async fn it_is_asked_only_when_nothing_else_decides() {
    let peer = Peer::open(answer("200 OK", "application/json", "")).await;
    let rules = "[[streams]]\nname = 'live/show'\nkeys = 'hunter2'";
    for (more, query, action, want, asked) in [
        ("", "key=hunter2", Action::Publish, Ok("key"), 0),
        ("", "key=wrong", Action::Publish, Err(WrongKey), 0),
        ("", "", Action::Publish, Ok("hook"), 1),
        ("", "", Action::Play, Ok("open"), 0),
        ("play = true\n", "", Action::Play, Ok("hook"), 1),
    ] {
        let before = peer.count();
        let ask = Ask { action, ..ask(query) };
        assert_eq!(by(&hooked(&peer, &format!("{more}{rules}")), &ask).await, want, "{more} {query}");
        assert_eq!(peer.count() - before, asked, "{more} {query}");
    }
    let unkeyed = hooked(&peer, "");
    assert_eq!(
        by(&unkeyed, &ask("key=any")).await,
        Ok("hook"),
        "without keys of its own the stream's is the hook's"
    );
    assert_eq!(by(&unkeyed, &Ask { protocol: Protocol::Pull, ..ask("") }).await, Ok("hook"));
    assert_eq!(by(&unkeyed, &ask("token=a.b.c")).await, Ok("hook"));
}

#[tokio::test]
async fn it_fails_closed_and_even_open_leaves_keyed_streams_shut() {
    // Nobody listens here any more.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hook = |more: &str| admission(&format!("[hook]\nurl = 'http://{gone}/'\n{more}"));
    assert_eq!(by(&hook(""), &ask("")).await, Err(HookFailed));
    let open = hook("on_failure = 'allow'\n[[streams]]\nname = 'live/show'\nkeys = 'k'");
    assert_eq!(by(&open, &ask("")).await, Err(NoCredential));
    assert_eq!(by(&open, &of("live/other", "")).await, Ok("hook"));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Peer::open(answer("200 OK", "application/json", "")).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let head = format!("HTTP/1.1 {status}\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url);
        let peer = Peer::open(head).await;
        assert_eq!(by(&hooked(&peer, ""), &ask("")).await, Err(HookFailed), "{status}");
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn the_deadline_covers_the_whole_answer() {
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    for peer in [Peer::gated("").await, Peer::open("").await, Peer::open(half).await] {
        let admission = hooked(&peer, "");
        let ask = ask("");
        let (outcome, ()) = tokio::join!(by(&admission, &ask), async {
            peer.heard(1).await;
            // What was sent is on the loopback by now: enough turns for it to be read.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            tokio::time::pause();
            tokio::time::advance(Duration::from_millis(10_001)).await;
            tokio::time::resume();
        });
        assert_eq!(outcome, Err(HookFailed));
    }
}

#[tokio::test]
async fn the_same_question_is_asked_once_at_a_time() {
    let peer = Peer::gated(answer("200 OK", "application/json", "")).await;
    let admission = hooked(&peer, "cache_s = 0");
    let (same, other) = (ask("key=a"), ask("key=b"));
    let (a, b, c, d, ()) = tokio::join!(
        by(&admission, &same),
        by(&admission, &same),
        by(&admission, &same),
        by(&admission, &other),
        async {
            peer.heard(2).await;
            peer.release();
        }
    );
    assert_eq!([a, b, c, d], [Ok("hook"); 4]);
    assert_eq!(peer.count(), 2);
    assert_eq!(by(&admission, &same).await, Ok("hook"));
    assert_eq!(peer.count(), 3, "cache_s = 0 asks each time");
}

#[tokio::test]
async fn when_the_one_who_asks_goes_away_the_next_takes_over() {
    let peer = Peer::gated(answer("200 OK", "application/json", "")).await;
    let admission = hooked(&peer, "");
    let ask = ask("");
    let impatient = async {
        tokio::select! {
            _ = by(&admission, &ask) => panic!("nobody answered yet"),
            () = peer.heard(1) => {}
        }
        peer.release();
    };
    let ((), patient) = tokio::join!(impatient, by(&admission, &ask));
    assert_eq!((patient, peer.count()), (Ok("hook"), 2));
}

#[tokio::test]
async fn answers_are_kept_for_a_while() {
    let json = "application/json";
    for (reply, kept_s) in [(answer("200 OK", json, ""), 30), (answer("403 Forbidden", json, ""), 5)] {
        let peer = Peer::open(reply.clone()).await;
        let admission = hooked(&peer, "");
        // The first asks; the second comes just before the answer ends, the third just when it does.
        for (later_s, want) in [(0, 1), (kept_s - 1, 1), (kept_s, 2)] {
            let _ = admission.decide(&ask(""), NOW_S + later_s).await;
            assert_eq!(peer.count(), want, "{reply} after {later_s} s");
        }
        let others = [ask("key=x"), ask("user=x"), of("live/x", ""), Ask { client: "x".into(), ..ask("") }];
        for (at, other) in others.iter().enumerate() {
            let before = peer.count();
            let _ = admission.decide(other, NOW_S + kept_s).await;
            assert_eq!(peer.count(), before + 1, "another question, number {at}");
        }
    }
    let peer = Peer::open(answer("500 Oops", json, "")).await;
    let admission = hooked(&peer, "");
    for count in 1..=3 {
        assert_eq!(by(&admission, &ask("")).await, Err(HookFailed));
        assert_eq!(peer.count(), count, "a failure is not kept");
    }
}

#[tokio::test]
async fn only_so_many_questions_are_open() {
    let peer = Peer::gated(answer("200 OK", "application/json", "")).await;
    let admission = std::sync::Arc::new(hooked(&peer, ""));
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..256 {
        let admission = std::sync::Arc::clone(&admission);
        asking.spawn(async move { by(&admission, &ask(&format!("key=k{number}"))).await });
    }
    peer.heard(256).await;
    assert_eq!(by(&admission, &ask("key=one-more")).await, Err(HookFailed));
    peer.release();
    assert!(asking.join_all().await.iter().all(|outcome| *outcome == Ok("hook")));
    assert_eq!(by(&admission, &ask("key=one-more")).await, Ok("hook"), "a failure is not kept");
    assert_eq!(peer.count(), 257);
}
