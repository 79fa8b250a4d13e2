//! Opens the origin's listeners and closes them again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use nx_delivery::Certs;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::hub::{Hub, lock};
use crate::ingest::listener::{self, Door};
use crate::ingest::shard::{Join, Shards};
use crate::ingest::srt;
use crate::outbound::Outbound;
use crate::twin::Twins;

/// The ingest side of an origin at work.
pub struct Doors {
    hub: Arc<Hub>,
    shards: Shards,
    places: Arc<Semaphore>,
    accepting: Vec<JoinHandle<()>>,
    srt: Vec<nx_srt::Listener>,
    outbound: Arc<Outbound>,
    stop: watch::Receiver<bool>,
}

impl Doors {
    /// Starts the threads that carry media; streams that an earlier process carried wait there for their
    /// publishers. Targets and sources are connected. Must be called within the runtime.
    ///
    /// # Errors
    /// When the threads cannot be started, or the files of the plane with another origin cannot be used.
    pub fn new(hub: &Arc<Hub>, stop: watch::Receiver<bool>) -> io::Result<Self> {
        if let Some(twins) = Twins::open(&hub.config, &stop).map_err(io::Error::other)? {
            twins.edge.guard(hub.guards());
            let _ = hub.twins.set(twins);
        }
        let shards = Shards::start(hub)?;
        for (key, entry) in hub.resume() {
            tracing::info!(stream = %key, stream_id = entry.id, "waits for its publisher, as before the restart");
            shards.join(Join::Resume { key, entry });
        }
        let places = Arc::new(Semaphore::new(hub.config.rtmp.connections_max));
        let outbound = Outbound::start(hub, &shards, stop.clone());
        Ok(Self { hub: hub.clone(), shards, places, accepting: Vec::new(), srt: Vec::new(), outbound, stop })
    }

    /// Targets, sources and publish keys.
    #[must_use]
    pub fn outbound(&self) -> Arc<Outbound> {
        self.outbound.clone()
    }

    /// Opens what the configuration says: listeners for publishers, and the one for edges. Gives their names and
    /// addresses.
    ///
    /// # Errors
    /// In words, with what to do.
    pub async fn open(&mut self, certs: &Arc<Certs>) -> Result<Vec<(&'static str, SocketAddr)>, String> {
        let hub = self.hub.clone();
        let config = &hub.config;
        let mut opened = Vec::new();
        let listener = nx_delivery::bind("origin.rtmp.listen", config.rtmp.listen).await?;
        opened.push(("rtmp", self.rtmp(listener, None).map_err(|e| e.to_string())?));
        if config.rtmps.enabled {
            let tls = certs.server(&[])?;
            let listener = nx_delivery::bind("origin.rtmps.listen", config.rtmps.listen).await?;
            opened.push(("rtmps", self.rtmp(listener, Some(tls)).map_err(|e| e.to_string())?));
        }
        if config.srt.enabled {
            let address = config.srt.listen;
            let srt = self.srt(address);
            opened.push((
                "srt",
                srt.map_err(|e| nx_delivery::cannot_listen("origin.srt.listen", address, &e))?,
            ));
        }
        self.outbound.mix_all();
        let plane = nx_live_plane::publish(
            &config.plane,
            (hub.clone(), Some(hub.guards())),
            hub.plane.clone(),
            self.stop.clone(),
        )?;
        opened.extend(plane.map(|address| ("plane", address)));
        if let Some(twins) = hub.twins.get() {
            let (plane, stop) = (&twins.plane, self.stop.clone());
            let twin =
                nx_live_plane::publish(plane, (twins.clone(), Some(hub.guards())), Arc::default(), stop)?;
            opened.extend(twin.map(|address| ("twin", address)));
        }
        Ok(opened)
    }

    /// Takes RTMP publishers and players; with `tls`, RTMPS.
    pub(crate) fn rtmp(
        &mut self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        {
            let mut ingest = lock(&self.hub.ingest);
            match tls {
                None => ingest.rtmp = format!("rtmp://{address}"),
                Some(_) => ingest.rtmps = format!("rtmps://{address}"),
            }
        }
        let door = Door { listener, tls: tls.map(TlsAcceptor::from), places: self.places.clone() };
        let accepting = listener::accept_loop(self.hub.clone(), door, self.shards.clone(), self.stop.clone());
        self.accepting.push(tokio::spawn(accepting));
        Ok(address)
    }

    /// Takes SRT publishers and players.
    pub(crate) fn srt(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = srt::listen(&self.hub, &self.shards, address)?;
        let address = listener.address();
        lock(&self.hub.ingest).srt = format!("srt://{address}");
        self.srt.push(listener);
        Ok(address)
    }

    /// Waits until the listeners are closed and every publisher and player has been told goodbye.
    pub async fn drained(self) {
        self.outbound.drained().await;
        for accepting in self.accepting {
            let _ = accepting.await;
        }
        let (shards, srt) = (self.shards, self.srt);
        let close = move || {
            shards.stop();
            srt.iter().for_each(nx_srt::Listener::shutdown);
        };
        let _ = tokio::task::spawn_blocking(close).await;
    }
}
