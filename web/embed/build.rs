//! Tells the crate whether the pages have been built: sets `nx_web_built` when `dist/` holds them all.
use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(nx_web_built)");
    // While it is absent, cargo runs this script in every build, and so notices it once it is there.
    println!("cargo::rerun-if-changed=dist");
    if ["watch", "status", "recordings", "errors", "account", "people", "channels", "server"]
        .iter()
        .all(|page| Path::new(&format!("dist/{page}.html")).is_file())
    {
        println!("cargo::rustc-cfg=nx_web_built");
    }
}
