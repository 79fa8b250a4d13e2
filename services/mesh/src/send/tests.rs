//! Requests to instances that are small servers of the test.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A server that answers with what it was asked, who asked, and whether it was told to change protocols.
async fn server() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.expect("a head"));
            }
            let said = answer(&String::from_utf8(head).expect("text"));
            let reply = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{said}",
                said.len()
            );
            socket.write_all(reply.as_bytes()).await.expect("somebody who reads");
        }
    });
    address
}

fn answer(head: &str) -> String {
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let fields = lines.filter_map(|line| line.split_once(": "));
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, value.parse().expect("a value"));
    }
    assert_eq!(headers.get_all(CALLER).iter().count(), 1, "{head}");
    let claims = mesh(Balance::RoundRobin).unseal("s", &mut headers).map(Option::unwrap_or_default);
    let claims = claims.map_or("forged".into(), |c| String::from_utf8_lossy(&c).into_owned());
    format!("{path} {claims} {}", headers.contains_key(header::UPGRADE))
}

fn mesh(balance: Balance) -> Mesh {
    Mesh::new(Clock::manual(1_767_225_600_000), Seal::new(b"a secret"), balance)
}

fn instance(id: &str, address: &str) -> Instance {
    let (id, service, address) = (id.to_owned(), "s".to_owned(), address.to_owned());
    Instance { id, service, address, ready: true, running: 0, circuits: BTreeMap::new() }
}

async fn ask(mesh: &Mesh, tried: &Mutex<Vec<String>>) -> Result<String, SendError> {
    let request = Request::get("/v1/things?x=1")
        .header("upgrade", "h2c")
        .header("x-nexus-caller", "me")
        .body(Body::empty());
    let response = mesh.send("s", b"claims", "", tried, request.expect("a request")).await?;
    let bytes = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_request_arrives_with_who_asks_and_without_what_was_for_its_connection() {
    let (mesh, address) = (mesh(Balance::RoundRobin), server().await);
    assert!(matches!(ask(&mesh, &Mutex::default()).await, Err(SendError::Nobody(_))));
    mesh.beat(instance("a", &address.to_string())).expect("taken");
    assert!(mesh.knows("s") && !mesh.knows("t"));
    assert_eq!(ask(&mesh, &Mutex::default()).await.expect("an answer"), "/v1/things?x=1 claims false");
}

#[tokio::test]
async fn another_try_goes_to_another_instance_and_one_that_failed_is_asked_last() {
    let (mesh, good) = (mesh(Balance::RoundRobin), server().await);
    // A port where nobody listens any more.
    let gone =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    mesh.beat(instance("bad", &gone.to_string())).expect("taken");
    mesh.beat(instance("good", &good.to_string())).expect("taken");
    let tried = Mutex::default();
    assert!(matches!(ask(&mesh, &tried).await, Err(SendError::Silent { instance, .. }) if instance == "bad"));
    assert!(ask(&mesh, &tried).await.is_ok());
    for _ in 0..4 {
        assert!(ask(&mesh, &Mutex::default()).await.is_ok(), "the one that failed is left alone");
    }
    mesh.beat(instance("bad", &gone.to_string())).expect("taken");
    let answers = [ask(&mesh, &Mutex::default()).await, ask(&mesh, &Mutex::default()).await];
    assert_eq!(answers.iter().filter(|a| a.is_err()).count(), 1, "until its next beat");
}

#[tokio::test]
async fn who_watches_hears_of_who_comes_and_of_who_falls_silent() {
    let mesh = Arc::new(mesh(Balance::RoundRobin));
    let watch = |index| {
        let mesh = mesh.clone();
        tokio::spawn(async move { mesh.watch(index, Duration::from_secs(30)).await })
    };
    let (first, index) = mesh.list();
    assert_eq!((first.len(), index), (0, 0));
    let coming = watch(0);
    tokio::task::yield_now().await;
    mesh.beat(instance("a", "127.0.0.1:1")).expect("taken");
    let (list, index) = coming.await.expect("an answer");
    assert!(list[0].passing && index == 1);
    let going = watch(index);
    tokio::task::yield_now().await;
    mesh.clock().advance(Duration::from_secs(5));
    let (list, index) = going.await.expect("an answer");
    assert!(!list[0].passing && index == 2);
    let nothing = watch(index);
    tokio::task::yield_now().await;
    mesh.clock().advance(Duration::from_secs(30));
    assert_eq!(nothing.await.expect("an answer").1, 2, "the same after a while");
}

#[test]
fn a_websocket_is_asked_for_in_one_way() {
    for (method, fields, want) in [
        (Method::GET, &[("upgrade", "websocket"), ("connection", "upgrade")][..], true),
        (Method::GET, &[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")], true),
        (Method::GET, &[("upgrade", "websocket"), ("connection", "a"), ("connection", "upgrade")], true),
        (Method::POST, &[("upgrade", "websocket"), ("connection", "upgrade")], false),
        (Method::GET, &[("upgrade", "websocket")], false),
        (Method::GET, &[("connection", "upgrade")], false),
        (Method::GET, &[("upgrade", "websocket, h2c"), ("connection", "upgrade")], false),
        (Method::GET, &[("upgrade", "websocket"), ("upgrade", "h2c"), ("connection", "upgrade")], false),
        (Method::GET, &[("upgrade", "websocket/13"), ("connection", "upgrade")], false),
        (Method::GET, &[("upgrade", "websocket"), ("connection", "upgrades")], false),
    ] {
        let mut request = Request::builder().method(&method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        assert_eq!(asks_for_websocket(&request), want, "{method} {fields:?}");
    }
}

#[tokio::test]
async fn whoever_changes_protocols_unasked_has_not_answered() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let reply = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        socket.write_all(reply).await.expect("somebody who reads");
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    let mesh = mesh(Balance::RoundRobin);
    mesh.beat(instance("a", &address.to_string())).expect("taken");
    let answer = ask(&mesh, &Mutex::default()).await;
    assert!(matches!(answer, Err(SendError::Silent { .. })), "{answer:?}");
}
