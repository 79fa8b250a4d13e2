//! Clips that are shown when nobody sends, read once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use nx_media::StreamKey;

use crate::config::StreamConfig;
use crate::ingest::clip::Clip;

/// Every slate that a policy names.
#[derive(Debug, Default)]
pub(crate) struct Slates(HashMap<PathBuf, Arc<Clip>>);

impl Slates {
    /// Reads them all, so that a missing one is known before it is needed.
    pub(crate) fn load(config: &StreamConfig) -> Result<Self, String> {
        let mut clips = HashMap::new();
        for path in config.policies.iter().filter_map(|p| p.slate.as_ref()) {
            if !clips.contains_key(path) {
                clips.insert(path.clone(), Clip::load(path)?);
            }
        }
        Ok(Self(clips))
    }

    pub(crate) fn of(&self, config: &StreamConfig, key: &StreamKey) -> Option<Arc<Clip>> {
        self.0.get(config.policy(key).slate.as_ref()?).cloned()
    }
}
