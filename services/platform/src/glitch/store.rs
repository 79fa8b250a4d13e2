//! All SQL of glitch.

use nx_chassis::{Ctx, DbError, Job, Page, Problem, Time, Tx, Value, args, row};
use schemars::JsonSchema;
use serde::Serialize;

use super::event::Report;
use super::monitors::Plan;

/// Most issues of a project; reports of further kinds are one issue.
const ISSUES_MAX: i64 = 5000;
/// Hash of the issue for those.
const OVERFLOW: &str = "overflow";
/// Events of an issue that are kept, the newest.
const EVENTS_OF_ISSUE_MAX: i64 = 100;
/// Monitors of a project.
const MONITORS_MAX: i64 = 200;
/// Releases of a project that are remembered, the newest.
const RELEASES_MAX: i64 = 1000;
/// How long check-ins are kept.
const CHECK_INS_KEPT_MS: i64 = 30 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Who reports.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Project {
    /// The last part of its DSNs.
    pub(super) id: i64,
    pub(super) name: String,
    /// Days that events are kept.
    pub(super) kept_days: i64,
    /// Events and check-ins that are taken in an hour.
    pub(super) events_hour_max: i64,
    pub(super) version: i64,
}
row!(Project { id, name, kept_days, events_hour_max, version });

/// What a DSN has before the `@`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Key {
    pub(super) key: String,
    pub(super) project: i64,
    pub(super) label: String,
}
row!(Key { key, project, label });

/// Errors that are the same.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Issue {
    pub(super) id: String,
    pub(super) project: i64,
    pub(super) title: String,
    pub(super) culprit: String,
    /// The type of the exception; empty for a message.
    pub(super) kind: String,
    pub(super) level: String,
    /// `unresolved`, `resolved` or `ignored`.
    pub(super) state: String,
    /// The newest release that still had it when it was resolved.
    pub(super) resolved_in: Option<String>,
    /// When it came back after it was resolved.
    pub(super) regressed_at: Option<Time>,
    pub(super) first_seen: Time,
    pub(super) last_seen: Time,
    pub(super) first_release: Option<String>,
    pub(super) last_release: Option<String>,
    pub(super) events: i64,
    pub(super) version: i64,
    #[serde(skip)]
    pub(super) rank: String,
}
row!(Issue {
    id,
    project,
    title,
    culprit,
    kind,
    level,
    state,
    resolved_in,
    regressed_at,
    first_seen,
    last_seen,
    first_release,
    last_release,
    events,
    version,
    rank
});

/// One report of an issue.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Event {
    pub(super) id: String,
    /// As the SDK knows it.
    pub(super) event_id: String,
    pub(super) issue: String,
    pub(super) at: Time,
    pub(super) title: String,
    pub(super) level: String,
    pub(super) release: Option<String>,
    pub(super) environment: String,
    /// The whole, without its secrets.
    pub(super) body: serde_json::Value,
}
row!(Event { id, event_id, issue, at, title, level, release, environment } json { body });

/// Events of an hour.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Hour {
    /// Its beginning.
    pub(super) at: Time,
    pub(super) events: i64,
}
row!(Hour { at, events });

/// A version of what reports.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReleaseSeen {
    pub(super) version: String,
    pub(super) first_seen: Time,
}
row!(ReleaseSeen { version, first_seen });

/// Work that is to be heard of.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Monitor {
    pub(super) project: i64,
    pub(super) slug: String,
    /// `ok`, `error`, `in_progress`, `missed` or `timeout`.
    pub(super) state: String,
    pub(super) last_at: Option<Time>,
    pub(super) next_at: Option<Time>,
    pub(super) plan: Plan,
}
row!(Monitor { project, slug, state, last_at, next_at } json { plan });

/// What was heard of it, or was not.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckIn {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) at: Time,
    pub(super) duration_ms: Option<i64>,
    pub(super) environment: String,
}
row!(CheckIn { id, state, at, duration_ms, environment });

/// What is looked for among issues; what is empty does not matter.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) project: Option<i64>,
    pub(super) state: String,
    pub(super) level: String,
    pub(super) release: String,
    /// Words in the title or the place.
    pub(super) words: String,
}

pub(super) async fn projects(cx: &Ctx) -> Result<Vec<Project>, DbError> {
    cx.db().all("SELECT * FROM project ORDER BY id", vec![]).await
}

pub(super) async fn find_project(cx: &Ctx, id: &str) -> Result<Option<Project>, DbError> {
    cx.db().one("SELECT * FROM project WHERE id = $1", args![id.parse().unwrap_or(0_i64)]).await
}

pub(super) async fn project_of(cx: &Ctx, id: &str, key: &str) -> Result<Option<Project>, DbError> {
    let sql = "SELECT p.* FROM project p JOIN dsn_key k ON k.project = p.id WHERE p.id = $1 AND k.key = $2";
    cx.db().one(sql, args![id.parse().unwrap_or(0_i64), key]).await
}

pub(super) async fn add_project(tx: &mut Tx, p: &Project) -> Result<Project, Problem> {
    let sql = "INSERT INTO project (id, name, kept_days, events_hour_max, version) \
               SELECT MAX(id) + 1, $1, $2, $3, 1 FROM project RETURNING *";
    let added = tx.one(sql, args![&p.name, p.kept_days, p.events_hour_max]).await?;
    added.ok_or_else(|| DbError::NotCommitted.into())
}

pub(super) async fn change_project(tx: &mut Tx, p: &Project) -> Result<Project, Problem> {
    let sql = "UPDATE project SET name = $1, kept_days = $2, events_hour_max = $3, version = version + 1 \
               WHERE id = $4 AND version = $5 RETURNING *";
    let changed = tx.one(sql, args![&p.name, p.kept_days, p.events_hour_max, p.id, p.version]).await?;
    changed.ok_or_else(Problem::stale)
}

pub(super) async fn keys(cx: &Ctx, project: i64) -> Result<Vec<Key>, DbError> {
    cx.db().all("SELECT * FROM dsn_key WHERE project = $1 ORDER BY key", args![project]).await
}

pub(super) async fn add_key(tx: &mut Tx, key: &Key) -> Result<(), DbError> {
    let sql = "INSERT INTO dsn_key (key, project, label) VALUES ($1, $2, $3)";
    tx.run(sql, args![&key.key, key.project, &key.label]).await.map(drop)
}

pub(super) async fn remove_key(tx: &mut Tx, project: i64, key: &str) -> Result<(), Problem> {
    match tx.run("DELETE FROM dsn_key WHERE project = $1 AND key = $2", args![project, key]).await? {
        0 => Err(Problem::not_found("this project has no such key")),
        _ => Ok(()),
    }
}

pub(super) async fn issues(cx: &Ctx, wanted: &Wanted, page: &Page) -> Result<Vec<Issue>, DbError> {
    let sql = "SELECT * FROM issue WHERE ($1 = 0 OR project = $1) AND ($2 = '' OR state = $2) AND ($3 = '' OR level = $3) \
               AND ($4 = '' OR last_release = $4 OR first_release = $4) \
               AND ($5 = '' OR LOWER(title) LIKE $5 ESCAPE '!' OR LOWER(culprit) LIKE $5 ESCAPE '!') \
               AND ($6 = '' OR rank < $6) ORDER BY rank DESC LIMIT $7";
    let Wanted { project, state, level, release, words } = wanted;
    let like = words.trim().to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
    let like = if like.is_empty() { like } else { format!("%{like}%") };
    let project = project.unwrap_or(0);
    cx.db().all(sql, args![project, state, level, release, like, &page.after, page.rows()]).await
}

pub(super) async fn issue(cx: &Ctx, id: &str) -> Result<Issue, Problem> {
    let found = cx.db().one("SELECT * FROM issue WHERE id = $1", args![id]).await?;
    found.ok_or_else(|| Problem::not_found("no such issue"))
}

pub(super) async fn set_state(
    tx: &mut Tx,
    issue: &Issue,
    state: &str,
    release: Option<&str>,
) -> Result<Issue, Problem> {
    let sql = "UPDATE issue SET state = $1, resolved_in = $2, version = version + 1 WHERE id = $3 AND version = $4 RETURNING *";
    tx.one(sql, args![state, release, &issue.id, issue.version]).await?.ok_or_else(Problem::stale)
}

/// An issue that was resolved has come back.
pub(super) async fn reopen(tx: &mut Tx, id: &str, now_ms: i64) -> Result<Issue, Problem> {
    let sql = "UPDATE issue SET state = 'unresolved', resolved_in = NULL, regressed_at = $1, version = version + 1 \
               WHERE id = $2 RETURNING *";
    tx.one(sql, args![now_ms, id]).await?.ok_or_else(|| DbError::NotCommitted.into())
}

/// The issue of a report, with the report counted; a new one has one event.
pub(super) async fn note_issue(
    tx: &mut Tx,
    cx: &Ctx,
    project: i64,
    report: &Report,
) -> Result<Issue, Problem> {
    let sql = "INSERT INTO issue AS i (id, project, hash, title, culprit, kind, level, state, first_seen, last_seen, \
               first_release, last_release, events, rank, version) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, 'unresolved', $8, $8, $9, $9, 1, $10, 1) \
               ON CONFLICT (project, hash) DO UPDATE SET events = i.events + 1, title = $4, culprit = $5, level = $7, \
               last_release = COALESCE($9, i.last_release), \
               last_seen = CASE WHEN i.last_seen < $8 THEN $8 ELSE i.last_seen END, \
               rank = CASE WHEN i.last_seen < $8 THEN $11 || i.id ELSE i.rank END RETURNING *";
    let (id, seen) = (cx.new_id(), format!("{:015} ", report.at_ms));
    let Report { hash, title, culprit, kind, level, at_ms, release, .. } = report;
    let rank = format!("{seen}{id}");
    let args = args![id, project, hash, title, culprit, kind, level, *at_ms, release.as_ref(), rank, seen];
    let issue: Issue = tx.one(sql, args).await?.ok_or(DbError::NotCommitted)?;
    count(tx, project, &issue.id, *at_ms).await?;
    Ok(issue)
}

/// Counts an event of an issue, or of the project when `issue` is empty; how many there are in this hour.
pub(super) async fn count(tx: &mut Tx, project: i64, issue: &str, at_ms: i64) -> Result<i64, DbError> {
    let sql = "INSERT INTO tally AS t (project, issue, hour, n) VALUES ($1, $2, $3, 1) \
               ON CONFLICT (project, issue, hour) DO UPDATE SET n = t.n + 1 RETURNING n";
    Ok(tx.one(sql, args![project, issue, at_ms.div_euclid(HOUR_MS)]).await?.unwrap_or_default())
}

/// Whether a project has more issues than it may have.
pub(super) async fn is_full(tx: &mut Tx, project: i64) -> Result<bool, DbError> {
    let count: Option<i64> =
        tx.one("SELECT COUNT(*) AS n FROM issue WHERE project = $1", args![project]).await?;
    Ok(count.unwrap_or_default() > ISSUES_MAX)
}

/// Makes a report one of the issue for all that find no place.
pub(super) fn overflow(report: &mut Report) {
    OVERFLOW.clone_into(&mut report.hash);
    "Further kinds of errors: this project has too many".clone_into(&mut report.title);
    report.culprit.clear();
}

pub(super) async fn forget_issue(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    tx.run("DELETE FROM issue WHERE id = $1", args![id]).await?;
    tx.run("DELETE FROM tally WHERE issue = $1", args![id]).await.map(drop)
}

pub(super) async fn has_event(tx: &mut Tx, project: i64, event_id: &str) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM event WHERE project = $1 AND event_id = $2";
    Ok(tx.one::<()>(sql, args![project, event_id]).await?.is_some())
}

/// Stores an event; of its issue the oldest go.
pub(super) async fn add_event(
    tx: &mut Tx,
    cx: &Ctx,
    project: i64,
    issue: &str,
    report: &Report,
) -> Result<(), DbError> {
    let sql = "INSERT INTO event (id, event_id, project, issue, at, title, level, release, environment, body) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let Report { event_id, at_ms, title, level, release, environment, body, .. } = report;
    let body = Value::json(body);
    tx.run(
        sql,
        args![
            cx.new_id(),
            event_id,
            project,
            issue,
            *at_ms,
            title,
            level,
            release.as_ref(),
            environment,
            body
        ],
    )
    .await?;
    let sql = "DELETE FROM event WHERE issue = $1 AND id <= (SELECT id FROM event WHERE issue = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
    tx.run(sql, args![issue, EVENTS_OF_ISSUE_MAX]).await.map(drop)
}

pub(super) async fn events(cx: &Ctx, issue: &str, page: &Page) -> Result<Vec<Event>, DbError> {
    let sql = "SELECT * FROM event WHERE issue = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3";
    cx.db().all(sql, args![issue, &page.after, page.rows()]).await
}

/// An event by our id, or by the SDK's.
pub(super) async fn event(cx: &Ctx, id: &str) -> Result<Event, Problem> {
    let found = cx.db().one("SELECT * FROM event WHERE id = $1 OR event_id = $1", args![id]).await?;
    found.ok_or_else(|| Problem::not_found("no such event"))
}

/// Events by the hour since a moment, of an issue or of the whole project.
pub(super) async fn hours(cx: &Ctx, project: i64, issue: &str, since_ms: i64) -> Result<Vec<Hour>, DbError> {
    let sql = "SELECT hour * 3600000 AS at, n AS events FROM tally \
               WHERE project = $1 AND issue = $2 AND hour >= $3 ORDER BY hour";
    cx.db().all(sql, args![project, issue, since_ms.div_euclid(HOUR_MS)]).await
}

pub(super) async fn note_release(
    tx: &mut Tx,
    project: i64,
    version: &str,
    now_ms: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO release (project, version, first_seen) VALUES ($1, $2, $3) ON CONFLICT (project, version) DO NOTHING";
    tx.run(sql, args![project, version, now_ms]).await.map(drop)
}

/// When a release was first heard of.
pub(super) async fn release_seen(
    tx: &mut Tx,
    project: i64,
    version: Option<&str>,
) -> Result<Option<i64>, DbError> {
    let sql = "SELECT first_seen AS n FROM release WHERE project = $1 AND version = $2";
    tx.one(sql, args![project, version.unwrap_or_default()]).await
}

/// The releases of a project, the newest first.
pub(super) async fn releases(cx: &Ctx, project: i64) -> Result<Vec<ReleaseSeen>, DbError> {
    let sql = "SELECT version, first_seen FROM release WHERE project = $1 ORDER BY first_seen DESC, version LIMIT 200";
    cx.db().all(sql, args![project]).await
}

pub(super) async fn monitor(tx: &mut Tx, project: i64, slug: &str) -> Result<Option<Monitor>, DbError> {
    tx.one("SELECT * FROM monitor WHERE project = $1 AND slug = $2", args![project, slug]).await
}

pub(super) async fn monitors(cx: &Ctx, project: i64) -> Result<Vec<Monitor>, DbError> {
    cx.db().all("SELECT * FROM monitor WHERE project = $1 ORDER BY slug", args![project]).await
}

pub(super) async fn has_many_monitors(tx: &mut Tx, project: i64) -> Result<bool, DbError> {
    let count: Option<i64> =
        tx.one("SELECT COUNT(*) AS n FROM monitor WHERE project = $1", args![project]).await?;
    Ok(count.unwrap_or_default() >= MONITORS_MAX)
}

pub(super) async fn put_monitor(tx: &mut Tx, m: &Monitor) -> Result<(), DbError> {
    let sql = "INSERT INTO monitor (project, slug, plan, state, last_at, next_at) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (project, slug) DO UPDATE SET plan = $3, state = $4, last_at = $5, next_at = $6";
    tx.run(sql, args![m.project, &m.slug, Value::json(&m.plan), &m.state, m.last_at, m.next_at])
        .await
        .map(drop)
}

/// Notes what a monitor was heard to say, or that it was not; the end of a piece of work in the place of its beginning.
/// The id.
pub(super) async fn note_check_in(
    tx: &mut Tx,
    cx: &Ctx,
    m: &Monitor,
    check_in_id: &str,
    duration_ms: Option<i64>,
    environment: &str,
) -> Result<String, DbError> {
    let sql = "UPDATE check_in SET state = $1, duration_ms = COALESCE($2, duration_ms) WHERE id = \
               (SELECT id FROM check_in WHERE project = $3 AND slug = $4 AND check_in_id = $5 AND check_in_id <> '' \
               ORDER BY id DESC LIMIT 1)";
    let now_ms = cx.now_ms();
    let id = cx.new_id();
    if tx.run(sql, args![&m.state, duration_ms, m.project, &m.slug, check_in_id]).await? == 0 {
        let sql = "INSERT INTO check_in (id, check_in_id, project, slug, state, at, duration_ms, environment) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let args = args![&id, check_in_id, m.project, &m.slug, &m.state, now_ms, duration_ms, environment];
        tx.run(sql, args).await?;
    }
    Ok(id)
}

/// A piece of work has not ended in time; `false` when it has.
pub(super) async fn give_up(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    let sql = "UPDATE check_in SET state = 'timeout' WHERE id = $1 AND state = 'in_progress'";
    Ok(tx.run(sql, args![id]).await? > 0)
}

pub(super) async fn check_ins(
    cx: &Ctx,
    project: i64,
    slug: &str,
    page: &Page,
) -> Result<Vec<CheckIn>, DbError> {
    let sql = "SELECT * FROM check_in WHERE project = $1 AND slug = $2 AND ($3 = '' OR id < $3) ORDER BY id DESC LIMIT $4";
    cx.db().all(sql, args![project, slug, &page.after, page.rows()]).await
}

/// Forgets what is older than its project keeps, and what is too much.
pub(super) async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    let now_ms = cx.now_ms();
    for Project { id, kept_days, .. } in projects(&cx).await? {
        let before_ms = now_ms - kept_days * DAY_MS;
        let mut tx = cx.begin();
        tx.run("DELETE FROM event WHERE project = $1 AND at < $2", args![id, before_ms]).await?;
        tx.run(
            "DELETE FROM tally WHERE project = $1 AND hour < $2",
            args![id, before_ms.div_euclid(HOUR_MS)],
        )
        .await?;
        tx.run("DELETE FROM issue WHERE project = $1 AND last_seen < $2", args![id, before_ms]).await?;
        let sql = "DELETE FROM release WHERE project = $1 AND first_seen < \
                   (SELECT first_seen FROM release WHERE project = $1 ORDER BY first_seen DESC LIMIT 1 OFFSET $2)";
        tx.run(sql, args![id, RELEASES_MAX]).await?;
        tx.commit().await?;
    }
    Ok(cx.run("DELETE FROM check_in WHERE at < $1", args![now_ms - CHECK_INS_KEPT_MS]).await.map(drop)?)
}
