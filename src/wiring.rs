//! Puts the rooms together: listeners, signals, start and stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nx_delivery::{Handler, Limits, Listening};
use nx_origin::{Doors, Hub};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{Cli, Command};
use crate::config::{self, Config};
use crate::logging::Filter;

/// Time that requests have to finish when the process stops.
const GRACE: Duration = Duration::from_secs(8);

pub(crate) fn run(cli: &Cli, config: Config, filter: &Filter) -> Result<()> {
    std::fs::create_dir_all(&cli.data).with_context(|| {
        format!("cannot make the data folder {}; choose another with --data", cli.data.display())
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(serve(cli, config, filter))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

async fn serve(cli: &Cli, config: Config, filter: &Filter) -> Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let hub = Hub::new(config.origin.clone(), &cli.data).map_err(anyhow::Error::msg)?;
    let doors = open_ingest(cli, &config, &hub, &stopped).await?;
    let face = Arc::new(nx_origin::Face::new(hub.clone()));
    let (usual, address) = (Limits::default(), config.origin.http.listen);
    let mut http = vec![listen("origin-http", "origin.http.listen", address, face, usual, &stopped).await?];
    if matches!(cli.command, Command::Up) {
        let limits = Limits { connections_max: config.edge.http.connections_max, ..usual };
        let face = Arc::new(nx_edge_node::Face::new(hub.clone(), &config.edge));
        let edge =
            listen("edge-http", "edge.http.listen", config.edge.http.listen, face, limits, &stopped).await?;
        let (api, gateway, stopping) = (doors.outbound(), &config.gateway, stopped.clone());
        let face = nx_gateway::Face::new(hub.clone(), api.clone(), api, gateway, edge.address, stopping);
        let face = Arc::new(face.map_err(anyhow::Error::msg)?);
        http.push(edge);
        let address = config.gateway.listen;
        http.push(listen("gateway", "gateway.listen", address, face, usual, &stopped).await?);
    }
    crate::println_out("ready");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    signals.until_stop(cli, config, filter).await;
    tracing::info!("stopping: no new connections, what runs is finished");
    let _ = stop.send(true);
    hub.release_viewers();
    doors.drained().await;
    for listening in http {
        listening.drained().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// The listeners for publishers.
async fn open_ingest(
    cli: &Cli,
    config: &Config,
    hub: &Arc<Hub>,
    stopped: &watch::Receiver<bool>,
) -> Result<Doors> {
    let origin = &config.origin;
    let mut doors = Doors::new(hub, stopped.clone()).context("cannot start the threads that carry media")?;
    let listener = bind("origin.rtmp.listen", origin.rtmp.listen).await?;
    announce("rtmp", doors.rtmp(listener, None)?);
    if origin.rtmps.enabled {
        let tls = config.tls.server(&cli.data, &[]).map_err(anyhow::Error::msg)?;
        let listener = bind("origin.rtmps.listen", origin.rtmps.listen).await?;
        announce("rtmps", doors.rtmp(listener, Some(tls))?);
    }
    if origin.srt.enabled {
        let address = origin.srt.listen;
        let opened = doors.srt(address).with_context(|| cannot_listen("origin.srt.listen", address))?;
        announce("srt", opened);
    }
    Ok(doors)
}

fn cannot_listen(key: &str, address: SocketAddr) -> String {
    format!("cannot listen on {address}: set {key} to another address, or stop what uses this one")
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| cannot_listen(key, address))
}

async fn listen(
    name: &str,
    key: &str,
    address: SocketAddr,
    handler: Arc<dyn Handler>,
    limits: Limits,
    stopped: &watch::Receiver<bool>,
) -> Result<Listening> {
    let listener = bind(key, address).await?;
    let listening = nx_delivery::serve(listener, handler, limits, stopped.clone(), GRACE)?;
    announce(name, listening.address);
    Ok(listening)
}

fn announce(name: &str, address: SocketAddr) {
    crate::println_out(&format!("listening {name} {address}"));
    tracing::info!(name, %address, "listening");
}

struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is to stop; re-reads the configuration meanwhile as often as asked.
    async fn until_stop(&mut self, cli: &Cli, mut config: Config, filter: &Filter) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => reload(cli, &mut config, filter),
            }
        }
    }
}

/// Takes what can change while streams run; says what cannot.
fn reload(cli: &Cli, config: &mut Config, filter: &Filter) {
    let loaded = match config::load(cli.config.as_deref(), config::environment()) {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            faults.iter().for_each(|fault| tracing::error!("configuration not taken over: {fault}"));
            return;
        }
    };
    if let Ok(new) = loaded.log.filter.parse::<tracing_subscriber::EnvFilter>()
        && filter.reload(new).is_ok()
    {
        tracing::info!(filter = loaded.log.filter, "configuration read again");
    }
    config.log = loaded.log.clone();
    let text = |c: &Config| toml::to_string(c).unwrap_or_default();
    if text(config) != text(&loaded) {
        tracing::warn!("settings other than log.filter have changed; they take effect at the next start");
    }
}
