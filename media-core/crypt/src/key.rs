//! Keys, and what everybody may know of them.

use std::fmt;
use std::sync::Arc;

use aes::Aes128;
use aes::cipher::KeyInit;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How samples are encrypted (ISO/IEC 23001-7 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// AES-CBC, one block of ten of pictures, one IV for all: what every present player knows.
    Cbcs,
    /// AES-CTR, all of it, an IV per sample: for older Widevine and PlayReady.
    Cenc,
}

impl Scheme {
    /// Its four letters in `schm`, and in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cbcs => "cbcs",
            Self::Cenc => "cenc",
        }
    }
}

/// How segments in MPEG-TS are encrypted, which are made of encrypted parts by who has the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TsCipher {
    /// Samples of H.264 and AAC, one by one: what Apple's players know, with FairPlay too.
    #[default]
    #[serde(rename = "sample-aes")]
    SampleAes,
    /// Whole segments: what every player knows that gets the key itself.
    #[serde(rename = "aes-128")]
    Aes128,
    /// There are none.
    #[serde(rename = "off")]
    Off,
}

/// What is told of a key: enough to ask a licence server for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// How samples are encrypted with it.
    pub scheme: Scheme,
    /// Name of the key, `KID`.
    pub key_id: [u8; 16],
    /// The one IV of `cbcs`; not used by `cenc`.
    pub iv: [u8; 16],
    /// Ways to get it.
    pub systems: Vec<System>,
    /// How MPEG-TS is encrypted with it.
    #[serde(default)]
    pub ts: TsCipher,
}

/// One way to get a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// UUID of the key system.
    pub id: [u8; 16],
    /// Its whole `pssh` box; empty where there is none.
    #[serde(default)]
    pub pssh: Vec<u8>,
    /// What playlists say.
    #[serde(default)]
    pub hls: Option<HlsKey>,
    /// Where its licence is asked for; DASH tells it.
    #[serde(default)]
    pub licence_url: Option<String>,
    /// Elements that DASH has inside this system's `ContentProtection`.
    #[serde(default)]
    pub dash: String,
}

/// Attributes of `EXT-X-KEY` (RFC 8216bis §4.4.4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HlsKey {
    /// `KEYFORMAT`.
    pub format: String,
    /// `KEYFORMATVERSIONS`.
    #[serde(default)]
    pub versions: Option<String>,
    /// `URI`.
    pub uri: String,
}

/// A key. It shows itself to nobody: not to logs, not to files.
#[derive(Clone)]
pub struct Key {
    /// What may be told of it.
    pub told: Arc<Protection>,
    bytes: Zeroizing<[u8; 16]>,
}

impl Key {
    /// A key of 16 bytes.
    #[must_use]
    pub fn new(told: impl Into<Arc<Protection>>, bytes: Zeroizing<[u8; 16]>) -> Self {
        Self { told: told.into(), bytes }
    }

    /// Its bytes, for whoever may have them.
    #[must_use]
    pub fn reveal(&self) -> &[u8; 16] {
        &self.bytes
    }

    pub(crate) fn cipher(&self) -> Aes128 {
        Aes128::new(&(*self.bytes).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &uuid(&self.told.key_id)).finish_non_exhaustive()
    }
}

/// As people write identifiers: 8-4-4-4-12.
#[must_use]
pub fn uuid(id: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (nth, byte) in id.iter().enumerate() {
        out.push_str(if [4, 6, 8, 10].contains(&nth) { "-" } else { "" });
        push_hex(*byte, &mut out);
    }
    out
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| push_hex(*byte, &mut out));
    out
}

/// As manifests carry bytes.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

fn push_hex(byte: u8, out: &mut String) {
    out.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)));
}

/// Reads 32 hexadecimal digits, with the hyphens of a UUID or without.
#[must_use]
pub fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let mut digits = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16));
    let mut out = [0; 16];
    for byte in &mut out {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(out)
}

/// Reads base64 of either alphabet, padded or not (RFC 4648 §4, §5); white space in it is passed over.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let plain = |c: char| match c {
        '-' => '+',
        '_' => '/',
        other => other,
    };
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).map(plain).collect();
    let engine = &base64::engine::general_purpose::STANDARD_NO_PAD;
    base64::Engine::decode(engine, text.trim_end_matches('=')).ok()
}
