//! What somebody gets who has shown who they are; a browser gets the secret half of it in a cookie that no script reads.

use axum::Json;
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::{HeaderMap, header};
use nx_chassis::{Describe, Operation};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::Person;

/// The cookie that a browser has its refresh token in.
const COOKIE: &str = "nexus_refresh";
/// The only place that it is sent to.
const PATH: &str = "/api/token-mgr/v1/tokens";

/// The answer of signing in, and of every renewal.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Tokens {
    /// For `Authorization: Bearer`.
    pub(crate) access_token: String,
    pub(crate) expires_in_s: i64,
    /// What the next ones are got with, once; absent where a cookie has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    pub(crate) session_id: String,
    pub(crate) user: Person,
}

impl Tokens {
    /// Moves the refresh token into a cookie for so many seconds.
    pub(crate) fn take_cookie(&mut self, headers: &HeaderMap, lasts_s: i64) -> String {
        set_cookie(headers, &self.refresh_token.take().unwrap_or_default(), lasts_s)
    }
}

/// A body, and perhaps a cookie with it.
pub(crate) struct InCookie<T> {
    pub(crate) body: T,
    pub(crate) cookie: Option<String>,
}

impl<T: Serialize> IntoResponse for InCookie<T> {
    fn into_response(self) -> Response {
        let cookie = self.cookie.map(|cookie| (header::SET_COOKIE, cookie));
        (AppendHeaders(cookie), Json(self.body)).into_response()
    }
}

impl<T: JsonSchema> Describe for InCookie<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        Json::<T>::describe(operation, schemas);
    }
}

/// The refresh token that a browser sends.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// The cookie that keeps `token` for so many seconds; with none of them it is forgotten.
pub(crate) fn set_cookie(headers: &HeaderMap, token: &str, lasts_s: i64) -> String {
    // A proxy that speaks TLS says so; who lies about it makes their own cookie worse.
    let tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
    let secure = if tls { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path={PATH}; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}")
}
