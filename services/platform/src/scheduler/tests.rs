//! The scheduler, and a counter that it has count; on both stores.

use std::time::Duration;

use http::Method;
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_chassis::{Api, Ctx, Event, Json, Path, Problem, Service, Tx, args};
use serde_json::{Value, json};

/// Counts what it is asked for; `/v1/broken` refuses.
fn counter() -> Service {
    Service::new("counter")
        .migration("CREATE TABLE hit (name TEXT NOT NULL, at_ms BIGINT NOT NULL)")
        .on(super::ENDED, ended)
        .api(Api::new().post_once("/hits/{name}", hit).post("/broken", broken))
}

async fn hit(mut tx: Tx, cx: Ctx, Path(name): Path<String>) -> Result<Json<()>, Problem> {
    tx.run("INSERT INTO hit (name, at_ms) VALUES ($1, $2)", args![name, cx.now_ms()]).await?;
    Ok(Json(()))
}

async fn broken() -> Result<Json<()>, Problem> {
    Err(Problem::internal("as asked for"))
}

async fn ended(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let data: Value = event.data()?;
    let state = data["state"].as_str().unwrap_or_default().to_owned();
    tx.run("INSERT INTO hit (name, at_ms) VALUES ($1, 0)", args![state]).await?;
    Ok(())
}

async fn hits(app: &TestApp, name: &str) -> i64 {
    let sql = "SELECT COUNT(*) AS n FROM hit WHERE name = $1";
    app.cx("counter").db().one(sql, args![name]).await.expect("a count").unwrap_or_default()
}

async fn add(app: &TestApp, key: &str, body: Value) -> Answer {
    app.send(Method::POST, "/scheduler/v1/schedules", &[("idempotency-key", key)], &body).await
}

fn path(answer: &Answer) -> String {
    format!("/scheduler/v1/schedules/{}", answer.is(201)["id"].as_str().expect("an id"))
}

fn wanted(cron: &str, zone: &str, path: &str) -> Value {
    json!({"cron": cron, "zone": zone, "service": "counter", "path": path})
}

async fn each_time_has_one_run_and_its_history(app: TestApp) {
    let added = add(&app, "1", wanted("0 * * * *", "UTC", "/v1/hits/hourly")).await;
    assert_eq!(added.is(201)["next_at"], "2026-01-01T01:00:00.000Z");
    for hour in 1..=5 {
        app.pass(Duration::from_secs(3600)).await;
        assert_eq!((hits(&app, "hourly").await, hits(&app, "succeeded").await), (hour, hour));
    }
    let runs = app.get(&format!("{}/runs?limit=2", path(&added))).await;
    let runs = &runs.is(200)["items"];
    assert_eq!(
        (&runs[0]["due_at"], &runs[0]["state"]),
        (&json!("2026-01-01T05:00:00.000Z"), &json!("succeeded"))
    );
    assert_eq!(runs[1]["due_at"], "2026-01-01T04:00:00.000Z");
    let by_hand =
        app.send(Method::POST, &format!("{}/runs", path(&added)), &[("idempotency-key", "h")], &()).await;
    assert_eq!(by_hand.is(201)["by_hand"], true);
    app.settle().await;
    assert_eq!(hits(&app, "hourly").await, 6);
}

async fn a_night_when_clocks_change_has_one_daily_run(app: TestApp) {
    let added = add(&app, "1", wanted("30 2 * * *", "Europe/Berlin", "/v1/hits/daily")).await;
    let next = app.get(&format!("{}/next", path(&added))).await;
    assert_eq!(
        (&next.is(200)[0], &next.body[9]),
        (&json!("2026-01-01T01:30:00.000Z"), &json!("2026-01-10T01:30:00.000Z"))
    );
    // To noon of 28 March; that night there is no 02:30 in Berlin, and the run comes at the jump.
    app.pass(Duration::from_secs(86 * 24 * 3600 + 12 * 3600)).await;
    assert_eq!(hits(&app, "daily").await, 1, "those that were missed are one run");
    for (hits_then, next) in
        [(1, "2026-03-29T01:00:00.000Z"), (2, "2026-03-30T00:30:00.000Z"), (3, "2026-03-31T00:30:00.000Z")]
    {
        assert_eq!(app.get(&path(&added)).await.is(200)["next_at"], next);
        assert_eq!(hits(&app, "daily").await, hits_then);
        app.pass(Duration::from_secs(24 * 3600)).await;
    }
}

async fn what_was_missed_may_be_skipped(app: TestApp) {
    let mut skip = wanted("0 * * * *", "UTC", "/v1/hits/skip");
    skip["missed"] = json!("skip");
    let added = add(&app, "1", skip).await;
    app.pass(Duration::from_secs(3 * 3600 + 120)).await;
    assert_eq!((hits(&app, "skip").await, hits(&app, "skipped").await), (0, 1));
    assert_eq!(app.get(&path(&added)).await.is(200)["next_at"], "2026-01-01T04:00:00.000Z");
    app.pass(Duration::from_secs(3480)).await;
    assert_eq!(hits(&app, "skip").await, 1);
}

async fn what_fails_is_tried_again_and_ends(app: TestApp) {
    let added = add(&app, "1", wanted("0 0 2 1 *", "UTC", "/v1/broken")).await;
    app.pass(Duration::from_secs(24 * 3600)).await;
    let runs = format!("{}/runs", path(&added));
    assert_eq!(app.get(&runs).await.is(200)["items"][0]["state"], "waiting");
    for _ in 0..10 {
        app.pass(Duration::from_secs(300)).await;
    }
    let run = app.get(&runs).await.is(200)["items"][0].clone();
    assert_eq!((&run["state"], &run["attempts"]), (&json!("failed"), &json!(8)));
    assert_eq!(hits(&app, "failed").await, 1);
}

async fn changed_paused_and_removed(app: TestApp) {
    let added = add(&app, "1", wanted("0 * * * *", "UTC", "/v1/hits/x")).await;
    let place = path(&added);
    let put = async |tag: &str, body: &Value| app.send(Method::PUT, &place, &[("if-match", tag)], body).await;
    let mut paused = wanted("30 * * * *", "UTC", "/v1/hits/x");
    paused["paused"] = json!(true);
    assert!(put("\"1\"", &paused).await.is(200)["next_at"].is_null());
    assert_eq!(put("\"1\"", &paused).await.slug(), "stale");
    app.pass(Duration::from_secs(3600)).await;
    assert_eq!(hits(&app, "x").await, 0, "paused");
    assert_eq!(put("\"2\"", &wanted("30 * * * *", "UTC", "/v1/hits/x")).await.etag(), "\"3\"");
    app.pass(Duration::from_secs(1800)).await;
    assert_eq!(hits(&app, "x").await, 1);
    let _ = app.send(Method::DELETE, &place, &[], &()).await.is(204);
    let _ = app.send(Method::DELETE, &place, &[], &()).await.is(404);
    app.pass(Duration::from_secs(7200)).await;
    assert_eq!(hits(&app, "x").await, 1);
}

async fn what_cannot_be_is_refused_with_its_place(app: TestApp) {
    for (body, pointer) in [
        (wanted("61 * * * *", "UTC", "/v1/x"), "/cron"),
        (wanted("0 * * * *", "Europe/Atlantis", "/v1/x"), "/zone"),
        (wanted("0 * * * *", "UTC", "/health"), "/path"),
        (json!({"cron": "0 * * * *", "service": "billing-service", "path": "/v1/x"}), "/service"),
    ] {
        let refused = add(&app, pointer, body).await;
        assert_eq!(refused.is(422)["errors"][0]["pointer"], pointer);
    }
    let nobody = nx_chassis::Caller::new("somebody", &[]);
    let theirs = app.send_as(Some(nobody), Method::GET, "/scheduler/v1/schedules", &[], &()).await;
    assert_eq!(theirs.slug(), "forbidden");
}

/// Runs each scene on SQLite, and all of them on one PostgreSQL.
macro_rules! scenes {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::TestApp::new(vec![super::super::service(), super::counter()]).await).await;
            })*
        }

        #[tokio::test]
        async fn on_postgresql() {
            let postgres = Postgres::start();
            $($name(TestApp::on(&postgres, vec![super::service(), counter()]).await).await;)*
        }
    };
}
scenes!(
    each_time_has_one_run_and_its_history,
    a_night_when_clocks_change_has_one_daily_run,
    what_was_missed_may_be_skipped,
    what_fails_is_tried_again_and_ends,
    changed_paused_and_removed,
    what_cannot_be_is_refused_with_its_place,
);
