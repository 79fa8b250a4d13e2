//! Programmes whose worker is a script.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nx_contract::mixes::MixState;
use nx_delivery::{Certs, TlsConfig};

use super::*;
use crate::hub::Hub;
use crate::{Config, Doors};

const PATIENCE: Duration = Duration::from_secs(30);
/// Writes down what it hears, and says that it made seven frames.
const SCRIBE: &str = r#"printf '{"hello":1}\n'
while read -r line; do
  printf '%s\n' "$line" >>"$0.heard"
  printf '{"status":{"frames":7,"inputs":[],"faults":["x"]}}\n'
done
printf 'end\n' >>"$0.heard""#;

/// A server with a folder that goes with it.
struct Server {
    folder: PathBuf,
    out: Arc<Outbound>,
    doors: Doors,
    stop: watch::Sender<bool>,
}

impl Server {
    async fn new(name: &str, worker: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = std::env::temp_dir().join(format!("nexus-mixes-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("mixer.sh");
        std::fs::write(&program, format!("#!/bin/sh\n{worker}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self::again(folder, change).await
    }

    /// A server that goes on with a folder.
    async fn again(folder: PathBuf, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.rtmp.listen = ([127, 0, 0, 1], 0).into();
        (config.rtmps.enabled, config.srt.enabled) = (false, false);
        config.rtmp.shards = 1;
        config.mixer.worker = Some(folder.join("mixer.sh"));
        change(&mut config);
        let (stop, stopped) = watch::channel(false);
        let hub =
            Hub::new(config, nx_access::Gate::open(nx_access::Terms::default()).unwrap(), &folder).unwrap();
        let mut doors = Doors::new(&hub, stopped).unwrap();
        let certs: Arc<Certs> = TlsConfig::default().certs(&folder).unwrap();
        doors.open(&certs).await.unwrap();
        Self { folder, out: doors.outbound(), doors, stop }
    }

    fn standing(&self, stream: &str) -> Standing {
        self.out.mixes.standing(stream)
    }

    fn heard(&self) -> String {
        std::fs::read_to_string(self.folder.join("mixer.sh.heard")).unwrap_or_default()
    }

    async fn close(self) -> PathBuf {
        let _ = self.stop.send(true);
        self.doors.drained().await;
        self.folder
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
}

fn scene(text: &str) -> Scene {
    serde_json::from_str(text).unwrap()
}

fn one() -> Scene {
    scene(r#"{"inputs":[{"stream":"live/a"}]}"#)
}

fn two() -> Scene {
    scene(r#"{"inputs":[{"stream":"live/a"},{"stream":"live/b"}],"layout":"side_by_side"}"#)
}

fn forget(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_told_what_to_show_and_only_it_may_publish() {
    let server = Server::new("told", SCRIBE, |_| {}).await;
    let (mix, is_new) = server.out.put_mix("live/show", one()).unwrap();
    // Its worker may be quicker than the answer.
    assert!(is_new && matches!(mix.standing.state, MixState::Starting | MixState::Running));
    until("it runs", || server.standing("live/show").frames == 7).await;
    let told = server.standing("live/show");
    assert_eq!((told.state, told.crashes, &told.faults[..]), (MixState::Running, 0, &["x".to_owned()][..]));
    assert!(told.worker.is_some());
    let begin: serde_json::Value = serde_json::from_str(server.heard().lines().next().unwrap()).unwrap();
    let begin = &begin["begin"];
    let hub = &server.out.hub;
    assert_eq!(begin["server"].as_str(), Some(&lock(&hub.ingest).rtmp[..]));
    assert_eq!(
        (begin["stream"].as_str(), begin["play_key"].as_str()),
        (Some("live/show"), Some(hub.pass.reveal()))
    );
    assert_eq!(begin["scene"]["inputs"][0]["stream"], "live/a");
    let keys = hub.admission.keys();
    assert_eq!(keys.iter().map(|k| k.stream.as_str()).collect::<Vec<_>>(), ["live/show"]);
    let mut page = nx_delivery::Metrics::default();
    hub.metrics(&mut page);
    let page = page.into_text();
    for line in ["nexus_mixes 1", "nexus_mixes_up{stream=\"live/show\"} 1"] {
        assert!(page.lines().any(|l| l == line), "{line}: {page}");
    }
    assert!(page.contains("nexus_mixes_frames_total{stream=\"live/show\"} 7\n"), "{page}");
    // Another scene: the same worker hears of it.
    let (_, is_new) = server.out.put_mix("live/show", two()).unwrap();
    until("it hears of the other scene", || server.heard().lines().count() == 2).await;
    assert!(!is_new && server.heard().contains(r#"{"scene":{"canvas""#), "{}", server.heard());
    assert_eq!(server.standing("live/show").worker, told.worker);
    // Without a programme there is no worker, and no key.
    server.out.remove_mix("live/show").unwrap();
    until("it ends by itself", || server.heard().ends_with("end\n")).await;
    until("its key goes", || server.out.hub.admission.keys().is_empty()).await;
    assert!(matches!(server.out.remove_mix("live/show"), Err(Fault::NotFound(_))));
    assert!(server.out.mixes().is_empty());
    forget(&server.close().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_are_replaced_and_in_the_end_given_up() {
    let dying = r#"printf '{"hello":1}\n{"failed":"no server"}\n'; exit 1"#;
    let server = Server::new("dying", dying, |config| config.mixer.crashes_max = 3).await;
    server.out.put_mix("live/show", one()).unwrap();
    until("it is given up", || server.standing("live/show").state == MixState::Dropped).await;
    let told = server.standing("live/show");
    let reason = told.reason.unwrap_or_default();
    assert!(reason.contains("died 3 times within 30 s") && reason.ends_with("no server"), "{reason}");
    assert_eq!((told.crashes, told.worker), (3, None));
    until("its key goes", || server.out.hub.admission.keys().is_empty()).await;
    // Who asks again gets another try.
    std::fs::write(server.folder.join("mixer.sh"), format!("#!/bin/sh\n{SCRIBE}\n")).unwrap();
    server.out.put_mix("live/show", one()).unwrap();
    until("it runs", || server.standing("live/show").state == MixState::Running).await;
    assert_eq!(server.standing("live/show").crashes, 0);
    forget(&server.close().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_mixer_is_given_up_with_a_reason() {
    for (name, worker, want) in [
        ("version", r#"printf '{"hello":9}\n'; read -r line"#, "speaks version 9"),
        ("words", "echo hello", "not understood"),
        ("killed", "kill -9 $$", "signal: 9"),
    ] {
        let server = Server::new(name, worker, |config| config.mixer.crashes_max = 1).await;
        server.out.put_mix("live/show", one()).unwrap();
        until("it is given up", || server.standing("live/show").state == MixState::Dropped).await;
        let reason = server.standing("live/show").reason.unwrap_or_default();
        assert!(reason.contains(want), "{name}: {reason}");
        forget(&server.close().await);
    }
    let server =
        Server::new("absent", "", |config| config.mixer.worker = Some("/nowhere/mixer".into())).await;
    server.out.put_mix("live/show", one()).unwrap();
    until("it is given up", || server.standing("live/show").state == MixState::Dropped).await;
    let reason = server.standing("live/show").reason.unwrap_or_default();
    assert!(reason.contains("/nowhere/mixer") && reason.contains("make mixer"), "{reason}");
    forget(&server.close().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let server = Server::new("refused", SCRIBE, |config| config.mixer.mixes_max = 1).await;
    let out = &server.out;
    let wrong = r#"{"inputs":[{"stream":"live/show","gain":9},{"stream":"?"}],"canvas":{"fps":0}}"#;
    let Err(Fault::Invalid(text)) = out.put_mix("live/show", scene(wrong)) else { panic!("it is taken") };
    for part in ["canvas.fps", "inputs.0.gain", "inputs.1.stream", "inputs.0.stream is the programme itself"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(matches!(out.put_mix("nonsense", one()), Err(Fault::Invalid(_))));
    assert!(out.mixes().is_empty());
    out.put_mix("live/show", one()).unwrap();
    let wider = Scene { canvas: nx_scene::Canvas { width: 640, ..Default::default() }, ..one() };
    assert!(matches!(out.put_mix("live/show", wider), Err(Fault::Conflict(_))));
    let Err(Fault::Full(text)) = out.put_mix("live/other", one()) else { panic!("it is taken") };
    assert!(text.contains("mixes_max"), "{text}");
    assert_eq!(
        out.mixes().iter().map(|m| (&m.stream[..], m.scene == one())).collect::<Vec<_>>(),
        [("live/show", true)]
    );
    forget(&server.close().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_says_outlasts_a_restart_and_goes_before_the_configuration() {
    let fixed = |config: &mut Config| {
        config.mixes = vec![MixConfig { stream: "live/fixed".into(), scene: one() }];
    };
    let server = Server::new("kept", SCRIBE, fixed).await;
    let told = |server: &Server| -> Vec<(String, Held, usize)> {
        server.out.mixes().into_iter().map(|m| (m.stream, m.origin, m.scene.inputs.len())).collect()
    };
    assert_eq!(told(&server), [("live/fixed".into(), Held::Config, 1)]);
    until("it runs", || server.standing("live/fixed").state == MixState::Running).await;
    assert!(matches!(server.out.remove_mix("live/fixed"), Err(Fault::Conflict(_))));
    server.out.put_mix("live/fixed", two()).unwrap();
    server.out.put_mix("live/put", one()).unwrap();
    let server = Server::again(server.close().await, fixed).await;
    assert_eq!(told(&server), [("live/fixed".into(), Held::Api, 2), ("live/put".into(), Held::Api, 1)]);
    until("it runs", || server.standing("live/put").state == MixState::Running).await;
    server.out.remove_mix("live/fixed").unwrap();
    assert_eq!(told(&server), [("live/fixed".into(), Held::Config, 1), ("live/put".into(), Held::Api, 1)]);
    until("it runs", || server.standing("live/fixed").state == MixState::Running).await;
    forget(&server.close().await);
}

#[test]
fn a_listener_on_every_address_is_reached_on_this_machine() {
    for (url, want) in [
        ("rtmp://0.0.0.0:1935", "rtmp://127.0.0.1:1935"),
        ("rtmp://[::]:1935", "rtmp://127.0.0.1:1935"),
        ("rtmp://192.0.2.1:1", "rtmp://192.0.2.1:1"),
        ("rtmp://[::1]:1", "rtmp://[::1]:1"),
    ] {
        assert_eq!(crew::reachable(url), want);
    }
}

#[test]
fn mistakes_in_the_configuration_have_their_keys() {
    let mix = MixConfig { stream: "x".into(), scene: scene(r#"{"inputs":[{"stream":"live/a","gain":7}]}"#) };
    let keys: Vec<String> = mix.faults(1).into_iter().map(|fault| fault.0).collect();
    assert_eq!(keys, ["mixes.1.stream", "mixes.1.scene.inputs.0.gain"]);
}
