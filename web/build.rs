//! Points the embedding at `web/dist`, or at an empty folder when the pages were not built.

use std::path::PathBuf;

fn main() {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from).expect("cargo sets it");
    let dist = var("CARGO_MANIFEST_DIR").join("dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let folder = if dist.join("watch.html").exists() {
        dist
    } else {
        println!(
            "cargo::warning=web/dist is missing: building without the watch and status pages (run `make web`)"
        );
        let empty = var("OUT_DIR").join("no-pages");
        std::fs::create_dir_all(&empty).expect("the build's own folder can be written");
        empty
    };
    println!("cargo::rustc-env=NX_WEB_DIST={}", folder.display());
}
