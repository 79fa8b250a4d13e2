//! Services on ports of their own: what the gateway serves below `/api/NAME`, each at the root of its port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nx_catalog::Entry;
use nx_chassis::{Pulse, Ring};
use nx_delivery::{Answer, Handler, Limits, Listening, Metrics, Request};
use tokio::sync::watch;

use crate::config::Config;
use crate::identity::Identity;
use crate::services::Services;
use crate::vault;

/// The door of one service.
struct Door {
    service: &'static Entry,
    services: Services,
    pulse: watch::Receiver<Pulse>,
}

impl Handler for Door {
    fn handle(&self, mut request: Request, peer: SocketAddr) -> Answer<'_> {
        let theirs = self.service.id == vault::SERVICE && vault::translate(&mut request);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let answer = self.services.answer_here(self.service, &head, body, peer).await;
            if theirs { vault::answer(answer) } else { answer }
        })
    }

    fn ready(&self) -> Result<serde_json::Value, serde_json::Value> {
        let pulse = self.pulse.borrow();
        if pulse.ready { Ok(pulse.health.clone()) } else { Err(pulse.health.clone()) }
    }

    fn metrics(&self, out: &mut Metrics) {
        out.written(&self.pulse.borrow().figures);
    }
}

/// Opens the ports of the services that run here, as the catalogue gives them; `more` adds their further ones. The
/// listeners by name, each at work until `stop` turns true and what runs has had `grace`.
///
/// # Errors
/// In words, with what to do: a port cannot be had, the token cannot be read.
pub async fn doors(
    config: &Config,
    ring: &Arc<Ring>,
    more: bool,
    stop: &watch::Receiver<bool>,
    grace: Duration,
) -> Result<Vec<(String, Listening)>, String> {
    let mut open = Vec::new();
    let identity = Arc::new(Identity::new(ring.clone(), config.token()?, config.identity.url.clone()));
    for service in ring.here().filter_map(nx_catalog::find) {
        let further = service.other_ports.iter().filter(|_| more && !config.ring.free_ports);
        let mut pulse = None;
        for &port in std::iter::once(&service.port).chain(further) {
            let port = if config.ring.free_ports { 0 } else { port };
            let listener = nx_delivery::bind("gateway.ring.host", (config.ring.host, port).into()).await?;
            let address = listener.local_addr().map_err(|e| e.to_string())?;
            let pulse = match &pulse {
                Some(pulse) => pulse,
                None => pulse.insert(ring.look_after(&service.id, address, stop.clone()).await),
            };
            let services =
                Services::new(ring.clone(), identity.clone(), config.settings.clone(), stop.clone());
            let door = Door { service, services, pulse: pulse.clone() };
            let served = nx_delivery::serve(listener, Arc::new(door), Limits::default(), stop.clone(), grace);
            open.push((service.id.clone(), served.map_err(|e| e.to_string())?));
        }
    }
    Ok(open)
}
