//! auth-service: that people are who they say.
//!
//! | file | holds |
//! | --- | --- |
//! | `api.rs` | signing up, in and out, the password |
//! | `factors.rs` | the second step: codes of an app, codes on paper |
//! | `apps.rs` | sessions of apps of others, for auth-service-v2 |
//! | `passkeys.rs` | devices in place of both, and signing in with them |
//! | `mail.rs`, `mails.rs` | links by mail; what lies in the folder of mail |
//! | `given.rs` | passwords that a directory gives |
//! | `leave.rs`, `person.rs` | what there is of somebody, and that they are forgotten |
//! | `links.rs` | what works once: invitations, a new password, the first administrator |
//! | `rules.rs`, `totp.rs` | what a password must be, how long a guesser waits, codes by the clock: no I/O |
//! | `passwords.rs` | Argon2id, one at a time, behind everything else that the machine does |
//!
//! Never: an answer or a pause that tells whether somebody exists; a code, link or passkey's answer that works twice; a log-in of who is shut
//! out; more hashing at a time than the machine has room for.

mod api;
mod apps;
mod attempts;
mod factors;
mod given;
mod leave;
mod links;
mod mail;
mod mails;
mod passkeys;
mod passwords;
mod person;
mod rules;
mod store;
mod totp;

use std::sync::Arc;

use nx_chassis::{Api, Event, Problem, Service, Tx};
use nx_contract::identity::Config;
use nx_webhooks::Sender;

use crate::{
    CREDENTIAL_CHANGED, FACTOR_ADDED, FACTOR_REMOVED, PASSKEY_CLONED, PASSWORD_GIVEN, SIGNED_IN, USER_ERASED,
    USER_FORGOTTEN, forgotten,
};

pub(crate) use apps::NewAppSession;
pub(crate) use given::NewTicket;
pub(crate) use rules::password as password_rule;
#[cfg(test)]
pub(crate) use totp::code_of;

pub(crate) fn service(config: &Config, sender: &Sender) -> Service {
    let sender = sender.clone();
    let party = Arc::new(passkeys::Party::new(config));
    let api = mails::routes(api::routes(Api::new(), config.sign_up, &party), &sender);
    Service::new("auth-service")
        .migration(include_str!("0001_init.sql"))
        .migration(include_str!("0002_passkeys.sql"))
        .migration(include_str!("0003_mail.sql"))
        .migration(include_str!("0004_given.sql"))
        .api(mail::routes(
            apps::routes(links::routes(passkeys::routes(
                factors::routes(leave::routes(person::routes(given::routes(api)))),
                &party,
            ))),
            config,
        ))
        .emits(SIGNED_IN)
        .emits(CREDENTIAL_CHANGED)
        .emits(FACTOR_ADDED)
        .emits(FACTOR_REMOVED)
        .emits(PASSKEY_CLONED)
        .emits(USER_FORGOTTEN)
        .on(USER_ERASED, erased)
        .on(PASSWORD_GIVEN, given::told)
        .job(mail::JOB, move |cx, job| mail::send(cx, job, sender.clone()))
        .job("sweep", store::sweep)
        .every("11 * * * *", "sweep")
}

async fn erased(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let rows = store::erase(tx, &event.subject).await?;
    forgotten(tx, &event, rows).await
}
