//! The scenes.

use std::time::Duration;

use futures_like::all;
use http::Method;
use serde_json::json;

use super::*;

/// Futures at the same time, without a crate for it.
mod futures_like {
    pub(super) async fn all<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
    where
        F: Future,
    {
        let mut all: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
        std::future::poll_fn(|cx| {
            let mut waits = false;
            for (future, out) in &mut all {
                if out.is_none() {
                    match future.as_mut().poll(cx) {
                        std::task::Poll::Ready(done) => *out = Some(done),
                        std::task::Poll::Pending => waits = true,
                    }
                }
            }
            if waits { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
        })
        .await;
        all.into_iter().filter_map(|(_, out)| out).collect()
    }
}

pub(super) async fn fifty_equal_requests_have_one_effect(app: TestApp) {
    let answers = all((0..50).map(|_| app.sell("k", "tea", 2))).await;
    assert_eq!(answers.len(), 50);
    for answer in &answers {
        assert_eq!(answer.is(201), &answers[0].body);
        assert_eq!(answer.headers["location"], answers[0].headers["location"]);
    }
    assert_eq!(answers.iter().filter(|a| a.headers.contains_key("idempotency-replayed")).count(), 49);
    assert_eq!(app.get("/till/v1/sales").await.is(200)["items"].as_array().map(Vec::len), Some(1));
    app.settle().await;
    assert_eq!(app.lines().await, [("tea".into(), 2)]);
}

pub(super) async fn a_key_is_for_one_request(app: TestApp) {
    let first = app.sell("k", "tea", 2).await;
    assert_eq!(app.sell("k", "tea", 3).await.slug(), "key-reused");
    assert_eq!(app.sell("k", "tea", 2).await.is(201), first.is(201));
    assert_ne!(app.sell("l", "tea", 2).await.is(201), first.is(201));
    let other = Some(crate::Caller::new("somebody else", &[]));
    let headers = [("idempotency-key", "k")];
    let theirs = app.send_as(other, Method::POST, "/till/v1/sales", &headers, &sale_of("tea", 3)).await;
    assert_ne!(theirs.is(201), first.is(201), "keys belong to callers");
    app.pass(Duration::from_secs(24 * 3600)).await;
    assert_ne!(app.sell("k", "tea", 2).await.is(201), first.is(201), "kept for a day");
    assert_eq!(
        app.post("/till/v1/sales", &sale_of("tea", 1)).await.slug(),
        "bad-request",
        "this route wants a key"
    );
}

pub(super) async fn an_error_undoes_everything(app: TestApp) {
    assert_eq!(app.sell("k", "bad", 1).await.slug(), "bad");
    assert_eq!(app.get("/till/v1/sales").await.is(200)["items"], json!([]));
    let again = app.sell("k", "tea", 1).await;
    let _ = again.is(201);
    app.settle().await;
    assert_eq!(app.lines().await, [("tea".into(), 1)]);
}

pub(super) async fn the_second_of_two_changes_is_told(app: TestApp) {
    let id = app.sell("k", "tea", 1).await.is(201)["id"].as_str().expect("an id").to_owned();
    let path = format!("/till/v1/sales/{id}");
    let read = app.get(&path).await;
    assert_eq!(read.etag(), "\"1\"");
    let known = app.send(Method::GET, &path, &[("if-none-match", "W/\"0\", \"1\"")], &()).await;
    let _ = known.is(304);
    let change = |tag: String| {
        let path = path.clone();
        let app = &app;
        async move { app.send(Method::PATCH, &path, &[("if-match", &tag)], &sale_of("tea", 9)).await }
    };
    assert_eq!(change("\"1\"".into()).await.etag(), "\"2\"");
    assert_eq!(change("\"1\"".into()).await.slug(), "stale");
    assert_eq!(change("x".into()).await.slug(), "stale");
    let blind = app.send(Method::PATCH, &path, &[], &sale_of("tea", 9)).await;
    assert_eq!(blind.slug(), "precondition-required");
    assert_eq!(app.get(&path).await.is(200)["count"], 9);
}

pub(super) async fn lists_come_in_pages(app: TestApp) {
    for nth in 0..5 {
        let _ = app.sell(&format!("{nth}"), "tea", nth + 1).await.is(201);
        app.pass(Duration::from_millis(1)).await;
    }
    let (mut path, mut seen) = ("/till/v1/sales?limit=2".to_owned(), Vec::new());
    loop {
        let page = app.get(&path).await.is(200).clone();
        seen.extend(page["items"].as_array().expect("items").iter().map(|i| i["count"].as_i64()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/till/v1/sales?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, (1..=5).map(Some).collect::<Vec<_>>());
}

pub(super) async fn what_is_wrong_is_named(app: TestApp) {
    let wrong = app.sell("k", "", 101).await;
    let pointers: Vec<_> =
        wrong.is(422)["errors"].as_array().expect("errors").iter().map(|e| &e["pointer"]).collect();
    assert_eq!(pointers, ["/count", "/item"]);
    let key = [("idempotency-key", "k")];
    let post = |body: serde_json::Value| {
        let app = &app;
        async move { app.send(Method::POST, "/till/v1/sales", &key, &body).await }
    };
    assert_eq!(
        post(json!({"item": "tea", "count": 1, "price": 2})).await.slug(),
        "invalid",
        "an unknown field"
    );
    assert_eq!(post(json!({"item": "a\u{0}b", "count": 1})).await.slug(), "bad-request", "a NUL");
    assert_eq!(post(json!({"item": "x".repeat(2 << 20), "count": 1})).await.slug(), "too-large");
    let text = app.send(Method::POST, "/till/v1/sales", &[key[0], ("content-type", "text/plain")], &()).await;
    let _ = text.is(415);
    for (method, path, status) in [
        (Method::GET, "/till/v1/nothing", 404),
        (Method::GET, "/till/v1/sales/7", 404),
        (Method::DELETE, "/till/v1/sales", 405),
        (Method::GET, "/till/v1/sales?limit=x", 400),
    ] {
        let answer = app.send(method, path, &[("x-request-id", "r-1")], &()).await;
        assert_eq!(answer.is(status)["instance"], "urn:nexus:request:r-1", "{path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{path}");
    }
    for (path, word) in [("/till/health/live", "up"), ("/till/health/ready", "up"), ("/till/health", "up")] {
        assert_eq!(app.get(path).await.is(200)["status"], word, "{path}");
    }
    let stranger = app.send_as(None, Method::GET, "/till/dead-letters", &[], &()).await;
    let _ = stranger.is(401);
    let openapi = app.openapi();
    let sell = &openapi["paths"]["/api/till/v1/sales"]["post"];
    assert_eq!(
        sell["requestBody"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/till.NewSale"
    );
    assert_eq!(openapi["components"]["schemas"]["till.NewSale"]["properties"]["count"]["maximum"], 100);
    assert_eq!(sell["parameters"][0]["required"], true);
    let metrics = app.get("/till/metrics").await;
    let line =
        "nexus_service_requests_total{service=\"till\",route=\"/v1/sales\",method=\"POST\",status=\"422\"} 2";
    assert!(metrics.is(200).as_str().is_some_and(|m| m.contains(line)), "{metrics:?}");
}

pub(super) async fn events_come_in_order_and_once(app: TestApp) {
    for nth in 1..=30 {
        let item = ["tea", "milk"][nth % 2];
        let _ = app.sell(&format!("{nth}"), item, i64::try_from(nth).expect("small")).await.is(201);
    }
    // Told twice: as when the relay is killed before it forgets what it has handed on.
    let (till, twice) = (app.cx("till"), "INSERT INTO spare SELECT * FROM chassis_outbox");
    let mut tx = till.begin();
    tx.run("CREATE TABLE spare AS SELECT * FROM chassis_outbox WHERE number < 0", vec![])
        .await
        .expect("a table");
    tx.run(twice, vec![]).await.expect("a copy");
    tx.commit().await.expect("kept");
    app.settle().await;
    let mut tx = till.begin();
    assert_eq!(
        tx.run("INSERT INTO chassis_outbox SELECT * FROM spare", vec![]).await.expect("told again"),
        30
    );
    tx.commit().await.expect("kept");
    app.settle().await;
    let lines = app.lines().await;
    for item in ["tea", "milk"] {
        let counts: Vec<i64> = lines.iter().filter(|l| l.0 == item).map(|l| l.1).collect();
        assert_eq!(counts.len(), 15, "{item}");
        assert!(counts.is_sorted(), "{item}: {counts:?}");
    }
}

pub(super) async fn what_fails_for_good_is_laid_aside_and_replayed(app: TestApp) {
    let _ = app.post("/book/v1/broken/tea", &()).await.is(204);
    for (key, item, count) in [("1", "tea", 1), ("2", "milk", 2), ("3", "tea", 3)] {
        let _ = app.sell(key, item, count).await.is(201);
    }
    app.settle().await;
    assert_eq!(app.lines().await, [("milk".into(), 2)], "others go on; the later tea waits for the first");
    for _ in 0..20 {
        app.pass(Duration::from_secs(300)).await;
    }
    let dead = app.get("/book/dead-letters").await;
    let dead = dead.is(200)["items"].as_array().expect("items").clone();
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert_eq!((&dead[0]["what"], &dead[0]["attempts"]), (&json!("event"), &json!(8)));
    let _ = app.post("/book/v1/broken/tea", &()).await.is(204);
    for letter in &dead {
        let path = format!("/book/dead-letters/{}/replay", letter["id"].as_str().expect("an id"));
        let _ = app.post(&path, &()).await.is(204);
        let _ = app.post(&path, &()).await.is(404);
    }
    app.settle().await;
    assert_eq!(app.lines().await, [("milk".into(), 2), ("tea".into(), 1), ("tea".into(), 3)]);
}

pub(super) async fn jobs_are_tried_again_and_come_by_themselves(app: TestApp) {
    let _ = app.post("/book/v1/broken/audit", &()).await.is(204);
    let id = app.post("/book/v1/audits", &()).await.is(200).as_str().expect("an id").to_owned();
    assert!(app.post("/book/v1/audits", &()).await.is(200).is_null(), "one under a key");
    app.settle().await;
    assert_eq!(app.lines().await, [], "undone");
    let job = app.get(&format!("/book/jobs/{id}")).await;
    assert_eq!((&job.is(200)["state"], &job.body["progress"]), (&json!("waiting"), &json!(50)));
    let _ = app.post("/book/v1/broken/audit", &()).await.is(204);
    app.pass(Duration::from_millis(999)).await;
    assert_eq!(app.lines().await, [], "not before its pause is over");
    app.pass(Duration::from_millis(1)).await;
    assert_eq!(app.lines().await, [("audit".into(), 2)]);
    assert_eq!(app.get(&format!("/book/jobs/{id}")).await.is(200)["state"], "done");
    // Every day at three, from midnight.
    for day in 1..=2 {
        app.pass(Duration::from_secs(24 * 3600)).await;
        assert_eq!(app.lines().await.len(), 1 + day);
    }
    // A worker that lost its lease is not heard.
    let mut tx = app.cx("book").begin();
    tx.enqueue(NewJob::new("audit", &())).await.expect("a job");
    tx.commit().await.expect("kept");
    let mut job = crate::jobs::take(&app.cx("book"), 1).await.expect("taken");
    let late = job.pop().expect("a job");
    app.pass(Duration::from_secs(60)).await;
    assert_eq!(late.progress(&app.cx("book"), 99).await.expect_err("lost").slug, "lease-lost");
}

pub(super) async fn many_writers_get_no_error(app: TestApp) {
    let keys: Vec<String> = (0..64).map(|n| n.to_string()).collect();
    for answer in all(keys.iter().map(|key| app.sell(key, "tea", 1))).await {
        let _ = answer.is(201);
    }
    // One of a group gives up: the others' work is kept.
    let (mut gone, cx) = (app.cx("till").begin(), app.cx("till"));
    gone.run("DELETE FROM sale", vec![]).await.expect("deleted");
    let (_, kept) = tokio::join!(async { drop(gone) }, app.sell("last", "milk", 1));
    let _ = kept.is(201);
    let count: Option<i64> = cx.db().one("SELECT COUNT(*) AS n FROM sale", vec![]).await.expect("a count");
    assert_eq!(count, Some(65));
}

pub(super) async fn a_panic_and_a_hang_cost_their_own_requests(app: TestApp) {
    let panicked = app.sell("p", "panic", 1).await;
    assert_eq!((panicked.is(500)["detail"].as_str(), panicked.slug()), (Some(""), "internal"));
    let headers = [("idempotency-key", "h"), ("x-deadline-ms", "50")];
    let hung = app.send(Method::POST, "/till/v1/sales", &headers, &sale_of("hang", 1)).await;
    assert_eq!(hung.slug(), "deadline");
    let _ = app.sell("k", "tea", 1).await.is(201);
    assert_eq!(app.get("/till/v1/sales").await.is(200)["items"].as_array().map(Vec::len), Some(1));
}

pub(super) async fn a_breaker_stands_before_a_service_that_fails(app: TestApp) {
    let id = app.sell("k", "tea", 1).await.is(201)["id"].as_str().expect("an id").to_owned();
    let good = format!("/book/v1/sales/{id}");
    assert_eq!(app.get(&good).await.is(200)["item"], "tea");
    assert_eq!(app.get("/book/v1/sales/7").await.slug(), "refused", "a no is an answer");
    let asked = async || {
        let metrics = app.get("/till/metrics").await.is(200).as_str().unwrap_or_default().to_owned();
        let line = metrics
            .lines()
            .find(|l| l.contains("GET") && l.contains("sales/{id}") && l.contains("500"))
            .map(str::to_owned);
        line.and_then(|l| l.rsplit(' ').next()?.parse::<u32>().ok()).unwrap_or_default()
    };
    // Each is tried twice: the fifth failure in a row is the first try of the third.
    for _ in 0..3 {
        assert_eq!(app.get("/book/v1/sales/fault").await.slug(), "dependency");
    }
    assert_eq!(asked().await, 5);
    let away = app.get(&good).await;
    assert_eq!((away.slug(), &away.headers["retry-after"]), ("dependency", &"31".parse().expect("a value")));
    let health = app.get("/book/health/ready").await;
    assert_eq!(
        (&health.is(200)["status"], &health.body["needs"]["till"]),
        (&json!("degraded"), &json!("down"))
    );
    assert_eq!(app.get("/book/health/live").await.is(200)["status"], "up");
    app.pass(Duration::from_secs(30)).await;
    for state in ["degraded", "degraded", "up"] {
        let _ = app.get(&good).await.is(200);
        assert_eq!(app.get("/book/health").await.is(200)["needs"]["till"], state);
    }
    assert_eq!(app.cx("till").call("book").map(|_| ()).expect_err("no need").slug, "internal");
}
