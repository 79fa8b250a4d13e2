//! Problem documents (RFC 9457): what every error over HTTP looks like.

use http::{HeaderValue, StatusCode, header};

use crate::body::Body;
use crate::caching::max_age;
use crate::listen::Response;
use crate::reply::cors;

/// An error that a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable name of the kind of problem, the end of its `type` URI.
    pub slug: &'static str,
    /// Short and the same for every problem of the kind.
    pub title: &'static str,
    /// What happened here and what to do.
    pub detail: String,
    /// Seconds after which it is worth asking again.
    pub retry_after_s: Option<u32>,
    /// Seconds that a cache may keep it; without, not at all.
    pub max_age_s: Option<u32>,
    /// Each mistake by itself, where there are several.
    pub errors: Vec<serde_json::Value>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

/// So that what reads files can say what a client is told: [`std::io::Error::other`] of one.
impl std::error::Error for Problem {}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self { status, slug, title, detail, retry_after_s: None, max_age_s: None, errors: Vec::new() }
    }

    /// Tells each mistake by itself.
    #[must_use]
    pub fn with_errors(self, errors: Vec<serde_json::Value>) -> Self {
        Self { errors, ..self }
    }

    /// Says when to ask again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// Says for how long it will be true.
    #[must_use]
    pub fn kept(self, seconds: u32) -> Self {
        Self { max_age_s: Some(seconds), ..self }
    }

    /// Nothing has this address.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// The request makes no sense.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    }

    /// The method is not for this resource.
    #[must_use]
    pub fn method(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    /// Promised by the contract, not built in this version.
    #[must_use]
    pub fn not_built(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "not-built", "Not built yet", detail)
    }

    /// The document, ready to send; `request_id` is its `instance`.
    #[must_use]
    pub fn response(&self, request_id: &str) -> Response {
        let mut document = serde_json::json!({
            "type": format!("urn:nexus:problem:{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": format!("urn:nexus:request:{request_id}"),
        });
        if !self.errors.is_empty() {
            document["errors"] = self.errors.clone().into();
        }
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let keep = self.max_age_s.map_or(HeaderValue::from_static("no-store"), |s| max_age(s.into()));
        headers.insert(header::CACHE_CONTROL, keep);
        // A page elsewhere that plays a stream may know why it cannot.
        cors(headers);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"nexus\""));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
