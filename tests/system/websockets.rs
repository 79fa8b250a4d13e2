//! WebSockets through the gateway, to a service of another process: client and service are not ours.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::encoder::run;
use crate::support::Server;
use crate::support::http::{self, Client};

const LIMIT: Duration = Duration::from_secs(30);
/// What a listener that stops gives to what runs (`src/wiring.rs`).
const GRACE: Duration = Duration::from_secs(8);
const TOKEN: &str = "0123456789abcdef";
const PATH: &str = "/api/scheduler/v1/live?a=b";

/// A tool that goes on, and what it prints; killed when dropped.
struct Tool {
    child: Child,
    lines: Receiver<String>,
}

impl Tool {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}; `make test` installs it"));
        let printed = BufReader::new(child.stdout.take().expect("a pipe"));
        let (print, lines) = mpsc::channel();
        // Until the tool is gone.
        std::thread::spawn(move || {
            printed.lines().map_while(Result::ok).try_for_each(|line| print.send(line)).ok();
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|e| panic!("it prints no line: {e}"));
        line.trim().to_owned()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn support(name: &str) -> String {
    format!("{}/tests/support/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The service is there, as every instance says again and again.
fn beat(gateway: SocketAddr, address: &str) -> std::io::Result<u16> {
    let instance = json!({"id": "ws", "service": "scheduler", "address": address, "ready": true});
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("content-type", "application/json"), ("authorization", &*bearer)];
    let path = "/api/backend-api/v1/instances/ws";
    Ok(Client::connect(gateway)?.ask("PUT", path, &headers, instance.to_string().as_bytes())?.status)
}

/// A service, and a gateway that knows of it.
fn stage() -> (Tool, Server) {
    let service = Tool::start("ws-python", &[&support("ws_server.py")]);
    let address = format!("127.0.0.1:{}", service.line());
    let server = Server::role("gateway", &format!("[gateway]\ntoken = {TOKEN:?}\n"));
    let gateway = server.gateway();
    assert_eq!(beat(gateway, &address).expect("an answer"), 200);
    // Until the gateway is gone.
    std::thread::spawn(move || {
        while beat(gateway, &address).is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    (service, server)
}

fn url(server: &Server) -> String {
    format!("ws://{}{PATH}", server.gateway())
}

#[test]
fn websockets_reach_services_of_other_processes_under_the_rules_of_every_request() {
    let (_service, server) = stage();
    let (ok, out, err) = run("ws-node", &[&support("ws.cjs"), "talk", &url(&server), TOKEN], LIMIT);
    assert!(ok, "{err}\n{}", server.log());
    let seen: Value = serde_json::from_str(out.trim()).unwrap_or_else(|e| panic!("{e}: {out}"));
    eprintln!("{seen}");
    assert_eq!([&seen["nobody"], &seen["elsewhere"]], [401, 403], "{seen}");
    assert_eq!(seen["asked"]["path"], "/v1/live?a=b");
    let header = |name: &str| {
        let all = seen["asked"]["headers"].as_array().into_iter().flatten();
        all.filter(|h| h[0] == name).map(|h| h[1].as_str().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(header("x-nexus-client"), ["127.0.0.1"]);
    assert_eq!(header("x-user"), [""; 0]);
    assert!(matches!(header("x-nexus-caller")[..], [sealed] if sealed != "forged"), "{seen}");
    assert_eq!(seen["in_order"], true);
    assert_eq!(seen["pong"], "are you there");
    assert_eq!(seen["closed"], json!([4001, "as you wish"]));
}

#[test]
fn a_gateway_that_stops_does_not_wait_for_websockets_that_say_nothing() {
    let (_service, mut server) = stage();
    let client = Tool::start("ws-node", &[&support("ws.cjs"), "hold", &url(&server), TOKEN]);
    assert_eq!(client.line(), "open");
    let asked = Instant::now();
    assert_eq!(server.terminate("TERM"), Some(0), "{}", server.log());
    let took = asked.elapsed();
    assert!(took < GRACE, "{took:?}");
    assert_eq!(client.line(), "1006", "cut off, for only the service could have said goodbye");
}

#[test]
fn no_connection_changes_to_another_protocol() {
    let (_service, server) = stage();
    let bearer = format!("Bearer {TOKEN}");
    for (upgrade, connection) in [("h2c", "upgrade"), ("websocket", "close"), ("websocket, h2c", "upgrade")] {
        let headers = [
            ("authorization", &*bearer),
            ("upgrade", upgrade),
            ("connection", connection),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let reply = http::get_with(server.gateway(), PATH, &headers).expect("an answer");
        assert_eq!(reply.status, 426, "{upgrade}: the service was asked for a page");
    }
}
