//! The ring: which services are built, and their start. A further domain adds its line here.

use std::path::Path;
use std::sync::Arc;

use nx_chassis::{Config, Service};
use nx_webhooks::Sender;

pub use nx_chassis::Ring;
pub use nx_reporter::{layer as reports, report_to};

/// Every service that is built, by domain.
fn services(sender: &Sender) -> Vec<Service> {
    [nx_platform::services(sender)].concat()
}

/// Starts them, with their stores below `data`. Errors of the process are reported to them, unless they go elsewhere.
///
/// # Errors
/// In words, with what to do.
pub async fn start(config: &Config, notify: &nx_webhooks::Config, data: &Path) -> Result<Arc<Ring>, String> {
    let sender = Sender::new(notify, data)?;
    let ring = Ring::start(config, data, services(&sender)).await.map(Arc::new)?;
    nx_reporter::report_in(&ring);
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_what_the_catalogue_says() {
        // Those two are the core and its gateway, which stand on no chassis.
        let listed = nx_catalog::catalog().services.iter().filter(|s| s.built).map(|s| s.id.as_str());
        let mut listed: Vec<_> = listed.filter(|id| !["streamcore", "backend-api"].contains(id)).collect();
        let sender =
            Sender::new(&nx_webhooks::Config::default(), Path::new("")).expect("the defaults are good");
        let services = services(&sender);
        let mut built: Vec<_> = services.iter().map(Service::id).collect();
        listed.sort_unstable();
        built.sort_unstable();
        assert_eq!(listed, built);
    }
}
