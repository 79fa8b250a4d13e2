//! What cannot be seen in a value alone: names, references, ranges, what does not go together.

use std::collections::BTreeSet;

use nx_settings::{Fault, Kind};

use crate::names::Name;
use crate::network::{Edge, Network, Route};
use crate::seats::TOKEN_SEATS_MAX;

/// Entries of each list.
const ENTRIES_MAX: usize = 10_000;
/// Shortest and longest time between two questions of a player; the standards recommend 300 s and allow any.
const TTL_S: std::ops::RangeInclusive<u32> = 5..=3_600;

pub(crate) fn check(network: &Network) -> Vec<Fault> {
    let mut faults = Vec::new();
    sizes(network, &mut faults);
    let regions = names("region", network.regions.iter().map(|r| &r.name), &mut faults);
    let origins = names("origin", network.origins.iter().map(|o| &o.name), &mut faults);
    let caches = names("cache", network.caches.iter().map(|c| &c.name), &mut faults);
    let tokens = names("token", network.tokens.iter().map(|t| &t.name), &mut faults);
    let access = names("access", network.access.iter().map(|a| &a.name), &mut faults);
    let limits = names("limit", network.limits.iter().map(|l| &l.name), &mut faults);
    names("edge", network.edges.iter().map(|e| &e.name), &mut faults);
    for (nth, edge) in network.edges.iter().enumerate() {
        refer(&format!("edge[{nth}].region"), "region", Some(&edge.region), &regions, &mut faults);
    }
    for (nth, region) in network.regions.iter().enumerate() {
        for (n, then) in region.then.iter().enumerate() {
            refer(&format!("region[{nth}].then[{n}]"), "region", Some(then), &regions, &mut faults);
        }
    }
    for (nth, route) in network.routes.iter().enumerate() {
        let key = |field: &str| format!("route[{nth}].{field}");
        for (n, origin) in route.origins.iter().enumerate() {
            refer(&key(&format!("origins[{n}]")), "origin", Some(origin), &origins, &mut faults);
        }
        refer(&key("cache"), "cache", route.cache.as_ref(), &caches, &mut faults);
        refer(&key("token"), "token", route.token.as_ref(), &tokens, &mut faults);
        refer(&key("access"), "access", route.access.as_ref(), &access, &mut faults);
        refer(&key("limit"), "limit", route.limit.as_ref(), &limits, &mut faults);
    }
    routes(network, &mut faults);
    places(network, &mut faults);
    rules(network, &mut faults);
    faults
}

fn sizes(network: &Network, faults: &mut Vec<Fault>) {
    let lists = [
        ("region", network.regions.len()),
        ("origin", network.origins.len()),
        ("edge", network.edges.len()),
        ("route", network.routes.len()),
        ("cache", network.caches.len()),
        ("token", network.tokens.len()),
        ("access", network.access.len()),
        ("limit", network.limits.len()),
    ];
    for (key, len) in lists.into_iter().filter(|(_, len)| *len > ENTRIES_MAX) {
        faults.push(Fault::new(Kind::Value, key, format!("{len} entries"), format!("{ENTRIES_MAX} at most")));
    }
}

fn names<'a>(kind: &str, all: impl Iterator<Item = &'a Name>, faults: &mut Vec<Fault>) -> BTreeSet<&'a Name> {
    let mut known = BTreeSet::new();
    for (nth, name) in all.enumerate() {
        if !known.insert(name) {
            let key = format!("{kind}[{nth}].name");
            faults.push(Fault::new(
                Kind::Duplicate,
                key,
                format!("\"{name}\" again"),
                "give each its own name",
            ));
        }
    }
    known
}

fn refer(key: &str, kind: &str, name: Option<&Name>, known: &BTreeSet<&Name>, faults: &mut Vec<Fault>) {
    let Some(name) = name.filter(|name| !known.contains(name)) else { return };
    let remedy = if known.is_empty() {
        format!("add [[{kind}]] with name = \"{name}\"")
    } else {
        let all: Vec<&str> = known.iter().take(8).map(|n| n.as_str()).collect();
        format!("name one of {}, or add [[{kind}]]", all.join(", "))
    };
    faults.push(Fault::new(Kind::Reference, key, format!("there is no {kind} \"{name}\""), remedy));
}

fn routes(network: &Network, faults: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for (nth, route) in network.routes.iter().enumerate() {
        let key = |field: &str| format!("route[{nth}].{field}");
        if !seen.insert((&route.host, &route.path)) {
            let text = format!("{} is routed again", route.title());
            faults.push(Fault::new(Kind::Duplicate, key("path"), text, "keep one of the two"));
        }
        if route.origins.is_empty() {
            let remedy = "name at least one origin";
            faults.push(Fault::new(Kind::Value, key("origins"), "nobody to ask", remedy));
        }
        let twice = route.origins.iter().collect::<BTreeSet<_>>().len() < route.origins.len();
        if twice {
            let text = "an origin stands twice";
            faults.push(Fault::new(Kind::Duplicate, key("origins"), text, "name each origin once"));
        }
        if let Some(host) = &route.host
            && let Some(tls) = &network.tls
            && !tls.hosts.contains(host)
        {
            let text = format!("no edge has a certificate for {host}");
            faults.push(Fault::new(Kind::Conflict, key("host"), text, "add it to tls.hosts"));
        }
    }
}

fn places(network: &Network, faults: &mut Vec<Fault>) {
    for (nth, region) in network.regions.iter().enumerate() {
        if !network.edges.iter().any(|edge| edge.region == region.name) {
            let text = format!("\"{}\" has no edge", region.name);
            let remedy = "add [[edge]] with this region, or take the region out";
            faults.push(Fault::new(Kind::Conflict, format!("region[{nth}]"), text, remedy));
        }
        for (n, country) in region.countries.iter().enumerate() {
            let before = network.regions.iter().take(nth);
            if before.into_iter().any(|other| other.countries.contains(country)) {
                let key = format!("region[{nth}].countries[{n}]");
                let text = format!("{country} belongs to another region already");
                faults.push(Fault::new(Kind::Duplicate, key, text, "name it in one region"));
            }
        }
    }
    for (nth, edge) in network.edges.iter().enumerate() {
        if edge.viewers_max == 0 {
            let key = format!("edge[{nth}].viewers_max");
            faults.push(Fault::new(Kind::Value, key, "0", "write how many it carries, or take the edge out"));
        }
        if network.edges.iter().take(nth).any(|other| other.url == edge.url) {
            let text = format!("{} is another edge's address", edge.url);
            faults.push(Fault::new(
                Kind::Duplicate,
                format!("edge[{nth}].url"),
                text,
                "each edge has its own",
            ));
        }
    }
    for (nth, origin) in network.origins.iter().enumerate() {
        let port =
            origin.plane.as_deref().map(|plane| plane.rsplit_once(':').map(|(_, port)| port.parse::<u16>()));
        if !matches!(port, None | Some(Some(Ok(1..)))) {
            let key = format!("origin[{nth}].plane");
            let text = origin.plane.clone().unwrap_or_default();
            faults.push(Fault::new(Kind::Value, key, text, "write HOST:PORT, such as \"o1.internal:8886\""));
        }
    }
}

fn rules(network: &Network, faults: &mut Vec<Fault>) {
    for (nth, token) in network.tokens.iter().enumerate() {
        if let Some(max) = token.streams_max.filter(|max| !(1..=TOKEN_SEATS_MAX).contains(max)) {
            let remedy = format!("write on how many devices a token may be used, 1 to {TOKEN_SEATS_MAX}");
            faults.push(Fault::new(
                Kind::Value,
                format!("token[{nth}].streams_max"),
                max.to_string(),
                remedy,
            ));
        }
    }
    for (nth, cache) in network.caches.iter().enumerate() {
        for (n, parameter) in cache.query.iter().enumerate() {
            let plain = parameter.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if !plain || parameter.is_empty() || parameter.len() > 63 {
                let key = format!("cache[{nth}].query[{n}]");
                let remedy = "1 to 63 letters, digits, _ and -";
                faults.push(Fault::new(Kind::Value, key, format!("{parameter:?} is no parameter"), remedy));
            }
        }
    }
    for (nth, access) in network.access.iter().enumerate() {
        let none = access.allow.is_empty() && access.deny.is_empty();
        if none && access.countries_allow.is_empty() && access.countries_deny.is_empty() {
            let remedy = "write allow, deny, countries_allow or countries_deny";
            faults.push(Fault::new(Kind::Missing, format!("access[{nth}]"), "says nothing", remedy));
        }
    }
    for (nth, limit) in network.limits.iter().enumerate() {
        let values = [
            ("requests_per_s", limit.requests_per_s.map(u64::from)),
            ("bandwidth_bps", limit.bandwidth_bps),
            ("connections", limit.connections.map(u64::from)),
            ("stream_requests_per_s", limit.stream_requests_per_s.map(u64::from)),
            ("stream_bandwidth_bps", limit.stream_bandwidth_bps),
        ];
        for (field, _) in values.iter().filter(|(_, value)| *value == Some(0)) {
            let key = format!("limit[{nth}].{field}");
            faults.push(Fault::new(Kind::Value, key, "0 lets nobody in", "write at least 1, or take it out"));
        }
        if values.iter().all(|(_, value)| value.is_none()) {
            let remedy = "write requests_per_s, bandwidth_bps, connections or the same for streams";
            faults.push(Fault::new(Kind::Missing, format!("limit[{nth}]"), "says nothing", remedy));
        }
    }
    if let Some(tls) = network.tls.as_ref().filter(|tls| !["1.2", "1.3"].contains(&tls.min.as_str())) {
        faults.push(Fault::new(
            Kind::Value,
            "tls.min",
            format!("\"{}\"", tls.min),
            "write \"1.2\" or \"1.3\"",
        ));
    }
    steering(network, faults);
}

fn steering(network: &Network, faults: &mut Vec<Fault>) {
    let Some(steering) = &network.steering else { return };
    if !TTL_S.contains(&steering.ttl_s) {
        let remedy = format!("write {} to {}", TTL_S.start(), TTL_S.end());
        faults.push(Fault::new(Kind::Value, "steering.ttl_s", steering.ttl_s.to_string(), remedy));
    }
    if !(1..=100).contains(&steering.full_percent) {
        let text = steering.full_percent.to_string();
        faults.push(Fault::new(Kind::Value, "steering.full_percent", text, "write 1 to 100"));
    }
    if network.edges.len() < 2 {
        let text = format!("{} edges", network.edges.len());
        faults.push(Fault::new(
            Kind::Conflict,
            "steering",
            text,
            "steer between at least two, or take steering out",
        ));
    }
    let Some((first, others)) = network.edges.split_first() else { return };
    let place = |edge: &Edge| (edge.url.tls(), edge.url.port());
    let odd = others.iter().position(|edge| place(edge) != place(first));
    if let Some(nth) = odd {
        let text = format!("has another scheme or port than {}", first.url);
        let remedy = "give all edges the same: steering changes nothing but the host";
        faults.push(Fault::new(Kind::Conflict, format!("edge[{}].url", nth + 1), text, remedy));
    }
}

/// Which of two routes is asked first: the one with a host, then the longer path, then the one without a star.
pub(crate) fn rank(route: &Route) -> (bool, usize, bool) {
    let path = route.path.prefix();
    (route.host.is_some(), path.unwrap_or(route.path.as_str()).len(), path.is_none())
}
