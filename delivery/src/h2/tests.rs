//! Whole connections, with the client of the `h2` crate, which we did not write, and with frames by hand.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{Method, Request, StatusCode};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::h1::tests::{LARGE, Sizes, pattern, trusting};
use crate::{Limits, Listening, TlsConfig, bind_pair, serve_secure};

/// What a client says first: the preface, settings without an entry.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

struct House {
    listening: Listening,
    stop: watch::Sender<bool>,
    tls: Arc<ClientConfig>,
    folder: std::path::PathBuf,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl House {
    async fn new(limits: Limits) -> Self {
        let folder = std::env::temp_dir().join(format!("nexus-h2-{}", crate::random_id()));
        let certs = TlsConfig::default().certs(&folder).expect("a certificate");
        let (stop, stopped) = watch::channel(false);
        let handler = Arc::new(Sizes { large: Bytes::from(pattern(LARGE)) });
        let pair = bind_pair("tests.listen", ([127, 0, 0, 1], 0).into(), false).await.expect("a port");
        let grace = Duration::from_secs(20);
        let listening = serve_secure(pair, &certs, handler, limits, stopped, grace).expect("listening");
        let tls = trusting(&folder, b"h2");
        Self { listening, stop, tls, folder }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(self.listening.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(self.tls.clone()).connect(name, socket).await.expect("a handshake")
    }

    async fn client(&self, settings: &Builder) -> SendRequest<Bytes> {
        let (client, connection) = settings.handshake(self.connect().await).await.expect("HTTP/2");
        tokio::spawn(connection);
        client
    }
}

async fn ask(client: &SendRequest<Bytes>, path: &str) -> ResponseFuture {
    let request = Request::get(format!("https://localhost{path}")).body(()).expect("a request");
    let mut client = client.clone().ready().await.expect("room for a request");
    client.send_request(request, true).expect("sent").0
}

async fn body(answer: ResponseFuture) -> Result<Vec<u8>, h2::Error> {
    let answer = answer.await?;
    assert_eq!(answer.status(), StatusCode::OK);
    read(answer.into_body()).await
}

async fn read(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(all)
}

#[tokio::test]
async fn bodies_arrive_whole_whatever_the_windows() {
    let house = House::new(Limits::default()).await;
    let paths = [
        ("/0", 0),
        ("/5", 5),
        ("/16384", 16_384),
        ("/100000", 100_000),
        ("/3145728", LARGE),
        ("/slices/3000000", 3_000_000),
        ("/slices/99", 99),
    ];
    for (window, frame) in [(65_535, 16_384), (700, 16_384), (1 << 20, 1 << 20)] {
        let mut settings = Builder::new();
        settings
            .initial_window_size(window)
            .initial_connection_window_size(window.max(65_535))
            .max_frame_size(frame);
        let client = house.client(&settings).await;
        // Small windows make many frames: less is asked for then.
        let paths = paths.iter().filter(|(_, len)| window > 1000 || *len <= 100_000);
        let mut all = Vec::new();
        for (path, len) in paths.clone().chain(paths) {
            all.push((*len, tokio::spawn(body(ask(&client, path).await))));
        }
        for (len, body) in all {
            let body = body.await.expect("no panic").expect("an answer");
            assert!(body == pattern(len), "{} bytes of {len}, window {window}", body.len());
        }
    }
}

#[tokio::test]
async fn who_waits_holds_up_nobody_and_may_give_up() {
    let house = House::new(Limits::default()).await;
    let client = house.client(&Builder::new()).await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(ask(&client, "/never").await);
    }
    assert_eq!(body(ask(&client, "/stream").await).await.unwrap(), b"piecepiecepiece");
    // Some of them give up: their places are free again, of which there are 128.
    waiting.truncate(80);
    for _ in 0..48 {
        waiting.push(ask(&client, "/never").await);
    }
    drop(waiting.pop());
    assert_eq!(body(ask(&client, "/5").await).await.unwrap(), pattern(5));
}

#[tokio::test]
async fn heads_say_what_they_have_to() {
    let house = House::new(Limits::default()).await;
    let client = house.client(&Builder::new()).await;
    // More than once: from then on out of the table.
    for _ in 0..3 {
        let answer = ask(&client, "/5").await.await.unwrap();
        assert_eq!(answer.headers()["content-length"], "5");
        assert!(httpdate::parse_http_date(answer.headers()["date"].to_str().unwrap()).is_ok());
        assert_eq!(answer.headers()["x-request-id"].len(), 16);
        let answer = ask(&client, "/stream").await.await.unwrap();
        assert!(!answer.headers().contains_key("content-length"));
        let head = Request::head("https://localhost/100000").body(()).unwrap();
        let answer = client.clone().ready().await.unwrap().send_request(head, true).unwrap().0.await.unwrap();
        assert_eq!(answer.headers()["content-length"], "100000");
        assert_eq!(read(answer.into_body()).await.unwrap(), b"");
    }
}

#[tokio::test]
async fn a_request_comes_with_its_body_up_to_a_window() {
    let house = House::new(Limits::default()).await;
    let client = house.client(&Builder::new()).await;
    for len in [0, 1, 60_000, 65_534, 65_536] {
        let post = Request::builder().method(Method::POST).uri("https://localhost/echo").body(()).unwrap();
        let (answer, mut upload) = client.clone().ready().await.unwrap().send_request(post, false).unwrap();
        upload.send_data(pattern(len).into(), true).expect("it is sent as the window allows");
        let answer = answer.await.unwrap();
        if len == 65_536 {
            assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        } else {
            assert!(read(answer.into_body()).await.unwrap() == pattern(len), "{len}");
        }
    }
}

/// Three requests in one write: their answers are one record, whole heads and bodies.
#[tokio::test]
async fn answers_that_are_ready_together_leave_together() {
    let house = House::new(Limits::default()).await;
    let (mut socket, mut session) = house.connect().await.into_inner();
    let block = [&[0x82, 0x87, 0x01, 9][..], b"localhost", &[0x04, 2], b"/5"].concat();
    let mut said = HELLO.to_vec();
    for stream in [1, 3, 5] {
        said.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream]);
        said.extend(&block);
    }
    let (mut wire, mut heard) = (Vec::new(), Vec::new());
    std::io::Write::write_all(&mut session.writer(), &said).unwrap();
    session.write_tls(&mut wire).unwrap();
    socket.write_all(&wire).await.unwrap();
    let mut records = Vec::new();
    while heard.windows(9).filter(|w| w[..5] == [0, 0, 5, 0, 1]).count() < 3 {
        let record = record(&mut socket).await;
        let before = heard.len();
        open(&mut session, &record, &mut heard);
        records.push(heard.len() - before);
    }
    assert!(records.iter().filter(|len| **len > 100).count() == 1, "{records:?}");
}

/// The last words of the handshake and a request in one write, as clients often send them.
#[tokio::test]
async fn a_request_that_comes_with_the_handshake_is_answered() {
    let house = House::new(Limits::default()).await;
    let mut socket = TcpStream::connect(house.listening.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(house.tls.clone(), name).unwrap();
    let block = [&[0x82, 0x87, 0x01, 9][..], b"localhost", &[0x04, 2], b"/5"].concat();
    let said = [HELLO, &[0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1], &block].concat();
    let (mut wire, mut heard) = (Vec::new(), Vec::new());
    session.write_tls(&mut wire).unwrap();
    while session.is_handshaking() {
        socket.write_all(&std::mem::take(&mut wire)).await.unwrap();
        let record = record(&mut socket).await;
        open(&mut session, &record, &mut heard);
        if session.is_handshaking() {
            session.write_tls(&mut wire).unwrap();
        }
    }
    std::io::Write::write_all(&mut session.writer(), &said).unwrap();
    while session.wants_write() {
        session.write_tls(&mut wire).unwrap();
    }
    socket.write_all(&wire).await.unwrap();
    while !heard.windows(9).any(|w| w == [0, 0, 5, 0, 1, 0, 0, 0, 1]) {
        let record = record(&mut socket).await;
        open(&mut session, &record, &mut heard);
    }
}

async fn record(socket: &mut TcpStream) -> Vec<u8> {
    let mut record = vec![0; 5];
    socket.read_exact(&mut record).await.expect("a record");
    record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
    socket.read_exact(&mut record[5..]).await.expect("a record");
    record
}

fn open(session: &mut ClientConnection, mut record: &[u8], heard: &mut Vec<u8>) {
    while !record.is_empty() {
        session.read_tls(&mut record).unwrap();
        session.process_new_packets().unwrap();
    }
    let read = std::io::Read::read_to_end(&mut session.reader(), heard);
    assert!(read.is_ok() || read.is_err_and(|e| e.kind() == ErrorKind::WouldBlock));
}

#[tokio::test]
async fn stopping_says_goodbye_and_finishes_what_runs() {
    let house = House::new(Limits::default()).await;
    let (idle, busy) = (house.client(&Builder::new()).await, house.client(&Builder::new()).await);
    assert_eq!(body(ask(&idle, "/5").await).await.unwrap(), pattern(5));
    let running = ask(&busy, "/3145728").await.await.unwrap();
    house.stop.send(true).unwrap();
    // Its window is closed until it is read.
    assert!(read(running.into_body()).await.unwrap() == pattern(LARGE));
    assert!(idle.ready().await.is_err(), "closed");
    let mut house = house;
    let listening = Listening { address: house.listening.address, done: tokio::spawn(async {}) };
    std::mem::replace(&mut house.listening, listening).drained().await;
}

#[tokio::test]
async fn a_window_that_stays_closed_resets_its_stream_alone() {
    let limits = Limits { drain_timeout: Duration::from_secs(1), ..Limits::default() };
    let house = House::new(limits).await;
    let mut settings = Builder::new();
    settings.initial_connection_window_size(1 << 20);
    let client = house.client(&settings).await;
    let stalled = ask(&client, "/3145728").await.await.unwrap();
    let mut stalled = stalled.into_body();
    // What came is not released: nothing more is allowed.
    let end = loop {
        match stalled.data().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.and_then(Result::err).and_then(|e| e.reason()), Some(Reason::CANCEL));
    assert_eq!(body(ask(&client, "/5").await).await.unwrap(), pattern(5));
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_cut_off() {
    let limits = Limits { drain_timeout: Duration::from_secs(1), ..Limits::default() };
    let house = House::new(limits).await;
    let mut client = house.connect().await;
    // Wide windows, and a request for more than the kernels hold.
    let block = [&[0x82, 0x87, 0x01, 9][..], b"localhost", &[0x04, 8], b"/3145728"].concat();
    let mut said = [&HELLO[..24], &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]].concat();
    said.extend([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0]);
    for stream in (1..21).step_by(2) {
        said.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream]);
        said.extend(&block);
    }
    client.write_all(&said).await.unwrap();
    let cut = loop {
        // Pings that nobody needs: they go nowhere once it is cut off.
        if let Err(error) = client.write_all(&[0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).await {
            break error.kind();
        }
        tokio::task::yield_now().await;
        if let Err(error) = client.flush().await {
            break error.kind();
        }
    };
    assert!(matches!(cut, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{cut:?}");
}

#[tokio::test]
async fn silence_and_heads_that_trickle_end_in_time() {
    let second = Duration::from_secs(1);
    let house = House::new(Limits { head_timeout: second, idle_timeout: second, ..Limits::default() }).await;
    // A preface that is not whole, a head that is not, a body that is not, and nothing after an answer.
    let block = [&[0x83, 0x87, 0x01, 9][..], b"localhost", &[0x84]].concat();
    let head = |flags| [&[0, 0, block.len() as u8, 1, flags, 0, 0, 0, 1][..], &block].concat();
    let cases = [
        ("preface", HELLO[..20].to_vec(), false),
        ("frame", [HELLO, &head(5)[..12]].concat(), false),
        ("body", [HELLO, &head(4)].concat(), false),
        ("idle", [HELLO, &head(5)].concat(), true),
    ];
    let mut heard = Vec::new();
    for (name, said, goodbye) in cases {
        let mut client = house.connect().await;
        client.write_all(&said).await.unwrap();
        heard.push((
            name,
            goodbye,
            tokio::spawn(async move {
                let mut heard = Vec::new();
                let _ = client.read_to_end(&mut heard).await;
                heard
            }),
        ));
    }
    for (name, goodbye, heard) in heard {
        // GOAWAY without a fault.
        let heard = heard.await.unwrap();
        let goaway = heard.windows(17).any(|w| w[..9] == [0, 0, 8, 7, 0, 0, 0, 0, 0] && w[13..] == [0; 4]);
        assert_eq!(goaway, goodbye, "{name}");
    }
}

#[tokio::test]
async fn a_connection_is_small() {
    let house = House::new(Limits::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let certs = TlsConfig::default().certs(&house.folder).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(certs.server(&[b"h2"]).unwrap());
    let near = tokio::spawn(TcpStream::connect(address));
    let (far, peer) = listener.accept().await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let near = TlsConnector::from(house.tls.clone()).connect(name, near.await.unwrap().unwrap());
    let (_near, far) = tokio::join!(near, acceptor.accept(far));
    let handler = Arc::new(Sizes { large: Bytes::new() });
    let http = crate::listen::http(Limits::default());
    let context = Arc::new(crate::listen::context(handler, Limits::default(), http, house.stop.subscribe()));
    let tls = crate::sealed::Tls::new(far.unwrap());
    let session = size_of_val(&tls);
    let task = super::run(context, Arc::new(crate::h1::Line::new()), tls, peer);
    let own = size_of_val(&task).saturating_sub(session * 2);
    assert!(own <= 1400, "{own} bytes beside {session} of the session");
}
