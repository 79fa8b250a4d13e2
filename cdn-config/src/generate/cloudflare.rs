//! Cloudflare: a ruleset for each phase.

use serde_json::{Value, json};

use super::{GenerateError, Generated, tell_streams};
use crate::network::{Access, Limit, Network, Route};

pub(super) fn generate(network: &Network) -> Result<Generated, GenerateError> {
    let (mut origins, mut firewall, mut limits, mut caches) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut left_out = Vec::new();
    // Of cache and origin rules the last that fits counts.
    for route in network.ranked().into_iter().rev() {
        let fits = expression(route);
        tell_streams(network, route, &mut left_out);
        if let Some(origin) = network.origins_of(route).next() {
            origins.push(json!({
                "description": route.title(),
                "expression": fits,
                "action": "route",
                "action_parameters": {"host_header": origin.http.host(), "origin": {"host": origin.http.host(), "port": origin.http.port()}},
            }));
        }
        if route.origins.len() > 1 {
            left_out.push(format!("route {}: further origins need a load balancer", route.title()));
        }
        if let Some(access) = network.access_of(route) {
            firewall.extend(blocks(network, route, access));
        }
        if let Some(limit) = network.limit_of(route) {
            limits.extend(rate(route, &fits, limit));
            if limit.bandwidth_bps.is_some() || limit.connections.is_some() || limit.is_of_streams() {
                left_out.push(format!("route {}: bandwidth, connections, limits of streams", route.title()));
            }
        }
        caches.push(cache(network, route, &fits));
    }
    let phase = |phase: &str, rules: Vec<Value>| json!({"name": "Nexus", "kind": "zone", "phase": phase, "rules": rules});
    let sets = json!([
        phase("http_request_firewall_custom", firewall),
        phase("http_ratelimit", limits),
        phase("http_request_origin", origins),
        phase("http_request_cache_settings", caches),
    ]);
    left_out.sort();
    left_out.dedup();
    Ok(Generated { text: format!("{sets:#}\n"), left_out })
}

/// The requests of a route by themselves; which of several routes takes one is a matter of order.
fn expression(route: &Route) -> String {
    let path = match route.path.prefix() {
        Some("/") => None,
        Some(prefix) => Some(format!("starts_with(http.request.uri.path, \"{prefix}\")")),
        None => Some(format!("http.request.uri.path eq \"{}\"", route.path)),
    };
    let host = route.host.as_ref().map(|host| format!("http.host eq \"{host}\""));
    match (host, path) {
        (Some(host), Some(path)) => format!("({host} and {path})"),
        (Some(one), None) | (None, Some(one)) => format!("({one})"),
        (None, None) => "true".to_owned(),
    }
}

/// A firewall has no last word: what is another route's must not be blocked, nor what it takes let in.
fn taken(network: &Network, route: &Route) -> String {
    let ranked = network.ranked();
    let before = ranked.iter().take_while(|other| !std::ptr::eq(**other, route));
    let others: Vec<String> = before.map(|other| format!("not {}", expression(other))).collect();
    std::iter::once(expression(route)).chain(others).collect::<Vec<_>>().join(" and ")
}

fn blocks(network: &Network, route: &Route, access: &Access) -> Vec<Value> {
    let list = |all: Vec<String>| format!("{{{}}}", all.join(" "));
    let networks =
        |all: &[ipnet::IpNet]| format!("ip.src in {}", list(all.iter().map(ToString::to_string).collect()));
    let countries = |all: &[crate::names::Country]| {
        format!("ip.src.country in {}", list(all.iter().map(|c| format!("\"{c}\"")).collect()))
    };
    let mut let_in = Vec::new();
    let mut keep_out = Vec::new();
    if !access.deny.is_empty() {
        keep_out.push(networks(&access.deny));
    }
    if !access.allow.is_empty() {
        let_in.push(networks(&access.allow));
    }
    if !access.countries_deny.is_empty() {
        let denied = countries(&access.countries_deny);
        keep_out.push(if access.allow.is_empty() {
            denied
        } else {
            format!("({denied} and not {})", networks(&access.allow))
        });
    }
    if !access.countries_allow.is_empty() {
        let_in.push(countries(&access.countries_allow));
    }
    if !let_in.is_empty() {
        keep_out.push(format!("not ({})", let_in.join(" or ")));
    }
    let fits = taken(network, route);
    let block = |why: String| json!({"description": route.title(), "expression": format!("{fits} and {why}"), "action": "block"});
    keep_out.into_iter().map(block).collect()
}

fn rate(route: &Route, fits: &str, limit: &Limit) -> Option<Value> {
    let rate = limit.requests_per_s?;
    Some(json!({
        "description": route.title(),
        "expression": fits,
        "action": "block",
        "ratelimit": {
            "characteristics": ["ip.src", "cf.colo.id"],
            "period": 10,
            "requests_per_period": u64::from(rate) * 10,
            "mitigation_timeout": 10,
        },
    }))
}

fn cache(network: &Network, route: &Route, fits: &str) -> Value {
    let settings = if network.token_of(route).is_some() {
        json!({"cache": false})
    } else {
        let rule = network.cache_of(route);
        let ttl = match rule.media_s {
            Some(seconds) => json!({"mode": "override_origin", "default": seconds}),
            None => json!({"mode": "respect_origin"}),
        };
        json!({
            "cache": true,
            "edge_ttl": ttl,
            "serve_stale": {"disable_stale_while_updating": rule.stale_while_revalidate_s == 0},
            "cache_key": {"custom_key": {"query_string": {"include": {"list": rule.parameters().collect::<Vec<_>>()}}}},
        })
    };
    json!({
        "description": route.title(),
        "expression": fits,
        "action": "set_cache_settings",
        "action_parameters": settings,
    })
}
