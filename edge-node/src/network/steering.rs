//! Steering manifests: every edge answers for all, from the network and what is known of its edges.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use http::{HeaderValue, header};
use nx_cdn_config::{Asked, Name, Network};
use nx_delivery::{Request, Response, STEERING};

use super::Control;
use crate::cache::json;

impl Control {
    /// What a player is told to take, if a request is about that and the network steers.
    pub(crate) fn steering(&self, request: &Request, peer: SocketAddr) -> Option<Response> {
        if request.uri().path() != STEERING {
            return None;
        }
        let held = self.held();
        let query = request.uri().query().unwrap_or_default();
        let base = base(&held.network, query).unwrap_or_else(|| self.node.clone());
        let address = peer.ip().to_canonical();
        let countries = self.countries();
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes).hash(&mut hasher);
        let pathway = pathway(query);
        let own = held.network.edges.iter().find(|edge| edge.name == self.node);
        let asked = Asked {
            pathway: pathway.as_deref(),
            country: countries.of(address),
            region: own.map(|edge| &edge.region),
            with_port: value(query, "_HLS_pathway").is_none(),
            seed: hasher.finish(),
        };
        let manifest = held.network.steer(&base, &asked, STEERING, |edge| self.load(edge))?;
        let mut response = json(&serde_json::to_value(&manifest).unwrap_or_default());
        nx_delivery::cors(response.headers_mut());
        Some(response)
    }
}

/// The edge that a player came to, if it came to another than it asks now.
fn base(network: &Network, query: &str) -> Option<Name> {
    let name = value(query, "base")?;
    network.edges.iter().map(|edge| &edge.name).find(|edge| edge.as_str() == name).cloned()
}

/// Where a player says that it is. DASH writes a list in quotes, the one in use in front.
fn pathway(query: &str) -> Option<String> {
    let told = value(query, "_HLS_pathway").or_else(|| value(query, "_DASH_pathway"))?;
    let told = told.replace("%22", "\"").replace("%2C", ",").replace("%2c", ",");
    told.trim_matches('"').split(',').next().map(str::to_owned)
}

fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::pathway;

    #[test]
    fn players_say_where_they_are_in_the_ways_of_hls_and_dash() {
        for (query, want) in [
            ("_HLS_pathway=.&_HLS_throughput=1", Some(".")),
            ("base=eu-1&_HLS_pathway=eu-2", Some("eu-2")),
            ("_DASH_pathway=%22eu-2,.%22&_DASH_throughput=5,1", Some("eu-2")),
            ("_DASH_pathway=\"eu-2%2C.\"", Some("eu-2")),
            ("_DASH_throughput=5", None),
            ("", None),
        ] {
            assert_eq!(pathway(query).as_deref(), want, "{query}");
        }
    }
}
