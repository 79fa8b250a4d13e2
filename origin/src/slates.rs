//! What is shown when nobody sends: clips and pictures, in the stream's own parameters.
//!
//! Files are read once, at the start. A picture, and a clip of other parameters than the stream's, is made a clip that
//! fits by a worker, as soon as it is known what the stream consists of: it is there before it is needed. Streams that
//! are alike share it; it is forgotten with the last of them.

mod made;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use nx_media::{Kind, Params, TrackId};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::hub::lock;
use crate::ingest::clip::Clip;
use crate::picture;
use crate::worker;
use made::{Failure, Form};

/// Pause before a slate that could not be made is tried again, twice as long after each further time, up to the most.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// Every slate that a policy names, and what was made of them.
#[derive(Debug)]
pub(crate) struct Slates {
    files: HashMap<PathBuf, Source>,
    fitted: Mutex<Vec<Weak<Slate>>>,
    program: PathBuf,
    segment_ms: u32,
    runtime: Option<Handle>,
    /// One worker at a time.
    turn: Arc<Semaphore>,
}

/// A file.
#[derive(Debug, Clone)]
enum Source {
    Clip(Arc<Clip>),
    Picture(Bytes),
}

/// A file for streams of one form.
#[derive(Debug)]
pub(crate) struct Slate {
    file: PathBuf,
    form: Form,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    clip: Option<Arc<Clip>>,
    fault: Option<String>,
}

impl Slate {
    /// What can be shown by now.
    pub(crate) fn clip(&self) -> Option<Arc<Clip>> {
        lock(&self.state).clip.clone()
    }

    /// Why it is not as it should be.
    pub(crate) fn fault(&self) -> Option<String> {
        lock(&self.state).fault.clone()
    }
}

impl Slates {
    /// Reads all files, so that a missing one is known before it is needed.
    pub(crate) fn load(config: &Config) -> Result<Self, String> {
        let mut files = HashMap::new();
        for path in config.stream.policies.iter().filter_map(|p| p.slate.as_ref()) {
            if !files.contains_key(path) {
                files.insert(path.clone(), Source::load(path)?);
            }
        }
        Ok(Self {
            files,
            fitted: Mutex::default(),
            program: worker::program(config.images.worker.as_deref()),
            segment_ms: config.stream.segment_ms,
            runtime: Handle::try_current().ok(),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// The clip of a file as it is; of a picture there is none.
    pub(crate) fn plain(&self, file: &Path) -> Option<Arc<Clip>> {
        self.files.get(file).and_then(Source::clip)
    }

    /// A file for a stream of these tracks, of which the first of each kind count: `before` if it still fits, or one
    /// that is being made from now on.
    pub(crate) fn fit(
        &self,
        file: &Path,
        tracks: &BTreeMap<TrackId, Params>,
        before: Option<Arc<Slate>>,
    ) -> Option<Arc<Slate>> {
        let source = self.files.get(file)?;
        let first = |kind| tracks.iter().find(|(id, _)| id.kind == kind).map(|(_, params)| params);
        let form = Form::of(first(Kind::Video), first(Kind::Audio), self.segment_ms);
        let fits = |slate: &Arc<Slate>| slate.file == file && slate.form == form;
        if before.as_ref().is_some_and(fits) {
            return before;
        }
        let mut fitted = lock(&self.fitted);
        fitted.retain(|slate| slate.strong_count() > 0);
        if let Some(slate) = fitted.iter().filter_map(Weak::upgrade).find(fits) {
            return Some(slate);
        }
        let state = State { clip: source.clip(), fault: None };
        let ready = state.clip.as_ref().is_some_and(|clip| form.fits(clip));
        let slate = Arc::new(Slate { file: file.to_owned(), form, state: Mutex::new(state) });
        fitted.push(Arc::downgrade(&slate));
        if let (false, Some(runtime)) = (ready, &self.runtime) {
            let (slate, source, turn) = (Arc::downgrade(&slate), source.clone(), self.turn.clone());
            runtime.spawn(keep_trying(slate, source, self.program.clone(), turn));
        }
        Some(slate)
    }
}

impl Source {
    fn load(path: &Path) -> Result<Self, String> {
        use std::io::Read;
        let mut head = Vec::new();
        // What cannot be opened is said by who reads it.
        let _ = std::fs::File::open(path).and_then(|file| file.take(8).read_to_end(&mut head));
        if picture::is_picture(&head) {
            return picture::read(path, nx_worker_protocol::IMAGE_BYTES_MAX).map(Self::Picture);
        }
        Clip::load(path).map(Self::Clip)
    }

    fn clip(&self) -> Option<Arc<Clip>> {
        if let Self::Clip(clip) = self { Some(clip.clone()) } else { None }
    }
}

/// Has a slate made until it is there, cannot be, or nobody wants it any more.
async fn keep_trying(slate: Weak<Slate>, source: Source, program: PathBuf, turn: Arc<Semaphore>) {
    let mut pause = PAUSE;
    loop {
        let Some(wanted) = slate.upgrade() else { return };
        let made = {
            let _turn = turn.acquire().await;
            match &source {
                Source::Picture(image) => made::of_picture(&wanted.form, image, &program).await,
                Source::Clip(clip) => made::of_clip(&wanted.form, clip, &program).await,
            }
        };
        let again = match made {
            Ok(clip) => {
                tracing::info!(file = %wanted.file.display(), "a slate is ready");
                *lock(&wanted.state) = State { clip: Some(Arc::new(clip)), fault: None };
                return;
            }
            Err(Failure { why, again }) => {
                tracing::warn!(file = %wanted.file.display(), why, "a slate cannot be made");
                let mut state = lock(&wanted.state);
                let shown = if state.clip.is_some() { "is shown as it is" } else { "cannot be shown" };
                state.fault = Some(format!("the slate {} {shown}: {why}", wanted.file.display()));
                again
            }
        };
        drop(wanted);
        if !again {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests;
