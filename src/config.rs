//! The configuration: defaults, then the file, then the environment; every mistake reported at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Ingest and packaging.
    pub(crate) origin: nx_origin::Config,
    /// Viewers.
    pub(crate) edge: nx_edge_node::Config,
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
        Self { filter: "info,moq_net=error".into() }
    }
}

impl Config {
    /// Keys and addresses of all listeners.
    pub(crate) fn listeners(&self) -> [(&'static str, SocketAddr); 7] {
        [
            ("origin.rtmp.listen", self.origin.rtmp.listen),
            ("origin.rtmps.listen", self.origin.rtmps.listen),
            ("origin.srt.listen", self.origin.srt.listen),
            ("origin.http.listen", self.origin.http.listen),
            ("edge.http.listen", self.edge.http.listen),
            ("edge.https.listen", self.edge.https.listen),
            ("gateway.listen", self.gateway.listen),
        ]
    }

    fn validate(&self) -> Vec<(String, String)> {
        let section = |name: &str, faults: Vec<(String, String)>| -> Vec<_> {
            faults.into_iter().map(|(key, text)| (format!("{name}.{key}"), text)).collect()
        };
        let mut faults = section("origin", self.origin.validate());
        faults.extend(section("edge", self.edge.validate()));
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
    places: BTreeMap<String, String>,
}

impl Loaded {
    pub(crate) fn place(&self, key: &str) -> String {
        place_of(&self.places, key)
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
    let mut places = BTreeMap::new();
    let mut values = match file {
        Some(path) => read(path, &mut places).map_err(|fault| vec![fault])?,
        None => Table::new(),
    };
    for (key, value) in environment {
        places.insert(key.clone(), format!("NEXUS__{}", key.to_ascii_uppercase().replace('.', "__")));
        set(&mut values, &key, value);
    }
    let mut faults = Vec::new();
    let config = parse(values, &places, &mut faults);
    let invalid = config.validate().into_iter();
    faults.extend(invalid.map(|(key, text)| Fault { place: place_of(&places, &key), key, text }));
    if faults.is_empty() { Ok(Loaded { config, places }) } else { Err(faults) }
}

fn read(path: &Path, places: &mut BTreeMap<String, String>) -> Result<Table, Fault> {
    let name = path.display();
    let fault = |place: String, text: String| Fault { place, key: String::new(), text };
    let text = std::fs::read_to_string(path).map_err(|e| {
        fault(name.to_string(), format!("cannot be read: {e}; check the path and its rights"))
    })?;
    let line_of = |at: usize| text.bytes().take(at).filter(|&b| b == b'\n').count() + 1;
    let tree = toml::de::DeTable::parse(&text).map_err(|e| {
        let line = e.span().map_or(1, |s| line_of(s.start));
        fault(format!("{name}:{line}"), format!("is not TOML: {}", e.message()))
    })?;
    note_lines(tree.get_ref(), "", &mut |key, at| {
        places.insert(key, format!("{name}:{}", line_of(at)));
    });
    text.parse().map_err(|e: toml::de::Error| fault(name.to_string(), e.message().to_owned()))
}

fn note_lines(table: &toml::de::DeTable<'_>, prefix: &str, note: &mut dyn FnMut(String, usize)) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        note(path.clone(), key.span().start);
        if let toml::de::DeValue::Table(inner) = value.get_ref() {
            note_lines(inner, &format!("{path}."), note);
        }
    }
}

/// Puts a value from the environment into its place; what reads as a number or a truth value is one.
fn set(values: &mut Table, key: &str, text: String) {
    let mut table = values;
    let (sections, last) = key.rsplit_once('.').unwrap_or(("", key));
    for section in sections.split('.').filter(|s| !s.is_empty()) {
        let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = inner else { return };
        table = inner;
    }
    let value = text.parse().map(Value::Integer).or_else(|_| text.parse().map(Value::Boolean));
    table.insert(last.to_owned(), value.unwrap_or(Value::String(text)));
}

/// Reads the values; each that does not fit is reported, taken out, and the rest read again.
fn parse(mut values: Table, places: &BTreeMap<String, String>, faults: &mut Vec<Fault>) -> Config {
    loop {
        let error = match serde_path_to_error::deserialize::<_, Config>(Value::Table(values.clone())) {
            Ok(config) => return config,
            Err(error) => error,
        };
        let (mut key, text) = (error.path().to_string(), error.inner().message().trim().to_owned());
        let unknown = text.strip_prefix("unknown field `").and_then(|t| t.split_once('`'));
        if let Some((field, _)) = unknown
            && key.rsplit('.').next() != Some(field)
        {
            key = if key == "." { field.to_owned() } else { format!("{key}.{field}") };
        }
        let gone = remove(&mut values, &key);
        faults.push(Fault { place: place_of(places, &key), key, text: text.replace("field", "key") });
        if !gone {
            return Config::default();
        }
    }
}

fn remove(values: &mut Table, key: &str) -> bool {
    match key.split_once('.') {
        None => values.remove(key).is_some(),
        Some((section, rest)) => match values.get_mut(section) {
            Some(Value::Table(inner)) => remove(inner, rest),
            _ => values.remove(section).is_some(),
        },
    }
}

/// Where a key was set, or the section around it.
fn place_of(places: &BTreeMap<String, String>, key: &str) -> String {
    let mut key = key;
    loop {
        if let Some(place) = places.get(key) {
            return place.clone();
        }
        match key.rsplit_once('.') {
            Some((section, _)) => key = section,
            None => return "configuration".into(),
        }
    }
}

#[cfg(test)]
mod tests;
