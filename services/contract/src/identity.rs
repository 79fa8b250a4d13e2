//! Who somebody is, as the services of identity say it and the gateway believes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// May do everything.
pub const OPERATOR: &str = "operator";
/// May have channels of their own.
pub const CREATOR: &str = "creator";
/// May watch.
pub const VIEWER: &str = "viewer";
/// What people can be.
pub const ROLES: [&str; 3] = [OPERATOR, CREATOR, VIEWER];

/// Fact: a person's name or roles are others, or they are shut out, or let in again. Subject: their id. Data: [`PersonNow`].
pub const USER_CHANGED: &str = "cos.identity.user.changed.v1";
/// Fact: nothing of a person is to be left. Subject: their id.
pub const USER_ERASED: &str = "cos.identity.user.erased.v1";
/// Fact: a session is over. Subject: its id.
pub const SESSION_REVOKED: &str = "cos.identity.session.revoked.v1";
/// Fact: somebody watches no more under a playback lease. Subject: its id.
pub const LEASE_ENDED: &str = "cos.identity.lease.ended.v1";

/// Who makes access tokens, and whom they are for: `iss` and `aud`.
pub const ISSUER: &str = "nexus";
/// What API keys begin with.
pub const API_KEY: &str = "nxk_";
/// How long an access token holds, seconds.
pub const ACCESS_S: i64 = 300;
/// How long somebody who verifies tokens may go on with the keys that they have read, seconds.
pub const KEYS_CACHED_S: i64 = 300;

/// An access token: a JSON Web Token (RFC 7519) signed with Ed25519 by token-mgr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`ISSUER`].
    pub aud: String,
    /// The user.
    pub sub: String,
    /// Their session; a program that speaks for itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// What they are; in a token of an app, what of that it may use.
    pub roles: Vec<String>,
    /// The app of others that speaks for them (RFC 9068 §2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What the app may do, as scopes behind each other (RFC 9068 §2.2.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Unix time, seconds.
    pub iat: i64,
    /// Unix time, seconds.
    pub exp: i64,
}

/// Somebody, as the services tell each other and people about themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The same for ever.
    pub id: String,
    /// What they sign in as.
    pub handle: String,
    /// What they are called.
    pub name: String,
    /// What they are: of [`ROLES`].
    pub roles: Vec<String>,
}

/// What [`USER_CHANGED`] tells.
#[derive(Debug, Serialize, Deserialize)]
pub struct PersonNow {
    /// Who it is now.
    #[serde(flatten)]
    pub person: Person,
    /// Whether they are shut out.
    pub disabled: bool,
}

/// What token-mgr says of an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyBearer {
    /// The user.
    pub subject: String,
    /// What the key may be used for.
    pub roles: Vec<String>,
}

/// Who may make themselves an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Everybody; they become viewers.
    #[default]
    Open,
    /// Who was invited.
    Closed,
}

/// Section `gateway.identity`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who may make themselves an account.
    pub sign_up: SignUp,
    /// Streams that one person may watch at a time, 1 to 1000.
    pub streams_max: u32,
    /// How long a session goes on without a new log-in, days, 1 to 365.
    pub session_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { sign_up: SignUp::Open, streams_max: 3, session_days: 30 }
    }
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut within = |key: &str, value: u32, most: u32| {
            if !(1..=most).contains(&value) {
                faults.push((key.to_owned(), format!("is {value}: take 1 to {most}")));
            }
        };
        within("streams_max", self.streams_max, 1000);
        within("session_days", self.session_days, 365);
        faults
    }
}
