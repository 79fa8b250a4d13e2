//! Adobe's challenge and response, with which encoders log in to a server (`authmod=adobe`).
//!
//! ```text
//! connect app                                 -> refuse with NEED_USER
//! connect app?authmod=adobe&user=u            -> refuse with Challenge::reject_text
//! connect app?authmod=adobe&user=u&challenge=c&response=r&opaque=o -> Response::verify, refuse with FAILED
//! ```
//!
//! The client opens a connection for each step, so the caller keeps the [`Challenge`] in between, under its
//! [`Challenge::opaque`], for a minute and for one answer. Refusals go out as
//! [`crate::server::ConnectRefusal::Rejected`]. The scheme hides the password from listeners, no more: it is
//! MD5 throughout and does not protect the stream.
//!
//! There is no public specification; the texts are those that ffmpeg, librtmp and GStreamer search for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

/// Bytes of caller randomness in a salt and in a challenge.
pub const SECRET_LEN: usize = 8;
/// Longest user name, bytes. With it the refusal stays below the 256 bytes that ffmpeg reads.
pub const USER_LEN_MAX: usize = 96;

/// Refusal of a client that names no user: it is to come again with one.
pub const NEED_USER: &str = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";
/// Refusal of a wrong response, or of one to a challenge that is gone; the client gives up.
pub const FAILED: &str = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed";

/// The user that the query of an application names for this scheme, as sent; `None` without one, and for names
/// longer than [`USER_LEN_MAX`].
#[must_use]
pub fn user(query: &str) -> Option<&str> {
    let adobe = field(query, "authmod") == Some("adobe");
    field(query, "user").filter(|user| adobe && !user.is_empty() && user.len() <= USER_LEN_MAX)
}

/// Value of `name`, as sent: clients escape neither user nor Base64. An application that has a query of its
/// own gets a second question mark.
fn field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split(['&', '?']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// What a user is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    user: String,
    salt: String,
    /// Stands for the challenge, too: clients hash this one when they get both.
    opaque: String,
}

impl Challenge {
    /// A question to `user`, as [`user`] gave it. `salt` and `challenge` are fresh randomness.
    #[must_use]
    pub fn new(user: &str, salt: [u8; SECRET_LEN], challenge: [u8; SECRET_LEN]) -> Self {
        let hex = |bytes| format!("{:016x}", u64::from_be_bytes(bytes));
        Self { user: user.to_owned(), salt: hex(salt), opaque: hex(challenge) }
    }

    /// Names this challenge in [`Response::opaque`].
    #[must_use]
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// Text of the refusal that asks.
    #[must_use]
    pub fn reject_text(&self) -> String {
        let Self { user, salt, opaque } = self;
        format!(
            "[ AccessManager.Reject ] : [ authmod=adobe ] : \
             ?reason=needauth&user={user}&salt={salt}&challenge={opaque}&opaque={opaque}"
        )
    }
}

/// What a client answers to a [`Challenge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    user: String,
    opaque: String,
    challenge: String,
    response: String,
}

impl Response {
    /// Reads the query of an application; `None` when it is no whole answer.
    #[must_use]
    pub fn parse(query: &str) -> Option<Self> {
        let text = |name| field(query, name).map(str::to_owned);
        Some(Self {
            user: user(query)?.to_owned(),
            opaque: text("opaque")?,
            challenge: text("challenge")?,
            response: text("response")?,
        })
    }

    /// Who answers.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Which challenge is answered.
    #[must_use]
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// Whether this answers `challenge` with `password`. Takes as long for a wrong answer as for a right one.
    #[must_use]
    pub fn verify(&self, password: &str, challenge: &Challenge) -> bool {
        let secret = digest(&[&self.user, &challenge.salt, password]);
        let want = digest(&[&secret, &challenge.opaque, &self.challenge]);
        let same_user = self.user == challenge.user && self.opaque == challenge.opaque;
        same(want.as_bytes(), self.response.as_bytes()) & same_user
    }
}

fn digest(parts: &[&str]) -> String {
    let hash = parts.iter().fold(Md5::new(), |hash, part| hash.chain_update(part));
    STANDARD.encode(hash.finalize())
}

/// Compares without stopping at the first difference.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    (a.len() == b.len()) & (differences == 0)
}

#[cfg(test)]
mod tests;
