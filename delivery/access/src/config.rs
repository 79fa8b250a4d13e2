//! Settings of who may watch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use nx_media::StreamPattern;
use serde::{Deserialize, Serialize};

use crate::claims::{hex, random};
use crate::cli::write;
use crate::gate::{Gate, Terms};
use crate::keys::{Algorithm, generate};

/// File in the data folder of what was taken back here.
const REVOKED: &str = "revocations.jsonl";

/// File in the data folder of an origin's own key.
const OWN_KEYS: &str = "playback.json";
/// And what edges elsewhere need of it: it proves tokens and makes none.
const OPEN_KEYS: &str = "playback.public.json";

/// Section `playback`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Streams that ask for a token: `live/show`, or a beginning, `live/*`.
    pub protect: Vec<String>,
    /// JSON Web Key Set that tokens are proved with; read again when it changes.
    pub keys_file: Option<PathBuf>,
    /// The `iss` that tokens must have.
    pub issuer: Option<String>,
    /// Where an edge learns what was taken back: HTTP addresses of origins.
    pub revocations: Vec<String>,
    /// What a node shows others to get what it asks viewers for a token for.
    pub node_token_file: Option<PathBuf>,
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do. Files are not opened.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut faults: Vec<(String, String)> = Vec::new();
        for (nth, name) in self.protect.iter().enumerate() {
            faults.extend(StreamPattern::new(name).err().map(|text| (format!("protect.{nth}"), text)));
        }
        if !self.protect.is_empty() && self.keys_file.is_none() {
            let text = "is needed to prove tokens: make one with nexus token keys";
            faults.push(("keys_file".into(), text.into()));
        }
        for (nth, base) in self.revocations.iter().enumerate() {
            if !base.starts_with("http://") && !base.starts_with("https://") {
                let text = "must be the address of an origin's HTTP listener, as http://10.0.0.1:8887";
                faults.push((format!("revocations.{nth}"), text.into()));
            }
            let same = |other: &String| other.trim_end_matches('/') == base.trim_end_matches('/');
            if self.revocations.iter().take(nth).any(same) {
                faults.push((format!("revocations.{nth}"), "is named twice".into()));
            }
        }
        faults
    }

    /// The same with a key of its own in the folder `data`, where none is named: made now if it is not there yet.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn with_own_keys(&self, data: &Path) -> Result<Self, String> {
        let file = data.join(OWN_KEYS);
        if self.keys_file.is_none() && !file.exists() {
            let id = hex(&random(4)?);
            let (private, open) =
                generate(&id, Algorithm::Es256).map_err(|_| "there is no randomness for a playback key")?;
            // Whole or not at all: half a key would keep the next start from coming up.
            for (file, text, mode) in
                [(&data.join(OPEN_KEYS), &open[..], 0o644), (&file, &private[..], 0o600)]
            {
                let fresh = file.with_extension("new");
                let _ = std::fs::remove_file(&fresh);
                write(&fresh, text, mode)?;
                std::fs::rename(&fresh, file)
                    .map_err(|e| format!("{} cannot be made: {e}", file.display()))?;
            }
        }
        Ok(Self { keys_file: self.keys_file.clone().or(Some(file)), ..self.clone() })
    }

    /// The gate that this describes; `data` is the folder for what was taken back here.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn gate(&self, data: &Path) -> Result<Arc<Gate>, String> {
        let rules = self.protect.iter().map(|name| StreamPattern::new(name)).collect::<Result<_, _>>()?;
        Gate::open(Terms {
            rules,
            whole: false,
            issuer: self.issuer.clone(),
            keys_file: self.keys_file.clone(),
            revoked_file: Some(data.join(REVOKED)),
            others: self.revocations.len(),
        })
    }

    /// What this node shows others, as a field that no log shows.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn node_token(&self) -> Result<Option<HeaderValue>, String> {
        let Some(file) = &self.node_token_file else { return Ok(None) };
        let text = std::fs::read_to_string(file).map_err(|e| {
            format!(
                "{} cannot be read: {e}; make a token with: nexus token make --node --keys FILE",
                file.display()
            )
        })?;
        let mut token = HeaderValue::from_str(text.trim())
            .map_err(|_| "playback.node_token_file holds no token".to_owned())?;
        token.set_sensitive(true);
        Ok(Some(token))
    }
}
