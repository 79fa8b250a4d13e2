//! What is done with the queue: a thread of its own hands on one error after another.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use http::{StatusCode, header};
use nx_chassis::{Caller, Clock, RawBody, Ring};
use tokio::runtime::{Builder, Runtime};

use crate::fault::Fault;
use crate::{Dsn, QUEUE};

/// The thread's name.
pub(crate) const THREAD: &str = "reports";
/// Times in a minute that one place may report the same.
const SAME_MAX: u32 = 10;
const MINUTE_MS: i64 = 60_000;
/// How long nothing is reported after it was not taken, unless we are told.
const PAUSE_MS: i64 = 60_000;
/// Time that a report may take.
const REPORT_MAX: Duration = Duration::from_secs(10);

/// Who is told.
pub(crate) enum To {
    /// Glitch among these services, under the project that is ours there.
    Ring(Weak<Ring>),
    /// Whoever is there.
    Dsn(Dsn),
}

/// Starts the thread, if there is none yet.
pub(crate) fn start(to: To) {
    let Some(faults) = QUEUE.end.lock().ok().and_then(|mut end| end.take()) else { return };
    let work = move || {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        let mut reporter = Reporter::new(to);
        for fault in faults {
            if !reporter.report(&runtime, &fault) {
                QUEUE.drop_one();
            }
        }
    };
    // Without a thread nothing is reported, and the queue counts what is dropped.
    let _ = std::thread::Builder::new().name(THREAD.into()).spawn(work);
}

/// What was reported lately.
pub(crate) struct Pace {
    minute: i64,
    same: HashMap<(String, u32), u32>,
    silent_until_ms: i64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { minute: 0, same: HashMap::new(), silent_until_ms: 0 }
    }

    /// Whether it is to be reported now.
    pub(crate) fn admits(&mut self, fault: &Fault, now_ms: i64) -> bool {
        if now_ms < self.silent_until_ms {
            return false;
        }
        if self.minute != now_ms / MINUTE_MS {
            self.minute = now_ms / MINUTE_MS;
            self.same.clear();
        }
        let count = self.same.entry(fault.place.clone().unwrap_or_default()).or_default();
        *count += 1;
        *count <= SAME_MAX
    }

    /// Nothing for a while.
    pub(crate) fn pause(&mut self, now_ms: i64, pause_ms: i64) {
        self.silent_until_ms = now_ms + pause_ms;
    }
}

struct Reporter {
    to: To,
    client: Option<reqwest::Client>,
    pace: Pace,
    clock: Clock,
    told_dropped: u64,
}

impl Reporter {
    fn new(to: To) -> Self {
        Self { to, client: None, pace: Pace::new(), clock: Clock::default(), told_dropped: 0 }
    }

    /// Reports it; `false` when it was not, and will not be.
    fn report(&mut self, runtime: &Runtime, fault: &Fault) -> bool {
        if !self.pace.admits(fault, self.clock.mono_ms()) {
            return false;
        }
        let dropped = crate::dropped();
        let envelope = fault.envelope(dropped - self.told_dropped);
        let sent = runtime.block_on(async { tokio::time::timeout(REPORT_MAX, self.send(envelope)).await });
        match sent.unwrap_or(Err(PAUSE_MS)) {
            Ok(()) => {
                self.told_dropped = dropped;
                true
            }
            Err(pause_ms) => {
                self.pace.pause(self.clock.mono_ms(), pause_ms);
                false
            }
        }
    }

    /// Hands it over; else how long to say nothing.
    async fn send(&mut self, envelope: String) -> Result<(), i64> {
        match &self.to {
            To::Ring(ring) => {
                let ring = ring.upgrade().ok_or(PAUSE_MS)?;
                let mut request = http::Request::post("/v1/api/1/envelope/")
                    .body(RawBody::from(envelope))
                    .map_err(|_| PAUSE_MS)?;
                request.extensions_mut().insert(Caller::service(THREAD));
                let answer = ring.answer("glitch", request).await.map_err(|_| PAUSE_MS)?;
                outcome(answer.status(), answer.headers())
            }
            To::Dsn(dsn) => {
                if self.client.is_none() {
                    let builder =
                        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
                    // Without TLS the machine needs no certificates, and may have none.
                    let builder =
                        if dsn.url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
                    self.client = Some(builder.user_agent("nexus").build().map_err(|_| PAUSE_MS)?);
                }
                let client = self.client.as_ref().ok_or(PAUSE_MS)?;
                let auth = format!("Sentry sentry_version=7, sentry_client=nexus, sentry_key={}", dsn.key);
                let request = client.post(dsn.url.clone()).header("x-sentry-auth", auth);
                let request = request.header(header::CONTENT_TYPE, "application/x-sentry-envelope");
                let answer = request.body(envelope).send().await.map_err(|_| PAUSE_MS)?;
                outcome(answer.status(), answer.headers())
            }
        }
    }
}

fn outcome(status: StatusCode, headers: &http::HeaderMap) -> Result<(), i64> {
    if status.is_success() {
        return Ok(());
    }
    let told_s = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse::<i64>().ok());
    Err(told_s.map_or(PAUSE_MS, |s| s.clamp(1, 3600) * 1000))
}
