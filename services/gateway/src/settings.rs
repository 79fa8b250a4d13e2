//! The settings in force, as operators are told of them.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

/// A setting in force. Secrets have been replaced by `***`, by their types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Such as `edge.http.listen`.
    pub key: String,
    /// As it is written in a file.
    pub value: Value,
    /// `FILE:LINE`, or the variable of the environment; null for a default.
    pub place: Option<String>,
}

/// All of this process, in the order in which they are told. Cheap to clone: clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Settings(Arc<Mutex<Vec<Setting>>>);

impl Settings {
    /// These are in force.
    #[must_use]
    pub fn new(all: Vec<Setting>) -> Self {
        Self(Arc::new(Mutex::new(all)))
    }

    /// One has changed while the process runs.
    pub fn change(&self, new: Setting) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter_mut().filter(|setting| setting.key == new.key).for_each(|setting| *setting = new.clone());
    }

    pub(crate) fn told(&self) -> Value {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"items": *all, "next_cursor": null})
    }
}
