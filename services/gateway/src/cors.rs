//! What pages of other sites may read: how apps of others get tokens and use them for themselves (Fetch §3.2). Nothing of it
//! goes by a cookie, and none is sent along.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use nx_delivery::{Body, Response};

/// Addresses, and what they begin with where they end with `/`.
const OPEN: [&str; 7] = [
    "/api/auth-service-v2/v1/.well-known/",
    "/api/auth-service-v2/v1/token",
    "/api/auth-service-v2/v1/par",
    "/api/auth-service-v2/v1/revoke",
    "/api/auth-service-v2/v1/device_authorization",
    "/api/auth-service-v2/v1/userinfo",
    "/api/token-mgr/v1/.well-known/jwks.json",
];

/// How a browser is told what may be asked.
const MAY: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, dpop"),
    (header::ACCESS_CONTROL_MAX_AGE, "7200"),
];

/// Whether pages of other sites may read what is there.
pub(crate) fn is_open(path: &str) -> bool {
    OPEN.iter().any(|open| path == *open || open.ends_with('/') && path.starts_with(open))
}

/// The answer to a browser that asks before it asks.
pub(crate) fn preflight(head: &Parts) -> Option<Response> {
    let asks = head.method == Method::OPTIONS
        && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && is_open(head.uri.path());
    asks.then(|| {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        for (name, value) in MAY {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        readable(response.headers_mut());
        response
    })
}

/// Lets any page read an answer.
pub(crate) fn readable(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("www-authenticate"));
}
