//! Services of content: channels, who may publish them and who may watch.
//!
//! Not here yet: assets and their life, broadcasts that are planned, clips, a rollup of viewers.

mod streaming_service;

use nx_chassis::Service;

/// Those that are built.
#[must_use]
pub fn services() -> Vec<Service> {
    vec![streaming_service::service()]
}

/// It is done, and there is nothing to say of it.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Done {}

#[cfg(test)]
mod tests;
