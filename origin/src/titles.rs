//! Files that are played as streams: a title is a stream that is over, and its past is the file.

mod sealed;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::StatusCode;
use nx_container::index::IndexError;
use nx_contract::titles::Ladder;
use nx_delivery::{Archive, Film, LiveStream, Piece, Problem, Reader, Source};
use nx_hls::{Event, Run, Unstored, Window};
use nx_media::StreamKey;
use nx_vod::{Bounds, Found, Identity, Library, Title, TitleError, Uploads};
use serde::{Deserialize, Serialize};

use self::sealed::Sealed;
use crate::config::Config;
use crate::hub::lock;
use crate::jobs::{self, Handed, Jobs};
use crate::keys::{Keys, StreamKeys};
use crate::worker;

/// Titles whose views are kept.
const SHOWN_MAX: usize = 256;
/// When to ask again for a title that is made into one that can be played, seconds.
const WAIT_S: u32 = 30;

/// Section `origin.vod`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VodConfig {
    /// Where the files are; `vod` in the data folder by default.
    pub folder: Option<PathBuf>,
    /// Application under which they are played.
    pub app: String,
    /// Largest file, played or uploaded. Bytes.
    pub file_bytes_max: u64,
    /// What uploads that are not whole may take together. Bytes.
    pub bytes_max: u64,
    /// What is remembered of where samples lie. Bytes.
    pub index_bytes_max: usize,
    /// The same on disk, of files that are dear to look through. Bytes.
    pub cache_bytes_max: u64,
    /// What renditions of titles may take on disk; beyond, none are begun. Bytes.
    pub made_bytes_max: u64,
    /// Workers of our own that make them.
    pub workers: usize,
}

impl Default for VodConfig {
    fn default() -> Self {
        Self {
            folder: None,
            app: "vod".into(),
            file_bytes_max: 64 << 30,
            bytes_max: 128 << 30,
            index_bytes_max: 256 << 20,
            cache_bytes_max: 1 << 30,
            made_bytes_max: 256 << 30,
            workers: 1,
        }
    }
}

impl VodConfig {
    pub(crate) fn app_is_good(&self) -> bool {
        StreamKey::new(&self.app, "name").is_ok()
    }
}

/// The titles of an origin.
#[derive(Debug)]
pub(crate) struct Titles {
    pub(crate) app: String,
    pub(crate) library: Arc<Library>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) jobs: Arc<Jobs>,
    /// The one asked for last is last.
    shown: Mutex<VecDeque<(Found, Arc<LiveStream>)>>,
}

impl Titles {
    /// What is made of them begins to be made.
    pub(crate) fn new(config: &Config, data: &Path, keys: &Arc<Keys>) -> Self {
        let (ladders, program) = (&config.ladder, worker::program(config.images.worker.as_deref()));
        let config = &config.vod;
        let folder = config.folder.clone().unwrap_or_else(|| data.join("vod"));
        let bounds = Bounds {
            file_bytes: config.file_bytes_max,
            index_bytes: config.index_bytes_max,
            cache_bytes: config.cache_bytes_max,
        };
        let library = Arc::new(Library::new(folder, data.join("vod-index"), data.join("vod-made"), bounds));
        let uploads = Uploads::open(library.clone(), config.bytes_max);
        let jobs = Arc::new(Jobs::new(library.clone(), &config.app, ladders, config.made_bytes_max, keys));
        jobs.start(&program, config.workers);
        Self { app: config.app.clone(), library, uploads, jobs, shown: Mutex::default() }
    }

    /// The title of a name, encrypted if it has keys. Asks the disk whether the file is what it was, and reads nothing.
    pub(crate) fn find(&self, key: &StreamKey, keys: Option<StreamKeys>) -> Option<Arc<LiveStream>> {
        if key.app() != self.app {
            return None;
        }
        let found = self.library.find(key.name());
        let mut shown = lock(&self.shown);
        let at = shown.iter().position(|(of, _)| of.name == key.name());
        let before = at.and_then(|at| shown.remove(at));
        let found = found?;
        let stream = match before.filter(|(of, _)| *of == found) {
            Some((_, stream)) => stream,
            None => stream(key, self, &found, keys),
        };
        if shown.len() >= SHOWN_MAX {
            shown.pop_front();
        }
        shown.push_back((found, stream.clone()));
        Some(stream)
    }
}

/// A stream that is over, of this version of a file.
fn stream(key: &StreamKey, titles: &Titles, found: &Found, keys: Option<StreamKeys>) -> Arc<LiveStream> {
    let mut window = Window::new(3, 1, 0);
    window.apply(Event::End);
    let stream = Arc::new(LiveStream::new(key.clone(), window));
    if let Some(keys) = &keys {
        stream.give_keys(Arc::new(keys.clone()));
    }
    let (library, jobs) = (titles.library.clone(), titles.jobs.clone());
    stream.remember(Arc::new(Filed { library, jobs, found: found.clone(), keys }));
    stream
}

/// What is known of a title before it is opened: it is opened when somebody reads.
#[derive(Debug)]
struct Filed {
    library: Arc<Library>,
    jobs: Arc<Jobs>,
    found: Found,
    /// It may only be shown encrypted.
    keys: Option<StreamKeys>,
}

impl Filed {
    fn open(&self) -> io::Result<Arc<Title>> {
        match self.library.open(&self.found.name) {
            Ok(title) if *title.found() != self.found => Err(told(TitleError::Changed)),
            // Its sound alone is shown only when there is nobody to make pictures of what it has.
            Ok(title) if title.is_blind() => match self.jobs.hand_over(&self.found) {
                Handed::Taken(ladder) => {
                    Err(io::Error::other(not_ready(&ladder, "its pictures cannot be played")))
                }
                Handed::Nobody | Handed::Refused(_) => Ok(title),
            },
            Ok(title) => Ok(title),
            Err(TitleError::Foreign(why)) => {
                Err(io::Error::other(handed(self.jobs.hand_over(&self.found), &why)))
            }
            Err(error) => Err(told(error)),
        }
    }

    /// As it may be shown.
    fn shown(&self) -> io::Result<Shown> {
        let title = self.open()?;
        Ok(match &self.keys {
            None => Shown::Clear(title),
            Some(keys) => Shown::Sealed(Sealed::new(title, keys)?),
        })
    }
}

/// A title that is open.
enum Shown {
    Clear(Arc<Title>),
    Sealed(Sealed),
}

/// What a viewer is told of a file that cannot be played.
fn told(error: TitleError) -> io::Error {
    let problem = match error {
        TitleError::Unknown => Problem::not_found("there is no such title any more"),
        TitleError::Changed => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "title-changed", "Title changed", error.to_string()).retry_after(1)
        }
        TitleError::Index(IndexError::Unsupported(why)) => {
            not_carried(format!("{why}; no transcoder of ours decodes it"))
        }
        TitleError::Kind => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unknown-file",
            "Not a media file",
            error.to_string(),
        ),
        TitleError::Index(_) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "broken-file",
            "File not understood",
            error.to_string(),
        ),
        other => return io::Error::other(other),
    };
    io::Error::other(problem)
}

/// What a viewer is told of a file that a transcoder may make into one that can be played.
fn handed(handed: Handed, why: &str) -> Problem {
    match handed {
        Handed::Refused(reason) => not_carried(format!("{why}; a transcoder cannot help: {reason}")),
        Handed::Nobody => {
            not_carried(format!("{why}; a transcoder would be needed, and {}", jobs::unconfigured()))
        }
        Handed::Taken(ladder) => not_ready(&ladder, why),
    }
}

fn not_ready(ladder: &Ladder, why: &str) -> Problem {
    let left = ladder.left_s.map_or_else(String::new, |s| format!(", about {s} s are left"));
    let percent = ladder.percent;
    let detail = format!("{why}; it is being made into something that can: {percent} % are done{left}");
    let wait_s = ladder.left_s.and_then(|s| u32::try_from(s).ok()).unwrap_or(WAIT_S).clamp(1, WAIT_S);
    let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "Title not ready yet");
    Problem::new(status, "title-not-ready", title, detail).retry_after(wait_s)
}

fn not_carried(why: String) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "codec-not-carried", "Codec not carried", why)
}

impl Archive for Filed {
    fn version(&self) -> u64 {
        0
    }

    fn newest_recording_ms(&self) -> Option<i64> {
        Some(0)
    }

    fn reader(self: Arc<Self>, from_ms: i64) -> Box<dyn Reader> {
        Box::new(FileReader { filed: self, from_ms })
    }

    fn segment(&self, track: &str, msn: u64, run: Option<u32>) -> io::Result<Option<Bytes>> {
        match self.shown()? {
            Shown::Clear(title) => title.segment(track, msn, run).map_err(told),
            Shown::Sealed(sealed) => sealed.segment(track, msn, run),
        }
    }

    fn run(&self, msn: u64, run: Option<u32>) -> io::Result<Option<Arc<Run>>> {
        let (of, named) = match self.shown()? {
            Shown::Clear(title) => (title.run().clone(), run.is_some_and(|run| title.is_run(run))),
            Shown::Sealed(sealed) => (sealed.run.clone(), run == Some(sealed.run.number)),
        };
        Ok((named && of.first_msn <= msn).then_some(of))
    }

    fn film(&self, from_ms: i64, to_ms: i64, _: Vec<Unstored>) -> io::Result<Option<Film>> {
        if self.keys.is_some() {
            let why = "this title is encrypted, which an MP4 to download cannot say; play index.m3u8 or manifest.mpd";
            return Err(io::Error::other(Problem::not_found(why)));
        }
        let movie = self.open()?.movie(from_ms, to_ms).map_err(told)?;
        let piece = |p: nx_vod::Piece| {
            let (offset, bytes) = (p.offset, p.bytes);
            Piece { source: Arc::new(Same { path: p.path, identity: p.identity }), offset, bytes }
        };
        Ok(movie.map(|m| Film::new(m.front, m.pieces.into_iter().map(piece), Vec::new())))
    }

    fn init(&self, track: &str, run: u32, key: Option<u64>) -> io::Result<Option<Bytes>> {
        Ok(match self.shown()? {
            Shown::Clear(title) => title.init(track, run),
            Shown::Sealed(sealed) => sealed.init(track, run, key),
        })
    }
}

/// A file as long as it is what it was.
#[derive(Debug)]
struct Same {
    path: PathBuf,
    identity: Identity,
}

impl Source for Same {
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let file = File::open(&self.path)?;
        file.read_exact_at(&mut bytes, at)?;
        if Identity::of(&file.metadata()?) != self.identity {
            return Err(io::Error::other("the file has changed"));
        }
        Ok(bytes.into())
    }

    fn version(&self) -> u64 {
        self.identity.run().into()
    }
}

/// Tells everything at once: nothing is added to a file.
struct FileReader {
    filed: Arc<Filed>,
    from_ms: i64,
}

impl Reader for FileReader {
    fn read(&mut self, until_ms: i64) -> io::Result<Vec<Event>> {
        Ok(match self.filed.shown()? {
            Shown::Clear(title) => title.events(self.from_ms, until_ms),
            Shown::Sealed(sealed) => sealed.events(self.from_ms, until_ms),
        })
    }
}
