//! Who may watch what asks for a token: `/api/streamcore/v1/playback-tokens` and `…/revocations`.

use serde::{Deserialize, Serialize};

use crate::desired::Fault;

/// Whoever gives out playback tokens and takes them back. What changes something returns when the change will outlast a
/// crash, so call it where waiting is allowed.
pub trait Playback: Send + Sync + 'static {
    /// Whether what lies at a path asks viewers for a token.
    fn asks_for_token(&self, path: &str) -> bool;
    /// Makes a token with the node's own key.
    ///
    /// # Errors
    /// [`Fault::Invalid`] says what of the wish cannot be; [`Fault::Conflict`]: this node can only prove tokens.
    fn make_token(&self, wish: &NewToken) -> Result<MadeToken, Fault>;
    /// Takes back what was made up to now.
    ///
    /// # Errors
    /// [`Fault`].
    fn revoke(&self, what: Revocation) -> Result<Revoked, Fault>;
    /// What was taken back here behind a place, oldest first, `limit` of them.
    fn revoked(&self, after: u64, limit: usize) -> Vec<Revoked>;
}

/// A token to be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What may be watched: `live/cam1`, or the beginning of names, `live/*`.
    pub stream: String,
    /// Seconds from now.
    pub lasts_s: u32,
    /// For whom.
    #[serde(default)]
    pub subject: Option<String>,
    /// Where the viewer must be: addresses or networks; nothing for anywhere.
    #[serde(default)]
    pub networks: Vec<String>,
}

/// A token as its maker gets it, once.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct MadeToken {
    /// Its number, to take it back by.
    pub id: String,
    /// RFC 3339.
    pub expires_at: String,
    /// What viewers show.
    pub token: String,
}

/// What is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoke {
    /// The token with this number.
    Token(String),
    /// All of this subject.
    Subject(String),
    /// All that open this stream.
    Stream(String),
    /// All there are, where it is `true`.
    Everything(bool),
}

/// A revocation to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What is to be taken back.
    #[serde(flatten)]
    pub what: Revoke,
    /// None of those tokens holds for longer, seconds from now: so long it is remembered. By default for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_s: Option<u32>,
}

/// What was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revoked {
    /// Its place, from 1.
    pub seq: u64,
    /// What.
    #[serde(flatten)]
    pub what: Revoke,
    /// Tokens made later hold. RFC 3339.
    pub before: String,
}
