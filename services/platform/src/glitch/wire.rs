//! What Sentry's SDKs send, as bytes: their key, packed bodies, envelopes.
//!
//! Spec: develop.sentry.dev, "Authentication" and "Envelopes".

use std::io::Read;

use http::{HeaderMap, Uri, header};
use serde::Deserialize;

/// Largest body as it is sent, bytes.
pub(super) const SENT_BYTES_MAX: usize = 2 << 20;
/// Largest body when it is unpacked, bytes: an event and its attachments.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;
/// Most items of an envelope that are looked at.
const ITEMS_MAX: usize = 100;
/// Longest key, bytes.
const KEY_BYTES_MAX: usize = 64;

/// A body that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// Larger than [`SENT_BYTES_MAX`], or [`BODY_BYTES_MAX`] when it is unpacked.
    #[error("a body has at most {SENT_BYTES_MAX} bytes, and {BODY_BYTES_MAX} when it is unpacked")]
    TooLarge,
    /// Packed in another way.
    #[error("Content-Encoding may be gzip, deflate or br")]
    Coding,
    /// Not what `Content-Encoding` says.
    #[error("the body is not what its Content-Encoding says")]
    Packed,
    /// The first line is no header.
    #[error("the envelope begins with no header")]
    Header,
    /// An item is cut off, or what stands before it is no header of an item.
    #[error("item {0} of the envelope is not whole")]
    Item(usize),
}

/// The key of a DSN, from `X-Sentry-Auth`, `Authorization` or the query.
pub(super) fn key(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let of = |name| header_text(headers, name).strip_prefix("Sentry ");
    let listed = of("x-sentry-auth").or_else(|| of(header::AUTHORIZATION.as_str())).unwrap_or_default();
    let pairs = listed.split(',').chain(uri.query().unwrap_or_default().split('&'));
    let key = pairs.filter_map(|pair| pair.trim().strip_prefix("sentry_key=")).next()?;
    let sane = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
    sane.then(|| key.to_owned())
}

/// A header as text, empty when there is none.
pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// A body unpacked as its `Content-Encoding` says.
pub(super) fn unpack(coding: &str, body: &[u8]) -> Result<Vec<u8>, WireError> {
    match coding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => whole(body),
        "gzip" | "x-gzip" => whole(flate2::read::MultiGzDecoder::new(body)),
        // Some leave out the frame around it that the name asks for.
        "deflate" if body.first().is_some_and(|b| b & 0x0f == 8) => {
            whole(flate2::read::ZlibDecoder::new(body))
        }
        "deflate" => whole(flate2::read::DeflateDecoder::new(body)),
        "br" => whole(brotli_decompressor::Decompressor::new(body, 4096)),
        _ => Err(WireError::Coding),
    }
}

fn whole(packed: impl Read) -> Result<Vec<u8>, WireError> {
    let mut body = Vec::new();
    packed.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut body).map_err(|_| WireError::Packed)?;
    if body.len() > BODY_BYTES_MAX { Err(WireError::TooLarge) } else { Ok(body) }
}

/// The first line of an envelope.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct EnvelopeHead {
    #[serde(default)]
    pub(super) event_id: Option<String>,
}

#[derive(Deserialize)]
struct ItemHead {
    r#type: String,
    #[serde(default)]
    length: Option<usize>,
}

/// A part of an envelope.
#[derive(Debug, PartialEq)]
pub(super) struct Item<'a> {
    /// `event`, `check_in` and others.
    pub(super) kind: String,
    pub(super) payload: &'a [u8],
}

/// The items of an envelope. One with `length` is so many bytes, whatever they are; one without ends with its line.
pub(super) fn envelope(body: &[u8]) -> Result<(EnvelopeHead, Vec<Item<'_>>), WireError> {
    let (line, mut rest) = line_of(body);
    let head = serde_json::from_slice(line).map_err(|_| WireError::Header)?;
    let mut items = Vec::new();
    while items.len() < ITEMS_MAX {
        let (line, after) = line_of(rest);
        rest = after;
        if line.trim_ascii().is_empty() {
            if rest.is_empty() {
                break;
            }
            continue;
        }
        let broken = || WireError::Item(items.len());
        let ItemHead { r#type: kind, length } = serde_json::from_slice(line).map_err(|_| broken())?;
        let (payload, after) = match length {
            Some(length) => {
                let (payload, after) = rest.split_at_checked(length).ok_or_else(broken)?;
                let ends = after.is_empty() || after.starts_with(b"\n");
                (payload, after.get(1..).filter(|_| ends).or(ends.then_some(after)).ok_or_else(broken)?)
            }
            None => line_of(rest),
        };
        items.push(Item { kind, payload });
        rest = after;
    }
    Ok((head, items))
}

/// The first line, and what is behind its end.
fn line_of(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&b| b == b'\n') {
        Some(end) => (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests;
