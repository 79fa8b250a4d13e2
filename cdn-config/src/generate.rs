//! The same network for caches that others make, to stand in front of ours.
//!
//! What keeps somebody out is never dropped on the way: where the other cache has no means for it, there is an error,
//! and what only a token opens is passed through to who can read tokens, uncached. What is dropped otherwise is told.

mod cloudflare;
mod cloudfront;
mod kubernetes;
mod nginx;
mod varnish;

use crate::names::Name;
use crate::network::{Network, Route};

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// A file to be included within `http { }`.
    Nginx,
    /// VCL 4.1.
    Varnish,
    /// A CloudFormation template.
    Cloudfront,
    /// Rulesets by phase, as its API takes them.
    Cloudflare,
    /// Helm values of one region.
    Kubernetes,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The file.
    pub text: String,
    /// What of the network is not in it.
    pub left_out: Vec<String>,
}

/// Why there is no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// It keeps somebody out, and the other cache cannot.
    #[error(
        "route {route}: {what} cannot be said there; without it the route would be open, so there is no file"
    )]
    Open {
        /// [`Route::title`].
        route: String,
        /// What is missing there.
        what: &'static str,
    },
    /// A region has to be named, and this is none.
    #[error("name one region with --region: {0}")]
    Region(String),
}

/// Writes a network down for another cache; `region` matters where nodes are described.
///
/// # Errors
/// [`GenerateError`].
pub fn generate(
    network: &Network,
    target: Target,
    region: Option<&Name>,
) -> Result<Generated, GenerateError> {
    match target {
        Target::Nginx => nginx::generate(network),
        Target::Varnish => varnish::generate(network),
        Target::Cloudfront => cloudfront::generate(network),
        Target::Cloudflare => cloudflare::generate(network),
        Target::Kubernetes => kubernetes::generate(network, region),
    }
}

/// Countries cannot be told apart there.
fn no_countries(network: &Network, route: &Route) -> Result<(), GenerateError> {
    let access = network.access_of(route);
    if access.is_some_and(|a| !a.countries_allow.is_empty() || !a.countries_deny.is_empty()) {
        return Err(GenerateError::Open { route: route.title(), what: "a rule about countries" });
    }
    Ok(())
}

/// A name that may stand where hyphens may not.
fn word(name: &Name) -> String {
    name.as_str().replace('-', "_")
}

/// What is said of a token at its limits: only our own edges count viewers of a token.
fn tell_streams(network: &Network, route: &Route, left_out: &mut Vec<String>) {
    if network.token_of(route).is_some_and(|token| token.streams_max.is_some()) {
        left_out.push(format!("route {}: viewers per token are counted behind this cache", route.title()));
    }
}
