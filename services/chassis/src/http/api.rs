//! Routes that describe themselves: what a handler takes and answers is read from its signature.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Request};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use http::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::once::KEY;
use super::reply::{Created, List, ShownOnce, Tagged};
use super::take::{Body, IfMatch, Page};
use crate::caller::Caller;
use crate::ctx::Ctx;
use crate::problem::Problem;
use crate::tx::Tx;

/// The routes of a service, below `/v1`.
#[must_use = "routes that no service has are not served"]
#[derive(Debug, Clone, Default)]
pub struct Api {
    router: Router<Ctx>,
    paths: BTreeMap<String, Map<String, Value>>,
    schemas: Map<String, Value>,
}

impl Api {
    /// No routes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads.
    pub fn get<H: Handler<T, Ctx> + Described<D>, T: 'static, D>(self, path: &str, handler: H) -> Self {
        self.add("get", path, get(handler), describe::<H, D>)
    }

    /// Creates or moves something, where doing it twice does little harm: takes an `Idempotency-Key`.
    pub fn post<H: Handler<T, Ctx> + Described<D>, T: 'static, D>(self, path: &str, handler: H) -> Self {
        self.add("post", path, post(handler), |operation, schemas| {
            H::describe(operation, schemas);
            operation.header(KEY, false);
        })
    }

    /// Creates or moves something that must not be done twice: wants an `Idempotency-Key`.
    pub fn post_once<H: Handler<T, Ctx> + Described<D>, T: 'static, D>(self, path: &str, handler: H) -> Self {
        self.add("post", path, post(handler).layer(from_fn(wants_key)), |operation, schemas| {
            H::describe(operation, schemas);
            operation.header(KEY, true);
        })
    }

    /// Puts a whole resource.
    pub fn put<H: Handler<T, Ctx> + Described<D>, T: 'static, D>(self, path: &str, handler: H) -> Self {
        self.add("put", path, put(handler), describe::<H, D>)
    }

    /// Changes a resource.
    pub fn patch<H: Handler<T, Ctx> + Described<D>, T: 'static, D>(self, path: &str, handler: H) -> Self {
        self.add("patch", path, patch(handler), describe::<H, D>)
    }

    /// Takes a resource away.
    pub fn delete<H: Handler<T, Ctx> + Described<D>, T: 'static, D>(self, path: &str, handler: H) -> Self {
        self.add("delete", path, delete(handler), describe::<H, D>)
    }

    fn add(
        mut self,
        method: &str,
        path: &str,
        route: MethodRouter<Ctx>,
        describe: impl FnOnce(&mut Operation, &mut SchemaGenerator),
    ) -> Self {
        let mut operation = Operation::default();
        for part in path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')) {
            let schema = json!({"type": "string"});
            operation
                .parameters
                .push(json!({"name": part, "in": "path", "required": true, "schema": schema}));
        }
        let settings =
            SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
        let mut schemas = settings.into_generator();
        describe(&mut operation, &mut schemas);
        self.schemas.extend(schemas.take_definitions(true));
        self.paths.entry(format!("/v1{path}")).or_default().insert(method.to_owned(), operation.document());
        self.router = self.router.route(path, route);
        self
    }

    pub(crate) fn router(&self) -> Router<Ctx> {
        self.router.clone()
    }

    /// The OpenAPI document of `service`, mounted at `base`; schemas bear its name, so that documents can be merged.
    pub(crate) fn document(&self, service: &str, base: &str) -> Value {
        let paths: Map<_, _> =
            self.paths.iter().map(|(p, o)| (format!("{base}{p}"), Value::Object(o.clone()))).collect();
        let mut schemas = self.schemas.clone();
        schemas.insert("Problem".into(), problem_schema());
        let schemas: Map<_, _> =
            schemas.into_iter().map(|(name, s)| (format!("{service}.{name}"), s)).collect();
        let document = json!({
            "openapi": "3.1.0",
            "info": {"title": service, "version": "1", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "paths": paths,
            "components": {"schemas": schemas},
        });
        let (plain, own) = ("\"#/components/schemas/", format!("\"#/components/schemas/{service}."));
        serde_json::from_str(&document.to_string().replace(plain, &own)).unwrap_or(document)
    }
}

async fn wants_key(request: Request, next: Next) -> Result<Response, Problem> {
    if request.headers().contains_key(KEY) {
        return Ok(next.run(request).await);
    }
    Err(Problem::bad_request("send an Idempotency-Key, the same for each try of this request"))
}

fn problem_schema() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": text, "title": text, "status": {"type": "integer"}, "detail": text, "instance": text,
            "errors": {"type": "array", "items": {"type": "object", "properties": {"pointer": text, "detail": text}}},
        },
    })
}

/// One method of one route, being described.
#[derive(Debug, Default)]
pub struct Operation {
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
}

impl Operation {
    /// It takes this header.
    pub fn header(&mut self, name: &str, required: bool) {
        let schema = json!({"type": "string"});
        self.parameters.push(json!({"name": name, "in": "header", "required": required, "schema": schema}));
    }

    /// It takes a body of this media type, whatever is in it.
    pub fn takes_bytes(&mut self, kind: &str) {
        self.takes(kind, json!({}));
    }

    /// It takes a body of this media type, or of another that it says.
    pub fn takes(&mut self, kind: &str, schema: impl Into<Value>) {
        let body = self.body.get_or_insert_with(|| json!({"required": true, "content": {}}));
        body["content"][kind] = json!({"schema": schema.into()});
    }

    /// It takes a parameter in its query.
    pub fn query(&mut self, name: &str, schema: &Value) {
        self.parameters.push(json!({"name": name, "in": "query", "required": false, "schema": schema}));
    }

    /// It answers this under a status, or under `default`: nothing, or a body of a media type, or of another that it says.
    pub fn answers(&mut self, status: &str, content: Option<(&str, Value)>) {
        let known = StatusCode::from_bytes(status.as_bytes()).ok().and_then(|s| s.canonical_reason());
        let new = || json!({"description": known.unwrap_or("A problem")});
        let answer = self.answers.entry(status).or_insert_with(new);
        if let Some((kind, schema)) = content {
            answer["content"][kind] = json!({"schema": schema});
        }
    }

    fn answer<T: JsonSchema>(&mut self, status: &str, schemas: &mut SchemaGenerator) {
        self.answers(status, Some(("application/json", schemas.subschema_for::<T>().into())));
    }

    fn document(mut self) -> Value {
        let problem = json!({"$ref": "#/components/schemas/Problem"});
        self.answers("default", Some(("application/problem+json", problem)));
        let mut document = json!({"responses": self.answers, "parameters": self.parameters});
        if let Some(body) = self.body {
            document["requestBody"] = body;
        }
        document
    }
}

/// What a handler takes or answers, as far as its callers should know.
pub trait Describe {
    /// Adds it.
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator);
}

macro_rules! unseen {
    ($($t:ty),*) => {$(
        impl Describe for $t {
            fn describe(_: &mut Operation, _: &mut SchemaGenerator) {}
        }
    )*};
}
// Parts of a path are described where the route is.
unseen!(Ctx, Tx, Caller, Problem, http::HeaderMap, Path<String>, Path<(String, String)>, Path<[String; 3]>);

impl<T: JsonSchema> Describe for Body<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        operation.takes("application/json", schemas.subschema_for::<T>());
    }
}

impl Describe for Page {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.query("limit", &json!({"type": "integer", "minimum": 1, "maximum": 200, "default": 50}));
        operation.query("cursor", &json!({"type": "string"}));
    }
}

impl Describe for IfMatch {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.header("If-Match", true);
    }
}

impl<T: JsonSchema> Describe for axum::Json<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        operation.answer::<T>("200", schemas);
    }
}

impl<T: JsonSchema> Describe for Tagged<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        operation.answer::<T>("200", schemas);
        operation.answers("304", None);
    }
}

impl<T: JsonSchema> Describe for List<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        operation.answer::<Self>("200", schemas);
    }
}

impl<T: JsonSchema> Describe for Created<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        operation.answer::<T>("201", schemas);
    }
}

impl<R: Describe> Describe for ShownOnce<R> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        R::describe(operation, schemas);
    }
}

impl Describe for StatusCode {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        // The one that handlers answer with when there is nothing to say.
        operation.answers("204", None);
    }
}

impl<T: Describe, E: Describe> Describe for Result<T, E> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        T::describe(operation, schemas);
        E::describe(operation, schemas);
    }
}

/// A handler whose signature describes it.
pub trait Described<D> {
    /// Adds what it takes and answers.
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator);
}

fn describe<H: Described<D>, D>(operation: &mut Operation, schemas: &mut SchemaGenerator) {
    H::describe(operation, schemas);
}

macro_rules! described {
    ($($part:ident)*) => {
        impl<F, Fut, Out, $($part),*> Described<($($part,)*)> for F
        where
            F: Fn($($part),*) -> Fut,
            Fut: Future<Output = Out>,
            Out: Describe,
            $($part: Describe,)*
        {
            fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
                $($part::describe(operation, schemas);)*
                Out::describe(operation, schemas);
            }
        }
    };
}
described!();
described!(A);
described!(A B);
described!(A B C);
described!(A B C D);
described!(A B C D E);
described!(A B C D E G);
