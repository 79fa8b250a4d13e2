//! What is done when a time comes.

use nx_chassis::{Ctx, Job, NewJob, Problem, Time, Tx};
use serde::Serialize;
use serde_json::Value;

use super::api::Run;
use super::store::{self, Fire};
use super::{CALL, ENDED, rules};

/// A time of a schedule has come: its run and the next time, in one transaction.
pub(super) async fn fire(cx: Ctx, job: Job) -> Result<(), Problem> {
    let Fire { schedule, due_at } = job.body()?;
    let Ok(mut schedule) = store::schedule(&cx, &schedule).await else { return Ok(()) };
    let now_ms = cx.now_ms();
    let next_at = rules::times(&schedule.cron, &schedule.zone, now_ms.max(due_at.0), 1)?.first().copied();
    let mut tx = cx.begin();
    if !store::advance(&mut tx, &mut schedule, due_at, next_at).await? {
        return Ok(());
    }
    let run = store::begin_run(&mut tx, &cx, &schedule.id, due_at.0, false).await?;
    if schedule.missed.runs(due_at.0, now_ms) {
        tx.enqueue(NewJob::new(CALL, &run.id)).await?;
    } else {
        end(&mut tx, &cx, &run, "skipped", None).await?;
    }
    Ok(tx.commit().await?)
}

/// Posts to the service of a run. Asked twice under the run's id, it does it once.
pub(super) async fn call(cx: Ctx, job: Job) -> Result<(), Problem> {
    let mut run = store::run(&cx, &job.body::<String>()?).await?;
    let Ok(schedule) = store::schedule(&cx, &run.schedule).await else {
        return failed(&cx, &run, &Problem::not_found("the schedule is gone"), true).await;
    };
    run.attempts = job.attempts;
    let answer: Result<Value, _> =
        cx.call_back(&schedule.service).post(&schedule.path, &run.id, &schedule.body).await;
    match answer {
        Ok(_) => {
            let mut tx = cx.begin();
            end(&mut tx, &cx, &run, "succeeded", None).await?;
            Ok(tx.commit().await?)
        }
        Err(problem) => {
            failed(&cx, &run, &problem, job.is_last_try()).await?;
            Err(problem)
        }
    }
}

/// What is told of a run that has ended.
#[derive(Serialize)]
struct Ended<'a> {
    run: &'a str,
    schedule: &'a str,
    due_at: Time,
    state: &'a str,
}

async fn end(tx: &mut Tx, cx: &Ctx, run: &Run, state: &str, error: Option<String>) -> Result<(), Problem> {
    if store::note(tx, run, state, error, Some(Time(cx.now_ms()))).await? {
        let told = Ended { run: &run.id, schedule: &run.schedule, due_at: run.due_at, state };
        tx.emit(ENDED, &run.schedule, &told).await?;
    }
    Ok(())
}

async fn failed(cx: &Ctx, run: &Run, problem: &Problem, is_last: bool) -> Result<(), Problem> {
    let (mut tx, error) = (cx.begin(), Some(problem.to_string()));
    if is_last {
        end(&mut tx, cx, run, "failed", error).await?;
    } else {
        store::note(&mut tx, run, "waiting", error, None).await?;
    }
    Ok(tx.commit().await?)
}
