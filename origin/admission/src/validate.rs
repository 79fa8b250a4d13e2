//! What is wrong with the settings, and the secrets read from their files.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use nx_media::StreamPattern;

use crate::Secret;
use crate::config::{Config, HookConfig, StreamRule, TokenConfig};

/// A key within section `origin.admission`, with entries of lists by number (`streams.0.name`), and what to do.
pub(crate) type Fault = (String, String);

/// Largest file that holds a secret. Bytes.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;
/// Lengths of a passphrase (SRT draft section 6.1.5). Bytes.
const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 10..=79;
/// Longest key. Bytes.
const KEY_BYTES_MAX: usize = 256;
/// Shortest secret of HS256 (RFC 7518 section 3.2). Bytes.
const TOKEN_SECRET_BYTES_MIN: usize = 32;

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do. Files are not opened.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut names = HashSet::new();
        for (at, rule) in self.streams.iter().enumerate() {
            let place = format!("streams.{at}");
            if !names.insert(&rule.name) {
                let text = format!("'{}' has a rule already; join the two", rule.name);
                faults.push((format!("{place}.name"), text));
            }
            rule.validate(&place, &mut faults);
        }
        if let Some(tokens) = &self.tokens {
            tokens.validate(&mut faults);
        }
        if let Some(hook) = &self.hook {
            hook.validate(&mut faults);
        }
        faults
    }
}

impl StreamRule {
    fn validate(&self, place: &str, faults: &mut Vec<Fault>) {
        let mut fault = |key: &str, text: String| faults.push((format!("{place}.{key}"), text));
        if let Err(error) = StreamPattern::new(&self.name) {
            fault("name", error);
        }
        for (at, key) in self.keys.iter().enumerate() {
            let entry = format!("keys.{at}");
            if key.key.is_some() == key.key_file.is_some() {
                fault(&entry, "needs either key or key_file".into());
            }
            if let Some(text) = key.key.as_ref().and_then(wrong_key) {
                fault(&format!("{entry}.key"), text);
            }
        }
        if self.passphrase.is_some() && self.passphrase_file.is_some() {
            fault("passphrase", "is given twice: remove it or passphrase_file".into());
        }
        if let Some(text) = self.passphrase.as_ref().and_then(wrong_passphrase) {
            fault("passphrase", text);
        }
        for name in self.limits.zeros() {
            fault(&format!("limits.{name}"), "must be at least 1; leave it out for no limit".into());
        }
    }
}

impl TokenConfig {
    fn validate(&self, faults: &mut Vec<Fault>) {
        let given = [self.secret.is_some(), self.secret_file.is_some(), self.public_key_file.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            let text = "needs one of secret, secret_file (HS256) and public_key_file (EdDSA, RS256)";
            faults.push(("tokens".into(), text.into()));
        }
        if let Some(text) = self.secret.as_ref().and_then(wrong_token_secret) {
            faults.push(("tokens.secret".into(), text));
        }
        for (name, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if text.as_deref() == Some("") {
                faults
                    .push((format!("tokens.{name}"), "must not be empty; leave it out to accept any".into()));
            }
        }
    }
}

impl HookConfig {
    fn validate(&self, faults: &mut Vec<Fault>) {
        let url = reqwest::Url::parse(&self.url).ok();
        let web = url.as_ref().is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let bare = url.as_ref().is_none_or(|url| url.username().is_empty() && url.password().is_none());
        let rules = [
            ("hook.url", web, "must be a whole address, as http://127.0.0.1:9000/publish"),
            ("hook.url", bare, "must not hold a user or password; sign with hook.secret_file instead"),
            ("hook.timeout_ms", (1..=10_000).contains(&self.timeout_ms), "must be 1 to 10000"),
            ("hook.cache_s", self.cache_s <= 3_600, "must be 0 (ask each time) to 3600"),
            (
                "hook.secret",
                self.secret.is_none() || self.secret_file.is_none(),
                "is given twice: remove it or hook.secret_file",
            ),
            ("hook.secret", self.secret.as_ref().is_none_or(|s| !s.is_empty()), "must not be empty"),
        ];
        faults.extend(rules.into_iter().filter(|r| !r.1).map(|(key, _, text)| (key.into(), text.into())));
    }
}

pub(crate) fn wrong_key(key: &Secret) -> Option<String> {
    let fits = (1..=KEY_BYTES_MAX).contains(&key.reveal().len());
    (!fits).then(|| format!("must have 1 to {KEY_BYTES_MAX} bytes"))
}

pub(crate) fn wrong_passphrase(passphrase: &Secret) -> Option<String> {
    let fits = PASSPHRASE_BYTES.contains(&passphrase.reveal().len());
    (!fits).then(|| format!("must have {} to {} bytes", PASSPHRASE_BYTES.start(), PASSPHRASE_BYTES.end()))
}

pub(crate) fn wrong_token_secret(secret: &Secret) -> Option<String> {
    let fits = secret.reveal().len() >= TOKEN_SECRET_BYTES_MIN;
    (!fits).then(|| {
        format!("must have at least {TOKEN_SECRET_BYTES_MIN} bytes; make one with: openssl rand -hex 32")
    })
}

pub(crate) fn wrong_nothing(secret: &Secret) -> Option<String> {
    secret.is_empty().then(|| "must not be empty".into())
}

/// The secret as set, or from its file, checked; a fault is noted under `key`, and `None` given.
pub(crate) fn resolve(
    secret: Option<&Secret>,
    file: Option<&Path>,
    key: &str,
    wrong: impl Fn(&Secret) -> Option<String>,
    faults: &mut Vec<Fault>,
) -> Option<Secret> {
    let path = match (secret, file) {
        (Some(secret), _) => return Some(secret.clone()),
        (None, path) => path?,
    };
    let fault = match read(path) {
        Ok(secret) => match wrong(&secret) {
            None => return Some(secret),
            Some(text) => format!("{}: the content {text}", path.display()),
        },
        Err(error) => format!("{} cannot be read: {error}; check the path and its rights", path.display()),
    };
    faults.push((key.into(), fault));
    None
}

/// A file's text without the line end that editors add.
fn read(path: &Path) -> std::io::Result<Secret> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(SECRET_FILE_BYTES_MAX).read_to_string(&mut text)?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
    zeroize::Zeroize::zeroize(&mut text);
    Ok(secret)
}
