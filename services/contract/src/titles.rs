//! Files that are played as streams, and uploads that become such.

use serde::{Deserialize, Serialize};

use crate::desired::Fault;

/// A file that is, or should be, played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Title {
    /// `APP/NAME`, as of a stream.
    pub key: String,
    /// Its name alone.
    pub name: String,
    /// Whether it plays.
    pub state: TitleState,
    /// Why not, or what of the file does not; in words.
    pub notes: Vec<String>,
    /// Size of the file.
    pub bytes: u64,
    /// When the file was changed, RFC 3339.
    pub changed_at: String,
    /// How long it is; null when it does not play.
    pub duration_ms: Option<u64>,
    /// Codec strings of its tracks (RFC 6381).
    pub codecs: Vec<String>,
    /// What becomes of its renditions; null when none were asked for.
    pub ladder: Option<Ladder>,
    /// Where it is played as HLS, on an edge or origin.
    pub hls_path: String,
    /// Where it is played as DASH.
    pub dash_path: String,
    /// Where it is had as one MP4.
    pub mp4_path: String,
}

/// The renditions of a title: being made, or what became of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// How far it is.
    pub state: LadderState,
    /// How much of the work is done, percent.
    pub percent: u8,
    /// Time left at the pace so far; null when nothing is known of it.
    pub left_s: Option<u64>,
    /// Pieces of work, each for one worker.
    pub chunks: usize,
    /// Those that are done.
    pub chunks_done: usize,
    /// Who works at it now.
    pub workers: Vec<String>,
    /// Why it failed, or why a chunk did last.
    pub reason: Option<String>,
}

/// See [`Ladder::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LadderState {
    /// Nobody works at it yet.
    Waiting,
    /// Somebody does.
    Running,
    /// Everything is made, and is looked over before it is shown.
    Checking,
    /// It is shown.
    Ready,
    /// It was given up.
    Failed,
}

/// A chunk that somebody has taken on.
pub struct Taken {
    /// Its name in addresses.
    pub lease: String,
    /// What a worker is told, frame by frame. Reading may wait for the disk.
    pub input: Box<dyn Iterator<Item = std::io::Result<Vec<u8>>> + Send>,
}

/// Takes what a worker says about a chunk. Dropped before [`Coded::confirm`], the chunk is somebody else's.
pub trait Coded: Send {
    /// Takes some.
    ///
    /// # Errors
    /// [`Fault`]: what comes is not what was asked for, or nobody waits for it any more.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault>;

    /// Has the chunk on the disk, if it is whole.
    ///
    /// # Errors
    /// [`Fault`].
    fn confirm(self: Box<Self>) -> Result<(), Fault>;
}

/// Work for whoever codes.
pub trait Work: Send + Sync + 'static {
    /// Takes a chunk on; `None` when there is none. It is somebody else's again when nothing is heard of it for
    /// half a minute.
    ///
    /// # Errors
    /// [`Fault`]: it cannot be read.
    fn take(&self, worker: &str) -> Result<Option<Taken>, Fault>;

    /// Begins to hear what a worker says about a chunk that it has taken.
    ///
    /// # Errors
    /// [`Fault::NotFound`]: it is somebody else's by now.
    fn hear(&self, lease: &str) -> Result<Box<dyn Coded>, Fault>;
}

/// See [`Title::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TitleState {
    /// It plays.
    Ready,
    /// It is not understood, or nothing in it is carried.
    Refused,
    /// It will when its ladder is ready.
    Waiting,
}

/// An upload that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// How many bytes it will have.
    pub bytes: u64,
    /// What its file is called, ending included.
    pub filename: String,
}

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its name in addresses.
    pub id: String,
    /// Bytes that are on the disk.
    pub offset: u64,
    /// Bytes that it will have.
    pub bytes: u64,
    /// When it is forgotten if nothing more comes, Unix milliseconds.
    pub expires_ms: i64,
    /// The title that it has become.
    pub title: Option<String>,
}

/// Why an upload does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadFault {
    /// There is none of that id, or it was forgotten.
    Unknown,
    /// Somebody else sends to it now.
    Locked,
    /// It has come this far, and not to where the sender goes on.
    Offset(u64),
    /// More than a file may have, or than it was to have.
    TooLarge(u64),
    /// The file is not understood, with the reason; the upload is gone.
    Refused(String),
    /// As with everything else.
    Other(Fault),
}

/// Whoever has the files. Everything here may wait for the disk: call it where waiting is allowed.
pub trait Titles: Send + Sync + 'static {
    /// Titles behind a name, at most so many, by name; and whether there are more.
    fn titles(&self, after: Option<&str>, limit: usize) -> (Vec<Title>, bool);

    /// Deletes the file of a title; by its name alone.
    ///
    /// # Errors
    /// [`Fault`].
    fn remove_title(&self, name: &str) -> Result<(), Fault>;

    /// What becomes of a title's renditions.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    fn ladder(&self, name: &str) -> Result<Ladder, Fault>;

    /// Has renditions made of a title; asked again, they go on being made.
    ///
    /// # Errors
    /// [`Fault`].
    fn begin_ladder(&self, name: &str) -> Result<Ladder, Fault>;

    /// Stops that, and takes away what was made.
    ///
    /// # Errors
    /// [`Fault`].
    fn remove_ladder(&self, name: &str) -> Result<(), Fault>;

    /// Largest upload, bytes.
    fn upload_bytes_max(&self) -> u64;

    /// Makes room for a file.
    ///
    /// # Errors
    /// [`UploadFault`].
    fn begin_upload(&self, new: NewUpload) -> Result<Upload, UploadFault>;

    /// How far an upload has come.
    ///
    /// # Errors
    /// [`UploadFault`].
    fn upload(&self, id: &str) -> Result<Upload, UploadFault>;

    /// Goes on with an upload at an offset; nobody else may meanwhile.
    ///
    /// # Errors
    /// [`UploadFault`].
    fn append(&self, id: &str, offset: u64) -> Result<Box<dyn Append>, UploadFault>;

    /// Forgets an upload and what came of it.
    ///
    /// # Errors
    /// [`UploadFault`].
    fn abandon_upload(&self, id: &str) -> Result<(), UploadFault>;
}

/// Takes the bytes of one request. Dropped, what was not confirmed may be lost.
pub trait Append: Send {
    /// Takes some.
    ///
    /// # Errors
    /// [`UploadFault`].
    fn write(&mut self, bytes: &[u8]) -> Result<(), UploadFault>;

    /// Has everything on the disk. When the file is whole, it becomes a title, or is refused.
    ///
    /// # Errors
    /// [`UploadFault`].
    fn confirm(self: Box<Self>) -> Result<Upload, UploadFault>;

    /// Takes everything back that this request brought.
    ///
    /// # Errors
    /// [`UploadFault`].
    fn undo(self: Box<Self>) -> Result<(), UploadFault>;
}
