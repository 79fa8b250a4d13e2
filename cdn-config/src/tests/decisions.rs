//! Routes, access, steering.

use std::collections::BTreeMap;

use super::sample;
use crate::{Asked, BASE, Countries, Country, Load, Name, Network};

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

const WELL: Load = Load { healthy: true, draining: false, viewers: 0 };

/// Edges in the order of the manifest, by name, for a player that came to `eu-1`.
fn first(network: &Network, asked: &Asked<'_>, loads: &BTreeMap<&str, Load>) -> Vec<String> {
    let load = |edge: &Name| loads.get(edge.as_str()).copied().unwrap_or(WELL);
    let asked = Asked { pathway: asked.pathway.map(|p| if p == "eu-1" { BASE } else { p }), ..asked.clone() };
    let manifest = network.steer(&name("eu-1"), &asked, "/steering.json", load).expect("it steers");
    let told = manifest.pathway_priority.into_iter();
    told.map(|id| if id == BASE { "eu-1".to_owned() } else { id }).collect()
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
    let asked = |on| Asked { pathway: on, country: Some(&de), seed: 3, ..Asked::default() };
    let dead = Load { healthy: false, ..WELL };
    let full = Load { viewers: 8_500, ..WELL };
    let draining = Load { draining: true, ..WELL };
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
    // One that is to be emptied is left, even for a full one, and is better than a dead one; us-2 has room.
    let loads = BTreeMap::from([("eu-1", draining), ("eu-2", full), ("us-1", dead), ("us-2", full)]);
    let told = first(&network, &asked(Some("eu-1")), &loads);
    assert_eq!(told, ["us-2", "eu-2", "eu-1", "us-1"]);
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
    let gone = BTreeMap::from([("us-1", Load { healthy: false, ..WELL })]);
    assert!((0..200).all(|seed| choice(seed, &none) == choice(seed, &gone)));
}

#[test]
fn a_steering_manifest_is_what_the_standards_say() {
    let network = sample("two-regions");
    let asked = Asked { pathway: Some(BASE), country: Some(&country("DE")), ..Asked::default() };
    let steer = |base: &str| network.steer(&name(base), &asked, "/steering.json", |_: &Name| WELL);
    let manifest = steer("eu-1").expect("it steers");
    let json = serde_json::to_value(&manifest).expect("JSON");
    assert_eq!((&json["VERSION"], &json["TTL"]), (&1.into(), &30.into()));
    // The next best edge: it goes on to steer when the first is gone.
    assert_eq!(json["RELOAD-URI"], "https://eu-2.tv.example.com/steering.json?base=eu-1");
    assert_eq!(json["PATHWAY-PRIORITY"][0], BASE, "the edge that it came to");
    assert_eq!(json["PATHWAY-PRIORITY"].as_array().map(Vec::len), Some(4));
    let clones = json["PATHWAY-CLONES"].as_array().expect("clones");
    let us = clones.iter().find(|clone| clone["ID"] == "us-1").expect("a clone");
    assert_eq!(us["BASE-ID"], BASE);
    assert_eq!(us["URI-REPLACEMENT"]["HOST"], "us-1.tv.example.com");
    assert!(clones.iter().all(|clone| clone["ID"] != "eu-1"), "the base is no clone of itself");
    assert_eq!(steer("us-2").expect("it steers").pathway_clones.len(), 3, "whichever it is");
    assert!(sample("one-region").steer(&name("e1"), &asked, "/s", |_: &Name| WELL).is_none());
}

#[test]
fn what_edges_do_not_enforce_is_said() {
    let told = |name: &str, countries| sample(name).notes(countries);
    assert_eq!(told("one-region", false), Vec::<String>::new());
    let foreign = told("foreign-origin", false);
    assert!(foreign.len() == 1 && foreign[0].contains("edge.network.countries"), "{foreign:?}");
    assert_eq!(told("foreign-origin", true), Vec::<String>::new());
    let two = told("two-regions", true);
    let about = |what: &str| two.iter().any(|note| note.contains(what));
    assert!(about("].keys") && about("].connections"), "{two:?}");
}
