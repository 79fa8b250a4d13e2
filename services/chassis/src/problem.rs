//! Problem documents (RFC 9457): what every error of a service looks like.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use nx_bus::BusError;
use nx_db::DbError;
use nx_mesh::VaultError;

/// An error that a client is told. The only type of a service that knows HTTP.
#[must_use = "an error that nobody is told"]
#[derive(Debug, Clone)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable name of the kind of problem, the end of its `type` URI.
    pub slug: &'static str,
    /// What happened and what to do; empty where that is nobody's business.
    pub detail: String,
    /// Fields that are wrong, as JSON pointer and sentence.
    pub errors: Vec<(String, String)>,
    /// Seconds after which it is worth asking again.
    pub retry_after_s: Option<u32>,
    /// For the log only.
    pub cause: Option<String>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(status: StatusCode, slug: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, detail: detail.into(), errors: Vec::new(), retry_after_s: None, cause: None }
    }

    /// The request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// Nothing has this address.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// The state of the resource does not allow it.
    pub fn conflict(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, slug, detail)
    }

    /// Somebody else has changed the resource since the caller read it.
    pub fn stale() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "stale", "it has changed since you read it: read it again")
    }

    /// A field has a value that it may not have; `pointer` is a JSON pointer into the body.
    pub fn invalid(pointer: impl Into<String>, what: impl Into<String>) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "the body has fields that cannot be taken",
        );
        problem.errors.push((pointer.into(), what.into()));
        problem
    }

    /// Who the caller is must be shown first.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// The caller may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// Not now; worth asking again after `seconds`.
    pub fn unavailable(slug: &'static str, detail: impl Into<String>, seconds: u32) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, slug, detail);
        Self { retry_after_s: Some(seconds), ..problem }
    }

    /// A fault of ours: the client learns nothing but the id under which the log has `cause`.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "");
        Self { cause: Some(cause.to_string()), ..problem }
    }

    /// The document; `request_id` is its `instance`.
    pub(crate) fn document(&self, request_id: &str) -> Value {
        let mut document = json!({
            "type": format!("urn:nexus:problem:{}", self.slug),
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": format!("urn:nexus:request:{request_id}"),
        });
        if !self.errors.is_empty() {
            let error = |(pointer, detail): &(String, String)| json!({"pointer": pointer, "detail": detail});
            document["errors"] = self.errors.iter().map(error).collect();
        }
        document
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ({}): {}",
            self.slug,
            self.status.as_u16(),
            self.cause.as_deref().unwrap_or(&self.detail)
        )
    }
}

impl std::error::Error for Problem {}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        Self::internal(error)
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        Self::internal(error)
    }
}

impl From<BusError> for Problem {
    fn from(error: BusError) -> Self {
        Self::internal(error)
    }
}

/// The body is written by the outermost layer, which knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}
