//! Stories: what happens to the system as a whole, told once in one process and once as processes of their own.
//!
//! A bad day is told as far as its services are built: without errors that are grouped, alerts and webhooks.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http;
use crate::support::town::{Peers, Said, Town};

const SCHEDULES: &str = "/api/scheduler/v1/schedules";

#[test]
fn in_one_process() {
    kill_9(Town::in_one_process("kill"));
    a_bad_day(Town::in_one_process("day"));
}

#[test]
fn as_processes_of_their_own() {
    let peers = Peers::start();
    kill_9(Town::apart("kill", &peers));
    a_bad_day(Town::apart("day", &peers));
}

/// A schedule that posts a further schedule when it runs, which is an effect that can be counted.
fn planting(text: &str, cron: &str) -> Value {
    let planted = json!({
        "cron": "0 0 1 1 *", "service": "scheduler", "path": "/v1/schedules", "body": {"planted": text},
    });
    json!({"cron": cron, "service": "scheduler", "path": "/v1/schedules", "body": planted})
}

fn planted(town: &Town) -> Vec<String> {
    let all = town.list(&format!("{SCHEDULES}?limit=200"));
    let mut all: Vec<String> =
        all.iter().filter_map(|s| s["body"]["planted"].as_str().map(str::to_owned)).collect();
    all.sort();
    all
}

/// Asks until it is answered: a client that was cut off does not know whether it was done.
fn insist(town: &Town, path: &str, key: &str, body: &Value) -> Said {
    let answer = std::cell::RefCell::new(None);
    town.until("an answer", |town| {
        let said = town.post(path, key, body);
        // No connection, or nobody behind the gateway.
        let again = said.status == 0 || said.status >= 500;
        *answer.borrow_mut() = Some(said);
        !again
    });
    answer.into_inner().expect("it was asked")
}

/// A service is killed again and again, in the middle of what it does: each request has one effect.
fn kill_9(mut town: Town) {
    let mut want = Vec::new();
    for nth in 0..4 {
        let text = format!("seed {nth}");
        let made = insist(&town, SCHEDULES, &format!("make {nth}"), &planting(&text, "0 0 1 1 *"));
        assert_eq!(made.status, 201, "{made:?}");
        let run = format!("{SCHEDULES}/{}/runs", made.body["id"].as_str().expect("an id"));
        let asked = town.post(&run, &format!("run {nth}"), &Value::Null);
        // Its job runs now.
        town.kill("scheduler");
        let gone = town.get(SCHEDULES);
        if town.is_apart() {
            assert_eq!(
                (gone.status, &gone.body["type"]),
                (503, &json!("urn:nexus:problem:dependency")),
                "{gone:?}"
            );
        } else {
            assert_eq!(gone.status, 0, "{gone:?}");
        }
        town.revive("scheduler");
        town.until("the service is back", |town| town.get(SCHEDULES).status == 200);
        let again = insist(&town, &run, &format!("run {nth}"), &Value::Null);
        assert_eq!(again.status, 201, "{again:?}");
        assert!(asked.status == 0 || asked.body == again.body, "{asked:?} and then {again:?}");
        want.push(text);
    }
    // What had been taken by a process that was killed comes back when its lease is over.
    town.pass(Duration::from_secs(61));
    town.until("every run has had its effect", |town| planted(town).len() >= want.len());
    let outbox = "nexus_service_outbox{service=\"scheduler\"}";
    town.until("every fact is with the bus", |town| {
        town.figure("/api/scheduler/metrics", outbox).is_some_and(|count| count == 0.0)
    });
    assert_eq!(planted(&town), want, "each once");
    assert_eq!(
        town.figure("/api/scheduler/metrics", "nexus_service_dead_letters{service=\"scheduler\"}"),
        Some(0.0)
    );
}

/// A service is away for hours while a stream goes on: what it has missed is made up for once, and the way to it is closed
/// while it does not answer.
fn a_bad_day(mut town: Town) {
    let watched = town.publish("live/day");
    let newest = || {
        let list = http::get(watched, "/live/day/ts/index.m3u8").ok()?.body;
        let list = String::from_utf8_lossy(&list).into_owned();
        list.lines().rfind(|line| !line.starts_with('#')).map(str::to_owned)
    };
    town.until("the stream is on", |_| newest().is_some());
    let missed = insist(&town, SCHEDULES, "hourly", &planting("made up for", "0 * * * *"));
    assert_eq!(missed.status, 201, "{missed:?}");
    town.kill("scheduler");
    if town.is_apart() {
        the_way_is_closed(&mut town);
        let before = newest();
        town.until("the stream goes on", |_| newest().is_some() && newest() != before);
    }
    town.pass(Duration::from_secs(3 * 3600));
    town.revive("scheduler");
    town.until("the service is back", |town| town.get(SCHEDULES).status == 200);
    town.until("what was missed is made up for", |town| !planted(town).is_empty());
    let runs = town.list(&format!("{SCHEDULES}/{}/runs", missed.body["id"].as_str().expect("an id")));
    assert_eq!((runs.len(), planted(&town).len()), (1, 1), "three hours, one run: {runs:?}");
    if town.is_apart() {
        for _ in 0..3 {
            assert_eq!(town.get(SCHEDULES).status, 200);
        }
        assert_eq!(circuit(&town), "up", "three that went well");
    }
}

fn circuit(town: &Town) -> String {
    let all = town.list("/api/backend-api/v1/circuits");
    let ours = all.iter().find(|c| c["from"] == "backend-api" && c["to"] == "scheduler");
    ours.and_then(|c| c["state"].as_str()).unwrap_or_default().to_owned()
}

/// Five failures close the way, visibly; whoever asks is told when to come again, and nobody is asked.
fn the_way_is_closed(town: &mut Town) {
    // Reading is tried twice: five failures are the third request at the latest.
    let failed: Vec<Said> = (0..3).map(|_| town.get(SCHEDULES)).collect();
    assert!(failed.iter().all(|said| said.status == 503), "{failed:?}");
    assert_eq!(circuit(town), "down");
    let figure = "nexus_circuit_open{from=\"backend-api\",to=\"scheduler\"}";
    assert_eq!(town.figure("/metrics", figure), Some(2.0));
    let closed = town.get(SCHEDULES);
    assert!(closed.retry_after_s.is_some_and(|s| (20..=31).contains(&s)), "{closed:?}");
    town.until("it is out of the table", |town| {
        town.list("/api/backend-api/v1/instances?service=scheduler").iter().all(|i| i["passing"] == false)
    });
}
