//! What is generated is read by the programs it is for, where they can be had.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::sample;
use crate::generate::{GenerateError, Target, generate};
use crate::{Name, Network};

/// The sample with hosts that resolve, since caches look them up when they start.
fn local(name: &str) -> Network {
    let mut network = sample(name);
    for (nth, origin) in network.origins.iter_mut().enumerate() {
        let scheme = if origin.http.tls() { "https" } else { "http" };
        let site = format!("{scheme}://127.0.0.{}:{}", nth + 1, origin.http.port());
        origin.http = site.try_into().expect("an address");
    }
    network
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("nexus-cdn-{}-{name}", std::process::id()));
    std::fs::write(&path, text).expect("a file");
    path
}

/// Runs a program that judges; its words when it does not like what it reads.
fn judge(program: &str, args: &[&str]) -> Result<(), String> {
    let out = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program} is needed: {e}; `make test` installs it"));
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

#[test]
fn nginx_takes_what_is_made_for_it() {
    for name in ["one-region", "two-regions"] {
        let made = generate(&local(name), Target::Nginx, None).expect("it can be said");
        let cache = std::env::temp_dir().join(format!("nexus-cdn-{}-cache-{name}", std::process::id()));
        let text = made.text.replace("/var/cache/nginx/nexus", cache.to_str().expect("a path"));
        let text = text.replace("listen 80", "listen 127.0.0.1:18080");
        let pid = cache.with_extension("pid");
        let whole = format!(
            "pid {};\nerror_log stderr;\nevents {{ }}\nhttp {{\naccess_log off;\n{text}}}\n",
            pid.display()
        );
        let path = file(&format!("{name}.conf"), &whole);
        let judged = judge("nginx", &["-t", "-c", path.to_str().expect("a path")]);
        for left in [&path, &pid] {
            let _ = std::fs::remove_file(left);
        }
        let _ = std::fs::remove_dir_all(cache);
        assert_eq!(judged, Ok(()), "{whole}");
    }
}

#[test]
fn varnish_takes_what_is_made_for_it() {
    for name in ["one-region", "two-regions"] {
        let made = generate(&local(name), Target::Varnish, None).expect("it can be said");
        let path = file(&format!("{name}.vcl"), &made.text);
        let judged = judge("varnishd", &["-C", "-f", path.to_str().expect("a path")]);
        let _ = std::fs::remove_file(&path);
        assert_eq!(judged, Ok(()), "{}", made.text);
    }
}

#[test]
fn cloudfront_gets_a_behavior_for_each_route() {
    let mut network = sample("two-regions");
    assert!(
        matches!(generate(&network, Target::Cloudfront, None), Err(GenerateError::Open { .. })),
        "networks are WAF's"
    );
    network.routes[1].access = None;
    let made = generate(&network, Target::Cloudfront, None).expect("it can be said");
    let template: Value = serde_json::from_str(&made.text).expect("JSON");
    let config = &template["Resources"]["Nexus"]["Properties"]["DistributionConfig"];
    let paths: Vec<&str> = config["CacheBehaviors"]
        .as_array()
        .expect("some")
        .iter()
        .filter_map(|b| b["PathPattern"].as_str())
        .collect();
    assert_eq!(paths, ["/premium/*", "/live/*", "/vod/*"], "the longest first");
    // What a token opens is not kept; what no route takes is nowhere.
    assert_eq!(config["CacheBehaviors"][0]["CachePolicyId"], "4135ea2d-6df8-44a3-9df3-4b5a84be39ad");
    assert!(config["DefaultCacheBehavior"]["FunctionAssociations"].is_array());
    assert_eq!(config["CacheBehaviors"][1]["TargetOriginId"], config["OriginGroups"]["Items"][0]["Id"]);
    let films = &template["Resources"]["CacheFilms"]["Properties"]["CachePolicyConfig"];
    assert_eq!(films["MaxTTL"], 2_592_000);
    let told = &films["ParametersInCacheKeyAndForwardedToOrigin"]["QueryStringsConfig"]["QueryStrings"];
    assert!(told.as_array().expect("some").contains(&"_HLS_msn".into()), "{told}");
    assert!(made.left_out.iter().any(|left| left.contains("tls")), "{:?}", made.left_out);
}

#[test]
fn cloudflare_blocks_who_may_not_come_in() {
    let made = generate(&sample("two-regions"), Target::Cloudflare, None).expect("it can be said");
    let sets: Value = serde_json::from_str(&made.text).expect("JSON");
    let rules = |phase: &str| -> Vec<Value> {
        let set = sets.as_array().expect("sets").iter().find(|set| set["phase"] == phase).expect(phase);
        set["rules"].as_array().expect("rules").clone()
    };
    let firewall: Vec<String> = rules("http_request_firewall_custom")
        .iter()
        .filter_map(|r| r["expression"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(firewall.len(), 2, "{firewall:#?}");
    assert!(firewall[0].contains("ip.src in {192.0.2.0/24}"), "{firewall:#?}");
    assert!(firewall[1].ends_with("and not (ip.src in {198.51.100.0/24 2001:db8::/32})"), "{firewall:#?}");
    let caches = rules("http_request_cache_settings");
    let premium = caches.iter().find(|rule| rule["description"] == "/premium/*").expect("the route");
    assert_eq!(premium["action_parameters"], serde_json::json!({"cache": false}));
    let made =
        generate(&sample("foreign-origin"), Target::Cloudflare, None).expect("countries can be said here");
    assert!(
        made.text.contains("not (ip.src.country in {\\\"DE\\\" \\\"AT\\\" \\\"CH\\\"})"),
        "{}",
        made.text
    );
}

#[test]
fn what_would_be_open_is_not_made() {
    for target in [Target::Nginx, Target::Varnish] {
        let refused = generate(&sample("foreign-origin"), target, None);
        assert!(
            matches!(&refused, Err(GenerateError::Open { route, .. }) if route == "cache.example.com/hls/*"),
            "{refused:?}"
        );
    }
    // What a token opens is passed on each time.
    let network = local("two-regions");
    let nginx = generate(&network, Target::Nginx, None).expect("made").text;
    let premium = nginx.split("location ^~ /premium/ {").nth(1).and_then(|rest| rest.split("    }\n").next());
    assert!(premium.is_some_and(|text| text.contains("proxy_cache off;")), "{nginx}");
    let vcl = generate(&network, Target::Varnish, None).expect("made").text;
    let premium = vcl.split("^/premium/").nth(1).and_then(|rest| rest.split("    }\n").next());
    assert!(premium.is_some_and(|text| text.contains("return (pass);")), "{vcl}");
}

#[test]
fn kubernetes_gets_the_nodes_of_one_region() {
    let network = sample("two-regions");
    let us = Name::try_from("us".to_owned()).expect("a name");
    let made = generate(&network, Target::Kubernetes, Some(&us)).expect("a region");
    assert!(made.text.contains(
        "  - name: us-1\n    host: \"us-1.tv.example.com\"\n    tls: true\n    viewersMax: 20000\n"
    ));
    assert!(
        !made.text.contains("name: eu-1") && made.text.contains("plane: \"o2.example.internal:8886\""),
        "{}",
        made.text
    );
    assert_eq!(generate(&network, Target::Kubernetes, None), Err(GenerateError::Region("eu, us".into())));
}
