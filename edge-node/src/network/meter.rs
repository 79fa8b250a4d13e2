//! What is sent counts against limits of bandwidth.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Method;
use http_body::{Body as HttpBody, Frame, SizeHint};
use nx_cdn_config::Limit;
use nx_delivery::{Body, Request, Response, Stream};

use super::Control;

/// Whose answer is counted, and against what.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    limit: Limit,
    address: IpAddr,
    stream: String,
}

impl Meter {
    /// For a request that was admitted; `None` when nothing of it counts.
    pub(super) fn new(limit: Option<&Limit>, address: IpAddr, request: &Request) -> Option<Self> {
        let limit = limit.filter(|l| l.bandwidth_bps.is_some() || l.stream_bandwidth_bps.is_some())?;
        let stream = stream_of(request.uri().path()).to_owned();
        (*request.method() == Method::GET).then(|| Self { limit: limit.clone(), address, stream })
    }
}

/// The stream that a path is about: app and name, or what stands there at a foreign origin.
pub(super) fn stream_of(path: &str) -> &str {
    let ends = path.match_indices('/').nth(2).map_or(path.len(), |(at, _)| at);
    path.get(1..ends).unwrap_or_default()
}

impl Control {
    /// Counts a body: now when its size is known, else as it is sent.
    pub(crate) fn count(self: &Arc<Self>, meter: Option<Meter>, mut response: Response) -> Response {
        let Some(meter) = meter else { return response };
        match response.body().size() {
            Some(bytes) => self.sent(&meter, bytes),
            None => {
                let inner = std::mem::take(response.body_mut());
                let metered = Metered { inner, control: self.clone(), meter };
                *response.body_mut() = Body::Stream(Stream::new(metered));
            }
        }
        response
    }

    fn sent(&self, meter: &Meter, bytes: u64) {
        let now_ms = nx_delivery::wall_ms();
        self.buckets().sent(&meter.limit, meter.address, &meter.stream, bytes, now_ms);
    }
}

/// A body whose length nobody knows yet.
struct Metered {
    inner: Body,
    control: Arc<Control>,
    meter: Meter,
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.control.sent(&this.meter, frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::stream_of;

    #[test]
    fn a_stream_is_what_its_paths_have_in_common() {
        for (path, stream) in [
            ("/live/cam1/v1/17.m4s", "live/cam1"),
            ("/live/cam1/index.m3u8", "live/cam1"),
            ("/live/cam1", "live/cam1"),
            ("/index.m3u8", "index.m3u8"),
            ("/", ""),
        ] {
            assert_eq!(stream_of(path), stream, "{path}");
        }
    }
}
