//! Keys: a client of Vault, written by others, drives key-service through the gateway.

use std::time::Duration;

use serde_json::Value;

use crate::encoder::run;
use crate::support::Server;
use crate::support::http::Client;

const TOKEN: &str = "the-token-of-the-gateway";
const LIMIT: Duration = Duration::from_secs(120);

fn status(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut client = Client::connect(server.gateway()).expect("a connection");
    client.ask(method, path, headers, b"{}").expect("an answer").status
}

#[test]
fn a_client_of_vault_gets_what_it_expects() {
    let quiet = "trace,h2=info,hyper_util=info,sqlx=trace";
    let server = Server::start(&[("NEXUS__GATEWAY__TOKEN", TOKEN), ("NEXUS__LOG__FILTER", quiet)]);
    let script = format!("{}/tests/support/vault.py", env!("CARGO_MANIFEST_DIR"));
    let url = format!("http://{}/api/key-service", server.gateway());
    let (ok, out, err) = run("hvac-python", &[&script, &url, TOKEN], LIMIT);
    assert!(ok, "{err}");
    let checked: Value = serde_json::from_str(out.trim()).unwrap_or_else(|e| panic!("{e}: {out}"));
    eprintln!("{checked}");
    assert!(checked["answers"].as_u64() > Some(100) && checked["refused"].as_u64() > Some(20), "{checked}");
    assert!(checked["under_load"].as_u64() > Some(100), "{checked}");

    // Its token is one here and nowhere else, and only where there is no other.
    let (keys, other) = ("/api/key-service/v1/transit/keys", "/api/scheduler/v1/schedules");
    let token = ("x-vault-token", TOKEN);
    assert_eq!(status(&server, "LIST", keys, &[token]), 200);
    assert_eq!(status(&server, "GET", keys, &[]), 401);
    assert_eq!(status(&server, "GET", keys, &[token, ("authorization", "Bearer wrong")]), 401);
    assert_eq!(status(&server, "GET", other, &[token]), 401);
    assert_eq!(status(&server, "GET", other, &[("authorization", &format!("Bearer {TOKEN}"))]), 200);
    let log = server.log();
    assert!(log.contains("/v1/transit"), "it says something at all");
    assert!(!log.contains(TOKEN), "{:?}", log.lines().find(|line| line.contains(TOKEN)));
}
