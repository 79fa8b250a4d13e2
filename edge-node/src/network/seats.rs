//! How many watch by one token: seats at this edge, and those that the other edges of its region tell of.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use nx_cdn_config::{Edge, Mark, Name, Seat, share};
use nx_delivery::{Body, Guest, Problem, Request, Response, Stream};

use super::{Control, lock};
use crate::cache::Rules;

/// Where an edge tells of its seats.
pub(super) const SEATS: &str = "/api/v1/seats";
/// How often a body that is being sent keeps its seat; milliseconds.
const KEEP_MS: i64 = 5_000;
/// A shorter body is over before its seat is free.
const LONG_BYTES: u64 = 1 << 20;
/// When it is worth asking again: a seat is free after half a minute.
const RETRY_S: u32 = 30;
/// What pages show beside the picture takes no seat: a browser fetches it under another name than its player.
const BESIDE: [&str; 4] = [".jpg", ".png", ".vtt", ".webp"];

/// Who has a seat, and of how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sitting {
    token: Mark,
    device: Mark,
    max: u32,
}

impl Control {
    /// A guest asks for something: a device, known by its address and its player, takes a seat of its token or keeps it.
    /// `None`: it needs none.
    ///
    /// # Errors
    /// A [`Problem`] for who finds none.
    pub(crate) fn seat(
        &self,
        rules: &Rules,
        guest: Option<&Guest>,
        address: IpAddr,
        request: &Request,
    ) -> Result<Option<Sitting>, Problem> {
        let beside = BESIDE.iter().any(|ending| request.uri().path().ends_with(ending));
        let holder = guest.and_then(Guest::holder).filter(|_| !beside && *request.method() == Method::GET);
        let Some((max, token)) = rules.seats_max.zip(holder) else { return Ok(None) };
        let player = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes);
        let address = share(address).to_string();
        let device = nx_access::mark(&[address.as_bytes(), player.unwrap_or_default()]);
        let sitting = Sitting { token, device, max };
        if self.sits(sitting) {
            return Ok(Some(sitting));
        }
        self.refused.seats.fetch_add(1, Ordering::Relaxed);
        let detail = format!(
            "this token is in use on as many devices as it may be, {max}; half a minute after one has stopped there is \
             room for another"
        );
        let problem = Problem::new(StatusCode::FORBIDDEN, "token-in-use", "In use elsewhere", detail);
        Err(problem.retry_after(RETRY_S))
    }

    fn sits(&self, Sitting { token, device, max }: Sitting) -> bool {
        lock(&self.seats).ask(token, device, max, nx_delivery::wall_ms()).is_ok()
    }

    /// An answer that takes long keeps its seat while it is sent, and breaks off when others have it.
    pub(crate) fn sit(self: &Arc<Self>, sitting: Option<Sitting>, mut response: Response) -> Response {
        let short = response.body().size().is_some_and(|bytes| bytes < LONG_BYTES);
        if let Some(sitting) = sitting.filter(|_| !short) {
            let inner = std::mem::take(response.body_mut());
            let kept = Kept { inner, control: self.clone(), sitting, next_ms: 0 };
            *response.body_mut() = Body::Stream(Stream::new(kept));
        }
        response
    }

    /// What the other edges are told.
    pub(super) fn seats_told(&self) -> Response {
        let told = lock(&self.seats).told(nx_delivery::wall_ms());
        crate::cache::json(&told)
    }

    /// Asks an edge for its seats, if it is of this region and has any, or had.
    pub(super) async fn hear_seats(&self, edge: &Edge, count: usize) {
        if !self.near()(&edge.name) || (count == 0 && !lock(&self.seats).knows(&edge.name)) {
            return;
        }
        match self.ask::<Vec<Seat>>(edge, SEATS).await {
            Some(seats) => lock(&self.seats).hear(&edge.name, &seats, nx_delivery::wall_ms()),
            None => _ = self.seats_unheard.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Forgets who has left, and what was told by edges that are no more in this region.
    pub(super) fn tidy_seats(&self) {
        lock(&self.seats).tidy(nx_delivery::wall_ms(), self.near());
    }

    /// Whether an edge is of this node's region.
    fn near(&self) -> impl Fn(&Name) -> bool {
        let (held, node) = (self.held(), self.node.clone());
        move |name| {
            let region = |name: &Name| {
                let edges = &held.network.edges;
                edges.iter().find(|edge| edge.name == *name).map(|edge| edge.region.clone())
            };
            region(name).is_some_and(|of| region(&node) == Some(of))
        }
    }
}

/// A body that keeps a seat.
struct Kept {
    inner: Body,
    control: Arc<Control>,
    sitting: Sitting,
    next_ms: i64,
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let now_ms = nx_delivery::wall_ms();
        if now_ms >= this.next_ms {
            this.next_ms = now_ms + KEEP_MS;
            if !this.control.sits(this.sitting) {
                return Poll::Ready(Some(Err(io::Error::other("the token is in use elsewhere"))));
            }
        }
        Pin::new(&mut this.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
