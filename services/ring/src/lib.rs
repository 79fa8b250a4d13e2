//! The ring: which services are built, and their start. A further domain adds its line here.

use std::path::Path;
use std::sync::Arc;

use nx_chassis::{Config, Service};
use nx_contract::hardware::Config as KeysConfig;
use nx_contract::identity::Config as IdentityConfig;
use nx_webhooks::Sender;

pub use nx_chassis::{Ring, Run, Threads};
pub use nx_identity::first_invite;
pub use nx_reporter::{layer as reports, report_to};

/// Every service that is built, by domain.
fn services(sender: &Sender, identity: &IdentityConfig, keys: &KeysConfig) -> Result<Vec<Service>, String> {
    let keys = nx_keys::services(keys)
        .map_err(|error| format!("there is no thread for hardware of keys: {error}"))?;
    Ok([nx_platform::services(sender), nx_identity::services(identity, sender), nx_content::services(), keys]
        .concat())
}

/// Starts those that are to run, with their stores below `data`. Errors of the process are reported to them, unless they go
/// elsewhere.
///
/// # Errors
/// In words, with what to do.
pub async fn start(
    config: &Config,
    notify: &nx_webhooks::Config,
    identity: &IdentityConfig,
    keys: &KeysConfig,
    data: &Path,
    run: Run<'_>,
) -> Result<Arc<Ring>, String> {
    let all = services(&Sender::new(notify, data)?, identity, keys)?;
    if let Run::Apart(names) = run {
        let unknown = names.iter().find(|name| !all.iter().any(|service| service.id() == *name));
        let built = || all.iter().map(Service::id).collect::<Vec<_>>().join(", ");
        match unknown {
            Some(name) => return Err(format!("no service '{name}' is built; there are: {}", built())),
            None if config.bus.is_none() && !names.is_empty() => {
                return Err(
                    "services that run apart tell each other facts over RabbitMQ: set gateway.ring.bus"
                        .into(),
                );
            }
            None => {}
        }
    }
    let ring = Ring::start(config, data, all, run).await.map(Arc::new)?;
    nx_reporter::report_in(&ring);
    Ok(ring)
}

#[cfg(test)]
mod tests;
