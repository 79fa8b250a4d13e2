//! The network as it is written down.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::names::{Country, Host, Name, PathPattern, Site};

/// Everything; each list is an array of tables in TOML (`[[region]]`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Where edges stand, in the order in which they help each other out.
    #[serde(rename = "region", skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// Where streams come from.
    #[serde(rename = "origin", skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
    /// Where viewers come.
    #[serde(rename = "edge", skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    /// What is served, from where, to whom.
    #[serde(rename = "route", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// How long answers are kept.
    #[serde(rename = "cache", skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<Cache>,
    /// Who may watch.
    #[serde(rename = "token", skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenPolicy>,
    /// From where.
    #[serde(rename = "access", skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<Access>,
    /// How much.
    #[serde(rename = "limit", skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// Of every edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Tells players which edge to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steering: Option<Steering>,
}

/// A place with edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// No two have the same.
    pub name: Name,
    /// Countries whose viewers belong here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<Country>,
    /// Regions that take over when all edges here are gone, in order; then the others as listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Name>,
}

/// A source of streams and files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// No two have the same.
    pub name: Name,
    /// Where it is asked over HTTP.
    pub http: Site,
    /// `HOST:PORT` of its live plane; without one it is asked over HTTP only, as foreign origins are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plane: Option<String>,
}

/// A node that viewers reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// No two have the same.
    pub name: Name,
    /// A [`Region::name`].
    pub region: Name,
    /// Where viewers reach it.
    pub url: Site,
    /// Where the other edges reach it; without one, where viewers do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Site>,
    /// Viewers that it carries, at most.
    #[serde(default = "viewers_max")]
    pub viewers_max: u32,
}

fn viewers_max() -> u32 {
    10_000
}

/// What is asked for at a path, perhaps of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which paths.
    pub path: PathPattern,
    /// Only under this name; without one, under any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// [`Origin::name`]s, the first that is well is asked.
    pub origins: Vec<Name>,
    /// A [`Cache::name`]; without one, as long as the origin says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Name>,
    /// A [`TokenPolicy::name`]; without one, everybody may watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Name>,
    /// An [`Access::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Name>,
    /// A [`Limit::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Name>,
}

impl Edge {
    /// Where the other edges reach it.
    #[must_use]
    pub fn control(&self) -> &Site {
        self.control.as_ref().unwrap_or(&self.url)
    }
}

impl Route {
    /// What tells it from others.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}{}", self.host.as_ref().map_or("", Host::as_str), self.path)
    }
}

/// Lifetimes, in seconds; what is not said is what the origin says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// No two have the same.
    pub name: Name,
    /// Of playlists and manifests. More than a second delays live streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlists_s: Option<u32>,
    /// Of everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_s: Option<u32>,
    /// Of 404 and 410.
    #[serde(default = "negative_s")]
    pub negative_s: u32,
    /// A stale answer is given for so long while a new one is fetched.
    #[serde(default)]
    pub stale_while_revalidate_s: u32,
    /// A stale answer is given for so long when no origin answers.
    #[serde(default = "stale_if_error_s")]
    pub stale_if_error_s: u32,
    /// Query parameters that make another object, beside the delivery directives of HLS; all others are ignored.
    #[serde(default = "query")]
    pub query: Vec<String>,
    /// Larger objects are passed through, not kept; bytes.
    #[serde(default = "object_bytes_max")]
    pub object_bytes_max: u64,
}

fn negative_s() -> u32 {
    1
}

fn stale_if_error_s() -> u32 {
    86_400
}

fn query() -> Vec<String> {
    ["start", "end", "delay"].map(String::from).into()
}

fn object_bytes_max() -> u64 {
    256 << 20
}

impl Cache {
    /// The delivery directives of HLS (rfc8216bis §6.2.5), which are told apart whatever a rule says.
    pub const DIRECTIVES: [&'static str; 3] = ["_HLS_msn", "_HLS_part", "_HLS_skip"];

    /// What a route without a rule has: what the origin says.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            name: Name::usual(),
            playlists_s: None,
            media_s: None,
            negative_s: negative_s(),
            stale_while_revalidate_s: 0,
            stale_if_error_s: stale_if_error_s(),
            query: query(),
            object_bytes_max: object_bytes_max(),
        }
    }

    /// Every query parameter that makes another object.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        Self::DIRECTIVES.into_iter().chain(self.query.iter().map(String::as_str))
    }
}

/// Common Access Tokens (CTA-5007): whose are believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPolicy {
    /// No two have the same.
    pub name: Name,
    /// Where the keys are (JSON Web Key Set), or a file on each edge.
    pub keys: String,
    /// Who must have issued them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Devices at a time per token, over a region; 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_max: Option<u32>,
}

/// From where one may come. What is denied stays denied; once something is allowed, all else is denied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// No two have the same.
    pub name: Name,
    /// Networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// Networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<IpNet>,
    /// By the table of countries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries_allow: Vec<Country>,
    /// By the table of countries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries_deny: Vec<Country>,
}

/// Per edge, and there for each viewer's address or all viewers of a stream together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// No two have the same.
    pub name: Name,
    /// Requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_s: Option<u32>,
    /// Bits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bps: Option<u64>,
    /// Connections at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Requests a second for one stream, whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_requests_per_s: Option<u32>,
    /// Bits a second of one stream, whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_bandwidth_bps: Option<u64>,
}

impl Limit {
    /// Whether all viewers of a stream share something.
    #[must_use]
    pub fn is_of_streams(&self) -> bool {
        self.stream_requests_per_s.is_some() || self.stream_bandwidth_bps.is_some()
    }
}

/// Certificates of the edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Names that every edge has a certificate for.
    pub hosts: Vec<Host>,
    /// Oldest version spoken: `1.2` or `1.3`.
    #[serde(default = "tls_min")]
    pub min: String,
}

fn tls_min() -> String {
    "1.2".into()
}

/// Content steering for HLS and DASH.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steering {
    /// Players ask again after so long; seconds.
    #[serde(default = "ttl_s")]
    pub ttl_s: u32,
    /// An edge above this share of [`Edge::viewers_max`] gets nobody new while another of its region is below; percent.
    #[serde(default = "full_percent")]
    pub full_percent: u8,
}

fn ttl_s() -> u32 {
    60
}

fn full_percent() -> u8 {
    85
}
