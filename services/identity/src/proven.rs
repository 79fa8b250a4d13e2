//! Which key who asks has proved to hold, as the gateway has seen it (RFC 9449).

use axum::extract::FromRequestParts;
use http::request::Parts;
use nx_chassis::{Describe, Operation, Problem};
use nx_contract::identity::{PROVEN, PROVEN_FAULT};
use schemars::SchemaGenerator;

/// The thumbprint of the key, where a proof came along; or why that proves nothing.
#[derive(Debug, Clone)]
pub(crate) struct Proven(pub(crate) Result<Option<String>, String>);

impl<S: Sync> FromRequestParts<S> for Proven {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let told = parts.headers.get(PROVEN).and_then(|v| v.to_str().ok());
        Ok(Self(match told.map(|told| told.strip_prefix(PROVEN_FAULT).ok_or(told)) {
            None => Ok(None),
            Some(Err(key)) => Ok(Some(key.to_owned())),
            Some(Ok(why)) => Err(why.to_owned()),
        }))
    }
}

impl Describe for Proven {
    fn describe(_: &mut Operation, _: &mut SchemaGenerator) {}
}
