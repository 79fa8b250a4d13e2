//! Services of the platform.

use nx_chassis::Service;
use nx_webhooks::Sender;

mod glitch;
mod scheduler;

/// Those that are built; `sender` carries what they tell outside.
#[must_use]
pub fn services(sender: &Sender) -> Vec<Service> {
    vec![glitch::service(sender), scheduler::service()]
}
