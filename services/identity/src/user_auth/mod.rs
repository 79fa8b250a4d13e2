//! user-auth: who there is, and what they may do; directories of others keep it in step with theirs by SCIM.
//!
//! Never: two people whose names look the same; a role that somebody gives themselves; nobody left who may do everything.

mod api;
mod rules;
mod scim;
mod store;

use nx_chassis::Service;

use crate::{PASSWORD_GIVEN, USER_CHANGED, USER_CREATED, USER_ERASED};

pub(crate) use api::{NewUser, User};
pub(crate) use rules::{handle, roles};

pub(crate) fn service() -> Service {
    Service::new("user-auth")
        .migration(include_str!("0001_init.sql"))
        .migration(include_str!("0002_scim.sql"))
        .migration(include_str!("0003_given.sql"))
        .api(api::routes())
        .emits(USER_CREATED)
        .emits(USER_CHANGED)
        .emits(USER_ERASED)
        .emits(PASSWORD_GIVEN)
}
