//! Generators over TLS: h2load for loads, own connections for what one holds. All say AES-128-GCM alone.

use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Name in the certificate.
pub(crate) const NAME: &str = "localhost";
/// Connection preface, empty SETTINGS, and `GET` of a path to be appended with its length (RFC 9113 §3.4, RFC 7541).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A client that trusts the one certificate in a file.
pub(crate) fn client(cert: &Path, alpn: &[u8]) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(cert).expect("the certificate of the server");
    roots.add(cert).expect("it can be trusted");
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder =
        builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("the suite is of TLS 1.3");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// A connection that had one answer and is kept.
pub(crate) type Kept = StreamOwned<ClientConnection, TcpStream>;

/// Opens a connection and asks for a short thing once; `h2` says which version of HTTP.
pub(crate) fn keep(address: SocketAddr, config: &Arc<ClientConfig>, path: &str, h2: bool) -> Result<Kept> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let name = ServerName::try_from(NAME).map_err(Error::other)?;
    let mut kept =
        StreamOwned::new(ClientConnection::new(config.clone(), name).map_err(Error::other)?, socket);
    let request = if h2 {
        let block = [&[0x82, 0x87, 0x01, 9][..], NAME.as_bytes(), &[0x04, path.len() as u8], path.as_bytes()];
        let block = block.concat();
        // HEADERS on stream 1 with END_STREAM and END_HEADERS.
        [PREFACE, &[0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1], &block].concat()
    } else {
        format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n").into_bytes()
    };
    kept.write_all(&request)?;
    let mut buffer = [0; 16 << 10];
    // Settings come before the answer.
    let mut heard = Vec::new();
    let done = |heard: &[u8]| match h2 {
        true => heard.windows(5).any(|w| w[0] <= 1 && w[1] & 1 == 1 && w[2..] == [0, 0, 0]),
        false => heard.starts_with(b"HTTP/1.1 200"),
    };
    while !done(&heard) {
        match kept.read(&mut buffer)? {
            0 => return Err(Error::other("closed before the answer")),
            len => heard.extend_from_slice(&buffer[..len]),
        }
    }
    Ok(kept)
}

/// What h2load had from a server.
pub(crate) struct Loaded {
    pub(crate) answers: f64,
    /// Bytes of bodies.
    pub(crate) bytes: f64,
}

/// Runs h2load with these options.
///
/// # Errors
/// It is not there, or an answer was not 200.
pub(crate) fn load(address: SocketAddr, paths: &[String], options: &[&str]) -> Result<Loaded> {
    let urls = paths.iter().map(|path| format!("https://{address}{path}"));
    let mut command = Command::new("h2load");
    let out = command.args(["-t", "1", "-m", "1"]).args(options).args(urls).output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = |key: &str| text.lines().find_map(|l| l.strip_prefix(key));
    let requests = line("requests: ").and_then(|l| number_before(l, " succeeded"));
    let good = line("status codes: ").and_then(|l| number_before(l, " 2xx"));
    let bytes = line("traffic: ").and_then(|l| l.rsplit_once('(')?.1.split_once(')')?.0.parse().ok());
    match (requests, good, bytes) {
        (Some(answers), Some(good), Some(bytes)) if answers > 0.0 && good >= answers => {
            Ok(Loaded { answers, bytes })
        }
        _ => Err(Error::other(format!("h2load: {text}"))),
    }
}

fn number_before(line: &str, word: &str) -> Option<f64> {
    line.split_once(word)?.0.rsplit([' ', ',']).next()?.parse().ok()
}
