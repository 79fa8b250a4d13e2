//! Content steering: which edge a player takes next.
//!
//! A pathway is an edge. Playlists name [`BASE`], which is whichever edge a player came to; the others are clones of it
//! at other hosts. So playlists are the same on every edge, and what is cached says nothing about a viewer. HLS asks
//! with `_HLS_pathway`, DASH with `_DASH_pathway`; the answer is the same.

use serde::{Deserialize, Serialize};

use crate::names::{Country, Name};
use crate::network::{Edge, Network, Region};

/// The pathway that playlists name: the edge that they came from.
pub const BASE: &str = ".";

/// What is known of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// It answers.
    pub healthy: bool,
    /// It is to be emptied: nobody is sent there while there is another.
    pub draining: bool,
    /// Who watches there.
    pub viewers: u32,
}

/// What a player tells.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    /// The pathway that it is on, as it says: [`BASE`] or the name of an edge.
    pub pathway: Option<&'a str>,
    /// Of its address.
    pub country: Option<&'a Country>,
    /// The region of the node that it asked, where the country says nothing.
    pub region: Option<&'a Name>,
    /// Its player takes what replaces a host for the port too, as those of DASH do; those of HLS keep the port.
    pub with_port: bool,
    /// Anything that stays the same for a player: it spreads players over the edges of a region.
    pub seed: u64,
}

/// A steering manifest. Spec: rfc8216bis §7.2, ETSI TS 103 998 §6.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub struct Manifest {
    /// 1.
    pub version: u32,
    /// Seconds until it is to be asked for again.
    pub ttl: u32,
    /// Where.
    #[serde(rename = "RELOAD-URI")]
    pub reload_uri: String,
    /// Names of edges, the best first; [`BASE`] for the one that the player came to.
    pub pathway_priority: Vec<String>,
    /// The edges that playlists do not name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pathway_clones: Vec<PathwayClone>,
}

/// A pathway like another, at another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub struct PathwayClone {
    /// [`BASE`].
    pub base_id: String,
    /// Its own name.
    pub id: String,
    /// What differs.
    pub uri_replacement: Replacement,
}

/// What replaces the host in addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub struct Replacement {
    /// With its port for [`Asked::with_port`].
    pub host: String,
}

impl Network {
    /// What a player is told; `None` when nothing steers. `base` is the edge that it came to, `load` what is known of
    /// each edge. It shall ask again at `path` of the second best edge: when the one that it is on dies, that one goes on
    /// to steer it.
    ///
    /// In front are the edges of the viewer's region that are well and not full, spread by `seed`; the one that the
    /// player is on stays in front while it is one of these, so that nobody moves without a reason. Then those of the
    /// regions that take over, in their order; then the full ones, then those that are to be emptied; edges that do not
    /// answer come last of all: a player that finds no other tries them.
    #[must_use]
    pub fn steer(
        &self,
        base: &Name,
        asked: &Asked<'_>,
        path: &str,
        load: impl Fn(&Name) -> Load,
    ) -> Option<Manifest> {
        let steering = self.steering.as_ref()?;
        let near = self.nearness(asked);
        let full = |edge: &Edge, viewers: u32| {
            u64::from(viewers) * 100 >= u64::from(edge.viewers_max) * u64::from(steering.full_percent)
        };
        let place = |edge: &Edge| {
            let Load { healthy, draining, viewers } = load(&edge.name);
            let distance = near.iter().position(|region| *region == &edge.region).unwrap_or(usize::MAX);
            let there = asked.pathway == Some(pathway(edge, base));
            // Of those that are full, the one that a player is on costs nobody a place.
            (
                !healthy,
                draining,
                full(edge, viewers) && !there,
                distance,
                !there,
                spread(edge.name.as_str(), asked.seed),
            )
        };
        let mut edges: Vec<&Edge> = self.edges.iter().collect();
        edges.sort_by_cached_key(|edge| place(edge));
        let clones = edges.iter().filter(|edge| edge.name != *base);
        let clone = |edge: &&Edge| PathwayClone {
            base_id: BASE.to_owned(),
            id: edge.name.to_string(),
            uri_replacement: Replacement {
                host: if asked.with_port { edge.url.authority() } else { edge.url.host().to_owned() },
            },
        };
        let next = edges.get(1).or(edges.first())?;
        Some(Manifest {
            version: 1,
            ttl: steering.ttl_s,
            reload_uri: format!("{}{path}?base={base}", next.url),
            pathway_clones: clones.map(clone).collect(),
            pathway_priority: edges.iter().map(|edge| pathway(edge, base).to_owned()).collect(),
        })
    }

    /// Regions from a viewer's own outwards.
    fn nearness(&self, asked: &Asked<'_>) -> Vec<&Name> {
        let of_country = |region: &&Region| asked.country.is_some_and(|c| region.countries.contains(c));
        let asked_in = |region: &&Region| asked.region == Some(&region.name);
        let own = self.regions.iter().find(of_country).or_else(|| self.regions.iter().find(asked_in));
        let mut near: Vec<&Name> =
            own.into_iter().flat_map(|r| std::iter::once(&r.name).chain(&r.then)).collect();
        near.extend(self.regions.iter().map(|region| &region.name));
        near
    }
}

fn pathway<'a>(edge: &'a Edge, base: &Name) -> &'a str {
    if edge.name == *base { BASE } else { edge.name.as_str() }
}

/// Rendezvous: each edge draws a number for a player, and the order of the numbers is that of the edges. One edge more
/// or less moves only its own share.
fn spread(edge: &str, seed: u64) -> u64 {
    // FNV-1a, and the finisher of MurmurHash3 so that near names do not stay near.
    let hash = edge.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
