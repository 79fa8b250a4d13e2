//! Web pages and their parts as responses.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use nx_web::Asset;

use crate::body::Body;
use crate::conditional::Validators;
use crate::listen::Response;

/// The response for a page or a part of one; 304 when the client has it already.
#[must_use]
pub fn page(asset: &Asset, request: &HeaderMap) -> Response {
    let mut response = Response::default();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, asset.cache_control()),
        (header::CONTENT_SECURITY_POLICY, asset.csp),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        let known = Validators { etag: &asset.etag, changed: None }.not_modified(request);
        headers.insert(header::ETAG, etag);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
    }
    *response.body_mut() = Body::from(match &asset.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::copy_from_slice(bytes),
    });
    response
}
