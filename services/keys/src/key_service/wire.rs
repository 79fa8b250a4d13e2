//! How Vault's clients ask and are answered.

use std::str::FromStr;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use garde::Validate;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use nx_chassis::{Body, Caller, Ctx, Describe, Operation, Problem, RawBody};
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};

use super::rules;
use crate::crypto::Fault;

/// Largest body, bytes: the chassis takes no more.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Items of a batch.
pub(super) const BATCH_MAX: usize = 256;
/// The role of those who may use keys; services have it too.
const OPERATOR: &str = "operator";

/// Who asks and what the path names. Every route takes it, so that nobody else gets past it.
pub(super) struct At {
    pub(super) by: Caller,
    parts: Vec<(String, String)>,
}

impl At {
    /// A part of the path, if the route has it.
    pub(super) fn text(&self, part: &str) -> Option<&str> {
        self.parts.iter().find(|(name, _)| name == part).map(|(_, text)| text.as_str())
    }

    /// A part that is a name.
    ///
    /// # Errors
    /// 400 when it can be none.
    pub(super) fn name(&self, part: &str) -> Result<&str, Problem> {
        Ok(rules::name(self.text(part).unwrap_or_default())?)
    }

    /// A part that is a number, if the route has it.
    ///
    /// # Errors
    /// 400 when it is none.
    pub(super) fn number(&self, part: &str) -> Result<Option<i64>, Problem> {
        let told = |_| Problem::bad_request(format!("{part} is a number"));
        self.text(part).map(|text| text.parse::<u32>().map(i64::from).map_err(told)).transpose()
    }
}

impl FromRequestParts<Ctx> for At {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, cx: &Ctx) -> Result<Self, Problem> {
        let by = Caller::from_request_parts(parts, cx).await?;
        by.must_be(OPERATOR)?;
        let found = RawPathParams::from_request_parts(parts, cx).await;
        let found = found.map_err(|_| Problem::not_found("nothing has this address"))?;
        let parts = found.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        Ok(Self { by, parts })
    }
}

// Parts of a path are described where the route is.
impl Describe for At {
    fn describe(_: &mut Operation, _: &mut SchemaGenerator) {}
}

/// A body of JSON, whatever it is said to be; nothing is an empty one.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned + Validate<Context = ()>> FromRequest<Ctx> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, cx: &Ctx) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
            let text = format!("a body has at most {BODY_BYTES_MAX} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", text)
        })?;
        let nothing = matches!(bytes.trim_ascii(), b"" | b"null");
        let body = if nothing { RawBody::from("{}") } else { RawBody::from(bytes) };
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let Body(sent) = Body::from_request(Request::from_parts(head, body), cx).await?;
        Ok(Self(sent))
    }
}

impl<T: JsonSchema> Describe for Sent<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        Body::<T>::describe(operation, schemas);
    }
}

/// What everything is answered in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Answer_of_{T}")]
pub(super) struct Answer<T> {
    request_id: String,
    lease_id: &'static str,
    renewable: bool,
    lease_duration: i64,
    data: T,
    wrap_info: Option<()>,
    warnings: Option<Vec<String>>,
    auth: Option<()>,
}

impl<T> Answer<T> {
    pub(super) fn new(cx: &Ctx, data: T) -> Self {
        Self {
            request_id: cx.new_id(),
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data,
            wrap_info: None,
            warnings: None,
            auth: None,
        }
    }

    pub(super) fn warn(self, text: String) -> Self {
        Self { warnings: Some(vec![text]), ..self }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

impl<T: JsonSchema> Describe for Answer<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        Json::<Self>::describe(operation, schemas);
    }
}

/// One thing or a batch of them, asked for or answered.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Items_of_{T}")]
#[serde(untagged)]
pub(super) enum Items<T> {
    One(T),
    Many { batch_results: Vec<T> },
}

impl<T> Items<T> {
    /// The batch, if there is one, else the single thing.
    pub(super) fn of(one: T, batch: Option<Vec<T>>) -> Self {
        match batch {
            None => Self::One(one),
            Some(batch_results) => Self::Many { batch_results },
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many { batch_results } => batch_results.iter(),
        }
    }

    /// Makes something of each. All or nothing: the first that cannot be done is the answer, with its place in the batch.
    pub(super) fn try_map<U>(self, make: impl Fn(T) -> Result<U, Fault>) -> Result<Items<U>, Problem> {
        Ok(match self {
            Self::One(one) => Items::One(make(one)?),
            Self::Many { batch_results } => {
                let mut made = Vec::with_capacity(batch_results.len());
                for (nth, item) in batch_results.into_iter().enumerate() {
                    made.push(make(item).map_err(|fault| {
                        let mut problem = Problem::from(fault);
                        problem.detail = format!("batch_input {nth}: {}", problem.detail);
                        problem
                    })?);
                }
                Items::Many { batch_results: made }
            }
        })
    }

    /// The same beside the threads that answer requests: RSA takes milliseconds.
    pub(super) async fn work<U: Send + 'static>(
        self,
        make: impl Fn(T) -> Result<U, Fault> + Send + 'static,
    ) -> Result<Items<U>, Problem>
    where
        T: Send + 'static,
    {
        tokio::task::spawn_blocking(move || self.try_map(make)).await.map_err(Problem::internal)?
    }
}

/// A value that may come as text: `vault write` sends all of them so.
pub(super) fn loose<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Typed(T),
        Text(String),
    }
    let read = |either| match either {
        Either::Typed(value) => Ok(value),
        Either::Text(text) => text.parse().map_err(|_| D::Error::custom("a value is of another type")),
    };
    Option::<Either<T>>::deserialize(from)?.map(read).transpose()
}

/// A field of bytes; where it is missing there are none.
///
/// # Errors
/// With its name, when it is no base64.
pub(super) fn bytes(field: &str, text: Option<&String>) -> Result<Vec<u8>, Fault> {
    let told = |_| Fault::wrong(format!("{field} must be base64"));
    text.map_or(Ok(Vec::new()), |text| BASE64.decode(text).map_err(told))
}

/// The same of a field that must be there.
///
/// # Errors
/// As [`bytes`], and when it is missing.
pub(super) fn needed(field: &str, text: Option<&String>) -> Result<Vec<u8>, Fault> {
    match text {
        Some(_) => bytes(field, text),
        None => Err(Fault::wrong(format!("send {field} as base64, or batch_input"))),
    }
}
