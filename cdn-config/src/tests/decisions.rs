//! Routes, access, steering.

use std::collections::BTreeMap;

use super::sample;
use crate::{Asked, Countries, Country, Load, Name, Network};

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).expect("a name")
}

fn country(text: &str) -> Country {
    Country::try_from(text.to_owned()).expect("a country")
}

#[test]
fn the_host_and_then_the_longest_path_decide() {
    let routes = [("", "/*"), ("", "/live/*"), ("", "/live/a"), ("", "/live/a*"), ("tv.example.com", "/*")];
    let text: String = routes.iter().enumerate().map(|(nth, (host, path))| {
        let host = if host.is_empty() { String::new() } else { format!("host = \"{host}\"\n") };
        format!("[[origin]]\nname = \"o{nth}\"\nhttp = \"http://o{nth}\"\n[[route]]\n{host}path = \"{path}\"\norigins = [\"o{nth}\"]\n")
    }).collect();
    let network = Network::from_toml(&text).expect("good");
    for (host, path, expected) in [
        ("a.example.com", "/x", "/*"),
        ("a.example.com", "/live/cam1/index.m3u8", "/live/*"),
        ("a.example.com", "/live/a", "/live/a"),
        ("a.example.com", "/live/ab", "/live/a*"),
        ("a.example.com", "/live", "/*"),
        ("tv.example.com", "/live/a", "tv.example.com/*"),
    ] {
        assert_eq!(
            network.route(host, path).map(crate::Route::title).as_deref(),
            Some(expected),
            "{host}{path}"
        );
    }
    assert!(sample("foreign-origin").route("other.example.com", "/hls/a").is_none());
    assert!(sample("foreign-origin").route("cache.example.com", "/else").is_none());
}

#[test]
fn networks_decide_before_countries_and_what_is_denied_before_what_is_allowed() {
    let table = "# made up\n10.0.0.0/8,DE\n10.1.0.0/16,FR\n2001:db8::/32,DE\n\n192.0.2.0/24,US\n";
    let countries = Countries::parse(table).expect("a table");
    let access =
        |text: &str| -> crate::Access { toml::from_str(&format!("name = \"a\"\n{text}")).expect("a rule") };
    for (rule, address, of, let_in) in [
        ("deny = [\"10.1.2.0/24\"]", "10.1.2.3", Some("FR"), false),
        ("deny = [\"10.1.2.0/24\"]", "10.1.3.3", Some("FR"), true),
        ("deny = [\"10.1.2.0/24\"]", "::ffff:10.1.2.3", Some("FR"), false),
        ("allow = [\"10.1.0.0/16\"]\ndeny = [\"10.1.2.0/24\"]", "10.1.2.3", Some("FR"), false),
        ("allow = [\"10.1.0.0/16\"]", "10.2.0.1", Some("DE"), false),
        ("countries_allow = [\"DE\"]", "10.2.0.1", Some("DE"), true),
        ("countries_allow = [\"DE\"]", "10.1.0.1", Some("FR"), false),
        ("countries_allow = [\"DE\"]", "2001:db8::1", Some("DE"), true),
        ("countries_allow = [\"DE\"]", "203.0.113.1", None, false),
        ("countries_deny = [\"US\"]", "192.0.2.1", Some("US"), false),
        ("countries_deny = [\"US\"]", "203.0.113.1", None, true),
        ("countries_deny = [\"US\"]\nallow = [\"192.0.2.7/32\"]", "192.0.2.7", Some("US"), true),
        ("countries_deny = [\"US\"]\nallow = [\"192.0.2.7/32\"]", "203.0.113.1", None, false),
    ] {
        let address = address.parse().expect("an address");
        assert_eq!(countries.of(address).map(Country::as_str), of, "{address}");
        let admitted = access(rule).admit(address, countries.of(address));
        assert_eq!(admitted.is_ok(), let_in, "{rule}: {address}: {admitted:?}");
    }
    for (text, line) in [("10.0.0.0/8,de", 1), ("\n10.0.0.0/33,DE", 2), ("10.0.0.0/8", 1)] {
        assert_eq!(Countries::parse(text).expect_err(text).line, line);
    }
}

fn first(network: &Network, asked: &Asked<'_>, loads: &BTreeMap<&str, Load>) -> Vec<String> {
    let load = |edge: &Name| loads.get(edge.as_str()).copied().unwrap_or(Load { healthy: true, viewers: 0 });
    network.steer(&name("eu-1"), asked, load).expect("it steers").pathway_priority
}

#[test]
fn players_go_to_their_region_and_stay_there() {
    let network = sample("two-regions");
    let (de, us) = (country("DE"), country("US"));
    let from = |country| Asked { country: Some(country), seed: 7, ..Asked::default() };
    let none = BTreeMap::new();
    let all = first(&network, &from(&de), &none);
    assert!(all[0].starts_with("eu") && all[1].starts_with("eu") && all.len() == 4, "{all:?}");
    assert!(first(&network, &from(&us), &none)[0].starts_with("us"));
    let region = name("us");
    let there = Asked { region: Some(&region), ..Asked::default() };
    assert!(first(&network, &there, &none)[0].starts_with("us"), "the node that was asked tells the region");
    // Who is on one of them stays, whatever the number drawn says.
    for on in ["eu-1", "eu-2"] {
        let asked = Asked { pathway: Some(on), ..from(&de) };
        assert_eq!(first(&network, &asked, &none)[0], on);
    }
    // A far one is left for a near one.
    let far = Asked { pathway: Some("us-1"), ..from(&de) };
    assert!(first(&network, &far, &none)[0].starts_with("eu"));
}

#[test]
fn what_is_dead_or_full_is_avoided() {
    let network = sample("two-regions");
    let de = country("DE");
    let asked = |on| Asked { pathway: on, country: Some(&de), region: None, seed: 3 };
    let dead = Load { healthy: false, viewers: 0 };
    let full = Load { healthy: true, viewers: 8_500 };
    let loads = BTreeMap::from([("eu-1", dead)]);
    let told = first(&network, &asked(Some("eu-1")), &loads);
    assert_eq!((told[0].as_str(), told[3].as_str()), ("eu-2", "eu-1"), "{told:?}");
    // Both of the region are full: those there stay, others go to the region that takes over.
    let loads = BTreeMap::from([("eu-1", full), ("eu-2", full)]);
    assert!(first(&network, &asked(None), &loads)[0].starts_with("us"));
    assert_eq!(first(&network, &asked(Some("eu-2")), &loads)[0], "eu-2");
    let loads = BTreeMap::from([("eu-1", dead), ("eu-2", dead)]);
    let told = first(&network, &asked(Some("eu-2")), &loads);
    assert!(told[0].starts_with("us") && told[1].starts_with("us"), "{told:?}");
}

#[test]
fn viewers_spread_evenly_and_one_edge_less_moves_only_its_own() {
    let network = sample("two-regions");
    let de = country("DE");
    let choice = |seed: u64, loads: &BTreeMap<&str, Load>| {
        // Seeds that differ little, as addresses do.
        first(&network, &Asked { country: Some(&de), seed, ..Asked::default() }, loads)[0].clone()
    };
    let none = BTreeMap::new();
    let on_first = (0..2_000).filter(|seed| choice(*seed, &none) == "eu-1").count();
    assert!((900..1_100).contains(&on_first), "{on_first} of 2000");
    let gone = BTreeMap::from([("us-1", Load { healthy: false, viewers: 0 })]);
    assert!((0..200).all(|seed| choice(seed, &none) == choice(seed, &gone)));
}

#[test]
fn a_steering_manifest_is_what_the_standards_say() {
    let network = sample("two-regions");
    let well = |_: &Name| Load { healthy: true, viewers: 0 };
    let manifest = network.steer(&name("eu-1"), &Asked::default(), well).expect("it steers");
    let json = serde_json::to_value(&manifest).expect("JSON");
    assert_eq!((&json["VERSION"], &json["TTL"]), (&1.into(), &30.into()));
    assert_eq!(json["RELOAD-URI"], "steering.json");
    assert_eq!(json["PATHWAY-PRIORITY"].as_array().map(Vec::len), Some(4));
    let clones = json["PATHWAY-CLONES"].as_array().expect("clones");
    let us = clones.iter().find(|clone| clone["ID"] == "us-1").expect("a clone");
    assert_eq!(us["BASE-ID"], "eu-1");
    assert_eq!(us["URI-REPLACEMENT"]["HOST"], "us-1.tv.example.com");
    assert!(clones.iter().all(|clone| clone["ID"] != "eu-1"), "the base is no clone of itself");
    assert!(sample("one-region").steer(&name("e1"), &Asked::default(), well).is_none());
}
