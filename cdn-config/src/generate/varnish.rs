//! Varnish: VCL 4.1 with a director per list of origins.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{GenerateError, Generated, no_countries, tell_streams, word};
use crate::names::Name;
use crate::network::{Network, Route};

pub(super) fn generate(network: &Network) -> Result<Generated, GenerateError> {
    let mut text =
        String::from("# Made by `nexus cdn generate varnish`.\nvcl 4.1;\nimport directors;\nimport std;\n");
    let mut left_out = Vec::new();
    for origin in &network.origins {
        if origin.http.tls() {
            left_out
                .push(format!("origin {}: Varnish asks in the clear; put a TLS proxy between", origin.name));
        }
        let (name, site) = (word(&origin.name), &origin.http);
        let _ = write!(
            text,
            "backend {name} {{\n    .host = \"{}\";\n    .port = \"{}\";\n    .first_byte_timeout = 60s;\n    \
             .probe = {{ .url = \"/health/ready\"; .interval = 2s; .timeout = 1s; .window = 4; .threshold = 2; }}\n}}\n",
            site.host(),
            site.port()
        );
    }
    if network.origins.is_empty() {
        text.push_str("backend default none;\n");
    }
    acls(network, &mut text);
    directors(network, &mut text);
    text.push_str(
        "sub vcl_recv {\n    if (req.method != \"GET\" && req.method != \"HEAD\") { return (synth(405)); }\n",
    );
    text.push_str(
        "    unset req.http.Cookie;\n    unset req.http.X-Nexus-Key;\n    unset req.http.X-Nexus-Rule;\n",
    );
    for (nth, route) in network.ranked().into_iter().enumerate() {
        no_countries(network, route)?;
        let word = if nth == 0 { "if" } else { "else if" };
        let _ = writeln!(text, "    {word} ({}) {{", condition(route));
        body(network, route, &mut text, &mut left_out);
        text.push_str("    }\n");
    }
    let last = if network.routes.is_empty() { "" } else { "    else { return (synth(404)); }\n" };
    let _ = write!(text, "{last}    return (hash);\n}}\n");
    text.push_str(
        "sub vcl_hash {\n    hash_data(req.http.host);\n    hash_data(regsub(req.url, \"\\?.*$\", \"\"));\n",
    );
    text.push_str("    hash_data(req.http.X-Nexus-Key);\n    return (lookup);\n}\n");
    responses(network, &mut text);
    left_out.sort();
    left_out.dedup();
    Ok(Generated { text, left_out })
}

fn acls(network: &Network, text: &mut String) {
    for access in &network.access {
        for (kind, networks) in [("deny", &access.deny), ("allow", &access.allow)] {
            if !networks.is_empty() {
                let _ = writeln!(text, "acl {kind}_{} {{", word(&access.name));
                for network in networks {
                    let _ = writeln!(text, "    \"{}\"/{};", network.addr(), network.prefix_len());
                }
                text.push_str("}\n");
            }
        }
    }
}

fn directors(network: &Network, text: &mut String) {
    let lists: BTreeSet<&[Name]> = network.routes.iter().map(|route| route.origins.as_slice()).collect();
    text.push_str("sub vcl_init {\n");
    for list in lists {
        let _ = writeln!(text, "    new {} = directors.fallback();", director(list));
        for origin in list {
            let _ = writeln!(text, "    {}.add_backend({});", director(list), word(origin));
        }
    }
    text.push_str("    return (ok);\n}\n");
}

fn director(origins: &[Name]) -> String {
    let names: Vec<String> = origins.iter().map(word).collect();
    format!("first_{}", names.join("_then_"))
}

fn condition(route: &Route) -> String {
    let path = match route.path.prefix() {
        Some(prefix) => format!("req.url ~ \"^{}\"", regex(prefix)),
        None => format!("req.url ~ \"^{}(\\?|$)\"", regex(route.path.as_str())),
    };
    match &route.host {
        Some(host) => format!("req.http.host ~ \"(?i)^{}(:[0-9]+)?$\" && {path}", regex(host.as_str())),
        None => path,
    }
}

fn regex(text: &str) -> String {
    text.replace('.', "\\.")
}

fn body(network: &Network, route: &Route, text: &mut String, left_out: &mut Vec<String>) {
    if let Some(access) = network.access_of(route) {
        let word = word(&access.name);
        if !access.deny.is_empty() {
            let _ = writeln!(text, "        if (client.ip ~ deny_{word}) {{ return (synth(403)); }}");
        }
        if !access.allow.is_empty() {
            let _ = writeln!(text, "        if (client.ip !~ allow_{word}) {{ return (synth(403)); }}");
        }
    }
    if network.limit_of(route).is_some() {
        left_out.push(format!("route {}: limits need the module vsthrottle", route.title()));
    }
    let _ = writeln!(text, "        set req.backend_hint = {}.backend();", director(&route.origins));
    if network.token_of(route).is_some() {
        tell_streams(network, route, left_out);
        text.push_str(
            "        # Who holds a token is asked behind this cache, each time.\n        return (pass);\n",
        );
        return;
    }
    let cache = network.cache_of(route);
    let fresh = cache.stale_while_revalidate_s;
    let _ = writeln!(text, "        if (std.healthy(req.backend_hint)) {{ set req.grace = {fresh}s; }}");
    let _ = writeln!(text, "        set req.http.X-Nexus-Rule = \"{}\";", cache.name);
    for name in cache.parameters() {
        let _ = writeln!(
            text,
            "        if (req.url ~ \"[?&]{name}=\") {{ set req.http.X-Nexus-Key = req.http.X-Nexus-Key + \"&{name}=\" + \
             regsub(req.url, \"^.*[?&]{name}=([^&]*).*$\", \"\\1\"); }}"
        );
    }
}

fn responses(network: &Network, text: &mut String) {
    text.push_str("sub vcl_backend_response {\n    if (beresp.http.Vary ~ \"\\*\") { return (pass(1s)); }\n");
    let rules = network.routes.iter().map(|route| network.cache_of(route));
    let mut seen = BTreeSet::new();
    for cache in rules.filter(|cache| seen.insert(cache.name.clone())) {
        let _ = writeln!(text, "    if (bereq.http.X-Nexus-Rule == \"{}\") {{", cache.name);
        for (seconds, playlists) in [(cache.media_s, "!~"), (cache.playlists_s, "~")] {
            if let Some(seconds) = seconds {
                let _ = writeln!(
                    text,
                    "        if (beresp.status < 300 && bereq.url {playlists} \"\\.(m3u8|mpd)(\\?|$)\") {{ set beresp.ttl = {seconds}s; }}"
                );
            }
        }
        let _ = writeln!(
            text,
            "        if (beresp.status == 404 || beresp.status == 410) {{ set beresp.ttl = {}s; }}",
            cache.negative_s
        );
        let grace = cache.stale_while_revalidate_s.max(cache.stale_if_error_s);
        let _ = writeln!(text, "        set beresp.grace = {grace}s;");
        text.push_str("    }\n");
    }
    text.push_str("}\n");
}
