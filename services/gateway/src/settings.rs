//! The settings in force, as operators are told of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

/// A setting in force. Secrets have been replaced by `***`, by their types.
#[derive(Debug, Clone, Serialize)]
struct Setting {
    /// Such as `edge.http.listen`.
    key: String,
    /// As it is written in a file.
    value: Value,
    /// `FILE:LINE`, or the variable of the environment; null for a default.
    place: Option<String>,
}

/// All of this process, in the order in which they are told. Cheap to clone: clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Settings(Arc<Mutex<Vec<Setting>>>);

impl Settings {
    /// These are in force, and were set where `place` says; where it says nothing, it is a default.
    pub fn new(all: Vec<(String, Value)>, place: impl Fn(&str) -> Option<String>) -> Self {
        let setting = |(key, value): (String, Value)| Setting { place: place(&key), key, value };
        Self(Arc::new(Mutex::new(all.into_iter().map(setting).collect())))
    }

    /// One has changed while the process runs, and is now as in `new`.
    pub fn change(&self, key: &str, new: &Self) {
        let new = lock(&new.0).iter().find(|setting| setting.key == key).cloned();
        if let (Some(old), Some(new)) = (lock(&self.0).iter_mut().find(|setting| setting.key == key), new) {
            *old = new;
        }
    }

    /// As JSON.
    pub fn told(&self) -> Value {
        json!({"items": *lock(&self.0), "next_cursor": null})
    }
}

fn lock(all: &Mutex<Vec<Setting>>) -> MutexGuard<'_, Vec<Setting>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}
