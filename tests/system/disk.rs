//! Disks that are full, read-only or away, for real: live streams go on, the API says what is wrong, and it heals.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::api::{SOON, multivariant, playlist};
use crate::encoder::{SMALL, decode, eventually, ffmpeg, fresh};
use crate::store::listed;
use crate::support::{Server, http};

const KEY: &str = "live/show";
const KEEP: (&str, &str) = ("NEXUS__ORIGIN__STORE__KEEP_S", "3600");

/// Whether this machine lets us mount.
fn mounts() -> bool {
    let can = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status();
    let can = can.is_ok_and(|status| status.success());
    if !can {
        eprintln!("left out: nobody may mount here; a kernel with user namespaces is needed");
    }
    can
}

/// What the API says of the disk.
fn fault(server: &Server) -> Value {
    let reply = http::get(server.gateway(), "/api/streamcore/v1/assets").expect("an answer");
    let page: Value = serde_json::from_slice(&reply.body).expect("JSON");
    page["room"]["fault"].clone()
}

fn until_fault(server: &Server, want: impl Fn(&Value) -> bool) {
    let told = eventually(SOON, || want(&fault(server)).then_some(()));
    assert!(told.is_some(), "{} {}", fault(server), server.log());
}

fn figure(server: &Server, name: &str) -> u64 {
    let page = http::get(server.origin(), "/metrics").expect("an answer").body;
    let page = String::from_utf8_lossy(&page).into_owned();
    let value = |line: &str| line.strip_prefix(&format!("nexus_store_{name} "))?.parse().ok();
    page.lines().find_map(value).unwrap_or_else(|| panic!("no {name}: {page}"))
}

/// Segments of the past, by name; not those that it lists as gaps.
fn past(server: &Server) -> Vec<String> {
    let text = playlist(server, &format!("/{KEY}/v1/index.m3u8?start=-3600")).unwrap_or_default();
    text.split("#EXT-X-PROGRAM-DATE-TIME:")
        .filter(|entry| !entry.contains("#EXT-X-GAP"))
        .flat_map(listed)
        .collect()
}

fn bytes(server: &Server, name: &str) -> Option<Vec<u8>> {
    let reply = http::get(server.edge(), &format!("/{KEY}/v1/{name}")).expect("an answer");
    (reply.status == 200).then_some(reply.body)
}

/// Waits until more of the past is there than so many segments, and reads all of it.
fn kept(server: &Server, more_than: usize) -> Vec<(String, Vec<u8>)> {
    let more = || Some(past(server)).filter(|names| names.len() > more_than);
    let names = eventually(SOON, more).unwrap_or_else(|| panic!("nothing kept: {}", server.log()));
    names.into_iter().filter_map(|name| bytes(server, &name).map(|b| (name, b))).collect()
}

/// The live window goes on for three segments.
fn assert_live(server: &Server) {
    let newest = || listed(&playlist(server, &format!("/{KEY}/v1/index.m3u8"))?).pop();
    let mut seen = newest().expect("it is live");
    for _ in 0..3 {
        let next = eventually(SOON, || newest().filter(|name| *name != seen));
        seen = next.unwrap_or_else(|| panic!("live stands still: {}", server.log()));
    }
}

fn assert_has(server: &Server, known: &[(String, Vec<u8>)]) {
    for (name, want) in known {
        assert!(bytes(server, name).as_ref() == Some(want), "{name}: {}", server.log());
    }
}

/// A server that keeps streams below `store/live` in a folder of its own, among mounts that `script` makes there.
fn server(name: &str, script: &str) -> (PathBuf, Server) {
    let data = fresh(&format!("disk-{name}-{}", std::process::id()));
    std::fs::create_dir_all(data.join("store/live")).expect("a folder");
    std::fs::create_dir_all(data.join("spare")).expect("a folder");
    let server = Server::mounted_in(&data, &format!("cd {}; {script}", data.display()), &[KEEP]);
    (data, server)
}

fn script(server: &Server, data: &Path, script: &str) {
    server.remount(&format!("cd {}; {script}", data.display()));
}

#[test]
fn a_full_disk_costs_the_past_alone_and_heals() {
    if !mounts() {
        return;
    }
    let (data, mut server) = server("full", "mount -t tmpfs -o size=8m tmpfs store/live; : > spare/mark");
    let _encoder = ffmpeg(server.rtmp(), KEY, SMALL);
    multivariant(&server, KEY);
    let known = kept(&server, 1);
    assert_eq!((fault(&server), figure(&server, "up")), (Value::Null, 1));
    // Somebody else fills it.
    script(&server, &data, "cat /dev/zero > store/live/ballast 2> /dev/null || true");
    until_fault(&server, |fault| fault == "disk_full");
    assert!(server.wait_for_log("live streams go on, their past has gaps", SOON), "{}", server.log());
    assert_live(&server);
    assert!(figure(&server, "lost_total") > 0 && figure(&server, "up") == 0, "{}", server.log());
    assert_has(&server, &known);
    script(&server, &data, "rm store/live/ballast");
    until_fault(&server, Value::is_null);
    assert!(server.wait_for_log("takes everything again", SOON), "{}", server.log());
    let known = kept(&server, past(&server).len());
    assert!(known.len() > 2, "{}", server.log());
    // What the full disk left behind harms no later process.
    script(&server, &data, "cp -r store/live/. spare");
    server.terminate("KILL");
    std::fs::remove_dir_all(data.join("store")).expect("removes");
    std::fs::create_dir_all(data.join("store")).expect("a folder");
    std::fs::rename(data.join("spare"), data.join("store/live")).expect("renames");
    let server = Server::in_folder(&data, &[KEEP]);
    assert_has(&server, &known);
    let decoded = decode(&format!("http://{}/{KEY}/index.m3u8?start=-3600", server.edge()), 40);
    assert!(decoded.ok && decoded.video as usize >= 59 * known.len(), "{} {decoded:?}", known.len());
    std::fs::remove_dir_all(data).expect("removes");
}

#[test]
fn a_disk_that_is_read_only_or_away_costs_the_past_alone_and_heals() {
    if !mounts() {
        return;
    }
    // The disk, had in two places; in the first there is something read-only without it.
    let mounts = "mount --bind store/live store/live; mount -o remount,bind,ro store/live; \
        mount -t tmpfs tmpfs spare";
    let (data, server) = server("away", mounts);
    let _encoder = ffmpeg(server.rtmp(), KEY, SMALL);
    multivariant(&server, KEY);
    until_fault(&server, |fault| fault == "read_only");
    assert_live(&server);
    assert!(past(&server).is_empty() && figure(&server, "lost_total") > 0, "{}", server.log());
    script(&server, &data, "mount --bind spare store/live");
    until_fault(&server, Value::is_null);
    let known = kept(&server, 2);
    script(&server, &data, "umount -l store/live");
    until_fault(&server, |fault| *fault != Value::Null);
    assert!(server.wait_for_log("is its disk mounted?", SOON), "{}", server.log());
    assert_live(&server);
    script(&server, &data, "mount --bind spare store/live");
    until_fault(&server, Value::is_null);
    assert_has(&server, &known);
    assert_has(&server, &kept(&server, known.len() + 1));
    drop(server);
    std::fs::remove_dir_all(data).expect("removes");
}
