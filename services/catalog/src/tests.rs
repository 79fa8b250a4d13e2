//! The table against itself and against the documents it was merged from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;

fn seed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/seeds").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| {
        panic!("the document that the catalogue is held against is missing: {}: {e}", path.display())
    })
}

/// The service that a document means: its whole name, or the end of it.
fn meant(name: &str) -> Option<&'static str> {
    let mut found = catalog().services.iter().filter(|s| s.id == name || s.id.ends_with(&format!("-{name}")));
    let first = found.next()?;
    Some(&first.id)
}

/// The arrow is in the table, or it is said why not.
fn check_arrow(from: &str, to: &str) {
    let wanted = find(from).expect("a service").needs.contains_key(to);
    let resolved = catalog().resolutions.iter().any(|r| r.from == from && r.to == to);
    assert!(wanted != resolved, "{from} needs {to}: in the table {wanted}, decided against {resolved}");
}

#[test]
fn names_and_ports_are_given_once() {
    let (mut names, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for service in &catalog().services {
        for name in service.aliases.iter().chain([&service.id]) {
            assert!(names.insert(name), "{name} twice");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{name}"
            );
        }
        for port in service.other_ports.iter().chain([&service.port]) {
            assert!(ports.insert(port), "{port} twice");
        }
    }
    assert_eq!(catalog().services.len(), 56);
}

#[test]
fn every_need_is_a_service_with_words_for_its_absence_and_none_goes_round() {
    for service in &catalog().services {
        for (need, without) in &service.needs {
            assert!(
                catalog().services.iter().any(|s| s.id == *need),
                "{} needs {need}, which is none",
                service.id
            );
            assert!(without.len() > 3, "{} without {need}: {without:?}", service.id);
        }
    }
    let order = start_order();
    let stuck: Vec<_> =
        catalog().services.iter().filter(|s| !order.iter().any(|o| o.id == s.id)).map(|s| &s.id).collect();
    assert!(stuck.is_empty(), "in a cycle, or behind one: {stuck:?}");
}

#[test]
fn the_service_map_has_the_same_names_ports_and_needs() {
    let map = seed("service-map.md");
    let mut rows = 0;
    for line in map.lines().filter(|l| l.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let Ok(port) = cells[1].parse::<u16>() else { continue };
        rows += 1;
        let service = find(cells[0]).unwrap_or_else(|| panic!("{} is missing", cells[0]));
        assert_eq!((service.id.as_str(), service.port), (cells[0], port));
        for need in cells[3].split(", ").filter_map(meant) {
            check_arrow(&service.id, need);
        }
    }
    assert_eq!(rows, 43);
}

#[test]
fn the_dependency_trees_have_the_same_arrows() {
    let (mut arrows, mut path) = (0, Vec::<&str>::new());
    let text = seed("service-dependencies.md");
    for line in text.lines() {
        let name = line.trim_start_matches(['│', '├', '└', '─', ' ']);
        let depth = (line.chars().count() - name.chars().count()) / 4;
        let known = meant(name.split(' ').next().unwrap_or_default());
        if depth == 0 || path.len() < depth {
            path = known.into_iter().collect();
            continue;
        }
        path.truncate(depth);
        // What stands for something outside holds its place, so that those below it are not its parent's.
        path.push(known.unwrap_or_default());
        if let (from, Some(to)) = (path[depth - 1], known)
            && !from.is_empty()
            && from != "backend-api"
        {
            check_arrow(from, to);
            arrows += 1;
        }
    }
    assert!(arrows > 50, "the trees were not read: {arrows} arrows");
}

#[test]
fn the_boxes_of_the_diagram_have_their_names_and_ports() {
    let diagram = seed("architecture-diagram.md");
    let mut boxes: BTreeMap<String, u16> = BTreeMap::new();
    let mut above: Vec<&str> = Vec::new();
    for line in diagram.lines() {
        let cells: Vec<&str> = line.split('│').map(str::trim).filter(|c| !c.is_empty()).collect();
        for (nth, cell) in cells.iter().enumerate() {
            if let Some(port) = cell.strip_prefix("Port: ").and_then(|p| p.parse().ok())
                && let Some(name) = above.get(nth)
            {
                boxes.insert((*name).to_owned(), port);
            }
        }
        above = cells;
    }
    for outside in ["PostgreSQL", "Redis"] {
        assert!(boxes.remove(outside).is_some(), "{outside}: {boxes:?}");
    }
    assert_eq!(boxes.len(), 25, "{boxes:?}");
    for (name, port) in &boxes {
        let plain = name.to_lowercase().replace(' ', "-").replace("v2.0.0", "v200");
        let service = find(&plain).unwrap_or_else(|| panic!("{name} ({plain}) leads nowhere"));
        let has = service.port == *port || service.other_ports.contains(port);
        let lost = catalog().collisions.iter().find(|c| c.name == *name && c.port == *port);
        assert!(has != lost.is_some(), "{name} on {port}: has it {has}, lost it {}", lost.is_some());
        if let Some(lost) = lost {
            assert_eq!(find(&lost.kept_by).map(|s| s.port), Some(*port), "{name}");
        }
    }
    assert_eq!(boxes.values().filter(|p| catalog().collisions.iter().any(|c| c.port == **p)).count(), 6);
}

#[test]
fn resolutions_are_about_services_and_say_why() {
    for Resolution { from, to, why } in &catalog().resolutions {
        assert!(find(from).is_some() && find(to).is_some() && why.len() > 10, "{from} → {to}: {why}");
    }
}

#[test]
fn prints_a_line_for_each_and_json_that_says_what_is_planned() {
    assert_eq!(table().lines().count(), 57);
    let json: serde_json::Value = serde_json::from_str(&json()).expect("JSON");
    let wallet =
        json["items"].as_array().expect("items").iter().find(|s| s["id"] == "wallet-ms").expect("wallet-ms");
    assert_eq!((&wallet["built"], &wallet["port"]), (&false.into(), &9101.into()));
}

#[test]
fn what_apps_may_ask_for() {
    for (service, scopes, method, path, may) in [
        ("streaming-service-v2", "openid watch", "GET", "v1/channels", true),
        ("streaming-service-v2", "watch", "POST", "v1/channels/7/playback", true),
        ("streaming-service-v2", "watch", "DELETE", "v1/channels/7/playback", false),
        ("streaming-service-v2", "watch", "POST", "v1/channels", false),
        ("streaming-service-v2", "watch", "GET", "v1/channels/7/stream-keys", false),
        ("streaming-service-v2", "watch", "GET", "v1/channels/", false),
        ("streaming-service-v2", "watch", "GET", "v1//channels", false),
        ("streaming-service-v2", "watch", "GET", "v1/channels/7/", false),
        ("streaming-service-v2", "publish", "DELETE", "v1/channels/7/stream-keys/9", true),
        ("streaming-service-v2", "publish", "POST", "v1/channels/7/playback", false),
        ("streaming-service-v2", "openid profile", "GET", "v1/channels", false),
        ("streaming-service-v2", "", "GET", "v1/channels", false),
        ("streaming-service-v2", "operate", "DELETE", "v1/anything", true),
        ("glitch", "operate", "GET", "v1/projects", true),
        ("glitch", "watch publish openid", "GET", "v1/projects", false),
        ("auth-service-v2", "openid", "GET", "v1/userinfo", true),
        ("auth-service-v2", "openid operate", "GET", "v1/apps", false),
        ("session-mgr", "watch", "PUT", "v1/playback-leases/7", true),
        ("session-mgr", "watch operate", "GET", "v1/sessions", false),
        ("token-mgr", "operate", "POST", "v1/api-keys", false),
        ("auth-service", "operate", "POST", "v1/password", false),
        ("user-auth", "operate", "GET", "v1/users", false),
        ("key-service", "operate", "GET", "v1/transit/keys", false),
    ] {
        let entry = find(service).expect("it is listed");
        assert_eq!(entry.lets_app(scopes, method, path), may, "{service} {scopes} {method} {path}");
    }
}
