//! pv-keys: private keys that never leave where they are, authorities that sign certificates with them, and ceremonies for what no
//! one may decide alone.
//!
//! ```text
//! key ─► signs ─► requests, certificates of an authority, lists of those that were taken back
//!    └─► wraps ─► the root of key-service, which asks for it at start
//! root key ─► custodians: m of n of them approve its end, or that others follow them
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `keys.rs`, `uses.rs` | keys: made, read, destroyed; what is done with them |
//! | `ceremonies.rs`, `quorum.rs` | what takes several, and the rules of that |
//! | `authorities.rs`, `x509.rs` | certificates: routes, and how they are written |
//! | `private.rs`, `hsm.rs`, `slot.rs` | where a private half is: in the store, sealed, or in hardware behind PKCS #11 |
//! | `store.rs`, `audit.rs`, `person.rs` | SQL; what there is of a person |
//!
//! Never: a private half that is told to anybody; a root that one person destroys; a use that is not written down.

mod audit;
mod authorities;
mod ceremonies;
mod hsm;
mod keys;
mod person;
mod private;
mod quorum;
mod slot;
mod store;
mod uses;
mod x509;

use axum::extract::FromRequestParts;
use http::request::Parts;
use nx_chassis::{Api, Caller, Ctx, Describe, Operation, Problem, Service};
use nx_contract::hardware::Config;
use nx_contract::identity::{CREDENTIAL_CHANGED, FACTOR_REMOVED, OPERATOR, USER_ERASED, USER_FORGOTTEN};
use schemars::SchemaGenerator;

/// A key is there. Subject of this and the next: its name.
const KEY_CREATED: &str = "cos.keys.private.created.v1";
/// It is gone for good.
const KEY_DESTROYED: &str = "cos.keys.private.destroyed.v1";
/// Other people watch over it.
const KEY_ENTRUSTED: &str = "cos.keys.private.entrusted.v1";
/// Something is to be decided by several, or was, or will not be. Subject: the ceremony's id.
const CEREMONY_OPENED: &str = "cos.keys.ceremony.opened.v1";
const CEREMONY_DONE: &str = "cos.keys.ceremony.done.v1";
const CEREMONY_WITHDRAWN: &str = "cos.keys.ceremony.withdrawn.v1";
/// An authority has signed a certificate, or taken one back. Subject: its serial number.
const CERTIFICATE_ISSUED: &str = "cos.keys.certificate.issued.v1";
const CERTIFICATE_REVOKED: &str = "cos.keys.certificate.revoked.v1";

/// The job that deletes a destroyed key from the hardware.
const ERASE: &str = "erase";
/// The one that forgets old lines of the audit.
const SWEEP: &str = "sweep";

pub(crate) fn service(config: &Config) -> std::io::Result<Service> {
    if let Some(pkcs11) = &config.pkcs11 {
        private::use_hardware(hsm::Hsm::new(pkcs11.clone())?);
    }
    let facts = [
        KEY_CREATED,
        KEY_DESTROYED,
        KEY_ENTRUSTED,
        CEREMONY_OPENED,
        CEREMONY_DONE,
        CEREMONY_WITHDRAWN,
        CERTIFICATE_ISSUED,
        CERTIFICATE_REVOKED,
        USER_FORGOTTEN,
    ];
    let api = audit::routes(authorities::routes(ceremonies::routes(uses::routes(keys::routes(
        person::routes(Api::new()),
    )))));
    let service = Service::new("pv-keys")
        .migration(include_str!("0001_init.sql"))
        .api(api)
        .on(USER_ERASED, person::erased)
        .on(CREDENTIAL_CHANGED, ceremonies::changed)
        .on(FACTOR_REMOVED, ceremonies::changed)
        .job(ERASE, keys::erase)
        .job(SWEEP, audit::sweep)
        .every("23 3 * * *", SWEEP);
    Ok(facts.into_iter().fold(service, Service::emits))
}

/// Who asks, and may do everything. Every route takes it, so that nobody else gets past it.
struct Operator(Caller);

impl FromRequestParts<Ctx> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, cx: &Ctx) -> Result<Self, Problem> {
        let by = Caller::from_request_parts(parts, cx).await?;
        by.must_be(OPERATOR)?;
        Ok(Self(by))
    }
}

impl Describe for Operator {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        Caller::describe(operation, schemas);
    }
}

#[cfg(test)]
mod tests;
