//! Monitors: work that says when it begins, ends or fails, and is missed when it says nothing.
//!
//! Each time at which a monitor must hear something is a job: `expect` looks whether it has.

use nx_chassis::{Cron, Ctx, Job, NewJob, Problem, Time, Tx, zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::name;
use super::store::{self, Monitor};
use super::{EXPECT, FAILED, MISSED};

/// Longest interval, margin and run, minutes: a year.
const MINUTES_MAX: i64 = 527_040;

/// When a monitor must hear something; as the SDKs write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Plan {
    pub(super) schedule: Schedule,
    /// Minutes that it may be late.
    #[serde(default)]
    pub(super) checkin_margin: Option<i64>,
    /// Minutes that the work may take.
    #[serde(default)]
    pub(super) max_runtime: Option<i64>,
    #[serde(default)]
    pub(super) timezone: Option<String>,
}

/// A cron expression, or so many units of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Schedule {
    /// In the monitor's time zone.
    Crontab { value: String },
    /// Since it was heard of last.
    Interval { value: i64, unit: Unit },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Plan {
    fn margin_ms(&self) -> i64 {
        self.checkin_margin.unwrap_or(1).clamp(1, MINUTES_MAX) * 60_000
    }

    fn run_ms_max(&self) -> i64 {
        self.max_runtime.unwrap_or(30).clamp(1, MINUTES_MAX) * 60_000
    }

    /// The next time after a moment; `None` when there is none, or the plan is none.
    fn next_ms(&self, after_ms: i64) -> Option<i64> {
        match &self.schedule {
            Schedule::Crontab { value } => {
                let zone = zone(self.timezone.as_deref().unwrap_or("UTC")).ok()?;
                value.parse::<Cron>().ok()?.next_after(after_ms, zone)
            }
            Schedule::Interval { value, unit } => {
                let minutes = match unit {
                    Unit::Minute => 1,
                    Unit::Hour => 60,
                    Unit::Day => 1440,
                    Unit::Week => 10_080,
                    Unit::Month => 43_920,
                    Unit::Year => 525_600,
                };
                let minutes = value.checked_mul(minutes).filter(|m| (1..=MINUTES_MAX).contains(m))?;
                after_ms.checked_add(minutes * 60_000)
            }
        }
    }

    /// The next time when something is heard at `now_ms` and was due at `due_ms`: what comes a little early is for that time.
    fn next_after(&self, now_ms: i64, due_ms: Option<i64>) -> Option<i64> {
        let early = |due: &i64| *due > now_ms && *due - now_ms <= self.margin_ms();
        let is_cron = matches!(self.schedule, Schedule::Crontab { .. });
        self.next_ms(due_ms.filter(early).filter(|_| is_cron).unwrap_or(now_ms))
    }
}

/// What an SDK says of a piece of work.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    check_in_id: String,
    monitor_slug: String,
    status: String,
    /// Seconds.
    #[serde(default)]
    duration: Option<f64>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    monitor_config: Option<serde_json::Value>,
}

/// What an `expect` job is given.
#[derive(Debug, Serialize, Deserialize)]
struct Expected {
    project: i64,
    slug: String,
    /// The time at which a monitor is to be heard of, or the piece of work that is to end.
    due_at: Option<Time>,
    check_in: Option<String>,
}

/// Takes a check-in. One of a monitor that nobody has described is forgotten.
pub(super) async fn check_in(cx: &Ctx, tx: &mut Tx, project: i64, json: &[u8]) -> Result<(), Problem> {
    let said: Said = serde_json::from_slice(json)
        .map_err(|e| Problem::bad_request(format!("the check-in cannot be read: {e}")))?;
    let slug = name(&said.monitor_slug);
    let known = ["ok", "error", "in_progress"].contains(&said.status.as_str());
    if !known || slug.is_empty() || slug.contains(['/', '\0']) {
        return Err(Problem::bad_request(
            "a check-in has a monitor_slug, and status ok, error or in_progress",
        ));
    }
    let given = said.monitor_config.and_then(|plan| serde_json::from_value::<Plan>(plan).ok());
    let before = store::monitor(tx, project, &slug).await?;
    let plan = given.or_else(|| before.as_ref().map(|m| m.plan.clone()));
    let now_ms = cx.now_ms();
    let Some(plan) = plan.filter(|plan| plan.next_ms(now_ms).is_some()) else { return Ok(()) };
    if before.is_none() && store::has_many_monitors(tx, project).await? {
        return Err(Problem::bad_request("this project has too many monitors"));
    }
    let due_ms = before.as_ref().and_then(|m| m.next_at).map(|t| t.0);
    let next_at = plan.next_after(now_ms, due_ms).map(Time);
    let state = said.status.clone();
    let monitor = Monitor { project, slug, plan, state, last_at: Some(Time(now_ms)), next_at };
    let duration_ms = said.duration.filter(|d| d.is_finite()).map(|d| (d * 1000.0) as i64);
    let id = store::note_check_in(
        tx,
        cx,
        &monitor,
        &name(&said.check_in_id),
        duration_ms,
        &name(&said.environment.unwrap_or_default()),
    )
    .await?;
    follow(cx, tx, &monitor).await?;
    match said.status.as_str() {
        "in_progress" => {
            let end_ms = now_ms + monitor.plan.run_ms_max();
            let expected = Expected { project, slug: monitor.slug, due_at: None, check_in: Some(id) };
            tx.enqueue(NewJob::new(EXPECT, &expected).due(end_ms)).await?;
            Ok(())
        }
        // Told once, not with every failure that follows.
        "error" if before.is_none_or(|m| m.state != "error") => tell(cx, tx, FAILED, &monitor).await,
        _ => Ok(()),
    }
}

/// Stores a monitor as it now is, and has its next time looked at.
async fn follow(cx: &Ctx, tx: &mut Tx, monitor: &Monitor) -> Result<(), Problem> {
    store::put_monitor(tx, monitor).await?;
    let Some(due_at) = monitor.next_at else { return Ok(()) };
    let (project, slug) = (monitor.project, &monitor.slug);
    let expected = Expected { project, slug: slug.clone(), due_at: Some(due_at), check_in: None };
    let look_ms = (due_at.0 + monitor.plan.margin_ms()).max(cx.now_ms());
    let key = format!("{project} {slug} {}", due_at.0);
    tx.enqueue(NewJob::new(EXPECT, &expected).due(look_ms).unique(key)).await?;
    Ok(())
}

/// Looks whether a monitor was heard of, or a piece of work has ended.
pub(super) async fn expect(cx: Ctx, job: Job) -> Result<(), Problem> {
    let Expected { project, slug, due_at, check_in } = job.body()?;
    let mut tx = cx.begin();
    let Some(mut monitor) = store::monitor(&mut tx, project, &slug).await? else { return Ok(()) };
    if let Some(id) = check_in {
        if !store::give_up(&mut tx, &id).await? {
            return Ok(());
        }
        "timeout".clone_into(&mut monitor.state);
        store::put_monitor(&mut tx, &monitor).await?;
        tell(&cx, &mut tx, FAILED, &monitor).await?;
    } else {
        if monitor.next_at != due_at {
            return Ok(());
        }
        let was_missed = monitor.state == "missed";
        "missed".clone_into(&mut monitor.state);
        store::note_check_in(&mut tx, &cx, &monitor, "", None, "").await?;
        // Times that went by while nothing ran here are one.
        monitor.next_at = monitor
            .plan
            .next_ms(due_at.map_or(0, |t| t.0).max(cx.now_ms() - monitor.plan.margin_ms()))
            .map(Time);
        follow(&cx, &mut tx, &monitor).await?;
        if !was_missed {
            tell(&cx, &mut tx, MISSED, &monitor).await?;
        }
    }
    Ok(tx.commit().await?)
}

async fn tell(cx: &Ctx, tx: &mut Tx, kind: &'static str, monitor: &Monitor) -> Result<(), Problem> {
    let Monitor { project, slug, state, .. } = monitor;
    tx.emit(kind, &format!("{project}/{slug}"), monitor).await?;
    nx_webhooks::send(cx, tx, kind, &format!("{slug}: {state}"), monitor).await
}
