//! Settings of the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use nx_mesh::Secret;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::limits;
use crate::settings::Settings;

/// Shortest token that is taken, bytes.
const TOKEN_BYTES_MIN: usize = 16;

/// Section `gateway`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Open connections; a further one waits until one closes.
    pub connections_max: usize,
    /// What a request that changes something must bear. Without one, only this machine may change anything.
    pub token: Option<Token>,
    /// File that holds it.
    pub token_file: Option<PathBuf>,
    /// How often somebody may ask.
    pub limits: limits::Config,
    /// Who may have an account, and what it is good for.
    pub identity: nx_contract::identity::Config,
    /// Where private keys are.
    pub keys: nx_contract::hardware::Config,
    /// The services behind it.
    pub ring: nx_chassis::Config,
    /// What services tell people and programs outside.
    pub notify: nx_webhooks::Config,
    /// Where errors of this process are reported, whatever its role; without it, to glitch among its own services.
    pub reports_to: Option<nx_reporter::Dsn>,
    /// What operators are told of all settings of the process; nothing that is set.
    #[serde(skip)]
    pub settings: Settings,
}

impl Default for Config {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 3000));
        Self {
            listen,
            connections_max: 20_000,
            token: None,
            token_file: None,
            limits: limits::Config::default(),
            identity: nx_contract::identity::Config::default(),
            keys: nx_contract::hardware::Config::default(),
            ring: nx_chassis::Config::default(),
            notify: nx_webhooks::Config::default(),
            reports_to: None,
            settings: Settings::default(),
        }
    }
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let section = |name: &str, faults: Vec<(String, String)>| -> Vec<_> {
            faults.into_iter().map(|(key, text)| (format!("{name}.{key}"), text)).collect()
        };
        let mut faults = section("ring", self.ring.validate());
        faults.extend(section("identity", self.identity.validate()));
        faults.extend(section("keys", self.keys.validate()));
        faults.extend(section("limits", self.limits.validate()));
        faults.extend(section("notify", self.notify.validate()));
        if self.connections_max == 0 {
            faults.push(("connections_max".into(), "must be at least 1".into()));
        }
        if self.token.is_some() && self.token_file.is_some() {
            faults
                .push(("token_file".into(), "is one too many beside gateway.token: set one of them".into()));
        } else if self.token.as_ref().is_some_and(|t| t.0.reveal().len() < TOKEN_BYTES_MIN) {
            faults.push((
                "token".into(),
                format!("is short: take at least {TOKEN_BYTES_MIN} random characters"),
            ));
        }
        faults
    }

    /// The token, from wherever it is.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(crate) fn token(&self) -> Result<Option<Token>, String> {
        let Some(path) = &self.token_file else { return Ok(self.token.clone()) };
        let text = std::fs::read_to_string(path).map_err(|e| {
            format!("gateway.token_file {} cannot be read: {e}; check path and rights", path.display())
        })?;
        let text = text.trim();
        if text.len() < TOKEN_BYTES_MIN {
            return Err(format!(
                "gateway.token_file {} holds fewer than {TOKEN_BYTES_MIN} characters: put a longer token into it",
                path.display()
            ));
        }
        Ok(Some(Token(Secret::new(text))))
    }
}

/// What whoever changes something must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(Secret);

impl Token {
    /// Whether this is the secret; the time it takes does not tell how much of it is right.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.reveal().as_bytes().ct_eq(given.as_bytes()).into()
    }

    #[cfg(test)]
    pub(crate) fn new(text: &str) -> Self {
        Self(Secret::new(text))
    }
}
