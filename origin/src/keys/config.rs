//! Settings of encryption: `[[origin.encryption]]`.

use std::path::PathBuf;

use nx_admission::Secret;
use nx_crypt::{Scheme, TsCipher};
use nx_media::StreamKey;
use serde::{Deserialize, Serialize};

/// Where keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A file of `KEYID:KEY` lines, used in turn.
    Static,
    /// A service that is asked for each stream and period, and answers in JSON.
    Http,
    /// A CPIX document, from a file or a service.
    Cpix,
}

/// Who gets keys from this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClearKeys {
    /// Nobody.
    #[default]
    Off,
    /// Everybody who asks: for tests.
    Open,
}

/// One of `[[origin.encryption]]`; the first that fits a stream counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionConfig {
    /// `APP/STREAM`, or a beginning followed by `*`.
    pub streams: String,
    /// How samples are encrypted.
    #[serde(default = "cbcs")]
    pub scheme: Scheme,
    /// How MPEG-TS is encrypted.
    #[serde(default)]
    pub ts: TsCipher,
    /// Where keys come from.
    pub keys: Source,
    /// The file, of `static` and `cpix`.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// The service, of `http` and `cpix`; may hold secrets.
    #[serde(default)]
    pub url: Option<Secret>,
    /// How long the service has. Milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// How long a key is used; 0 for ever. Seconds.
    #[serde(default)]
    pub rotate_s: u32,
    /// Who gets keys from this server.
    #[serde(default)]
    pub clear_keys: ClearKeys,
    /// Where ClearKey players ask for a licence; playlists and manifests say it. `{kid}` stands for the key's name.
    #[serde(default)]
    pub licence_url: Option<String>,
    /// What playlists tell FairPlay players, `skd://…`; `{kid}` stands for the key's name.
    #[serde(default)]
    pub fairplay_uri: Option<String>,
    /// Targets get the stream in the clear.
    #[serde(default)]
    pub clear_targets: bool,
}

fn cbcs() -> Scheme {
    Scheme::Cbcs
}

fn timeout_ms() -> u64 {
    2_000
}

impl EncryptionConfig {
    pub(crate) fn fits(&self, key: &StreamKey) -> bool {
        match self.streams.strip_suffix('*') {
            Some(beginning) => key.as_str().starts_with(beginning),
            None => key.as_str() == self.streams,
        }
    }

    /// What is wrong, as key within the section and a sentence that says what to do.
    pub(crate) fn faults(&self) -> Vec<(&'static str, String)> {
        let open = self.streams.ends_with('*');
        let names = self.streams.strip_suffix('*').map_or(self.streams.clone(), |text| {
            format!("{text}{}", if text.contains('/') { "x" } else { "x/x" })
        });
        let is_http =
            |url: &Secret| ["http://", "https://"].iter().any(|scheme| url.reveal().starts_with(scheme));
        let (file, url) = (self.file.is_some(), self.url.is_some());
        // Without these a pattern of one file would leave its streams one after the other under one list of IVs.
        let shared = open && self.scheme == Scheme::Cenc && (self.keys == Source::Static || file);
        let quoted = |text: &Option<String>| text.as_ref().is_some_and(|t| t.contains(['"', '\n', '\r']));
        let rules = [
            (
                "streams",
                StreamKey::parse(&names).is_err(),
                "must be APP/STREAM, or a beginning such as live/*",
            ),
            (
                "file",
                self.keys == Source::Static && !file,
                "is needed by keys = \"static\": lines of KEYID:KEY in hexadecimal",
            ),
            ("url", self.keys == Source::Http && !url, "is needed by keys = \"http\""),
            (
                "url",
                self.keys == Source::Cpix && file == url,
                "or file is needed by keys = \"cpix\", and only one of them",
            ),
            ("url", self.keys == Source::Static && url, "is not for keys = \"static\": take it out"),
            ("file", self.keys == Source::Http && file, "is not for keys = \"http\": take it out"),
            (
                "url",
                self.url.as_ref().is_some_and(|url| !is_http(url)),
                "must begin with http:// or https://",
            ),
            ("timeout_ms", !(100..=30_000).contains(&self.timeout_ms), "must be 100 to 30000"),
            (
                "rotate_s",
                self.rotate_s != 0 && !(10..=86_400).contains(&self.rotate_s),
                "must be 0, or 10 to 86400",
            ),
            (
                "scheme",
                shared,
                "cenc with one key for many streams gives their contents away: name one stream in each section, or use cbcs",
            ),
            (
                "ts",
                self.ts == TsCipher::Aes128
                    && self.clear_keys == ClearKeys::Off
                    && self.licence_url.is_none(),
                "aes-128 has players fetch the key itself: tell them where with licence_url, or use sample-aes",
            ),
            ("licence_url", quoted(&self.licence_url), "must not contain quotes or line breaks"),
            ("fairplay_uri", quoted(&self.fairplay_uri), "must not contain quotes or line breaks"),
        ];
        rules.into_iter().filter(|rule| rule.1).map(|(key, _, text)| (key, text.to_owned())).collect()
    }
}
