//! The ring: which services are built, and their start. A further domain adds its line here.

use std::path::Path;
use std::sync::Arc;

use nx_chassis::{Config, Service};

pub use nx_chassis::{Ring, Run};

/// Every service that is built, by domain.
fn services() -> Vec<Service> {
    [nx_platform::services()].concat()
}

/// Starts those that are to run, with their stores below `data`.
///
/// # Errors
/// In words, with what to do.
pub async fn start(config: &Config, data: &Path, run: Run<'_>) -> Result<Arc<Ring>, String> {
    let all = services();
    if let Run::Apart(names) = run {
        let unknown = names.iter().find(|name| !all.iter().any(|service| service.id() == *name));
        let built = || all.iter().map(Service::id).collect::<Vec<_>>().join(", ");
        match unknown {
            Some(name) => return Err(format!("no service '{name}' is built; there are: {}", built())),
            None if config.bus.is_none() => {
                return Err(
                    "services that run apart tell each other facts over RabbitMQ: set gateway.ring.bus"
                        .into(),
                );
            }
            None => {}
        }
    }
    Ring::start(config, data, all, run).await.map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_what_the_catalogue_says() {
        // Those two are the core and its gateway, which stand on no chassis.
        let listed = nx_catalog::catalog().services.iter().filter(|s| s.built).map(|s| s.id.as_str());
        let mut listed: Vec<_> = listed.filter(|id| !["streamcore", "backend-api"].contains(id)).collect();
        let services = services();
        let mut built: Vec<_> = services.iter().map(Service::id).collect();
        listed.sort_unstable();
        built.sort_unstable();
        assert_eq!(listed, built);
    }
}
