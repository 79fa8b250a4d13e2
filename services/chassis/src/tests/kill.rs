//! A process that is killed at any moment: what it has acknowledged has happened, and its effect is there once.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::test::Rabbit;
use crate::{Caller, Clock, Config, RawBody, Ring, Run, Secret};

/// Processes that are killed.
const KILLS: u32 = 100;
/// The same where each costs more; `NX_KILLS` sets another number.
const KILLS_APART: u32 = 12;
/// Tells the process that is to be killed where to begin and where it keeps what it knows.
const ORDERS: &str = "NX_CHASSIS_KILL";

/// Where processes that are killed keep what they know.
#[derive(Debug, Serialize, Deserialize)]
struct Orders {
    first: i64,
    folder: PathBuf,
    database: Option<String>,
    bus: Option<String>,
}

impl Orders {
    fn config(&self) -> Config {
        let secret = |url: &Option<String>| url.as_deref().map(Secret::new);
        Config { database: secret(&self.database), bus: secret(&self.bus), ..Config::default() }
    }
}

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

/// Sells, and says each number once the sale is acknowledged.
async fn sell_for_ever(orders: &Orders) {
    let services = vec![till(), book()];
    let ring = Ring::start(&orders.config(), &orders.folder, services, Run::All).await.expect("starts");
    let mut out = std::io::stderr();
    for nth in orders.first.. {
        sell(&ring, nth).await;
        writeln!(out, "sold {nth}").expect("whoever started us listens");
    }
}

/// Not a test, but the process that is killed in those below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    let Some(orders) = std::env::var_os(ORDERS) else { return };
    let orders = serde_json::from_str(orders.to_str().expect("text")).expect("orders");
    sell_for_ever(&orders).await;
}

#[tokio::test]
async fn a_hundred_kills_and_every_effect_exactly_once() {
    let app = TestApp::new(vec![]).await;
    let folder = app.folder().join("killed");
    kill_again_and_again(KILLS, Orders { first: 1, folder, database: None, bus: None }).await;
}

/// Between commit and publish, publish and confirmation, consumption and acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_over_rabbitmq_and_postgresql() {
    let (app, postgres, rabbit) = (TestApp::new(vec![]).await, Postgres::start(), Rabbit::start());
    let kills = std::env::var_os("NX_KILLS").and_then(|n| n.to_str()?.parse().ok()).unwrap_or(KILLS_APART);
    let (folder, database, bus) = (app.folder().join("killed"), postgres.database(), rabbit.url());
    kill_again_and_again(kills, Orders { first: 1, folder, database: Some(database), bus: Some(bus) }).await;
}

async fn kill_again_and_again(kills: u32, mut orders: Orders) {
    for round in 0..kills {
        let mut child = Command::new(std::env::current_exe().expect("ourselves"))
            .args(["tests::kill::the_process_that_is_killed", "--exact", "--nocapture"])
            .env(ORDERS, serde_json::to_string(&orders).expect("JSON"))
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
        orders.first = lines.filter_map(sold).last().or(acknowledged).expect("it sold") + 1;
    }
    // A client that got no answer asks again; then everything comes to rest.
    let (next, config, services) = (orders.first, orders.config(), vec![till(), book()]);
    let ring = match &orders.bus {
        None => Ring::open(&config, &orders.folder, services, Run::All, Clock::default(), false).await,
        Some(_) => Ring::start(&config, &orders.folder, services, Run::All).await,
    };
    let ring = ring.expect("opens");
    sell(&ring, next).await;
    if orders.bus.is_none() {
        ring.settle().await.expect("settles");
    }
    let (till, book) = (ring.cx("till").expect("a till"), ring.cx("book").expect("a book"));
    let counts = async |cx: &Ctx, sql| cx.db().all::<i64>(sql, vec![]).await.expect("counts");
    let mut sold = counts(&till, "SELECT count AS n FROM sale").await;
    let mut want: Vec<i64> = (1..=next).map(|nth| nth % 100 + 1).collect();
    let heard = "SELECT count AS n FROM line ORDER BY nth";
    // All are about one subject: when the last has been heard, so have all before it.
    let all_heard = async {
        while counts(&book, heard).await.len() < want.len() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), all_heard).await;
    assert_eq!(counts(&book, heard).await, want, "heard, in order; in time: {in_time:?}");
    sold.sort_unstable();
    want.sort_unstable();
    assert_eq!(sold, want, "sold");
    ring.stop().await;
}
