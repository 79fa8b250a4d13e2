//! What the origin and its mixer say to each other: one line of JSON each, over standard input and output.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Scene;

/// Of what is said; the mixer tells its own first, and another than the origin's is not used.
pub const VERSION: u32 = 1;
/// Longest line, with its end.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// What the origin says.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// The first, once.
    Begin(Box<Begin>),
    /// It looks like this from the next frame on. The canvas stays.
    Scene(Box<Scene>),
}

/// What a programme is begun with.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// `rtmp://HOST:PORT`, where streams are played from and the programme is published to.
    pub server: String,
    /// `APP/STREAM` of the programme.
    pub stream: String,
    /// What opens every stream to a player. Secret.
    pub play_key: String,
    /// What lets it publish. Secret.
    pub publish_key: String,
    /// Folder of pictures.
    pub pictures: Option<String>,
    /// What is shown.
    pub scene: Scene,
}

/// What the mixer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum News {
    /// The first, once: its [`VERSION`].
    Hello(u32),
    /// Every second.
    Status {
        /// Made since it began.
        frames: u64,
        /// In the scene's order.
        inputs: Vec<Seen>,
        /// What of the scene cannot be shown, such as a picture that is not there.
        faults: Vec<String>,
    },
    /// It cannot go on; it ends.
    Failed(String),
}

/// What becomes of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// `APP/STREAM`.
    pub stream: String,
    /// What it does.
    pub state: InputState,
    /// Why it is not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an input does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// Frames come.
    Live,
    /// None come: its place is black and has its name.
    Absent,
}

/// A line that means nothing.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It has no end within [`LINE_BYTES_MAX`].
    #[error("a line of {0} bytes has no end: at most {LINE_BYTES_MAX} are read")]
    Endless(usize),
    /// It is none of ours.
    #[error("a line that is not understood, at column {column}: build both programs from the same sources")]
    Unknown {
        /// Where; the text may hold secrets.
        column: usize,
    },
}

/// As one line, with its end.
#[must_use]
pub fn line(said: &impl Serialize) -> Vec<u8> {
    // Strings and numbers in structs: there is nothing that JSON cannot say.
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads a line with its end.
///
/// # Errors
/// [`LineError`].
pub fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    let Some((b'\n', text)) = line.split_last() else { return Err(LineError::Endless(line.len())) };
    serde_json::from_slice(text).map_err(|error| LineError::Unknown { column: error.column() })
}
