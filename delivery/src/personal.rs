//! What is for one viewer alone: who was let in by a token, and for how long.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body::{Body as HttpBody, Frame, SizeHint};
use nx_access::{Denial, Gate, Pass, Shown};
use tokio::sync::watch;

use crate::body::{Body, Stream};
use crate::listen::{Request, Response};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::wall_s;

/// What is not longer than this is sent to its end.
const AT_ONCE_BYTES: u64 = 1 << 20;
/// How often a file of keys is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        let title = match denial {
            Denial::Missing => "A token is needed",
            Denial::NotReady => "Not ready",
            _ => "The token does not open this",
        };
        let problem = Self::new(denial.status(), denial.slug(), title, denial.to_string());
        if denial == Denial::NotReady { problem.retry_after(1) } else { problem }
    }
}

/// Who was let in, and what says so for as long as an answer lasts.
pub struct Guest {
    gate: Arc<Gate>,
    pass: Pass,
    list: bool,
}

impl Guest {
    /// Lets a request in. Its token is taken off its address; `folded` is what [`nx_access::unfold`] took off before.
    /// `None`: it is open to all, or asks only what it may ask.
    ///
    /// # Errors
    /// A [`Problem`] for the viewer.
    pub fn enter(
        gate: &Arc<Gate>,
        request: &mut Request,
        folded: Option<Shown>,
        (address, country): (IpAddr, Option<&str>),
    ) -> Result<Option<Self>, Problem> {
        // Pages ask what they may before they do, without anything that tells who.
        if *request.method() == Method::OPTIONS {
            return Ok(None);
        }
        let pass = gate.enter(request, folded, (address, country), wall_s())?;
        let list = [".m3u8", ".mpd"].iter().any(|ending| request.uri().path().ends_with(ending));
        Ok(pass.map(|pass| Self { gate: gate.clone(), pass, list }))
    }

    /// Lets another node in, and nobody else.
    ///
    /// # Errors
    /// A [`Problem`] for who is none.
    pub fn node(gate: &Arc<Gate>, request: &mut Request, address: IpAddr) -> Result<Self, Problem> {
        let pass = gate.node(request, address, wall_s())?;
        Ok(Self { gate: gate.clone(), pass, list: false })
    }

    /// Names the token among all, the same on every node; `None` for nodes, which ask for many.
    #[must_use]
    pub fn holder(&self) -> Option<(u64, u64)> {
        (!self.pass.is_node()).then(|| self.pass.mark())
    }

    /// Makes an answer the guest's alone. One that is still being sent when the token ends or is taken back breaks off.
    #[must_use]
    pub fn answer(self, mut response: Response) -> Response {
        self.pass.dress(response.headers_mut(), self.list, wall_s());
        let long = match response.body() {
            Body::Empty => false,
            Body::Slices(_) => response.body().size().is_some_and(|bytes| bytes > AT_ONCE_BYTES),
            Body::Channel(_) | Body::Growing(_) | Body::Film(_) | Body::Stream(_) => true,
        };
        if long {
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = Body::Stream(Stream::new(While { guest: self, body }));
        }
        response
    }
}

/// The same for an answer that may be nobody's in particular.
#[must_use]
pub fn personal(guest: Option<Guest>, response: Response) -> Response {
    match guest {
        Some(guest) => guest.answer(response),
        None => response,
    }
}

/// A body, while its reader may have it.
struct While {
    guest: Guest,
    body: Body,
}

impl HttpBody for While {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if !this.guest.gate.holds(&this.guest.pass, wall_s()) {
            return Poll::Ready(Some(Err(io::Error::other("the token has ended"))));
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads a gate's keys again when their file changes, until `stop` turns true.
pub async fn watch_keys(gate: Arc<Gate>, mut stop: watch::Receiver<bool>) {
    if !gate.has_file() {
        return;
    }
    loop {
        tokio::select! {
            () = crate::stopped(&mut stop) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {
                let gate = gate.clone();
                let _ = tokio::task::spawn_blocking(move || refresh_keys(&gate)).await;
            }
        }
    }
}

/// Reads a gate's keys again if their file has changed; the log says what came of it. Waits for the disk.
pub fn refresh_keys(gate: &Gate) {
    match gate.refresh() {
        Ok(true) => tracing::info!("playback keys read again"),
        Ok(false) => {}
        Err(error) => tracing::error!(error, "playback keys not taken over, those before stay in force"),
    }
}

/// Adds what a gate counts to a page of metrics.
pub fn gate_metrics(gate: &Gate, out: &mut Metrics) {
    let (admitted, refused, revocations) = gate.figures();
    let name = "nexus_playback_tokens_total";
    out.family(name, "counter", "Requests for what asks for a token.");
    out.value(name, &[("answer", "admitted")], admitted);
    out.value(name, &[("answer", "refused")], refused);
    out.single(
        "nexus_playback_revocations",
        "gauge",
        "What was taken back, as far as it is known.",
        revocations,
    );
}
