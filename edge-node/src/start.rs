//! Opens the edge's listeners.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use nx_access::Gate;
use nx_delivery::{Certs, Directory, Handler, Limits, Listening, LiveStream, Media};
use nx_live_plane::{Browsers, Edge, Guards, Started};
use nx_media::StreamKey;
use tokio::sync::watch;

use crate::cache::Cache;
use crate::config::Config;
use crate::feed;
use crate::network::{Control, Opened, Parts};
use crate::serve::Face;

/// Who may watch here, as section `playback` says it.
pub struct Playback {
    /// Which streams ask for a token, and what opens them.
    pub gate: Arc<Gate>,
    /// What this node shows others.
    node_token: Option<HeaderValue>,
}

impl Playback {
    /// Reads what the section names; `data` is the folder for what is taken back here. Keys are read again when they change,
    /// until `stop` turns true. Must be called within the runtime.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn open(
        config: &nx_access::Config,
        data: &Path,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let (gate, node_token) = (config.gate(data)?, config.node_token()?);
        tokio::spawn(nx_delivery::watch_keys(gate.clone(), stop.clone()));
        feed::start(&gate, (&config.revocations, node_token.as_ref()), data, stop)?;
        Ok(Self { gate, node_token })
    }

    /// The same for an origin, which makes tokens: with a key of its own where the section names none.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn open_own(
        config: &nx_access::Config,
        data: &Path,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, String> {
        Self::open(&config.with_own_keys(data)?, data, stop)
    }
}

/// Listeners by name; that for plain HTTP comes first.
type Listeners = Vec<(&'static str, Listening)>;

/// Opens the edge's listeners and serves what `directory` finds, until `stop` turns true; then requests that run are
/// finished, for at most `grace`. The listener for plain HTTP comes first.
///
/// # Errors
/// In words, with what to do: an address or the cache's folder cannot be had, the network has mistakes.
pub async fn start(
    config: &Config,
    (certs, doors): (&Arc<Certs>, &Playback),
    directory: Arc<dyn Directory>,
    stop: &watch::Receiver<bool>,
    grace: Duration,
) -> Result<Listeners, String> {
    // The node itself has what a plane would bring.
    let network = Opened::read(&config.network, true)?;
    let faces = face(config, (certs, doors), directory, (None, network), stop)?;
    listen(config, certs, faces, stop, grace).await
}

/// The same for streams that are fetched from the nodes of `edge.plane` or of the network, which other edges may fetch
/// from here.
///
/// # Errors
/// In words, with what to do: an address cannot be had, the files of the plane cannot be used, it names no origin.
pub async fn start_alone(
    config: &Config,
    (certs, doors): (&Arc<Certs>, &Playback),
    stop: &watch::Receiver<bool>,
    grace: Duration,
) -> Result<(Listeners, Option<SocketAddr>), String> {
    let plane = &config.plane;
    let network = Opened::read(&config.network, plane.ca.is_some())?;
    if plane.ca.is_none() {
        let faces = face(config, (certs, doors), Arc::new(Nothing), (None, network), stop)?;
        let listening = listen(config, certs, faces, stop, grace).await?;
        nx_delivery::ready();
        return Ok((listening, None));
    }
    let edge = Edge::start(plane, stop)?;
    let (gate, own) = (doors.gate.clone(), edge.clone());
    edge.guard(Arc::new(move |key| gate.guards(key)));
    let guards: Guards = Arc::new(move |key| own.guards(key));
    let offers = (edge.clone() as Arc<dyn Directory>, Some(guards));
    let offered = nx_live_plane::publish(plane, offers, edge.figures().clone(), stop.clone())?;
    let faces = face(config, (certs, doors), edge.clone(), (Some(edge), network), stop)?;
    let listening = listen(config, certs, faces, stop, grace).await?;
    nx_delivery::ready();
    Ok((listening, offered))
}

/// Streams of an edge that only asks over HTTP.
struct Nothing;

impl Directory for Nothing {
    fn find(&self, _key: &StreamKey) -> Option<Arc<LiveStream>> {
        None
    }

    fn has_stored(&self) -> bool {
        false
    }
}

/// What serves viewers over HTTP, and what serves their browsers over WebTransport.
type Faces = (Arc<dyn Handler>, Option<Started>);

fn face(
    config: &Config,
    (certs, doors): (&Arc<Certs>, &Playback),
    directory: Arc<dyn Directory>,
    (plane, network): (Option<Arc<Edge>>, Option<Opened>),
    stop: &watch::Receiver<bool>,
) -> Result<Faces, String> {
    if network.is_some() && config.moq.listen.is_some() {
        return Err(
            "edge.moq.listen does not know whom a network lets in: leave it out beside edge.network".into()
        );
    }
    let browsers = Browsers::start(&config.moq, (&directory, &doors.gate), stop)?;
    let upstreams = config.upstreams();
    let needed = network.is_some() || !upstreams.is_empty();
    let cache = needed
        .then(|| Cache::open(&config.cache, &upstreams, (&doors.gate, doors.node_token.as_ref()), stop))
        .transpose()?;
    let media = Arc::new(Media::new(directory, "edge", config.http.held_max));
    let (certs, gate) = (certs.clone(), doors.gate.clone());
    let network = match (network, &cache) {
        (Some(opened), Some(cache)) => {
            let (cache, media) = (cache.clone(), media.clone());
            let parts = Parts { cache, media, plane, certs: certs.clone(), gate: gate.clone() };
            let control = Control::start(opened, parts)?;
            tokio::spawn(control.clone().watch(stop.clone()));
            tokio::spawn(control.clone().beat(stop.clone()));
            Some(control)
        }
        _ => None,
    };
    let told = browsers.as_ref().map(|(browsers, _)| browsers.clone());
    Ok((Arc::new(Face { media, cache, certs, network, browsers: told, gate }), browsers))
}

async fn listen(
    config: &Config,
    certs: &Arc<Certs>,
    (face, browsers): Faces,
    stop: &watch::Receiver<bool>,
    grace: Duration,
) -> Result<Listeners, String> {
    let limits = Limits { connections_max: config.http.connections_max, ..Limits::default() };
    let plain = nx_delivery::bind_lasting("edge.http.listen", config.http.listen).await?;
    let plain = nx_delivery::serve(plain, face.clone(), limits, stop.clone(), grace);
    let mut listening = vec![("edge-http", plain.map_err(|e| e.to_string())?)];
    listening.extend(browsers.map(|(moq, done)| ("edge-moq", Listening::new(moq.address(), done))));
    let https = &config.https;
    if https.enabled {
        let pair = nx_delivery::bind_pair("edge.https.listen", https.listen, https.http3).await;
        let pair = pair.map_err(|e| nx_delivery::cannot_listen("edge.https.listen", https.listen, &e))?;
        let secure = nx_delivery::serve_secure(pair, certs, face, limits, stop.clone(), grace);
        listening.push(("edge-https", secure.map_err(|e| e.to_string())?));
    }
    Ok(listening)
}
