//! Answers made of what is kept or is being fetched.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use nx_cache::{Failure, Head, Life, Object, Reader, Source};
use nx_delivery::{Body, Problem, Request, Response, Stream, cors, select, wall_ms};

use super::figures::Counter;
use super::{Cache, problem};

static CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Waits for status and fields.
pub(super) async fn head(reader: &mut Reader) -> Result<Arc<Head>, Failure> {
    poll_fn(|cx| reader.poll_head(cx)).await
}

/// `Cache-Status` of what was there (RFC 9211 §2).
pub(super) fn hit(life: &Life, now_ms: i64) -> String {
    format!("nexus; hit; ttl={}", life.left_ms(now_ms).div_euclid(1000))
}

impl Cache {
    /// Something whole.
    pub(super) fn whole(&self, object: &Object, request: &Request, told: &str) -> Response {
        let mut response = begun(&object.head, told);
        let len = object.head.length.unwrap_or_default();
        if let Some(bytes) = selected(len, request, &mut response) {
            self.counters.bytes.add(bytes.end - bytes.start);
            *response.body_mut() = Body::Slices(nx_delivery::cut(object.body.clone(), bytes));
        }
        response
    }

    /// Something for one alone, as the origin answered it.
    pub(super) fn passing(&self, reader: Reader, head: &Head) -> Response {
        let mut response = begun(head, &format!("nexus; fwd=bypass; fwd-status={}", head.status.as_u16()));
        let end = head.length.unwrap_or(u64::MAX);
        *response.body_mut() = self.stream(reader, 0..end, head.length.is_some());
        response
    }

    /// Something that is being fetched: what of it is there at once, the rest as it comes.
    pub(super) async fn flowing(
        &self,
        mut reader: Reader,
        head: &Head,
        joined: bool,
        request: &Request,
    ) -> Result<Response, Problem> {
        let told = told(head, joined);
        if let Some(object) = reader.whole() {
            return Ok(self.whole(&object, request, &told));
        }
        if let Some(length) = head.length {
            let mut response = begun(head, &told);
            if let Some(bytes) = selected(length, request, &mut response) {
                *response.body_mut() = self.stream(reader, bytes, true);
            }
            return Ok(response);
        }
        // How long it will be nobody knows: a range with an end can be had as soon as that is there.
        let mut response = begun(head, &told);
        let Some(bytes) = selected(u64::MAX, request, &mut response) else { return Ok(response) };
        if bytes == (0..u64::MAX) {
            let mut response = begun(head, &told);
            *response.body_mut() = self.stream(reader, bytes, false);
            return Ok(response);
        }
        let there = poll_fn(|cx| reader.poll_until(cx, bytes.end)).await.map_err(|f| problem(&f))?;
        if let Some(object) = reader.whole() {
            return Ok(self.whole(&object, request, &told));
        }
        debug_assert!(there >= bytes.end, "it waits for that");
        let range = format!("bytes {}-{}/*", bytes.start, bytes.end - 1);
        set(&mut response, header::CONTENT_RANGE, &range);
        *response.body_mut() = self.stream(reader, bytes, true);
        Ok(response)
    }

    fn stream(&self, mut reader: Reader, bytes: Range<u64>, sized: bool) -> Body {
        reader.skip_to(bytes.start);
        let left = sized.then(|| bytes.end - bytes.start);
        Body::Stream(Stream::new(Flow { reader, end: bytes.end, left, sent: self.counters.bytes.clone() }))
    }
}

/// Parts of what is there are had of successes only.
fn selected(len: u64, request: &Request, response: &mut Response) -> Option<Range<u64>> {
    if response.status() == StatusCode::OK {
        select(len, request.method(), request.headers(), response)
    } else {
        Some(0..len)
    }
}

/// What the answer has been through (RFC 9211).
fn told(head: &Head, joined: bool) -> String {
    let (status, left) = (head.status.as_u16(), hit(&head.life, wall_ms()));
    match head.from {
        Source::Disk => format!("{left}; detail=disk"),
        Source::Rescue => format!("{left}; detail=stale-if-error"),
        Source::Checked => "nexus; fwd=stale; fwd-status=304".to_owned(),
        Source::Origin => {
            let joined = if joined { "; collapsed" } else { "" };
            format!("nexus; fwd=miss; fwd-status={status}{joined}")
        }
    }
}

/// Status and fields, with what this node adds.
fn begun(head: &Head, told: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers.clone();
    response.headers_mut().append(header::VIA, HeaderValue::from_static("1.1 nexus"));
    let age = head.life.age_ms(wall_ms()) / 1000;
    response.headers_mut().insert(header::AGE, HeaderValue::from(age));
    if let Ok(told) = HeaderValue::from_str(told) {
        response.headers_mut().append(&CACHE_STATUS, told);
    }
    cors(response.headers_mut());
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A stretch of a fill as a body. It ends where it should or fails.
struct Flow {
    reader: Reader,
    end: u64,
    /// Bytes left, where that is known.
    left: Option<u64>,
    sent: Counter,
}

impl HttpBody for Flow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        this.reader.poll_bytes(cx, this.end).map(|next| {
            let bytes = next?;
            Some(match bytes {
                Ok(bytes) => {
                    let len = bytes.len() as u64;
                    this.left = this.left.map(|left| left.saturating_sub(len));
                    this.sent.add(len);
                    Ok(Frame::data(bytes))
                }
                Err(failure) => Err(io::Error::other(failure)),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
