//! Somebody of whom every service has something is given all of it, and forgotten by all of them.

use std::time::Duration;

use http::{Method, Request, Response};
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_chassis::{Caller, RawBody, args};
use serde_json::{Value, json};

use super::*;

const PASSWORD: &str = "correct horse battery";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What is planted of somebody, and nowhere else.
const HANDLE: &str = "augusta-planted";
const NAME: &str = "Augusta Ada King";
const MAIL: &str = "augusta@planted.example";
const DEVICE: &str = "Analytical Engine";
const CHANNEL: &str = "poetical-science";
const TITLE: &str = "Bernoulli numbers";
const KEY: &str = "difference engine key";
const STREAM_KEY: &str = "punched cards";
const EVENING: &str = "An evening of loops";
const ORG: &str = "Analytical Society";
const ORG_CHANNEL: &str = "leibniz-notation";

/// All services.
fn built() -> Vec<Service> {
    let folder = std::env::temp_dir().join(format!("nexus-mail-{}", nx_chassis::new_id(0)));
    let sender = Sender::new(&nx_webhooks::Config::default(), &folder).expect("a sender");
    services(&sender, &IdentityConfig::default(), &KeysConfig::default()).expect("threads")
}

/// A core that says yes.
fn with_core(app: TestApp) -> TestApp {
    app.join("streamcore", async |_: Request<RawBody>| Response::new(RawBody::from("{}")));
    app
}

macro_rules! on_both {
    ($($name:ident: $scene:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                $scene(with_core(TestApp::new(built()).await)).await;
            }

            #[tokio::test]
            async fn on_postgresql() {
                let postgres = Postgres::start();
                $scene(with_core(TestApp::on(&postgres, built()).await)).await;
            }
        }
    )*};
}

on_both! {
    nothing_left: nothing_is_left_of_who_is_forgotten;
    taken_back: who_thinks_better_of_it_is_back;
    late: a_service_that_does_not_answer_is_told_of_until_it_does;
    copies: a_copy_has_everything_and_no_secret;
}

#[derive(Clone)]
struct In(Caller);

impl In {
    async fn new(app: &TestApp, path: &str, body: Value) -> Self {
        let answer = app.send_as(None, Method::POST, path, &[], &body).await;
        let body = answer.is(200);
        let text = |at: &str| body.pointer(at).and_then(Value::as_str).expect("a text").to_owned();
        let roles: Vec<String> = serde_json::from_value(body["user"]["roles"].clone()).expect("roles");
        Self(Caller { subject: text("/user/id"), roles, session: Some(text("/session_id")), scope: None })
    }

    async fn asks(&self, app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
        app.send_as(Some(self.0.clone()), method, path, &[], &body).await
    }

    async fn posts(&self, app: &TestApp, path: &str, body: Value) -> Answer {
        let key = nx_chassis::new_id(0);
        app.send_as(Some(self.0.clone()), Method::POST, path, &[("idempotency-key", &key)], &body).await
    }

    fn id(&self) -> &str {
        &self.0.subject
    }
}

fn account(handle: &str, name: &str) -> Value {
    json!({"handle": handle, "name": name, "password": PASSWORD, "device": DEVICE})
}

/// The first administrator, and somebody of whom every service has something.
async fn two(app: &TestApp) -> (In, In) {
    let process = Some(Caller::service("process"));
    let link = app.send_as(process, Method::POST, "/auth-service/v1/first-invite", &[], &json!({})).await;
    let root = json!({"handle": "root", "password": PASSWORD, "invite": link.is(201)["token"]});
    let root = In::new(app, "/auth-service/v1/signup", root).await;
    let ada = In::new(app, "/auth-service/v1/signup", account(HANDLE, NAME)).await;
    app.settle().await;
    // What a directory says of her, and a role.
    let scim = "/user-auth/v1/scim/v2";
    let whom = format!("{scim}/Users/{}", ada.id());
    let change = json!({"Operations": [{"op": "add", "value": {
        "emails": [{"value": MAIL}], "roles": [{"value": "creator"}], "nickName": HANDLE}}]});
    let _ = root.asks(app, Method::PATCH, &whom, change).await.is(200);
    let group = json!({"displayName": "Poets", "members": [{"value": ada.id()}]});
    let _ = root.asks(app, Method::POST, &format!("{scim}/Groups"), group).await.is(201);
    app.settle().await;
    let ada = In(Caller { roles: vec!["creator".into()], ..ada.0 });
    // What she makes.
    let channel = json!({"handle": CHANNEL, "title": TITLE});
    let made = ada.posts(app, "/streaming-service-v2/v1/channels", channel).await;
    let of = format!("/streaming-service-v2/v1/channels/{}", made.is(201)["id"].as_str().expect("an id"));
    let _ = ada.posts(app, &format!("{of}/stream-keys"), json!({"name": STREAM_KEY})).await.is(201);
    let _ = ada
        .posts(app, &format!("{of}/broadcasts"), json!({"title": EVENING, "description": NAME}))
        .await
        .is(201);
    let _ = ada.posts(app, "/token-mgr/v1/api-keys", json!({"name": KEY})).await.is(201);
    let _ = ada.posts(app, "/auth-service/v1/totp", json!({"password": PASSWORD})).await.is(200);
    let _ = ada.posts(app, "/session-mgr/v1/playback-leases", json!({"stream": "channels/x"})).await.is(201);
    let wrong = json!({"handle": HANDLE, "password": "wrong"});
    let _ = app.send_as(None, Method::POST, "/auth-service/v1/login", &[], &wrong).await.is(401);
    together(app, &root, &ada).await;
    plant(app, ada.id()).await;
    app.settle().await;
    (root, ada)
}

/// An organisation of hers alone with a channel; another, where she is one of two and knows a key; and one that she is invited to.
async fn together(app: &TestApp, root: &In, ada: &In) {
    let orgs = "/user-auth/v1/orgs";
    let makes = async |by: &In, handle: &str, name: &str| {
        let made = by.posts(app, orgs, json!({"handle": handle, "name": name})).await;
        app.settle().await;
        made.is(201)["id"].as_str().expect("an id").to_owned()
    };
    let has = async |by: &In, org: &str, handle: &str| {
        let new = json!({"handle": handle, "org_id": org});
        let made = by.posts(app, "/streaming-service-v2/v1/channels", new).await;
        let id = made.is(201)["id"].as_str().expect("an id");
        format!("/streaming-service-v2/v1/channels/{id}/stream-keys")
    };
    let own = makes(ada, "analytical", ORG).await;
    has(ada, &own, ORG_CHANNEL).await;
    let shared = makes(root, "engine-builders", "Builders").await;
    let keys = has(root, &shared, "engine").await;
    let other = makes(root, "royal-society", "Society").await;
    for org in [&shared, &other] {
        let invite = json!({"handle": HANDLE, "role": "publisher"});
        let _ = root.posts(app, &format!("{orgs}/{org}/invites"), invite).await.is(200);
    }
    let _ = ada.posts(app, &format!("{orgs}/invites/{shared}/accept"), json!({})).await.is(200);
    app.settle().await;
    let _ = ada.posts(app, &keys, json!({"name": STREAM_KEY})).await.is(201);
}

/// What takes more than a request to come to be.
async fn plant(app: &TestApp, id: &str) {
    let rows = [
        ("pv-keys", "INSERT INTO custodian (key, person) VALUES ('root', $1)"),
        ("pv-keys", "INSERT INTO changed (person, until_ms) VALUES ($1, 1)"),
        ("pv-keys", "INSERT INTO approval (ceremony, person, at_ms) VALUES ('c', $1, 1)"),
        (
            "pv-keys",
            "INSERT INTO audit (id, at_ms, who, what, key, detail) VALUES ('1', 1, $1, 'entrusted', 'root', '2 of ' || $1)",
        ),
        (
            "pv-keys",
            "INSERT INTO ceremony (id, key, action, needs, opened_by, state, at_ms, expires_ms) \
             VALUES ('c', 'root', '{\"custodians\":[\"' || $1 || '\"]}', 2, $1, 'open', 1, 1)",
        ),
        ("auth-service", "INSERT INTO address (person_id, mail, at_ms) VALUES ($1, $2, 1)"),
        (
            "auth-service",
            "INSERT INTO passkey (id, person_id, credential_id, credential, counter, name, synced, at_ms) \
          VALUES ('p', $1, CAST('x' AS BYTEA), 'hidden-credential', 0, $2, 0, 1)",
        ),
        ("auth-service", "INSERT INTO attempt (name, count, next_ms, last_ms) VALUES ('m|' || $1, 1, 1, 1)"),
        (
            "auth-service-v2",
            "INSERT INTO consent (person_id, client_id, scope, at_ms) VALUES ($1, 'app', $2, 1)",
        ),
        ("auth-service-v2", "INSERT INTO guess (person_id, count, since_ms) VALUES ($1, 1, LENGTH($2))"),
        (
            "auth-service-v2",
            "INSERT INTO app_session (session_id, parent, client_id, person_id, offline, auth_s, issuer, at_ms) \
          VALUES ('s', 'x', 'app', $1, 0, 1, $2, 1)",
        ),
        (
            "streaming-service-v2",
            "INSERT INTO member (channel_id, user_id, handle, name, at_ms) VALUES ('c', $1, $2, $2, 1)",
        ),
        (
            "streaming-service-v2",
            "INSERT INTO playback (token_id, channel_id, user_id, session_id, lease_id, ends_ms, ended) \
          VALUES ('t', 'c', $1, $2, 'l', 9000000000000, 0)",
        ),
        (
            "glitch",
            "INSERT INTO event (id, event_id, project, issue, at, title, level, environment, body) \
          VALUES ('e', 'e', 1, 'i', 1, 'it broke', 'error', '', '{\"user\":{\"id\":\"' || $1 || '\",\"email\":\"' || $2 || '\"}}')",
        ),
    ];
    for (service, sql) in rows {
        assert_eq!(app.cx(service).run(sql, args![id, MAIL]).await.expect(sql), 1);
    }
}

struct Name {
    name: String,
}
nx_chassis::row!(Name { name });

/// All there are: `service.table.column`.
async fn kept_names(app: &TestApp) -> Vec<String> {
    let mut all = Vec::new();
    for service in services_of() {
        let cx = app.cx(service);
        let columns = cx.db().pick(
            "SELECT m.name || '.' || c.name AS name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'",
            "SELECT table_name || '.' || column_name AS name FROM information_schema.columns \
             WHERE table_schema = current_schema()",
        );
        let columns = cx.db().all::<Name>(columns, vec![]).await.expect("columns");
        all.extend(columns.into_iter().map(|Name { name }| format!("{service}.{name}")));
    }
    all
}

/// Where something is kept.
async fn kept(app: &TestApp, what: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in kept_names(app).await {
        let [service, table, column] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let cx = app.cx(service);
        let holds = cx.db().pick("INSTR", "STRPOS");
        let sql = format!("SELECT COUNT(*) AS n FROM {table} WHERE {holds}(CAST({column} AS TEXT), $1) > 0");
        let count: Option<i64> = cx.db().one(sql.leak(), args![what]).await.expect("a count");
        if count != Some(0) {
            found.push(name);
        }
    }
    found
}

/// Whose tables have a column for a person, though the catalogue says that it keeps nothing of people.
async fn forgetful(app: &TestApp) -> Vec<String> {
    let mut found = kept_names(app).await;
    let keepers = keepers();
    found.retain(|name| {
        let (service, place) = name.split_once('.').expect("both");
        let of_people =
            ["person_id", "user_id", "owner_id", "author_id"].iter().any(|column| place.ends_with(column));
        of_people && !keepers.contains(&service)
    });
    found
}

/// Every service that has a store here.
fn services_of() -> Vec<&'static str> {
    let built = nx_catalog::catalog().services.iter().filter(|service| service.built);
    built
        .map(|service| service.id.as_str())
        .filter(|id| !["streamcore", "backend-api"].contains(id))
        .collect()
}

fn keepers() -> Vec<&'static str> {
    let all = nx_catalog::catalog().services.iter();
    all.filter(|service| service.persons == Some(true)).map(|service| service.id.as_str()).collect()
}

async fn nothing_is_left_of_who_is_forgotten(app: TestApp) {
    let (root, ada) = two(&app).await;
    assert_eq!(forgetful(&app).await, Vec::<String>::new(), "say in the catalogue that it keeps something");
    let planted =
        [HANDLE, NAME, MAIL, DEVICE, CHANNEL, TITLE, KEY, STREAM_KEY, EVENING, ORG, ORG_CHANNEL, ada.id()];
    for what in planted {
        assert_ne!(kept(&app, what).await, Vec::<String>::new(), "{what} was planted");
    }
    for service in keepers() {
        let prefix = format!("{service}.");
        let has = kept(&app, ada.id())
            .await
            .iter()
            .any(|place| place.starts_with(&prefix) && !place.contains(".chassis_"));
        assert!(has, "{service} has something of her");
    }
    let wish = json!({"password": PASSWORD, "at_once": true});
    let wrong = ada.posts(&app, "/auth-service/v1/erasure", json!({"password": "wrong"})).await;
    assert_eq!(wrong.is(422)["errors"][0]["pointer"], "/password", "{wrong:?}");
    let asked = ada.posts(&app, "/auth-service/v1/erasure", wish).await;
    assert_eq!(asked.is(200)["state"], "running");
    let path = format!("/user-auth/v1/users/{}/erasure", ada.id());
    app.settle().await;
    let done = root.asks(&app, Method::GET, &path, json!({})).await;
    assert_eq!((&done.is(200)["state"], &done.body["asked_by"]), (&json!("done"), &json!(ada.id())));
    let answered: Vec<_> = done.body["services"].as_array().expect("parts").iter().collect();
    for part in &answered {
        assert!(part["rows"].as_i64() > Some(0) && part["state"] == "done", "{part}");
    }
    assert_eq!(answered.len(), keepers().len());
    // Twice is once, and nobody gets her id.
    let again = root.posts(&app, &path, json!({})).await;
    assert_eq!((again.is(200), &again.body["id"]), (&done.body, &asked.body["id"]));
    let new = json!({"id": ada.id(), "handle": "another", "name": "", "roles": []});
    let anew = app
        .send_as(
            Some(Caller::service("process")),
            Method::POST,
            "/user-auth/v1/users",
            &[("idempotency-key", "k")],
            &new,
        )
        .await;
    assert_eq!((anew.is(409), anew.slug()), (&anew.body, "erased"));
    for handle in [CHANNEL, ORG_CHANNEL] {
        let taken = root.posts(&app, "/streaming-service-v2/v1/channels", json!({"handle": handle})).await;
        assert_eq!(taken.slug(), "taken", "what was recorded under it is not another's");
    }
    let left = root.asks(&app, Method::GET, "/streaming-service-v2/v1/channels", json!({})).await;
    assert_eq!(left.is(200)["items"][0]["handle"], "engine", "that of others stays");

    // What was kept for who asks twice, and for access tokens that are out yet, is gone a day later.
    app.pass(DAY + DAY / 24).await;
    app.forget().await;
    for what in planted {
        let left: Vec<_> = kept(&app, what).await;
        let tombstone = ["user-auth.erasure.person_id", "user-auth.erasure.asked_by"];
        let want: Vec<_> = tombstone.iter().filter(|_| what == ada.id()).map(|at| (*at).to_owned()).collect();
        assert_eq!(left, want, "{what}");
    }
}

async fn who_thinks_better_of_it_is_back(app: TestApp) {
    let (root, ada) = two(&app).await;
    let path = format!("/user-auth/v1/users/{}/erasure", ada.id());
    let wish = json!({"password": PASSWORD});
    let asked = ada.posts(&app, "/auth-service/v1/erasure", wish.clone()).await;
    let (state, begins) = (&asked.is(200)["state"], &asked.body["begins_at"]);
    assert_eq!((state, begins), (&json!("waiting"), &json!("2026-01-08T00:00:00.000Z")));
    let back = json!({"token": asked.body["take_back"]});
    app.settle().await;
    // Out at once, and let in by nobody but by taking it back.
    let log_in = json!({"handle": HANDLE, "password": PASSWORD});
    let enters = async || app.send_as(None, Method::POST, "/auth-service/v1/login", &[], &log_in).await;
    assert_eq!(enters().await.slug(), "disabled");
    let enable = format!("/user-auth/v1/users/{}/enable", ada.id());
    assert_eq!(root.posts(&app, &enable, json!({})).await.slug(), "erasure-waits");
    assert_eq!(root.posts(&app, &path, json!({"grace_days": 3})).await.slug(), "erasure-waits");
    let taken = async |token: &Value| {
        app.send_as(None, Method::POST, "/user-auth/v1/erasures/take-back", &[], token).await
    };
    assert_eq!(taken(&json!({"token": "guessed"})).await.slug(), "gone");
    let _ = taken(&back).await.is(200);
    assert_eq!(taken(&back).await.slug(), "gone", "once");
    app.pass(8 * DAY).await;
    let ada = In::new(&app, "/auth-service/v1/login", log_in.clone()).await;
    let _ = ada.asks(&app, Method::GET, &path, json!({})).await.is(404);

    stays_shut_out(&app, &root, &ada).await;
    let ada = In::new(&app, "/auth-service/v1/login", log_in.clone()).await;

    // The week passes; then it is too late.
    let asked = ada.posts(&app, "/auth-service/v1/erasure", wish).await;
    let back = json!({"token": asked.is(200)["take_back"]});
    app.pass(7 * DAY - Duration::from_millis(1)).await;
    assert_eq!(root.asks(&app, Method::GET, &path, json!({})).await.is(200)["state"], "waiting");
    app.pass(Duration::from_millis(1)).await;
    assert_eq!(root.asks(&app, Method::GET, &path, json!({})).await.is(200)["state"], "done");
    assert_eq!(taken(&back).await.slug(), "gone");
    assert_eq!(root.asks(&app, Method::DELETE, &path, json!({})).await.slug(), "not-found");
    assert_eq!(enters().await.slug(), "unauthorized");
}

/// Who is shut out while they wait stays so when they take it back, and nobody takes back what an operator wants.
async fn stays_shut_out(app: &TestApp, root: &In, ada: &In) {
    let user = format!("/user-auth/v1/users/{}", ada.id());
    let asked = ada.posts(app, "/auth-service/v1/erasure", json!({"password": PASSWORD})).await;
    let back = json!({"token": asked.is(200)["take_back"]});
    assert_eq!(root.posts(app, &format!("{user}/disable"), json!({})).await.status, 200);
    let taken = app.send_as(None, Method::POST, "/user-auth/v1/erasures/take-back", &[], &back).await;
    assert_eq!(taken.status, 200);
    assert_eq!(root.asks(app, Method::GET, &user, json!({})).await.is(200)["disabled"], true);
    assert_eq!(root.posts(app, &format!("{user}/enable"), json!({})).await.status, 200);
    assert_eq!(root.posts(app, &format!("{user}/erasure"), json!({"grace_days": 3})).await.status, 200);
    let path = format!("{user}/erasure");
    assert_eq!(ada.asks(app, Method::DELETE, &path, json!({})).await.status, 403);
    assert_eq!(root.asks(app, Method::DELETE, &path, json!({})).await.status, 200);
    app.settle().await;
}

async fn a_service_that_does_not_answer_is_told_of_until_it_does(app: TestApp) {
    let (root, ada) = two(&app).await;
    let broken = app.cx("session-mgr");
    broken.run("ALTER TABLE watcher RENAME TO away", vec![]).await.expect("renamed");
    let path = format!("/user-auth/v1/users/{}/erasure", ada.id());
    assert_eq!(root.posts(&app, &path, json!({})).await.is(200)["state"], "running");
    for _ in 0..10 {
        app.pass(Duration::from_secs(300)).await;
    }
    let seen = root.asks(&app, Method::GET, &path, json!({})).await;
    assert_eq!(seen.is(200)["state"], "running");
    app.pass(DAY).await;
    let list = root.asks(&app, Method::GET, "/user-auth/v1/erasures", json!({})).await;
    let one = &list.is(200)["items"][0];
    assert_eq!((&one["state"], &one["id"]), (&json!("late"), &seen.body["id"]));
    let late = one["services"].as_array().expect("parts").iter().filter(|part| part["state"] == "late");
    assert_eq!(late.map(|part| &part["service"]).collect::<Vec<_>>(), ["session-mgr"]);
    let _ = ada.asks(&app, Method::GET, "/user-auth/v1/erasures", json!({})).await.is(403);

    broken.run("ALTER TABLE away RENAME TO watcher", vec![]).await.expect("renamed");
    // The next day all are told again.
    app.pass(DAY).await;
    assert_eq!(root.asks(&app, Method::GET, &path, json!({})).await.is(200)["state"], "done");
}

impl Name {
    async fn one(app: &TestApp, service: &str, sql: &'static str) -> String {
        let found: Option<Self> = app.cx(service).db().one(sql, vec![]).await.expect(sql);
        found.expect("one").name
    }
}

async fn a_copy_has_everything_and_no_secret(app: TestApp) {
    let (root, ada) = two(&app).await;
    let broken = app.cx("glitch");
    broken.run("ALTER TABLE event RENAME TO away", vec![]).await.expect("renamed");
    let path = format!("/user-auth/v1/users/{}/exports", ada.id());
    let asked = ada.posts(&app, &path, json!({})).await;
    let one = format!("{path}/{}", asked.is(201)["id"].as_str().expect("an id"));
    app.settle().await;
    // A service that is away is asked again; what is there meanwhile is told.
    let seen = ada.asks(&app, Method::GET, &one, json!({})).await;
    let states = seen.is(200)["services"].as_array().expect("parts").iter().map(|part| &part["state"]);
    assert_eq!(states.filter(|state| *state == "given").count(), keepers().len() - 1);
    assert_eq!(ada.asks(&app, Method::GET, &format!("{one}/file"), json!({})).await.slug(), "not-ready");
    broken.run("ALTER TABLE away RENAME TO event", vec![]).await.expect("renamed");
    app.pass(Duration::from_secs(60)).await;
    assert_eq!(ada.asks(&app, Method::GET, &one, json!({})).await.is(200)["state"], "ready");

    let file = ada.asks(&app, Method::GET, &format!("{one}/file"), json!({})).await;
    let whole = file.is(200).to_string();
    for what in [
        HANDLE,
        NAME,
        MAIL,
        DEVICE,
        CHANNEL,
        TITLE,
        KEY,
        STREAM_KEY,
        EVENING,
        ORG,
        "Builders",
        "Society",
        "Poets",
        "it broke",
        "channels/x",
    ] {
        assert!(whole.contains(what), "{what} in {whole}");
    }
    for service in keepers() {
        assert!(file.body["services"][service].is_object(), "{service}");
    }
    for secret in ["argon2", "hidden-credential", "hash", "sealed", "nxk_", PASSWORD] {
        assert!(!whole.contains(secret), "{secret} in {whole}");
    }
    let by_key = In(Caller { session: None, ..ada.0.clone() });
    let _ = by_key.asks(&app, Method::GET, &format!("{one}/file"), json!({})).await.is(403);
    // It is nobody else's, nowhere in clear, and gone after a week.
    let other = In::new(&app, "/auth-service/v1/signup", account("other", "Other")).await;
    let _ = other.asks(&app, Method::GET, &format!("{one}/file"), json!({})).await.is(404);
    let _ = other.posts(&app, &path, json!({})).await.is(404);
    let persons = format!("/auth-service/v1/persons/{}", ada.id());
    let _ = root.asks(&app, Method::GET, &persons, json!({})).await.is(403);
    assert!(!kept(&app, TITLE).await.iter().any(|place| place.contains("export_part")));
    for status in [201, 201, 409] {
        let _ = ada.posts(&app, &path, json!({})).await.is(status);
    }
    app.pass(8 * DAY).await;
    let _ = ada.asks(&app, Method::GET, &format!("{one}/file"), json!({})).await.is(404);
    assert_eq!(
        Name::one(&app, "user-auth", "SELECT CAST(COUNT(*) AS TEXT) AS name FROM export_part").await,
        "0"
    );
}
