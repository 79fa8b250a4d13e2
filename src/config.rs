//! The configuration: defaults, then the file, then the environment; every mistake reported at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use nx_gateway::Settings;
use nx_settings::Places;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Ingest and packaging.
    pub(crate) origin: nx_origin::Config,
    /// Viewers.
    pub(crate) edge: nx_edge_node::Config,
    /// Who may watch.
    pub(crate) playback: nx_access::Config,
    /// Status page and API.
    pub(crate) gateway: nx_gateway::Config,
    /// The certificate of listeners that speak TLS.
    pub(crate) tls: nx_delivery::TlsConfig,
    /// Logging.
    pub(crate) log: LogConfig,
}

/// Section `log`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,nx_origin=debug`.
    pub(crate) filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info,moq_net=error,web_transport_quinn=error".into() }
    }
}

impl Config {
    /// Keys and addresses of all listeners.
    pub(crate) fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let always = [
            ("origin.rtmp.listen", self.origin.rtmp.listen),
            ("origin.rtmps.listen", self.origin.rtmps.listen),
            ("origin.srt.listen", self.origin.srt.listen),
            ("origin.http.listen", self.origin.http.listen),
            ("edge.http.listen", self.edge.http.listen),
            ("edge.https.listen", self.edge.https.listen),
            ("gateway.listen", self.gateway.listen),
        ];
        always.into_iter().chain(self.edge.moq.listen.map(|address| ("edge.moq.listen", address))).collect()
    }

    fn validate(&self) -> Vec<(String, String)> {
        let section = |name: &str, faults: Vec<(String, String)>| -> Vec<_> {
            faults.into_iter().map(|(key, text)| (format!("{name}.{key}"), text)).collect()
        };
        let mut faults = section("origin", self.origin.validate());
        faults.extend(section("edge", self.edge.validate()));
        faults.extend(section("playback", self.playback.validate()));
        faults.extend(section("gateway", self.gateway.validate()));
        faults.extend(section("tls", self.tls.validate()));
        if let Err(error) = self.log.filter.parse::<tracing_subscriber::EnvFilter>() {
            faults.push(("log.filter".into(), format!("is no filter ({error}); try \"info\"")));
        }
        faults
    }
}

/// A mistake in the configuration.
#[derive(Debug)]
pub(crate) struct Fault {
    /// `FILE:LINE`, or the environment variable.
    pub(crate) place: String,
    pub(crate) key: String,
    pub(crate) text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// A good configuration and where its values came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    places: Places,
}

impl Loaded {
    pub(crate) fn place(&self, key: &str) -> String {
        self.places.of(key)
    }
}

/// `NEXUS__SECTION__KEY` variables of the process, as dotted keys.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let key = name.to_str()?.strip_prefix("NEXUS__")?.to_ascii_lowercase().replace("__", ".");
        Some((key, value.to_string_lossy().into_owned()))
    })
}

/// Reads the file, lays the environment over it, checks everything.
pub(crate) fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Fault>> {
    let (mut values, mut places) =
        file.map_or_else(|| Ok(Default::default()), read).map_err(|fault| vec![fault])?;
    for (key, value) in environment {
        nx_settings::set(&mut values, &key, value);
        places.from_environment(key);
    }
    let fitted = nx_settings::fit::<Config>(Value::Object(values));
    let told = |fault: nx_settings::Fault| (fault.key, format!("{}; {}", fault.text, fault.remedy));
    let mut config = fitted.value.unwrap_or_default();
    let faults = fitted.faults.into_iter().map(told).chain(config.validate());
    let faults: Vec<Fault> = faults.map(|(key, text)| Fault { place: places.of(&key), key, text }).collect();
    let told = nx_settings::flat(serde_json::to_value(&config).unwrap_or_default());
    config.gateway.settings = Settings::new(told, |key| places.exactly(key));
    if faults.is_empty() { Ok(Loaded { config, places }) } else { Err(faults) }
}

fn read(path: &Path) -> Result<(Map<String, Value>, Places), Fault> {
    let file = path.display().to_string();
    let fault = |place: String, text: String| Fault { place, key: String::new(), text };
    let text = std::fs::read_to_string(path)
        .map_err(|e| fault(file.clone(), format!("cannot be read: {e}; check the path and its rights")))?;
    let (value, lines) = nx_settings::toml(&text).map_err(|e| {
        let place = e.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"));
        fault(place, e.text)
    })?;
    let values = if let Value::Object(values) = value { values } else { Map::new() };
    Ok((values, Places::of_file(file, lines)))
}

#[cfg(test)]
mod tests;
