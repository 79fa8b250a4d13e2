//! Settings of a node of a described network.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cache::Secret;
use crate::config::Config;

/// Section `edge.network`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// The description: TOML, or JSON when it ends in .json. It is taken over whenever it changes.
    pub file: Option<PathBuf>,
    /// Which of its edges this is.
    pub node: Option<String>,
    /// Folder for the versions that were in force and the purges that the network knows, of this node alone; beside the
    /// file when it is not given.
    pub versions: Option<PathBuf>,
    /// Who bears it may change the network; its edges talk to each other with it.
    pub key: Option<Secret>,
    /// Table of the countries of addresses: lines of NETWORK,COUNTRY.
    pub countries: Option<PathBuf>,
}

impl NetworkConfig {
    /// What is wrong, as key within `edge` and a sentence that says what to do.
    pub(crate) fn validate(&self, edge: &Config) -> Vec<(String, String)> {
        let described = self.file.is_some();
        let elsewhere = "comes from the description of the network: leave it out beside network.file";
        [
            (
                self.key.as_ref().is_some_and(Secret::is_short),
                "network.key",
                "is short: take at least 16 random characters",
            ),
            (
                described && self.node.is_none(),
                "network.node",
                "is needed beside network.file: which of its edges this is",
            ),
            (
                !described && self.node.is_some(),
                "network.file",
                "is needed beside network.node: the description",
            ),
            (described && !edge.upstream.is_empty(), "upstream", elsewhere),
            (described && !edge.plane.origins.is_empty(), "plane.origins", elsewhere),
        ]
        .into_iter()
        .filter(|(wrong, ..)| *wrong)
        .map(|(_, key, text)| (key.to_owned(), text.to_owned()))
        .collect()
    }
}
