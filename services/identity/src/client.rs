//! Where a request came from, as the gateway has seen it.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::request::Parts;
use nx_chassis::{CLIENT, Describe, Operation, Problem};
use schemars::SchemaGenerator;

/// The address; unknown in tests, and for what services ask each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let told = parts.headers.get(CLIENT).and_then(|v| v.to_str().ok());
        Ok(Self(told.and_then(|v| v.parse().ok())))
    }
}

impl Describe for Client {
    fn describe(_: &mut Operation, _: &mut SchemaGenerator) {}
}
