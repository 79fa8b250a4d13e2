//! The address under which we are asked, from which every address that people and apps are told is made.

use axum::extract::FromRequestParts;
use http::request::Parts;
use nx_chassis::{Describe, Operation, Problem, REACHED};
use schemars::SchemaGenerator;

/// Scheme, host and port of the gateway, as the caller knows it.
#[derive(Debug, Clone)]
pub(crate) struct Here(String);

impl Here {
    /// What apps know us as (OpenID Connect Discovery §3, `issuer`).
    pub(crate) fn issuer(&self) -> String {
        self.to("/api/auth-service-v2/v1")
    }

    /// Whether it is a name of this machine: links to it lead nowhere else, whoever says it.
    pub(crate) fn is_this_machine(&self) -> bool {
        let host = self.0.split_once("://").map_or("", |(_, host)| host);
        let name = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or(host, |(name, _)| name);
        ["localhost", "127.0.0.1", "[::1]"].contains(&name)
    }

    /// An address of ours.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for Here {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let told = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
        let sane = |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
        let host = told(REACHED.as_str()).filter(sane).unwrap_or("localhost");
        let scheme = if told("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        Ok(Self(format!("{scheme}://{host}")))
    }
}

impl Describe for Here {
    fn describe(_: &mut Operation, _: &mut SchemaGenerator) {}
}
