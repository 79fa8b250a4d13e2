//! What an operator wants of a stream, whether it is live or not: targets, sources and publish keys.

use serde::{Deserialize, Serialize};

use crate::keys::{Key, MadeKey, NewKey, OuterKey};
use crate::sources::{NewSource, Source};
use crate::targets::{NewTarget, Target};

/// Whoever keeps it and does it. `stream` is `APP/STREAM` everywhere. What changes something returns when the change
/// will outlast a crash: it may wait for the disk, so call it where waiting is allowed. `once` is the caller's
/// idempotency key: a second call with it gives what the first one made.
pub trait Desired: Send + Sync + 'static {
    /// The stream's targets, oldest first.
    ///
    /// # Errors
    /// [`Fault::Invalid`] when `stream` is no name.
    fn targets(&self, stream: &str) -> Result<Vec<Target>, Fault>;
    /// Sends the stream to one more place.
    ///
    /// # Errors
    /// [`Fault`].
    fn add_target(&self, stream: &str, new: NewTarget, once: Option<&str>) -> Result<Target, Fault>;
    /// Changes a target.
    ///
    /// # Errors
    /// [`Fault`].
    fn change_target(&self, stream: &str, id: &str, change: Change) -> Result<Target, Fault>;
    /// Ends and forgets a target.
    ///
    /// # Errors
    /// [`Fault`].
    fn remove_target(&self, stream: &str, id: &str) -> Result<(), Fault>;

    /// The stream's sources, oldest first.
    ///
    /// # Errors
    /// [`Fault::Invalid`] when `stream` is no name.
    fn sources(&self, stream: &str) -> Result<Vec<Source>, Fault>;
    /// Fetches the stream from one more place.
    ///
    /// # Errors
    /// [`Fault`].
    fn add_source(&self, stream: &str, new: NewSource, once: Option<&str>) -> Result<Source, Fault>;
    /// Changes a source.
    ///
    /// # Errors
    /// [`Fault`].
    fn change_source(&self, stream: &str, id: &str, change: Change) -> Result<Source, Fault>;
    /// Ends and forgets a source.
    ///
    /// # Errors
    /// [`Fault`].
    fn remove_source(&self, stream: &str, id: &str) -> Result<(), Fault>;

    /// The stream's publish keys, oldest first, without their secrets.
    ///
    /// # Errors
    /// [`Fault::Invalid`] when `stream` is no name.
    fn keys(&self, stream: &str) -> Result<Vec<Key>, Fault>;
    /// Makes a publish key.
    ///
    /// # Errors
    /// [`Fault`].
    fn add_key(&self, stream: &str, new: NewKey, once: Option<&str>) -> Result<MadeKey, Fault>;
    /// Takes a publish key that was made elsewhere under this id, again if need be.
    ///
    /// # Errors
    /// [`Fault`]; [`Fault::Conflict`] also for one that was deleted: that is for ever.
    fn put_key(&self, stream: &str, id: &str, key: OuterKey) -> Result<Key, Fault>;
    /// Forgets a publish key. Whoever came in by it is sent away.
    ///
    /// # Errors
    /// [`Fault`].
    fn remove_key(&self, stream: &str, id: &str) -> Result<(), Fault>;
}

/// Why something that was wanted cannot be; the texts are for the caller and hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A value cannot be used; says which and what would do.
    Invalid(String),
    /// There is no such thing.
    NotFound(String),
    /// It stands in the configuration file, or was made by the same idempotency key for another purpose.
    Conflict(String),
    /// There are as many as there may be.
    Full(String),
    /// It could not be written down; the cause is for the log.
    Storage(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Invalid(text)
        | Self::NotFound(text)
        | Self::Conflict(text)
        | Self::Full(text)
        | Self::Storage(text)) = self;
        f.write_str(text)
    }
}

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Somebody asked for it over the API, where it can be changed.
    Api,
    /// The configuration file; only there can it be changed.
    Config,
}

/// What can be changed of a target or source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Whether it runs.
    pub enabled: bool,
}

/// What a connection that this server opens is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What it does.
    pub state: LinkState,
    /// Attempts to connect since it last was live for a minute.
    pub attempts: u32,
    /// When it tries again, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<String>,
    /// What went wrong last, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it came into this state, RFC 3339.
    pub since: String,
}

/// Life of a connection that this server opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Nobody publishes the stream.
    WaitingForStream,
    /// Being opened.
    Connecting,
    /// Media flows.
    Live,
    /// Lost or turned away; it is tried again.
    Retrying,
    /// Disabled, or the server stops.
    Stopped,
    /// It cannot work as it is; not tried again.
    Refused,
}
