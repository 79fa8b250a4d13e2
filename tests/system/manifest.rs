//! Manifests of assets, verified by what the README gives to others, which is none of our code.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::api::{SOON, multivariant};
use crate::assets::now;
use crate::encoder::{SMALL, eventually, ffmpeg, fresh, run};
use crate::support::{Server, http};

const API: &str = "/api/streamcore/v1";
const KEEP: (&str, &str) = ("NEXUS__ORIGIN__STORE__KEEP_S", "3600");

/// The program of the README, on a manifest; whether it is content, and what it said.
fn verify(data: &Path, server: &Server, manifest: &str) -> (bool, String) {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("reads");
    let program =
        readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
    let [code, file] = ["verify.py", "manifest.json"].map(|name| data.join(name).display().to_string());
    std::fs::write(&code, program).and_then(|()| std::fs::write(&file, manifest)).expect("writes");
    let key = data.join("manifest.pem").display().to_string();
    let (ok, out, err) = run("python3", &[&code, &file, &format!("http://{}", server.edge()), &key], SOON);
    (ok, out + &err)
}

/// What is done to a manifest, and how.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Value));

#[test]
fn a_manifest_proves_what_was_stored_and_nothing_else() {
    let data = fresh(&format!("manifest-{}", std::process::id()));
    let server = Server::in_folder(&data, &[KEEP]);
    let encoder = ffmpeg(server.rtmp(), "live/show", SMALL);
    multivariant(&server, "live/show");
    let cut = json!({"stream": "live/show", "from": -2, "to": now() + 4.0}).to_string();
    let made = http::send(server.gateway(), "POST", &format!("{API}/cuts"), &cut).expect("an answer");
    let made: Value = serde_json::from_slice(&made.body).expect("JSON");
    let path =
        format!("{API}/assets/{}/manifest.json", made["id"].as_str().unwrap_or_else(|| panic!("{made}")));
    let waits = http::get(server.gateway(), &path).expect("an answer");
    assert_eq!(waits.status, 409, "it is still to come");
    let ask = |server: &Server| {
        let reply = http::get(server.gateway(), &path).expect("an answer");
        (reply.status == 200).then(|| String::from_utf8(reply.body).expect("text"))
    };
    let manifest = eventually(SOON, || ask(&server)).unwrap_or_else(|| panic!("{}", server.log()));
    let told: Value = serde_json::from_str(&manifest).expect("JSON");
    let entries = told["entries"].as_array().expect("entries").clone();
    let paths: Vec<&str> = entries.iter().filter_map(|e| e["path"].as_str()).collect();
    assert!(
        paths.contains(&"/live/show/v1/init-0.mp4") && paths.contains(&"/live/show/a1/init-0.mp4"),
        "{paths:?}"
    );
    assert!(
        paths.iter().filter(|p| p.starts_with("/live/show/v1/") && p.ends_with(".m4s")).count() >= 3,
        "{paths:?}"
    );
    assert_eq!(verify(&data, &server, &manifest), (true, "Signature Verified Successfully\n".into()));
    let mode = std::fs::metadata(data.join("manifest.key")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Whatever is changed of it is noticed.
    let second = entries.len() - 1;
    let changes: [Change; 6] = [
        ("an entry left out", &|m| drop(m["entries"].as_array_mut().expect("entries").remove(second))),
        ("two in another order", &|m| m["entries"].as_array_mut().expect("entries").swap(1, 2)),
        ("another hash", &|m| m["entries"][second]["sha256"] = "00".into()),
        ("another time", &|m| m["entries"][second]["begins_at"] = "1970-01-01T00:00:00.000Z".into()),
        ("another end", &|m| m["end"] = m["start"].clone()),
        ("another stream", &|m| m["stream"] = "live/other".into()),
    ];
    for (name, change) in changes {
        let mut changed = told.clone();
        change(&mut changed);
        let (good, said) = verify(&data, &server, &changed.to_string());
        assert!(!good, "{name}: {said}");
    }
    drop((encoder, server));
    // Another process signs with the same key.
    let server = Server::in_folder(&data, &[KEEP]);
    assert_eq!(ask(&server).as_ref(), Some(&manifest));
    // Of bytes that went bad on the disk there is no manifest, nor do they pass for what was stored.
    let folder = data.join("store/live/show");
    let media = std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path());
    let media = media.into_iter().find(|p| p.extension().is_some_and(|e| e == "media")).expect("media");
    let mut bytes = std::fs::read(&media).expect("reads");
    bytes.iter_mut().for_each(|b| *b ^= 1);
    std::fs::write(&media, bytes).expect("writes");
    let broken = ask(&server).expect("its beginning");
    assert!(serde_json::from_str::<Value>(&broken).is_err(), "{broken}");
    let (good, said) = verify(&data, &server, &manifest);
    assert!(!good && said.contains("is another"), "{said}");
    std::fs::remove_dir_all(data).expect("removes");
}
