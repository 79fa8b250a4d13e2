//! Stories: what happens to the system as a whole, told once in one process and once as processes of their own.
//!
//! A bad day is told as far as its services are built: without errors that are grouped, alerts and webhooks.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http;
use crate::support::town::{Peers, Said, Town};

const SCHEDULES: &str = "/api/scheduler/v1/schedules";
const AUTH: &str = "/api/auth-service/v1";
const IDENTITY: [&str; 5] = ["auth-service", "user-auth", "session-mgr", "token-mgr", "scheduler"];

#[test]
fn in_one_process() {
    kill_9(Town::in_one_process("kill", &["scheduler"]));
    a_bad_day(Town::in_one_process("day", &["scheduler"]));
    who_is_who(Town::in_one_process("who", &IDENTITY));
    keys_turn(Town::in_one_process("keys", &IDENTITY));
}

#[test]
fn as_processes_of_their_own() {
    let peers = Peers::start();
    kill_9(Town::apart("kill", &peers, &["scheduler"]));
    a_bad_day(Town::apart("day", &peers, &["scheduler"]));
    who_is_who(Town::apart("who", &peers, &IDENTITY));
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
    let newest = || newest(watched, "live/day");
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

/// The segment that a stream got last.
fn newest(watched: SocketAddr, stream: &str) -> Option<String> {
    let list = http::get(watched, &format!("/{stream}/ts/index.m3u8")).ok()?.body;
    let list = String::from_utf8_lossy(&list).into_owned();
    list.lines().rfind(|line| !line.starts_with('#')).map(str::to_owned)
}

/// From the first administrator to an account that is shut out. Any service of identity that dies keeps nobody from what they
/// do, and no stream from going on; it keeps people from signing in, and says so.
fn who_is_who(mut town: Town) {
    let password = "correct horse";
    let account =
        |handle: &str, invite: &Value| json!({"handle": handle, "password": password, "invite": invite});
    let log_in = |town: &Town, handle: &str| {
        town.post(&format!("{AUTH}/login"), "", &json!({"handle": handle, "password": password}))
    };
    let text = |said: &Said, at: &str| said.body.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let watched = town.publish("live/who");
    let invite = town.post(&format!("{AUTH}/invites"), "first", &json!({"roles": ["operator"]}));
    assert_eq!(invite.status, 201, "this machine may, while there is nobody: {invite:?}");
    let root = town.post(&format!("{AUTH}/signup"), "root", &account("root", &invite.body["token"]));
    assert_eq!(root.status, 200, "{root:?}");
    let ada = town.post(&format!("{AUTH}/signup"), "ada", &account("ada", &Value::Null));
    town.until("who bears nothing is nobody", |town| town.get(SCHEDULES).status == 401);
    town.bearer = text(&ada, "/access_token");
    assert_eq!(town.get(SCHEDULES).status, 403, "a viewer");
    town.bearer = text(&root, "/access_token");
    assert_eq!(town.get(SCHEDULES).status, 200, "the operator");
    town.until("the stream is on", |_| newest(watched, "live/who").is_some());

    if town.is_apart() {
        for service in &IDENTITY[..4] {
            town.kill(service);
            let before = newest(watched, "live/who");
            let away = log_in(&town, "ada");
            assert_eq!(away.status, 503, "{service}: {away:?}");
            assert!(away.retry_after_s.is_some(), "{service}: {away:?}");
            town.until("nobody of them is asked who somebody is", |town| town.get(SCHEDULES).status == 200);
            town.until("the stream goes on", |_| newest(watched, "live/who") != before);
            town.revive(service);
            // Ways to it that were closed are tried again after half a minute.
            town.pass(Duration::from_secs(31));
            town.until("people sign in again", |town| log_in(town, "ada").status == 200);
            // What the operator bears would run out in the course of it.
            let again = std::cell::RefCell::new(None);
            town.until("the operator too", |town| {
                again.replace(text(&log_in(town, "root"), "/access_token"));
                again.borrow().is_some()
            });
            town.bearer = again.into_inner();
        }
    } else {
        town.kill("auth-service");
        town.revive("auth-service");
        town.until("sessions outlive it", |town| town.get(SCHEDULES).status == 200);
    }

    let id = text(&ada, "/user/id").expect("an id");
    let shut = insist(&town, &format!("/api/user-auth/v1/users/{id}/disable"), "shut", &json!({}));
    assert_eq!(shut.status, 200, "{shut:?}");
    let renew = json!({"refresh_token": text(&ada, "/refresh_token")});
    let renew = |town: &Town| town.post("/api/token-mgr/v1/tokens/refresh", "", &renew).status;
    town.until("what she had is over", |town| renew(town) == 401);
    assert_eq!(log_in(&town, "ada").status, 403);
}

/// Stops those who ask all the time, also when a story breaks off.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The key that access tokens are signed with changes, while they are shown all the time: nobody who may is refused.
fn keys_turn(mut town: Town) {
    let password = "correct horse";
    let invite = town.post(&format!("{AUTH}/invites"), "first", &json!({"roles": ["operator"]}));
    let account = json!({"handle": "root", "password": password, "invite": invite.body["token"]});
    let root = town.post(&format!("{AUTH}/signup"), "root", &account);
    let text = |said: &Said, name: &str| said.body[name].as_str().expect("a token").to_owned();
    let (bearer, mut refresh) = (Mutex::new(text(&root, "access_token")), text(&root, "refresh_token"));
    town.bearer = Some(text(&root, "access_token"));
    town.until("it opens", |town| town.get(SCHEDULES).status == 200);
    let (stop, shown, refused, gateway) =
        (AtomicBool::new(false), AtomicU64::new(0), Mutex::default(), town.gateway());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let stopping = Stopping(&stop);
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = http::Client::connect(gateway).expect("a connection");
                while !stop.load(Ordering::Relaxed) {
                    let bearer = format!("Bearer {}", bearer.lock().expect("not poisoned"));
                    let reply =
                        client.ask("GET", "/api/scheduler/v1/schedules", &[("authorization", &bearer)], b"");
                    let says =
                        |reply: &http::Reply, what: &[u8]| reply.body.windows(what.len()).any(|w| w == what);
                    match reply {
                        Ok(reply) if reply.status == 200 => drop(shown.fetch_add(1, Ordering::Relaxed)),
                        Ok(reply)
                            if [401, 403].contains(&reply.status) || says(&reply, b"token-mgr is away") =>
                        {
                            *refused.lock().expect("not poisoned") = Some(reply.status);
                        }
                        // What is under way while the clock is moved comes too late.
                        Ok(_) => {}
                        Err(_) => client = http::Client::connect(gateway).expect("a connection"),
                    }
                }
            });
        }
        let rotated = town.post("/api/token-mgr/v1/keys/rotate", "turn", &Value::Null);
        let mut kids = HashSet::new();
        // A new key signs ten minutes after it was published.
        for _ in 0..8 {
            town.pass(Duration::from_secs(90));
            let next = town.post("/api/token-mgr/v1/tokens/refresh", "", &json!({"refresh_token": refresh}));
            refresh = text(&next, "refresh_token");
            kids.insert(text(&next, "access_token").split('.').next().map(str::to_owned));
            *bearer.lock().expect("not poisoned") = text(&next, "access_token");
            town.bearer = Some(text(&next, "access_token"));
        }
        drop(stopping);
        assert!(rotated.status < 300, "{rotated:?}");
        assert_eq!(kids.len(), 2, "signed with the one before, then with the new one");
    });
    let shown = shown.into_inner();
    eprintln!("{} tokens a second were shown", shown / began.elapsed().as_secs().max(1));
    assert!(shown > 1_000);
    assert_eq!(refused.into_inner().expect("not poisoned"), None::<u16>, "of {shown}");
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
