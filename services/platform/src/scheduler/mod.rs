//! The scheduler.
use nx_chassis::Service;
/// It.
pub(crate) fn service() -> Service {
    Service::new("scheduler")
}
