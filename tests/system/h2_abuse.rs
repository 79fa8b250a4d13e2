//! HTTP/2 from strangers: each known way to make a server work for nothing ends that connection, and only that.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::encoder::fresh;
use crate::support::{Server, http};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let mut out = len[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// `GET /health` of `a`, from the static table and literals (RFC 7541 §6).
fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, 7];
    block.extend(b"/health");
    block.extend([0x01, 1, b'a']);
    block
}

/// How the server ended a connection.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With the code of its GOAWAY.
    Goaway(u32),
    Closed,
    StillOpen,
}

trait Socket: Read + Write {}
impl<S: Read + Write> Socket for S {}

/// How a connection is opened: plain HTTP/2 is read by hyper, over TLS by our own machine.
type Open<'a> = &'a dyn Fn(TcpStream) -> Box<dyn Socket>;

/// A way in.
#[derive(Clone, Copy)]
struct Door<'a> {
    name: &'static str,
    address: SocketAddr,
    open: Open<'a>,
}

/// A session over TLS. What came is read before anything is written: to a connection that was reset nothing can be, though a
/// GOAWAY may lie there readable.
struct Session {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Read for Session {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.tls.read_tls(&mut self.socket)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Session {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.tls.writer().write(bytes)?;
        // What does not go now goes before the next.
        let _ = self.flush();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

/// Runs a test against both, with a folder of this name.
fn both(name: &str, test: impl Fn(&Server, Door<'_>)) {
    let data = fresh(name);
    let server = Server::in_folder(&data, &[]);
    test(&server, Door { name: "plain", address: server.edge(), open: &|socket| Box::new(socket) });
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(data.join("tls/self-signed.pem")).expect("a certificate");
    roots.add(cert).expect("it can be trusted");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let open = |mut socket: TcpStream| -> Box<dyn Socket> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(config.clone(), name).expect("a session");
        tls.complete_io(&mut socket).expect("a handshake");
        Box::new(Session { tls, socket })
    };
    test(&server, Door { name: "TLS", address: server.https(), open: &open });
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Says `bytes` again and again until the server ends it.
fn flood(Door { address, open, .. }: Door<'_>, mut next: impl FnMut(u32) -> Vec<u8>) -> (End, usize) {
    let socket = TcpStream::connect(address).expect("a connection");
    // What is said shall be read, not lie in the kernel.
    set_socket_send_buffer_size(&socket, 16 << 10).expect("a small buffer");
    let raw = socket.try_clone().expect("a handle");
    let mut socket = open(socket);
    raw.set_nonblocking(true).expect("non-blocking");
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut out = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let (mut said, mut heard, mut turn) = (0, Vec::new(), 0);
    let mut buffer = [0; 16_384];
    while Instant::now() < deadline {
        match socket.read(&mut buffer) {
            Ok(0) => return (goaway(&heard).unwrap_or(End::Closed), said),
            Ok(n) => heard.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return (goaway(&heard).unwrap_or(End::Closed), said),
        }
        if let Some(end) = goaway(&heard) {
            return (end, said);
        }
        if out.is_empty() {
            out = next(turn);
            turn += 1;
        }
        match socket.write(&out) {
            Ok(n) => {
                said += n;
                out.drain(..n);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => {}
        }
    }
    (End::StillOpen, said)
}

/// The code of the first GOAWAY among whole frames that bears one.
fn goaway(mut heard: &[u8]) -> Option<End> {
    while let Some((head, rest)) = heard.split_at_checked(9) {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, next) = rest.split_at_checked(len)?;
        if head[3] == GOAWAY {
            let code = u32::from_be_bytes(payload[4..8].try_into().expect("four bytes"));
            return Some(End::Goaway(code));
        }
        heard = next;
    }
    None
}

const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

#[test]
fn floods_end_their_own_connection_and_cost_little() {
    both("h2-floods", floods);
}

fn floods(server: &Server, door: Door<'_>) {
    let flood = |next: &mut dyn FnMut(u32) -> Vec<u8>| flood(door, next);
    let by = door.name;
    let (rss, cpu) = (server.rss_kib(), server.cpu_ms());
    let reset = |turn: u32| {
        let stream = turn * 2 + 1;
        let mut out = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get());
        out.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        out
    };
    let (end, said) = flood(&mut |turn| (0..64).flat_map(|n| reset(turn * 64 + n)).collect());
    assert_eq!(end, End::Goaway(ENHANCE_YOUR_CALM), "{by}: rapid reset, after {said} bytes");

    let (end, said) = flood(&mut |turn| match turn {
        0 => frame(HEADERS, END_STREAM, 1, &get()),
        _ => frame(CONTINUATION, 0, 1, &[0x00, 1, b'x', 1, b'y'].repeat(1000)),
    });
    assert!(matches!(end, End::Goaway(_) | End::Closed), "{by}: CONTINUATION: {end:?}");
    // A hundred kilobytes, and what lies unread in the kernel.
    assert!(said < 1 << 20, "{by}: CONTINUATION: {said} bytes before the end");

    // Frames with nothing in them, which no bound on bytes would end.
    let (end, said) = flood(&mut |turn| match turn {
        0 => frame(HEADERS, END_STREAM, 1, &get()),
        _ => frame(CONTINUATION, 0, 1, &[]).repeat(100),
    });
    assert_eq!(end, End::Goaway(ENHANCE_YOUR_CALM), "{by}: empty CONTINUATION");
    assert!(said < 256 << 10, "{by}: empty CONTINUATION: {said} bytes before the end");

    // Every one of them wants an answer; an answer that nobody reads is not made for ever.
    for (name, kind, payload) in [("SETTINGS", SETTINGS, vec![]), ("PING", PING, vec![0; 8])] {
        let (_, _) = flood(&mut |turn| {
            // A bounded number: these are legal, and only have to cost little.
            if turn > 200 { frame(GOAWAY, 0, 3, &[0; 8]) } else { frame(kind, 0, 0, &payload).repeat(100) }
        });
        let grown = server.rss_kib().saturating_sub(rss);
        assert!(grown < 24 << 10, "{by}: {name}: {grown} KiB more");
    }

    // 129 streams at once: one too many is refused, no more.
    let (end, _) = flood(&mut |turn| match turn {
        0 => (0..200).flat_map(|n| frame(HEADERS, END_HEADERS, n * 2 + 1, &get())).collect(),
        _ => frame(HEADERS, END_HEADERS | END_STREAM, 2, &get()),
    });
    assert_eq!(end, End::Goaway(PROTOCOL_ERROR), "{by}: an even stream id");
    assert_eq!(http::get(server.edge(), "/health").expect("an answer").status, 200, "{by}");
    let cost = server.cpu_ms() - cpu;
    assert!(cost < 10_000.0, "{by}: {cost} ms");
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    both("h2-head", |_, door| {
        let socket = TcpStream::connect(door.address).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        too_long(door.name, &mut *(door.open)(socket));
    });
}

fn too_long(by: &str, socket: &mut dyn Socket) {
    let mut block = get();
    // 15 fields of 2 KB: more than the 16 KB that the settings announce.
    for _ in 0..15 {
        block.extend([0x00, 1, b'x', 0x7f, 0x81, 0x0f]);
        block.extend([b'y'; 127 + 1 + (15 << 7)]);
    }
    let mut out = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for (nth, piece) in block.chunks(16_000).enumerate() {
        let last = if (nth + 1) * 16_000 >= block.len() { END_HEADERS } else { 0 };
        let kind = if nth == 0 { HEADERS } else { CONTINUATION };
        out.extend(frame(kind, last | if nth == 0 { END_STREAM } else { 0 }, 1, piece));
    }
    socket.write_all(&out).expect("sent");
    let mut heard = Vec::new();
    let mut buffer = [0; 16_384];
    let refused = loop {
        let n = socket.read(&mut buffer).unwrap_or(0);
        heard.extend_from_slice(&buffer[..n]);
        // A HEADERS frame on stream 1 (status 431), or the end.
        if heard.windows(6).any(|w| w[0] == HEADERS && w[2..] == 1u32.to_be_bytes()) || n == 0 {
            break n > 0 || goaway(&heard).is_some();
        }
    };
    assert!(refused, "{by}: {heard:?}");
    // 431 as a literal, or from a table: never 200, which is index 8.
    assert!(!heard.contains(&0x88), "{by}: not answered as if it were well: {heard:?}");
}
