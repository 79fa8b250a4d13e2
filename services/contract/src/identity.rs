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
/// Fact: nothing of a person is to be left. Subject: their id. Data: [`Erasing`]. Who keeps something of people says so in the
/// catalogue, erases it, and tells [`USER_FORGOTTEN`].
pub const USER_ERASED: &str = "cos.identity.user.erased.v1";
/// Fact: somebody signs in with another password. Subject: their id.
pub const CREDENTIAL_CHANGED: &str = "cos.identity.credential.changed.v1";
/// Fact: somebody has one step less, or a passkey. Subject: their id.
pub const FACTOR_REMOVED: &str = "cos.identity.factor.removed.v1";
/// Fact: the service that tells it keeps nothing of a person any more. Subject: the erasure's id. Data: [`Forgotten`].
pub const USER_FORGOTTEN: &str = "cos.identity.user.forgotten.v1";
/// Rows of one kind that are given out of a person, under `/v1/persons/ID`.
pub const ROWS_GIVEN_MAX: i64 = 1000;
/// Fact: a session is over. Subject: its id.
pub const SESSION_REVOKED: &str = "cos.identity.session.revoked.v1";
/// Fact: somebody watches no more under a playback lease. Subject: its id.
pub const LEASE_ENDED: &str = "cos.identity.lease.ended.v1";

/// Fact: an organisation is there. Subject of this and the next: its id. Data, but of the last: [`OrgNow`].
pub const ORG_CREATED: &str = "cos.identity.org.created.v1";
/// Fact: it is called otherwise.
pub const ORG_CHANGED: &str = "cos.identity.org.changed.v1";
/// Fact: somebody belongs to it.
pub const ORG_MEMBER_ADDED: &str = "cos.identity.org.member_added.v1";
/// Fact: somebody has another role in it.
pub const ORG_MEMBER_CHANGED: &str = "cos.identity.org.member_changed.v1";
/// Fact: somebody belongs to it no more.
pub const ORG_MEMBER_REMOVED: &str = "cos.identity.org.member_removed.v1";
/// Fact: it is no more, and nothing can be done in its name.
pub const ORG_DELETED: &str = "cos.identity.org.deleted.v1";
/// Those that tell how an organisation is now.
pub const ORG_FACTS: [&str; 5] =
    [ORG_CREATED, ORG_CHANGED, ORG_MEMBER_ADDED, ORG_MEMBER_CHANGED, ORG_MEMBER_REMOVED];

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
    /// The key that whoever shows it must hold (RFC 7800, RFC 9449 §6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Unix time, seconds.
    pub iat: i64,
    /// Unix time, seconds.
    pub exp: i64,
}

/// What a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confirmation {
    /// The thumbprint of a key (RFC 7638, SHA-256).
    pub jkt: String,
}

/// Header and scheme of a proof that who asks holds a key (RFC 9449).
pub const DPOP: &str = "dpop";
/// How proofs may be signed.
pub const DPOP_ALGS: [&str; 3] = ["ES256", "EdDSA", "Ed25519"];
/// Header by which the gateway tells services whose proof a request bears: the key's thumbprint, or [`PROVEN_FAULT`] and why
/// it is none.
pub const PROVEN: &str = "x-proven-key";
/// What a fault begins with; no thumbprint does.
pub const PROVEN_FAULT: &str = "! ";

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

/// What [`USER_ERASED`] tells.
#[derive(Debug, Serialize, Deserialize)]
pub struct Erasing {
    /// Under which id the answer is awaited.
    pub erasure: String,
}

/// What [`USER_FORGOTTEN`] tells.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forgotten {
    /// How many rows it had.
    pub rows: u64,
}

/// What somebody is in an organisation; each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrgRole {
    /// Sees the organisation's channels, publishes them, plans and runs broadcasts.
    Publisher,
    /// Makes and deletes channels too, and invites people.
    Manager,
    /// May everything, also decide about members.
    Owner,
}

impl OrgRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Publisher, Self::Manager, Self::Owner];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Manager => "manager",
            Self::Owner => "owner",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// An organisation with everybody in it, as it is after what [`ORG_FACTS`] tell. What is older than a version that was heard of
/// says nothing new: so they may come twice, and in any order.
#[derive(Debug, Serialize, Deserialize)]
pub struct OrgNow {
    /// Grows with every change.
    pub version: i64,
    /// Its name in addresses.
    pub handle: String,
    /// What people read.
    pub name: String,
    /// Everybody in it.
    pub members: Vec<OrgMember>,
    /// Of whom the fact is, if it is of one of them.
    pub about: Option<String>,
}

/// Somebody in an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgMember {
    /// Who.
    pub user_id: String,
    /// What they are in it.
    pub role: OrgRole,
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
    /// The address under which people reach the pages, `https://stream.example`: passkeys are bound to its name, apps of others know
    /// us by it, and with `https` cookies go nowhere else. Without one passkeys hold at `http://localhost`, on any port, and all
    /// else goes by the name that a request was sent to.
    pub url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { sign_up: SignUp::Open, streams_max: 3, session_days: 30, url: None }
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
        faults.extend(self.site().err().map(|why| ("url".to_owned(), why)));
        faults
    }

    /// Where passkeys hold.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn site(&self) -> Result<Site, String> {
        self.url.as_deref().map_or_else(|| Ok(Site::localhost()), Site::parse)
    }
}

/// Where browsers let passkeys be made and shown: a name, and the origin of the pages under it.
///
/// Spec: Web Authentication Level 3 §5.1.2 and §13.4.9: a domain, reached over TLS unless it is this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What passkeys are bound to: the relying party's id.
    pub name: String,
    /// Scheme, name and perhaps port.
    pub origin: String,
    /// Whether other ports of the same name will do.
    pub any_port: bool,
}

impl Site {
    const LOCALHOST: &str = "localhost";

    fn localhost() -> Self {
        Self { name: Self::LOCALHOST.into(), origin: "http://localhost".into(), any_port: true }
    }

    fn parse(url: &str) -> Result<Self, String> {
        let url = url.to_ascii_lowercase();
        let example = "take an address like https://stream.example";
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| format!("has no https:// before its name: {example}"))?;
        if rest.contains(['/', '?', '#', '@']) {
            return Err(format!("has more than a name and a port: {example}, with nothing behind it"));
        }
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, port)) if !rest.ends_with(']') => (name, Some(port)),
            _ => (rest, None),
        };
        if name.starts_with('[') || name.rsplit('.').next().is_some_and(is_number) {
            return Err(
                "is an IP address, and browsers make passkeys for names alone: put a name there".into()
            );
        }
        if !is_name(name) {
            return Err(format!("has no name that browsers know: {example}"));
        }
        if port.is_some_and(|port| port.starts_with('+') || !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err("has a port that is none: take 1 to 65535, or leave it out".into());
        }
        match scheme {
            "https" => {}
            "http" if name == Self::LOCALHOST => {}
            "http" => {
                return Err("is not https, and browsers make passkeys nowhere else but on localhost".into());
            }
            _ => return Err(format!("is neither https nor http: {example}")),
        }
        // As browsers write it: without a port that goes without saying.
        let port = port.and_then(|port| port.parse::<u16>().ok());
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = port.filter(|port| *port != usual).map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self { name: name.into(), any_port: false, origin: format!("{scheme}://{name}{port}") })
    }
}

/// What browsers read as the end of an IP address, in any of its spellings.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_hexdigit()));
    hex || (!label.is_empty() && label.bytes().all(|c| c.is_ascii_digit()))
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(url: &str) -> Result<Site, String> {
        Config { url: Some(url.into()), ..Config::default() }.site()
    }

    #[test]
    fn passkeys_hold_at_a_name_over_tls_or_on_this_machine() {
        assert_eq!(Config::default().site(), Ok(Site::localhost()));
        for (url, name) in [
            ("https://stream.example", "stream.example"),
            ("https://Stream.Example:8443", "stream.example"),
            ("https://intranet", "intranet"),
            ("https://xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("https://9gag.example", "9gag.example"),
            ("http://localhost:8080", "localhost"),
            ("https://localhost", "localhost"),
        ] {
            let made = site(url).map(|site| (site.name, site.origin, site.any_port));
            assert_eq!(made, Ok((name.into(), url.to_lowercase(), false)), "{url}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (url, origin) in [
            ("https://x.example:443", "https://x.example"),
            ("https://x.example:0443", "https://x.example"),
            ("https://x.example:80", "https://x.example:80"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:08080", "http://localhost:8080"),
        ] {
            assert_eq!(site(url).map(|site| site.origin), Ok(origin.into()), "{url}");
        }
    }

    #[test]
    fn an_address_that_cannot_have_passkeys_is_refused_with_what_to_do() {
        for (url, why) in [
            ("stream.example", "has no https://"),
            ("http://stream.example", "is not https"),
            ("ftp://stream.example", "is neither https nor http"),
            ("https://192.0.2.7", "is an IP address"),
            ("https://[2001:db8::1]:443", "is an IP address"),
            ("https://[2001:db8::1]", "is an IP address"),
            ("https://3221225991", "is an IP address"),
            ("https://192.0x7", "is an IP address"),
            ("https://stream.example/account", "has more than a name and a port"),
            ("https://stream.example/", "has more than a name and a port"),
            ("https://stream.example?x", "has more than a name and a port"),
            ("https://me@stream.example", "has more than a name and a port"),
            ("https://stream.example:0", "has a port that is none"),
            ("https://stream.example:+443", "has a port that is none"),
            ("https://stream.example:", "has a port that is none"),
            ("https://", "has no name"),
            ("https://.example", "has no name"),
            ("https://bücher.example", "has no name"),
            ("https://-a.example", "has no name"),
        ] {
            let told = site(url).expect_err(url);
            assert!(told.starts_with(why), "{url}: {told}");
            let config = Config { url: Some(url.into()), ..Config::default() };
            assert_eq!(config.validate(), [("url".to_owned(), told)]);
        }
    }
}
