//! Purges: `POST /cache/purge` drops objects by address, beginning of the address and tag, at once.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use nx_cache::{Key, tags};
use nx_delivery::{Body, Problem, Request, Response};
use serde::Deserialize;

use super::Cache;

const PATH: &str = "/cache/purge";
/// Largest body of a request, bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What is to go: whatever one of these finds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Order {
    /// Paths with their query, each of one object.
    urls: Vec<String>,
    /// What path and query begin with.
    prefixes: Vec<String>,
    /// Tags that origins gave (`Cache-Tag`, `Surrogate-Key`).
    tags: Vec<String>,
    /// Of this upstream only.
    upstream: Option<String>,
}

/// Whether it is about purging.
pub(super) fn is_one(request: &Request) -> bool {
    request.uri().path() == PATH
}

impl Cache {
    /// Drops what the bearer of the key names, from what is being fetched, memory and disk.
    pub(super) async fn purge(self: &Arc<Self>, request: Request) -> Result<Response, Problem> {
        self.admit(request.headers())?;
        if *request.method() != Method::POST {
            return Err(Problem::method("a purge is sent with POST"));
        }
        if self.disk.as_ref().is_some_and(|disk| !disk.is_ready()) {
            let detail = "the disk is still being read; ask again shortly";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Problem::new(status, "cache-starting", "Starting", detail).retry_after(1));
        }
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Problem::bad_request("the body is not whole or longer than 64 KiB"))?;
        let order: Order = serde_json::from_slice(&body.to_bytes())
            .map_err(|e| Problem::bad_request(format!("the body is no purge: {e}")))?;
        let cache = self.clone();
        let purged = tokio::task::spawn_blocking(move || cache.drop_all(&order)).await;
        let purged = purged.map_err(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "purge-failed", "Purge failed", "ask again")
        })?;
        let mut response = Response::new(Body::from(format!("{{\"purged\":{purged}}}")));
        for (name, value) in [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")]
        {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let refuse = |detail| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail);
        let Some(key) = &self.purge_key else {
            let detail = "nobody may purge here: set edge.cache.purge_key";
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail));
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let given = given.and_then(|v| v.split_once(' '));
        match given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
            Some((_, given)) if key.is(given.trim()) => Ok(()),
            Some(_) => Err(refuse("the key is not the one of edge.cache.purge_key")),
            None => Err(refuse("send edge.cache.purge_key as Authorization: Bearer")),
        }
    }

    /// How many objects that were; one in memory and on disk counts once for each.
    fn drop_all(&self, order: &Order) -> usize {
        let urls: Vec<String> = order.urls.iter().flat_map(|url| self.targets(url)).collect();
        let named = |key: &Key| {
            let target = key.target();
            urls.iter().any(|url| url == target)
                || order.prefixes.iter().any(|p| target.starts_with(p.as_str()))
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
    fn targets(&self, url: &str) -> impl Iterator<Item = String> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        self.upstreams.iter().map(move |upstream| upstream.query.target(path, query))
    }
}
