//! Programmes that are mixed of live streams: `/api/streamcore/v1/mixes/APP/STREAM`.

use serde::Serialize;

pub use nx_scene::{Scene, Seen};

use crate::desired::{Fault, Held};

/// Whoever keeps programmes and has them mixed. `stream` is `APP/STREAM` everywhere: the programme's own name. What
/// changes something returns when the change will outlast a crash, so call it where waiting is allowed.
pub trait Mixes: Send + Sync + 'static {
    /// All of them, by name.
    fn mixes(&self) -> Vec<Mix>;
    /// Has a programme look and sound so; whether it was begun by this.
    ///
    /// # Errors
    /// [`Fault::Invalid`] tells every mistake in the scene.
    fn put_mix(&self, stream: &str, scene: Scene) -> Result<(Mix, bool), Fault>;
    /// Ends a programme; one that stands in the configuration goes on as that says.
    ///
    /// # Errors
    /// [`Fault`].
    fn remove_mix(&self, stream: &str) -> Result<(), Fault>;
}

/// A programme.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mix {
    /// `APP/STREAM`.
    pub stream: String,
    /// What it shall look and sound like.
    pub scene: Scene,
    /// Who wants it so.
    pub origin: Held,
    /// How it goes.
    #[serde(flatten)]
    pub standing: Standing,
}

/// How a programme goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What its worker does.
    pub state: MixState,
    /// What went wrong last, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The worker's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// Workers that died.
    pub crashes: u64,
    /// Made by this worker.
    pub frames: u64,
    /// What becomes of each input.
    pub inputs: Vec<Seen>,
    /// What of the scene cannot be shown.
    pub faults: Vec<String>,
}

/// What a programme's worker does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MixState {
    /// Being started.
    #[default]
    Starting,
    /// It mixes.
    Running,
    /// It died; another is started soon.
    Waiting,
    /// Too many died, or there is no program: not tried again before the next PUT.
    Dropped,
}
