//! Puts the rooms together: listeners, signals, start and stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use nx_delivery::{Certs, Handler, Limits, Listening, bind};
use nx_edge_node::Playback;
use nx_gateway::Core;
use nx_origin::{Doors, Hub};
use nx_ring::{Ring, Run, Threads};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{Cli, Command};
use crate::config::{self, Config};
use crate::logging::Filter;

/// Time that requests have to finish when the process stops.
const GRACE: Duration = Duration::from_secs(8);
/// Those of a gateway beside streams, and those that write its uploads.
const GATEWAY_THREADS: (usize, usize) = (2, 64);

pub(crate) fn run(cli: &Cli, config: Config, filter: &Filter) -> Result<()> {
    std::fs::create_dir_all(&cli.data).with_context(|| {
        format!("cannot make the data folder {}; choose another with --data", cli.data.display())
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(serve(cli, config, filter))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// What runs, as far as its role has it.
#[derive(Default)]
struct Roles {
    origin: Option<(Arc<Hub>, Doors)>,
    ring: Option<Arc<Ring>>,
    http: Vec<Listening>,
    /// The gateway's, beside streams.
    _threads: Threads,
}

async fn serve(cli: &Cli, config: Config, filter: &Filter) -> Result<()> {
    config.gateway.reports_to.clone().into_iter().for_each(nx_ring::report_to);
    let (stop, stopped) = watch::channel(false);
    let (signals, mut upgraded) = signals().context("cannot listen for signals")?;
    let certs = config.tls.certs(&cli.data).map_err(Error::msg)?;
    tokio::spawn(certs.clone().watch(stopped.clone()));
    let roles = match &cli.command {
        Command::Edge => edge(cli, &config, &certs, &stopped).await?,
        Command::Service { names } => ring(cli, &config, Run::Apart(names), &stopped).await?,
        Command::Gateway => ring(cli, &config, Run::None, &stopped).await?,
        _ => origin(cli, &config, &certs, &stopped).await?,
    };
    crate::println_out("ready");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    tokio::select! {
        () = until_stop(signals, cli, config, filter, &certs) => {}
        () = nx_delivery::stopped(&mut upgraded) => {}
    }
    tracing::info!("stopping: no new connections, what runs is finished");
    let _ = stop.send(true);
    if let Some((hub, doors)) = roles.origin {
        hub.release_viewers();
        doors.drained().await;
    }
    for listening in roles.http {
        listening.drained().await;
    }
    if let Some(ring) = roles.ring {
        ring.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
}

type Stopped = watch::Receiver<bool>;

/// The listeners of an edge that fetches its streams from elsewhere.
async fn edge(cli: &Cli, config: &Config, certs: &Arc<Certs>, stopped: &Stopped) -> Result<Roles> {
    let playback = Playback::open(&config.playback, &cli.data, stopped).map_err(Error::msg)?;
    let edge = nx_edge_node::start_alone(&config.edge, (certs, &playback), stopped, GRACE).await;
    let (edge, plane) = edge.map_err(Error::msg)?;
    plane.iter().for_each(|address| announce("plane", *address));
    edge.iter().for_each(|(name, listening)| announce(name, listening.address));
    Ok(Roles { http: edge.into_iter().map(|(_, listening)| listening).collect(), ..Roles::default() })
}

/// Services that run apart from the gateway, or the gateway alone.
async fn ring(cli: &Cli, config: &Config, run: Run<'_>, stopped: &Stopped) -> Result<Roles> {
    let ring = start(cli, config, run).await?;
    let http = match run {
        Run::None => {
            let threads = Threads::default();
            vec![gateway(None, config, config.edge.http.listen, (&ring, &threads), stopped).await?]
        }
        _ => doors(config, &ring, false, stopped).await?,
    };
    Ok(Roles { ring: Some(ring), http, ..Roles::default() })
}

/// The services that are to run.
async fn start(cli: &Cli, config: &Config, run: Run<'_>) -> Result<Arc<Ring>> {
    let nx_gateway::Config { ring, notify, identity, keys, .. } = &config.gateway;
    nx_ring::start(ring, notify, identity, keys, &cli.data, run).await.map_err(Error::msg)
}

/// The ports of services themselves.
async fn doors(config: &Config, ring: &Arc<Ring>, more: bool, stopped: &Stopped) -> Result<Vec<Listening>> {
    let doors = nx_gateway::doors(&config.gateway, ring, more, stopped, GRACE).await.map_err(Error::msg)?;
    Ok(doors.into_iter().inspect(|(name, at)| announce(name, at.address)).map(|(_, at)| at).collect())
}

async fn gateway(
    core: Option<Core>,
    config: &Config,
    viewers: SocketAddr,
    (ring, threads): (&Arc<Ring>, &Threads),
    stopped: &Stopped,
) -> Result<Listening> {
    let face = nx_gateway::Face::new(core, &config.gateway, viewers, ring, stopped.clone());
    let (face, stopped) = (face.map_err(Error::msg)?, stopped.clone());
    let nx_gateway::Config { listen: address, connections_max, .. } = config.gateway;
    let limits = Limits { connections_max, ..Limits::default() };
    let open = async move { listen("gateway", "gateway.listen", address, face, limits, &stopped).await };
    threads.handle().spawn(open).await?
}

/// An origin at work, with edge, gateway and services for `up`.
async fn origin(cli: &Cli, config: &Config, certs: &Arc<Certs>, stopped: &Stopped) -> Result<Roles> {
    let playback = Playback::open_own(&config.playback, &cli.data, stopped).map_err(Error::msg)?;
    let hub = Hub::new(config.origin.clone(), playback.gate.clone(), &cli.data).map_err(Error::msg)?;
    let mut media = Doors::new(&hub, stopped.clone()).context("cannot start the threads that carry media")?;
    media.open(certs).await.map_err(Error::msg)?.into_iter().for_each(|(name, at)| announce(name, at));
    let face = Arc::new(nx_origin::Face::new(hub.clone()));
    let address = config.origin.http.listen;
    let mut http =
        vec![listen("origin-http", "origin.http.listen", address, face, Limits::default(), stopped).await?];
    let (mut ring, mut threads) = (None, Threads::default());
    let core = Core::new(&hub, &media.outbound());
    if let Command::Up { compat_ports } = cli.command {
        let edge = nx_edge_node::start(&config.edge, (certs, &playback), hub.clone(), stopped, GRACE).await;
        let edge = edge.map_err(Error::msg)?;
        edge.iter().for_each(|(name, listening)| announce(name, listening.address));
        let viewers = edge[0].1.address;
        http.extend(edge.into_iter().map(|(_, listening)| listening));
        let ring = &*ring.insert(start(cli, config, Run::All).await?);
        threads = Threads::start("gateway", GATEWAY_THREADS).map_err(Error::msg)?;
        let gateway = gateway(Some(core), config, viewers, (ring, &threads), stopped).await?;
        let invite = nx_ring::first_invite(ring, gateway.address).await;
        let _ = invite.map(|link| crate::println_out(&format!("administrator {link}")));
        http.push(gateway);
        if compat_ports {
            http.extend(doors(config, ring, true, stopped).await?);
        }
    } else if config.gateway.ring.core {
        let (ring, at) = (&*ring.insert(start(cli, config, Run::Apart(&[])).await?), http[0].address);
        let door = nx_gateway::core_door(core, &config.gateway, at, ring, stopped, GRACE).await;
        http.push(door.inspect(|door| announce("streamcore", door.address)).map_err(Error::msg)?);
    }
    Ok(Roles { origin: Some((hub, media)), ring, http, _threads: threads })
}

async fn listen(
    name: &str,
    key: &str,
    address: SocketAddr,
    handler: Arc<dyn Handler>,
    limits: Limits,
    stopped: &Stopped,
) -> Result<Listening> {
    let listener = bind(key, address).await.map_err(Error::msg)?;
    let listening = nx_delivery::serve(listener, handler, limits, stopped.clone(), GRACE)?;
    announce(name, listening.address);
    Ok(listening)
}

fn announce(name: &str, address: SocketAddr) {
    crate::println_out(&format!("listening {name} {address}"));
    tracing::info!(name, %address, "listening");
}

/// Those that stop the process or have it read its configuration again; what the one for upgrades has done.
fn signals() -> std::io::Result<([Signal; 3], Stopped)> {
    let [term, int, hup] =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    Ok(([term?, int?, hup?], nx_delivery::upgrades()?))
}

/// Returns when the process is to stop; re-reads the configuration meanwhile as often as asked.
async fn until_stop(signals: [Signal; 3], cli: &Cli, mut config: Config, filter: &Filter, certs: &Certs) {
    let [mut term, mut int, mut hup] = signals;
    loop {
        tokio::select! {
            _ = term.recv() => return,
            _ = int.recv() => return,
            _ = hup.recv() => {
                certs.reload();
                reload(cli, &mut config, filter);
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
    config.gateway.settings.change("log.filter", &loaded.gateway.settings);
    let text = |c: &Config| toml::to_string(c).unwrap_or_default();
    if text(config) != text(&loaded) {
        tracing::warn!("settings other than log.filter have changed; they take effect at the next start");
    }
}
