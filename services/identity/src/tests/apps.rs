//! Apps of others, from their registration to the end of what they were allowed.

mod bound;
mod relying;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use http::Method;
use nx_chassis::Caller;
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_contract::identity::Config;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{In, PASSWORD, built, lite, log_in, refresh, two};

const V2: &str = "/auth-service-v2/v1";
const BACK: &str = "https://app.example/cb";
/// Verifier and challenge of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const CREDENTIALS: &str = "client_credentials";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A registered app, and who shall allow it something.
struct House {
    app: Arc<TestApp>,
    root: In,
    ada: In,
    id: String,
    secret: String,
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn text(answer: &Answer, name: &str) -> String {
    answer.body[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer:#?}")).to_owned()
}

impl House {
    async fn new(app: TestApp, more: Value) -> Self {
        let (root, ada) = two(&app).await;
        let mut about = json!({
            "name": "Club TV", "redirect_uris": [BACK], "scopes": ["openid", "profile", "watch", "offline_access"],
            "grants": ["authorization_code", "refresh_token", DEVICE],
        });
        about.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let made = root.asks(&app, Method::POST, &format!("{V2}/clients"), about).await;
        let id = made.is(201)["id"].as_str().expect("an id").to_owned();
        // A public app has none.
        let secret = made.body["client_secret"].as_str().unwrap_or_default().to_owned();
        Self { app: Arc::new(app), root, ada, id, secret }
    }

    /// A form, with the app's name and secret in the header.
    async fn posts(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let shown = BASE64_STANDARD.encode(format!("{}:{}", self.id, self.secret));
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", &format!("Basic {shown}")),
            ("x-nexus-reached", "nexus.example:8080"),
        ];
        self.app
            .send_bytes(None, Method::POST, &format!("{V2}{path}"), &headers, query(pairs).into_bytes())
            .await
    }

    async fn authorize(&self, pairs: &[(&str, &str)]) -> String {
        let path = format!("{V2}/authorize?{}", query(pairs));
        let headers = [("x-nexus-reached", "nexus.example:8080")];
        let answer = self.app.send_bytes(None, Method::GET, &path, &headers, Vec::new()).await;
        assert_eq!(answer.status.as_u16(), 303, "{answer:#?}");
        answer.headers["location"].to_str().expect("text").to_owned()
    }

    fn wish<'a>(&'a self, scope: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("client_id", &self.id),
            ("redirect_uri", BACK),
            ("response_type", "code"),
            ("scope", scope),
            ("state", "s t"),
            ("nonce", "n"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]
    }

    /// A request as the page has it.
    async fn request(&self, pairs: &[(&str, &str)]) -> String {
        let location = self.authorize(pairs).await;
        let fragment = location.strip_prefix("/account#").unwrap_or_else(|| panic!("{location}"));
        let (name, request) = form_urlencoded::parse(fragment.as_bytes()).next().expect("a part");
        assert_eq!(name, "authorize", "{location}");
        request.into_owned()
    }

    /// The code that comes of somebody allowing it.
    async fn code(&self, who: &In, scope: &str) -> String {
        let request = self.request(&self.wish(scope)).await;
        let path = format!("{V2}/requests/allow");
        let (asks, headers) = (json!({"request": request}), [("x-nexus-reached", "nexus.example:8080")]);
        let allowed = self.app.send_as(Some(who.caller.clone()), Method::POST, &path, &headers, &asks).await;
        let location = text(&allowed, "location");
        let (to, more) = location.split_once('?').expect("a query");
        assert_eq!(to, BACK);
        let more: Vec<(String, String)> = form_urlencoded::parse(more.as_bytes()).into_owned().collect();
        let [(_, code), state, issuer] = &more[..] else { panic!("{location}") };
        assert_eq!(state, &("state".into(), "s t".into()));
        assert_eq!(issuer.1, "http://nexus.example:8080/api/auth-service-v2/v1");
        code.clone()
    }

    async fn redeem(&self, code: &str) -> Answer {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ];
        self.posts("/token", &pairs).await
    }

    async fn renew(&self, token: &str) -> Answer {
        self.posts("/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    async fn active(&self, token: &str) -> bool {
        self.posts("/introspect", &[("token", token)]).await.is(200)["active"] == true
    }
}

fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).expect("claims");
    serde_json::from_slice(&BASE64.decode(body).expect("base64")).expect("JSON")
}

/// The caller whom the gateway makes of an access token.
fn by(token: &str) -> Caller {
    let claims = claims(token);
    let roles = serde_json::from_value(claims["roles"].clone()).expect("roles");
    let [subject, scope] = ["sub", "scope"].map(|c| claims[c].as_str().expect("a text").to_owned());
    Caller { subject, roles, session: claims["sid"].as_str().map(str::to_owned), scope: Some(scope) }
}

async fn an_app_is_allowed_something_and_no_more(app: TestApp) {
    let house = House::new(app, json!({})).await;
    let (app, ada) = (&house.app, &house.ada);
    let request = house.request(&house.wish("openid profile watch")).await;
    let look = ada.asks(app, Method::POST, &format!("{V2}/requests/look"), json!({"request": request})).await;
    let wants = json!(["know who you are here", "know your handle and your name", "watch in your name"]);
    assert_eq!(
        look.is(200),
        &json!({"app": "Club TV", "host": "app.example", "wants": wants, "allowed": false,
                "sign_in_again": false, "silent": false})
    );
    let code = house.code(ada, "openid profile watch").await;
    let given = house.redeem(&code).await;
    assert_eq!(given.is(200)["scope"], "openid profile watch");
    let (access, id) = (text(&given, "access_token"), claims(&text(&given, "id_token")));
    assert_eq!(
        [&id["aud"], &id["nonce"], &id["sub"], &id["preferred_username"]],
        [&json!(house.id), &json!("n"), &json!(ada.caller.subject), &json!("ada")]
    );
    assert_eq!(claims(&access)["roles"], json!(["viewer"]));
    assert!(house.active(&access).await);

    // Asked again, nobody need be asked; nobody but themselves says so.
    let look = ada.asks(app, Method::POST, &format!("{V2}/requests/look"), json!({"request": request})).await;
    assert_eq!(look.body["allowed"], true);
    for (method, path, body) in [
        (Method::POST, "/requests/look", json!({"request": request})),
        (Method::POST, "/requests/allow", json!({"request": request})),
        (Method::POST, "/devices/look", json!({"user_code": "BBBB-BBBB"})),
        (Method::POST, "/devices/allow", json!({"user_code": "BBBB-BBBB"})),
        (Method::GET, "/apps", json!({})),
    ] {
        let answer = app.send_as(Some(by(&access)), method, &format!("{V2}{path}"), &[], &body).await;
        assert_eq!(answer.status.as_u16(), 403, "{path}");
    }
    let info = app.send_as(Some(by(&access)), Method::GET, &format!("{V2}/userinfo"), &[], &()).await;
    assert_eq!(info.is(200), &json!({"sub": ada.caller.subject, "preferred_username": "ada", "name": "ada"}));
    let key = json!({"name": "mine"});
    let key = app.send_as(
        Some(by(&access)),
        Method::POST,
        "/token-mgr/v1/api-keys",
        &[("idempotency-key", "k")],
        &key,
    );
    assert_eq!(key.await.status.as_u16(), 401, "an app makes no keys");

    a_refresh_never_widens(&house, &text(&given, "refresh_token")).await;
    assert!(!house.active(&access).await);
}

/// An app's refresh token is good for it alone, each for one next, and for no more than was allowed.
async fn a_refresh_never_widens(house: &House, first: &str) {
    let (app, ada) = (&house.app, &house.ada);
    assert_eq!(refresh(app, first).await.slug(), "unauthorized", "it is not the person's own");
    let next = house.renew(first).await;
    assert_eq!(next.is(200)["scope"], "openid profile watch");
    let fewer = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*text(&next, "refresh_token")),
        ("scope", "openid"),
    ];
    let fewer = house.posts("/token", &fewer).await;
    assert_eq!(claims(&text(&fewer, "access_token"))["roles"], json!([]));
    // Neither with the last one nor with the one before, which is good for half a minute.
    for token in [text(&next, "refresh_token"), text(&fewer, "refresh_token")] {
        let more =
            [("grant_type", "refresh_token"), ("refresh_token", &*token), ("scope", "openid offline_access")];
        assert_eq!(
            house.posts("/token", &more).await.is(400)["error"],
            "invalid_scope",
            "it was not allowed that"
        );
    }

    // Among the sessions of its person it is one, which they may end.
    let sessions = ada.asks(app, Method::GET, "/session-mgr/v1/sessions", json!({})).await;
    let its =
        sessions.is(200)["items"].as_array().expect("a list").iter().find(|s| s["method"] == "app").cloned();
    let its = its.expect("a session of the app");
    assert_eq!(its["device"], "Club TV");
    let path = format!("/session-mgr/v1/sessions/{}", its["id"].as_str().expect("an id"));
    let _ = ada.asks(app, Method::DELETE, &path, json!({})).await.is(200);
    app.settle().await;
    assert_eq!(house.renew(&text(&fewer, "refresh_token")).await.is(400)["error"], "invalid_grant");
}

async fn a_code_works_once_and_ends_what_it_gave_when_it_comes_again(app: TestApp) {
    let house = Arc::new(House::new(app, json!({})).await);
    let code = house.code(&house.ada, "openid").await;
    for (name, wrong) in [
        ("code_verifier", "wrongwrongwrongwrongwrongwrongwrongwrongwrong"),
        ("redirect_uri", "https://evil.example/"),
    ] {
        let code = house.code(&house.ada, "openid").await;
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ];
        let pairs = pairs.map(|(n, v)| (n, if n == name { wrong } else { v }));
        assert_eq!(house.posts("/token", &pairs).await.is(400)["error"], "invalid_grant", "{name}");
        assert_eq!(house.redeem(&code).await.is(400)["error"], "invalid_grant", "and it is gone");
    }
    let given = house.redeem(&code).await;
    let token = text(&given, "refresh_token");
    assert_eq!(house.redeem(&code).await.is(400)["error"], "invalid_grant");
    assert_eq!(house.renew(&token).await.is(400)["error"], "invalid_grant", "it was stolen, by either");

    let code = house.code(&house.ada, "openid").await;
    let mut all = JoinSet::new();
    for _ in 0..20 {
        let (house, code) = (house.clone(), code.clone());
        all.spawn(async move { house.redeem(&code).await });
    }
    let given: Vec<Answer> = all.join_all().await.into_iter().filter(|a| a.status.as_u16() == 200).collect();
    assert!(given.len() <= 1, "{given:#?}");
    for answer in given {
        assert_eq!(house.renew(&text(&answer, "refresh_token")).await.is(400)["error"], "invalid_grant");
    }
    // Who signs out takes along what they have just allowed.
    let ada = In::new(log_in(&house.app, "ada", PASSWORD).await.is(200));
    let code = house.code(&ada, "openid").await;
    let _ = ada.asks(&house.app, Method::POST, "/auth-service/v1/logout", json!({})).await.is(200);
    house.app.settle().await;
    assert_eq!(house.redeem(&code).await.is(400)["error"], "invalid_grant");
    let late = house.code(&house.ada, "openid").await;
    house.app.pass(Duration::from_secs(61)).await;
    assert_eq!(house.redeem(&late).await.is(400)["error"], "invalid_grant");
}

async fn a_television_waits_for_somebody_who_types_its_code(app: TestApp) {
    let house = House::new(app, json!({})).await;
    let begun = house.posts("/device_authorization", &[("scope", "openid watch")]).await;
    let (code, typed) = (text(&begun, "device_code"), text(&begun, "user_code"));
    assert_eq!(begun.body["verification_uri"], "http://nexus.example:8080/device");
    let ask =
        async |code: &str| house.posts("/token", &[("grant_type", DEVICE), ("device_code", code)]).await;
    assert_eq!(ask(&code).await.is(400)["error"], "authorization_pending");
    assert_eq!(ask(&code).await.is(400)["error"], "slow_down");
    house.app.pass(Duration::from_secs(9)).await;
    assert_eq!(ask(&code).await.is(400)["error"], "slow_down", "which is twice as long now");
    let sloppy = typed.to_lowercase().replace('-', " ");
    let post = async |path: &str, code: &str| {
        house
            .ada
            .asks(&house.app, Method::POST, &format!("{V2}/devices/{path}"), json!({"user_code": code}))
            .await
    };
    let look = post("look", &sloppy).await;
    assert_eq!(
        look.is(200),
        &json!({"app": "Club TV", "wants": ["know who you are here", "watch in your name"]})
    );
    let _ = post("allow", &sloppy).await.is(200);
    let _ = post("allow", &sloppy).await.is(404);
    let given = ask(&code).await;
    assert_eq!(claims(&text(&given, "access_token"))["roles"], json!(["viewer"]));
    assert_eq!(ask(&code).await.is(400)["error"], "invalid_grant");

    let begun = house.posts("/device_authorization", &[]).await;
    let _ = post("deny", &text(&begun, "user_code")).await.is(200);
    assert_eq!(ask(&text(&begun, "device_code")).await.is(400)["error"], "access_denied");
    let begun = house.posts("/device_authorization", &[]).await;
    house.app.pass(Duration::from_secs(601)).await;
    assert_eq!(ask(&text(&begun, "device_code")).await.is(400)["error"], "expired_token");
    for _ in 0..20 {
        assert!([404, 429].contains(&post("look", "BBBB-BBBB").await.status.as_u16()));
    }
    assert_eq!(post("look", "BBBB-BBBB").await.status.as_u16(), 429, "nobody guesses on");
}

on_both! {
    scopes: an_app_is_allowed_something_and_no_more;
    codes: a_code_works_once_and_ends_what_it_gave_when_it_comes_again;
    televisions: a_television_waits_for_somebody_who_types_its_code;
}

#[tokio::test]
async fn what_an_app_asks_wrongly() {
    let app = lite(&Config::default()).await;
    let house = House::new(app, json!({})).await;
    let with = |name: &'static str, value: &'static str| {
        let mut wish = house.wish("openid");
        wish.retain(|(n, _)| *n != name);
        if !value.is_empty() {
            wish.push((name, value));
        }
        wish
    };
    for (name, value, to) in [
        ("client_id", "", "/account#refused=app"),
        ("client_id", "app_none", "/account#refused=app"),
        ("redirect_uri", "", "/account#refused=address"),
        ("redirect_uri", "https://evil.example/cb", "/account#refused=address"),
        ("redirect_uri", "https://app.example/cb/../x", "/account#refused=address"),
        ("response_type", "token", "https://app.example/cb?error=unsupported_response_type"),
        ("scope", "openid operate", "https://app.example/cb?error=invalid_scope"),
        ("code_challenge", "", "https://app.example/cb?error=invalid_request"),
        ("code_challenge_method", "plain", "https://app.example/cb?error=invalid_request"),
        ("request", "eyJ", "https://app.example/cb?error=request_not_supported"),
        ("request_uri", "urn:ietf:params:oauth:request_uri:none", "/account#refused=request"),
    ] {
        let location = house.authorize(&with(name, value)).await;
        assert!(location.starts_with(to), "{name}={value}: {location}");
    }
    let twice = [house.wish("openid"), vec![("state", "other")]].concat();
    assert_eq!(house.authorize(&twice).await, "/account#refused=request");

    // What the page sends must be what we have let through, and not old.
    let request = house.request(&house.wish("openid")).await;
    for forged in [request.replace("openid", "watch"), format!("x{request}"), "a.b.c".into(), String::new()] {
        let path = format!("{V2}/requests/allow");
        let _ = house.ada.asks(&house.app, Method::POST, &path, json!({"request": forged})).await.is(410);
    }
    let allow = format!("{V2}/requests/allow");
    // An app that knows somebody does not take another for them.
    let given = house.redeem(&house.code(&house.ada, "openid").await).await;
    let mut wish = house.wish("openid");
    let hint = text(&given, "id_token");
    wish.push(("id_token_hint", &hint));
    let known = json!({"request": house.request(&wish).await});
    let _ = house.root.asks(&house.app, Method::POST, &allow, known.clone()).await.is(401);
    let _ = house.ada.asks(&house.app, Method::POST, &allow, known).await.is(200);
    house.app.pass(Duration::from_secs(61)).await;
    let fresh = house.request(&with("max_age", "60")).await;
    let _ = house.ada.asks(&house.app, Method::POST, &allow, json!({"request": fresh})).await.is(401);
    let again = In::new(log_in(&house.app, "ada", PASSWORD).await.is(200));
    house.app.pass(Duration::from_secs(300)).await;
    let _ = again.asks(&house.app, Method::POST, &allow, json!({"request": fresh})).await.is(200);
    house.app.pass(Duration::from_secs(3600)).await;
    let _ = house.ada.asks(&house.app, Method::POST, &allow, json!({"request": request})).await.is(410);
    let request = house.request(&house.wish("openid")).await;
    let deny = json!({"request": request, "reason": "signed_out"});
    let denied = house.app.send_as(None, Method::POST, &format!("{V2}/requests/deny"), &[], &deny).await;
    assert!(
        text(&denied, "location").starts_with("https://app.example/cb?error=login_required&state=s+t&iss=")
    );
}

#[tokio::test]
async fn what_was_pushed_is_good_once_and_nobody_else_s() {
    let house = House::new(lite(&Config::default()).await, json!({})).await;
    let pushed = house.posts("/par", &house.wish("openid")).await;
    let uri = pushed.is(201)["request_uri"].as_str().expect("an address").to_owned();
    let named = [("client_id", &*house.id), ("request_uri", &*uri)];
    assert_eq!(
        house.authorize(&[("client_id", "app_other"), ("request_uri", &uri)]).await,
        "/account#refused=request"
    );
    assert!(house.authorize(&named).await.starts_with("/account#authorize="));
    assert_eq!(house.authorize(&named).await, "/account#refused=request");
    let mut wrong = house.wish("openid");
    wrong[1].1 = "https://evil.example/";
    assert_eq!(house.posts("/par", &wrong).await.is(400)["error"], "invalid_request");
    let nobody = House {
        secret: "wrong".into(),
        app: house.app.clone(),
        root: house.root.clone(),
        ada: house.ada.clone(),
        id: house.id.clone(),
    };
    let refused = nobody.posts("/par", &nobody.wish("openid")).await;
    assert_eq!(
        (refused.is(401)["error"].as_str(), refused.headers.contains_key("www-authenticate")),
        (Some("invalid_client"), true)
    );
}

#[tokio::test]
async fn programs_speak_for_themselves_and_hand_on_less() {
    let more =
        json!({"scopes": ["watch", "publish"], "grants": [CREDENTIALS, EXCHANGE, "authorization_code"]});
    let house = House::new(lite(&Config::default()).await, more).await;
    let given = house.posts("/token", &[("grant_type", CREDENTIALS)]).await;
    assert_eq!(
        (&given.is(200)["scope"], &given.body["refresh_token"]),
        (&json!("watch publish"), &Value::Null)
    );
    let own = claims(&text(&given, "access_token"));
    assert_eq!(
        (&own["sub"], &own["roles"], &own["sid"]),
        (&json!(house.id), &json!(["viewer", "creator"]), &Value::Null)
    );
    let refused = house.posts("/token", &[("grant_type", CREDENTIALS), ("scope", "operate")]).await;
    assert_eq!(refused.is(400)["error"], "invalid_scope");

    let hand = async |token: &str, scope: &str| {
        let pairs = [
            ("grant_type", EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", ACCESS),
            ("scope", scope),
        ];
        house.posts("/token", &pairs).await
    };
    let ada = hand(&house.ada.access, "publish").await;
    assert_eq!(claims(&text(&ada, "access_token"))["roles"], json!([]), "she is no creator");
    let root = hand(&house.root.access, "publish").await;
    let less = text(&root, "access_token");
    assert_eq!(claims(&less)["roles"], json!(["creator"]));
    assert_eq!(hand(&less, "watch").await.is(400)["error"], "invalid_scope", "it has not that any more");
    assert_eq!(hand(&house.ada.refresh, "watch").await.is(400)["error"], "invalid_request");
    assert_eq!(hand("eyJ", "watch").await.is(400)["error"], "invalid_request");
    let revoke = house.posts("/revoke", &[("token", &house.ada.refresh)]).await;
    let _ = revoke.is(200);
    let _ = refresh(&house.app, &house.ada.refresh).await.is(200);
}

/// What was asked under a key is not answered to who asks again under it without having shown the secret.
#[tokio::test]
async fn no_answer_is_kept_for_others() {
    let more = json!({"scopes": ["watch"], "grants": [CREDENTIALS]});
    let house = House::new(lite(&Config::default()).await, more).await;
    let shown = BASE64_STANDARD.encode(format!("{}:{}", house.id, house.secret));
    let (kind, key) = (("content-type", "application/x-www-form-urlencoded"), ("idempotency-key", "1"));
    let basic = format!("Basic {shown}");
    let ask = async |headers: &[(&str, &str)]| {
        let form = query(&[("grant_type", CREDENTIALS)]).into_bytes();
        house.app.send_bytes(None, Method::POST, &format!("{V2}/token"), headers, form).await
    };
    let _ = ask(&[kind, key, ("authorization", &basic)]).await.is(200);
    let other = ask(&[kind, key]).await;
    assert!(other.status.is_client_error() && other.body["access_token"].is_null(), "{other:?}");
}

#[tokio::test]
async fn apps_are_told_who_is_gone() {
    let told = Arc::new(Mutex::new(Vec::<String>::new()));
    let kept = told.clone();
    let hear = axum::routing::post(async move |body: String| {
        let token = body.strip_prefix("logout_token=").expect("a token").to_owned();
        kept.lock().expect("nobody panicked").push(token);
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/", hear)).await });

    let app = lite(&Config::default()).await;
    let house = House::new(app, json!({"backchannel_logout_uri": uri})).await;
    let sids =
        || told.lock().expect("nobody panicked").iter().map(|t| claims(t)["sid"].clone()).collect::<Vec<_>>();
    let begin =
        async |scope: &str| text(&house.redeem(&house.code(&house.ada, scope).await).await, "refresh_token");
    let (bound, offline) = (begin("openid").await, begin("openid offline_access").await);
    let _ = house.ada.asks(&house.app, Method::POST, "/auth-service/v1/logout", json!({})).await.is(200);
    house.app.settle().await;
    assert_eq!(house.renew(&bound).await.is(400)["error"], "invalid_grant", "it ends with the sign-in");
    let offline = text(&house.renew(&offline).await, "refresh_token");
    assert_eq!(sids().len(), 2, "each was told");
    let word = claims(&told.lock().expect("nobody panicked")[0]);
    assert!(
        word["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object()
            && word["nonce"].is_null()
    );

    let ada = In::new(log_in(&house.app, "ada", PASSWORD).await.is(200));
    let apps = ada.asks(&house.app, Method::GET, &format!("{V2}/apps"), json!({})).await;
    assert_eq!(apps.is(200)["items"][0]["name"], "Club TV");
    let _ = ada.asks(&house.app, Method::DELETE, &format!("{V2}/apps/{}", house.id), json!({})).await.is(200);
    house.app.settle().await;
    assert_eq!(house.renew(&offline).await.is(400)["error"], "invalid_grant", "what is taken back is over");
    assert_eq!(sids().len(), 3);
    let path = format!("{V2}/clients/{}", house.id);
    let _ = house.root.asks(&house.app, Method::DELETE, &path, json!({})).await.is(200);
    assert_eq!(house.renew(&offline).await.is(401)["error"], "invalid_client");
}
