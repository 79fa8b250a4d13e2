//! The scheduler: has a service do something at times that come again.
//!
//! A schedule has one next time. When it comes, a `fire` job writes down the run and the next time in one transaction, so
//! that each time has one run, whichever process is killed. A `call` job then posts to the service, with the run's id as
//! idempotency key, until that succeeds or has failed for good.
//!
//! Not here: one-off jobs of others, RRULE and intervals, overlap rules, backfill, calendars.

mod api;
mod rules;
mod store;
mod work;

use nx_chassis::Service;

/// A run has ended: `succeeded`, `failed` or `skipped`.
pub(crate) const ENDED: &str = "cos.platform.run.ended.v1";
/// The time of a schedule has come.
pub(crate) const FIRE: &str = "fire";
/// A run is to be done.
pub(crate) const CALL: &str = "call";

pub(crate) fn service() -> Service {
    Service::new("scheduler")
        .migration(include_str!("0001_init.sql"))
        .api(api::routes())
        .emits(ENDED)
        .job(FIRE, work::fire)
        .job(CALL, work::call)
        .job("sweep", store::sweep)
        .every("30 3 * * *", "sweep")
}

#[cfg(test)]
mod tests;
