//! The process: ready lines, health, metrics, signals, exit codes, safe defaults.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::encoder::{SMALL, ffmpeg};
use crate::live::playable;
use crate::support::process::Usage;
use crate::support::{Server, http, nexus_bin};

fn nexus(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let out = Command::new(nexus_bin()).args(args).envs(env.iter().copied()).output().expect("nexus runs");
    let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[test]
fn every_listener_answers_for_its_health() {
    let server = Server::start(&[]);
    for address in [server.edge(), server.origin(), server.gateway()] {
        for path in ["/health", "/health/ready", "/health/live"] {
            let reply = http::get(address, path).expect("an answer");
            assert_eq!(
                (reply.status, reply.header("content-type")),
                (200, Some("application/json")),
                "{path}"
            );
        }
        let metrics = http::get(address, "/metrics").expect("metrics");
        assert!(String::from_utf8_lossy(&metrics.body).contains("# TYPE nexus_"));
        assert_eq!(http::get(address, "/nothing/here").expect("an answer").status, 404);
    }
    for path in ["/graphql", "/api/billing-service/v1/invoices"] {
        assert_eq!(http::get(server.gateway(), path).expect("an answer").status, 501, "{path}");
    }
}

/// Work that wakes itself costs a core, whatever else the machine does: CPU time and not time is looked at.
#[test]
fn a_server_that_nobody_asks_rests() {
    let server = Server::start(&[]);
    let busy = || {
        let before = Usage::of(server.pid());
        std::thread::sleep(Duration::from_secs(1));
        Usage::of(server.pid()).since(&before)
    };
    // Its start may go on for a moment.
    let rested = (0..10).any(|_| busy().cpu_ms < 100.0);
    assert!(rested, "{:?}: {}", busy(), server.log());
}

#[test]
fn it_stops_cleanly_in_time_even_while_players_wait() {
    let mut server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), "live/stop", SMALL);
    playable(&server, "live/stop");
    let edge = server.edge();
    let waiting = std::thread::spawn(move || {
        let text = http::get(edge, "/live/stop/v1/index.m3u8").expect("a playlist").body;
        let text = String::from_utf8_lossy(&text).into_owned();
        let msn = text
            .split("TYPE=PART,URI=\"")
            .nth(1)
            .and_then(|t| t.split('.').next())
            .expect("a hint")
            .to_owned();
        http::get(edge, &format!("/live/stop/v1/index.m3u8?_HLS_msn={msn}")).map(|r| r.status)
    });
    std::thread::sleep(Duration::from_millis(200));
    let since = Instant::now();
    assert_eq!(server.terminate("TERM"), Some(0), "{}", server.log());
    assert!(since.elapsed() < Duration::from_secs(10));
    let answer = waiting.join().expect("the waiting player");
    assert!(matches!(answer, Ok(200) | Err(_)), "{answer:?}");
}

#[test]
fn a_hangup_reads_the_configuration_again_and_drops_nobody() {
    let server = Server::start(&[]);
    let mut encoder = ffmpeg(server.rtmp(), "live/hup", SMALL);
    playable(&server, "live/hup");
    server.signal("HUP");
    assert!(server.wait_for_log("configuration read again", Duration::from_secs(5)), "{}", server.log());
    assert_eq!(encoder.wait(Duration::from_millis(500)), None, "the publisher stays");
}

#[test]
fn bad_usage_and_bad_configuration_exit_with_2_and_say_why() {
    let (code, _, err) = nexus(&["fly"], &[]);
    assert!(code == Some(2) && err.contains("fly"), "{err}");
    let (code, _, err) = nexus(&["up"], &[("NEXUS__EDGE__HTTP__LISTEN", "0.0.0.0:0")]);
    assert!(
        code == Some(2) && err.contains("NEXUS__EDGE__HTTP__LISTEN") && err.contains("--insecure-open"),
        "{err}"
    );
    let (code, _, err) = nexus(&["up", "--config", "/does/not/exist"], &[]);
    assert!(code == Some(2) && err.contains("cannot be read"), "{err}");
    let (code, _, err) = nexus(&["edge"], &[]);
    assert!(code == Some(2) && err.contains("edge.plane.origins"), "{err}");
    let (code, _, err) = nexus(&["service"], &[]);
    assert!(code == Some(2) && err.contains("NAME"), "{err}");
    let (code, out, _) = nexus(&["--help"], &[]);
    assert!(code == Some(0) && out.contains("Examples:"), "{out}");
}

#[test]
fn a_port_that_is_taken_fails_with_1_and_names_the_setting() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("an address").to_string();
    let folder = crate::encoder::scratch("taken").display().to_string();
    let (code, _, err) = nexus(&["up", "--data", &folder], &[("NEXUS__ORIGIN__RTMP__LISTEN", &address)]);
    assert!(code == Some(1) && err.contains("origin.rtmp.listen"), "{err}");
}
