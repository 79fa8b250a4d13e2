//! Passkeys, with a device that answers what it is told to.

use super::device::Device;
use super::*;

const AUTH: &str = "/auth-service/v1/webauthn";

async fn begin(app: &TestApp, whose: &In) -> Value {
    let begun =
        whose.asks(app, Method::POST, &format!("{AUTH}/register/begin"), json!({"password": PASSWORD})).await;
    begun.is(200)["options"].clone()
}

async fn finish(app: &TestApp, whose: &In, name: &str, credential: &Value) -> Answer {
    let body = json!({"name": name, "credential": credential});
    whose.asks(app, Method::POST, &format!("{AUTH}/register/finish"), body).await
}

/// A device with a passkey, and the passkey's id.
async fn add(app: &TestApp, whose: &In) -> (Device, String) {
    let mut device = Device::new();
    let made = device.makes(&begin(app, whose).await);
    let answer = finish(app, whose, " phone ", &made).await;
    (device, answer.is(201)["id"].as_str().expect("an id").to_owned())
}

async fn asked(app: &TestApp) -> (String, Value) {
    let begun = anybody(app, &format!("{AUTH}/login/begin"), json!({})).await;
    let ceremony = begun.is(200)["ceremony"].as_str().expect("a ceremony").to_owned();
    (ceremony, begun.body["options"].clone())
}

async fn show(app: &TestApp, ceremony: &str, credential: &Value) -> Answer {
    let body = json!({"ceremony": ceremony, "credential": credential, "device": "a phone"});
    anybody(app, &format!("{AUTH}/login/finish"), body).await
}

async fn log_in_by(app: &TestApp, device: &mut Device) -> Answer {
    let (ceremony, options) = asked(app).await;
    show(app, &ceremony, &device.shows(&options)).await
}

/// Facts that wait to be told, of this kind.
async fn told(app: &TestApp, kind: &str) -> usize {
    struct Waiting {
        body: String,
    }
    nx_chassis::row!(Waiting { body });
    let waiting = app.cx("auth-service").db().all("SELECT body FROM chassis_outbox", Vec::new()).await;
    let waiting: Vec<Waiting> = waiting.expect("the store works");
    waiting.iter().filter(|fact| fact.body.contains(kind)).count()
}

async fn a_passkey_signs_in_until_it_is_removed(app: TestApp) {
    let (root, ada) = two(&app).await;
    let path = format!("{AUTH}/register/begin");
    let wrong = ada.asks(&app, Method::POST, &path, json!({"password": "another horse"})).await;
    assert_eq!(wrong.slug(), "invalid");
    let _ = app.post(&path, &json!({"password": PASSWORD})).await.is(403);
    let options = begin(&app, &ada).await;
    assert_eq!(options["rp"]["id"], "localhost");
    assert_eq!(
        options["authenticatorSelection"],
        json!({"requireResidentKey": true, "userVerification": "required"})
    );
    let (mut phone, id) = add(&app, &ada).await;
    assert_eq!(told(&app, "factor.added").await, 1);
    let begun = begin(&app, &ada).await;
    assert_eq!(begun["excludeCredentials"].as_array().map(Vec::len), Some(1), "a device needs no second");

    // The app that codes come from is not asked for.
    let totp = ada.asks(&app, Method::POST, "/auth-service/v1/totp", json!({"password": PASSWORD})).await;
    let secret = totp.is(200)["secret"].as_str().expect("a secret").to_owned();
    let code = crate::auth_service::code_of(&secret, app.cx("auth-service").now_ms());
    let _ =
        ada.asks(&app, Method::POST, "/auth-service/v1/totp/confirm", json!({"code": code})).await.is(200);
    let again = In::new(log_in_by(&app, &mut phone).await.is(200));
    assert_eq!(again.caller.subject, ada.caller.subject);
    let sessions = again.asks(&app, Method::GET, "/session-mgr/v1/sessions", json!({})).await;
    let own = sessions.is(200)["items"].as_array().expect("a list").iter().find(|s| s["current"] == true);
    let own = own.expect("its own").clone();
    assert_eq!((&own["method"], &own["device"]), (&json!("passkey"), &json!("a phone")));
    let _ = log_in_by(&app, &mut phone).await.is(200);

    // Hers alone, and by whatever name.
    let one = format!("{AUTH}/passkeys/{id}");
    let list = ada.asks(&app, Method::GET, &format!("{AUTH}/passkeys"), json!({})).await;
    assert_eq!(list.is(200)["items"][0]["name"], "phone");
    assert_eq!(
        (&list.body["items"][0]["synced"], list.body["items"][0]["used_at"].is_string()),
        (&json!(true), true)
    );
    let none = root.asks(&app, Method::GET, &format!("{AUTH}/passkeys"), json!({})).await;
    assert_eq!(none.is(200)["items"], json!([]));
    let _ = root.asks(&app, Method::PATCH, &one, json!({"name": "mine"})).await.is(404);
    let _ = root.asks(&app, Method::DELETE, &one, json!({"password": PASSWORD})).await.is(404);
    let _ = ada.asks(&app, Method::PATCH, &one, json!({"name": " "})).await.is(422);
    assert_eq!(
        ada.asks(&app, Method::PATCH, &one, json!({"name": "old phone"})).await.is(200)["name"],
        "old phone"
    );
    let _ = ada.asks(&app, Method::DELETE, &one, json!({"password": "another horse"})).await.is(422);
    let _ = ada.asks(&app, Method::DELETE, &one, json!({"password": PASSWORD})).await.is(200);
    assert_eq!(told(&app, "factor.removed").await, 1);
    assert_eq!(log_in_by(&app, &mut phone).await.slug(), "unauthorized");
    let _ = ada.asks(&app, Method::DELETE, &one, json!({"password": PASSWORD})).await.is(404);
}

async fn of_fifty_who_show_the_same_one_is_in(app: TestApp) {
    let (_, ada) = two(&app).await;
    let (mut phone, _) = add(&app, &ada).await;
    // Without a counter, which would refuse the others as well.
    phone.counter = None;
    let (ceremony, options) = asked(&app).await;
    let (shown, app) = (phone.shows(&options), std::sync::Arc::new(app));
    let mut all = JoinSet::new();
    for _ in 0..50 {
        let (app, ceremony, shown) = (app.clone(), ceremony.clone(), shown.clone());
        all.spawn(async move { show(&app, &ceremony, &shown).await });
    }
    let (ins, outs): (Vec<_>, Vec<_>) = all.join_all().await.into_iter().partition(|a| a.status == 200);
    assert_eq!(ins.len(), 1);
    assert!(outs.iter().all(|answer| answer.slug() == "gone"), "{outs:?}");
    let list = ada.asks(&app, Method::GET, "/session-mgr/v1/sessions", json!({})).await;
    assert_eq!(list.is(200)["items"].as_array().map(Vec::len), Some(2), "hers, and the one");
    let _ = log_in_by(&app, &mut phone).await.is(200);
}

async fn what_does_not_hold_is_refused(app: TestApp) {
    let (root, ada) = two(&app).await;
    let (mut phone, _) = add(&app, &ada).await;
    let (ceremony, options) = asked(&app).await;
    let shown = phone.shows(&options);
    let _ = show(&app, &ceremony, &shown).await.is(200);
    assert_eq!(show(&app, &ceremony, &shown).await.slug(), "gone", "the same once more");
    let (other, _) = asked(&app).await;
    assert_eq!(show(&app, &other, &shown).await.slug(), "unauthorized", "for another question");

    type Lie = fn(&mut Device);
    let root_id = root.caller.subject.replace('-', "");
    let lies: [(&str, Lie); 5] = [
        ("another origin", |d| d.origin = "http://localhost.evil.example".into()),
        ("without TLS", |d| d.origin = "http://stream.example".into()),
        ("another site", |d| d.site = "evil.example".into()),
        ("locked", |d| d.verified = false),
        ("nobody", |d| d.user = None),
    ];
    for (what, lie) in lies {
        let (origin, site, user) = (phone.origin.clone(), phone.site.clone(), phone.user.clone());
        lie(&mut phone);
        assert_eq!(log_in_by(&app, &mut phone).await.slug(), "unauthorized", "{what}");
        (phone.origin, phone.site, phone.user, phone.verified) = (origin, site, user, true);
    }
    let user = phone.user.replace(
        (0..16).map(|at| u8::from_str_radix(&root_id[2 * at..2 * at + 2], 16).expect("hex")).collect(),
    );
    assert_eq!(log_in_by(&app, &mut phone).await.slug(), "unauthorized", "as somebody else");
    phone.user = user;
    let mut stranger = Device::new();
    stranger.user = phone.user.clone();
    let unknown = log_in_by(&app, &mut stranger).await;
    assert_eq!(unknown.body["detail"], "this passkey is not good here");
    let _ = log_in_by(&app, &mut phone).await.is(200);

    // A counter that goes back, or stands.
    let at = phone.counter;
    phone.counter = at.map(|counter| counter - 1);
    let copied = log_in_by(&app, &mut phone).await;
    assert!(copied.is(401)["detail"].as_str().is_some_and(|text| text.contains("copy")), "{copied:?}");
    assert_eq!(told(&app, "passkey.cloned").await, 1);
    phone.counter = at;
    let _ = log_in_by(&app, &mut phone).await.is(200);
    let (ceremony, options) = asked(&app).await;
    let shown = phone.shows(&options);
    app.pass(Duration::from_secs(300)).await;
    assert_eq!(show(&app, &ceremony, &shown).await.slug(), "gone", "five minutes are over");
    for (body, status) in [
        (json!({}), 422),
        (json!({"ceremony": ceremony, "credential": {}}), 422),
        (json!({"ceremony": "x", "credential": shown}), 410),
        (json!({"ceremony": "x".repeat(101), "credential": shown}), 422),
    ] {
        let _ = anybody(&app, &format!("{AUTH}/login/finish"), body).await.is(status);
    }
}

async fn who_is_shut_out_has_no_use_of_a_passkey(app: TestApp) {
    let (root, ada) = two(&app).await;
    let (mut phone, _) = add(&app, &ada).await;
    let path = format!("/user-auth/v1/users/{}", ada.caller.subject);
    let _ = root.asks(&app, Method::POST, &format!("{path}/disable"), json!({})).await.is(200);
    assert_eq!(log_in_by(&app, &mut phone).await.slug(), "disabled");
    let _ = root.asks(&app, Method::POST, &format!("{path}/enable"), json!({})).await.is(200);
    let _ = log_in_by(&app, &mut phone).await.is(200);

    // A password that changes ends what the old one began, and no passkey.
    let made = phone.makes(&begin(&app, &ada).await);
    let change = json!({"current": PASSWORD, "new": "battery staple"});
    let _ = ada.asks(&app, Method::POST, "/auth-service/v1/password", change).await.is(200);
    assert_eq!(finish(&app, &ada, "late", &made).await.slug(), "gone");
    let _ = log_in_by(&app, &mut phone).await.is(200);

    let _ = root.asks(&app, Method::DELETE, &path, json!({})).await.is(200);
    app.settle().await;
    assert_eq!(log_in_by(&app, &mut phone).await.slug(), "unauthorized");
    let left: Option<i64> =
        app.cx("auth-service").db().one("SELECT COUNT(*) AS n FROM passkey", Vec::new()).await.expect("read");
    assert_eq!(left, Some(0));
}

/// The passkey goes in the moment in which a session is made.
async fn a_log_in_needs_its_passkey_to_the_end(app: TestApp) {
    let (_, ada) = two(&app).await;
    let (mut phone, id) = add(&app, &ada).await;
    let (cx, person) = (app.cx("auth-service"), ada.caller.subject.clone());
    app.join("session-mgr", move |request: http::Request<_>| {
        let (cx, id, person) = (cx.clone(), id.clone(), person.clone());
        async move {
            if request.uri().path() == "/v1/sessions" {
                let gone = cx.run("DELETE FROM passkey WHERE id = $1", nx_chassis::args![id]).await;
                assert_eq!(gone.expect("the store works"), 1);
            }
            let at = "2026-01-01T00:00:00Z";
            let session = json!({
                "id": nx_chassis::new_id(0), "user_id": person, "device": "", "network": "", "method": "passkey",
                "created_at": at, "seen_at": at, "expires_at": "2026-02-01T00:00:00Z", "current": false,
            });
            http::Response::new(session.to_string().into())
        }
    });
    let answer = log_in_by(&app, &mut phone).await;
    assert_eq!(answer.body["detail"], "your account has changed meanwhile: sign in again");
}

on_both! {
    whole: a_passkey_signs_in_until_it_is_removed;
    fifty: of_fifty_who_show_the_same_one_is_in;
    refused: what_does_not_hold_is_refused;
    shut_out: who_is_shut_out_has_no_use_of_a_passkey;
    in_between: a_log_in_needs_its_passkey_to_the_end;
}

#[tokio::test]
async fn twenty_are_all_and_a_question_is_for_one_answer() {
    let app = lite(&Config::default()).await;
    let (root, ada) = two(&app).await;
    let mut device = Device::new();
    let made = device.makes(&begin(&app, &ada).await);
    assert_eq!(finish(&app, &root, "not mine", &made).await.slug(), "gone", "it was asked of somebody else");
    let _ = finish(&app, &ada, "mine", &made).await.is(201);
    assert_eq!(finish(&app, &ada, "mine", &made).await.slug(), "gone");
    let (stolen, late) = (device.makes(&begin(&app, &root).await), begin(&app, &ada).await);
    assert_eq!(finish(&app, &root, "hers", &stolen).await.slug(), "passkey-known");
    device.verified = false;
    let locked = device.makes(&late);
    assert_eq!(finish(&app, &ada, "locked", &locked).await.slug(), "invalid");
    let old = Device::new().makes(&begin(&app, &ada).await);
    app.pass(Duration::from_secs(300)).await;
    assert_eq!(finish(&app, &ada, "old", &old).await.slug(), "gone");
    for _ in 1..20 {
        let _ = add(&app, &ada).await;
    }
    let path = format!("{AUTH}/register/begin");
    let more = ada.asks(&app, Method::POST, &path, json!({"password": PASSWORD})).await;
    assert_eq!(more.slug(), "passkeys-max");
}

#[tokio::test]
async fn at_a_name_of_ones_own_passkeys_hold_there_alone() {
    let url = Some("https://stream.example:8443".to_owned());
    let app = lite(&Config { url, ..Config::default() }).await;
    let (_, ada) = two(&app).await;
    let state = app.send_as(None, Method::GET, "/auth-service/v1/state", &[], &json!({})).await;
    assert_eq!(state.is(200)["passkeys_at"], "https://stream.example:8443");
    for (origin, good) in [
        ("https://stream.example:8443", true),
        ("https://stream.example", false),
        ("http://stream.example:8443", false),
        ("https://a.stream.example:8443", false),
        ("http://localhost:3000", false),
    ] {
        let mut device = Device::new();
        (device.origin, device.site) = (origin.into(), "stream.example".into());
        let made = device.makes(&begin(&app, &ada).await);
        let answer = finish(&app, &ada, origin, &made).await;
        assert_eq!(answer.status == 201, good, "{answer:?}");
        assert!(good || answer.body["errors"][0]["detail"].as_str().is_some_and(|e| e.contains("alone")));
    }
}

#[tokio::test]
async fn log_ins_that_come_to_nothing_are_bounded_in_a_network_and_swept() {
    let app = lite(&Config::default()).await;
    let waiting = async || {
        let sql = "SELECT COUNT(*) AS n FROM passkey_login";
        app.cx("auth-service").db().one::<i64>(sql, Vec::new()).await.expect("read").unwrap_or_default()
    };
    for _ in 0..500 {
        let _ = asked(&app).await;
    }
    assert_eq!(anybody(&app, &format!("{AUTH}/login/begin"), json!({})).await.slug(), "too-many-tries");
    let _ = from(&app, "198.51.100.7", &format!("{AUTH}/login/begin"), json!({})).await.is(200);
    app.settle().await;
    assert_eq!(waiting().await, 501);
    // Who only looked away has done nothing wrong: when those have run out there is room again.
    app.pass(Duration::from_secs(301)).await;
    let _ = asked(&app).await;
    app.pass(Duration::from_secs(3600)).await;
    assert_eq!(waiting().await, 0);
}

/// Whoever was in for a minute has left nothing behind when the password is given anew; one that is changed takes none along.
#[tokio::test]
async fn a_password_given_anew_ends_passkeys() {
    let app = lite(&Config::default()).await;
    let (root, ada) = two(&app).await;
    let (mut device, _) = add(&app, &ada).await;
    let change = json!({"current": PASSWORD, "new": "battery staple"});
    let _ = ada.asks(&app, Method::POST, "/auth-service/v1/password", change).await.is(200);
    app.settle().await;
    let _ = log_in_by(&app, &mut device).await.is(200);
    let reset = json!({"user_id": ada.caller.subject});
    let link = root.asks(&app, Method::POST, "/auth-service/v1/resets", reset).await;
    let new = json!({"token": link.is(201)["token"], "password": "a third horse battery"});
    let _ = anybody(&app, "/auth-service/v1/password/reset", new).await.is(200);
    assert_eq!(log_in_by(&app, &mut device).await.slug(), "unauthorized");

    let ada = In::new(log_in(&app, "ada", "a third horse battery").await.is(200));
    let begun = json!({"password": "a third horse battery"});
    let begun = ada.asks(&app, Method::POST, &format!("{AUTH}/register/begin"), begun).await;
    let made = device.makes(&begun.is(200)["options"]);
    let _ = finish(&app, &ada, "phone", &made).await.is(201);
    let path = format!("/auth-service/v1/users/{}/passkeys", ada.caller.subject);
    let _ = ada.asks(&app, Method::DELETE, &path, json!({})).await.is(403);
    let _ = root.asks(&app, Method::DELETE, &path, json!({})).await.is(200);
    assert_eq!(log_in_by(&app, &mut device).await.slug(), "unauthorized", "who runs it can take them away");
}
