//! Players that we did not write, in a real browser: that they play, and that no fault upstream ends one of them.
//!
//! Some players end by their own design, with an error that every page can see; the page opens the stream anew, and
//! they have to play then ([`REOPENED`], and per fault). Why they cannot do without:
//!
//! * Chromium's native HLS in a stream that began less than 10 s ago: it fetches all there is before it plays, and then
//!   gives up because the list has nothing newer (`media/filters/hls_rendition_impl.cc`,
//!   `ManifestUpdateForLiveResume`: `kNoDataEverAppended`); without a whole segment it cannot tell what container it
//!   is (`hls_manifest_demuxer_engine.cc`, `DetermineStreamContainer`). It reports `DEMUXER_ERROR_COULD_NOT_PARSE`.
//! * The same at a change of codec: it takes those of the first list for good (`OnMediaPlaylist`: "just assume the
//!   codecs are the same"), and its demuxer refuses others: "Video codec changes not allowed unless using
//!   experimental changeType()".
//! * hls.js and dash.js when nobody listens where the server was, for some seconds: the first after one further try for a
//!   playlist (`hls.js/src/config.ts`, `playlistLoadPolicy`), the other after three for a manifest
//!   (`dashjs/src/core/Settings.js`, `retryAttempts`).
//! * Shaka with HLS at a change of codec: segments of DASH have codecs of their own
//!   (`shaka-player/lib/dash/segment_template.js`, `ref.codecs`), those of HLS never
//!   (`lib/hls/hls_parser.js` sets none), so that `lib/media/streaming_engine.js` (`reference.codecs ||
//!   mediaState.stream.codecs`) never changes the type of its buffer.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::multivariant;
use crate::encoder::{Process, SMALL, Source, ffmpeg, ffmpeg_new, fresh};
use crate::support::Server;
use crate::support::ffmpeg::{Kind, clip};
use crate::support::publish::{Clip, Publisher};

const KEY: &str = "live/players";
/// These may be opened anew whatever happens.
const REOPENED: &[&str] = &["native"];

/// `web/e2e/players.mjs`, all of whose players have begun.
pub(crate) struct Players(Child, BufReader<std::process::ChildStdout>);

impl Players {
    /// They watch for so many seconds more.
    fn start(server: &Server, seconds: u32) -> Self {
        Self::at(&format!("http://{}/{KEY}", server.edge()), seconds)
    }

    /// The same with a stream's folder, and what is asked of its playlists behind it.
    pub(crate) fn at(url: &str, seconds: u32) -> Self {
        Self::with(url, &[format!("--seconds={seconds}")])
    }

    /// The same with further options.
    pub(crate) fn with(url: &str, options: &[String]) -> Self {
        let script = format!("{}/web/e2e/players.mjs", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("node");
        command.args([script, url.to_owned()]).args(options);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("node runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        assert_eq!(next_line(&mut lines), "playing\n");
        Self(child, lines)
    }

    /// How each fared, by name.
    pub(crate) fn report(mut self) -> Vec<(String, Value)> {
        let line = next_line(&mut self.1);
        let _ = self.0.wait();
        let report: serde_json::Map<String, Value> = serde_json::from_str(&line).expect("a report");
        report.into_iter().collect()
    }
}

impl Drop for Players {
    fn drop(&mut self) {
        // It closes its browser itself when asked politely.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn next_line(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).expect("text");
    line
}

/// What there is before a fault.
struct Stage {
    data: PathBuf,
    server: Option<Server>,
    encoder: Option<Process>,
    /// The server's clock is off by what is in this file.
    clock: PathBuf,
}

impl Stage {
    fn server(&self) -> &Server {
        self.server.as_ref().expect("there is one, except while it is started again")
    }

    /// Ends the encoder without a goodbye, and starts another.
    fn encoder(&mut self, source: Source) {
        self.encoder = None;
        self.encoder = Some(ffmpeg(self.server().rtmp(), KEY, source));
    }

    /// Kills the server and starts it again where it was, so many seconds later.
    fn server_again(&mut self, away_s: u64) {
        let mut old = self.server.take().expect("it runs");
        let addresses = [old.rtmp(), old.edge()].map(|a| a.to_string());
        old.terminate("KILL");
        drop(old);
        pause(away_s);
        let [rtmp, edge] = addresses.each_ref().map(String::as_str);
        let env = [("NEXUS__ORIGIN__RTMP__LISTEN", rtmp), ("NEXUS__EDGE__HTTP__LISTEN", edge)];
        self.server = Some(Server::in_folder(&self.data, &env));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server = None;
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// All players watch, the fault happens, and so many seconds later each of them plays on, the `reopened` ones after the
/// page opened the stream anew.
fn outlive(
    name: &str,
    seconds: u32,
    reopened: &[&str],
    begin: impl FnOnce(&mut Stage),
    fault: impl FnOnce(&mut Stage),
) {
    let data = fresh(&format!("players-{name}-{}", std::process::id()));
    let clock = data.join("clock");
    std::fs::write(&clock, "+0").expect("a file");
    let mut stage = Stage { server: None, encoder: None, data, clock };
    begin(&mut stage);
    multivariant(stage.server(), KEY);
    let players = Players::start(stage.server(), seconds);
    fault(&mut stage);
    let report = players.report();
    for (player, fared) in &report {
        eprintln!("{name} {player} {fared}");
    }
    let again = |player: &str| reopened.iter().chain(REOPENED).any(|p| *p == player);
    let dead: Vec<_> =
        report.iter().filter(|(p, f)| f["alive"] != true || (f["reopened"] != 0 && !again(p))).collect();
    assert!(dead.is_empty() && report.len() == 5, "{dead:#?}\n{}", stage.server().log());
}

fn published(stage: &mut Stage) {
    stage.server = Some(Server::in_folder(&stage.data, &[]));
    stage.encoder(SMALL);
}

#[test]
fn every_player_plays() {
    let server = Server::start(&[]);
    let _encoder = ffmpeg(server.rtmp(), KEY, SMALL);
    multivariant(&server, KEY);
    // Longer than what Chromium's own player fetches before it plays.
    pause(12);
    for (player, fared) in Players::start(&server, 10).report() {
        eprintln!("{player} {fared}");
        // Whether a player stalls on a busy machine is for `benches/latency.rs`.
        let fatal = fared["fatal"].as_array().is_none_or(|all| !all.is_empty());
        assert!(fared["alive"] == true && !fatal && fared["reopened"] == 0, "{player}: {fared}");
    }
}

#[test]
fn players_outlive_an_encoder_that_starts_again() {
    // Its time stamps begin at 0 again.
    outlive("again", 10, &[], published, |stage| stage.encoder(SMALL));
}

/// Seconds that the encoder, or the server, is away: `NEXUS_TEST_AWAY_S=20 cargo test --test system away -- --nocapture`.
fn away_s(usual: u64) -> u64 {
    std::env::var("NEXUS_TEST_AWAY_S").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[test]
fn players_outlive_an_encoder_that_is_away() {
    let away_s = away_s(7);
    let seconds = u32::try_from(away_s + 10).expect("some seconds");
    outlive("away", seconds, &[], published, |stage| {
        stage.encoder = None;
        pause(away_s);
        stage.encoder(SMALL);
    });
}

#[test]
fn players_outlive_an_encoder_that_comes_back_with_other_parameters() {
    let other = Source { video: Some("640x360"), extra: &["-ar", "44100"], ..SMALL };
    outlive("other", 12, &[], published, |stage| stage.encoder(other));
}

#[test]
fn players_outlive_a_killed_server() {
    outlive("killed", 14, &[], published, |stage| {
        stage.server_again(0);
        stage.encoder(SMALL);
    });
}

#[test]
fn players_outlive_a_killed_server_that_is_away() {
    let away_s = away_s(5);
    let seconds = u32::try_from(away_s + 14).expect("some seconds");
    outlive("killed-away", seconds, &["hls", "dashjs"], published, |stage| {
        stage.server_again(away_s);
        stage.encoder(SMALL);
    });
}

#[test]
fn players_outlive_four_seconds_of_silence() {
    outlive("silence", 12, &[], published, |stage| {
        let encoder = stage.encoder.as_ref().expect("it runs");
        encoder.signal("STOP");
        pause(4);
        encoder.signal("CONT");
    });
}

#[test]
fn players_outlive_a_change_of_codec() {
    outlive("codec", 14, &["shaka-hls"], published, |stage| {
        stage.encoder = None;
        let mut command = Command::new(ffmpeg_new());
        command.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"]);
        command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
        command.args([
            "-c:v",
            "libvpx-vp9",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-pix_fmt",
            "yuv420p",
        ]);
        command.args(["-g", "60", "-b:v", "300k", "-c:a", "aac", "-b:a", "96k", "-f", "flv"]);
        command.arg(format!("rtmp://{}/{KEY}", stage.server().rtmp()));
        stage.encoder = Some(Process::start(&mut command));
    });
}

#[test]
fn players_outlive_a_picture_that_vanishes_and_comes_back() {
    outlive("sound", 20, &[], published, |stage| {
        stage.encoder(Source { video: None, ..SMALL });
        pause(8);
        stage.encoder(SMALL);
    });
}

/// Runs a publisher from memory until its flag is set; the fault within its connection follows that of `jump`.
fn publisher(server: &Server, jump: &Arc<AtomicBool>, over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let clip = Arc::new(Clip::load(&clip(10, Kind::Small), 10));
    let (app, name) = KEY.split_once('/').expect("an app and a name");
    let mut publisher = Publisher::connect(server.rtmp(), app, name, &clip).expect("it is accepted");
    let (jump, over) = (jump.clone(), over.clone());
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            if jump.swap(false, Ordering::Relaxed) {
                publisher.restart_time();
            }
            // The server may end first.
            if publisher.send_until(Instant::now() + Duration::from_millis(50), |_| {}).is_err() {
                return;
            }
        }
    })
}

#[test]
fn players_outlive_time_stamps_that_begin_anew() {
    let (jump, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut thread = None;
    let begin = |stage: &mut Stage| {
        stage.server = Some(Server::in_folder(&stage.data, &[]));
        thread = Some(publisher(stage.server(), &jump, &over));
    };
    outlive("anew", 10, &[], begin, |_| jump.store(true, Ordering::Relaxed));
    over.store(true, Ordering::Relaxed);
    thread.expect("it began").join().expect("a publisher does not panic");
}

#[test]
fn players_outlive_a_clock_that_is_stepped_by_an_hour() {
    let begin = |stage: &mut Stage| {
        let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
        let clock = stage.clock.display().to_string();
        let env = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &clock),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        stage.server = Some(Server::in_folder(&stage.data, &env));
        stage.encoder(SMALL);
    };
    outlive("hour", 14, &[], begin, |stage| std::fs::write(&stage.clock, "+3600").expect("a file"));
}
