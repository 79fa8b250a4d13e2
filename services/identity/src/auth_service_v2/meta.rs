//! What apps read first: where everything is and what there is (OpenID Connect Discovery, RFC 8414).

use nx_chassis::{Api, Json, Problem};
use nx_contract::identity::DPOP_ALGS;
use serde_json::{Value, json};

use super::rules::SCOPES;
use super::{CODE, CREDENTIALS, DEVICE, EXCHANGE, REFRESH};
use crate::here::Here;

pub(super) fn routes(api: Api) -> Api {
    api.get("/.well-known/openid-configuration", discovery)
        .get("/.well-known/oauth-authorization-server", discovery)
}

async fn discovery(here: Here) -> Result<Json<Value>, Problem> {
    let at = |path: &str| format!("{}/{path}", here.issuer());
    let shown = ["client_secret_basic", "client_secret_post", "none"];
    Ok(Json(json!({
        "issuer": here.issuer(),
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "pushed_authorization_request_endpoint": at("par"),
        "device_authorization_endpoint": at("device_authorization"),
        "userinfo_endpoint": at("userinfo"),
        "introspection_endpoint": at("introspect"),
        "revocation_endpoint": at("revoke"),
        "end_session_endpoint": at("end_session"),
        "jwks_uri": here.to("/api/token-mgr/v1/.well-known/jwks.json"),
        "scopes_supported": SCOPES.map(|(name, _)| name),
        "claims_supported":
            ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "preferred_username", "name"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [CODE, REFRESH, CREDENTIALS, DEVICE, EXCHANGE],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "EdDSA"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent"],
        "token_endpoint_auth_methods_supported": shown,
        "revocation_endpoint_auth_methods_supported": shown,
        "introspection_endpoint_auth_methods_supported": shown[..2],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
        "dpop_signing_alg_values_supported": DPOP_ALGS,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    })))
}
