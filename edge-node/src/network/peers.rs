//! What the edges of a network know of each other: a heartbeat a second, over HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{StatusCode, header};
use nx_cdn_config::{Edge, Load, Name};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::log::Orders;
use super::{Control, lock};

/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// An edge has so long to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Heartbeats in a row without an answer until an edge is taken for dead.
const MISSES: u32 = 2;
/// Edges that are asked at a time.
const ASKED_MAX: usize = 32;
/// Longest answer of an edge: the orders that it knows; bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Where an edge says how it is, and what was purged.
pub(super) const NODE: &str = "/api/v1/node";
pub(super) const PURGES: &str = "/api/v1/purges";

/// What an edge says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) node: Name,
    /// The version of the network that it follows; each edge counts its own.
    pub(super) version: u64,
    pub(super) draining: bool,
    pub(super) viewers: u32,
    /// Seats of tokens that are taken there.
    #[serde(default)]
    pub(super) seats: usize,
    /// See [`Log::digest`](super::log::Log::digest).
    pub(super) purges: String,
}

/// What is known of another edge.
#[derive(Debug, Default)]
pub(super) struct Peer {
    misses: u32,
    told: Option<Told>,
}

impl Control {
    /// How this node is.
    pub(super) fn told(&self) -> Told {
        Told {
            node: self.node.clone(),
            version: self.held().number,
            draining: self.is_draining(),
            viewers: self.viewers.load(Ordering::Relaxed),
            seats: lock(&self.seats).count(),
            purges: lock(&self.log).digest(),
        }
    }

    /// What is known of an edge; of which nothing is known yet, that is well.
    pub(super) fn load(&self, edge: &Name) -> Load {
        if *edge == self.node {
            let viewers = self.viewers.load(Ordering::Relaxed);
            return Load { healthy: true, draining: self.is_draining(), viewers };
        }
        let peers = lock(&self.peers);
        let peer = peers.get(edge);
        let told = peer.and_then(|peer| peer.told.as_ref());
        Load {
            healthy: peer.is_none_or(|peer| peer.misses < MISSES),
            draining: told.is_some_and(|told| told.draining),
            viewers: told.map_or(0, |told| told.viewers),
        }
    }

    /// The other edges of the network.
    pub(super) fn others(&self) -> Vec<Edge> {
        self.held().network.edges.iter().filter(|edge| edge.name != self.node).cloned().collect()
    }

    /// Counts who watches, asks the other edges how they are and purges what they know and this one does not, until
    /// `stop` turns true.
    pub(crate) async fn beat(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut pause = tokio::time::interval(BEAT);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = nx_delivery::stopped(&mut stop) => return,
                _ = pause.tick() => {}
            }
            let viewers = u32::try_from(self.parts.media.viewers()).unwrap_or(u32::MAX);
            self.viewers.store(viewers, Ordering::Relaxed);
            self.tidy_seats();
            if self.key.is_some() {
                tokio::select! {
                    () = nx_delivery::stopped(&mut stop) => return,
                    () = self.ask_all() => {}
                }
            }
        }
    }

    async fn ask_all(self: &Arc<Self>) {
        let places = Arc::new(Semaphore::new(ASKED_MAX));
        let mut asked = JoinSet::new();
        for edge in self.others() {
            let (control, places) = (self.clone(), places.clone());
            asked.spawn(async move {
                let _place = places.acquire_owned().await;
                let told = control.ask::<Told>(&edge, NODE).await.filter(|told| told.node == edge.name);
                control.note(&edge.name, told.clone());
                let seats = told.as_ref().map(|told| told.seats);
                if told.is_some_and(|told| told.purges != lock(&control.log).digest())
                    && let Some(theirs) = control.ask::<Orders>(&edge, PURGES).await
                {
                    control.catch_up(&theirs).await;
                }
                if let Some(seats) = seats {
                    control.hear_seats(&edge, seats).await;
                }
            });
        }
        while asked.join_next().await.is_some() {}
    }

    fn note(&self, edge: &Name, told: Option<Told>) {
        let mut peers = lock(&self.peers);
        let peer = peers.entry(edge.clone()).or_default();
        let was_well = peer.misses < MISSES;
        peer.misses = if told.is_some() { 0 } else { peer.misses.saturating_add(1) };
        let is_well = peer.misses < MISSES;
        if told.is_some() {
            peer.told = told;
        }
        match (was_well, is_well) {
            (true, false) => tracing::warn!(%edge, "an edge does not answer; players are sent elsewhere"),
            (false, true) => tracing::info!(%edge, "an edge answers again"),
            _ => {}
        }
    }

    /// What another edge answers, if it does.
    pub(super) async fn ask<T: DeserializeOwned>(&self, edge: &Edge, path: &str) -> Option<T> {
        let key = self.key.as_ref()?;
        let request = self.client.get(format!("{}{path}", edge.control()));
        let request = request.header(header::AUTHORIZATION, key.bearer());
        let answer = async {
            let mut response = request.send().await.ok().filter(|r| r.status() == StatusCode::OK)?;
            let mut body = Vec::new();
            while let Some(bytes) = response.chunk().await.ok()? {
                body.extend_from_slice(&bytes);
                if body.len() > ANSWER_BYTES_MAX {
                    return None;
                }
            }
            serde_json::from_slice(&body).ok()
        };
        tokio::time::timeout(ANSWER, answer).await.ok().flatten()
    }
}
