//! How many watch by one token: seats at this edge, and those that the other edges of its region tell of.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{StatusCode, header};
use nx_cdn_config::{Edge, Seat, share};
use nx_delivery::{Guest, Problem, Request};

use super::{Control, lock};
use crate::cache::Rules;

/// Where an edge tells of its seats.
pub(super) const SEATS: &str = "/api/v1/seats";

impl Control {
    /// A guest asks for something: a device, known by its address and its player, has a seat of its token.
    ///
    /// # Errors
    /// A [`Problem`] for who finds none.
    pub(crate) fn seat(
        &self,
        rules: &Rules,
        guest: Option<&Guest>,
        address: IpAddr,
        request: &Request,
    ) -> Result<(), Problem> {
        let Some((max, token)) = rules.seats_max.zip(guest.and_then(Guest::holder)) else { return Ok(()) };
        let player = request.headers().get(header::USER_AGENT).map(http::HeaderValue::as_bytes);
        let address = share(address).to_string();
        let device = nx_access::mark(&[address.as_bytes(), player.unwrap_or_default()]);
        if lock(&self.seats).ask(token, device, max, nx_delivery::wall_ms()).is_ok() {
            return Ok(());
        }
        self.refused.seats.fetch_add(1, Ordering::Relaxed);
        let detail = format!(
            "this token is in use on as many devices as it may be, {max}; half a minute after one has stopped there is \
             room for another"
        );
        Err(Problem::new(StatusCode::FORBIDDEN, "token-in-use", "In use elsewhere", detail))
    }

    /// What the other edges are told.
    pub(super) fn seats_told(&self) -> Vec<Seat> {
        lock(&self.seats).told(nx_delivery::wall_ms())
    }

    /// Asks an edge for its seats, if it is of this region and has any, or had.
    pub(super) async fn hear_seats(&self, edge: &Edge, count: usize) {
        let held = self.held();
        let here = held.network.edges.iter().find(|edge| edge.name == self.node);
        let near = here.is_some_and(|here| here.region == edge.region);
        if !near || (count == 0 && !lock(&self.seats).knows(&edge.name)) {
            return;
        }
        if let Some(seats) = self.ask::<Vec<Seat>>(edge, SEATS).await {
            lock(&self.seats).hear(&edge.name, &seats, nx_delivery::wall_ms());
        }
    }

    /// Forgets who has left, and what was told by edges that are no more in this region.
    pub(super) fn tidy_seats(self: &Arc<Self>) {
        let held = self.held();
        let edges = &held.network.edges;
        let region = edges.iter().find(|edge| edge.name == self.node).map(|here| &here.region);
        let near = |name: &_| edges.iter().any(|edge| edge.name == *name && Some(&edge.region) == region);
        lock(&self.seats).tidy(nx_delivery::wall_ms(), near);
    }
}
