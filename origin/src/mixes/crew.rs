//! Keeps one programme's worker: starts it, tells it what to show, listens to it, replaces it when it dies or hangs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nx_admission::{Input, Limits, Secret};
use nx_contract::mixes::{MixState, Standing};
use nx_media::StreamKey;
use nx_scene::{Begin, LINE_BYTES_MAX, News, Order, Scene, VERSION, line, read};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::desired::{random, secret, uuid};
use crate::hub::{Hub, lock};
use crate::worker::{Crashes, START, ended, named, spawn};

/// The program beside the server's.
const PROGRAM: &str = "nexus-mixer";
/// A worker that says nothing for this long hangs: it has a word each second, but looks at pictures in between.
const SILENCE: Duration = Duration::from_secs(15);
/// Time that it has to end its stream.
const GRACE: Duration = Duration::from_secs(2);

/// What a worker needs to be told.
struct Job {
    hub: Arc<Hub>,
    stream: StreamKey,
    publish_key: String,
    program: PathBuf,
    standing: Arc<Mutex<Standing>>,
}

/// Keeps a worker until nobody has the other end of `scene` any more, or too many died. Meanwhile only it may publish
/// the stream.
pub(crate) async fn keep(
    hub: Arc<Hub>,
    stream: StreamKey,
    scene: watch::Receiver<Scene>,
    standing: Arc<Mutex<Standing>>,
) {
    let (Ok(random), Ok(publish_key)) = (random(), secret()) else {
        lock(&standing).state = MixState::Dropped;
        return;
    };
    let id = uuid(nx_delivery::wall_ms(), random);
    let held = Secret::new(publish_key.as_str());
    hub.admission.add_key(stream.clone(), &id, held, Input::Primary, Limits::default());
    let program = named(hub.config.mixer.worker.as_deref(), PROGRAM);
    Job { hub: hub.clone(), stream, publish_key, program, standing }.run(scene).await;
    hub.admission.remove_key(&id);
}

impl Job {
    async fn run(&self, mut scene: watch::Receiver<Scene>) {
        let config = &self.hub.config.mixer;
        let crashes_max = usize::try_from(config.crashes_max).unwrap_or(usize::MAX);
        let mut crashes = Crashes::new(crashes_max, Duration::from_secs(config.crashes_s.into()));
        loop {
            self.stand(|s| s.state = MixState::Starting);
            let Err(error) = self.attend(&mut scene).await else { return };
            let next = if error.kind() == io::ErrorKind::NotFound {
                Err(absent(&self.program))
            } else {
                tracing::warn!(stream = %self.stream, %error, "a mixer died");
                crashes.note(Instant::now(), &error)
            };
            self.stand(|s| {
                (s.state, s.worker, s.crashes) = (MixState::Waiting, None, s.crashes + 1);
                (s.reason, s.inputs) = (Some(format!("the worker died: {error}")), Vec::new());
            });
            match next {
                Ok(pause) => tokio::select! {
                    () = sleep(pause) => {}
                    () = forgotten(&mut scene) => return,
                },
                Err(reason) => {
                    tracing::warn!(stream = %self.stream, reason, "a programme is given up");
                    return self.stand(|s| (s.state, s.reason) = (MixState::Dropped, Some(reason)));
                }
            }
        }
    }

    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut lock(&self.standing));
    }

    /// One worker's life. `Ok` when nobody wants the programme any more.
    async fn attend(&self, scene: &mut watch::Receiver<Scene>) -> io::Result<()> {
        let (mut child, mut input, output) = spawn(&self.program, None)?;
        let mut output = BufReader::new(output);
        let worker = child.id();
        let begun = async {
            match timeout(START, hear(&mut output)).await?? {
                News::Hello(VERSION) => {}
                News::Hello(other) => {
                    let text = "build it from the same sources";
                    return Err(io::Error::other(format!(
                        "it speaks version {other}, not {VERSION}; {text}"
                    )));
                }
                _ => return Err(io::Error::other("it does not say what it is")),
            }
            let begin = self.begin(scene.borrow_and_update().clone());
            timeout(START, give(&mut input, &Order::Begin(Box::new(begin)))).await?
        };
        let mut result = begun.await;
        if result.is_ok() {
            self.stand(|s| (s.state, s.worker) = (MixState::Running, worker));
            result = tokio::select! {
                result = tell(scene, &mut input) => result,
                result = self.listen(&mut output) => result,
            };
        }
        // It hears the end of its orders, and has ended its stream when it ends.
        drop(input);
        if result.is_ok() {
            let _ = timeout(GRACE, child.wait()).await;
        }
        let _ = child.start_kill();
        let status = child.wait().await.ok();
        result.map_err(|error| ended(error, status))
    }

    fn begin(&self, scene: Scene) -> Begin {
        let pictures = self.hub.config.mixer.pictures.as_deref().and_then(|p| std::path::absolute(p).ok());
        Begin {
            server: reachable(&lock(&self.hub.ingest).rtmp),
            stream: self.stream.to_string(),
            play_key: self.hub.pass.reveal().to_owned(),
            publish_key: self.publish_key.clone(),
            pictures: pictures.map(|folder| folder.to_string_lossy().into_owned()),
            scene,
        }
    }

    /// Hears what it says, for ever.
    async fn listen(&self, output: &mut BufReader<ChildStdout>) -> io::Result<()> {
        loop {
            let silent = |_| {
                io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it said nothing for {} s", SILENCE.as_secs()),
                )
            };
            match timeout(SILENCE, hear(output)).await.map_err(silent)?? {
                News::Status { frames, inputs, faults } => {
                    self.stand(|s| (s.frames, s.inputs, s.faults) = (frames, inputs, faults));
                }
                News::Failed(why) => return Err(io::Error::other(why)),
                News::Hello(_) => return Err(io::Error::other("it says hello twice")),
            }
        }
    }
}

/// Tells what is to be shown whenever that changes, until nobody wants anything any more.
async fn tell(scene: &mut watch::Receiver<Scene>, input: &mut ChildStdin) -> io::Result<()> {
    while scene.changed().await.is_ok() {
        let order = Order::Scene(Box::new(scene.borrow_and_update().clone()));
        give(input, &order).await?;
    }
    Ok(())
}

/// Gives an order. A worker that does not take it any more has said why, or ends: that is heard.
async fn give(input: &mut ChildStdin, order: &Order) -> io::Result<()> {
    match input.write_all(&line(order)).await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        given => given,
    }
}

/// Ends when nobody wants anything any more.
async fn forgotten(scene: &mut watch::Receiver<Scene>) {
    while scene.changed().await.is_ok() {}
}

/// The next that it says.
async fn hear(output: &mut BufReader<ChildStdout>) -> io::Result<News> {
    let mut text = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    if output.take(limit).read_until(b'\n', &mut text).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    read(&text).map_err(io::Error::other)
}

fn absent(program: &Path) -> String {
    format!(
        "nexus-mixer is not at {}; `make mixer` builds it, origin.mixer.worker names another place",
        program.display()
    )
}

/// Where this machine reaches a listener, which may be on every address.
pub(super) fn reachable(url: &str) -> String {
    let address = url.strip_prefix("rtmp://").and_then(|a| a.parse::<SocketAddr>().ok());
    match address {
        Some(any) if any.ip().is_unspecified() => {
            format!("rtmp://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, any.port())))
        }
        _ => url.to_owned(),
    }
}
