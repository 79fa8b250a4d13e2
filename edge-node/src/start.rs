//! Opens the edge's listeners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nx_delivery::{Certs, Directory, Handler, Limits, Listening};
use nx_live_plane::Edge;
use tokio::sync::watch;

use crate::cache::Cache;
use crate::config::Config;
use crate::serve::Face;

/// Opens the edge's listeners and serves what `directory` finds, until `stop` turns true; then requests that run are
/// finished, for at most `grace`. The listener for plain HTTP comes first.
///
/// # Errors
/// In words, with what to do: an address or the cache's folder cannot be had.
pub async fn start(
    config: &Config,
    certs: &Arc<Certs>,
    directory: Arc<dyn Directory>,
    stop: &watch::Receiver<bool>,
    grace: Duration,
) -> Result<Vec<(&'static str, Listening)>, String> {
    let cache = Cache::open(&config.cache, &config.upstream, stop)?;
    let face: Arc<dyn Handler> = Arc::new(Face::new(directory, cache, config, certs.clone()));
    let limits = Limits { connections_max: config.http.connections_max, ..Limits::default() };
    let plain = nx_delivery::bind_lasting("edge.http.listen", config.http.listen).await?;
    let plain = nx_delivery::serve(plain, face.clone(), limits, stop.clone(), grace);
    let mut listening = vec![("edge-http", plain.map_err(|e| e.to_string())?)];
    let https = &config.https;
    if https.enabled {
        let pair = nx_delivery::bind_pair("edge.https.listen", https.listen, https.http3).await;
        let pair = pair.map_err(|e| nx_delivery::cannot_listen("edge.https.listen", https.listen, &e))?;
        let secure = nx_delivery::serve_secure(pair, certs, face, limits, stop.clone(), grace);
        listening.push(("edge-https", secure.map_err(|e| e.to_string())?));
    }
    Ok(listening)
}

/// The same for streams that are fetched from the nodes of `edge.plane`, which other edges may fetch from here.
///
/// # Errors
/// In words, with what to do: an address cannot be had, the files of the plane cannot be used, it names no origin.
pub async fn start_alone(
    config: &Config,
    certs: &Arc<Certs>,
    stop: &watch::Receiver<bool>,
    grace: Duration,
) -> Result<(Vec<(&'static str, Listening)>, Option<SocketAddr>), String> {
    let edge = Edge::start(&config.plane, stop)?;
    let plane = nx_live_plane::publish(&config.plane, edge.clone(), edge.figures().clone(), stop.clone())?;
    let listening = start(config, certs, edge, stop, grace).await?;
    nx_delivery::ready();
    Ok((listening, plane))
}
