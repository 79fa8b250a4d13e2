//! A service that tells of bells, and those who hear of them: a real receiver on this machine, and a folder of mail.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_chassis::{Api, Ctx, Json, Problem, Service, Tx};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::mail::Mailer;
use crate::{Config, Message, Sender, sign};

const RUNG: &str = "cos.test.bell.rung.v1";

async fn ring(cx: Ctx, mut tx: Tx) -> Result<Json<()>, Problem> {
    crate::send(&cx, &mut tx, RUNG, "döng", &json!({"loud": true})).await?;
    Ok(Json(()))
}

fn bells(config: &Config) -> Service {
    let service =
        Service::new("bells").migration(crate::MIGRATION).api(crate::routes(Api::new().post("/ring", ring)));
    Sender::new(config, Path::new("/nowhere")).expect("settings").serve(service)
}

fn here() -> Config {
    Config { allow: vec!["127.0.0.1/32".parse().expect("a network")], ..Config::default() }
}

/// Takes requests and answers what it is told to.
#[derive(Clone)]
struct Receiver {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<String>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let receiver = Self { url, seen: Arc::default(), answer: Arc::new(Mutex::new("200 OK".into())) };
        let (seen, answer) = (receiver.seen.clone(), receiver.answer.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut text = Vec::new();
                    // The body is one line that ends with the object.
                    while !text.ends_with(b"}") {
                        let mut buffer = [0; 4096];
                        let read = socket.read(&mut buffer).await.expect("a request");
                        text.extend_from_slice(&buffer[..read]);
                    }
                    seen.lock().expect("a list").push(String::from_utf8(text).expect("text"));
                    let head = answer.lock().expect("an answer").clone();
                    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    socket.write_all(answer.as_bytes()).await.expect("sent");
                });
            }
        });
        receiver
    }

    fn says(&self, head: &str) {
        *self.answer.lock().expect("an answer") = head.into();
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("a list").clone()
    }
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} in {request}"))
}

async fn add(app: &TestApp, url: &str, kinds: &[&str]) -> Answer {
    let body = json!({"url": url, "kinds": kinds});
    app.send(Method::POST, "/bells/v1/webhooks", &[("idempotency-key", &format!("k{url}"))], &body).await
}

async fn bell(app: &TestApp) {
    let _ = app.post("/bells/v1/ring", &()).await.is(200);
    app.settle().await;
}

async fn dead(app: &TestApp) -> Vec<Value> {
    app.get("/bells/dead-letters").await.is(200)["items"].as_array().expect("a list").clone()
}

async fn a_message_comes_signed_and_only_to_who_wants_it(app: TestApp) {
    let (wants, all, not) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let added = add(&app, &wants.url, &[RUNG]).await;
    let secret = added.is(201)["secret"].as_str().expect("shown once").to_owned();
    let _ = add(&app, &all.url, &[]).await.is(201);
    let _ = add(&app, &not.url, &["cos.test.other.v1"]).await.is(201);
    bell(&app).await;
    assert_eq!((wants.seen().len(), all.seen().len(), not.seen().len()), (1, 1, 0));
    let request = &wants.seen()[0];
    let body = request.split("\r\n\r\n").nth(1).expect("a body");
    let told: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&told["type"], &told["data"]["loud"]), (&json!(RUNG), &json!(true)));
    let (id, at) = (header(request, "webhook-id"), header(request, "webhook-timestamp"));
    let want = sign::signatures(&[&secret], id, at.parse().expect("seconds"), body);
    assert_eq!(header(request, "webhook-signature"), want);
    assert_eq!(id, header(&all.seen()[0], "webhook-id"), "one message has one id");
    let listed = app.get("/bells/v1/webhooks").await;
    assert!(!listed.is(200).to_string().contains("whsec_"), "shown once");
}

async fn a_new_secret_is_used_beside_the_old_one_for_a_day(app: TestApp) {
    let receiver = Receiver::start().await;
    let id = add(&app, &receiver.url, &[]).await.is(201)["id"].as_str().expect("an id").to_owned();
    let renew = format!("/bells/v1/webhooks/{id}/secret");
    let renewed = app.send(Method::POST, &renew, &[("idempotency-key", "r")], &()).await;
    assert!(renewed.is(200)["secret"].as_str().expect("a secret").starts_with("whsec_"));
    bell(&app).await;
    app.pass(Duration::from_secs(24 * 3600)).await;
    bell(&app).await;
    let signatures: Vec<_> =
        receiver.seen().iter().map(|r| header(r, "webhook-signature").split(' ').count()).collect();
    assert_eq!(signatures, [2, 1]);
}

async fn what_fails_is_tried_for_a_day_laid_aside_and_replayed(app: TestApp) {
    let receiver = Receiver::start().await;
    receiver.says("500 Broken");
    let _ = add(&app, &receiver.url, &[]).await.is(201);
    bell(&app).await;
    assert_eq!(receiver.seen().len(), 1);
    app.pass(Duration::from_secs(1)).await;
    assert_eq!(receiver.seen().len(), 2);
    for _ in 0..400 {
        app.pass(Duration::from_secs(300)).await;
    }
    // Eight tries in each of seven rounds.
    assert_eq!(receiver.seen().len(), 56);
    let ids: std::collections::BTreeSet<_> =
        receiver.seen().iter().map(|r| header(r, "webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 1, "all tries are one message");
    let aside = dead(&app).await;
    assert_eq!(aside.len(), 1, "{aside:?}");
    receiver.says("204 Good");
    let replay = format!("/bells/dead-letters/{}/replay", aside[0]["id"].as_str().expect("an id"));
    let _ = app.post(&replay, &()).await.is(204);
    app.settle().await;
    assert_eq!((receiver.seen().len(), dead(&app).await.len()), (57, 0));
}

async fn who_is_gone_is_told_no_more_and_nobody_is_followed(app: TestApp) {
    let (gone, moved, elsewhere) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    gone.says("410 Gone");
    moved.says(&format!("307 Moved\r\nlocation: {}", elsewhere.url));
    let added = add(&app, &gone.url, &[]).await;
    let _ = add(&app, &moved.url, &[]).await.is(201);
    bell(&app).await;
    bell(&app).await;
    assert_eq!((gone.seen().len(), elsewhere.seen().len()), (1, 0));
    assert!(moved.seen().len() >= 2, "a redirect is no success");
    let read = app.get(&format!("/bells/v1/webhooks/{}", added.is(201)["id"].as_str().expect("an id"))).await;
    assert_eq!(read.is(200)["active"], false);
}

#[tokio::test]
async fn mail_lies_in_the_folder_while_there_is_no_server() {
    let folder = std::env::temp_dir().join(format!("nexus-mail-{}", std::process::id()));
    let mailer = Mailer::new(&Config::default(), &folder).expect("the defaults are good");
    let body = json!({"type": RUNG, "data": {"loud": "döng"}}).to_string();
    let message =
        Message { hook: "h".into(), id: "msg_1".into(), title: "bell: döng".into(), body, round: 0 };
    for _ in 0..2 {
        mailer.send("Ann <ann@example.org>", &message).await.expect("written");
    }
    let files: Vec<_> = std::fs::read_dir(&folder).expect("a folder").collect();
    let mail = std::fs::read_to_string(folder.join("msg_1.h.eml")).expect("a mail");
    std::fs::remove_dir_all(&folder).expect("its folder");
    assert_eq!(files.len(), 1, "a second try is the same mail");
    for line in [
        "From: \"Nexus COS\" <nexus@localhost>",
        "To: Ann <ann@example.org>",
        "Message-ID: <msg_1.h@nexus>",
        "Subject: bell: =?utf-8?b?",
    ] {
        assert!(mail.contains(line), "{line} in {mail}");
    }
}

async fn what_is_no_address_is_refused(app: TestApp) {
    for url in ["", "hello", "ftp://example.org/", "mailto:", "mailto:nobody", "javascript:alert(1)"] {
        assert_eq!(add(&app, url, &[]).await.slug(), "invalid", "{url}");
    }
    let nobody = nx_chassis::Caller::new("somebody", &[]);
    let theirs = app.send_as(Some(nobody), Method::GET, "/bells/v1/webhooks", &[], &()).await;
    assert_eq!(theirs.slug(), "forbidden");
}

#[tokio::test]
async fn this_machine_is_not_reached_unless_it_is_allowed() {
    let receiver = Receiver::start().await;
    let app = TestApp::new(vec![bells(&Config::default())]).await;
    let _ = add(&app, &receiver.url, &[]).await.is(201);
    let _ = add(&app, &receiver.url.replace("127.0.0.1", "localhost"), &[]).await.is(201);
    bell(&app).await;
    app.pass(Duration::from_secs(1)).await;
    assert_eq!(receiver.seen().len(), 0);
    let jobs: Vec<String> = {
        struct Why {
            error: Option<String>,
        }
        nx_chassis::row!(Why { error });
        let why =
            app.cx("bells").db().all::<Why>("SELECT error FROM chassis_job", vec![]).await.expect("jobs");
        why.into_iter().filter_map(|w| w.error).collect()
    };
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|why| why.contains("not on the public network")), "{jobs:?}");
}

/// Runs each scene on SQLite, and all of them on one PostgreSQL.
macro_rules! scenes {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::TestApp::new(vec![super::bells(&super::here())]).await).await;
            })*
        }

        #[tokio::test]
        async fn on_postgresql() {
            let postgres = Postgres::start();
            $($name(TestApp::on(&postgres, vec![bells(&here())]).await).await;)*
        }
    };
}
scenes!(
    a_message_comes_signed_and_only_to_who_wants_it,
    a_new_secret_is_used_beside_the_old_one_for_a_day,
    what_fails_is_tried_for_a_day_laid_aside_and_replayed,
    who_is_gone_is_told_no_more_and_nobody_is_followed,
    what_is_no_address_is_refused,
);
