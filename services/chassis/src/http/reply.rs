//! What handlers answer.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::take::Page;

/// 201: something new, and where it is.
#[derive(Debug)]
pub struct Created<T> {
    /// Its address, relative to the collection's: its id.
    pub location: String,
    /// What it is.
    pub body: T,
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.body)).into_response();
        if let Ok(location) = HeaderValue::from_str(&self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// A resource with the version that `If-Match` is held against.
#[derive(Debug)]
pub struct Tagged<T> {
    /// Grows with every change.
    pub version: i64,
    /// What it is.
    pub body: T,
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.version)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "List_of_{T}")]
pub struct List<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// The page, from [`Page::rows`] rows that stand behind [`Page::after`] in the order of `key`.
    pub fn of(page: &Page, mut rows: Vec<T>, key: impl Fn(&T) -> &str) -> Self {
        let more = rows.len() > page.limit();
        rows.truncate(page.limit());
        let next_cursor = rows.last().filter(|_| more).map(|last| Page::cursor(key(last)));
        Self { items: rows, next_cursor }
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// An answer with a secret, which is not kept for who asks again under the same `Idempotency-Key`.
#[derive(Debug)]
pub struct ShownOnce<R>(pub R);

/// Marks a response as one.
#[derive(Clone, Copy)]
pub(super) struct Unkept;

impl<R: IntoResponse> IntoResponse for ShownOnce<R> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.extensions_mut().insert(Unkept);
        response
    }
}
