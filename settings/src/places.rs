//! Where values came from.

use std::collections::BTreeSet;

use crate::Lines;

/// Where values came from: a file, and variables that went over it.
#[derive(Debug, Default)]
pub struct Places {
    file: String,
    lines: Lines,
    environment: BTreeSet<String>,
}

impl Places {
    /// Those of a file.
    #[must_use]
    pub fn of_file(file: String, lines: Lines) -> Self {
        Self { file, lines, environment: BTreeSet::new() }
    }

    /// The environment has set a key.
    pub fn from_environment(&mut self, key: String) {
        self.environment.insert(key);
    }

    /// Where a key was set, or the section around it.
    #[must_use]
    pub fn of(&self, key: &str) -> String {
        if self.environment.contains(key) {
            return format!("NEXUS__{}", key.to_ascii_uppercase().replace('.', "__"));
        }
        self.lines.of(key).map_or_else(|| "configuration".into(), |line| format!("{}:{line}", self.file))
    }

    /// Where this very key was set; none where it has its default.
    #[must_use]
    pub fn exactly(&self, key: &str) -> Option<String> {
        (self.environment.contains(key) || self.lines.has(key)).then(|| self.of(key))
    }
}
