//! What a service that has a port of its own shows there, and has the gateway know.

use std::net::SocketAddr;

use nx_mesh::beat::Member;
use nx_mesh::{BEAT, Instance};
use serde_json::Value;
use tokio::sync::watch;

use crate::ctx::{Ctx, REQUESTS_MAX};
use crate::ring::Ring;

/// How a service is, looked at with every beat.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    /// Whether it can work.
    pub ready: bool,
    /// The same as a document, with the state of what it needs.
    pub health: Value,
    /// Its figures as Prometheus text.
    pub figures: String,
}

impl Ring {
    /// Looks after a service of this process that listens at `address`, and has the gateway know of it when this process is
    /// one of several, until `stop` turns true: before it takes no more requests.
    pub async fn look_after(
        &self,
        service: &str,
        address: SocketAddr,
        stop: watch::Receiver<bool>,
    ) -> watch::Receiver<Pulse> {
        let (sender, receiver) = watch::channel(Pulse::default());
        if let Some(running) = self.services.get(service) {
            let (cx, member, id) =
                (running.cx.clone(), self.member.clone(), crate::new_id(running.cx.now_ms()));
            let instance = look(&cx, &id, address, &sender).await;
            if let Some(member) = &member {
                member.tell(self.mesh(), &instance).await;
            }
            tokio::spawn(looks(cx, member, id, address, sender, stop));
        }
        receiver
    }
}

async fn looks(
    cx: Ctx,
    member: Option<Member>,
    id: String,
    address: SocketAddr,
    sender: watch::Sender<Pulse>,
    mut stop: watch::Receiver<bool>,
) {
    let instance = || look(&cx, &id, address, &sender);
    if let Some(member) = member {
        return member.present(&cx.shared().mesh, &id, instance, &mut stop).await;
    }
    while !*stop.borrow() {
        tokio::select! { _ = stop.changed() => {}, () = cx.clock().sleep(BEAT) => drop(instance().await) }
    }
}

/// Shows how a service is, and says it as the gateway is told.
async fn look(cx: &Ctx, id: &str, address: SocketAddr, sender: &watch::Sender<Pulse>) -> Instance {
    let (ready, health) = cx.health().await;
    let figures = cx.figures().await.unwrap_or_default();
    sender.send_replace(Pulse { ready, health, figures });
    let free = u32::try_from(cx.inner().places.available_permits()).unwrap_or(REQUESTS_MAX);
    Instance {
        id: id.to_owned(),
        service: cx.service().id.to_owned(),
        address: address.to_string(),
        ready,
        running: REQUESTS_MAX.saturating_sub(free),
        circuits: cx.circuits().into_iter().map(|(to, state)| (to, state.to_owned())).collect(),
    }
}
