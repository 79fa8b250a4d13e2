//! Notes: a service that shows every facility of the chassis. Copy the folder, change the words.

mod api;
mod rules;
mod store;

use nx_chassis::{Ctx, Event, Job, Problem, Service, Tx};

/// A note was written.
pub(crate) const WRITTEN: &str = "cos.example.note.written.v1";
/// Somebody wants to be forgotten.
const ERASED: &str = "cos.identity.user.erased.v1";
/// The job that reminds of a note.
pub(crate) const REMIND: &str = "remind";

/// What the service declares. One of the catalogue says there whom it needs.
#[must_use]
pub fn service() -> Service {
    Service::new("notes")
        .migration(include_str!("0001_init.sql"))
        .api(api::routes())
        .emits(WRITTEN)
        .on(ERASED, erased)
        .job(REMIND, remind)
        .job("sweep", async |cx: Ctx, _| store::sweep(&cx).await)
        .every("0 3 * * *", "sweep")
        .needs("user-auth")
}

/// Heard once, in one transaction with what it changes.
async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    store::erase(tx, &event.subject).await
}

/// Done again, with growing pauses, until it succeeds.
async fn remind(cx: Ctx, job: Job) -> Result<(), Problem> {
    store::reminded(&cx, &job.body::<String>()?).await
}

#[cfg(test)]
mod tests;
