//! Descriptions of networks, good and bad, and what follows from them.

mod decisions;
mod generators;
mod limits;
mod seats;
mod versions;

use crate::{Kind, Network};

/// Every sample of the folder, by name.
pub(crate) const SAMPLES: [(&str, &str); 3] = [
    ("one-region", include_str!("../samples/one-region.toml")),
    ("two-regions", include_str!("../samples/two-regions.toml")),
    ("foreign-origin", include_str!("../samples/foreign-origin.toml")),
];

pub(crate) fn sample(name: &str) -> Network {
    let text = SAMPLES.iter().find(|(n, _)| *n == name).expect("a sample").1;
    Network::from_toml(text).expect("it is good")
}

#[test]
fn every_sample_is_good_and_written_again_the_same() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    assert_eq!(
        std::fs::read_dir(folder).expect("the folder").count(),
        SAMPLES.len(),
        "a sample is not tested"
    );
    for (name, text) in SAMPLES {
        let network = Network::from_toml(text).unwrap_or_else(|faults| panic!("{name}: {faults:#?}"));
        assert_eq!(Network::from_toml(&network.to_toml()).as_ref(), Ok(&network), "{name}");
        let json = serde_json::to_string(&network).expect("JSON");
        assert_eq!(Network::from_json(&json).as_ref(), Ok(&network), "{name}");
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = "\
[[region]]
name = \"eu\"
[[region]]
name = \"EU\"
[[origin]]
name = \"o1\"
http = \"origin.example.com\"
[[edge]]
nam = \"e1\"
region = \"eu\"
url = \"https://e1.example.com/path\"
[[edge]]
name = \"e2\"
region = \"eu\"
url = \"https://e2.example.com\"
viewers_max = 0
[[route]]
path = \"live\"
origins = []
[stearing]
";
    let faults = Network::from_toml(text).expect_err("it is full of them");
    let told: Vec<(usize, Kind, String)> =
        faults.iter().map(|f| (f.line.unwrap_or(0), f.kind, f.to_string())).collect();
    let expected = [
        (4, Kind::Value, "region[1].name: a name is"),
        (7, Kind::Value, "origin[0].http: an address is"),
        (8, Kind::Missing, "edge[0].name: is missing"),
        (9, Kind::Unknown, "edge[0].nam: there is no such key; write `name`"),
        (11, Kind::Value, "edge[0].url: an address is"),
        (16, Kind::Value, "edge[1].viewers_max: 0"),
        (18, Kind::Value, "route[0].path: a path begins"),
        (20, Kind::Unknown, "stearing: there is no such key; write `steering`"),
    ];
    for (line, kind, text) in expected {
        let found = told
            .iter()
            .any(|(l, k, t)| *l == line && *k == kind && t.starts_with(&format!("{line}: {text}")));
        assert!(found, "{line} {kind:?} {text} in {told:#?}");
    }
    assert!(told.is_sorted_by_key(|t| t.0), "{told:#?}");
}

#[test]
fn what_does_not_go_together_is_told() {
    let base = SAMPLES[1].1;
    for (old, new, kind, key) in [
        (
            "region = \"us\"\nurl = \"https://us-2",
            "region = \"asia\"\nurl = \"https://us-2",
            Kind::Reference,
            "edge[3].region",
        ),
        ("then = [\"us\"]", "then = [\"asia\"]", Kind::Reference, "region[0].then[0]"),
        ("name = \"us-2\"", "name = \"us-1\"", Kind::Duplicate, "edge[3].name"),
        (
            "https://us-2.tv.example.com\"\nviewers",
            "https://us-1.tv.example.com\"\nviewers",
            Kind::Duplicate,
            "edge[3].url",
        ),
        ("path = \"/vod/*\"", "path = \"/live/*\"", Kind::Duplicate, "route[1].path"),
        ("cache = \"films\"", "cache = \"film\"", Kind::Reference, "route[1].cache"),
        ("token = \"shop\"", "token = \"shot\"", Kind::Reference, "route[2].token"),
        ("access = \"europe\"", "access = \"asia\"", Kind::Reference, "route[1].access"),
        ("limit = \"viewer\"\n\n# Films", "limit = \"all\"\n\n# Films", Kind::Reference, "route[0].limit"),
        ("\"US\", ", "\"DE\", ", Kind::Duplicate, "region[1].countries[0]"),
        ("requests_per_s = 50", "requests_per_s = 0", Kind::Value, "limit[0].requests_per_s"),
        ("min = \"1.2\"", "min = \"1.1\"", Kind::Value, "tls.min"),
        ("ttl_s = 30", "ttl_s = 1", Kind::Value, "steering.ttl_s"),
        ("full_percent = 85", "full_percent = 0", Kind::Value, "steering.full_percent"),
        ("o2.example.internal:8886", "o2.example.internal", Kind::Value, "origin[1].plane"),
        (
            "[[access]]\nname = \"europe\"\ndeny = [\"192.0.2.0/24\"]\nallow = [\"198.51.100.0/24\", \"2001:db8::/32\"]",
            "[[access]]\nname = \"europe\"",
            Kind::Missing,
            "access[0]",
        ),
        (
            "path = \"/live/*\"",
            "path = \"/live/*\"\nhost = \"other.example.com\"",
            Kind::Conflict,
            "route[0].host",
        ),
        (
            "origins = [\"o1\", \"o2\"]\nlimit = \"viewer\"\n\n#",
            "origins = [\"o1\", \"o1\"]\nlimit = \"viewer\"\n\n#",
            Kind::Duplicate,
            "route[0].origins",
        ),
    ] {
        assert!(base.contains(old), "nothing to replace: {old}");
        let faults = Network::from_toml(&base.replacen(old, new, 1)).expect_err(new);
        assert!(
            faults.iter().any(|f| f.kind == kind && f.key == key && f.line.is_some()),
            "{new}: {faults:#?}"
        );
    }
    let lonely = SAMPLES[0].1.to_owned() + "[[region]]\nname = \"moon\"\n[steering]\n";
    let faults = Network::from_toml(&lonely).expect_err("no edge there, and nothing to steer");
    assert_eq!(faults.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(), ["region[1]", "steering"]);
}

#[test]
fn what_is_no_description_is_refused() {
    for text in ["a = = 1", "[[edge]\n", "edge = 7", "[edge]\nname = \"e\"", "\u{0}"] {
        assert!(Network::from_toml(text).is_err(), "{text}");
    }
    for text in ["", "[]", "{\"edge\": {}}", "{\"edge\": [7]}", "nan"] {
        assert!(Network::from_json(text).is_err(), "{text}");
    }
    let many = "[[x]]\n".repeat(1_000) + "y = 1";
    assert!(Network::from_toml(&many).is_err());
    assert!(Network::from_toml(&"#".repeat(5 << 20)).expect_err("too long")[0].kind == Kind::Syntax);
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(cut in 0..SAMPLES[1].1.len(), at in 0..SAMPLES[1].1.len(), byte in 32_u8..127) {
        let text = SAMPLES[1].1;
        let _ = Network::from_toml(&text[..cut]);
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(network) = Network::from_toml(&String::from_utf8_lossy(&bytes)) {
            assert_eq!(Network::from_toml(&network.to_toml()), Ok(network));
        }
    }
}
