//! Rules of the house, checked: who may import whom, what stays out of the sans-I/O core, how files begin.
#![expect(clippy::panic, reason = "a test fails by panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Crate folder and the crates of ours that it may import. A new arrow is a decision: change it here first.
const ARROWS: &[(&str, &[&str])] = &[
    ("media-core/media", &[]),
    ("media-core/codec", &["nx-media"]),
    ("media-core/container", &["nx-media", "nx-codec"]),
    ("media-core/crypt", &["nx-media", "nx-container"]),
    ("media-core/rtmp", &[]),
    ("media-core/timeline", &["nx-media", "nx-codec"]),
    ("media-core/hls", &["nx-media", "nx-container", "nx-crypt"]),
    ("media-core/plane", &["nx-hls"]),
    ("media-core/dash", &["nx-media", "nx-hls", "nx-crypt"]),
    ("web", &[]),
    ("services/contract", &["nx-scene"]),
    ("services/catalog", &[]),
    ("services/db", &[]),
    ("services/bus", &[]),
    ("services/mesh", &[]),
    ("services/peers", &[]),
    // nx-peers for its tests, and those of others.
    ("services/chassis", &["nx-bus", "nx-catalog", "nx-db", "nx-mesh", "nx-peers"]),
    ("services/example", &["nx-chassis"]),
    ("services/webhooks", &["nx-chassis"]),
    ("services/reporter", &["nx-chassis"]),
    ("services/platform", &["nx-chassis", "nx-contract", "nx-webhooks"]),
    ("services/content", &["nx-chassis", "nx-contract", "nx-media"]),
    // nx-catalog: which services have something of a person to give out and to erase.
    ("services/identity", &["nx-catalog", "nx-chassis", "nx-contract", "nx-webhooks"]),
    ("services/keys", &["nx-chassis", "nx-contract"]),
    (
        "services/ring",
        &[
            "nx-chassis",
            "nx-content",
            "nx-content",
            "nx-contract",
            "nx-identity",
            "nx-keys",
            "nx-platform",
            "nx-reporter",
            "nx-webhooks",
        ],
    ),
    ("delivery/access", &["nx-media"]),
    ("delivery/h2", &[]),
    (
        "delivery",
        &["nx-access", "nx-h2", "nx-media", "nx-container", "nx-crypt", "nx-hls", "nx-dash", "nx-web"],
    ),
    ("live-plane", &["nx-access", "nx-media", "nx-hls", "nx-plane", "nx-delivery"]),
    ("doctor", &[]),
    ("settings", &[]),
    ("cdn-config", &["nx-settings"]),
    ("store", &["nx-media", "nx-container", "nx-crypt", "nx-hls"]),
    ("store/cloud", &["nx-store"]),
    ("vod", &["nx-media", "nx-codec", "nx-container", "nx-hls"]),
    (
        "services/gateway",
        &[
            "nx-catalog",
            "nx-chassis",
            "nx-contract",
            "nx-delivery",
            "nx-mesh",
            "nx-reporter",
            "nx-web",
            "nx-webhooks",
        ],
    ),
    ("origin/admission", &["nx-media"]),
    (
        "edge-node",
        &["nx-access", "nx-media", "nx-delivery", "nx-live-plane", "nx-web", "nx-cache", "nx-cdn-config"],
    ),
    ("edge-node/cache", &[]),
    ("origin/srt", &[]),
    ("transcoder/worker-protocol", &["nx-media"]),
    ("transcoder/ladder", &["nx-media", "nx-codec", "nx-worker-protocol"]),
    ("transcoder", &["nx-media", "nx-codec", "nx-worker-protocol"]),
    ("mixer/scene", &["nx-media"]),
    ("mixer", &["nx-scene"]),
    (
        "origin",
        &[
            "nx-access",
            "nx-media",
            "nx-admission",
            "nx-srt",
            "nx-codec",
            "nx-container",
            "nx-crypt",
            "nx-rtmp",
            "nx-timeline",
            "nx-hls",
            "nx-store",
            "nx-cloud",
            "nx-vod",
            "nx-contract",
            "nx-delivery",
            "nx-live-plane",
            "nx-worker-protocol",
            "nx-ladder",
            "nx-scene",
        ],
    ),
    (
        ".",
        &[
            "nx-access",
            "nx-cdn-config",
            "nx-catalog",
            "nx-contract",
            "nx-delivery",
            "nx-doctor",
            "nx-edge-node",
            "nx-gateway",
            "nx-origin",
            "nx-ring",
            "nx-settings",
        ],
    ),
];

/// Crates with sockets, clocks, threads or randomness: not for the core.
const IO_CRATES: &[&str] = &[
    "tokio",
    "mio",
    "hyper",
    "socket2",
    "getrandom",
    "rand",
    "reqwest",
    "axum",
    "quinn",
    "async-std",
    "smol",
];

/// Words of I/O in sources of the core.
const IO_WORDS: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "std::time::Instant",
    "std::env",
];

const FILE_LINES_MAX: usize = 600;
const WIRING_LINES_MAX: usize = 600;
/// Without what its tests stand on.
const CHASSIS_LINES_MAX: usize = 3000;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every file below `folder` with one of the endings, build results and modules left out.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.map(|e| e.expect("readable folder").path()) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            if !["target", "node_modules", "dist", ".git", "nexus-data"].contains(&name.as_str()) {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|e| name.ends_with(e)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Names in a section of a manifest: `dependencies`, `dev-dependencies`.
fn section(manifest: &str, name: &str) -> Vec<String> {
    let head = format!("[{name}]");
    let body = manifest.lines().skip_while(|l| l.trim() != head).skip(1).take_while(|l| !l.starts_with('['));
    body.filter_map(|l| l.split(['=', '.', ' ']).next())
        .filter(|n| !n.is_empty() && !n.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn package(manifest: &str) -> &str {
    let line = manifest.lines().find_map(|l| l.strip_prefix("name = \"")).expect("a package name");
    line.trim_end_matches('"')
}

#[test]
fn arrows_point_down() {
    let mut wrong = Vec::new();
    for (folder, allowed) in ARROWS {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        for import in section(&manifest, "dependencies").iter().filter(|d| d.starts_with("nx-")) {
            if !allowed.contains(&import.as_str()) {
                wrong.push(format!("{folder} imports {import}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong:#?}\nadd the arrow to tests/tidy.rs only with a reason in ARCHITECTURE.md"
    );
}

#[test]
fn every_crate_is_in_the_table_and_bears_its_folders_name() {
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for manifest in files(&root(), &["Cargo.toml"]) {
        let folder = manifest.parent().expect("a folder");
        let relative = folder.strip_prefix(root()).expect("below the root").to_str().expect("plain names");
        if relative.is_empty() || relative == "fuzz" {
            continue;
        }
        assert!(table.contains_key(relative), "{relative} is not in the table of tests/tidy.rs");
        let name = folder.file_name().and_then(|n| n.to_str()).expect("a name");
        assert_eq!(package(&read(&manifest)), format!("nx-{name}"), "{relative}");
    }
}

#[test]
fn the_core_does_no_io() {
    let core = root().join("media-core");
    for manifest in files(&core, &["Cargo.toml"]) {
        for import in section(&read(&manifest), "dependencies") {
            assert!(!IO_CRATES.contains(&import.as_str()), "{} imports {import}", manifest.display());
        }
    }
    for source in files(&core, &[".rs"]) {
        let text = read(&source);
        for word in IO_WORDS {
            assert!(!text.contains(word), "{} has {word}", source.display());
        }
        assert!(!text.contains("async fn"), "{} is async", source.display());
    }
}

#[test]
fn every_file_opens_with_its_purpose() {
    for source in files(&root(), &[".rs"]) {
        assert!(read(&source).starts_with("//!"), "{} does not begin with //!", source.display());
    }
    for source in files(&root().join("web/src"), &[".ts", ".svelte", ".css"]) {
        let text = read(&source);
        let start = text.trim_start();
        assert!(
            ["//", "/*", "<!--"].iter().any(|c| start.starts_with(c)),
            "{} does not begin with a comment that says what it is for",
            source.display()
        );
    }
}

#[test]
fn files_are_short_enough_to_be_read() {
    for source in files(&root(), &[".rs"]) {
        let is_test = source.to_string_lossy().contains("tests");
        let lines = read(&source).lines().count();
        assert!(is_test || lines <= FILE_LINES_MAX, "{} has {lines} lines: two rooms?", source.display());
    }
    let wiring: usize = files(&root().join("src"), &[".rs"])
        .iter()
        .filter(|f| !f.ends_with("tests.rs"))
        .map(|f| read(f).lines().count())
        .sum();
    assert!(wiring <= WIRING_LINES_MAX, "src/ has {wiring} lines; it is for wiring only");
    let chassis: usize = files(&root().join("services/chassis/src"), &[".rs"])
        .iter()
        .filter(|f| !f.components().any(|c| c.as_os_str().to_string_lossy().starts_with("test")))
        .map(|f| read(f).lines().count())
        .sum();
    assert!(
        chassis <= CHASSIS_LINES_MAX,
        "the chassis has {chassis} lines: what one domain needs lives there"
    );
}

#[test]
fn unsafe_code_stays_out() {
    for source in files(&root(), &[".rs"]) {
        if source.ends_with("tidy.rs") {
            continue;
        }
        assert!(!read(&source).contains("unsafe "), "{} has unsafe code", source.display());
    }
    assert!(read(&root().join("Cargo.toml")).contains("unsafe_code = \"deny\""));
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["todo!(", "unimplemented!(", "FIXME", "#[ignore"];
    for source in files(&root(), &[".rs", ".ts", ".svelte"]) {
        if source.ends_with("tidy.rs") {
            continue;
        }
        let text = read(&source);
        for mark in marks {
            assert!(!text.contains(mark), "{} has {mark}", source.display());
        }
    }
}

#[test]
fn the_lock_file_of_the_pages_names_no_host() {
    let lock = read(&root().join("web/package-lock.json"));
    assert!(!lock.contains("\"resolved\""), "web/package-lock.json names a registry: see web/.npmrc");
}
