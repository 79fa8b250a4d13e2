//! The streaming core as a service of the ring: what this gateway serves of it, other services and other gateways ask for.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request as Head, StatusCode, header};
use nx_chassis::{Caller, REACHED, RawBody, Ring};
use nx_delivery::{Answer, Handler, Limits, Listening, Metrics, Problem, Request, Response, random_id};
use nx_mesh::Instance;
use tokio::sync::watch;

use crate::config::Config;
use crate::identity::Who;
use crate::serve::{Core, Face};
use crate::services;

/// Its name in the catalogue.
pub(crate) const CORE: &str = "streamcore";

/// Who asks from within this process.
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Has the services of this process find the core behind `face`.
pub(crate) fn join(face: &Arc<Face>, ring: &Ring) {
    // The ring would hold what holds the ring.
    let face = Arc::downgrade(face);
    ring.join(CORE, move |request: Head<RawBody>| {
        let face = face.clone();
        async move {
            let caller = request.extensions().get::<Caller>().cloned();
            let answer = match face.upgrade() {
                Some(face) => within(&face, request, HERE, &Who::of(caller)).await,
                None => Err(Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "stopping",
                    "Stopping",
                    "the streaming core stops",
                )),
            };
            answer.unwrap_or_else(|problem| problem.response(&random_id())).map(RawBody::new)
        }
    });
}

/// Answers for a path that begins with `/v1/`.
async fn within<B>(face: &Face, request: Head<B>, peer: SocketAddr, who: &Who) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut head, body) = request.into_parts();
    // Under which name a service or another gateway has reached us says nothing about viewers.
    match head.headers.remove(REACHED) {
        Some(host) => drop(head.headers.insert(header::HOST, host)),
        None => drop(head.headers.remove(header::HOST)),
    }
    let rest = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = format!("/api/{CORE}{rest}").parse().map_err(|_| Problem::bad_request("this is no path"))?;
    face.within_limits(head, body, peer, who).await
}

/// The port of a core that stands behind a gateway of another process.
struct Door {
    face: Arc<Face>,
    ring: Arc<Ring>,
}

impl Handler for Door {
    fn handle(&self, mut request: Request, peer: SocketAddr) -> Answer<'_> {
        Box::pin(async move {
            let who = match self.ring.sealed(CORE, request.headers_mut()).map_err(services::told)? {
                Some(caller) => Who::of(caller),
                None => {
                    let (mut head, body) = request.into_parts();
                    services::reached_here(&mut head.headers);
                    let who = self.face.identity().find_out(&head, peer, &format!("/api/{CORE}")).await;
                    request = Request::from_parts(head, body);
                    who
                }
            };
            within(&self.face, request, peer, &who).await
        })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        Ok(serde_json::json!({"status": "ok", "role": CORE}))
    }

    fn metrics(&self, out: &mut Metrics) {
        self.face.metrics(out);
    }
}

/// Opens the port of a core of this process and has the gateway of the ring know it, until `stop` turns true and what runs
/// has had `grace`. Viewers are sent to `edge`.
///
/// # Errors
/// In words, with what to do: the port cannot be had, the token cannot be read.
pub async fn door(
    core: Core,
    config: &Config,
    edge: SocketAddr,
    ring: &Arc<Ring>,
    stop: &watch::Receiver<bool>,
    grace: Duration,
) -> Result<Listening, String> {
    let face = Face::new(Some(core), config, edge, ring, stop.clone())?;
    let port = nx_catalog::find(CORE).filter(|_| !config.ring.free_ports).map_or(0, |entry| entry.port);
    let listener = nx_delivery::bind("gateway.ring.host", (config.ring.host, port).into()).await?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let instance = Instance {
        id: random_id(),
        service: CORE.into(),
        address: address.to_string(),
        ready: true,
        running: 0,
        circuits: Default::default(),
    };
    let (ours, mut stopped) = (ring.clone(), stop.clone());
    if let Some(member) = ours.member() {
        member.tell(ours.mesh(), &instance).await;
    }
    tokio::spawn(async move {
        let Some(member) = ours.member() else { return };
        let now = || std::future::ready(instance.clone());
        member.present(ours.mesh(), &instance.id, now, &mut stopped).await;
    });
    let door = Arc::new(Door { face, ring: ring.clone() });
    nx_delivery::serve(listener, door, Limits::default(), stop.clone(), grace).map_err(|e| e.to_string())
}
