//! How apps ask and are answered: forms in, JSON out, errors as RFC 6749 §5.2 writes them.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use axum::{Json, body};
use http::{HeaderValue, StatusCode, header};
use nx_chassis::{Created, Ctx, Describe, Operation, Problem, ShownOnce};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;

use super::rules::Params;

/// Largest form, bytes.
const FORM_BYTES_MAX: usize = 16 << 10;
const KIND: &str = "application/x-www-form-urlencoded";

/// What an app has sent.
pub(super) struct Form(pub(super) Result<Params, Refused>);

impl FromRequest<Ctx> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Ctx) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(KIND) {
            return Ok(Self(Err(Refused::request(format!("send a form: Content-Type: {KIND}")))));
        }
        let read = body::to_bytes(request.into_body(), FORM_BYTES_MAX).await;
        let read =
            read.map_err(|_| format!("the form has more than {FORM_BYTES_MAX} bytes, or did not come whole"));
        Ok(Self(read.and_then(|bytes| Params::parse(&bytes)).map_err(Refused::request)))
    }
}

impl Describe for Form {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.takes_bytes(KIND);
    }
}

/// What follows the question mark.
pub(super) struct Query(pub(super) Result<Params, String>);

impl<S: Sync> axum::extract::FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(Params::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

impl Describe for Query {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        for name in
            ["client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge", "request_uri"]
        {
            operation.query(name, &json!({"type": "string"}));
        }
    }
}

/// Why an app gets nothing.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    status: StatusCode,
    /// One of the words of the specifications.
    pub(super) error: &'static str,
    pub(super) description: String,
}

impl Refused {
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description: description.into() }
    }

    /// What is asked makes no sense.
    pub(super) fn request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// The code or token is none, or not this app's, or used, or over: it is not told which.
    pub(super) fn grant(description: &str) -> Self {
        Self::new("invalid_grant", description)
    }

    /// The key that is needed was not proved (RFC 9449 §5).
    pub(super) fn proof(description: impl Into<String>) -> Self {
        Self::new("invalid_dpop_proof", description)
    }

    /// Whether it is no fault of the app's.
    pub(super) fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    /// Nobody knows the app, or it has not shown that it is it.
    pub(super) fn client() -> Self {
        let refused = Self::new("invalid_client", "the app is not known, or its secret is another");
        Self { status: StatusCode::UNAUTHORIZED, ..refused }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        // A service that refuses something says so with its status; that it was asked twice, or too often, is no refusal.
        let answered = problem.cause.as_deref().and_then(|cause| cause.split(" answered ").nth(1)?.get(..3));
        match answered {
            Some("401" | "403" | "404" | "410") => {
                return Self::grant("who allowed it is signed out, shut out, or allows it no more");
            }
            Some("422") => return Self::new("invalid_scope", "is more than was allowed"),
            _ => {}
        }
        tracing::warn!(%problem, "an app gets no answer");
        let refused =
            Self::new("temporarily_unavailable", "a service that is needed for that is away: try again");
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..refused }
    }
}

impl From<nx_chassis::DbError> for Refused {
    fn from(error: nx_chassis::DbError) -> Self {
        Problem::from(error).into()
    }
}

/// What an app gets.
pub(super) struct Answer<T>(pub(super) Result<T, Refused>);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = match self.0 {
            Ok(body) => Json(body).into_response(),
            Err(Refused { status, error, description }) => {
                let mut response =
                    (status, Json(json!({"error": error, "error_description": description}))).into_response();
                if status == StatusCode::UNAUTHORIZED {
                    let how = HeaderValue::from_static("Basic realm=\"nexus\"");
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
                }
                response
            }
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Whoever asks again has to show again who they are.
        ShownOnce(response).into_response()
    }
}

impl<T: JsonSchema> Describe for Answer<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        Json::<T>::describe(operation, schemas);
        refuses(operation);
    }
}

/// How a refusal looks.
fn refuses(operation: &mut Operation) {
    let text = json!({"type": "string"});
    let fields = json!({"error": text, "error_description": text});
    let refused = json!({"type": "object", "required": ["error"], "properties": fields});
    operation.answers("default", Some(("application/json", refused)));
}

/// The same where something was made: 201.
pub(super) struct Fresh<T>(pub(super) Answer<T>);

impl<T: Serialize> IntoResponse for Fresh<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        if response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::CREATED;
        }
        response
    }
}

impl<T: JsonSchema> Describe for Fresh<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        Created::<T>::describe(operation, schemas);
        refuses(operation);
    }
}

/// Sends a browser on.
pub(super) struct Elsewhere(pub(super) String);

impl IntoResponse for Elsewhere {
    fn into_response(self) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        if let Ok(to) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(header::LOCATION, to);
        }
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

impl Describe for Elsewhere {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.answers("303", None);
    }
}
