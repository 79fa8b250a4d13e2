//! Settings of an edge.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::cache::{self, CacheConfig, UpstreamConfig};
use crate::network::NetworkConfig;

/// Section `edge`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// HTTP listener for viewers.
    pub http: HttpConfig,
    /// The same over TLS.
    pub https: HttpsConfig,
    /// What is kept of what upstreams have.
    pub cache: CacheConfig,
    /// Where what is in no live window comes from.
    pub upstream: Vec<UpstreamConfig>,
    /// The description of the network that this edge is part of.
    pub network: NetworkConfig,
    /// Where an edge that runs alone fetches streams from, and where others may fetch them from it.
    pub plane: nx_live_plane::Config,
    /// The same streams for browsers that fetch them by WebTransport.
    pub moq: nx_live_plane::BrowserConfig,
}

/// Section `edge.http`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Open connections of each listener; further ones wait until one closes.
    pub connections_max: usize,
    /// Requests that may wait for a part or a playlist at a time; further ones get 503.
    pub held_max: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8888)), connections_max: 10_000, held_max: 50_000 }
    }
}

/// Section `edge.https`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpsConfig {
    /// Whether to listen at all.
    pub enabled: bool,
    /// Address and port, for TCP and UDP; port 0 picks one that is free for both.
    pub listen: SocketAddr,
    /// HTTP/3 on the UDP port, and `Alt-Svc` to tell browsers of it.
    pub http3: bool,
}

impl Default for HttpsConfig {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 8443)), http3: true }
    }
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let positive = |key, ok: bool| (!ok).then(|| (String::from(key), "must be at least 1".to_owned()));
        let http = &self.http;
        [
            positive("http.connections_max", http.connections_max > 0),
            positive("http.held_max", http.held_max > 0),
            positive("moq.sessions_max", self.moq.sessions_max > 0),
        ]
        .into_iter()
        .flatten()
        .chain(cache::validate(&self.cache, &self.upstream))
        .chain(self.network.validate(self))
        .chain(self.plane.validate().into_iter().map(|(key, text)| (format!("plane.{key}"), text)))
        .collect()
    }

    /// Whether an edge by itself would have nothing to serve.
    #[must_use]
    pub fn knows_nobody(&self) -> bool {
        self.plane.origins.is_empty() && self.network.file.is_none() && self.upstream.is_empty()
    }

    /// Where what is in no window comes from: what is said, else the nodes that live streams come from.
    pub(crate) fn upstreams(&self) -> Vec<UpstreamConfig> {
        let nodes = &self.plane.origins;
        match self.upstream.as_slice() {
            [] if !nodes.is_empty() && self.network.file.is_none() => vec![UpstreamConfig::of_nodes(nodes)],
            said => said.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_from_the_nodes_of_the_plane_unless_it_is_said() {
        let mut config = Config::default();
        assert!(config.upstreams().is_empty(), "nobody is known");
        config.plane.origins = vec!["origin.example:8886".into()];
        assert_eq!(config.upstreams()[0].origins, ["http://origin.example:8887"]);
        config.network.file = Some("network.toml".into());
        assert!(config.upstreams().is_empty(), "the network says it");
        config.network.file = None;
        config.upstream = vec![UpstreamConfig { name: "other".into(), ..Default::default() }];
        assert_eq!(config.upstreams()[0].name, "other");
    }

    #[test]
    fn a_network_says_everything_or_nothing() {
        let fault = |change: fn(&mut Config)| {
            let mut config = Config::default();
            (config.network.file, config.network.node) = (Some("n.toml".into()), Some("e1".into()));
            change(&mut config);
            config.validate().into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(fault(|_| {}), Vec::<String>::new());
        assert_eq!(fault(|c| c.network.node = None), ["network.node"]);
        assert_eq!(fault(|c| c.network.file = None), ["network.file"]);
        assert_eq!(fault(|c| c.plane.origins = vec!["a:1".into()])[..1], ["plane.origins"]);
        let upstream = UpstreamConfig { origins: vec!["http://a".into()], ..Default::default() };
        let mut config = Config { upstream: vec![upstream], ..Config::default() };
        (config.network.file, config.network.node) = (Some("n.toml".into()), Some("e1".into()));
        assert_eq!(config.validate().first().map(|(key, _)| key.as_str()), Some("upstream"));
    }
}
