//! user-auth: who there is, what they may do, and which organisations they are in; directories of others keep it in step with theirs
//! by SCIM; what there is of somebody everywhere is given out here, and forgotten from here.
//!
//! Never: two people whose names look the same; a role that somebody gives themselves; nobody left who may do everything; somebody forgotten of whom a
//! service keeps something, and nobody told.

mod api;
mod erasure;
mod exports;
mod orgs;
mod rules;
mod scim;
mod store;

use nx_chassis::Service;
use nx_contract::identity::{ORG_DELETED, ORG_FACTS};

use crate::{
    ERASURE_DONE, ERASURE_LATE, PASSWORD_GIVEN, USER_CHANGED, USER_CREATED, USER_ERASED, USER_FORGOTTEN,
};

pub(crate) use api::{NewUser, User};
pub(crate) use erasure::rules::GRACE_DAYS;
pub(crate) use erasure::{Erasure, NewErasure};
pub(crate) use rules::{handle, roles};

pub(crate) fn service() -> Service {
    let service = Service::new("user-auth")
        .migration(include_str!("0001_init.sql"))
        .migration(include_str!("0002_scim.sql"))
        .migration(include_str!("0003_given.sql"))
        .migration(include_str!("0004_erasure.sql"))
        .migration(include_str!("0005_orgs.sql"))
        .api(api::routes())
        .emits(USER_CREATED)
        .emits(USER_CHANGED)
        .emits(USER_ERASED)
        .emits(PASSWORD_GIVEN)
        .emits(ERASURE_DONE)
        .emits(ERASURE_LATE)
        .emits(ORG_DELETED)
        .on(USER_FORGOTTEN, erasure::heard)
        .job(erasure::BEGIN, erasure::work_begin)
        .job(erasure::WATCH, erasure::work_watch)
        .job(exports::GATHER, exports::gather)
        .job("sweep", exports::sweep)
        .every("41 * * * *", "sweep")
        .every("*/10 * * * *", erasure::BEGIN);
    ORG_FACTS.into_iter().fold(service, Service::emits)
}
