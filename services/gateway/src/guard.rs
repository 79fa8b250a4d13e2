//! Who may change something, and what such a request must look like.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use nx_delivery::Problem;
use serde::de::DeserializeOwned;

/// Largest body, bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Longest idempotency key, bytes.
const ONCE_BYTES_MAX: usize = 255;

/// Refuses what the page of another site has a browser send: it must not speak for who looks at it.
///
/// # Errors
/// 403.
pub(crate) fn same_site(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let authority = authority(headers, uri);
    let site = headers.get("sec-fetch-site").map(|v| v.as_bytes());
    let foreign = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().ok().and_then(|o| o.split_once("://"));
        origin.is_none_or(|(_, o)| !o.eq_ignore_ascii_case(&authority))
    });
    if foreign || site.is_some_and(|s| s != b"same-origin" && s != b"none") {
        return Err(forbidden("requests from pages of other sites change nothing here"));
    }
    Ok(())
}

/// Lets this machine pass, and only under a name of its own: a page elsewhere that has its name resolve to this machine must
/// not speak for it.
///
/// # Errors
/// 403, with what to do.
pub(crate) fn local(headers: &HeaderMap, uri: &Uri, peer: SocketAddr) -> Result<(), Problem> {
    // A proxy on this machine speaks for others.
    let passed_on = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name));
    let here = peer.ip().to_canonical().is_loopback() && !passed_on;
    match (here, is_own_name(&authority(headers, uri))) {
        (true, true) => Ok(()),
        (true, false) => Err(forbidden("without gateway.token, call it as localhost or by its address")),
        _ => Err(forbidden(
            "only this machine may change something: make an administrator with the link that it prints at its start, or set \
             gateway.token, and send it as Authorization: Bearer",
        )),
    }
}

/// Host and port under which we were called.
pub(crate) fn authority(headers: &HeaderMap, uri: &Uri) -> String {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    host.or(uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default().to_owned()
}

pub(crate) fn is_own_name(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((host, _)) => host,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

/// The body as `T`; a field that `T` has not is refused by name.
pub(crate) async fn body<T, B>(headers: &HeaderMap, body: B) -> Result<T, Problem>
where
    T: DeserializeOwned,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Unsupported media type",
            "send JSON, with Content-Type: application/json",
        ));
    }
    let whole = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "Too large",
                format!("a body has at most {BODY_BYTES_MAX} bytes"),
            );
        }
        Problem::bad_request("the body did not come whole")
    })?;
    serde_json::from_slice(&whole.to_bytes())
        .map_err(|e| Problem::bad_request(format!("the body cannot be used: {e}")))
}

/// The caller's `Idempotency-Key`.
pub(crate) fn once(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let good = |v: &&str| (1..=ONCE_BYTES_MAX).contains(&v.len());
    let once = value.to_str().ok().filter(good);
    let text = || {
        Problem::bad_request(format!("Idempotency-Key must be 1 to {ONCE_BYTES_MAX} printable characters"))
    };
    once.map(|v| Some(v.to_owned())).ok_or_else(text)
}

pub(crate) fn forbidden(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
}

pub(crate) fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
}

/// Refuses a method that is not among those allowed, such as `GET, HEAD, POST`.
pub(crate) fn takes(method: &Method, allowed: &str) -> Result<(), Problem> {
    if allowed.split(", ").any(|m| m == method.as_str()) {
        Ok(())
    } else {
        Err(Problem::method(format!("this resource takes {allowed}")))
    }
}
