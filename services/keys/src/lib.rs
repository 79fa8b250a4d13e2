//! Services of keys: who holds them so that nobody else has to.
//!
//! Not here yet: keys in hardware (pv-keys), keys that come from elsewhere, backups, rotation by the clock.

mod crypto;
mod key_service;

use nx_chassis::Service;

/// Those that are built.
#[must_use]
pub fn services() -> Vec<Service> {
    vec![key_service::service()]
}

#[cfg(test)]
mod tests;
