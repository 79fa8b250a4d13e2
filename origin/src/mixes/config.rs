//! Settings of programmes: `[[origin.mixes]]` and `[origin.mixer]`.

use std::path::PathBuf;

use nx_media::StreamKey;
use nx_scene::Scene;
use serde::{Deserialize, Serialize};

/// One of `[[origin.mixes]]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixConfig {
    /// `APP/STREAM` of the programme.
    pub stream: String,
    /// What it looks and sounds like until the API says otherwise.
    pub scene: Scene,
}

/// Section `origin.mixer`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixerConfig {
    /// The program; `nexus-mixer` beside the server by default.
    pub worker: Option<PathBuf>,
    /// Folder of pictures that scenes may show; without one, none.
    pub pictures: Option<PathBuf>,
    /// Programmes at a time.
    pub mixes_max: usize,
    /// So many crashes within `crashes_s` end a programme.
    pub crashes_max: u32,
    /// Seconds.
    pub crashes_s: u32,
}

impl Default for MixerConfig {
    fn default() -> Self {
        Self { worker: None, pictures: None, mixes_max: 8, crashes_max: 5, crashes_s: 30 }
    }
}

impl MixerConfig {
    /// What is wrong beside so many programmes, as key within section `origin` and a sentence that says what to do.
    pub(crate) fn faults(&self, mixes: usize) -> Vec<(String, String)> {
        let rules = [
            (
                "mixer.mixes_max",
                (mixes.max(1)..=1000).contains(&self.mixes_max),
                "must be 1 to 1000, and at least as many as origin.mixes has",
            ),
            ("mixer.crashes_max", self.crashes_max > 0, "must be at least 1"),
        ];
        let wrong = rules.into_iter().filter(|rule| !rule.1);
        wrong.map(|(key, _, text)| (key.to_owned(), text.to_owned())).collect()
    }
}

impl MixConfig {
    /// What is wrong, as key within section `origin` and a sentence that says what to do.
    pub(crate) fn faults(&self, nth: usize) -> Vec<(String, String)> {
        let name = StreamKey::parse(&self.stream).err();
        let name = name.map(|error| (format!("mixes.{nth}.stream"), error.to_string()));
        let scene = faults(&self.stream, &self.scene);
        name.into_iter()
            .chain(scene.into_iter().map(|(key, text)| (format!("mixes.{nth}.scene.{key}"), text)))
            .collect()
    }
}

/// What is wrong with the scene of a programme.
pub(crate) fn faults(stream: &str, scene: &Scene) -> Vec<(String, String)> {
    let mut faults = scene.faults();
    let own = scene.inputs.iter().position(|input| input.stream == stream);
    faults.extend(
        own.map(|nth| (format!("inputs.{nth}.stream"), "is the programme itself: name another".into())),
    );
    faults
}
