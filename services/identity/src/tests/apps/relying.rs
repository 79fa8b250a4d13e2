//! A relying party that others wrote goes through every way to get tokens.

use std::convert::Infallible;

use http::Method;
use nx_chassis::test::TestApp;
use nx_contract::identity::Config;
use openidconnect::core::{
    CoreClient, CoreDeviceAuthorizationResponse, CoreGenderClaim, CoreProviderMetadata, CoreResponseType,
};
use openidconnect::{
    AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken, DeviceAuthorizationUrl,
    EmptyAdditionalClaims, HttpRequest, HttpResponse, IntrospectionUrl, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, RevocationUrl, Scope, TokenIntrospectionResponse,
    TokenResponse, UserInfoClaims,
};
use serde_json::{Value, json};

use super::super::lite;
use super::{BACK, CREDENTIALS, DEVICE, House, V2, by, text};

const ISSUER: &str = "https://nexus.example:8080/api/auth-service-v2/v1";

/// What stands between the app and the services: the gateway, as far as that matters here.
async fn pass(app: &TestApp, request: HttpRequest) -> Result<HttpResponse, Infallible> {
    let (head, body) = request.into_parts();
    let path =
        head.uri.path_and_query().expect("a path").as_str().strip_prefix("/api").expect("of a service");
    let mut headers = vec![("x-nexus-reached", "nexus.example:8080"), ("x-forwarded-proto", "https")];
    headers.extend(head.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().expect("text"))));
    let bearer = head.headers.get("authorization").and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
    let answer = app.send_bytes(bearer.map(by), head.method, path, &headers, body).await;
    let mut response = HttpResponse::new(match &answer.body {
        Value::String(text) => text.clone().into_bytes(),
        body => body.to_string().into_bytes(),
    });
    (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
    Ok(response)
}

#[tokio::test]
async fn goes_through_every_grant() {
    let scopes = ["openid", "profile", "offline_access", "watch"];
    let grants = ["authorization_code", "refresh_token", CREDENTIALS, DEVICE];
    let more = json!({"scopes": scopes, "grants": grants, "id_token_alg": "RS256"});
    let house = House::new(lite(&Config::default()).await, more).await;
    let http = |request| pass(&house.app, request);
    let issuer = IssuerUrl::new(ISSUER.into()).expect("an address");
    let found = CoreProviderMetadata::discover_async(issuer, &http).await.expect("a provider");
    let (id, secret) = (ClientId::new(house.id.clone()), ClientSecret::new(house.secret.clone()));
    let at = |path: &str| format!("{ISSUER}/{path}");
    let client = CoreClient::from_provider_metadata(found, id, Some(secret))
        .set_redirect_uri(RedirectUrl::new(BACK.into()).expect("an address"))
        .set_device_authorization_url(
            DeviceAuthorizationUrl::new(at("device_authorization")).expect("an address"),
        )
        .set_introspection_url(IntrospectionUrl::new(at("introspect")).expect("an address"))
        .set_revocation_url(RevocationUrl::new(at("revoke")).expect("an address"));

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
    let (url, _, nonce) = client
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .add_scopes(["profile", "offline_access"].map(|s| Scope::new(s.into())))
        .set_pkce_challenge(challenge)
        .url();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let request = house.request(&pairs).await;
    let (path, request) = (format!("{V2}/requests/allow"), json!({"request": request}));
    let back = text(&house.ada.asks(&house.app, Method::POST, &path, request).await, "location");
    let code = form_urlencoded::parse(back.split_once('?').expect("a query").1.as_bytes())
        .find_map(|(name, value)| (name == "code").then(|| value.into_owned()))
        .expect("a code");
    let exchange = client.exchange_code(AuthorizationCode::new(code)).expect("an address of tokens");
    let given = exchange.set_pkce_verifier(verifier).request_async(&http).await.expect("tokens");
    let now = || chrono::DateTime::from_timestamp_millis(house.app.cx("token-mgr").now_ms()).expect("a time");
    let verifier = client.id_token_verifier().set_time_fn(now);
    let claims = given.id_token().expect("one").claims(&verifier, &nonce).expect("it is proved");
    assert_eq!(claims.subject().as_str(), house.ada.caller.subject);

    let info =
        client.user_info(given.access_token().clone(), Some(claims.subject().clone())).expect("an address");
    let info: UserInfoClaims<EmptyAdditionalClaims, CoreGenderClaim> =
        info.request_async(&http).await.expect("claims");
    assert_eq!(info.preferred_username().map(|n| n.as_str()), Some("ada"));
    let refresh = given.refresh_token().expect("one").clone();
    let next = client
        .exchange_refresh_token(&refresh)
        .expect("an address")
        .request_async(&http)
        .await
        .expect("tokens");
    let known = client.introspect(next.access_token());
    assert!(known.request_async(&http).await.expect("an answer").active());
    let revoked = client.revoke_token(next.refresh_token().expect("one").clone().into()).expect("an address");
    revoked.request_async(&http).await.expect("it is over");
    assert!(!client.introspect(next.access_token()).request_async(&http).await.expect("an answer").active());

    let own = client.exchange_client_credentials().expect("an address").add_scope(Scope::new("watch".into()));
    assert_eq!(own.request_async(&http).await.expect("tokens").scopes().map(Vec::len), Some(1));

    let begun = client.exchange_device_code().add_scope(Scope::new("watch".into()));
    let begun: CoreDeviceAuthorizationResponse = begun.request_async(&http).await.expect("a code");
    let typed = json!({"user_code": begun.user_code().secret()});
    let path = format!("{V2}/devices/allow");
    let _ = house.ada.asks(&house.app, Method::POST, &path, typed).await.is(200);
    let poll = client.exchange_device_access_token(&begun).expect("an address");
    poll.request_async(&http, tokio::time::sleep, None).await.expect("tokens");
}
