//! SCIM: a judge whom others have written, at the gateway, with an operator's API key.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::encoder::eventually;
use crate::support::Server;
use crate::support::http::{Client, Reply};

const LIMIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct horse battery";

fn ask(server: &Server, method: &str, path: &str, bearer: &str, body: &Value) -> Reply {
    let kind = if path.contains("/scim/") { "application/scim+json" } else { "application/json" };
    let once = format!("{path} {body}");
    let once = once.get(..once.len().min(200)).unwrap_or("one");
    let headers = [("content-type", kind), ("idempotency-key", once), ("authorization", bearer)];
    let mut client = Client::connect(server.gateway()).expect("a connection");
    client.ask(method, path, &headers, body.to_string().as_bytes()).expect("an answer")
}

fn text(reply: &Reply, at: &str) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    body.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("{at} in {body}")).to_owned()
}

/// The API key of the first administrator.
fn operator(server: &Server) -> String {
    let link = server.said("administrator ").expect("a link");
    let (_, invite) = link.split_once("#invite=").expect("an invitation");
    let account = json!({"handle": "root", "password": PASSWORD, "invite": invite});
    let root = ask(server, "POST", "/api/auth-service/v1/signup", "", &account);
    let bearer = format!("Bearer {}", text(&root, "/access_token"));
    text(&ask(server, "POST", "/api/token-mgr/v1/api-keys", &bearer, &json!({"name": "directory"})), "/key")
}

#[test]
fn a_judge_of_scim_finds_nothing_but_success() {
    let server = Server::start(&[]);
    let key = operator(&server);
    let url = format!("http://{}/api/user-auth/v1/scim/v2", server.gateway());
    let script = format!("{}/tests/support/scim.py", env!("CARGO_MANIFEST_DIR"));
    let mut judge = Command::new("timeout");
    judge.args(["-k", "1", "120", "scim-python", &script, &url]).env("NEXUS_KEY", &key).stdin(Stdio::null());
    let told = judge.output().expect("scim-python is here: scripts/tools.sh");
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    let seen: Value =
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{err}\n{}", server.log()));
    assert_eq!(seen["verdicts"], json!({"SUCCESS": 135}), "{seen:#}");
    assert_eq!(seen["others"], json!([]), "{seen:#}");
}

/// What others than operators are told, and in which form.
#[test]
fn nobody_else_is_let_in() {
    let server = Server::start(&[]);
    let key = format!("Bearer {}", operator(&server));
    let account = json!({"handle": "ada", "password": PASSWORD});
    let ada = ask(&server, "POST", "/api/auth-service/v1/signup", "", &account);
    let ada = format!("Bearer {}", text(&ada, "/access_token"));
    const USERS: &str = "/api/user-auth/v1/scim/v2/Users";
    // For a second it may still be believed that there is no administrator.
    let closed = || (ask(&server, "GET", USERS, "", &json!({})).status == 401).then_some(());
    assert!(eventually(LIMIT, closed).is_some(), "from here without a token");
    let mallory = json!({"userName": "mallory@example.com"});
    let king = json!({"userName": "king@example.com", "roles": [{"value": "operator"}]});
    let refused = ask(&server, "POST", USERS, &key, &king);
    assert_eq!((refused.status, text(&refused, "/scimType")), (400, "invalidValue".into()));
    for (bearer, status, kind) in [
        ("", 401, "application/problem+json"),
        ("Bearer nxk_none", 401, "application/problem+json"),
        (&ada, 403, "application/scim+json"),
        (&key, 201, "application/scim+json"),
    ] {
        let reply = ask(&server, "POST", USERS, bearer, &mallory);
        assert_eq!((reply.status, reply.header("content-type")), (status, Some(kind)), "{bearer}");
        if status == 201 {
            let host = format!("http://{}{USERS}/{}", server.gateway(), text(&reply, "/id"));
            assert_eq!(text(&reply, "/meta/location"), host);
            assert_eq!(reply.header("location"), Some(&*host));
        }
    }
}
