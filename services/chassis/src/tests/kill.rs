//! A process that is killed at any moment: what it has acknowledged has happened, and its effect is there once.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::{Caller, Config, RawBody, Ring};

/// Processes that are killed.
const KILLS: usize = 100;
/// Names the folder, in the process that is to be killed.
const FOLDER: &str = "NX_CHASSIS_KILL_FOLDER";

async fn sell(ring: &Ring, nth: i64) {
    let body = serde_json::to_vec(&sale_of("tea", nth % 100 + 1)).expect("JSON");
    let mut request = http::Request::post("/v1/sales")
        .header("content-type", "application/json")
        .header("idempotency-key", nth.to_string())
        .body(RawBody::from(body))
        .expect("a request");
    request.extensions_mut().insert(Caller::operator());
    let answer = ring.answer("till", request).await.expect("the till");
    assert_eq!(answer.status(), StatusCode::CREATED);
}

/// Sells from `first` on, and says each number once the sale is acknowledged.
async fn sell_for_ever(folder: &Path, first: i64) {
    let ring = Ring::start(&Config::default(), folder, vec![till(), book()]).await.expect("starts");
    let mut out = std::io::stderr();
    for nth in first.. {
        sell(&ring, nth).await;
        writeln!(out, "sold {nth}").expect("whoever started us listens");
    }
}

/// Not a test, but the process that is killed in the one below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    let Some(given) = std::env::var_os(FOLDER) else { return };
    let given = given.into_string().expect("a plain path");
    let (first, folder) = given.split_once(' ').expect("a number and a folder");
    sell_for_ever(Path::new(folder), first.parse().expect("a number")).await;
}

#[tokio::test]
async fn a_hundred_kills_and_every_effect_exactly_once() {
    let app = TestApp::new(vec![]).await;
    let folder = app.folder().join("killed");
    let mut next = 1_i64;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().expect("ourselves"))
            .args(["tests::kill::the_process_that_is_killed", "--exact", "--nocapture"])
            .env(FOLDER, format!("{next} {}", folder.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its words")).lines().map_while(Result::ok);
        let sold = |line: String| line.strip_prefix("sold ").and_then(|n| n.parse::<i64>().ok());
        // The moment of the kill is anywhere in the work on the sale after this many.
        let mut acknowledged = None;
        for _ in 0..=round % 3 {
            acknowledged = lines.by_ref().find_map(sold);
        }
        let jitter = getrandom::u64().expect("random") % 12_000;
        tokio::time::sleep(Duration::from_micros(jitter)).await;
        child.kill().expect("killed");
        child.wait().expect("gone");
        next = lines.filter_map(sold).last().or(acknowledged).expect("it sold") + 1;
    }
    // A client that got no answer asks again; then everything comes to rest.
    let (config, clock) = (Config::default(), crate::Clock::default());
    let ring = Ring::open(&config, &folder, vec![till(), book()], clock, false).await.expect("opens");
    sell(&ring, next).await;
    ring.settle().await.expect("settles");
    let (till, book) = (ring.cx("till").expect("a till"), ring.cx("book").expect("a book"));
    let sold: Vec<i64> =
        till.db().all("SELECT count AS n FROM sale ORDER BY rowid", vec![]).await.expect("sales");
    let heard: Vec<i64> =
        book.db().all("SELECT count AS n FROM line ORDER BY nth", vec![]).await.expect("lines");
    let want: Vec<i64> = (1..=next).map(|nth| nth % 100 + 1).collect();
    assert_eq!(sold, want, "sold");
    assert_eq!(heard, want, "heard");
}
