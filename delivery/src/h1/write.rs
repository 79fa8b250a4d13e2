//! Heads of answers.

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode, header};

/// What an answer says beside its own fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing {
    pub(crate) status: StatusCode,
    /// Of the body, when it is to be said and the fields do not say it.
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    /// `Some(true)`: the connection stays, which HTTP/1.0 has to be told; `Some(false)`: it closes.
    pub(crate) stays: Option<bool>,
    /// Unix time in seconds.
    pub(crate) unix_s: u64,
}

/// Writes a head, with the empty line behind it.
pub(crate) fn head(out: &mut Vec<u8>, framing: Framing, fields: &HeaderMap) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(framing.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(framing.status.canonical_reason().unwrap_or_default().as_bytes());
    let mut dated = false;
    for (name, value) in fields {
        // Of what was made elsewhere, the date is when it was made.
        dated |= name == header::DATE;
        // Ours to say.
        if name == header::CONNECTION || name == header::TRANSFER_ENCODING {
            continue;
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    if let Some(length) = framing.length {
        out.extend_from_slice(b"\r\ncontent-length: ");
        number(out, length);
    }
    if framing.chunked {
        out.extend_from_slice(b"\r\ntransfer-encoding: chunked");
    }
    match framing.stays {
        Some(true) => out.extend_from_slice(b"\r\nconnection: keep-alive"),
        Some(false) => out.extend_from_slice(b"\r\nconnection: close"),
        None => {}
    }
    if !dated {
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(date(framing.unix_s).as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

fn number(out: &mut Vec<u8>, number: u64) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{number}");
}

/// The size line of a chunk (RFC 9112 §7.1).
pub(crate) fn chunk_size(len: usize) -> String {
    format!("{len:x}\r\n")
}

/// `Date` at a Unix time in seconds; written once a second and thread.
pub(crate) fn date(unix_s: u64) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    LAST.with_borrow_mut(|(of, value)| {
        if *of != unix_s || value.is_empty() {
            *of = unix_s;
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_s));
            *value = HeaderValue::try_from(text).expect("a date is visible ASCII");
        }
        value.clone()
    })
}
