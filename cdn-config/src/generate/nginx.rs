//! nginx: one server per host name, one location per route.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{GenerateError, Generated, no_countries, tell_streams, word};
use crate::names::{Host, Name};
use crate::network::{Access, Cache, Limit, Network, Route};

const HEAD: &str = "# Made by `nexus cdn generate nginx`: include it within http { }.
proxy_cache_path /var/cache/nginx/nexus levels=1:2 keys_zone=nexus:64m max_size=50g inactive=1d use_temp_path=off;
";

/// Longer than any answer is held (three target durations).
const READ_TIMEOUT_S: u32 = 60;

pub(super) fn generate(network: &Network) -> Result<Generated, GenerateError> {
    let (mut text, mut left_out) = (HEAD.to_owned(), Vec::new());
    zones(network, &mut text);
    upstreams(network, &mut text);
    let hosts: BTreeSet<Option<&Host>> = network.routes.iter().map(|route| route.host.as_ref()).collect();
    // A host that is not known gets what is there for any; nginx takes the first server for it.
    for host in std::iter::once(None).chain(hosts.into_iter().flatten().map(Some)) {
        let name = host.map_or("_", Host::as_str);
        let usual = if host.is_none() { " default_server" } else { "" };
        let _ = write!(text, "server {{\n    listen 80{usual};\n    server_name {name};\n");
        let routes = served(network, host);
        for route in &routes {
            location(network, route, &mut text)?;
        }
        if !routes.iter().any(|route| route.path.prefix() == Some("/")) {
            text.push_str("    location / { return 404; }\n");
        }
        text.push_str("}\n");
    }
    for route in &network.routes {
        tell_streams(network, route, &mut left_out);
        let limit = network.limit_of(route);
        if limit.is_some_and(Limit::is_of_streams) {
            left_out.push(format!("route {}: limits of all viewers of a stream together", route.title()));
        }
    }
    left_out.sort();
    left_out.dedup();
    Ok(Generated { text, left_out })
}

/// Routes of a host name, its own before those of any host.
fn served<'a>(network: &'a Network, host: Option<&Host>) -> Vec<&'a Route> {
    let (own, any): (Vec<&Route>, Vec<&Route>) = network
        .routes
        .iter()
        .filter(|route| route.host.is_none() || route.host.as_ref() == host)
        .partition(|route| route.host.is_some());
    let others = any.into_iter().filter(|route| !own.iter().any(|o| o.path == route.path));
    own.iter().copied().chain(others).collect()
}

fn zones(network: &Network, text: &mut String) {
    for Limit { name, requests_per_s, connections, .. } in &network.limits {
        let word = word(name);
        if let Some(rate) = requests_per_s {
            let _ = writeln!(text, "limit_req_zone $binary_remote_addr zone=req_{word}:10m rate={rate}r/s;");
        }
        if connections.is_some() {
            let _ = writeln!(text, "limit_conn_zone $binary_remote_addr zone=conn_{word}:10m;");
        }
    }
}

fn upstreams(network: &Network, text: &mut String) {
    let mut seen = BTreeSet::new();
    for route in network.routes.iter().filter(|route| seen.insert(upstream(&route.origins))) {
        let _ = writeln!(text, "upstream {} {{", upstream(&route.origins));
        for (nth, origin) in network.origins_of(route).enumerate() {
            let backup = if nth > 0 { " backup" } else { "" };
            let _ = writeln!(text, "    server {}:{}{backup};", origin.http.host(), origin.http.port());
        }
        text.push_str("    keepalive 64;\n}\n");
    }
}

fn upstream(origins: &[Name]) -> String {
    let names: Vec<&str> = origins.iter().map(Name::as_str).collect();
    names.join("_then_")
}

fn location(network: &Network, route: &Route, text: &mut String) -> Result<(), GenerateError> {
    no_countries(network, route)?;
    let place = match route.path.prefix() {
        Some(prefix) => format!("^~ {prefix}"),
        None => format!("= {}", route.path),
    };
    let tls = network.origins_of(route).next().is_some_and(|origin| origin.http.tls());
    let scheme = if tls { "https" } else { "http" };
    let _ = writeln!(text, "    location {place} {{");
    if let Some(access) = network.access_of(route) {
        write_access(access, text);
    }
    if let Some(limit) = network.limit_of(route) {
        write_limit(limit, text);
    }
    let pass = format!(
        "proxy_pass {scheme}://{};\n        proxy_http_version 1.1;\n        proxy_set_header Connection \"\";\n        \
         proxy_set_header Host $host;\n        proxy_read_timeout {READ_TIMEOUT_S}s;\n",
        upstream(&route.origins)
    );
    let _ = write!(text, "        {pass}");
    if network.token_of(route).is_some() {
        text.push_str(
            "        # Who holds a token is asked behind this cache, each time.\n        proxy_cache off;\n",
        );
    } else {
        write_cache(&network.cache_of(route), &pass, text);
    }
    text.push_str("    }\n");
    Ok(())
}

fn write_access(access: &Access, text: &mut String) {
    for (word, networks) in [("deny", &access.deny), ("allow", &access.allow)] {
        networks.iter().for_each(|network| {
            let _ = writeln!(text, "        {word} {network};");
        });
    }
    if !access.allow.is_empty() {
        text.push_str("        deny all;\n");
    }
}

fn write_limit(limit: &Limit, text: &mut String) {
    let word = word(&limit.name);
    if let Some(rate) = limit.requests_per_s {
        let _ = writeln!(text, "        limit_req zone=req_{word} burst={rate} nodelay;");
    }
    if let Some(connections) = limit.connections {
        let _ = writeln!(text, "        limit_conn conn_{word} {connections};");
    }
    if let Some(bps) = limit.bandwidth_bps {
        let _ = writeln!(text, "        limit_rate {};", bps.div_ceil(8));
    }
}

fn write_cache(cache: &Cache, pass: &str, text: &mut String) {
    let key: Vec<String> = cache.parameters().map(|name| format!("{name}=$arg_{name}")).collect();
    let _ = write!(
        text,
        "        proxy_cache nexus;\n        proxy_cache_key \"$host$uri?{}\";\n        proxy_cache_lock on;\n        \
         proxy_cache_lock_timeout {READ_TIMEOUT_S}s;\n        proxy_cache_valid 404 410 {}s;\n",
        key.join("&"),
        cache.negative_s
    );
    if cache.stale_if_error_s > 0 || cache.stale_while_revalidate_s > 0 {
        text.push_str(
            "        proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;\n",
        );
    }
    if cache.stale_while_revalidate_s > 0 {
        text.push_str("        proxy_cache_background_update on;\n");
    }
    let valid = |seconds: u32| {
        format!(
            "proxy_ignore_headers Cache-Control Expires;\n        proxy_cache_valid 200 206 {seconds}s;\n"
        )
    };
    if let Some(seconds) = cache.media_s {
        let _ = write!(text, "        {}", valid(seconds));
    }
    if cache.playlists_s.is_some() || cache.media_s.is_some() {
        // Lifetimes of playlists are their own; lists of a place inside are not those around it.
        let _ =
            write!(text, "        location ~ \\.(m3u8|mpd)$ {{\n        {pass}        proxy_cache nexus;\n");
        let _ = writeln!(text, "        proxy_cache_valid 404 410 {}s;", cache.negative_s);
        if let Some(seconds) = cache.playlists_s {
            let _ = write!(text, "        {}", valid(seconds));
        }
        text.push_str("        }\n");
    }
}
