//! How SCIM speaks over HTTP (RFC 7644 §3): what requests bring, what answers and refusals look like.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use nx_chassis::{Caller, Ctx, DbError, Describe, Operation, Problem, REACHED, ShownOnce};
use nx_contract::identity::OPERATOR;
use schemars::SchemaGenerator;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::filter::AttrPath;
use super::shape::Wanted;

/// The media type of SCIM.
const KIND: &str = "application/scim+json";
const PLAIN: &str = "application/json";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// Where SCIM lies on the gateway.
const BASE: &str = "/api/user-auth/v1/scim/v2";
/// Largest body, bytes.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
/// Names in `attributes` or `excludedAttributes`.
const NAMES_MAX: usize = 100;

/// An error as SCIM tells it (RFC 7644 §3.12).
#[derive(Debug)]
pub(super) struct Refusal {
    problem: Problem,
    /// The `scimType`.
    kind: Option<&'static str>,
}

impl Refusal {
    #[cfg(test)]
    pub(super) fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    fn of(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { problem: Problem::bad_request(detail), kind: Some(kind) }
    }

    /// A value that its attribute cannot have.
    pub(super) fn value(detail: impl Into<String>) -> Self {
        Self::of("invalidValue", detail)
    }

    /// A body that is no request.
    pub(super) fn syntax(detail: impl Into<String>) -> Self {
        Self::of("invalidSyntax", detail)
    }

    /// A filter that is none, or asks what cannot be asked.
    pub(super) fn filter(detail: impl Into<String>) -> Self {
        Self::of("invalidFilter", detail)
    }

    /// A path that is none, or leads nowhere.
    pub(super) fn path(detail: impl Into<String>) -> Self {
        Self::of("invalidPath", detail)
    }

    /// A path on which there is nothing to change.
    pub(super) fn no_target(detail: impl Into<String>) -> Self {
        Self::of("noTarget", detail)
    }

    /// A change of what does not change.
    pub(super) fn mutability(detail: impl Into<String>) -> Self {
        Self::of("mutability", detail)
    }

    /// Another resource has this value.
    pub(super) fn uniqueness(detail: impl Into<String>) -> Self {
        Self { problem: Problem::conflict("taken", detail), kind: Some("uniqueness") }
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail).into()
    }

    pub(super) fn too_many(detail: impl Into<String>) -> Self {
        Problem::conflict("too-many", detail).into()
    }

    /// What is not built, and is not going to be asked for by who reads the `ServiceProviderConfig`.
    pub(super) fn not_built(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_IMPLEMENTED, "not-built", detail).into()
    }

    pub(super) fn unknown() -> Self {
        Problem::not_found("there is nothing of that name").into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, kind: None }
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Problem { status, detail, .. } = &self.problem;
        let mut document = json!({"schemas": [ERROR], "status": status.as_str(), "detail": detail});
        if let Some(kind) = self.kind {
            document["scimType"] = kind.into();
        }
        let mut response = self.problem.into_response();
        *response.body_mut() = document.to_string().into();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
        response
    }
}

impl Describe for Refusal {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        let text = json!({"type": "string"});
        let properties = json!({"schemas": {"type": "array", "items": text}, "status": text, "scimType": text, "detail": text});
        let schema = json!({"type": "object", "required": ["schemas", "status"], "properties": properties});
        operation.answers("default", Some((KIND, schema)));
    }
}

/// An answer: a resource, a list or a description.
#[derive(Debug)]
pub(super) struct Doc(pub(super) Value);

/// The answer to who has made something.
#[derive(Debug)]
pub(super) struct New(pub(super) Value);

impl IntoResponse for Doc {
    fn into_response(self) -> Response {
        let tag = self.0.pointer("/meta/version").and_then(Value::as_str);
        let tag = tag.and_then(|tag| HeaderValue::from_str(tag).ok());
        let mut response = self.0.to_string().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
        tag.into_iter().for_each(|tag| drop(headers.insert(header::ETAG, tag)));
        ShownOnce(response).into_response()
    }
}

impl IntoResponse for New {
    fn into_response(self) -> Response {
        let location = self.0.pointer("/meta/location").and_then(Value::as_str);
        let location = location.and_then(|at| HeaderValue::from_str(at).ok());
        let mut response = (StatusCode::CREATED, Doc(self.0)).into_response();
        location.into_iter().for_each(|at| drop(response.headers_mut().insert(header::LOCATION, at)));
        // Nothing of people is left anywhere when they are erased.
        ShownOnce(response).into_response()
    }
}

impl Describe for Doc {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.answers("200", Some((KIND, json!({"type": "object"}))));
        operation.answers("304", None);
    }
}

impl Describe for New {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.answers("201", Some((KIND, json!({"type": "object"}))));
    }
}

/// An operator, and in which form they want the answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) by: Caller,
    /// What addresses begin with.
    pub(super) base: String,
    pub(super) wanted: Wanted,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    attributes: Option<String>,
    excluded_attributes: Option<String>,
}

impl FromRequestParts<Ctx> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, cx: &Ctx) -> Result<Self, Refusal> {
        let by = Caller::from_request_parts(parts, cx).await?;
        by.must_be(OPERATOR)?;
        let form: Form = query(parts)?;
        let names = |list: Option<String>| names(list.iter().flat_map(|list| list.split(',')));
        let wanted = Wanted { only: names(form.attributes)?, not: names(form.excluded_attributes)? };
        Ok(Self { by, base: base(&parts.headers), wanted })
    }
}

impl Describe for Asked {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.query("attributes", &json!({"type": "string"}));
        operation.query("excludedAttributes", &json!({"type": "string"}));
    }
}

/// What follows the question mark.
pub(super) fn query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Refusal> {
    let query = axum::extract::Query::try_from_uri(&parts.uri);
    query.map(|axum::extract::Query(query)| query).map_err(|error| Refusal::value(error.body_text()))
}

/// Attributes by name; those that are none are passed over.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<AttrPath>, Refusal> {
    let names: Vec<&str> = names.take(NAMES_MAX + 1).collect();
    if names.len() > NAMES_MAX {
        return Err(Refusal::value(format!("at most {NAMES_MAX} attributes are named")));
    }
    Ok(names.into_iter().filter_map(AttrPath::parse).collect())
}

/// Where we were reached, by the gateway's word; without it, addresses are relative to whatever host it was.
fn base(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // A proxy that speaks TLS says so.
    let tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
    let scheme = if tls { "https" } else { "http" };
    text(REACHED).map_or_else(|| BASE.to_owned(), |host| format!("{scheme}://{host}{BASE}"))
}

/// The versions that a client has read, if it says which it wants to change.
#[derive(Debug)]
pub(super) struct Versions(Option<String>);

impl Versions {
    /// Refuses when a resource has another one by now.
    ///
    /// # Errors
    /// 412.
    pub(super) fn allow(&self, version: i64) -> Result<(), Refusal> {
        let Some(given) = &self.0 else { return Ok(()) };
        let is = |tag: &str| tag.trim().trim_start_matches("W/") == format!("\"{version}\"");
        if given.trim() == "*" || given.split(',').any(is) { Ok(()) } else { Err(Problem::stale().into()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Versions {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let given = parts.headers.get(header::IF_MATCH);
        // What is no text is no version of ours.
        Ok(Self(given.map(|given| given.to_str().unwrap_or_default().to_owned())))
    }
}

impl Describe for Versions {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.header("If-Match", false);
    }
}

/// The entity tag of a version. It is a weak one, since clients choose the form of what they get.
pub(super) fn tag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// A body.
#[derive(Debug)]
pub(super) struct Given<T>(pub(super) T);

/// A resource as a client writes it.
pub(super) type Resource = Map<String, Value>;

/// The body of a PATCH. Names are taken in whatever case they are written.
#[derive(Debug)]
pub(super) struct Patch(pub(super) Vec<Change>);

/// One operation of a PATCH.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) op: String,
    pub(super) path: Option<String>,
    pub(super) value: Option<Value>,
}

impl<'de> Deserialize<'de> for Patch {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wrong = |what: &str| serde::de::Error::custom(what.to_owned());
        let (Some(Value::Array(all)), _) = take(Map::deserialize(from)?, "operations") else {
            return Err(wrong("a PATCH has a list of Operations"));
        };
        let change = |change: Value| {
            let Value::Object(change) = change else { return Err(wrong("an operation is an object")) };
            let (op, change) = take(change, "op");
            let (path, change) = take(change, "path");
            let (value, _) = take(change, "value");
            let (Some(Value::String(op)), None | Some(Value::String(_))) = (op, &path) else {
                return Err(wrong("an operation has an op, and perhaps a path, which are texts"));
            };
            Ok(Change { op, path: path.and_then(|path| path.as_str().map(str::to_owned)), value })
        };
        all.into_iter().map(change).collect::<Result<_, _>>().map(Self)
    }
}

/// A field in whatever case it is written, and the others.
fn take(mut of: Map<String, Value>, name: &str) -> (Option<Value>, Map<String, Value>) {
    let known = of.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
    (known.and_then(|key| of.remove(&key)), of)
}

impl<T: DeserializeOwned> FromRequest<Ctx> for Given<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Ctx) -> Result<Self, Refusal> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        if ![KIND, PLAIN].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
            let text = format!("send Content-Type: {KIND}");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported-media-type", text).into());
        }
        let bytes = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await;
        let bytes = bytes.map_err(|_| {
            Refusal::too_large(format!("a body comes whole, with at most {BODY_BYTES_MAX} bytes"))
        })?;
        // PostgreSQL takes no NUL in a text, and nobody needs one.
        if bytes.windows(6).any(|w| w == b"\\u0000") {
            return Err(Refusal::syntax("a text holds no NUL"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Refusal::syntax(error.to_string()))
    }
}

impl<T> Describe for Given<T> {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        [KIND, PLAIN].into_iter().for_each(|kind| operation.takes(kind, json!({"type": "object"})));
    }
}
