//! How services speak HTTP: routes that describe themselves, what handlers take and answer, what stands around them.

mod api;
mod layers;
mod once;
mod own;
mod reply;
mod take;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::problem::Problem;
pub use api::{Api, Describe, Operation};
pub(crate) use layers::router;
pub use reply::{Created, List, ShownOnce, Tagged};
pub use take::{Body as JsonBody, IfMatch, Page};

/// The caller's trace (W3C Trace Context).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Milliseconds that the caller still waits.
pub(crate) const DEADLINE_MS: HeaderName = HeaderName::from_static("x-deadline-ms");

/// A body as a whole, if it is not too long.
pub(crate) async fn limited(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("a body has at most {bytes_max} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", text))
        }
        Err(_) => Err(Problem::bad_request("the body did not come whole")),
    }
}
