//! What SDKs send and what becomes of it; on both stores.

use std::io::Write;
use std::time::Duration;

use http::Method;
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_chassis::{Caller, Service};
use nx_webhooks::Sender;
use serde_json::{Value, json};

const PROJECT: &str = "/glitch/v1/projects/1";
const HOUR: Duration = Duration::from_secs(3600);

fn glitch() -> Service {
    super::service(
        &Sender::new(&nx_webhooks::Config::default(), std::path::Path::new("/nowhere"))
            .expect("the defaults are good"),
    )
}

/// A key of the first project.
async fn key(app: &TestApp) -> String {
    let made =
        app.send(Method::POST, &format!("{PROJECT}/keys"), &[("idempotency-key", "k")], &json!({})).await;
    made.is(201)["key"].as_str().expect("a key").to_owned()
}

/// An event as Node sends it: the key in the query, no length, nothing packed.
async fn node(app: &TestApp, key: &str, items: &[(&str, Value)]) -> Answer {
    let lines = items.iter().map(|(kind, body)| format!("{}\n{body}\n", json!({"type": kind})));
    let body = format!("{{\"sent_at\":\"x\"}}\n{}", lines.collect::<String>());
    let path = format!("/glitch/v1/api/1/envelope/?sentry_version=7&sentry_key={key}");
    app.send_bytes(None, Method::POST, &path, &[], body.into_bytes()).await
}

async fn report(app: &TestApp, key: &str, event: Value) -> String {
    node(app, key, &[("event", event)]).await.is(200)["id"].as_str().expect("an id").to_owned()
}

fn boom(release: &str, value: &str) -> Value {
    let frame = json!({"module": "shop", "function": "pay", "in_app": true, "lineno": 3});
    let thrown = json!([{"type": "Boom", "value": value, "stacktrace": {"frames": [frame]}}]);
    json!({"release": release, "environment": "live", "exception": {"values": thrown}})
}

async fn issues(app: &TestApp, query: &str) -> Vec<Value> {
    app.get(&format!("/glitch/v1/issues?{query}")).await.is(200)["items"].as_array().expect("a list").clone()
}

async fn both_dialects_and_the_old_endpoint_are_taken(app: TestApp) {
    let key = key(&app).await;
    let id = "9ec79c33ec9942ab8353589fcb2e04dc";
    let event = json!({"event_id": id, "exception": boom("a@1.0.0", "one")["exception"]}).to_string();
    // Python: the key in a header, lengths, gzip.
    let envelope =
        format!("{{\"event_id\":\"{id}\"}}\n{{\"type\":\"event\",\"length\":{}}}\n{event}\n", event.len());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(envelope.as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    let auth = format!("Sentry sentry_key={key}, sentry_version=7, sentry_client=sentry.python/2.75.0");
    let python = [("x-sentry-auth", auth.as_str()), ("content-encoding", "gzip")];
    for _ in 0..2 {
        let path = "/glitch/v1/api/1/envelope/";
        let taken = app.send_bytes(None, Method::POST, path, &python, packed.clone()).await;
        assert_eq!(taken.is(200)["id"], id);
    }
    report(&app, &key, boom("a@1.0.0", "two")).await;
    let event = boom("a@1.0.0", "three").to_string().into_bytes();
    let path = format!("/glitch/v1/api/1/store/?sentry_key={key}");
    let _ = app.send_bytes(None, Method::POST, &path, &[], event).await.is(200);
    let all = issues(&app, "").await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (&all[0]["events"], &all[0]["culprit"]),
        (&json!(3), &json!("shop in pay")),
        "one came twice, and counts once"
    );
    assert_eq!((&all[0]["title"], &all[0]["kind"]), (&json!("Boom: three"), &json!("Boom")));
    let read = app.get(&format!("/glitch/v1/events/{id}")).await;
    assert_eq!(read.is(200)["body"]["exception"]["values"][0]["value"], "one");
}

async fn only_a_key_of_the_project_opens_it(app: TestApp) {
    let key = key(&app).await;
    let made = app
        .send(Method::POST, "/glitch/v1/projects", &[("idempotency-key", "p")], &json!({"name": "Shop"}))
        .await;
    assert_eq!(made.is(201)["id"], 2);
    let send = async |project: &str, query: &str| {
        let path = format!("/glitch/v1/api/{project}/envelope/{query}");
        app.send_bytes(None, Method::POST, &path, &[], b"{}\n".to_vec()).await.status.as_u16()
    };
    let mine = format!("?sentry_key={key}");
    assert_eq!(send("1", &mine).await, 200);
    for (project, query, status) in [
        ("1", "", 401),
        ("1", "?sentry_key=abc", 403),
        ("2", &*mine, 403),
        ("x", &*mine, 403),
        ("9", &*mine, 403),
    ] {
        assert_eq!(send(project, query).await, status, "{project} {query}");
    }
    let nobody = Caller::new("somebody", &[]);
    let path = "/glitch/v1/api/1/envelope/";
    let theirs = app.send_bytes(Some(nobody.clone()), Method::POST, path, &[], b"{}\n".to_vec()).await;
    assert_eq!(theirs.slug(), "unauthorized", "who is signed in has no key of a project for that");
    for path in ["projects", "issues", "projects/1/keys", "events/x"] {
        let theirs =
            app.send_as(Some(nobody.clone()), Method::GET, &format!("/glitch/v1/{path}"), &[], &()).await;
        assert_eq!(theirs.slug(), "forbidden", "{path}");
    }
    let _ = app.send(Method::DELETE, &format!("{PROJECT}/keys/{key}"), &[], &()).await.is(204);
    assert_eq!(send("1", &mine).await, 403);
}

async fn set(app: &TestApp, issue: &Value, change: Value) -> Value {
    let path = format!("/glitch/v1/issues/{}", issue["id"].as_str().expect("an id"));
    let etag = app.get(&path).await.etag().to_owned();
    app.send(Method::PATCH, &path, &[("if-match", &etag)], &change).await.is(200).clone()
}

async fn what_is_resolved_comes_back_with_a_newer_release(app: TestApp) {
    let key = key(&app).await;
    report(&app, &key, boom("shop@1.9.0", "x")).await;
    let issue = issues(&app, "").await.remove(0);
    let resolved = set(&app, &issue, json!({"state": "resolved"})).await;
    assert_eq!((&resolved["state"], &resolved["resolved_in"]), (&json!("resolved"), &json!("shop@1.9.0")));
    for release in ["shop@1.9.0", "shop@1.8.0"] {
        report(&app, &key, boom(release, "x")).await;
        let still = issues(&app, "state=resolved").await;
        assert_eq!(still.len(), 1, "{release} is still out there");
    }
    report(&app, &key, boom("shop@1.10.0", "x")).await;
    let back = issues(&app, "state=unresolved").await;
    assert_eq!((back.len(), &back[0]["events"]), (1, &json!(4)));
    assert_eq!(back[0]["regressed_at"], "2026-01-01T00:00:00.000Z");
    let ignored = set(&app, &issue, json!({"state": "ignored"})).await;
    report(&app, &key, boom("shop@2.0.0", "x")).await;
    assert_eq!(issues(&app, "state=ignored").await.len(), 1, "{ignored}");
    let releases = app.get(&format!("{PROJECT}/releases")).await;
    assert_eq!(releases.is(200).as_array().map(Vec::len), Some(4));
    let stale = [("if-match", "\"1\"")];
    let path = format!("/glitch/v1/issues/{}", issue["id"].as_str().expect("an id"));
    assert_eq!(app.send(Method::PATCH, &path, &stale, &json!({"state": "resolved"})).await.slug(), "stale");
}

async fn new_issues_and_those_that_are_back_are_told(app: TestApp) {
    let key = key(&app).await;
    // Not reached: it is this machine. What is to be told waits.
    let hook = json!({"url": "http://127.0.0.1:9/", "kinds": [super::NEW, super::REGRESSED]});
    let _ = app.send(Method::POST, "/glitch/v1/webhooks", &[("idempotency-key", "w")], &hook).await.is(201);
    let told = async || {
        app.settle().await;
        let sql = "SELECT COUNT(*) AS n FROM chassis_job WHERE kind = 'webhook'";
        app.cx("glitch").db().one::<i64>(sql, vec![]).await.expect("a count").unwrap_or_default()
    };
    report(&app, &key, boom("shop@1.0.0", "x")).await;
    report(&app, &key, boom("shop@1.0.0", "y")).await;
    assert_eq!(told().await, 1, "once for an issue");
    let issue = issues(&app, "").await.remove(0);
    set(&app, &issue, json!({"state": "resolved"})).await;
    report(&app, &key, boom("shop@1.0.1", "x")).await;
    report(&app, &key, boom("shop@1.0.1", "x")).await;
    assert_eq!(told().await, 2);
}

async fn what_is_searched_for_is_found(app: TestApp) {
    let key = key(&app).await;
    for (level, message) in [("error", "Disk 100% full"), ("warning", "disk_slow"), ("info", "Ünïcode gone")]
    {
        report(&app, &key, json!({"level": level, "logentry": {"formatted": message}, "release": "r1"}))
            .await;
        app.pass(Duration::from_secs(1)).await;
    }
    for (query, found) in [
        ("", 3),
        ("query=DISK", 2),
        ("query=100%25", 1),
        ("query=disk_", 1),
        ("query=%25", 1),
        ("level=warning", 1),
        ("release=r1", 3),
        ("release=r2", 0),
        ("project=1&state=unresolved", 3),
        ("project=2", 0),
        ("query=nothing", 0),
    ] {
        assert_eq!(issues(&app, query).await.len(), found, "{query}");
    }
    let first = app.get("/glitch/v1/issues?limit=2").await;
    assert_eq!(first.is(200)["items"][0]["title"], "Ünïcode gone", "the newest first");
    let cursor = first.body["next_cursor"].as_str().expect("there is more").to_owned();
    let rest = issues(&app, &format!("limit=2&cursor={cursor}")).await;
    assert_eq!(rest.iter().map(|i| &i["title"]).collect::<Vec<_>>(), ["Disk 100% full"]);
    assert_eq!(app.get("/glitch/v1/issues?project=x").await.slug(), "bad-request");
    assert_eq!(app.get("/glitch/v1/issues?query=%00").await.slug(), "bad-request");
}

async fn secrets_are_never_stored(app: TestApp) {
    let key = key(&app).await;
    let mut event = boom("r", "login failed for password=hunter2");
    event["request"] = json!({"headers": {"Authorization": "Bearer abc", "X-Vault-Token": "hvs7"}, "query_string": "token=abcdef"});
    event["exception"]["values"][0]["stacktrace"]["frames"][0]["vars"] =
        json!({"api_key": "abcdef", "nul": "a\0b"});
    let id = report(&app, &key, event).await;
    let stored = app.get(&format!("/glitch/v1/events/{id}")).await.is(200).to_string();
    for secret in ["hunter2", "Bearer abc", "hvs7", "abcdef", "\\u0000"] {
        assert!(!stored.contains(secret), "{secret} in {stored}");
    }
    assert!(issues(&app, "").await[0]["title"].as_str().expect("a title").contains("[Filtered]"));
}

async fn a_project_has_its_share_of_an_hour_and_no_more(app: TestApp) {
    let key = key(&app).await;
    let wanted = json!({"name": "Nexus COS", "events_hour_max": 3, "kept_days": 7});
    let etag = app.get(PROJECT).await.etag().to_owned();
    let _ = app.send(Method::PUT, PROJECT, &[("if-match", &etag)], &wanted).await.is(200);
    for n in 0..3 {
        report(&app, &key, boom("r", &n.to_string())).await;
    }
    app.pass(Duration::from_secs(600)).await;
    let refused = node(&app, &key, &[("event", boom("r", "x"))]).await;
    assert_eq!((refused.status.as_u16(), refused.slug()), (429, "too-many"));
    assert_eq!(refused.headers["x-sentry-rate-limits"], "3000:error;default:project:quota");
    assert_eq!(refused.headers["retry-after"], "3000");
    app.pass(HOUR).await;
    report(&app, &key, boom("r", "x")).await;
    let hours = app.get(&format!("{PROJECT}/hours")).await;
    let counts: Vec<_> =
        hours.is(200).as_array().expect("a list").iter().map(|h| h["events"].clone()).collect();
    assert_eq!(counts, [3, 1], "what was refused does not count");
    let issue = issues(&app, "").await[0]["id"].as_str().expect("an id").to_owned();
    let of_issue = app.get(&format!("/glitch/v1/issues/{issue}/hours")).await;
    assert_eq!(of_issue.is(200)[0], json!({"at": "2026-01-01T00:00:00.000Z", "events": 3}));
    app.pass(8 * 24 * HOUR).await;
    assert_eq!(issues(&app, "").await.len(), 0, "older than is kept");
}

async fn of_an_issue_the_newest_events_are_kept(app: TestApp) {
    let key = key(&app).await;
    for n in 0..103 {
        report(&app, &key, boom("r", &format!("nr {n}"))).await;
    }
    let issue = issues(&app, "").await.remove(0);
    assert_eq!(issue["events"], 103);
    let path = format!("/glitch/v1/issues/{}/events?limit=200", issue["id"].as_str().expect("an id"));
    let kept = app.get(&path).await;
    assert_eq!(kept.is(200)["items"].as_array().map(Vec::len), Some(100));
}

async fn what_is_hostile_is_refused_and_nothing_of_it_is_kept(app: TestApp) {
    let key = key(&app).await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let long = json!({"message": "x".repeat(super::event::EVENT_BYTES_MAX)}).to_string();
    for (name, event, status) in [
        ("no JSON", "{", 400),
        ("no object", "[1]", 400),
        ("deep", &*deep, 400),
        ("long", &*long, 400),
        (
            "odd types",
            r#"{"exception":7,"level":[],"timestamp":{},"release":1,"fingerprint":[null,{}]}"#,
            200,
        ),
        ("empty", "{}", 200),
    ] {
        let path = format!("/glitch/v1/api/1/store/?sentry_key={key}");
        let answer = app.send_bytes(None, Method::POST, &path, &[], event.as_bytes().to_vec()).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {answer:?}");
    }
    let path = format!("/glitch/v1/api/1/envelope/?sentry_key={key}");
    let large = vec![b'x'; super::wire::SENT_BYTES_MAX + 1];
    assert_eq!(app.send_bytes(None, Method::POST, &path, &[], large).await.slug(), "too-large");
    let unpacked = [("content-encoding", "gzip")];
    assert_eq!(
        app.send_bytes(None, Method::POST, &path, &unpacked, b"x".to_vec()).await.slug(),
        "bad-request"
    );
    let other = [("content-encoding", "zstd")];
    assert_eq!(
        app.send_bytes(None, Method::POST, &path, &other, b"x".to_vec()).await.slug(),
        "unsupported-media-type"
    );
    let both = node(&app, &key, &[("event", boom("r", "x")), ("event", json!([]))]).await;
    assert_eq!(both.status.as_u16(), 400);
    assert_eq!(issues(&app, "").await.len(), 2, "of a refused envelope nothing is kept");
    let _ = node(&app, &key, &[("transaction", json!({})), ("client_report", json!({})), ("new", json!(1))])
        .await
        .is(200);
}

fn check_in(status: &str, more: Value) -> (&'static str, Value) {
    let mut said = json!({"monitor_slug": "nightly", "status": status, "check_in_id": "c1"});
    if let (Some(said), Value::Object(more)) = (said.as_object_mut(), more) {
        said.extend(more);
    }
    ("check_in", said)
}

async fn monitor(app: &TestApp) -> Value {
    app.get(&format!("{PROJECT}/monitors")).await.is(200)[0].clone()
}

fn hourly() -> Value {
    let plan = json!({"schedule": {"type": "crontab", "value": "0 * * * *"}, "checkin_margin": 5, "max_runtime": 10});
    json!({"monitor_config": plan})
}

async fn a_monitor_is_missed_once_and_heard_of_again(app: TestApp) {
    let key = key(&app).await;
    let _ = node(&app, &key, &[check_in("ok", hourly())]).await.is(200);
    assert_eq!(monitor(&app).await["next_at"], "2026-01-01T01:00:00.000Z");
    app.pass(HOUR + Duration::from_secs(299)).await;
    assert_eq!(monitor(&app).await["state"], "ok", "within its margin");
    app.pass(Duration::from_secs(1)).await;
    assert_eq!(
        (&monitor(&app).await["state"], &monitor(&app).await["next_at"]),
        (&json!("missed"), &json!("2026-01-01T02:00:00.000Z"))
    );
    app.pass(2 * HOUR).await;
    let check_ins = app.get(&format!("{PROJECT}/monitors/nightly/check-ins")).await;
    let states: Vec<_> =
        check_ins.is(200)["items"].as_array().expect("a list").iter().map(|c| c["state"].clone()).collect();
    assert_eq!(states, ["missed", "missed", "ok"], "times that went by in one stretch are one");
    // A minute early is for the time to come.
    let _ = node(&app, &key, &[check_in("ok", json!({"check_in_id": "c2"}))]).await.is(200);
    app.pass(Duration::from_secs(54 * 60)).await;
    let _ = node(&app, &key, &[check_in("ok", json!({"check_in_id": "c3"}))]).await.is(200);
    assert_eq!(monitor(&app).await["next_at"], "2026-01-01T05:00:00.000Z");
    app.pass(HOUR).await;
    assert_eq!(monitor(&app).await["state"], "ok");
}

async fn work_that_fails_or_never_ends_is_told(app: TestApp) {
    let key = key(&app).await;
    let _ = node(&app, &key, &[check_in("in_progress", hourly())]).await.is(200);
    app.pass(Duration::from_secs(300)).await;
    let _ = node(&app, &key, &[check_in("error", json!({"duration": 1.5}))]).await.is(200);
    let listed =
        async || app.get(&format!("{PROJECT}/monitors/nightly/check-ins")).await.is(200)["items"].clone();
    let one = listed().await;
    assert_eq!(
        (one.as_array().map(Vec::len), &one[0]["state"], &one[0]["duration_ms"]),
        (Some(1), &json!("error"), &json!(1500))
    );
    let _ = node(&app, &key, &[check_in("in_progress", json!({"check_in_id": "c2"}))]).await.is(200);
    app.pass(Duration::from_secs(601)).await;
    assert_eq!(
        (&listed().await[0]["state"], &monitor(&app).await["state"]),
        (&json!("timeout"), &json!("timeout"))
    );
}

async fn check_ins_that_make_no_sense_are_refused_or_forgotten(app: TestApp) {
    let key = key(&app).await;
    for (name, item, status) in [
        ("no status", check_in("soon", hourly()), 400),
        ("no slug", ("check_in", json!({"status": "ok"})), 400),
        ("a path", check_in("ok", json!({"monitor_slug": "a/b"})), 400),
        ("nobody described it", check_in("ok", json!({})), 200),
        (
            "no cron",
            check_in("ok", json!({"monitor_config": {"schedule": {"type": "crontab", "value": "soon"}}})),
            200,
        ),
        (
            "no plan",
            check_in(
                "ok",
                json!({"monitor_config": {"schedule": {"type": "interval", "value": -1, "unit": "day"}}}),
            ),
            200,
        ),
    ] {
        assert_eq!(node(&app, &key, &[item]).await.status.as_u16(), status, "{name}");
    }
    assert_eq!(*app.get(&format!("{PROJECT}/monitors")).await.is(200), json!([]));
}

/// Runs each scene on SQLite, and all of them on one PostgreSQL.
macro_rules! scenes {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::TestApp::new(vec![super::glitch()]).await).await;
            })*
        }

        #[tokio::test]
        async fn on_postgresql() {
            let postgres = Postgres::start();
            $($name(TestApp::on(&postgres, vec![glitch()]).await).await;)*
        }
    };
}
scenes!(
    both_dialects_and_the_old_endpoint_are_taken,
    only_a_key_of_the_project_opens_it,
    what_is_resolved_comes_back_with_a_newer_release,
    new_issues_and_those_that_are_back_are_told,
    what_is_searched_for_is_found,
    secrets_are_never_stored,
    a_project_has_its_share_of_an_hour_and_no_more,
    of_an_issue_the_newest_events_are_kept,
    what_is_hostile_is_refused_and_nothing_of_it_is_kept,
    a_monitor_is_missed_once_and_heard_of_again,
    work_that_fails_or_never_ends_is_told,
    check_ins_that_make_no_sense_are_refused_or_forgotten,
);
