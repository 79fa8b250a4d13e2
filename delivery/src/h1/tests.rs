//! Heads one by one, and whole connections with a handler that serves what the path asks for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use proptest::prelude::*;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::head::{self, HEAD_MAX, Read};
use crate::body::Body;
use crate::listen::{Answer, Handler, Limits, Listening, Request, Response, serve};
use crate::metrics::Metrics;
use crate::secure::{bind_pair, serve_secure};
use crate::tls::TlsConfig;

/// What became of a head: `+` ours and the connection stays, `-` ours and it closes, `h` hyper's, `…` partial, or
/// the status of the refusal.
fn fate(bytes: &[u8]) -> String {
    match head::read(bytes) {
        Ok(Read::Partial) => "…".into(),
        Ok(Read::Ours(head, len)) => {
            assert!(len <= bytes.len());
            if head.keep_alive { "+".into() } else { "-".into() }
        }
        Ok(Read::Foreign) => "h".into(),
        Err(refusal) => refusal.status.as_str().to_owned(),
    }
}

#[test]
fn every_head_has_one_reading_or_none() {
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\na: {}\r\n\r\n", "b".repeat(HEAD_MAX));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(64));
    let most = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(63));
    for (text, want) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "+"),
        ("GET /a?b=c HTTP/1.1\r\nhOsT:x:80\r\n\r\nrest", "+"),
        ("HEAD / HTTP/1.1\r\nHost:\r\n\r\n", "+"),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "+"),
        ("GET * HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "+"),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: a, Close\r\n\r\n", "-"),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", "+"),
        ("GET / HTTP/1.0\r\n\r\n", "-"),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "+"),
        ("GET http://x/a HTTP/1.1\r\nHost: X\r\n\r\n", "+"),
        ("GET http://x/a HTTP/1.1\r\nHost: y\r\n\r\n", "400"),
        ("GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", "400"),
        ("GET / HTTP/1.1\nHost: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\na: b\rc\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\na: b\r\n c\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\na : b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n Host: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\na: b\0\r\n\r\n", "400"),
        ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "400"),
        ("GET / HTTP/1.2\r\nHost: x\r\n\r\n", "505"),
        ("GET /\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "+"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", "h"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0,0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "h"),
        ("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n", "h"),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", "417"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h"),
        ("P", "…"),
        ("", "…"),
        ("GET / HTTP/1.1\r\nHost: x\r\n", "…"),
        ("GET / HTTP/1.1\nHost: x\r\n", "400"),
        (&long, "431"),
        (&many, "431"),
        (&most, "+"),
    ] {
        assert_eq!(fate(text.as_bytes()), want, "{text:.200}");
    }
}

#[test]
fn a_head_that_comes_in_pieces_reads_the_same() {
    let whole = b"GET /live/a/v1/index.m3u8?_HLS_msn=3 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n";
    for len in 0..whole.len() {
        assert_eq!(fate(&whole[..len]), "…", "{len}");
    }
    assert_eq!(fate(whole), "+");
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..90) {
        fate(&bytes);
        // Also in the middle of a good head.
        let mut head = b"GET /live/a/index.m3u8 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAccept: */*\r\n\r\n".to_vec();
        let at = at.min(head.len());
        head.splice(at..at, bytes.iter().copied().take(4));
        fate(&head);
    }

    #[test]
    fn a_good_head_says_what_httparse_says(
        path in "/[a-z0-9/._-]{0,40}",
        fields in prop::collection::vec(("[a-z][a-z0-9-]{0,12}x", "[!-~]([ -~]{0,20}[!-~])?"), 0..20),
    ) {
        let mut text = format!("GET {path} HTTP/1.1\r\nHost: h\r\n");
        fields.iter().for_each(|(n, v)| text.push_str(&format!("{n}: {v}\r\n")));
        text.push_str("\r\n");
        let mut parsed = [httparse::EMPTY_HEADER; 64];
        let mut truth = httparse::Request::new(&mut parsed);
        let whole = truth.parse(text.as_bytes()).unwrap();
        let Ok(Read::Ours(head, len)) = head::read(text.as_bytes()) else { panic!("{text}") };
        prop_assert_eq!(httparse::Status::Complete(len), whole);
        prop_assert_eq!(Some(head.request.uri().path()), truth.path);
        prop_assert_eq!(head.request.headers().len(), truth.headers.len());
        for field in truth.headers.iter() {
            let all: Vec<_> = head.request.headers().get_all(field.name).iter().map(|v| v.as_bytes()).collect();
            prop_assert!(all.contains(&field.value));
        }
    }
}

/// `/N`: that many bytes. `/slices/N`: 40 slices. `/stream`: in pieces without a length. `/never`: no answer. `/echo`: what
/// was sent.
pub(crate) struct Sizes {
    pub(crate) large: Bytes,
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

async fn whole(mut upload: crate::Upload) -> Bytes {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut upload).poll_frame(cx)).await {
        all.extend_from_slice(&frame.expect("it comes").into_data().expect("data"));
    }
    all.into()
}

impl Handler for Sizes {
    fn handle(&self, request: Request, _: SocketAddr) -> Answer<'_> {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let slices = path.strip_prefix("/slices/");
            let len: usize = slices.unwrap_or(&path[1..]).parse().unwrap_or(0);
            let mut response = Response::new(match (&*path, slices) {
                ("/never", _) => std::future::pending().await,
                ("/echo", _) => whole(request.into_body()).await.into(),
                ("/stream" | "/said", _) => {
                    let (tx, rx) = mpsc::channel(4);
                    tokio::spawn(async move {
                        for _ in 0..3 {
                            let _ = tx.send(Bytes::from_static(b"piece")).await;
                        }
                    });
                    Body::Channel(rx)
                }
                (_, Some(_)) => {
                    let step = len.div_ceil(40).max(1);
                    let slice = |at: usize| self.large.slice(at..(at + step).min(len));
                    Body::Slices((0..len).step_by(step).map(slice).collect())
                }
                _ => Body::Slices(VecDeque::from([self.large.slice(..len)])),
            });
            if path == "/said" {
                response.headers_mut().insert(http::header::CONTENT_LENGTH, 15.into());
            }
            Ok(response)
        })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        Ok(serde_json::json!({}))
    }

    fn metrics(&self, _: &mut Metrics) {}
}

/// A listener with or without TLS.
struct House {
    runtime: tokio::runtime::Runtime,
    listening: Option<Listening>,
    stop: watch::Sender<bool>,
    tls: Option<Arc<ClientConfig>>,
    folder: PathBuf,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) const LARGE: usize = 3 << 20;

/// A client that trusts the certificate that was made in this folder.
pub(crate) fn trusting(folder: &Path, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("tls/self-signed.pem")).unwrap()).unwrap();
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(tls)
}

/// One on plain TCP and one over TLS: everything holds on both.
fn houses(limits: Limits) -> [House; 2] {
    [false, true].map(|secure| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, stopped) = watch::channel(false);
        let handler = Arc::new(Sizes { large: Bytes::from(pattern(LARGE)) });
        let folder = std::env::temp_dir().join(format!("nexus-h1-{}", crate::random_id()));
        let certs = secure.then(|| TlsConfig::default().certs(&folder).unwrap());
        let grace = Duration::from_secs(20);
        let listening = runtime.block_on(async {
            let address = ([127, 0, 0, 1], 0).into();
            match &certs {
                None => {
                    let listener = TcpListener::bind(address).await.unwrap();
                    serve(listener, handler, limits, stopped, grace).unwrap()
                }
                Some(certs) => {
                    let pair = bind_pair("tests.listen", address, false).await.unwrap();
                    serve_secure(pair, certs, handler, limits, stopped, grace).unwrap()
                }
            }
        });
        let tls = secure.then(|| trusting(&folder, b"http/1.1"));
        House { runtime, listening: Some(listening), stop, tls, folder }
    })
}

trait Stream: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Stream for T {}

impl House {
    fn connect(&self) -> Box<dyn Stream> {
        let socket = TcpStream::connect(self.listening.as_ref().unwrap().address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let Some(tls) = &self.tls else { return Box::new(socket) };
        let name = ServerName::try_from("localhost").unwrap();
        Box::new(StreamOwned::new(ClientConnection::new(tls.clone(), name).unwrap(), socket))
    }

    fn says(&self, request: &str) -> Vec<u8> {
        let mut socket = self.connect();
        socket.write_all(request.as_bytes()).unwrap();
        socket.flush().unwrap();
        let mut said = Vec::new();
        socket.read_to_end(&mut said).unwrap();
        said
    }
}

fn get(path: &str, close: bool) -> String {
    let close = if close { "Connection: close\r\n" } else { "" };
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{close}\r\n")
}

fn body(said: &[u8]) -> &[u8] {
    let end = said.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    &said[end..]
}

#[test]
fn bodies_arrive_whole_by_every_way_of_sending() {
    for slab_bytes_max in [0, 64 << 20] {
        let houses = houses(Limits { slab_bytes_max, ..Limits::default() });
        // The first time copied, the second time copied and stored, from then on out of the slab.
        for (house, round) in houses.iter().flat_map(|house| (0..4).map(move |round| (house, round))) {
            for (path, len) in [
                ("/0", 0),
                ("/5", 5),
                ("/100000", 100_000),
                ("/3145728", LARGE),
                ("/slices/3000000", 3_000_000),
                ("/slices/99", 99),
            ] {
                let said = house.says(&get(path, true));
                assert!(said.starts_with(b"HTTP/1.1 200 OK\r\n"), "{path}");
                assert!(body(&said) == pattern(len), "{path} in round {round}: {} bytes", body(&said).len());
            }
        }
    }
}

#[test]
fn a_body_without_length_is_chunked_or_ends_with_the_connection() {
    for house in houses(Limits::default()) {
        let said = house.says(&get("/stream", true));
        assert_eq!(body(&said), b"5\r\npiece\r\n5\r\npiece\r\n5\r\npiece\r\n0\r\n\r\n");
        let said = house.says("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(body(&said), b"piecepiecepiece");
        // Whatever a handler says of it, nobody is told of two lengths.
        let said = house.says(&get("/said", true)).to_ascii_lowercase();
        assert!(!said.windows(15).any(|w| w == b"content-length:"), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn a_hundred_requests_sent_ahead_are_answered_in_order() {
    for house in houses(Limits::default()) {
        let mut all: String = (1..100).map(|n| get(&format!("/{n}"), false)).collect();
        all.push_str(&get("/100", true));
        let said = String::from_utf8(house.says(&all)).unwrap();
        let lengths = said.lines().filter_map(|l| l.split("content-length: ").nth(1)?.parse::<u32>().ok());
        assert!(lengths.eq(1..=100), "{said}");
    }
}

#[test]
fn a_head_that_trickles_is_cut_with_408_and_silence_without_a_word() {
    for house in houses(Limits { head_timeout: Duration::from_secs(1), ..Limits::default() }) {
        let said = String::from_utf8(house.says("GET / HTTP/1.1\r\nHost:")).unwrap();
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("connection: close"), "{said}");
        assert_eq!(house.says(""), b"");
    }
}

#[test]
fn a_peer_that_takes_nothing_is_cut_off() {
    let limits = Limits { drain_timeout: Duration::from_secs(1), ..Limits::default() };
    for slab_bytes_max in [0, 64 << 20] {
        for house in houses(Limits { slab_bytes_max, ..limits }) {
            let mut socket = house.connect();
            // More than the buffers of both kernels hold.
            socket.write_all(get("/3145728", false).repeat(8).as_bytes()).unwrap();
            // Further requests go nowhere once it is cut off.
            let cut = loop {
                match socket.write(get("/0", false).repeat(1000).as_bytes()) {
                    Ok(len) => assert!(len > 0),
                    Err(error) => break error.kind(),
                }
            };
            assert!(matches!(cut, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{cut:?}");
        }
    }
}

#[test]
fn stopping_closes_idle_connections_and_finishes_what_runs() {
    for mut house in houses(Limits::default()) {
        let mut idle = house.connect();
        idle.write_all(get("/5", false).as_bytes()).unwrap();
        let mut buffer = [0; 4096];
        assert!(idle.read(&mut buffer).unwrap() > 0);
        let mut busy = house.connect();
        busy.write_all(get("/3145728", false).as_bytes()).unwrap();
        assert!(busy.read(&mut buffer).unwrap() > 0);
        house.stop.send(true).unwrap();
        assert_eq!(idle.read(&mut buffer).unwrap(), 0, "closed");
        let mut rest = Vec::new();
        busy.read_to_end(&mut rest).unwrap();
        assert!(rest.len() > LARGE - 4096);
        let listening = house.listening.take().unwrap();
        house.runtime.block_on(listening.drained());
    }
}

#[test]
fn who_hangs_up_while_waiting_is_forgotten() {
    for house in houses(Limits { connections_max: 1, ..Limits::default() }) {
        let mut waiting = house.connect();
        waiting.write_all(get("/never", false).as_bytes()).unwrap();
        drop(waiting);
        // There is one place: it is free again.
        assert_eq!(body(&house.says(&get("/5", true))), pattern(5));
    }
}

#[test]
fn what_is_wrong_with_http2_is_told_to_who_goes_on_sending() {
    let [house, _] = houses(Limits::default());
    house.runtime.block_on(async {
        let address = house.listening.as_ref().unwrap().address;
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        // SETTINGS belong to no stream.
        let wrong = [0, 0, 0, 4, 0, 0, 0, 0, 1];
        let all = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &wrong[..], &[0; 200_000]].concat();
        socket.write_all(&all).await.unwrap();
        // Behind a reset nothing is sent again, and not everywhere may what came before it be read.
        let reset = tokio::time::timeout(Duration::from_millis(50), socket.ready(Interest::ERROR)).await;
        assert!(reset.is_err(), "{reset:?}");
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).await.unwrap();
        // GOAWAY: no flags, stream 0, no last stream, PROTOCOL_ERROR.
        let goaway = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert!(heard.windows(goaway.len()).any(|w| w == goaway), "{heard:?}");
    });
}

#[test]
fn a_connection_is_small() {
    let [house, _] = houses(Limits::default());
    house.runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, peer) = listener.accept().await.unwrap();
        let handler = Arc::new(Sizes { large: Bytes::new() });
        let context = Arc::new(crate::listen::context(
            handler,
            Limits::default(),
            crate::listen::http(Limits::default()),
            house.stop.subscribe(),
        ));
        let task = super::run(context, Arc::new(super::Line::new()), socket, peer, ());
        assert!(size_of_val(&task) <= 640, "{} bytes", size_of_val(&task));
    });
}
