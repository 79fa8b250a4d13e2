//! Notes: a service that shows every facility of the chassis. Copy the folder, change the words.

mod api;
mod store;

use nx_chassis::Service;

pub(crate) const WRITTEN: &str = "cos.example.note.written.v1";
const ERASED: &str = "cos.identity.user.erased.v1";
pub(crate) const REMIND: &str = "remind";

/// What the service declares. One of the catalogue says there whom it needs.
pub fn service() -> Service {
    Service::new("notes")
        .migration(include_str!("0001_init.sql"))
        .api(api::routes())
        .emits(WRITTEN)
        .on(ERASED, store::erase)
        .job(REMIND, store::remind)
        .job("sweep", store::sweep)
        .every("0 3 * * *", "sweep")
        .needs("user-auth")
}

#[cfg(test)]
mod tests;
