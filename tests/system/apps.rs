//! Apps of others, by a library that others wrote, and by somebody in a browser who lets one speak for them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::encoder::{run, scratch};
use crate::support::Server;

/// Every way to get tokens, and every way to lose them, at 360 px in the dark.
#[test]
fn an_app_signs_somebody_in_and_speaks_for_them_as_far_as_they_let_it() {
    let server = Server::configured("[gateway.notify]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\n");
    let invite = server.said("administrator ").expect("a link");
    let script = format!("{}/web/e2e/app.mjs", env!("CARGO_MANIFEST_DIR"));
    let pictures = scratch("app-pictures");
    let pictures = pictures.to_str().expect("a plain path");
    let args = [&*script, invite, "--screenshots", pictures, "--width", "360", "--dark"];
    let (ok, out, err) = run("node", &args, Duration::from_secs(110));
    assert!(ok, "{err}\n{}", server.log());
    let seen: Value = serde_json::from_str(out.trim()).unwrap_or_else(|e| panic!("{e}: {out}"));
    for fault in ["sideways_scroll", "page_errors"] {
        assert_eq!(seen[fault], json!([]), "{seen}");
    }
}

/// Tokens that are nothing to who has stolen them, and pages of other sites.
#[test]
fn what_an_app_has_is_bound_to_its_key() {
    let server = Server::start(&[]);
    let invite = server.said("administrator ").expect("a link");
    let script = format!("{}/web/e2e/bound.mjs", env!("CARGO_MANIFEST_DIR"));
    let (ok, out, err) = run("node", &[&script, invite], Duration::from_secs(60));
    assert!(ok, "{out}{err}\n{}", server.log());
}
