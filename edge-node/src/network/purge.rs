//! Purges over the whole network: the edge that takes one passes it on, and those that were away ask for it.

use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, header};
use nx_cdn_config::Edge;
use nx_delivery::{Problem, Request, Response, wall_ms};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::log::{Orders, new_id};
use super::{Control, lock};
use crate::cache::{Order, admit, json};

/// A purge is passed on for so long; who has not confirmed by then learns of it with the next heartbeat that it answers.
const PASS_ON: Duration = Duration::from_millis(1_500);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// What opens this.
const KEYS: &str = "edge.network.key or edge.cache.purge_key";

impl Control {
    /// Drops what an order names here and on all other edges, and says who has confirmed.
    pub(crate) async fn purge(self: &Arc<Self>, request: Request) -> Result<Response, Problem> {
        let network = self.key.as_ref();
        admit(request.headers(), &[network, self.parts.cache.purge_key()], KEYS)?;
        let of_edge = network.is_some() && admit(request.headers(), &[network], KEYS).is_ok();
        let mut order = Order::read(request).await?;
        let passed_on = order.id.take();
        if passed_on.is_some() && !of_edge {
            return Err(Problem::bad_request("id is for orders that edges pass on to each other"));
        }
        let purged = self.parts.cache.carry_out(order.clone()).await?;
        let id = passed_on.clone().unwrap_or_else(|| new_id(wall_ms()));
        self.remember(id.clone(), order.clone()).await;
        if passed_on.is_some() {
            return Ok(json(&serde_json::json!({"purged": purged})));
        }
        let (mut confirmed, missing) = self.pass_on(Order { id: Some(id), ..order }).await;
        confirmed.push(self.node.to_string());
        confirmed.sort_unstable();
        Ok(json(&serde_json::json!({"purged": purged, "confirmed": confirmed, "missing": missing})))
    }

    /// What has been carried out is written down, so that others can ask for it.
    async fn remember(self: &Arc<Self>, id: String, order: Order) {
        let control = self.clone();
        let written = tokio::task::spawn_blocking(move || lock(&control.log).add(id, order)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "a purge is not on disk; edges that are away now may not learn of it");
        }
    }

    /// Names of the edges that have confirmed, and of those that have not.
    async fn pass_on(self: &Arc<Self>, order: Order) -> (Vec<String>, Vec<String>) {
        let others = self.others();
        let body = serde_json::to_string(&order).unwrap_or_default();
        let until = Instant::now() + PASS_ON;
        let mut sent = JoinSet::new();
        for edge in others.iter().cloned() {
            let (control, body) = (self.clone(), body.clone());
            sent.spawn(async move {
                let told = tokio::time::timeout_at(until, control.send(&edge, &body)).await;
                matches!(told, Ok(Some(()))).then(|| edge.name.to_string())
            });
        }
        let confirmed: Vec<String> = sent.join_all().await.into_iter().flatten().collect();
        let all = others.into_iter().map(|edge| edge.name.to_string());
        let mut missing: Vec<String> = all.filter(|name| !confirmed.contains(name)).collect();
        missing.sort_unstable();
        (confirmed, missing)
    }

    /// Returns when the edge has confirmed; `None` when nobody can be asked.
    async fn send(&self, edge: &Edge, body: &str) -> Option<()> {
        let key = self.key.as_ref()?;
        loop {
            let request = self.client.post(format!("{}/cache/purge", edge.control()));
            let request = request.header(header::AUTHORIZATION, key.bearer()).body(body.to_owned());
            if request.send().await.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return Some(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Carries out what another edge knows and this one does not.
    pub(super) async fn catch_up(self: &Arc<Self>, theirs: &Orders) {
        let news = lock(&self.log).news(theirs);
        let missed = news.is_none();
        let orders = news.unwrap_or_else(|| theirs.clone());
        if missed {
            tracing::warn!(
                "this edge was away for longer than purges are remembered: everything that is kept goes"
            );
            if self.parts.cache.carry_out(Order::all()).await.is_err() {
                return;
            }
        }
        for (id, order) in orders {
            // The disk may still be read: the next heartbeat brings it again.
            if !missed && self.parts.cache.carry_out(order.clone()).await.is_err() {
                return;
            }
            self.remember(id, order).await;
        }
    }
}
