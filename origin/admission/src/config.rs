//! Settings: section `origin.admission`.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::secret::refuse_numbers;
use crate::{Input, Limits, Network, Secret};

/// Section `origin.admission`: who may publish, and who may play over RTMP and SRT.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What holds for publishers that no rule speaks of. Unset, it is `closed` as soon as a key, passphrase, token
    /// or hook is configured here, and `open` before.
    pub publish: Option<Policy>,
    /// The same for RTMP and SRT players that bring no credential. Unset, it is `open`.
    pub play: Option<Policy>,
    /// Addresses and networks that may publish; empty lets all in.
    pub allow: Vec<Network>,
    /// Rules by stream name; of several that match, only the longest holds.
    pub streams: Vec<StreamRule>,
    /// Signed tokens.
    pub tokens: Option<TokenConfig>,
    /// A web service that is asked.
    pub hook: Option<HookConfig>,
}

/// What happens to those that no rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// They are let in.
    Open,
    /// They are turned away.
    Closed,
}

/// An entry of `origin.admission.streams`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamRule {
    /// The name, as `live/show`, or the beginning of names, as `live/*`.
    pub name: String,
    /// Keys, one of which the publisher must bring.
    #[serde(deserialize_with = "keys")]
    pub keys: Vec<KeyConfig>,
    /// Passphrase of SRT publishers, 10 to 79 bytes.
    pub passphrase: Option<Secret>,
    /// File with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Addresses and networks that may publish it; empty lets all in.
    pub allow: Vec<Network>,
    /// What its publishers may send.
    pub limits: Limits,
}

/// A key of a stream. In TOML also just the text of the key.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KeyConfig {
    /// The key, 1 to 256 bytes.
    pub key: Option<Secret>,
    /// File with the key.
    pub key_file: Option<PathBuf>,
    /// The input that this key is for; unset, the publisher chooses.
    pub input: Option<Input>,
}

/// Section `origin.admission.tokens`: JSON Web Tokens (RFC 7519) that say who may publish. Claims: `sub` (stream or
/// pattern), `act` (`publish` or `play`), `exp`; optional `nbf`, `ip`, `input`, `limits`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenConfig {
    /// Shared secret of HS256 tokens, at least 32 bytes (RFC 7518 section 3.2).
    pub secret: Option<Secret>,
    /// File with the secret.
    pub secret_file: Option<PathBuf>,
    /// PEM file with the public key of EdDSA (Ed25519) or RS256 tokens.
    pub public_key_file: Option<PathBuf>,
    /// The `iss` that tokens must have.
    pub issuer: Option<String>,
    /// The `aud` that tokens must have.
    pub audience: Option<String>,
}

/// Section `origin.admission.hook`: a web service that is asked about whoever brings no key or token known here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookConfig {
    /// Where the question is posted to.
    pub url: String,
    /// Whether players are asked about too.
    pub play: bool,
    /// Time for connecting, asking and the whole answer. Milliseconds, at most 10 000.
    pub timeout_ms: u64,
    /// How long an answer holds for the same question; a refusal at most 5. Seconds.
    pub cache_s: u64,
    /// What happens when there is no usable answer.
    pub on_failure: OnFailure,
    /// Secret that signs questions: header `Nexus-Signature: t=UNIX,v1=HEX`, HMAC-SHA256 over `UNIX.BODY`.
    pub secret: Option<Secret>,
    /// File with the secret.
    pub secret_file: Option<PathBuf>,
}

/// What a hook without answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nobody gets in.
    Deny,
    /// Everybody gets in, except without key where a stream has keys.
    Allow,
}

impl Default for HookConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            play: false,
            timeout_ms: 1_000,
            cache_s: 30,
            on_failure: OnFailure::Deny,
            secret: None,
            secret_file: None,
        }
    }
}

impl Config {
    /// Whether publishers without credentials are turned away, so that the server may listen beyond this machine.
    /// `publish = "open"` and address lists alone do not count.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.hook.is_some() || self.publish_policy() == Policy::Closed
    }

    pub(crate) fn publish_policy(&self) -> Policy {
        let guarded =
            self.tokens.is_some() || self.hook.is_some() || self.streams.iter().any(StreamRule::is_guarded);
        self.publish.unwrap_or(if guarded { Policy::Closed } else { Policy::Open })
    }
}

impl StreamRule {
    fn is_guarded(&self) -> bool {
        !self.keys.is_empty() || self.passphrase.is_some() || self.passphrase_file.is_some()
    }
}

/// Keys as a list, or one key as it is. Written by hand because serde's own messages would show a misplaced key.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyConfig>, D::Error> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<KeyConfig>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of keys, as [{ key = \"…\" }]")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![KeyConfig { key: Some(Secret::new(text)), ..KeyConfig::default() }])
        }

        refuse_numbers!();

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Deserialize::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(Keys)
}

impl<'de> Deserialize<'de> for KeyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Table {
            key: Option<Secret>,
            key_file: Option<PathBuf>,
            input: Option<Input>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = KeyConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key, as { key = \"…\" }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<KeyConfig, E> {
                Ok(KeyConfig { key: Some(Secret::new(text)), ..KeyConfig::default() })
            }

            refuse_numbers!();

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<KeyConfig, A::Error> {
                let Table { key, key_file, input } = Table::deserialize(MapAccessDeserializer::new(table))?;
                Ok(KeyConfig { key, key_file, input })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
