//! What handlers take, beside what they get from the chassis.

use axum::extract::{FromRequest, FromRequestParts, Request};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use garde::Validate;
use http::request::Parts;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::limited;
use crate::ctx::Ctx;
use crate::problem::Problem;
use crate::tx::Tx;

/// Largest body, bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 200;

impl FromRequestParts<Self> for Ctx {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, cx: &Self) -> Result<Self, Problem> {
        Ok(cx.clone())
    }
}

impl FromRequestParts<Ctx> for Tx {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, cx: &Ctx) -> Result<Self, Problem> {
        Ok(Self::new(cx.clone(), parts.extensions.get().cloned()))
    }
}

/// A body of JSON that holds to the rules of its type.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T> FromRequest<Ctx> for Body<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Ctx) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        if !kind.eq_ignore_ascii_case("application/json") {
            let text = "send JSON, with Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", text));
        }
        let bytes = limited(request.into_body(), BODY_BYTES_MAX).await?;
        // PostgreSQL takes no NUL in a text, and nobody needs one.
        if bytes.windows(6).any(|w| w == b"\\u0000") {
            return Err(Problem::bad_request("a text holds no NUL"));
        }
        let value: T = serde_json::from_slice(&bytes).map_err(|e| {
            let slip = Problem::bad_request(format!("the body is no JSON: {e}"));
            if e.is_data() { Problem::invalid("", e.to_string()) } else { slip }
        })?;
        value.validate().map_err(|report| {
            let mut problem = Problem::invalid("", "");
            let pointer = |path: String| format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
            problem.errors = report.iter().map(|(p, e)| (pointer(p.to_string()), e.to_string())).collect();
            problem
        })?;
        Ok(Self(value))
    }
}

/// Which page of a list is asked for.
#[derive(Debug, Clone)]
pub struct Page {
    limit: i64,
    /// The key of the last item of the page before, or the empty string.
    pub after: String,
}

impl Page {
    /// How many rows to ask the store for: one more than the page holds, to know whether there are more.
    pub fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// How many items the page holds.
    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or_default()
    }

    pub(crate) fn cursor(key: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(key)
    }

    fn parse(query: &str) -> Result<Self, Problem> {
        let mut page = Self { limit: LIMIT_DEFAULT, after: String::new() };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "limit" => {
                    let limit = value.parse().ok().filter(|l| (1..=LIMIT_MAX).contains(l));
                    page.limit = limit
                        .ok_or_else(|| Problem::bad_request(format!("limit must be 1 to {LIMIT_MAX}")))?;
                }
                "cursor" => {
                    let key =
                        BASE64_URL_SAFE_NO_PAD.decode(value).ok().and_then(|b| String::from_utf8(b).ok());
                    let key = key.filter(|k| !k.contains('\0'));
                    page.after = key.ok_or_else(|| Problem::bad_request("the cursor is none of ours"))?;
                }
                _ => {}
            }
        }
        Ok(page)
    }
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

/// The version that the caller has read and wants to change: a number, from `If-Match`.
#[derive(Debug, Clone, Copy)]
pub struct IfMatch(pub i64);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(given) = parts.headers.get(header::IF_MATCH) else {
            let text = "send If-Match with the ETag that you have read";
            return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", text));
        };
        let version = given.to_str().ok().and_then(|v| v.trim().trim_matches('"').parse().ok());
        version.map(Self).ok_or_else(Problem::stale)
    }
}

#[cfg(test)]
mod tests;
