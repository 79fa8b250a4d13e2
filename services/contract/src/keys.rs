//! What lets a publisher in: `/api/streamcore/v1/streams/APP/STREAM/keys`.

use serde::{Deserialize, Serialize};

use crate::sources::InputRole;

/// A publish key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// `UUIDv7`.
    pub id: String,
    /// `APP/STREAM`.
    pub stream: String,
    /// The input that it opens.
    pub input: InputRole,
    /// What its bearer may send.
    pub limits: KeyLimits,
    /// RFC 3339.
    pub created_at: String,
}

/// A publish key as its maker gets it, once.
#[derive(Clone, Serialize)]
pub struct MadeKey {
    /// What everybody may know.
    #[serde(flatten)]
    pub about: Key,
    /// The secret: publish as `APP/STREAM?key=…`.
    pub key: String,
}

/// A publish key to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewKey {
    /// The input that it opens.
    pub input: InputRole,
    /// What its bearer may send.
    pub limits: KeyLimits,
}

/// A publish key that was made elsewhere: its secret is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OuterKey {
    /// SHA-256 of the secret, 64 hexadecimal digits.
    pub sha256: String,
    /// The input that it opens.
    #[serde(default)]
    pub input: InputRole,
    /// What its bearer may send.
    #[serde(default)]
    pub limits: KeyLimits,
}

/// Upper limits of a publisher; what is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyLimits {
    /// Sound and picture together, bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate_bps: Option<u64>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u64>,
    /// Inputs on air at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
}
