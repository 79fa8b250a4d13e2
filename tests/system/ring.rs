//! The services behind the gateway: what is there, what is planned, what outlives a kill.

use std::process::Command;

use serde_json::{Value, json};

use crate::encoder::fresh;
use crate::support::http::{self, Client, Reply};
use crate::support::{Server, nexus_bin};

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

fn post(server: &Server, path: &str, key: &str, body: &Value) -> Reply {
    let text = body.to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let mut client = Client::connect(server.gateway()).expect("a connection");
    client.ask("POST", path, &headers, text.as_bytes()).expect("an answer")
}

fn hourly() -> Value {
    json!({"cron": "0 * * * *", "service": "scheduler", "path": "/v1/schedules"})
}

#[test]
fn what_is_built_answers_what_is_planned_says_so_and_what_is_unknown_is_not_found() {
    let server = Server::start(&[]);
    let get = |path: &str| http::get(server.gateway(), path).expect("an answer");
    let listed = body(&get("/api"));
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(56));
    for (path, status) in [
        ("/api/billing-service/v1/invoices", 501),
        ("/api/wallet/v1/wallets", 501),
        ("/api/nobody/v1/things", 404),
        ("/api/scheduler/v1/nothing", 404),
        ("/api/scheduler/v1/schedules", 200),
        ("/api/scheduler-ms/v1/schedules", 200),
        ("/api/scheduler/health/ready", 200),
        ("/api/streamcore/v1/streams", 200),
        ("/api/streamcore-ms/v1/streams", 308),
    ] {
        let reply = get(path);
        assert_eq!(reply.status, status, "{path}: {}", body(&reply));
        if status > 400 {
            assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
            let id = reply.header("x-request-id").unwrap_or_default();
            assert_eq!(body(&reply)["instance"], format!("urn:nexus:request:{id}"), "{path}");
        }
    }
    let planned = body(&get("/api/billing-service/v1/invoices"));
    assert!(planned["detail"].as_str().is_some_and(|d| d.contains("planned for wave 2")), "{planned}");
    let paths = body(&get("/openapi.json"))["paths"].clone();
    assert!(paths["/api/scheduler/v1/schedules"]["post"].is_object(), "{paths}");
    let metrics = get("/api/scheduler/metrics").body;
    assert!(String::from_utf8_lossy(&metrics).contains("nexus_service_requests_total"));
}

/// A crowd at a service is nothing that viewers feel: what services and their stores run on stands behind what streams run on.
#[cfg(target_os = "linux")]
#[test]
fn threads_of_services_stand_behind_those_of_streams() {
    let server = Server::start(&[]);
    let invite = json!({"roles": ["viewer"]});
    assert_eq!(
        post(&server, "/api/auth-service/v1/invites", "1", &invite).status,
        201,
        "so that there are all"
    );
    let mut seen = std::collections::BTreeMap::<String, Vec<i32>>::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("threads") {
        let Ok(stat) = std::fs::read_to_string(task.expect("a thread").path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').expect("a name").1.rsplit_once(')').expect("its end");
        let nice = rest.split_whitespace().nth(16).expect("nice").parse().expect("a number");
        seen.entry(name.to_owned()).or_default().push(nice);
    }
    // Names are cut off after 15 bytes.
    for name in
        ["auth-service", "gateway", "session-mgr", "token-mgr", "user-auth", "scheduler", "sqlx-sqlite-wor"]
    {
        assert!(seen[name].iter().all(|&nice| nice == 10), "{name}: {seen:?}");
    }
    assert!(seen["tokio-rt-worker"].iter().all(|&nice| nice == 0), "{seen:?}");
}

#[test]
fn a_schedule_outlives_a_kill_and_its_key_is_for_one_request() {
    let data = fresh("ring-killed");
    let mut server = Server::in_folder(&data, &[]);
    let made = post(&server, "/api/scheduler/v1/schedules", "k", &hourly());
    assert_eq!(made.status, 201, "{}", body(&made));
    server.terminate("KILL");
    let server = Server::in_folder(&data, &[]);
    let again = post(&server, "/api/scheduler/v1/schedules", "k", &hourly());
    assert_eq!(
        (again.status, body(&again)),
        (201, body(&made)),
        "the answer is kept with what it answers for"
    );
    let listed = body(&http::get(server.gateway(), "/api/scheduler/v1/schedules").expect("an answer"));
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let mut other = hourly();
    other["cron"] = json!("1 * * * *");
    assert_eq!(post(&server, "/api/scheduler/v1/schedules", "k", &other).status, 422);
    drop(server);
    std::fs::remove_dir_all(&data).expect("its folder");
}

#[test]
fn only_who_has_the_token_gets_to_a_service() {
    let server = Server::start(&[("NEXUS__GATEWAY__TOKEN", "0123456789abcdef")]);
    let path = "/api/scheduler/v1/schedules";
    assert_eq!(http::get(server.gateway(), path).expect("an answer").status, 401);
    let bearer = [("authorization", "Bearer 0123456789abcdef")];
    assert_eq!(http::get_with(server.gateway(), path, &bearer).expect("an answer").status, 200);
}

#[test]
fn the_catalogue_is_printed_for_people_and_programs() {
    let print = |args: &[&str]| {
        let out = Command::new(nexus_bin()).args(args).output().expect("nexus runs");
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).expect("text")
    };
    assert_eq!(print(&["catalog"]).lines().count(), 57);
    let json: Value = serde_json::from_str(&print(&["catalog", "--json"])).expect("JSON");
    assert_eq!(json["items"].as_array().map(Vec::len), Some(56));
}
