//! Body of the fuzz target: asserts properties for any input. Not part of the public promise.

use bytes::Bytes;
use http::StatusCode;

use crate::{Event, Limits, Out, Server};

/// Most bytes that are ever made of one byte that comes: a PING's answer has 17 bytes as it has, a head of 431 and a
/// reset are short.
const REPLY_RATIO: usize = 8;

/// However a client's bytes are cut, the same happens; streams and replies stay within their bounds.
///
/// # Panics
///
/// When a property does not hold.
pub fn client(data: &[u8]) {
    let (&cut, data) = data.split_first().unwrap_or((&0, &[]));
    let whole = run(&[data]);
    let (front, back) = data.split_at(usize::from(cut).min(data.len()));
    assert_eq!(whole, run(&[front, back]), "cut behind byte {cut}");
}

/// What becomes of these reads, in words.
fn run(reads: &[&[u8]]) -> String {
    let limits = Limits { streams_max: 4, fields_bytes_max: 1024, drain_min: 1, drain_timeout_s: 10 };
    let mut out = Out::default();
    let mut server = Server::new(limits, &mut out);
    let mut said = String::new();
    for read in reads {
        let mut input = *read;
        loop {
            let before = out.own.len();
            let len = input.len();
            match server.next(&mut input, &mut out) {
                Ok(Some(Event::Request { stream, request })) => {
                    said.push_str(&format!("{stream} {} {}\n", request.method(), request.uri()));
                    server.respond(stream, StatusCode::OK, [], [Bytes::new()].into(), true, &mut out);
                    server.push(stream, Bytes::from_static(b"body"), stream % 4 == 1);
                    server.transmit(&mut out, 1 << 16, 0);
                }
                Ok(Some(Event::Reset { stream })) => said.push_str(&format!("{stream} reset\n")),
                Ok(None) => break,
                Err(fault) => return said + &fault.to_string(),
            }
            assert!(out.own.len() - before <= 64 + (len - input.len()) * REPLY_RATIO, "too long a reply");
        }
    }
    said
}
