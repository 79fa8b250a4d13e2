//! HTTP requests as evidence.

use std::error::Error as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::{Duration, Instant};

use crate::evidence::{Fetch, Role};
use crate::m3u8::BYTES_MAX as PLAYLIST_BYTES_MAX;

/// Largest part of a segment that is looked at.
const SEGMENT_BYTES_MAX: usize = 24 << 20;
/// Longest time for one answer, blocking ones included.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP client with a clock.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    began: Instant,
}

impl Client {
    pub(super) fn new(insecure: bool) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("nexus-doctor/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .timeout(TIMEOUT)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .tls_danger_accept_invalid_certs(insecure)
            .build()?;
        Ok(Self { http, began: Instant::now() })
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Asks once. Never fails: what went wrong is in the answer.
    pub(super) async fn get(
        &self,
        url: &Arc<str>,
        playlist: &Arc<str>,
        role: Role,
        headers: &[(&'static str, &str)],
    ) -> Fetch {
        let limit = match role {
            Role::Multivariant | Role::Playlist | Role::Compressed => PLAYLIST_BYTES_MAX,
            _ => SEGMENT_BYTES_MAX,
        };
        let asked_us = self.now_us();
        let mut fetch = Fetch {
            url: Arc::clone(url),
            playlist: Arc::clone(playlist),
            role,
            asked_us,
            first_byte_us: asked_us,
            done_us: asked_us,
            status: 0,
            headers: Vec::new(),
            body: Bytes::new(),
            cut: false,
            redirect: None,
            http2: false,
            failure: None,
        };
        let mut request = self.http.get(&**url).header("origin", super::ORIGIN);
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        let outcome = self.receive(request, &mut fetch, limit).await;
        fetch.failure = outcome.err().map(|error| cause(&error));
        fetch.done_us = self.now_us();
        fetch
    }

    async fn receive(
        &self,
        request: reqwest::RequestBuilder,
        fetch: &mut Fetch,
        limit: usize,
    ) -> Result<(), reqwest::Error> {
        let answer = request.send().await;
        fetch.first_byte_us = self.now_us();
        let mut answer = answer?;
        fetch.status = answer.status().as_u16();
        fetch.http2 = answer.version() >= reqwest::Version::HTTP_2;
        let text = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        fetch.headers = answer.headers().iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
        let asked = reqwest::Url::parse(&fetch.url).ok();
        fetch.redirect = Some(answer.url()).filter(|u| Some(*u) != asked.as_ref()).map(ToString::to_string);
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await? {
            body.extend_from_slice(piece.get(..limit.saturating_sub(body.len())).unwrap_or(&piece));
            if body.len() >= limit {
                fetch.cut = true;
                break;
            }
        }
        fetch.body = body.freeze();
        Ok(())
    }
}

/// The innermost reason; the outer ones only repeat the address.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no complete answer within {} s", TIMEOUT.as_secs());
    }
    let mut inner = error.source();
    let mut text = error.to_string();
    while let Some(error) = inner {
        text = error.to_string();
        inner = error.source();
    }
    text
}
