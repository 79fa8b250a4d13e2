//! Settings of the stored plane: sections `edge.cache` and `edge.upstream`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use reqwest::Url;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// Shortest secret, characters.
const KEY_LEN_MIN: usize = 16;
/// Where origins listen for HTTP unless they are told otherwise.
const ORIGIN_PORT: u16 = 8887;
/// Longest name of an upstream, characters.
const NAME_LEN_MAX: usize = 32;
/// Most upstreams, and most origins of one.
const MANY: usize = 256;

/// Section `edge.cache`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Memory for what is kept; as much again may be in use for what is being fetched.
    pub ram_bytes_max: u64,
    /// Folder of what outlives a restart; without one there is no disk tier.
    pub disk: Option<PathBuf>,
    /// What may lie there.
    pub disk_bytes_max: u64,
    /// Largest object that is kept; a larger one is passed on while it comes.
    pub object_bytes_max: u64,
    /// Fetches from origins at a time, and as many again for one viewer each; further ones get 503.
    pub fetches_max: usize,
    /// How long something stale may stand in for origins that fail, where they do not say; seconds.
    pub stale_if_error_s: u64,
    /// How long an error such as 404 is kept at most, seconds.
    pub error_s_max: u64,
    /// Who bears it may purge; without one nobody may.
    pub purge_key: Option<Secret>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ram_bytes_max: 256 << 20,
            disk: None,
            disk_bytes_max: 10 << 30,
            object_bytes_max: 16 << 20,
            fetches_max: 512,
            stale_if_error_s: 86_400,
            error_s_max: 10,
            purge_key: None,
        }
    }
}

/// One of `edge.upstream`: where what is asked for under a path comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// In metrics and in the names of what is kept.
    pub name: String,
    /// What paths begin with.
    pub path: String,
    /// Names under which viewers come; none for all.
    pub hosts: Vec<String>,
    /// Where it is fetched, the first that answers: `http://HOST:PORT`, perhaps with a path in front.
    pub origins: Vec<String>,
    /// Parameters of the query that count; all but CMCD when this is not given.
    pub query: Option<Vec<String>>,
    /// How long an origin may take for a head, and be silent in a body; milliseconds.
    pub timeout_ms: u64,
    /// Path that tells whether an origin works; asked every two seconds.
    pub health: Option<String>,
    /// Share the objects out among the origins (rendezvous hashing), for origins that are caches themselves.
    pub spread: bool,
    /// They are nodes of ours, which are shown `playback.node_token_file`.
    pub ours: bool,
    /// What is fetched before it is asked for.
    pub prefetch: Prefetch,
}

/// What is fetched before it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefetch {
    /// Nothing.
    Off,
    /// What players announce (CMCD `nor`).
    Cmcd,
    /// That, and else the file with the next number.
    Number,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            name: "origin".into(),
            path: "/".into(),
            hosts: Vec::new(),
            origins: Vec::new(),
            query: None,
            timeout_ms: 10_000,
            health: None,
            spread: false,
            ours: false,
            prefetch: Prefetch::Cmcd,
        }
    }
}

impl UpstreamConfig {
    /// The stored plane of our own nodes, `HOST:PORT`: their HTTP listeners at the usual port.
    #[must_use]
    pub fn of_nodes(nodes: &[String]) -> Self {
        let host = |node: &String| node.rsplit_once(':').map_or(node.as_str(), |(host, _)| host).to_owned();
        let origins = nodes.iter().map(|node| format!("http://{}:{ORIGIN_PORT}", host(node))).collect();
        Self { origins, ours: true, ..Self::default() }
    }
}

/// A secret: never printed, compared in constant time.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Whether it can be guessed.
    pub(crate) fn is_short(&self) -> bool {
        self.0.len() < KEY_LEN_MIN
    }

    /// For a request to another node.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// serde's own words about a wrong type would show what was given.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self).map_err(|_| D::Error::custom("must be text in quotes"))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// What is wrong with both sections, as key within `edge` and a sentence that says what to do.
pub(crate) fn validate(cache: &CacheConfig, upstreams: &[UpstreamConfig]) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut check = |bad: bool, key: &str, text: &str| {
        if bad {
            faults.push((key.to_owned(), text.to_owned()));
        }
    };
    check(cache.object_bytes_max == 0, "cache.object_bytes_max", "must be at least 1");
    check(
        cache.ram_bytes_max < cache.object_bytes_max.saturating_mul(2),
        "cache.ram_bytes_max",
        "must be at least twice cache.object_bytes_max",
    );
    check(
        cache.disk.is_some() && cache.disk_bytes_max < cache.object_bytes_max.saturating_mul(2),
        "cache.disk_bytes_max",
        "must be at least twice cache.object_bytes_max",
    );
    check(cache.fetches_max == 0, "cache.fetches_max", "must be at least 1");
    let short = cache.purge_key.as_ref().is_some_and(Secret::is_short);
    check(short, "cache.purge_key", "is short: take at least 16 random characters");
    check(upstreams.len() > MANY, "upstream", "are too many: at most 256");
    let mut names = BTreeSet::new();
    for upstream in upstreams {
        let mut check = |bad: bool, text: String| {
            if bad {
                faults.push(("upstream".to_owned(), format!("{:?}: {text}", upstream.name)));
            }
        };
        check(!names.insert(&upstream.name), "two have this name; give each its own".into());
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let named = (1..=NAME_LEN_MAX).contains(&upstream.name.len()) && upstream.name.chars().all(plain);
        check(!named, "a name has 1 to 32 letters, digits, - and _".into());
        check(!nx_cache::is_plain(&upstream.path), "path must begin with / and hold no . or ..".into());
        let host = |h: &String| h.is_empty() || h.contains(['/', ':']) || h.chars().any(char::is_whitespace);
        check(upstream.hosts.iter().any(host), "hosts are names without scheme and port".into());
        check(
            upstream.origins.is_empty() || upstream.origins.len() > MANY,
            "origins must name at least one, such as \"http://10.0.0.1:8887\"".into(),
        );
        check(!(100..=120_000).contains(&upstream.timeout_ms), "timeout_ms must be 100 to 120000".into());
        check(upstream.health.as_ref().is_some_and(|h| !h.starts_with('/')), "health is a path: /…".into());
        for origin in upstream.origins.iter().filter(|origin| !is_origin(origin)) {
            check(true, format!("{origin:?} is no origin: write http://HOST:PORT or https://HOST"));
        }
    }
    faults
}

/// Nothing but scheme, host, port and perhaps a path.
fn is_origin(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    ["http", "https"].contains(&url.scheme())
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_nodes_are_an_upstream_for_everything() {
        let nodes = ["10.0.0.1:4443", "[::1]:4443", "origin.example:4443"].map(str::to_owned);
        let upstream = UpstreamConfig::of_nodes(&nodes);
        let want = ["http://10.0.0.1:8887", "http://[::1]:8887", "http://origin.example:8887"];
        assert_eq!(
            (upstream.path.as_str(), upstream.origins.as_slice()),
            ("/", &want.map(str::to_owned)[..])
        );
        assert_eq!(validate(&CacheConfig::default(), &[upstream]), []);
    }

    #[test]
    fn every_mistake_is_named_and_the_key_never_shown() {
        let good = UpstreamConfig { origins: vec!["http://127.0.0.1:8887".into()], ..Default::default() };
        assert_eq!(validate(&CacheConfig::default(), std::slice::from_ref(&good)), []);
        type Change = fn(&mut CacheConfig, &mut UpstreamConfig);
        let cases: [(Change, &str); 11] = [
            (|c, _| c.object_bytes_max = 0, "at least 1"),
            (|c, _| c.ram_bytes_max = 1, "twice"),
            (|c, _| (c.disk, c.disk_bytes_max) = (Some("x".into()), 1), "twice"),
            (|c, _| c.fetches_max = 0, "at least 1"),
            (|c, _| c.purge_key = Some(Secret("secret".into())), "short"),
            (|_, u| u.name = "a b".into(), "letters"),
            (|_, u| u.path = "/a/../b".into(), "path"),
            (|_, u| u.hosts = vec!["http://x".into()], "hosts"),
            (|_, u| u.origins.clear(), "at least one"),
            (|_, u| u.origins = vec!["http://user:pass@x/".into()], "no origin"),
            (|_, u| u.timeout_ms = 0, "timeout_ms"),
        ];
        for (change, want) in cases {
            let (mut cache, mut upstream) = (CacheConfig::default(), good.clone());
            change(&mut cache, &mut upstream);
            let faults = validate(&cache, &[upstream]);
            assert!(faults.len() == 1 && faults[0].1.contains(want), "{want}: {faults:?}");
            assert!(!format!("{cache:?}{faults:?}").contains("secret"));
        }
        let number = serde_json::from_str::<Secret>("1234567890123456").err().map(|e| e.to_string());
        assert!(number.is_some_and(|e| e.contains("quotes") && !e.contains("1234")));
        assert_eq!(validate(&CacheConfig::default(), &[good.clone(), good]).len(), 1, "one name twice");
    }
}
