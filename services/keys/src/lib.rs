//! Services of keys: who holds them so that nobody else has to.
//!
//! Not here yet: keys that come from elsewhere, backups, rotation by the clock.

mod crypto;
mod key_service;
mod pv_keys;

use http::StatusCode;
use nx_chassis::{Problem, Service};
use nx_contract::hardware::Config;

use crate::crypto::Fault;

/// Those that are built.
///
/// # Errors
/// When there is no thread for the hardware.
pub fn services(config: &Config) -> std::io::Result<Vec<Service>> {
    Ok(vec![key_service::service(), pv_keys::service(config)?])
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Foreign | Fault::Wrong(_) => Self::bad_request(fault.to_string()),
            Fault::NotBuilt(_) => Self::new(StatusCode::BAD_REQUEST, "not-built", fault.to_string()),
            Fault::Away(why) => Self::unavailable("hardware", why, 5),
            Fault::Failed(_) => Self::internal(fault),
        }
    }
}

#[cfg(test)]
mod tests;
