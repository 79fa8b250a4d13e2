//! What goes over the wire, record by record.

use std::io::Read as _;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server's end, and a client that has shaken hands.
async fn pair() -> (Line<DuplexStream>, ClientConnection, DuplexStream) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let cert = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).expect("trusted");
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert], key);
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let (mut near, far) = duplex(1 << 20);
    let acceptor = TlsAcceptor::from(Arc::new(server.expect("a server")));
    let shaken = tokio::spawn(async move { acceptor.accept(far).await });
    while client.is_handshaking() {
        let mut out = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut out).expect("in memory");
        }
        near.write_all(&out).await.expect("room");
        if client.is_handshaking() {
            let mut buffer = vec![0; 16 << 10];
            let len = near.read(&mut buffer).await.expect("an answer");
            client.read_tls(&mut &buffer[..len]).expect("in memory");
            client.process_new_packets().expect("a good answer");
        }
    }
    let mut out = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut out).expect("in memory");
    }
    near.write_all(&out).await.expect("room");
    (Line::new(Tls::new(shaken.await.expect("no panic").expect("shaken"))), client, near)
}

/// Lengths of the records, and what was in them.
fn opened(client: &mut ClientConnection, mut wire: &[u8]) -> (Vec<usize>, Vec<u8>) {
    let (mut records, mut text) = (Vec::new(), Vec::new());
    while let Some(head) = wire.first_chunk::<5>() {
        let len = usize::from(u16::from_be_bytes([head[3], head[4]]));
        records.push(len);
        let (mut record, rest) = wire.split_at(5 + len);
        while !record.is_empty() {
            client.read_tls(&mut record).expect("in memory");
            client.process_new_packets().expect("it opens");
        }
        // No end is no fault here.
        let _ = client.reader().read_to_end(&mut text);
        wire = rest;
    }
    (records, text)
}

#[tokio::test]
async fn frames_of_http2_leave_in_full_records() {
    let (line, mut client, mut near) = pair().await;
    let frame: Vec<u8> = (0..16_384u32).map(|n| n as u8).collect();
    line.turns(async |mut sealed: Sealed<_>| {
        for nth in 0..7u8 {
            sealed.write_all(&[nth; 9]).await.expect("taken");
            sealed.write_all(&frame).await.expect("taken");
            sealed.flush().await.expect("taken");
        }
        sealed.shutdown().await.expect("sent");
    })
    .await;
    let mut wire = Vec::new();
    near.read_to_end(&mut wire).await.expect("the end");
    let (records, text) = opened(&mut client, &wire);
    let expected: Vec<u8> = (0..7u8).flat_map(|nth| [&[nth; 9][..], &frame].concat()).collect();
    assert!(text == expected, "{} bytes instead of {}", text.len(), expected.len());
    // A ticket or none, seven full ones, the rest and the word that it ends: 17 more than they hold (RFC 8446 §5.2).
    let full = records.iter().filter(|len| **len == RECORD + 17).count();
    assert_eq!(full, 7, "{records:?}");
    assert_eq!(records[records.len() - 2..], [7 * 9 + 17, 2 + 17], "{records:?}");
}

#[tokio::test]
async fn every_write_arrives_whatever_its_length_and_what_the_client_says_is_heard() {
    let (line, mut client, mut near) = pair().await;
    Write::write_all(&mut client.writer(), b"a question").expect("in memory");
    let mut out = Vec::new();
    client.write_tls(&mut out).expect("in memory");
    near.write_all(&out).await.expect("room");
    let mut expected = Vec::new();
    let lengths = [0usize, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 200_000, 3];
    for len in lengths {
        expected.extend((0..len).map(|n| (n ^ len) as u8));
    }
    line.turns(async |mut sealed: Sealed<_>| {
        let mut heard = [0; 10];
        sealed.read_exact(&mut heard).await.expect("the question");
        assert_eq!(&heard, b"a question");
        let mut rest = &expected[..];
        for len in lengths {
            let (now, later) = rest.split_at(len);
            sealed.write_all(now).await.expect("taken");
            rest = later;
        }
        sealed.shutdown().await.expect("sent");
    })
    .await;
    let mut wire = Vec::new();
    near.read_to_end(&mut wire).await.expect("the end");
    let (_, text) = opened(&mut client, &wire);
    assert!(text == expected, "{} bytes instead of {}", text.len(), expected.len());
}
