//! Answers on a QUIC stream: the head for `h3`, the body as slices for quinn.

use std::pin::Pin;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use h3::error::Code;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body as _;

use crate::body::Body;
use crate::listen::Response;

use super::wire::varint;

/// Type of a DATA frame (RFC 9114 §7.2.1).
const DATA: u8 = 0;

/// The head with what hyper adds by itself to other versions, and the body.
pub(super) fn head(asked: &Method, mut response: Response) -> (http::Response<()>, Body) {
    let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let len = response.body().size().filter(|_| *asked != Method::HEAD && !bodiless);
    let headers = response.headers_mut();
    if let Some(len) = len {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    }
    let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(crate::wall_ms()).unwrap_or_default());
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
        headers.entry(header::DATE).or_insert(date);
    }
    let (parts, body) = response.into_parts();
    (http::Response::from_parts(parts, ()), body)
}

/// Sends the body and waits until the client has all of it, so that a stop does not cut it. A body that fails resets
/// the stream: nobody shall take a part for the whole.
pub(super) async fn send(out: &mut quinn::SendStream, mut body: Body) {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let Some(frame) = frame else { break };
        let Some(data) = frame.ok().and_then(|f| f.into_data().ok()) else {
            let _ = out.reset(varint(Code::H3_INTERNAL_ERROR.value()));
            return;
        };
        // Whole slices: quinn keeps them until they are acknowledged, and copies each byte once, into its packet.
        if out.write_all_chunks(&mut [data_frame(data.len()), data]).await.is_err() {
            return;
        }
    }
    if out.finish().is_ok() {
        let _ = out.stopped().await;
    }
}

/// Head of a DATA frame of `len` bytes: type and length as variable-length integers (RFC 9000 §16).
fn data_frame(len: usize) -> Bytes {
    let len = len as u64;
    let mut head = vec![DATA];
    match len {
        0..0x40 => head.extend(len.to_be_bytes().get(7..).unwrap_or_default()),
        0x40..0x4000 => head.extend((len | 0x4000).to_be_bytes().get(6..).unwrap_or_default()),
        0x4000..0x4000_0000 => head.extend((len | 0x8000_0000).to_be_bytes().get(4..).unwrap_or_default()),
        _ => head.extend((len | 0xc000_0000_0000_0000).to_be_bytes()),
    }
    Bytes::from(head)
}

#[cfg(test)]
mod tests {
    use super::data_frame;

    /// The examples of RFC 9000 appendix A.1, and the borders.
    #[test]
    fn lengths_are_those_of_the_specification() {
        for (len, bytes) in [
            (37, &[0, 0x25][..]),
            (63, &[0, 0x3f]),
            (64, &[0, 0x40, 0x40]),
            (15_293, &[0, 0x7b, 0xbd]),
            (16_384, &[0, 0x80, 0, 0x40, 0]),
            (494_878_333, &[0, 0x9d, 0x7f, 0x3e, 0x7d]),
            (0x4000_0000, &[0, 0xc0, 0, 0, 0, 0x40, 0, 0, 0]),
        ] {
            assert_eq!(data_frame(len), bytes, "{len}");
        }
    }
}
