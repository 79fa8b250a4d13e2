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
            let (cx, member) = (running.cx.clone(), self.member.clone());
            let id = crate::new_id(cx.now_ms());
            beat(&cx, member.as_ref(), &id, address, &sender).await;
            tokio::spawn(beats(cx, member, id, address, sender, stop));
        }
        receiver
    }
}

async fn beats(
    cx: Ctx,
    member: Option<Member>,
    id: String,
    address: SocketAddr,
    sender: watch::Sender<Pulse>,
    mut stop: watch::Receiver<bool>,
) {
    let for_ever = async {
        loop {
            cx.clock().sleep(BEAT).await;
            beat(&cx, member.as_ref(), &id, address, &sender).await;
        }
    };
    tokio::select! {
        _ = stop.wait_for(|&stop| stop) => {}
        () = for_ever => {}
    }
    if let Some(member) = member
        && let Err(error) = member.leave(&cx.shared().mesh, &id).await
    {
        tracing::debug!(service = cx.service().id, %error, "the gateway will find out that we are gone");
    }
}

async fn beat(
    cx: &Ctx,
    member: Option<&Member>,
    id: &str,
    address: SocketAddr,
    sender: &watch::Sender<Pulse>,
) {
    let (ready, health) = cx.health().await;
    let figures = cx.figures().await.unwrap_or_default();
    sender.send_replace(Pulse { ready, health, figures });
    let Some(member) = member else { return };
    let service = cx.service().id;
    let free = u32::try_from(cx.inner().places.available_permits()).unwrap_or(REQUESTS_MAX);
    let instance = Instance {
        id: id.to_owned(),
        service: service.to_owned(),
        address: address.to_string(),
        ready,
        running: REQUESTS_MAX.saturating_sub(free),
        circuits: cx.circuits().into_iter().map(|(to, state)| (to, state.to_owned())).collect(),
    };
    if let Err(error) = member.beat(&cx.shared().mesh, &instance).await {
        tracing::warn!(service, %error, "the gateway does not know of us; it is told again");
    }
}
