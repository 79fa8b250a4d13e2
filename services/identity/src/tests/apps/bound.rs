//! Tokens that are bound to a key, as the gateway says that it was proved.

use super::*;

/// Thumbprints.
const OWN: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const OTHER: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

impl House {
    /// A form, from who has proved `key`; by name alone, where the app keeps no secret.
    async fn proves(&self, key: Option<&str>, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let shown = BASE64_STANDARD.encode(format!("{}:{}", self.id, self.secret));
        let basic = format!("Basic {shown}");
        let mut headers = vec![
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-nexus-reached", "nexus.example:8080"),
        ];
        headers.extend(key.map(|key| ("x-proven-key", key)));
        let mut form = pairs.to_vec();
        match self.secret.is_empty() {
            true => form.push(("client_id", &self.id)),
            false => headers.push(("authorization", &basic)),
        }
        let (path, form) = (format!("{V2}{path}"), query(&form).into_bytes());
        self.app.send_bytes(None, Method::POST, &path, &headers, form).await
    }

    async fn redeems(&self, key: Option<&str>, code: &str) -> Answer {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ];
        self.proves(key, "/token", &pairs).await
    }

    async fn renews(&self, key: Option<&str>, token: &str) -> Answer {
        self.proves(key, "/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }
}

fn bound_to(given: &Answer) -> Value {
    assert_eq!(given.is(200)["token_type"], "DPoP");
    claims(&text(given, "access_token"))["cnf"]["jkt"].clone()
}

async fn a_public_app_keeps_its_key(app: TestApp) {
    let about = json!({"public": true, "dpop_bound_access_tokens": true});
    let house = House::new(app, about).await;
    let code = house.code(&house.ada, "openid watch offline_access").await;
    let without = house.redeems(None, &code).await;
    assert_eq!(without.is(400)["error"], "invalid_dpop_proof");
    let fault = house.redeems(Some("! the proof is too old"), &code).await;
    assert_eq!(
        (&fault.is(400)["error"], &fault.body["error_description"]),
        (&json!("invalid_dpop_proof"), &json!("the proof is too old"))
    );
    let given = house.redeems(Some(OWN), &code).await;
    assert_eq!(bound_to(&given), OWN, "a proof that was wrong has not used the code up");
    let first = text(&given, "refresh_token");
    for key in [None, Some(OTHER)] {
        let error = house.renews(key, &first).await.is(400)["error"].clone();
        assert!(error == "invalid_dpop_proof" || error == "invalid_grant", "{error}");
    }
    let next = house.renews(Some(OWN), &first).await;
    assert_eq!(bound_to(&next), OWN, "who has stolen the token has not ended the session");
    let after = house.renews(Some(OWN), &text(&next, "refresh_token")).await;
    assert_eq!(bound_to(&after), OWN);
}

#[tokio::test]
async fn a_public_app_keeps_its_key_on_sqlite() {
    a_public_app_keeps_its_key(lite(&Config::default()).await).await;
}

#[tokio::test]
async fn a_public_app_keeps_its_key_on_postgres() {
    let postgres = Postgres::start();
    a_public_app_keeps_its_key(TestApp::on(&postgres, built(&Config::default())).await).await;
}

#[tokio::test]
async fn a_public_app_is_bound_from_its_first_proof_on() {
    let house = House::new(lite(&Config::default()).await, json!({"public": true})).await;
    let code = house.code(&house.ada, "watch offline_access").await;
    let bare = house.redeems(None, &code).await;
    assert_eq!(bare.is(200)["token_type"], "Bearer");
    let next = house.renews(Some(OWN), &text(&bare, "refresh_token")).await;
    assert_eq!(bound_to(&next), OWN);
    let token = text(&next, "refresh_token");
    for key in [None, Some(OTHER)] {
        assert_eq!(house.renews(key, &token).await.is(400)["error"], "invalid_grant");
    }
    assert_eq!(bound_to(&house.renews(Some(OWN), &token).await), OWN);
}

#[tokio::test]
async fn an_app_with_a_secret_may_take_another_key_and_none_only_where_it_had_none() {
    let house = House::new(lite(&Config::default()).await, json!({})).await;
    let bare = house.redeems(None, &house.code(&house.ada, "watch offline_access").await).await;
    assert_eq!(bare.is(200)["token_type"], "Bearer");
    assert_eq!(claims(&text(&bare, "access_token"))["cnf"], Value::Null);
    let given = house.redeems(Some(OWN), &house.code(&house.ada, "watch offline_access").await).await;
    assert_eq!(bound_to(&given), OWN);
    let token = text(&given, "refresh_token");
    assert_eq!(house.renews(None, &token).await.is(400)["error"], "invalid_grant");
    let next = house.renews(Some(OTHER), &token).await;
    assert_eq!(bound_to(&next), OTHER);
    let known = house.posts("/introspect", &[("token", &text(&next, "access_token"))]).await;
    assert_eq!((&known.is(200)["token_type"], &known.body["cnf"]), (&json!("DPoP"), &json!({"jkt": OTHER})));
}

#[tokio::test]
async fn a_code_may_be_bound_before_anybody_is_asked() {
    let house = House::new(lite(&Config::default()).await, json!({})).await;
    let mut wish = house.wish("openid");
    wish.push(("dpop_jkt", OWN));
    let other = house.proves(Some(OTHER), "/par", &wish).await;
    assert_eq!(other.is(400)["error"], "invalid_dpop_proof");
    let junk: Vec<_> = house.wish("openid").into_iter().chain([("dpop_jkt", "short")]).collect();
    assert_eq!(house.posts("/par", &junk).await.is(400)["error"], "invalid_request");
    // Named by its proof, or by name.
    for (pushed, key) in [
        (house.proves(Some(OWN), "/par", &house.wish("openid")).await, None),
        (house.proves(None, "/par", &wish).await, Some(OTHER)),
    ] {
        let uri = text(&pushed, "request_uri");
        let request = house.request(&[("client_id", &house.id), ("request_uri", &uri)]).await;
        let path = format!("{V2}/requests/allow");
        let (ada, asks) = (house.ada.caller.clone(), json!({"request": request}));
        let allowed = house.app.send_as(Some(ada), Method::POST, &path, &[], &asks).await;
        let location = text(&allowed, "location");
        let (_, more) = location.split_once('?').expect("a query");
        let (_, code) = form_urlencoded::parse(more.as_bytes()).next().expect("a code");
        assert_eq!(house.redeems(key, &code).await.is(400)["error"], "invalid_dpop_proof");
        assert_eq!(house.redeems(Some(OWN), &code).await.is(400)["error"], "invalid_grant", "it was shown");
    }
}

#[tokio::test]
async fn what_is_bound_is_handed_on_by_who_holds_the_key() {
    let more = json!({"scopes": ["watch", "publish"], "grants": [CREDENTIALS, EXCHANGE]});
    let house = House::new(lite(&Config::default()).await, more).await;
    let own = house.proves(Some(OWN), "/token", &[("grant_type", CREDENTIALS), ("scope", "watch")]).await;
    assert_eq!(bound_to(&own), OWN);
    let token = text(&own, "access_token");
    let pairs = [("grant_type", EXCHANGE), ("subject_token", &token), ("subject_token_type", ACCESS)];
    for key in [None, Some(OTHER)] {
        assert_eq!(house.proves(key, "/token", &pairs).await.is(400)["error"], "invalid_dpop_proof");
    }
    assert_eq!(bound_to(&house.proves(Some(OWN), "/token", &pairs).await), OWN);
}
