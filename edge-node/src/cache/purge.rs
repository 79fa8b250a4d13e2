//! Purges: `POST /cache/purge` drops objects by address, beginning of the address and tag, at once.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use nx_cache::{Key, tags};
use nx_delivery::{Body, Problem, Request, Response};
use serde::{Deserialize, Serialize};

use super::Cache;
use super::config::Secret;

const PATH: &str = "/cache/purge";
/// Largest body of a request, bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What is to go: whatever one of these finds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Order {
    /// Paths with their query, each of one object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) urls: Vec<String>,
    /// What path and query begin with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) prefixes: Vec<String>,
    /// Tags that origins gave (`Cache-Tag`, `Surrogate-Key`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// Of this upstream, or route of the network, only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<String>,
    /// Of an order that another edge has taken and passes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}

impl Order {
    /// Whether a request is about purging.
    pub(crate) fn is_in(request: &Request) -> bool {
        request.uri().path() == PATH
    }

    /// Everything goes.
    pub(crate) fn all() -> Self {
        Self { prefixes: vec!["/".to_owned()], ..Self::default() }
    }

    /// Reads a request whose sender has been let in.
    ///
    /// # Errors
    /// A [`Problem`] for the client.
    pub(crate) async fn read(request: Request) -> Result<Self, Problem> {
        if *request.method() != Method::POST {
            return Err(Problem::method("a purge is sent with POST"));
        }
        let body = body(request, BODY_BYTES_MAX).await?;
        serde_json::from_slice(&body).map_err(|e| Problem::bad_request(format!("the body is no purge: {e}")))
    }
}

/// The body of a request, bounded.
///
/// # Errors
/// A [`Problem`] for the client.
pub(crate) async fn body(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), bytes_max).collect().await;
    let long = || format!("the body is not whole or longer than {bytes_max} bytes");
    body.map(http_body_util::Collected::to_bytes).map_err(|_| Problem::bad_request(long()))
}

/// Whether a request bears one of the keys; `setting` says what they are.
///
/// # Errors
/// A [`Problem`] for the client.
pub(crate) fn admit(headers: &HeaderMap, keys: &[Option<&Secret>], setting: &str) -> Result<(), Problem> {
    let refuse = |detail| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail);
    if keys.iter().all(Option::is_none) {
        let detail = format!("nobody may do this here: set {setting}");
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail));
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let given = given.and_then(|v| v.split_once(' '));
    match given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
        Some((_, given)) if keys.iter().flatten().any(|key| key.is(given.trim())) => Ok(()),
        Some(_) => Err(refuse(format!("the key is not the one of {setting}"))),
        None => Err(refuse(format!("send {setting} as Authorization: Bearer"))),
    }
}

/// An answer to whoever controls this node.
pub(crate) fn json(value: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(serde_json::to_string(value).unwrap_or_default()));
    for (name, value) in [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Cache {
    /// Drops what the bearer of the key names, from what is being fetched, memory and disk.
    pub(crate) async fn purge(self: &Arc<Self>, request: Request) -> Result<Response, Problem> {
        admit(request.headers(), &[self.purge_key()], "edge.cache.purge_key")?;
        let order = Order::read(request).await?;
        Ok(json(&serde_json::json!({"purged": self.carry_out(order).await?})))
    }

    /// Who bears it may purge.
    pub(crate) fn purge_key(&self) -> Option<&Secret> {
        self.purge_key.as_ref()
    }

    /// Drops what an order names; how many objects those were.
    ///
    /// # Errors
    /// A [`Problem`]: the disk is still being read.
    pub(crate) async fn carry_out(self: &Arc<Self>, order: Order) -> Result<usize, Problem> {
        if !self.is_ready() {
            let detail = "the disk is still being read; ask again shortly";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Problem::new(status, "cache-starting", "Starting", detail).retry_after(1));
        }
        let cache = self.clone();
        let purged = tokio::task::spawn_blocking(move || cache.drop_all(&order)).await;
        purged.map_err(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "purge-failed", "Purge failed", "ask again")
        })
    }

    /// How many objects that were; one in memory and on disk counts once for each.
    fn drop_all(&self, order: &Order) -> usize {
        let urls: HashSet<String> = order.urls.iter().flat_map(|url| self.targets(url)).collect();
        let named = |key: &Key| {
            let target = key.target();
            urls.contains(target) || order.prefixes.iter().any(|p| target.starts_with(p.as_str()))
        };
        let meant = |key: &Key| order.upstream.as_deref().is_none_or(|u| u == key.upstream());
        let tagged = |tag: &str| order.tags.iter().any(|t| t == tag);
        // What is being fetched was asked for before this: whoever comes now starts anew. Its tags may not be known yet,
        // so that by tag all of it goes. All under one lock, so that no fetch carries from one tier into another what has
        // gone from the first.
        let mut fills = self.fills();
        fills.retain(|key, _| !(meant(key) && (named(key) || !order.tags.is_empty())));
        let ram = self
            .ram
            .purge(|key, object| meant(key) && (named(key) || tags(&object.head.headers).any(tagged)));
        let files = self.disk.as_ref().map(|disk| {
            disk.purge(|key, tags| meant(key) && (named(key) || tags.iter().any(|tag| tagged(tag))))
        });
        drop(fills);
        let files = files.unwrap_or_default();
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
        let purged = ram + files.len();
        self.counters.purged.add(purged as u64);
        tracing::info!(ram, disk = files.len(), "purged");
        purged
    }

    /// Under which names upstreams keep what has this address.
    fn targets(&self, url: &str) -> Vec<String> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        self.upstreams().iter().map(|upstream| upstream.query.target(path, query)).collect()
    }
}
