//! The answer: let in, with what, or turned away, with what to do.

use crate::limits::{Lease, Quota};
use crate::{Input, Limits};

/// Longest text of a refusal, so that it fits on every wire. Characters.
const TEXT_CHARS_MAX: usize = 200;
/// Longest part of a stream name in a text. Characters.
const NAME_CHARS_MAX: usize = 64;

/// Let in. Keep it for as long as the publisher or player stays: it holds the place in its quota.
#[derive(Debug)]
pub struct Grant {
    /// The input to feed.
    pub input: Input,
    /// What may be sent; see [`Limits::check`]. Nothing is limited for players.
    pub limits: Limits,
    /// An SRT publisher must have encrypted with [`Admission::passphrase`](crate::Admission::passphrase).
    pub passphrase_required: bool,
    /// What let it in: `open`, `key`, `token`, `hook`, `passphrase` or `pull`.
    pub by: &'static str,
    /// The run-time key that did, by its identifier.
    pub key: Option<String>,
    /// When the token that let it in ends. Unix seconds.
    pub expires_at_s: Option<u64>,
    /// The place in the quota, where [`Limits::concurrent`] is set.
    pub lease: Option<Lease>,
}

/// Turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// Why.
    pub kind: RefusalKind,
    /// Why and what to do, for the user of the encoder: without secrets, at most 200 characters.
    pub text: String,
}

/// Why somebody is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// A key or token is needed and none was given.
    NoCredential,
    /// The key is not one of the stream's.
    WrongKey,
    /// The token was good once.
    ExpiredToken,
    /// The token is forged, for something else, or cannot be read.
    BadToken,
    /// The address is not among those allowed.
    Address,
    /// No rule lets it in.
    NotAllowed,
    /// The hook said no.
    HookDenied,
    /// The hook gave no usable answer.
    HookFailed,
    /// The quota is used up.
    TooMany,
}

impl Refusal {
    /// Makes the text fit for a wire and a log: one line, at most 200 characters.
    pub(crate) fn new(kind: RefusalKind, text: &str) -> Self {
        Self { kind, text: shortened(text, TEXT_CHARS_MAX) }
    }
}

/// A name as it may stand in a refusal.
pub(crate) fn named(stream: &nx_media::StreamKey) -> String {
    shortened(stream.as_str(), NAME_CHARS_MAX)
}

fn shortened(text: &str, chars_max: usize) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= chars_max {
        return text.chars().map(line).collect();
    }
    text.chars().map(line).take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

/// Let in by the rules, before a place in the quotas is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) by: &'static str,
    pub(crate) key: Option<String>,
    pub(crate) input: Input,
    pub(crate) limits: Limits,
    pub(crate) expires_at_s: Option<u64>,
    pub(crate) quotas: Vec<Quota>,
}

impl Ticket {
    pub(crate) fn new(by: &'static str, input: Option<Input>) -> Self {
        Self {
            by,
            key: None,
            input: input.unwrap_or_default(),
            limits: Limits::default(),
            expires_at_s: None,
            quotas: Vec::new(),
        }
    }

    /// Adds limits, and the quota under which they count places. Limits only ever get tighter.
    pub(crate) fn limited(mut self, limits: Limits, quota: impl FnOnce() -> String) -> Self {
        self.limits = self.limits.and(limits);
        self.quotas.extend(limits.concurrent.map(|max| Quota { name: quota(), max }));
        self
    }
}
