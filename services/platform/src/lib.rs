//! Services of the platform.

use nx_chassis::Service;

mod scheduler;

/// Those that are built.
#[must_use]
pub fn services() -> Vec<Service> {
    vec![scheduler::service()]
}
