//! The API over an origin that only remembers.

mod fake;

use http_body_util::{BodyExt, Full};
use nx_contract::sources::InputRole;
use serde_json::{Value, json};

use super::*;
use crate::Config;
use crate::config::Token;
use crate::serve::{CORE, Core, Face};
pub(crate) use fake::Fake;

const SECRET: &str = "0123456789abcdef";

pub(crate) fn face(token: bool) -> Arc<Face> {
    let (_, stop) = tokio::sync::watch::channel(false);
    let config = Config { token: token.then(|| Token::new(SECRET)), ..Config::default() };
    let fake = Arc::new(Fake::default());
    let core = Core::new(&fake, &fake);
    Face::new(Some(core), &config, ([127, 0, 0, 1], 8888).into(), &Arc::default(), stop).unwrap()
}

/// Names of viewers are in it: even reading is for those who may.
#[tokio::test]
async fn tokens_are_made_and_taken_back_by_those_who_may() {
    let bearer = ("authorization", "Bearer 0123456789abcdef");
    let (made, back) = ("/playback-tokens", "/revocations");
    let wish = r#"{"stream": "live/paid", "lasts_s": 60, "subject": "alice"}"#;
    for (method, path, token, peer, headers, body, want) in [
        ("POST", made, true, AFAR, &[bearer, JSON][..], wish, 201),
        ("POST", made, false, LOCAL, &[JSON], wish, 201),
        ("POST", made, false, AFAR, &[JSON], wish, 403),
        ("POST", made, true, LOCAL, &[JSON], wish, 401),
        ("POST", made, true, AFAR, &[bearer, JSON], r#"{"stream": "live/paid"}"#, 400),
        (
            "POST",
            made,
            true,
            AFAR,
            &[bearer, JSON],
            r#"{"stream": "live/paid", "lasts_s": 60, "sub": "x"}"#,
            400,
        ),
        ("GET", made, true, AFAR, &[bearer], "", 405),
        ("POST", back, true, AFAR, &[bearer, JSON], r#"{"subject": "alice"}"#, 201),
        ("POST", back, true, AFAR, &[bearer, JSON], r#"{"everything": true}"#, 201),
        ("POST", back, true, AFAR, &[bearer, JSON], r#"{"viewer": "alice"}"#, 400),
        ("POST", back, true, AFAR, &[JSON], r#"{"subject": "alice"}"#, 401),
        ("GET", back, true, AFAR, &[bearer], "", 200),
        ("GET", back, true, AFAR, &[], "", 401),
        ("GET", back, false, AFAR, &[], "", 403),
    ] {
        let (status, answer, _) = ask_at(&face(token), peer, CORE, (method, path, headers, body)).await;
        assert_eq!(status, want, "{method} {path} {token} {peer} {body}: {answer}");
    }
    let (_, answer, _) = ask_at(&face(true), AFAR, CORE, ("POST", made, &[bearer, JSON], wish)).await;
    assert_eq!(answer["token"], "t-alice");
    let hls = answer["urls"]["hls"].as_str().unwrap();
    assert!(hls.ends_with(":8888/token=t-alice/live/paid/index.m3u8"), "{hls}");
    let (_, page, _) = ask_at(&face(true), AFAR, CORE, ("GET", "/revocations?limit=2", &[bearer], "")).await;
    assert_eq!(
        (page["items"][1]["seq"].as_u64(), page["next_cursor"].as_str()),
        (Some(2), Some("2")),
        "{page}"
    );
    let (_, page, _) = ask_at(&face(true), AFAR, CORE, ("GET", "/revocations?cursor=4", &[bearer], "")).await;
    assert_eq!(page["items"], json!([{"seq": 5, "everything": true, "before": ""}]));
}

/// A picture of what viewers need a token for is for operators alone.
#[tokio::test]
async fn the_poster_of_a_protected_stream_is_not_for_everybody() {
    for (path, peer, want) in [
        ("/live/paid/poster.jpg", AFAR, 403),
        ("/live/paid/poster.jpg", LOCAL, 404),
        ("/live/free/poster.jpg", AFAR, 404),
    ] {
        let (status, answer, _) = ask_at(&face(false), peer, "", ("GET", path, &[], "")).await;
        assert_eq!(status, want, "{path} {peer}: {answer}");
    }
}

/// Uploads are as guarded as everything else that changes something.
#[tokio::test]
async fn only_who_may_uploads_or_deletes_a_title() {
    let tus = ("tus-resumable", "1.0.0");
    let bearer = ("authorization", "Bearer 0123456789abcdef");
    let (up, del) = ("/uploads", "/titles/show");
    for (method, path, token, peer, headers, want) in [
        ("POST", up, false, AFAR, &[tus][..], 403),
        ("POST", up, false, LOCAL, &[tus], 400),
        ("POST", up, false, LOCAL, &[], 412),
        ("POST", up, true, LOCAL, &[tus], 401),
        ("POST", up, true, AFAR, &[tus, bearer], 400),
        ("HEAD", "/uploads/7", true, AFAR, &[tus], 401),
        ("OPTIONS", up, true, AFAR, &[], 204),
        ("PUT", up, false, LOCAL, &[tus], 405),
        ("DELETE", del, false, AFAR, &[], 403),
        ("DELETE", del, true, AFAR, &[bearer], 404),
        ("GET", "/titles", true, AFAR, &[], 200),
        ("POST", "/titles", false, LOCAL, &[], 405),
    ] {
        let (status, problem, headers) = ask_at(&face(token), peer, CORE, (method, path, headers, "")).await;
        assert_eq!(status, want, "{method} {path} {token} {peer}: {problem}");
        if path.starts_with("/uploads") {
            assert_eq!(headers.get("tus-resumable").map(|v| v.as_bytes()), Some(&b"1.0.0"[..]));
        }
    }
}

/// What is made of titles, by whom: as guarded, and a piece that is not whole is no success.
#[tokio::test]
async fn ladders_and_work_are_for_those_who_may() {
    let bearer = ("authorization", "Bearer 0123456789abcdef");
    let (ladder, work, busy) = ("/titles/show/ladder", "/work", ("nexus-worker", "busy"));
    for (method, path, token, peer, headers, body, want) in [
        ("GET", ladder, true, AFAR, &[][..], "", 404),
        ("POST", ladder, false, AFAR, &[], "", 403),
        ("POST", ladder, true, AFAR, &[], "", 401),
        ("POST", ladder, true, AFAR, &[bearer], "", 409),
        ("DELETE", ladder, true, AFAR, &[bearer], "", 204),
        ("PATCH", ladder, true, AFAR, &[bearer], "", 405),
        ("POST", work, false, AFAR, &[busy], "", 403),
        ("POST", work, false, LOCAL, &[], "", 204),
        ("POST", work, true, AFAR, &[busy, bearer], "", 201),
        ("GET", work, true, AFAR, &[bearer], "", 405),
        ("PUT", "/work/lease", true, AFAR, &[], "whole", 401),
        ("PUT", "/work/lease", true, AFAR, &[bearer], "whole", 204),
        ("PUT", "/work/lease", true, AFAR, &[bearer], "who", 400),
        ("PUT", "/work/lease", true, AFAR, &[bearer], "other", 400),
        ("PUT", "/work/another", true, AFAR, &[bearer], "whole", 404),
    ] {
        let (status, problem, headers) =
            ask_at(&face(token), peer, CORE, (method, path, headers, body)).await;
        assert_eq!(status, want, "{method} {path} {token} {peer}: {problem}");
        if want == 201 {
            assert_eq!(headers["location"], "/api/streamcore/v1/work/lease");
        }
    }
}

/// A request: method, path behind the streams, further headers, body.
pub(crate) type Ask<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

pub(crate) const LOCAL: &str = "127.0.0.1:40000";
pub(crate) const AFAR: &str = "192.0.2.7:40000";
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

async fn ask(face: &Face, peer: &str, asked: Ask<'_>) -> (u16, Value, HeaderMap) {
    ask_at(face, peer, STREAMS, asked).await
}

/// The same, where paths are those behind another address.
pub(crate) async fn ask_at(
    face: &Face,
    peer: &str,
    address: &str,
    (method, path, headers, body): Ask<'_>,
) -> (u16, Value, HeaderMap) {
    let mut request = http::Request::builder().method(method).uri(format!("{address}{path}"));
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:3000");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let response = face.respond(request, peer.parse().unwrap()).await.unwrap_or_else(|p| p.response("id"));
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default(), head.headers)
}

#[test]
fn addresses_have_one_spelling() {
    let route = |rest| route(rest).map(|r| (r.stream, r.kind.name(), r.id));
    let of = |kind, id: Option<&str>| Some(("live/cam1".to_owned(), kind, id.map(str::to_owned)));
    for (rest, want) in [
        ("/live/cam1/targets", of("targets", None)),
        ("/live/cam1/sources/7", of("sources", Some("7"))),
        ("/live/cam1/keys", of("keys", None)),
        ("/live/cam1/keys/", None),
        ("/live/cam1/keys/7/8", None),
        ("/live/cam1", None),
        ("/live/cam1/other", None),
        ("//cam1/targets", None),
        ("/live/cam%31/targets", None),
        ("live/cam1/targets", None),
        ("", None),
    ] {
        assert_eq!(route(rest), want, "{rest}");
    }
}

#[tokio::test]
async fn a_target_lives_from_post_to_delete() {
    let face = face(false);
    let post = ("POST", "/live/cam1/targets", &[JSON][..], r#"{"url":"rtmp://h/a/hunter22"}"#);
    let (code, made, headers) = ask(&face, LOCAL, post).await;
    assert_eq!(
        (code, headers["location"].to_str().unwrap()),
        (201, "/api/streamcore/v1/streams/live/cam1/targets/t0")
    );
    assert_eq!(
        (&made["id"], &made["enabled"], &made["state"]),
        (&json!("t0"), &json!(true), &json!("waiting_for_stream"))
    );
    assert!(!made.to_string().contains("hunter22"));
    assert_eq!(
        ask(&face, AFAR, ("GET", "/live/cam1/targets", &[], "")).await.0,
        403,
        "where it is sent is nobody's business"
    );
    let (code, list, _) = ask(&face, LOCAL, ("GET", "/live/cam1/targets", &[], "")).await;
    assert_eq!((code, &list["items"][0], &list["next_cursor"]), (200, &made, &Value::Null));
    let (code, one, _) = ask(&face, LOCAL, ("GET", "/live/cam1/targets/t0", &[], "")).await;
    assert_eq!((code, one), (200, made));
    let (_, other, _) = ask(&face, LOCAL, ("GET", "/live/cam2/targets", &[], "")).await;
    assert_eq!(other["items"], json!([]));
    let patch = ("PATCH", "/live/cam1/targets/t0", &[JSON][..], r#"{"enabled":false}"#);
    let (code, changed, _) = ask(&face, LOCAL, patch).await;
    assert_eq!((code, &changed["enabled"]), (200, &json!(false)));
    let delete = ("DELETE", "/live/cam1/targets/t0", &[][..], "");
    assert_eq!(ask(&face, LOCAL, delete).await.0, 204);
    let (code, problem, _) = ask(&face, LOCAL, delete).await;
    assert_eq!((code, &problem["type"]), (404, &json!("urn:nexus:problem:not-found")));
}

#[tokio::test]
async fn captions_and_date_ranges_are_announced() {
    let face = face(false);
    let cues = r#"{"cues":[{"duration_ms":1,"text":"x"}]}"#;
    let range = "/api/streamcore/v1/streams/live/a/daterange/r";
    for (peer, method, path, body, want, place) in [
        (LOCAL, "POST", "/live/a/captions", cues, 201, None),
        (LOCAL, "POST", "/live/a/captions", r#"{"cues":[{"text":"x"}]}"#, 400, None),
        (LOCAL, "POST", "/live/a/captions", r#"{"cues":[],"more":1}"#, 400, None),
        (LOCAL, "DELETE", "/live/a/captions/s1", "", 405, None),
        (LOCAL, "POST", "/live/a/daterange", r#"{"id":"r","break":{"duration_ms":1}}"#, 201, Some(range)),
        (LOCAL, "POST", "/live/a/daterange", "{}", 400, None),
        (LOCAL, "DELETE", "/live/a/daterange/r", "", 204, None),
        (AFAR, "POST", "/live/a/daterange", "{}", 403, None),
        (AFAR, "GET", "/live/a/captions", "", 200, None),
        (AFAR, "GET", "/live/a/daterange", "", 404, None),
    ] {
        let (code, answer, headers) = ask(&face, peer, (method, path, &[JSON], body)).await;
        assert_eq!(code, want, "{method} {path} {body}: {answer}");
        let at = headers.get("location").and_then(|v| v.to_str().ok());
        assert_eq!(at, place, "{method} {path}");
    }
}

#[tokio::test]
async fn the_same_idempotency_key_makes_one_thing() {
    let face = face(false);
    let once = [JSON, ("idempotency-key", "abc")];
    let post = ("POST", "/live/cam1/targets", &once[..], r#"{"url":"rtmp://h/a/b"}"#);
    let (first, second) = (ask(&face, LOCAL, post).await, ask(&face, LOCAL, post).await);
    assert_eq!((first.0, second.0, first.1), (201, 201, second.1));
    let long = "x".repeat(256);
    let post =
        ("POST", "/live/cam1/targets", &[JSON, ("idempotency-key", &long)][..], r#"{"url":"rtmp://h/a/b"}"#);
    assert_eq!(ask(&face, LOCAL, post).await.0, 400);
}

#[tokio::test]
async fn a_key_is_told_when_it_is_made() {
    let body = r#"{"input":"backup","limits":{"bitrate_bps":1000}}"#;
    let (code, made, _) = ask(&face(false), LOCAL, ("POST", "/live/cam1/keys", &[JSON], body)).await;
    assert_eq!((code, &made["key"], &made["input"]), (201, &json!("hunter22"), &json!("backup")));
    assert_eq!(made["limits"], json!({"bitrate_bps": 1000}));
    let (_, made, _) = ask(&face(false), LOCAL, ("POST", "/live/cam1/keys", &[JSON], "{}")).await;
    assert_eq!((&made["input"], &made["limits"]), (&json!("primary"), &json!({})));
    assert_eq!(InputRole::default(), InputRole::Primary);
}

#[tokio::test]
async fn what_cannot_be_done_is_a_problem_that_says_so() {
    const GOOD: &str = r#"{"url":"rtmp://h/a/b"}"#;
    let big = format!("{{\"url\":\"{}\"}}", "x".repeat(64 << 10));
    let text = ("content-type", "text/plain");
    let rows: [(Ask<'_>, u16, &str); 13] = [
        (("POST", "/live/cam1/targets", &[], GOOD), 415, "application/json"),
        (("POST", "/live/cam1/targets", &[text], GOOD), 415, "application/json"),
        (("POST", "/live/cam1/targets", &[JSON], &big), 413, "65536"),
        (("POST", "/live/cam1/targets", &[JSON], "{"), 400, "cannot be used"),
        (
            ("POST", "/live/cam1/targets", &[JSON], r#"{"url":"rtmp://h/a/b","nam":1}"#),
            400,
            "unknown field `nam`",
        ),
        (("POST", "/live/cam1/targets", &[JSON], "{}"), 400, "missing field `url`"),
        (("POST", "/live/cam1/targets", &[JSON], r#"{"url":"http://h"}"#), 400, "url: no"),
        (("POST", "/live/cam1/sources", &[JSON], r#"{"url":"udp://h"}"#), 409, "sixteen"),
        (("PATCH", "/live/cam1/sources/1", &[JSON], r#"{"enabled":true}"#), 409, "configuration"),
        (("DELETE", "/live/cam1/sources/1", &[], ""), 500, "log"),
        (("PUT", "/live/cam1/targets", &[JSON], GOOD), 405, "GET, HEAD, POST"),
        (("PATCH", "/live/cam1/keys/1", &[JSON], GOOD), 405, "GET, HEAD, PUT, DELETE"),
        (("POST", "/live/cam1", &[JSON], GOOD), 405, "only read"),
    ];
    for (asked, want, part) in rows {
        let (code, problem, headers) = ask(&face(false), LOCAL, asked).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert_eq!(code, want, "{} {}: {detail}", asked.0, asked.1);
        assert!(detail.contains(part) && !detail.contains("secret disk"), "{detail}");
        assert_eq!(headers["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn only_who_may_changes_something() {
    const GOOD: &str = r#"{"url":"rtmp://h/a/b"}"#;
    let bearer = format!("Bearer {SECRET}");
    let right = ("authorization", bearer.as_str());
    let wrong = ("authorization", "Bearer 0123456789abcdeF");
    let basic = ("authorization", "Basic 0123456789abcdef");
    let host = |host| ("host", host);
    let origin = |origin| ("origin", origin);
    let site = |site| ("sec-fetch-site", site);
    // Whether there is a token, who asks, with what; the answer.
    type Row<'a> = (bool, &'a str, &'a [(&'a str, &'a str)], u16);
    let rows: [Row<'_>; 20] = [
        (false, LOCAL, &[], 201),
        (false, "[::1]:1", &[], 201),
        (false, "[::ffff:127.0.0.1]:1", &[], 201),
        (false, AFAR, &[], 403),
        (false, AFAR, &[right], 401),
        (false, LOCAL, &[("x-forwarded-for", "192.0.2.1")], 403),
        (false, LOCAL, &[host("127.0.0.1:3000"), origin("http://127.0.0.1:3000")], 201),
        (false, LOCAL, &[origin("http://localhost:3000")], 201),
        (false, LOCAL, &[origin("http://evil.example")], 403),
        (false, LOCAL, &[origin("null")], 403),
        (false, LOCAL, &[origin("http://localhost:3001")], 403),
        (false, LOCAL, &[host("evil.example:3000"), origin("http://evil.example:3000")], 403),
        (false, LOCAL, &[host("evil.example:3000")], 403),
        (false, LOCAL, &[site("cross-site")], 403),
        (false, LOCAL, &[site("same-origin")], 201),
        (true, LOCAL, &[], 401),
        (true, AFAR, &[right, host("nexus.example")], 201),
        (true, AFAR, &[wrong], 401),
        (true, AFAR, &[basic], 401),
        (true, AFAR, &[right, origin("http://evil.example")], 403),
    ];
    for (token, peer, headers, want) in rows {
        let headers = [&[JSON], headers].concat();
        let (code, problem, _) =
            ask(&face(token), peer, ("POST", "/live/cam1/targets", &headers, GOOD)).await;
        assert_eq!(code, want, "{peer} {headers:?}: {problem}");
    }
}

#[tokio::test]
async fn a_programme_is_put_and_deleted() {
    let face = face(false);
    let scene = r#"{"inputs":[{"stream":"live/a"},{"stream":"live/b","gain":0.5}],"layout":"side_by_side"}"#;
    let rows: [(&str, Ask<'_>, u16, &str); 11] = [
        (AFAR, ("GET", "/mixes", &[], ""), 200, "live/show"),
        (AFAR, ("GET", "/mixes/live/show", &[], ""), 200, "starting"),
        (AFAR, ("GET", "/mixes/live/none", &[], ""), 404, "live/none"),
        (LOCAL, ("PUT", "/mixes/live/show", &[JSON], scene), 200, "side_by_side"),
        (LOCAL, ("PUT", "/mixes/live/new", &[JSON], scene), 201, "live/new"),
        (LOCAL, ("PUT", "/mixes/live/new", &[JSON], r#"{"inputs":[]}"#), 400, "inputs"),
        (LOCAL, ("PUT", "/mixes/live/new", &[JSON], r#"{"inputs":[],"more":1}"#), 400, "more"),
        (AFAR, ("PUT", "/mixes/live/show", &[JSON], scene), 403, "machine"),
        (LOCAL, ("POST", "/mixes", &[JSON], scene), 405, "GET, HEAD"),
        (LOCAL, ("DELETE", "/mixes/live/show", &[], ""), 204, ""),
        (LOCAL, ("DELETE", "/mixes/live/none", &[], ""), 404, "no"),
    ];
    for (peer, asked, want, part) in rows {
        let (code, answer, _) = ask_at(&face, peer, CORE, asked).await;
        assert_eq!(code, want, "{} {}: {answer}", asked.0, asked.1);
        assert!(answer.to_string().contains(part), "{} {}: {answer}", asked.0, asked.1);
    }
}
