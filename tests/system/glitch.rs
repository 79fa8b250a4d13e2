//! Errors: Sentry's own SDKs report to glitch, and so does Nexus COS of itself. What others judge of the services: their
//! figures and their descriptions.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::encoder::{eventually, run, scratch};
use crate::support::Server;
use crate::support::http::{self, Client};

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "0123456789abcdef";

/// Asks glitch as the operator.
fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (bearer, once) = (format!("Bearer {TOKEN}"), format!("{path} {body}"));
    let headers =
        [("authorization", &*bearer), ("content-type", "application/json"), ("idempotency-key", &*once)];
    let mut client = Client::connect(server.gateway()).expect("a connection");
    let reply =
        client.ask(method, &format!("/api/glitch/v1{path}"), &headers, body.as_bytes()).expect("an answer");
    assert!(reply.status < 300, "{path}: {}", String::from_utf8_lossy(&reply.body));
    serde_json::from_slice(&reply.body).expect("JSON")
}

fn get(server: &Server, path: &str) -> Value {
    ask(server, "GET", path, &Value::Null)
}

/// The DSN of a new key of the first project.
fn dsn(server: &Server) -> String {
    let key = ask(server, "POST", "/projects/1/keys", &json!({}));
    format!("http://{}@{}/api/glitch/v1/1", key["key"].as_str().expect("a key"), server.gateway())
}

fn support(file: &str) -> String {
    format!("{}/tests/support/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn sentrys_sdks_report_as_they_are() {
    let server = Server::start(&[("NEXUS__GATEWAY__TOKEN", TOKEN)]);
    let dsn = dsn(&server);
    for (sdk, script, thrown, place, slug, steps) in [
        ("sentry-python", "sentry.py", "RuntimeError: checkout failed", "<module>", "nightly-py", 2),
        ("sentry-node", "sentry.cjs", "TypeError: cannot pay with [Filtered]", "pay", "often-js", 1),
    ] {
        let (ok, out, err) = run(sdk, &[&support(script), &dsn], LIMIT);
        assert!(ok, "{sdk}: {err}");
        let ids: Vec<&str> = out.lines().collect();
        let event = get(&server, &format!("/events/{}", ids[0]));
        assert_eq!(event["title"], thrown, "{sdk}");
        assert_eq!((&event["environment"], &event["level"]), (&json!("live"), &json!("error")), "{sdk}");
        let body = &event["body"];
        assert_eq!(body["exception"]["values"].as_array().map(Vec::len), Some(steps), "{sdk}");
        let crumbs = body["breadcrumbs"]["values"].as_array().or(body["breadcrumbs"].as_array());
        assert!(
            crumbs.is_some_and(|c| c.iter().any(|c| c["message"] == "two things in the cart")),
            "{sdk}: {body}"
        );
        for secret in ["hunter2", "4242"] {
            assert!(!event.to_string().contains(secret), "{sdk}: {secret} in {event}");
        }
        let issue = get(&server, &format!("/issues/{}", event["issue"].as_str().expect("an id")));
        assert_eq!((&issue["events"], &issue["state"]), (&json!(1), &json!("unresolved")), "{sdk}");
        assert!(issue["culprit"].as_str().is_some_and(|c| c.ends_with(place)), "{sdk}: {issue}");
        let message = get(&server, &format!("/events/{}", ids[1]));
        assert_eq!(
            (&message["title"], &message["level"]),
            (&json!("the shop is closed"), &json!("warning")),
            "{sdk}"
        );
        let monitors = get(&server, "/projects/1/monitors");
        let heard = monitors.as_array().and_then(|all| all.iter().find(|m| m["slug"] == slug));
        assert!(heard.is_some_and(|m| m["state"] == "ok" && m["next_at"].is_string()), "{sdk}: {monitors}");
    }
    let all = get(&server, "/issues?query=shop%20is%20closed");
    assert_eq!(all["items"][0]["events"], 2, "the same message of two SDKs is one issue: {all}");
    let releases = get(&server, "/projects/1/releases");
    assert_eq!(releases.as_array().map(Vec::len), Some(2), "{releases}");
}

/// Breaks the settings of a server and has it read them again, which is an error.
fn break_settings(server: &Server, data: &Path) {
    std::fs::write(data.join("nexus.toml"), "[origin\n").expect("a file");
    server.signal("HUP");
}

#[test]
fn errors_of_every_role_are_issues_of_glitch() {
    let folder = scratch("reports");
    let (here, there) = (folder.join("here"), folder.join("there"));
    let settings = format!("[gateway]\ntoken = \"{TOKEN}\"\n");
    let server = Server::configured_in(&here, &settings);
    break_settings(&server, &here);
    let listed = || get(&server, "/issues?project=1&query=configuration%20not%20taken")["items"].clone();
    // The path is part of the message, so that each process has an issue of its own.
    let events =
        || listed().as_array().into_iter().flatten().filter_map(|i| i["events"].as_u64()).sum::<u64>();
    let seen = |times: u64| eventually(LIMIT, || (events() == times).then_some(()));
    assert!(seen(1).is_some(), "{}\n{}", listed(), server.log());
    let issue = listed()[0].clone();
    let event =
        get(&server, &format!("/issues/{}/events", issue["id"].as_str().expect("an id")))["items"][0].clone();
    assert_eq!(event["body"]["logger"], "nexus::wiring");
    assert_eq!(event["release"], concat!("nexus@", env!("CARGO_PKG_VERSION")));
    // Another process reports to a DSN.
    let settings = format!("[gateway]\ntoken = \"{TOKEN}\"\nreports_to = \"{}\"\n", dsn(&server));
    let other = Server::configured_in(&there, &settings);
    break_settings(&other, &there);
    assert!(seen(2).is_some(), "{}\n{}", listed(), other.log());
    assert_eq!(get(&other, "/issues")["items"], json!([]), "not to its own");
    assert!(!other.log().contains(dsn(&server).split('@').next().expect("a key")), "no key in the log");
    drop((server, other));
    std::fs::remove_dir_all(&folder).expect("its folder");
}

#[test]
fn alerts_come_signed_and_by_mail() {
    let folder = scratch("alerts");
    let secret = folder.join("secret");
    let mut python = Command::new("sentry-python");
    python.arg(support("receiver.py")).arg(&secret).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut receiver = python.spawn().expect("sentry-python is here: scripts/tools.sh");
    let mut lines =
        BufReader::new(receiver.stdout.take().expect("a pipe")).lines().map(|l| l.expect("a line"));
    let ports = lines.next().expect("two ports");
    let (hooks, mails) = ports.split_once(' ').expect("two ports");
    let settings = format!(
        "[gateway]\ntoken = \"{TOKEN}\"\n[gateway.notify]\nallow = [\"127.0.0.1/32\"]\nsmtp = \"smtp://127.0.0.1:{mails}\"\n"
    );
    let server = Server::configured_in(&folder.join("data"), &settings);
    let hook = ask(&server, "POST", "/webhooks", &json!({"url": format!("http://127.0.0.1:{hooks}/")}));
    std::fs::write(&secret, hook["secret"].as_str().expect("a secret")).expect("a file");
    let mut report = |message: &str| {
        let key = get(&server, "/projects/1/keys")[0]["key"].as_str().expect("a key").to_owned();
        let path = format!("/api/glitch/v1/api/1/store/?sentry_key={key}");
        let event = json!({"message": message}).to_string();
        let mut client = Client::connect(server.gateway()).expect("a connection");
        assert_eq!(client.ask("POST", &path, &[], event.as_bytes()).expect("an answer").status, 200);
        lines.next().expect("a message")
    };
    let _ = dsn(&server);
    let told: Value = serde_json::from_str(&report("döner is out")).expect("JSON");
    let want = json!({"kind": "cos.platform.issue.new.v1", "title": "döner is out", "changed": "refused"});
    assert_eq!(told, want, "{}", server.log());
    let id = hook["id"].as_str().expect("an id");
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json"), ("if-match", "\"1\"")];
    let mail = json!({"url": "mailto:Ops <ops@example.org>"}).to_string();
    let mut client = Client::connect(server.gateway()).expect("a connection");
    let path = format!("/api/glitch/v1/webhooks/{id}");
    assert_eq!(client.ask("PUT", &path, &headers, mail.as_bytes()).expect("an answer").status, 200);
    let told: Value = serde_json::from_str(&report("ayran is out")).expect("JSON");
    assert_eq!(told["to"], json!(["ops@example.org"]), "{told}");
    assert_eq!(told["subject"], "cos.platform.issue.new.v1: ayran is out");
    drop(receiver.stdin.take());
    let _ = receiver.wait();
    drop(server);
    std::fs::remove_dir_all(&folder).expect("its folder");
}

#[test]
fn figures_and_descriptions_are_what_others_take_them_for() {
    let server = Server::start(&[]);
    let addresses =
        [("/metrics", server.gateway()), ("/metrics", server.origin()), ("/metrics", server.edge())];
    let services = ["/api/scheduler/metrics", "/api/glitch/metrics"].map(|path| (path, server.gateway()));
    for (path, address) in addresses.into_iter().chain(services) {
        let figures = http::get(address, path).expect("an answer");
        assert_eq!(figures.status, 200, "{path}");
        let mut promtool = Command::new("promtool");
        promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = promtool.spawn().expect("promtool is here: scripts/tools.sh");
        child.stdin.take().expect("a pipe").write_all(&figures.body).expect("promtool reads");
        let told = child.wait_with_output().expect("promtool ends");
        assert!(told.status.success(), "{address}{path}: {}", String::from_utf8_lossy(&told.stderr));
    }
    let url = format!("http://{}/openapi.json", server.gateway());
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let bounds = ["--phases=fuzzing", "--max-examples=2", "--seed=7", "--max-time=60", "--max-failures=5"];
    let plain = ["--generation-database=none", "--no-shrink", "--no-color", "--warnings=off"];
    // What SCIM does not do here is 501, as its RFC has it.
    let none = ["--exclude-path-regex", "/scim/v2/(Me|Bulk)$"];
    let args = [&["run", &*url, "--checks", checks], &bounds[..], &plain, &none].concat();
    let (ok, out, err) = run("schemathesis", &args, 2 * LIMIT);
    assert!(ok, "{out}\n{err}");
}
