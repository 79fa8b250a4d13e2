//! Keeps one stream's worker: starts it, feeds it, listens to it, replaces it when it dies or hangs.

use std::io;
use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, TimedOut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nx_media::VIDEO_TIMESCALE;
use nx_worker_protocol::{Device, Load, Output as Made, Reply, Request};
use tokio::time::Instant;

use super::capacity::Place;
use super::post::{Counter, Shared, State};
use crate::worker::{self, Crashes, Input, Output, Worker, ended};

/// A worker that says nothing while so much is offered to it hangs; 90 kHz.
const HANG: i64 = 5 * VIDEO_TIMESCALE as i64;
/// Longer between two loads is a pause in the source; 90 kHz.
const PASSED_MAX: i64 = 10 * VIDEO_TIMESCALE as i64;
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(500);

/// Which program, and how often it may die.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) program: PathBuf,
    /// So many crashes within the time are one too many.
    pub(crate) crashes_max: usize,
    pub(crate) crashes_within: Duration,
}

/// Keeps a worker until nobody wants the ladder any more, or too many died.
pub(crate) async fn keep(mut counter: Counter, rules: Rules, place: Place) {
    let mut crashes = Crashes::new(rules.crashes_max, rules.crashes_within);
    let shared = counter.shared.clone();
    loop {
        let Err(error) = attend(&mut counter, &rules, &place).await else { return };
        if counter.is_over() {
            return;
        }
        shared.turn();
        if error.kind() == NotFound {
            return drop_it(&shared, &place, worker::absent(&rules.program));
        }
        // It said why not, or what is wanted cannot be said.
        if matches!(error.kind(), InvalidData | InvalidInput) {
            return drop_it(&shared, &place, error.to_string());
        }
        place.crashed();
        tracing::warn!(stream = %place.stream(), %error, "a transcoder died");
        shared.stand(|s| {
            (s.state, s.pid, s.crashes) = (State::Waiting, None, s.crashes + 1);
            s.reason = Some(format!("the worker died: {error}"));
        });
        let pause = match crashes.note(Instant::now(), &error) {
            Ok(pause) => pause,
            Err(reason) => return drop_it(&shared, &place, reason),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = idle(&mut counter) => return,
        }
    }
}

fn drop_it(shared: &Shared, place: &Place, reason: String) {
    tracing::warn!(stream = %place.stream(), reason, "a ladder is given up");
    shared.stand(|s| (s.state, s.pid, s.reason) = (State::Dropped, None, Some(reason)));
}

/// Drops what comes until nobody sends any more.
async fn idle(counter: &mut Counter) {
    while counter.next().await.is_some() {}
}

/// One worker's life. `Ok` when nobody wants the ladder any more.
async fn attend(counter: &mut Counter, rules: &Rules, place: &Place) -> io::Result<()> {
    let shared = counter.shared.clone();
    shared.stand(|s| s.state = State::Starting);
    let hard = |made: &Made| matches!(made, Made::Rung(rung) if rung.device != Device::Software);
    let mut worker = Worker::start(&rules.program, shared.ladder.outputs.iter().any(hard)).await?;
    let pid = worker.id();
    let heard = AtomicI64::new(shared.offered());
    let result = tokio::select! {
        result = feed(counter, &mut worker.input, || shared.stand(|s| (s.state, s.pid) = (State::Running, pid))) => result,
        result = listen(&shared, &mut worker.output, place, &heard) => result,
        error = watch(&shared, &heard) => Err(error),
    };
    let status = worker.kill().await;
    result.map_err(|error| ended(error, status))
}

/// Tells it the ladder, then sample by sample.
async fn feed(counter: &mut Counter, input: &mut Input, begun: impl FnOnce()) -> io::Result<()> {
    let shared = counter.shared.clone();
    input.tell(&Request::Ladder(Box::new(shared.ladder.clone()))).await?;
    begun();
    let mut told = vec![true; shared.ladder.outputs.len()];
    while let Some(job) = counter.next().await {
        for (output, told) in told.iter_mut().enumerate() {
            let on = shared.is_wanted(output);
            if let (true, Ok(output)) = (std::mem::replace(told, on) != on, u8::try_from(output)) {
                input.tell(&Request::Wanted { output, on }).await?;
            }
        }
        input.tell(&Request::Sample(job.kind, job.sample)).await?;
    }
    Ok(())
}

/// Hears what it says, for ever.
async fn listen(shared: &Shared, output: &mut Output, place: &Place, heard: &AtomicI64) -> io::Result<()> {
    let mut before = None;
    loop {
        let reply = output.hear().await?;
        heard.store(shared.offered(), Ordering::Relaxed);
        match reply {
            Reply::Load(load) => note_load(shared, place, before.replace(load), load),
            // It lives, and has nothing to say about this source.
            Reply::Failed(why) => return Err(io::Error::new(InvalidData, why)),
            reply => shared.reply(reply),
        }
    }
}

fn note_load(shared: &Shared, place: &Place, before: Option<Load>, load: Load) {
    let Some(before) = before else { return };
    let passed = load.taken.saturating_sub(before.taken);
    if (1..=PASSED_MAX).contains(&passed) {
        let (cpu_us, ticks) = (load.cpu_us.saturating_sub(before.cpu_us) as f64, passed as f64);
        let cores = cpu_us / 1e6 / (ticks / f64::from(VIDEO_TIMESCALE));
        let smooth = |old: f64| if old == 0.0 { cores } else { old * 0.8 + cores * 0.2 };
        let cpu = smooth(shared.standing().cpu);
        place.measured(cpu);
        shared.stand(|s| (s.cpu, s.damaged) = (cpu, load.damaged));
    }
}

/// Ends when the worker hangs.
async fn watch(shared: &Shared, heard: &AtomicI64) -> io::Error {
    loop {
        tokio::time::sleep(LOOK).await;
        let silent = shared.offered().saturating_sub(heard.load(Ordering::Relaxed));
        if silent > HANG {
            let seconds = silent / i64::from(VIDEO_TIMESCALE);
            return io::Error::new(TimedOut, format!("it said nothing for {seconds} s of the stream"));
        }
    }
}
