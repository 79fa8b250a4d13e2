//! The service through its routes, on both stores.

use std::time::Duration;

use http::Method;
use nx_chassis::test::{Postgres, TestApp};
use nx_chassis::{Api, Event, Json, Path, Problem, Service, Tx};
use serde_json::{Value, json};

/// Somebody who hears what the notes tell, and tells what they hear.
fn user_auth() -> Service {
    let erase = async |mut tx: Tx, Path(name): Path<String>| -> Result<Json<()>, Problem> {
        Ok(Json(tx.emit(super::ERASED, &name, &()).await?))
    };
    let handle =
        async |Path(name): Path<String>| -> Result<Json<String>, Problem> { Ok(Json(format!("@{name}"))) };
    Service::new("user-auth")
        .emits(super::ERASED)
        .on(super::WRITTEN, count)
        .migration("CREATE TABLE written (id TEXT PRIMARY KEY)")
        .api(Api::new().post("/users/{name}/erase", erase).get("/users/{name}/handle", handle))
}

async fn count(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    tx.run("INSERT INTO written (id) VALUES ($1)", nx_chassis::args![event.subject]).await?;
    Ok(())
}

async fn write(app: &TestApp, key: &str, note: Value) -> nx_chassis::test::Answer {
    app.send(Method::POST, "/notes/v1/notes", &[("idempotency-key", key)], &note).await
}

async fn a_note_from_its_writing_to_its_end(app: TestApp) {
    let note = json!({"text": "buy tea", "remind_at": "2026-01-01T01:00:00Z"});
    let written = write(&app, "1", note.clone()).await;
    assert_eq!(write(&app, "1", note).await.is(201), written.is(201), "once");
    let path = format!("/notes/v1/notes/{}", written.body["id"].as_str().expect("an id"));
    let past = write(&app, "2", json!({"text": "x", "remind_at": "2025-01-01T00:00:00Z"})).await;
    assert_eq!(past.is(422)["errors"][0]["pointer"], "/remind_at");

    let change = json!({"text": "buy milk"});
    let changed = app.send(Method::PATCH, &path, &[("if-match", app.get(&path).await.etag())], &change).await;
    assert_eq!((changed.etag(), &changed.is(200)["text"]), ("\"2\"", &json!("buy milk")));
    assert_eq!(app.get(&format!("{path}/author")).await.is(200), "@operator");

    app.pass(Duration::from_secs(3599)).await;
    assert_eq!(app.get(&path).await.is(200)["reminded"], false);
    app.pass(Duration::from_secs(1)).await;
    assert_eq!(app.get(&path).await.is(200)["reminded"], true);
    app.pass(Duration::from_secs(2 * 3600)).await;
    let _ = app.get(&path).await.is(404);

    let _ = write(&app, "3", json!({"text": "mine"})).await.is(201);
    let _ = app.post("/user-auth/v1/users/operator/erase", &()).await.is(200);
    app.settle().await;
    assert_eq!(app.get("/notes/v1/notes").await.is(200)["items"], json!([]));
    let heard: Option<i64> =
        app.cx("user-auth").db().one("SELECT COUNT(*) AS n FROM written", vec![]).await.expect("a count");
    assert_eq!(heard, Some(2));
}

#[tokio::test]
async fn on_sqlite() {
    a_note_from_its_writing_to_its_end(TestApp::new(vec![super::service(), user_auth()]).await).await;
}

#[tokio::test]
async fn on_postgresql() {
    let postgres = Postgres::start();
    a_note_from_its_writing_to_its_end(TestApp::on(&postgres, vec![super::service(), user_auth()]).await)
        .await;
}

#[tokio::test]
async fn without_its_need_a_name_is_all_that_is_known() {
    let app = TestApp::new(vec![super::service()]).await;
    let note = write(&app, "1", json!({"text": "tea"})).await;
    let path = format!("/notes/v1/notes/{}/author", note.is(201)["id"].as_str().expect("an id"));
    assert_eq!(app.get(&path).await.is(200), "operator");
    assert_eq!(app.get("/notes/health/ready").await.is(200)["needs"]["user-auth"], "down");
}
