//! Settings of the ring.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use crate::{Balance, Seal};

/// Shortest secret that is taken, bytes.
const SECRET_BYTES_MIN: usize = 32;

/// Where services keep what they know, and how their processes find and trust each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// PostgreSQL as `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, a schema for each service; without it, a file of
    /// SQLite for each below the data folder.
    pub database: Option<Secret>,
    /// RabbitMQ as `amqp://USER:PASSWORD@HOST:PORT`, which carries events between processes; without it they stay within one.
    pub bus: Option<Secret>,
    /// `HOST:PORT` of the gateway, where `nexus service` has its services known.
    pub registry: String,
    /// Whether `nexus origin` is the streaming core of the ring: its API is behind the gateway then.
    pub core: bool,
    /// What the processes of the ring know each other by; without it, a file that is made in the data folder.
    pub secret_file: Option<PathBuf>,
    /// Where services that have ports of their own listen, and where others are told to find them.
    pub host: IpAddr,
    /// Whether they take free ports rather than those of the catalogue.
    pub free_ports: bool,
    /// How requests are shared out among the instances of a service.
    pub balance: Balance,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: None,
            bus: None,
            registry: "127.0.0.1:3000".into(),
            core: false,
            secret_file: None,
            host: Ipv4Addr::LOCALHOST.into(),
            free_ports: false,
            balance: Balance::default(),
        }
    }
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |good: bool, key: &str, text: &str| {
            if !good {
                faults.push((key.to_owned(), text.to_owned()));
            }
        };
        let begins = |url: &Option<Secret>, with: &[&str]| {
            url.as_ref().is_none_or(|url| with.iter().any(|w| url.0.starts_with(w)))
        };
        check(
            begins(&self.database, &["postgres://", "postgresql://"]),
            "database",
            "must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, or left out",
        );
        check(begins(&self.bus, &["amqp://"]), "bus", "must be amqp://USER:PASSWORD@HOST:PORT, or left out");
        let port =
            self.registry.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        check(port.is_some_and(|(host, _)| !host.is_empty()), "registry", "must be the gateway's HOST:PORT");
        check(
            !self.host.is_unspecified(),
            "host",
            "must be one address of this machine, since other processes are told it",
        );
        faults
    }

    /// What the processes of the ring know each other by; `data` is the data folder.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn seal(&self, data: &Path) -> Result<Seal, String> {
        let Some(path) = &self.secret_file else {
            let folder = data.join("services");
            let made = std::fs::create_dir_all(&folder).and_then(|()| Seal::in_file(&folder.join("secret")));
            return made.map_err(|e| format!("cannot keep a secret in {}: {e}", folder.display()));
        };
        let read = std::fs::read(path);
        let secret =
            read.map_err(|e| format!("gateway.ring.secret_file {} cannot be read: {e}", path.display()))?;
        if secret.trim_ascii().len() < SECRET_BYTES_MIN {
            return Err(format!(
                "gateway.ring.secret_file {} holds fewer than {SECRET_BYTES_MIN} bytes: put more random ones into it",
                path.display()
            ));
        }
        Ok(Seal::new(secret.trim_ascii()))
    }
}

/// A text that is printed and serialised as `***`.
#[derive(Clone)]
pub struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // What stands there instead is not for a log.
        String::deserialize(from).map(Self).map_err(|_| serde::de::Error::custom("must be text in quotes"))
    }
}

impl Secret {
    /// A secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    #[must_use]
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
