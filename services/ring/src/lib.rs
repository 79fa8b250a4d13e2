//! The ring: which services are built, and their start. A further domain adds its line here.

use std::path::Path;
use std::sync::Arc;

use nx_chassis::{Config, Service};

pub use nx_chassis::Ring;

/// Every service that is built, by domain.
fn services() -> Vec<Service> {
    [nx_platform::services()].concat()
}

/// Starts them, with their stores below `data`.
///
/// # Errors
/// In words, with what to do.
pub async fn start(config: &Config, data: &Path) -> Result<Arc<Ring>, String> {
    Ring::start(config, data, services()).await.map(Arc::new)
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
