//! `/api/backend-api/v1/…`: which instances of services there are, whether the ways to them are open, and the settings.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use nx_chassis::Ring;
use nx_delivery::{Metrics, Problem, Response};
use nx_mesh::beat::Table;
use nx_mesh::{Instance, Listed, RegistryError};
use serde_json::json;
use tokio::sync::watch;

use crate::core::CORE;
use crate::guard;
use crate::serve::{json, no_content};
use crate::settings::Settings;

/// How long a watch is held at most.
const WATCH_MAX: Duration = Duration::from_secs(25);

/// Answers for `rest`, which follows the gateway's name; who asks has been found out. A watch ends when `stop` turns true.
pub(crate) async fn answer<B>(
    ring: &Ring,
    settings: &Settings,
    rest: &str,
    head: &Parts,
    body: B,
    mut stop: watch::Receiver<bool>,
) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mesh, route) = (ring.mesh(), rest.split('/').collect::<Vec<_>>());
    match (route.as_slice(), &head.method) {
        (["v1", "instances"], &Method::GET) => {
            let query = head.uri.query().unwrap_or_default();
            let asked =
                |name: &str| query.split('&').filter_map(|p| p.split_once('=')).find(|(n, _)| *n == name);
            let (items, index) = match asked("index").map(|(_, index)| index.parse()) {
                Some(Ok(index)) => tokio::select! {
                    list = mesh.watch(index, WATCH_MAX) => list,
                    () = nx_delivery::stopped(&mut stop) => mesh.list(),
                },
                Some(Err(_)) => return Err(Problem::bad_request("index must be one that was answered")),
                None => mesh.list(),
            };
            let wanted = |listed: &Listed| {
                asked("service").is_none_or(|(_, service)| listed.instance.service == service)
                    && asked("passing").is_none_or(|(_, yes)| yes != "true" || listed.passing)
            };
            Ok(table(items.into_iter().filter(wanted).collect(), index))
        }
        (["v1", "instances", id], &Method::PUT) => {
            let instance: Instance = guard::body(&head.headers, body).await?;
            if instance.id != *id {
                return Err(Problem::bad_request("the id of the body is not that of the address"));
            }
            if instance.service != CORE && !ring.has(&instance.service) {
                return Err(Problem::bad_request("no service of this name is built"));
            }
            let another = |l: &Listed| {
                let Listed { instance: there, passing } = l;
                *passing && there.service == CORE && there.address != instance.address
            };
            if instance.service == CORE && mesh.list().0.iter().any(another) {
                return Err(Problem::new(
                    StatusCode::CONFLICT,
                    "another-core",
                    "Taken",
                    "another process is the streaming core of this gateway: they would share one job, stop one of them",
                ));
            }
            mesh.beat(instance).map_err(refused)?;
            let (items, index) = mesh.list();
            Ok(table(items, index))
        }
        (["v1", "instances", id], &Method::DELETE) => {
            mesh.leave(id);
            Ok(no_content())
        }
        (["v1", "circuits"], &Method::GET) => {
            let circuit = |(from, to, state)| json!({"from": from, "to": to, "state": state});
            let items: Vec<_> = ring.circuits().into_iter().map(circuit).collect();
            Ok(json(&json!({"items": items, "next_cursor": null}).to_string()))
        }
        (["v1", "settings"], &Method::GET) => Ok(json(&settings.told().to_string())),
        (["v1", "instances" | "circuits" | "settings", ..], _) => {
            Err(Problem::method("circuits, instances and settings are read, an instance is put and deleted"))
        }
        _ => Err(Problem::not_found("the gateway has v1/instances, v1/circuits and v1/settings")),
    }
}

fn table(items: Vec<Listed>, index: u64) -> Response {
    json(&serde_json::to_string(&Table { items, index }).unwrap_or_default())
}

fn refused(error: RegistryError) -> Problem {
    match error {
        RegistryError::Full => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "full", "Full", error.to_string())
        }
        _ => Problem::bad_request(error.to_string()),
    }
}

/// How many instances there are, and whether ways are open.
pub(crate) fn metrics(ring: &Ring, out: &mut Metrics) {
    out.family("nexus_registry_instances", "gauge", "Instances of services that are known.");
    let (all, _) = ring.mesh().list();
    let mut seen = std::collections::BTreeMap::<_, usize>::new();
    for listed in &all {
        *seen.entry((listed.instance.service.as_str(), listed.passing)).or_default() += 1;
    }
    for ((service, passing), count) in seen {
        let state = if passing { "passing" } else { "out" };
        out.value("nexus_registry_instances", &[("service", service), ("state", state)], count);
    }
    out.family(
        "nexus_circuit_open",
        "gauge",
        "Ways between services: 0 open to calls, 1 trying, 2 closed to them.",
    );
    for (from, to, state) in ring.circuits() {
        let level = match state.as_str() {
            "up" => 0,
            "degraded" => 1,
            _ => 2,
        };
        out.value("nexus_circuit_open", &[("from", &from), ("to", &to)], level);
    }
}
