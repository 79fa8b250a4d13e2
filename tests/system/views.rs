//! Views of one stream beside the usual ones: what was live and what was kept are the same media, and the doctor has
//! nothing to say.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::api::{SOON, multivariant, playlist, until};
use crate::encoder::{eventually, fresh, run};
use crate::store::send;
use crate::support::ffmpeg::{Kind, clip};
use crate::support::{Server, http, nexus_bin};

const KEPT: &str = "[origin.store]\nkeep_s = 3600\n[origin.stream]\nreconnect_s = 1\nwindow_segments = 4\n";
const LONG: Duration = Duration::from_secs(60);

fn get(server: &Server, path: &str) -> http::Reply {
    http::get(server.edge(), path).expect("an answer")
}

/// Hashes of what a decoder makes of the pictures, or of the sound.
pub(crate) fn decoded(url: &str, stream: &str) -> Vec<String> {
    let args = ["-v", "error", "-i", url, "-map", stream, "-f", "framehash", "-"];
    let (_, out, _) = run("ffmpeg", &args, LONG);
    let rows = out.lines().filter(|l| !l.starts_with('#'));
    rows.filter_map(|l| l.rsplit(',').next().map(|hash| hash.trim().to_owned())).collect()
}

/// Waits until a stream is over.
pub(crate) fn ended(server: &Server, key: &str) {
    let over = || crate::api::stream(server, key).filter(|s| s["state"] == "ended");
    eventually(LONG, over).unwrap_or_else(|| panic!("{key} goes on: {}", server.log()));
}

/// What the doctor finds wrong with a list that it watches for so many seconds.
pub(crate) fn errors(url: &str, seconds: u32) -> Vec<Value> {
    let (bin, seconds) = (nexus_bin(), seconds.to_string());
    let args = ["doctor", url, "--seconds", &seconds, "--format", "json"];
    let (_, out, err) = run(bin.to_str().expect("a path"), &args, LONG);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{url}: {e}: {out}{err}"));
    let findings = report["findings"].as_array().unwrap_or_else(|| panic!("{report}")).clone();
    findings.into_iter().filter(|f| f["severity"] == "error").collect()
}

/// Names of the segments in a list.
fn names(list: &str) -> Vec<String> {
    list.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(str::to_owned).collect()
}

/// Plays a clip to its end; gives the segments in MPEG-TS that were listed meanwhile, as they were live.
fn live_ts(server: &Server, clip: &Path, key: &str) -> BTreeMap<String, Vec<u8>> {
    let sending = send(server, clip, key);
    until(server, key, "live", |s| s["state"] == "live");
    multivariant(server, key);
    let mut seen = BTreeMap::new();
    let over = || {
        for name in playlist(server, &format!("/{key}/ts/index.m3u8")).iter().flat_map(|list| names(list)) {
            seen.entry(name).or_insert_with_key(|name| get(server, &format!("/{key}/ts/{name}")).body);
        }
        crate::api::stream(server, key).filter(|s| s["state"] == "ended")
    };
    eventually(LONG, over).expect("it ends");
    drop(sending);
    seen
}

#[test]
fn mpeg_ts_of_the_past_is_what_it_was_live() {
    let data = fresh(&format!("views-ts-{}", std::process::id()));
    let mut server = Server::configured_in(&data, KEPT);
    let clip = clip(14, Kind::Bframes);
    let file = clip.to_str().expect("a path");
    let mut live = live_ts(&server, &clip, "live/show");
    live.extend(live_ts(&server, &clip, "live/show"));
    assert!(live.len() > 10, "{:?}", live.keys());
    server.terminate("TERM");
    drop(server);
    let server = Server::configured_in(&data, KEPT);
    let list = playlist(&server, "/live/show/ts/index.m3u8?start=-3600").expect("a list");
    let listed = names(&list);
    assert!(
        list.matches("#EXT-X-DISCONTINUITY\n").count() == 1 && list.ends_with("#EXT-X-ENDLIST\n"),
        "{list}"
    );
    for (name, bytes) in &live {
        assert!(listed.contains(name), "{name} is missing in {list}");
        let reply = get(&server, &format!("/live/show/ts/{name}"));
        assert!(
            reply.status == 200 && reply.body == *bytes,
            "{name}: {} {} bytes",
            reply.status,
            reply.body.len()
        );
    }
    let url = format!("http://{}/live/show/ts/index.m3u8?start=-3600", server.edge());
    let (pictures, got) = (decoded(file, "0:v:0"), decoded(&url, "0:v:0"));
    assert!(
        got.len() == 840 && got == [&pictures[..], &pictures].concat(),
        "{} of {}",
        got.len(),
        pictures.len()
    );
    assert_eq!(errors(&url, 5), [] as [Value; 0]);
    assert_eq!(get(&server, "/live/show/ts/3.ts").status, 404);
    drop(server);
    let _ = std::fs::remove_dir_all(data);
}

#[test]
fn the_doctor_has_nothing_to_say_of_any_view_of_the_past() {
    let server = Server::configured(KEPT);
    let clip = clip(24, Kind::Bframes);
    let sending = send(&server, &clip, "live/seen");
    multivariant(&server, "live/seen");
    let base = format!("http://{}/live/seen", server.edge());
    let begun = || playlist(&server, "/live/seen/v1/index.m3u8?delay=6").filter(|l| names(l).len() > 2);
    eventually(LONG, begun).expect("a delayed view");
    let watch = |query: &'static str, seconds: u32| {
        let urls =
            ["index.m3u8", "manifest.mpd", "ts/index.m3u8"].map(|view| format!("{base}/{view}{query}"));
        let watching = urls.map(|url| std::thread::spawn(move || (errors(&url, seconds), url)));
        for watcher in watching {
            let (found, url) = watcher.join().expect("it reports");
            assert!(found.is_empty(), "{url}: {found:#?}");
        }
    };
    watch("?delay=6", 6);
    watch("?start=-8", 6);
    ended(&server, "live/seen");
    drop(sending);
    watch("?start=-3600", 4);
    let list = playlist(&server, "/live/seen/v1/index.m3u8?start=-3600").expect("a list");
    let date =
        list.lines().find_map(|l| l.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:")).expect("a date").to_owned();
    let begins = unix_s(&date);
    for view in ["index.m3u8", "manifest.mpd", "ts/index.m3u8"] {
        let url = format!("{base}/{view}?start={}&end={}", begins + 5, begins + 13);
        assert_eq!(errors(&url, 4), [] as [Value; 0], "{url}");
    }
    assert!(get(&server, "/live/seen/ts/index.m3u8?start=5&end=9").status == 404);
}

#[test]
fn a_rewind_that_goes_on_is_waited_for_part_by_part() {
    let server = Server::configured(KEPT);
    let clip = clip(24, Kind::Bframes);
    let sending = send(&server, &clip, "live/edge");
    multivariant(&server, "live/edge");
    let top = || playlist(&server, "/live/edge/index.m3u8?start=-30").filter(|l| l.contains("v1/index"));
    let top = eventually(LONG, top).expect("a view");
    let uri = top.lines().find(|l| l.starts_with("v1/index.m3u8?start=")).expect("an address").to_owned();
    let path = format!("/live/edge/{uri}");
    let hint = |list: &str| -> Option<(u64, u64)> {
        let name = list.split("PRELOAD-HINT:TYPE=PART,URI=\"").nth(1)?.split('.').map(str::parse);
        let [msn, part] = name.take(2).collect::<Result<Vec<u64>, _>>().ok()?.try_into().ok()?;
        Some((msn, part))
    };
    let mut list =
        eventually(LONG, || playlist(&server, &path).filter(|l| hint(l).is_some())).expect("an edge");
    let first = names(&list).first().cloned().expect("a segment");
    for _ in 0..12 {
        let (msn, part) = hint(&list).expect("a hint");
        list = playlist(&server, &format!("{path}&_HLS_msn={msn}&_HLS_part={part}")).expect("an answer");
        // The last hint of a segment may be in vain: the next segment's first part comes in its place.
        let came = list.contains(&format!("URI=\"{msn}.{part}.m4s\""))
            || list.contains(&format!("\"{}.0.m4s", msn + 1));
        let came = came && hint(&list) > Some((msn, part));
        assert!(came && names(&list).first() == Some(&first), "{msn}.{part}: {list}");
        assert_eq!(get(&server, &format!("/live/edge/v1/{msn}.{part}.m4s")).status, 200);
    }
    let delta = playlist(&server, &format!("{path}&_HLS_skip=YES")).expect("a delta");
    assert!(delta.len() <= list.len(), "{delta}");
    ended(&server, "live/edge");
    drop(sending);
    let over = || playlist(&server, &path).filter(|l| l.ends_with("#EXT-X-ENDLIST\n"));
    let all = eventually(LONG, over).expect("it ends too");
    let url =
        format!("http://{}/live/edge/index.m3u8?{}", server.edge(), uri.split_once('?').expect("a query").1);
    assert!(!all.contains("EXT-X-PART") && decoded(&url, "0:v:0").len() == 720, "{all}");
}

/// Unix seconds of a date.
fn unix_s(date: &str) -> i64 {
    let (_, out, err) = run("date", &["-d", date, "+%s"], SOON);
    out.trim().parse().unwrap_or_else(|_| panic!("{date}: {out}{err}"))
}
