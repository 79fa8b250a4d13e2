//! Glitch: where errors are reported, gathered to issues and looked through. Sentry's SDKs report to it as they are, with
//! a DSN of `http://KEY@GATEWAY/api/glitch/v1/PROJECT`.
//!
//! | file | holds |
//! | --- | --- |
//! | `wire.rs` | keys, packed bodies, envelopes: bytes |
//! | `event.rs`, `scrub.rs`, `group.rs` | an event read, without its secrets, and the issue that it belongs to |
//! | `ingest.rs` | what an SDK sends is taken |
//! | `monitors.rs` | work that must say that it was done |
//! | `person.rs` | what was reported of a person |
//! | `releases.rs` | which of two releases is newer, and whether an issue has come back |
//! | `api.rs`, `store.rs` | what is looked at and changed; all SQL |
//!
//! Not here: source maps, attachments, transactions, sessions, logs (taken and forgotten), Sentry's own `/api/0`.

mod api;
mod event;
mod group;
mod ingest;
mod monitors;
mod person;
mod releases;
mod scrub;
mod store;
mod wire;

use nx_chassis::Service;
use nx_contract::identity::{USER_ERASED, USER_FORGOTTEN};
use nx_webhooks::Sender;

/// An error that was not seen before.
pub(crate) const NEW: &str = "cos.platform.issue.new.v1";
/// An error that was resolved is there again.
pub(crate) const REGRESSED: &str = "cos.platform.issue.regressed.v1";
/// Somebody says that an error is done with.
pub(crate) const RESOLVED: &str = "cos.platform.issue.resolved.v1";
/// Work did not say in time that it was done.
pub(crate) const MISSED: &str = "cos.platform.monitor.missed.v1";
/// Work says that it failed, or did not end in time.
pub(crate) const FAILED: &str = "cos.platform.monitor.failed.v1";
/// The time by which a monitor must have heard something.
pub(crate) const EXPECT: &str = "expect";

pub(crate) fn service(sender: &Sender) -> Service {
    let alerts = [NEW, REGRESSED, MISSED, FAILED];
    let service = Service::new("glitch")
        .migration(include_str!("0001_init.sql"))
        .migration(nx_webhooks::MIGRATION)
        .api(nx_webhooks::routes(person::routes(ingest::routes(api::routes()))))
        .emits(RESOLVED)
        .emits(USER_FORGOTTEN)
        .on(USER_ERASED, person::erased)
        .job(person::FORGET, person::forget)
        .job(EXPECT, monitors::expect)
        .job("sweep", store::sweep)
        .every("45 3 * * *", "sweep");
    sender.serve(alerts.into_iter().fold(service, Service::emits))
}

#[cfg(test)]
mod tests;
