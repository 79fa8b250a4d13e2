//! The file of the network: read at the start, when it changes and on SIGHUP.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use nx_cdn_config::{Countries, Fault, History, Name, Network};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::config::NetworkConfig;
use super::log::Log;
use super::{Control, Trouble, lock, unfit};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The log of purges, beside the versions.
const PURGES: &str = "purges";

/// A network that was read, before anything follows it.
pub(crate) struct Opened {
    pub(super) config: NetworkConfig,
    pub(super) node: Name,
    pub(super) has_plane: bool,
    pub(super) file: PathBuf,
    pub(super) history: History,
    pub(super) log: Log,
    pub(super) countries: Countries,
    pub(super) number: u64,
    pub(super) network: Network,
}

impl Opened {
    /// Reads what the configuration names; `None` when it names nothing. `has_plane`: live streams can be fetched,
    /// or are here.
    ///
    /// # Errors
    /// In words, with what to do; every mistake in the file.
    pub(crate) fn read(config: &NetworkConfig, has_plane: bool) -> Result<Option<Self>, String> {
        let (Some(file), Some(node)) = (&config.file, &config.node) else { return Ok(None) };
        let node = Name::try_from(node.clone()).map_err(|e| format!("edge.network.node: {e}"))?;
        let network = read(file)?;
        told(file, unfit(&network, &node, has_plane))?;
        let beside = || {
            let mut name = file.clone().into_os_string();
            name.push(format!(".{node}.versions"));
            name.into()
        };
        let folder: PathBuf = config.versions.clone().unwrap_or_else(beside);
        let unusable =
            |e: &dyn std::fmt::Display| format!("{e}; or set edge.network.versions to another folder");
        let history = History::open(&folder).map_err(|e| unusable(&e))?;
        history.take(&network).map_err(|e| unusable(&e))?;
        let number = history.current().map_err(|e| unusable(&e))?.unwrap_or_default();
        let network = history.read(number).map_err(|e| unusable(&e))?;
        // What came over the API may fit this node no more, if its name has changed.
        told(&folder.join(format!("{number}.toml")), unfit(&network, &node, has_plane))?;
        let path = folder.join(PURGES);
        let log = Log::open(&path).map_err(|e| unusable(&format!("{}: {e}", path.display())))?;
        let countries = config.countries.as_deref().map(countries).transpose()?.unwrap_or_default();
        let (config, file) = (config.clone(), file.clone());
        Ok(Some(Self { config, node, has_plane, file, history, log, countries, number, network }))
    }
}

impl Control {
    /// Takes over the files when they change or the process is told to, until `stop` turns true.
    pub(crate) async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        // Without the signal the files are looked at all the same.
        let mut hup = signal(SignalKind::hangup()).ok();
        let mut seen = self.stamps();
        loop {
            let told = async {
                match &mut hup {
                    Some(hup) => hup.recv().await,
                    None => std::future::pending().await,
                }
            };
            let forced = tokio::select! {
                () = nx_delivery::stopped(&mut stop) => return,
                _ = told => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let cache = self.parts.cache.clone();
            let _ = tokio::task::spawn_blocking(move || cache.refresh_keys()).await;
            let stamps = self.stamps();
            if forced || stamps != seen {
                seen = stamps;
                let control = self.clone();
                let _ = tokio::task::spawn_blocking(move || control.read_again()).await;
            }
        }
    }

    pub(super) fn read_again(&self) {
        if let Some(file) = &self.countries_file {
            match countries(file) {
                Ok(table) => {
                    *self.countries.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table)
                }
                Err(why) => tracing::error!("table of countries not taken over: {why}"),
            }
        }
        if let Err(why) = self.take_file() {
            tracing::error!("network not taken over, the one before stays in force:\n{}", why.trim_end());
        }
    }

    fn take_file(&self) -> Result<(), String> {
        let network = read(&self.file)?;
        match self.fits(&network) {
            Err(Trouble::Faults(faults)) => return told(&self.file, faults),
            Err(Trouble::History(error)) => return Err(error.to_string()),
            Ok(()) => {}
        }
        let history = lock(&self.history);
        if let Some(number) = history.take(&network).map_err(|e| e.to_string())? {
            self.apply(number, network);
        }
        Ok(())
    }

    /// Size and time of change of the files.
    fn stamps(&self) -> [Option<(u64, SystemTime)>; 2] {
        let of = |file: &Path| {
            let meta = fs::metadata(file).ok()?;
            Some((meta.len(), meta.modified().ok()?))
        };
        [of(&self.file), self.countries_file.as_deref().and_then(of)]
    }
}

fn read(file: &Path) -> Result<Network, String> {
    let text = text(file)?;
    let json = file.extension().is_some_and(|extension| extension == "json");
    let network = if json { Network::from_json(&text) } else { Network::from_toml(&text) };
    network.or_else(|faults| told(file, faults).map(|()| Network::default()))
}

fn countries(file: &Path) -> Result<Countries, String> {
    Countries::parse(&text(file)?).map_err(|e| format!("{}: {e}", file.display()))
}

fn text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|e| format!("{}: {e}; check the path and its rights", file.display()))
}

/// Every mistake with its place; good when there are none.
fn told(file: &Path, faults: Vec<Fault>) -> Result<(), String> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.iter().map(|fault| format!("{}:{fault}\n", file.display())).collect())
}
