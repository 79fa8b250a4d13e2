//! Hardware that holds private keys, and how a service of keys gets to it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Section `gateway.keys`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hardware in which pv-keys makes keys. Without it they are in its store, sealed with the secret of the ring.
    pub pkcs11: Option<Pkcs11>,
}

/// A token of PKCS #11.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11 {
    /// The library that its maker gives with it.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// File with the PIN of its user.
    pub pin_file: PathBuf,
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let Some(pkcs11) = &self.pkcs11 else { return Vec::new() };
        let missing = |file: &PathBuf| !file.is_file();
        let files = [("pkcs11.module", &pkcs11.module), ("pkcs11.pin_file", &pkcs11.pin_file)];
        let mut faults: Vec<_> = files
            .into_iter()
            .filter(|(_, file)| missing(file))
            .map(|(key, file)| (key.to_owned(), format!("{} is no file: check the path", file.display())))
            .collect();
        if pkcs11.token.is_empty() || pkcs11.token.len() > 32 {
            faults.push(("pkcs11.token".into(), "must be the label of a token, 1 to 32 bytes".into()));
        }
        faults
    }
}
