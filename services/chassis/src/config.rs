//! Settings of the ring.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Where services keep what they know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// PostgreSQL as `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, a schema for each service; without it, a file of
    /// SQLite for each below the data folder.
    pub database: Option<Secret>,
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    pub fn validate(&self) -> Vec<(String, String)> {
        match &self.database {
            Some(url) if !url.0.starts_with("postgres://") && !url.0.starts_with("postgresql://") => {
                vec![(
                    "database".into(),
                    "must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, or left out".into(),
                )]
            }
            _ => Vec::new(),
        }
    }
}

/// A text that is printed and serialised as `***`.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// It.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}
