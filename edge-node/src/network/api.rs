//! What whoever controls the node says to it: `/api/v1/…` on the viewers' listener, with `edge.network.key`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, StatusCode, header};
use nx_cdn_config::{Fault, HistoryError, Network, difference};
use nx_delivery::{Problem, Request, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::peers::{NODE, PURGES};
use super::seats::SEATS;
use super::{Control, Trouble, lock};
use crate::cache::{admit, body};

const ROOT: &str = "/api/v1/";
const NETWORK: &str = "/api/v1/network";
const VERSIONS: &str = "/api/v1/network/versions";
const ROLLBACK: &str = "/api/v1/network/rollback";
const DRAIN: &str = "/api/v1/drain";
/// Largest description, and largest other body; bytes.
const NETWORK_BYTES_MAX: usize = 4 << 20;
const BODY_BYTES_MAX: usize = 4 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    draining: bool,
}

impl Control {
    /// Whether a request is for this.
    pub(crate) fn is_asked(request: &Request) -> bool {
        request.uri().path().starts_with(ROOT)
    }

    /// Answers what [`Control::is_asked`].
    ///
    /// # Errors
    /// A [`Problem`].
    pub(crate) async fn answer(self: &Arc<Self>, request: Request) -> Result<Response, Problem> {
        admit(request.headers(), &[self.key.as_ref()], "edge.network.key")?;
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let value = match (&method, path.as_str()) {
            (&Method::GET, NODE) => serde_json::to_value(self.told()).unwrap_or_default(),
            (&Method::GET, PURGES) => serde_json::to_value(lock(&self.log).orders()).unwrap_or_default(),
            (&Method::GET, SEATS) => return Ok(self.seats_told()),
            (&Method::GET, NETWORK) => self.shown(),
            (&Method::PUT, NETWORK) => self.put(request).await?,
            (&Method::GET, VERSIONS) => self.versions().await?,
            (&Method::POST, ROLLBACK) => {
                let Rollback { version } = read(request).await?;
                self.change(move |control| control.roll_back(version)).await?
            }
            (&Method::PUT, DRAIN) => {
                let Drain { draining } = read(request).await?;
                self.draining.store(draining, Ordering::Relaxed);
                tracing::info!(draining, "told whether viewers are to go elsewhere");
                self.health()
            }
            (&Method::GET, path) if path.starts_with(VERSIONS) => self.version(path).await?,
            (_, NODE | PURGES | SEATS | NETWORK | VERSIONS | ROLLBACK | DRAIN) => {
                return Err(Problem::method("see README.md for what is asked with which method"));
            }
            _ => return Err(Problem::not_found(format!("there is nothing at {path:.100}"))),
        };
        Ok(crate::cache::json(&value))
    }

    fn shown(&self) -> Value {
        let held = self.held();
        let notes = held.network.notes(self.countries_file.is_some());
        json!({"node": self.node, "version": held.number, "network": held.network, "notes": notes})
    }

    async fn put(self: &Arc<Self>, request: Request) -> Result<Value, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let is_json = kind.is_some_and(|kind| kind.contains("json"));
        let text = body(request, NETWORK_BYTES_MAX).await?;
        let text = std::str::from_utf8(&text).map_err(|_| Problem::bad_request("the body is no text"))?;
        let network = if is_json { Network::from_json(text) } else { Network::from_toml(text) };
        let network = network.map_err(|faults| problem(Trouble::Faults(faults)))?;
        self.change(move |control| control.enforce(network)).await
    }

    /// Changes the version and tells what that means.
    async fn change(
        self: &Arc<Self>,
        change: impl FnOnce(&Self) -> Result<u64, Trouble> + Send + 'static,
    ) -> Result<Value, Problem> {
        let (before, control) = (self.held(), self.clone());
        let done = tokio::task::spawn_blocking(move || change(&control)).await;
        let version = done.map_err(|_| failed())?.map_err(problem)?;
        let held = self.held();
        let changes: Vec<String> =
            difference(&before.network, &held.network).iter().map(ToString::to_string).collect();
        Ok(
            json!({"version": version, "changes": changes, "notes": held.network.notes(self.countries_file.is_some())}),
        )
    }

    async fn versions(self: &Arc<Self>) -> Result<Value, Problem> {
        let control = self.clone();
        let listed = tokio::task::spawn_blocking(move || lock(&control.history).list()).await;
        let versions = listed.map_err(|_| failed())?.map_err(|e| problem(e.into()))?;
        Ok(json!({"current": self.held().number, "versions": versions}))
    }

    async fn version(self: &Arc<Self>, path: &str) -> Result<Value, Problem> {
        let number = path.strip_prefix(VERSIONS).and_then(|rest| rest.strip_prefix('/'));
        let number: u64 = number
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Problem::not_found(format!("a version is {VERSIONS}/NUMBER")))?;
        let control = self.clone();
        let read = tokio::task::spawn_blocking(move || lock(&control.history).read(number)).await;
        let network = read.map_err(|_| failed())?.map_err(|e| problem(e.into()))?;
        Ok(json!({"version": number, "network": network}))
    }
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let body = body(request, BODY_BYTES_MAX).await?;
    serde_json::from_slice(&body).map_err(|e| Problem::bad_request(format!("the body does not fit: {e}")))
}

fn failed() -> Problem {
    let detail = "the node could not do it; its log says why";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "network-failed", "Not in force", detail)
}

fn problem(trouble: Trouble) -> Problem {
    let error = match trouble {
        Trouble::Faults(faults) => {
            let errors = faults.iter().map(told).collect();
            let detail = "nothing has changed; each mistake is in errors, with its place and what to do";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Problem::new(status, "bad-network", "The description has mistakes", detail)
                .with_errors(errors);
        }
        Trouble::History(error) => error,
    };
    match &error {
        HistoryError::Unknown(_) => Problem::not_found(error.to_string()),
        HistoryError::Unreadable { .. } => {
            Problem::new(StatusCode::CONFLICT, "unreadable-version", "Unreadable version", error.to_string())
        }
        HistoryError::Io { .. } => {
            tracing::error!(%error, "a version of the network is not kept");
            failed()
        }
    }
}

fn told(fault: &Fault) -> Value {
    json!({"file": "body", "line": fault.line, "key": fault.key, "text": fault.text, "remedy": fault.remedy})
}
