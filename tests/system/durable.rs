//! What a stream keeps over a crash of the server, and what ten thousand silent connections cost.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::api::{SOON, multivariant, number, numbers, playlist, until};
use crate::encoder::{SMALL, eventually, ffmpeg, fresh};
use crate::support::{Server, http};

#[test]
fn numbers_go_on_after_a_crash() {
    let data = fresh(&format!("durable-{}", std::process::id()));
    let path = "/live/keep/v1/index.m3u8";
    let mut server = Server::in_folder(&data, &[]);
    let encoder = ffmpeg(server.rtmp(), "live/keep", SMALL);
    multivariant(&server, "live/keep");
    // A second publisher leaves a discontinuity behind.
    drop(encoder);
    let _encoder = ffmpeg(server.rtmp(), "live/keep", SMALL);
    let text = eventually(SOON, || playlist(&server, path).filter(|t| t.contains("#EXT-X-DISCONTINUITY\n")));
    let before = text.unwrap_or_else(|| panic!("no discontinuity: {}", server.log()));
    let id = crate::api::stream(&server, "live/keep").expect("it is live")["id"].clone();
    server.terminate("KILL");
    drop(server);
    let server = Server::in_folder(&data, &[]);
    let reply = http::get(server.edge(), path).expect("an answer");
    let waits = reply.status == 404 && reply.header("retry-after").is_some();
    assert!(reply.status == 200 || waits, "{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    until(&server, "live/keep", "known under its id", |s| s["id"] == id);
    let _encoder = ffmpeg(server.rtmp(), "live/keep", SMALL);
    let after = eventually(SOON, || playlist(&server, path).filter(|t| t.contains("#EXTINF")));
    let after = after.unwrap_or_else(|| panic!("not taken up again: {}", server.log()));
    assert!(numbers(&after).0 >= numbers(&before).1, "numbers that were given out: {before}\n{after}");
    let seams = |text: &str| {
        let listed = text.matches("#EXT-X-DISCONTINUITY\n").count() as u64;
        (number(text, "#EXT-X-DISCONTINUITY-SEQUENCE"), listed)
    };
    let ((had, listed), (has, _)) = (seams(&before), seams(&after));
    assert!(has >= had + listed, "seams that were seen: {before}\n{after}");
    std::fs::remove_dir_all(data).expect("removes");
}

/// Lets this process and its children open that many files; whether that is possible.
fn files(count: u64) -> bool {
    let limit = format!("--nofile={count}:");
    let pid = std::process::id().to_string();
    let enough = || {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap_or_default().to_owned();
        line.split_whitespace().nth(3).is_some_and(|soft| soft.parse().unwrap_or(u64::MAX) >= count)
    };
    enough() || {
        let _ = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        enough()
    }
}

#[test]
fn ten_thousand_silent_connections_cost_little_and_delay_nobody() {
    const COUNT: usize = 10_000;
    if !files(COUNT as u64 + 1_000) {
        eprintln!("left out: this machine lets nobody open {COUNT} files; raise its hard limit (ulimit -Hn)");
        return;
    }
    let server = Server::start(&[("NEXUS__ORIGIN__RTMP__SILENCE_S", "60")]);
    let rss = server.rss_kib();
    let silent: Vec<TcpStream> = (0..COUNT).filter_map(|_| TcpStream::connect(server.rtmp()).ok()).collect();
    assert!(silent.len() >= COUNT * 99 / 100, "{}", silent.len());
    let since = Instant::now();
    let _encoder = ffmpeg(server.rtmp(), "live/among", SMALL);
    until(&server, "live/among", "on air", |s| s["inputs"][0]["state"] == "on_air");
    assert!(since.elapsed() < Duration::from_secs(2), "with ffmpeg's own start: {:?}", since.elapsed());
    multivariant(&server, "live/among");
    let grown = server.rss_kib().saturating_sub(rss);
    assert!(grown < 100 << 10, "{grown} KiB for {} connections and a stream", silent.len());
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).map_or(0, Iterator::count);
    assert!(open > silent.len(), "the connections are still there: {open}");
}
