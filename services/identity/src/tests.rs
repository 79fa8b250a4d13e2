//! Flows through all four services, on both stores.

use std::path::Path;
use std::time::Duration;

use http::Method;
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_chassis::{Caller, Service};
use nx_contract::identity::{Config, SignUp};
use nx_webhooks::Sender;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::services;

const PASSWORD: &str = "correct horse";

async fn lite(config: &Config) -> TestApp {
    TestApp::new(built(config)).await
}

/// The services; what they post may go to this machine.
fn built(config: &Config) -> Vec<Service> {
    built_in(config, &std::env::temp_dir())
}

/// The same, which put mail below a folder.
fn built_in(config: &Config, folder: &Path) -> Vec<Service> {
    let allow = vec!["127.0.0.0/8".parse().expect("a network")];
    let notify = nx_webhooks::Config { allow, ..nx_webhooks::Config::default() };
    services(config, &Sender::new(&notify, folder).expect("a sender"))
}

/// Somebody who is signed in.
#[derive(Clone)]
struct In {
    caller: Caller,
    refresh: String,
    access: String,
}

impl In {
    fn new(answer: &Value) -> Self {
        let text = |at: &str| answer.pointer(at).and_then(Value::as_str).expect("a text").to_owned();
        let roles: Vec<String> = serde_json::from_value(answer["user"]["roles"].clone()).expect("roles");
        let caller =
            Caller { subject: text("/user/id"), roles, session: Some(text("/session_id")), scope: None };
        Self { caller, refresh: text("/refresh_token"), access: text("/access_token") }
    }

    async fn asks(&self, app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
        let key = nx_chassis::new_id(0);
        app.send_as(Some(self.caller.clone()), method, path, &[("idempotency-key", &key)], &body).await
    }
}

async fn anybody(app: &TestApp, path: &str, body: Value) -> Answer {
    from(app, "192.0.2.1", path, body).await
}

async fn from(app: &TestApp, address: &str, path: &str, body: Value) -> Answer {
    app.send_as(None, Method::POST, path, &[("x-nexus-client", address)], &body).await
}

async fn service(app: &TestApp, path: &str) -> Answer {
    app.send_as(Some(Caller::service("process")), Method::POST, path, &[], &json!({})).await
}

async fn sign_up(app: &TestApp, handle: &str, invite: Option<&str>) -> Answer {
    anybody(app, "/auth-service/v1/signup", json!({"handle": handle, "password": PASSWORD, "invite": invite}))
        .await
}

async fn log_in(app: &TestApp, handle: &str, password: &str) -> Answer {
    anybody(app, "/auth-service/v1/login", json!({"handle": handle, "password": password})).await
}

async fn refresh(app: &TestApp, token: &str) -> Answer {
    anybody(app, "/token-mgr/v1/tokens/refresh", json!({"refresh_token": token})).await
}

/// The first administrator, and somebody who watches.
async fn two(app: &TestApp) -> (In, In) {
    let link = service(app, "/auth-service/v1/first-invite").await;
    let token = link.is(201)["token"].as_str().expect("a token").to_owned();
    let root = In::new(sign_up(app, "root", Some(&token)).await.is(200));
    assert_eq!(root.caller.roles, ["operator"]);
    let ada = In::new(sign_up(app, "Ada", None).await.is(200));
    assert_eq!(ada.caller.roles, ["viewer"]);
    app.settle().await;
    (root, ada)
}

async fn from_the_first_administrator_to_the_end_of_a_session(app: TestApp) {
    let (root, ada) = two(&app).await;
    assert_eq!(service(&app, "/auth-service/v1/first-invite").await.slug(), "not-first");
    assert_eq!(sign_up(&app, "a.d-a", None).await.slug(), "taken", "which looks the same");

    let again = In::new(log_in(&app, " ADA ", PASSWORD).await.is(200));
    let list = ada.asks(&app, Method::GET, "/session-mgr/v1/sessions", json!({})).await;
    let items = list.is(200)["items"].as_array().expect("a list").clone();
    let current: Vec<_> = items.iter().filter(|s| s["current"] == true).map(|s| &s["id"]).collect();
    assert_eq!((items.len(), current), (2, vec![&json!(ada.caller.session)]));
    assert_eq!(list.body["items"][0]["network"], "192.0.2.0/24");

    // Another password ends the other session, and its tokens with it.
    let change = json!({"current": PASSWORD, "new": "battery staple"});
    let changed = ada.asks(&app, Method::POST, "/auth-service/v1/password", change).await;
    assert_eq!(changed.is(200), &json!({}));
    app.settle().await;
    assert_eq!(refresh(&app, &again.refresh).await.slug(), "unauthorized");
    let ada = In::new(refresh(&app, &ada.refresh).await.is(200));
    assert_eq!(log_in(&app, "ada", PASSWORD).await.slug(), "unauthorized");

    // Nobody sees or ends what is another's.
    let path = format!("/session-mgr/v1/sessions/{}", root.caller.session.clone().expect("a session"));
    for method in [Method::GET, Method::DELETE] {
        let _ = ada.asks(&app, method, &path, json!({})).await.is(404);
    }
    let _ = ada.asks(&app, Method::GET, "/user-auth/v1/users", json!({})).await.is(403);
    let _ = ada
        .asks(&app, Method::GET, &format!("/user-auth/v1/users/{}", root.caller.subject), json!({}))
        .await
        .is(404);

    let _ = ada.asks(&app, Method::POST, "/auth-service/v1/logout", json!({})).await.is(200);
    app.settle().await;
    assert_eq!(refresh(&app, &ada.refresh).await.slug(), "unauthorized");
    let _ = ada.asks(&app, Method::POST, "/auth-service/v1/logout", json!({})).await.is(200);
}

async fn who_is_shut_out_has_nothing_left(app: TestApp) {
    let (root, ada) = two(&app).await;
    let made = ada.asks(&app, Method::POST, "/token-mgr/v1/api-keys", json!({"name": "player"})).await;
    let key = made.is(201)["key"].as_str().expect("a key").to_owned();
    let verify = async || {
        let caller = Some(Caller::service("backend-api"));
        app.send_as(caller, Method::POST, "/token-mgr/v1/api-keys/verify", &[], &json!({"key": key}))
            .await
            .is(200)
            .clone()
    };
    assert_eq!(verify().await["roles"], json!(["viewer"]));
    let _ = ada.asks(&app, Method::POST, "/token-mgr/v1/api-keys/verify", json!({"key": key})).await.is(403);
    for roles in [json!(["operator"]), json!(["service"])] {
        let more = ada
            .asks(&app, Method::POST, "/token-mgr/v1/api-keys", json!({"name": "more", "roles": roles}))
            .await;
        let _ = more.is(422);
    }

    let path = format!("/user-auth/v1/users/{}", ada.caller.subject);
    let _ = root.asks(&app, Method::POST, &format!("{path}/disable"), json!({})).await.is(200);
    app.settle().await;
    let more = ada.asks(&app, Method::POST, "/token-mgr/v1/api-keys", json!({"name": "later"})).await;
    assert_eq!(
        more.slug(),
        "unauthorized",
        "her access token still holds, and makes nothing that outlives it"
    );
    assert_eq!(refresh(&app, &ada.refresh).await.slug(), "unauthorized");
    assert_eq!(log_in(&app, "ada", PASSWORD).await.slug(), "disabled", "to who knows the password");
    assert_eq!(log_in(&app, "ada", "another horse").await.slug(), "unauthorized");
    assert_eq!(verify().await, Value::Null);
    let _ = root.asks(&app, Method::POST, &format!("{path}/enable"), json!({})).await.is(200);
    app.settle().await;
    assert_eq!(verify().await["subject"], ada.caller.subject.as_str());
    let _ = In::new(log_in(&app, "ada", PASSWORD).await.is(200));

    let _ = root.asks(&app, Method::DELETE, &path, json!({})).await.is(200);
    app.settle().await;
    assert_eq!(log_in(&app, "ada", PASSWORD).await.slug(), "unauthorized");
    assert_eq!(verify().await, Value::Null);
    let _ = In::new(sign_up(&app, "ada", None).await.is(200));

    // Who was an operator when their token was made is none because of that.
    let made =
        root.asks(&app, Method::POST, "/auth-service/v1/invites", json!({"roles": ["operator"]})).await;
    let eve = In::new(sign_up(&app, "eve", made.is(201)["token"].as_str()).await.is(200));
    let path = format!("/user-auth/v1/users/{}", eve.caller.subject);
    let _ = root.asks(&app, Method::POST, &format!("{path}/disable"), json!({})).await.is(200);
    for path in
        [format!("{path}/enable"), "/auth-service/v1/invites".into(), "/auth-service/v1/resets".into()]
    {
        let body = if path.ends_with("enable") { json!({}) } else { json!({"roles": ["operator"]}) };
        let body = if path.ends_with("resets") { json!({"user_id": root.caller.subject}) } else { body };
        let _ = eve.asks(&app, Method::POST, &path, body).await.is(403);
    }

    // Somebody must be left who may do everything.
    let me = format!("/user-auth/v1/users/{}", root.caller.subject);
    assert_eq!(
        root.asks(&app, Method::POST, &format!("{me}/disable"), json!({})).await.slug(),
        "last-operator"
    );
    assert_eq!(root.asks(&app, Method::DELETE, &me, json!({})).await.slug(), "last-operator");
    let (path, none) = (format!("{me}/roles"), json!({"roles": []}));
    let headers = [("if-match", "\"1\"")];
    let roles = app.send_as(Some(root.caller.clone()), Method::PUT, &path, &headers, &none);
    assert_eq!(roles.await.slug(), "last-operator");
}

async fn fifty_renewals_at_once_have_one_successor(app: TestApp) {
    let (_, ada) = two(&app).await;
    let app = std::sync::Arc::new(app);
    let mut all = JoinSet::new();
    for _ in 0..50 {
        let (app, token) = (app.clone(), ada.refresh.clone());
        all.spawn(async move { In::new(refresh(&app, &token).await.is(200)).refresh });
    }
    let mut successors = all.join_all().await;
    successors.sort();
    successors.dedup();
    assert_eq!(successors.len(), 1, "the family forked");

    // Within half a minute the old one gives the same successor; later it ends the family, and that alone.
    let other = In::new(log_in(&app, "ada", PASSWORD).await.is(200));
    app.pass(Duration::from_secs(30)).await;
    assert_eq!(In::new(refresh(&app, &ada.refresh).await.is(200)).refresh, successors[0]);
    app.pass(Duration::from_millis(1)).await;
    assert_eq!(refresh(&app, &ada.refresh).await.slug(), "unauthorized");
    app.settle().await;
    assert_eq!(refresh(&app, &successors[0]).await.slug(), "unauthorized", "whoever has it");
    let _ = refresh(&app, &other.refresh).await.is(200);
    // A slow one among several that took turns.
    let one = In::new(log_in(&app, "ada", PASSWORD).await.is(200)).refresh;
    let two = In::new(refresh(&app, &one).await.is(200)).refresh;
    let three = In::new(refresh(&app, &two).await.is(200)).refresh;
    assert_eq!(In::new(refresh(&app, &one).await.is(200)).refresh, three, "used a moment ago");
    let _ = refresh(&app, &three).await.is(200);
    let list = other.asks(&app, Method::GET, "/session-mgr/v1/sessions", json!({})).await;
    assert_eq!(list.is(200)["items"].as_array().map(Vec::len), Some(2), "the stolen session is over");
    for forged in
        ["", "nxr", "nxr.1.1.x", &other.refresh.replace(".1.", ".2."), &format!("{}x", other.refresh)]
    {
        assert_eq!(refresh(&app, forged).await.slug(), "unauthorized", "{forged}");
    }
}

async fn fifty_leases_at_once_are_as_many_as_somebody_has(app: TestApp) {
    let (root, ada) = two(&app).await;
    let app = std::sync::Arc::new(app);
    let mut all = JoinSet::new();
    for at in 0..50 {
        let (app, ada) = (app.clone(), ada.clone());
        all.spawn(async move {
            let body = json!({"stream": format!("live/s{at}")});
            ada.asks(&app, Method::POST, "/session-mgr/v1/playback-leases", body).await
        });
    }
    let answers = all.join_all().await;
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == 201);
    assert_eq!(granted.len(), 3);
    assert!(refused.iter().all(|a| a.status == 409 && a.slug() == "streams-max"), "{refused:?}");

    let lease = |at: usize| {
        format!("/session-mgr/v1/playback-leases/{}", granted[at].body["id"].as_str().expect("an id"))
    };
    let take = async || {
        ada.asks(&app, Method::POST, "/session-mgr/v1/playback-leases", json!({"stream": "live/x"})).await
    };
    let _ = root.asks(&app, Method::PUT, &lease(0), json!({})).await.is(200);
    let _ = ada.asks(&app, Method::DELETE, &lease(1), json!({})).await.is(200);
    let _ = take().await.is(201);
    let _ = take().await.is(409);
    // Players that say nothing are gone in a minute.
    app.pass(Duration::from_secs(59)).await;
    let _ = ada.asks(&app, Method::PUT, &lease(0), json!({})).await.is(200);
    app.pass(Duration::from_secs(2)).await;
    let _ = ada.asks(&app, Method::PUT, &lease(2), json!({})).await.is(404);
    let live = ada.asks(&app, Method::GET, "/session-mgr/v1/playback-leases", json!({})).await;
    assert_eq!(live.is(200)["items"].as_array().map(Vec::len), Some(1));
    // Who is shut out watches nothing.
    let path = format!("/user-auth/v1/users/{}/disable", ada.caller.subject);
    let _ = root.asks(&app, Method::POST, &path, json!({})).await.is(200);
    app.settle().await;
    let _ = ada.asks(&app, Method::PUT, &lease(0), json!({})).await.is(404);
    let wrong = json!({"stream": "live/x", "streams_max": 1000});
    let _ = ada.asks(&app, Method::POST, "/session-mgr/v1/playback-leases", wrong).await.is(403);
}

/// Log-ins and changes of the password at the same time, while facts go round: no session of the old one is left.
async fn a_log_in_does_not_outlast_what_it_rests_on(app: TestApp) {
    let (_, ada) = two(&app).await;
    let app = std::sync::Arc::new(app);
    let (mut old, mut new) = (PASSWORD, "battery staple");
    for _ in 0..6 {
        let mut logins = JoinSet::new();
        for _ in 0..3 {
            let app = app.clone();
            logins.spawn(async move { log_in(&app, "ada", old).await });
        }
        let change = json!({"current": old, "new": new});
        let (changed, ()) = tokio::join!(
            async {
                let changed = ada.asks(&app, Method::POST, "/auth-service/v1/password", change).await;
                app.settle().await;
                changed
            },
            async {
                for _ in 0..20 {
                    app.settle().await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        );
        let _ = changed.is(200);
        for answer in logins.join_all().await {
            app.settle().await;
            if answer.status == 200 {
                let left = In::new(&answer.body);
                assert_eq!(refresh(&app, &left.refresh).await.slug(), "unauthorized");
            }
        }
        std::mem::swap(&mut old, &mut new);
    }
    let list = ada.asks(&app, Method::GET, "/session-mgr/v1/sessions", json!({})).await;
    assert_eq!(list.is(200)["items"].as_array().map(Vec::len), Some(1), "hers");
}

macro_rules! on_both {
    ($($name:ident: $scene:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                $scene(lite(&Config::default()).await).await;
            }

            #[tokio::test]
            async fn on_postgresql() {
                let postgres = Postgres::start();
                $scene(TestApp::on(&postgres, built(&Config::default())).await).await;
            }
        }
    )*};
}
mod apps;
mod device;
mod mail;
mod orgs;
mod passkeys;

on_both! {
    sessions: from_the_first_administrator_to_the_end_of_a_session;
    shut_out: who_is_shut_out_has_nothing_left;
    renewals: fifty_renewals_at_once_have_one_successor;
    leases: fifty_leases_at_once_are_as_many_as_somebody_has;
    races: a_log_in_does_not_outlast_what_it_rests_on;
}

#[tokio::test]
async fn guesses_wait_whether_somebody_is_there_or_not() {
    let app = lite(&Config::default()).await;
    let _ = two(&app).await;
    let mut answers = Vec::new();
    for handle in ["ada", "nobody"] {
        let mut these = Vec::new();
        for _ in 0..7 {
            let answer = log_in(&app, handle, "wrong horse").await;
            let mut body = answer.body.clone();
            body["instance"] = Value::Null;
            these.push((answer.status, answer.headers.get("retry-after").cloned(), body));
        }
        answers.push(these);
    }
    assert_eq!(answers[0], answers[1], "nothing tells them apart");
    let statuses: Vec<u16> = answers[0].iter().map(|(status, ..)| status.as_u16()).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429]);
    assert_eq!(log_in(&app, "ada", PASSWORD).await.slug(), "too-many-tries", "the right one too");
    let elsewhere = json!({"handle": "ada", "password": PASSWORD});
    let _ = from(&app, "198.51.100.7", "/auth-service/v1/login", elsewhere).await.is(200);
    app.pass(Duration::from_secs(2)).await;
    let _ = log_in(&app, "ada", PASSWORD).await.is(200);
}

#[tokio::test]
async fn a_second_step_is_asked_for_and_no_code_works_twice() {
    let app = lite(&Config::default()).await;
    let (root, ada) = two(&app).await;
    let begin = ada.asks(&app, Method::POST, "/auth-service/v1/totp", json!({"password": PASSWORD})).await;
    let secret = begin.is(200)["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(secret.len(), 32);
    let code = |steps: i64| {
        let cx = app.cx("auth-service");
        super::auth_service::code_of(&secret, cx.now_ms() + steps * 30_000)
    };
    let _ = In::new(log_in(&app, "ada", PASSWORD).await.is(200));
    let confirm =
        ada.asks(&app, Method::POST, "/auth-service/v1/totp/confirm", json!({"code": code(0)})).await;
    let paper = confirm.is(200)["recovery_codes"][0].as_str().expect("a code").to_owned();
    let again = ada.asks(&app, Method::POST, "/auth-service/v1/totp", json!({"password": PASSWORD})).await;
    assert_eq!(again.slug(), "totp-in-use");

    let challenge = async || {
        let answer = log_in(&app, "ada", PASSWORD).await;
        answer.is(200)["mfa"]["challenge"].as_str().expect("a challenge").to_owned()
    };
    let second = async |challenge: &str, what: &str, code: &str| {
        anybody(&app, "/auth-service/v1/mfa", json!({"challenge": challenge, what: code})).await
    };
    let one = challenge().await;
    assert_eq!(second(&one, "code", &code(0)).await.slug(), "unauthorized", "it confirmed already");
    let _ = In::new(second(&one, "code", &code(1)).await.is(200));
    let two = challenge().await;
    assert_eq!(second(&one, "recovery_code", &paper).await.slug(), "gone", "a challenge is for one log-in");
    assert_eq!(second(&two, "code", &code(1)).await.slug(), "unauthorized", "used");
    let _ = In::new(second(&two, "recovery_code", &paper.to_uppercase().replace('-', " ")).await.is(200));
    let three = challenge().await;
    assert_eq!(second(&three, "recovery_code", &paper).await.slug(), "unauthorized", "used");
    for _ in 0..4 {
        let _ = second(&three, "code", "000000").await.is(401);
    }
    assert_eq!(second(&three, "code", &code(2)).await.slug(), "gone", "five tries are all");
    let factors = ada.asks(&app, Method::GET, "/auth-service/v1/factors", json!({})).await;
    assert_eq!(factors.is(200), &json!({"totp": true, "recovery_codes_left": 9}));

    let path = format!("/auth-service/v1/users/{}/totp", ada.caller.subject);
    let _ = ada.asks(&app, Method::DELETE, &path, json!({})).await.is(403);
    let _ = root.asks(&app, Method::DELETE, &path, json!({})).await.is(200);
    let _ = In::new(log_in(&app, "ada", PASSWORD).await.is(200));
}

#[tokio::test]
async fn a_first_administrator_who_was_half_made_is_made_whole() {
    let app = lite(&Config::default()).await;
    let bob = In::new(sign_up(&app, "bob", None).await.is(200));
    let shut = format!("/user-auth/v1/users/{}/disable", bob.caller.subject);
    let _ = app.post(&shut, &json!({})).await.is(200);
    let link = service(&app, "/auth-service/v1/first-invite").await;
    let token = link.is(201)["token"].as_str().map(str::to_owned);
    // As far as a server comes that is killed in the middle of it.
    let id = nx_chassis::new_id(0);
    let cx = app.cx("auth-service");
    let claimed = cx.run("UPDATE link SET claim = $1, claimed_ms = 0", nx_chassis::args![&id]).await;
    assert_eq!(claimed.expect("the store works"), 1);
    let half = json!({"id": id, "handle": "rooot", "name": "", "roles": ["operator"]});
    let by = Some(Caller::service("auth-service"));
    let made = app
        .send_as(by, Method::POST, "/user-auth/v1/users", &[("idempotency-key", id.as_str())], &half)
        .await;
    let _ = made.is(201);
    assert_eq!(service(&app, "/auth-service/v1/first-invite").await.slug(), "not-first");
    let root = In::new(sign_up(&app, "root", token.as_deref()).await.is(200));
    assert_eq!((root.caller.subject.as_str(), root.caller.roles), (id.as_str(), vec!["operator".to_owned()]));
    assert_eq!(sign_up(&app, "eve", token.as_deref()).await.slug(), "gone");
    let once = [("idempotency-key", "1")];
    let key = app.send(Method::POST, "/token-mgr/v1/api-keys", &once, &json!({"name": "of nobody"})).await;
    assert_eq!(key.slug(), "forbidden", "this machine has no keys that would outlive its rights");
}

#[tokio::test]
async fn the_first_link_is_worth_nothing_once_somebody_else_is_the_first() {
    let app = lite(&Config::default()).await;
    let link = service(&app, "/auth-service/v1/first-invite").await;
    let link = link.is(201)["token"].as_str().map(str::to_owned);
    let once = [("idempotency-key", "1")];
    let roles = json!({"roles": ["operator"]});
    let invite = app.send(Method::POST, "/auth-service/v1/invites", &once, &roles).await;
    let _ = In::new(sign_up(&app, "ada", invite.is(201)["token"].as_str()).await.is(200));
    for _ in 0..3 {
        assert_eq!(sign_up(&app, "mallory", link.as_deref()).await.slug(), "gone");
        app.pass(Duration::from_secs(61)).await;
    }
}

#[tokio::test]
async fn links_work_once() {
    let app = lite(&Config { sign_up: SignUp::Closed, ..Config::default() }).await;
    let link =
        service(&app, "/auth-service/v1/first-invite").await.is(201)["token"].as_str().map(str::to_owned);
    let next =
        service(&app, "/auth-service/v1/first-invite").await.is(201)["token"].as_str().map(str::to_owned);
    assert_eq!(sign_up(&app, "root", link.as_deref()).await.slug(), "gone", "a newer one is out");
    assert_eq!(sign_up(&app, "r", next.as_deref()).await.slug(), "invalid", "which uses nothing up");
    let root = In::new(sign_up(&app, "root", next.as_deref()).await.is(200));
    assert_eq!(sign_up(&app, "boss", next.as_deref()).await.slug(), "gone");
    let _ = sign_up(&app, "ada", None).await.is(403);

    let new = json!({"roles": ["creator", "viewer"]});
    let made = root.asks(&app, Method::POST, "/auth-service/v1/invites", new.clone()).await;
    let token = made.is(201)["token"].as_str();
    assert_eq!(sign_up(&app, "r00t", token).await.slug(), "taken");
    let ada = In::new(sign_up(&app, "ada", token).await.is(200));
    assert_eq!(ada.caller.roles, ["creator", "viewer"]);
    let _ = ada.asks(&app, Method::POST, "/auth-service/v1/invites", new.clone()).await.is(403);
    let made = root.asks(&app, Method::POST, "/auth-service/v1/invites", new).await;
    let list = root.asks(&app, Method::GET, "/auth-service/v1/invites", json!({})).await;
    assert_eq!(list.is(200)["items"].as_array().map(Vec::len), Some(1), "{list:?}");
    assert_eq!(list.body["items"][0].get("token"), None);
    let path = format!("/auth-service/v1/invites/{}", made.is(201)["id"].as_str().expect("an id"));
    let _ = root.asks(&app, Method::DELETE, &path, json!({})).await.is(200);
    assert_eq!(sign_up(&app, "eve", made.body["token"].as_str()).await.slug(), "gone");

    for nobody in ["../operators", "\u{1b}", "01a2030e-1c91-75f5-bb4c-d832a5cf02e1", "a/b"] {
        let made = root.asks(&app, Method::POST, "/auth-service/v1/resets", json!({"user_id": nobody})).await;
        assert_eq!(made.slug(), "not-found", "{nobody:?}");
    }
    let wish = json!({"user_id": ada.caller.subject});
    let made = root.asks(&app, Method::POST, "/auth-service/v1/resets", wish).await;
    let token = made.is(201)["token"].clone();
    let reset = async |password: &str| {
        anybody(&app, "/auth-service/v1/password/reset", json!({"token": token, "password": password})).await
    };
    assert_eq!(sign_up(&app, "eve", token.as_str()).await.slug(), "gone", "it is no invitation");
    assert_eq!(reset("short").await.slug(), "invalid");
    let _ = reset("battery staple").await.is(200);
    assert_eq!(reset("battery staple 2").await.slug(), "gone");
    app.settle().await;
    assert_eq!(refresh(&app, &ada.refresh).await.slug(), "unauthorized", "who had the old one is out");
    let _ = log_in(&app, "ada", "battery staple").await.is(200);
}

#[tokio::test]
async fn keys_change_while_their_tokens_hold() {
    let app = lite(&Config::default()).await;
    let (root, ada) = two(&app).await;
    let published = async || {
        let set = app.send_as(None, Method::GET, "/token-mgr/v1/.well-known/jwks.json", &[], &()).await;
        serde_json::from_value::<jsonwebtoken::jwk::JwkSet>(set.is(200).clone()).expect("a key set")
    };
    let kid = |token: &str| jsonwebtoken::decode_header(token).expect("a header").kid.expect("a key's name");
    let good = |token: &str, set: &jsonwebtoken::jwk::JwkSet| {
        let key =
            jsonwebtoken::DecodingKey::from_jwk(set.find(&kid(token)).expect("published")).expect("a key");
        let mut how = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        how.set_audience(&["nexus"]);
        how.validate_exp = false;
        jsonwebtoken::decode::<Value>(token, &key, &how).expect("a good token").claims["sub"].clone()
    };
    let cached = published().await;
    assert_eq!(good(&ada.access, &cached), json!(ada.caller.subject));
    let _ = ada.asks(&app, Method::POST, "/token-mgr/v1/keys/rotate", json!({})).await.is(403);
    for _ in 0..2 {
        let _ = root.asks(&app, Method::POST, "/token-mgr/v1/keys/rotate", json!({})).await.is(200);
    }
    assert_eq!(published().await.keys.len(), 2, "one that waits is enough");
    app.pass(Duration::from_secs(599)).await;
    let late = In::new(log_in(&app, "ada", PASSWORD).await.is(200));
    assert_eq!(kid(&late.access), kid(&ada.access), "nobody need know the new one yet");
    let known = published().await;
    app.pass(Duration::from_secs(1)).await;
    let next = In::new(log_in(&app, "ada", PASSWORD).await.is(200));
    assert_ne!(kid(&next.access), kid(&ada.access));
    assert_eq!(good(&next.access, &known), json!(ada.caller.subject));
    app.pass(Duration::from_secs(300)).await;
    assert_eq!(good(&late.access, &published().await), json!(ada.caller.subject), "the last of the old key");
    app.pass(Duration::from_secs(300)).await;
    assert_eq!(published().await.keys.len(), 1);
}

#[tokio::test]
async fn no_secret_is_in_the_stores() {
    let app = lite(&Config::default()).await;
    let (_, ada) = two(&app).await;
    let key = ada.asks(&app, Method::POST, "/token-mgr/v1/api-keys", json!({"name": "player"})).await;
    let key = key.is(201)["key"].as_str().expect("a key").to_owned();
    let totp = ada.asks(&app, Method::POST, "/auth-service/v1/totp", json!({"password": PASSWORD})).await;
    let totp = totp.is(200)["secret"].as_str().expect("a secret").to_owned();
    app.settle().await;
    let once = [("idempotency-key", "the same")];
    let body = json!({"handle": "bob", "password": PASSWORD});
    let send = || app.send_as(None, Method::POST, "/auth-service/v1/signup", &once, &body);
    let bob = In::new(send().await.is(200));
    assert_eq!(send().await.slug(), "shown-once");
    let mut read = Vec::new();
    for file in std::fs::read_dir(app.folder().join("services")).expect("the stores") {
        read.extend(std::fs::read(file.expect("a file").path()).expect("readable"));
    }
    assert!(read.len() > 10_000, "something is kept at all");
    for secret in [PASSWORD, &key, &totp, &ada.refresh, &ada.access, &bob.refresh, &bob.access] {
        assert!(!read.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in a store");
    }
}

mod scim;
