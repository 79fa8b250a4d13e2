//! A node that streams are fetched from, and the connection to it, which is made again whenever it is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quinn::Endpoint;
use tokio::sync::watch;

use crate::config::host;
use crate::figures::Figures;
use crate::moq::{self, Link};

/// An attempt must have come to something after this.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Between two attempts, at first and at most; plus up to as much by chance.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// How it stands with an origin.
#[derive(Clone)]
pub(crate) enum Standing {
    /// Nobody knows yet: the first attempt is under way.
    Trying,
    /// Connected.
    Up(Arc<Link>),
    /// It does not answer, or refuses, or was lost a moment ago.
    Down,
}

/// One of `plane.origins`.
pub(crate) struct Origin {
    pub(crate) address: String,
    standing: watch::Sender<Standing>,
    given_up: watch::Sender<bool>,
}

impl Origin {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            standing: watch::Sender::new(Standing::Trying),
            given_up: watch::Sender::new(false),
        }
    }

    /// It is asked no more, and its connection is not made again.
    pub(crate) fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Up(_))
    }

    /// The connection, once it is known whether there is one.
    pub(crate) async fn link(&self) -> Option<Arc<Link>> {
        let mut standing = self.standing.subscribe();
        let known = standing.wait_for(|s| !matches!(s, Standing::Trying)).await.ok()?;
        if let Standing::Up(link) = &*known { Some(link.clone()) } else { None }
    }

    /// Keeps the connection up until `stop` turns true or it is given up.
    pub(crate) async fn keep_up(&self, endpoint: Endpoint, figures: &Figures, stop: watch::Receiver<bool>) {
        let mut given_up = self.given_up.subscribe();
        tokio::select! {
            () = nx_delivery::stopped(&mut given_up) => {}
            () = self.connect_again(endpoint, figures, stop) => {}
        }
        // Nobody shall wait for it.
        self.standing.send_if_modified(|s| {
            matches!(s, Standing::Trying) && {
                *s = Standing::Down;
                true
            }
        });
    }

    async fn connect_again(&self, endpoint: Endpoint, figures: &Figures, mut stop: watch::Receiver<bool>) {
        let mut pause = PAUSE_MIN;
        loop {
            let attempt = tokio::time::timeout(CONNECT_MAX, self.connect(&endpoint));
            let link = tokio::select! {
                () = nx_delivery::stopped(&mut stop) => return,
                link = attempt => link.unwrap_or_else(|_| Err("it does not answer".into())),
            };
            match link {
                Ok(link) => {
                    tracing::info!(origin = self.address, "connected");
                    pause = PAUSE_MIN;
                    self.standing.send_replace(Standing::Up(link.clone()));
                    let error = tokio::select! {
                        () = nx_delivery::stopped(&mut stop) => return,
                        error = link.lost() => error,
                    };
                    tracing::warn!(origin = self.address, %error, "connection lost");
                    figures.reconnects.fetch_add(1, Ordering::Relaxed);
                    self.standing.send_replace(Standing::Down);
                }
                Err(error) => {
                    tracing::warn!(origin = self.address, error, "cannot be reached, trying again");
                    self.standing.send_replace(Standing::Down);
                    let chance =
                        pause.mul_f64(f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX));
                    tokio::time::sleep(pause + chance).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Arc<Link>, String> {
        let name = host(&self.address).ok_or("its address is not HOST:PORT")?;
        let found = tokio::net::lookup_host(&self.address).await.map_err(|e| e.to_string())?;
        let mut last = "its name has no address".to_owned();
        for address in found {
            let connecting = endpoint.connect(address, name).map_err(|e| e.to_string());
            let connected = match connecting {
                Ok(connecting) => connecting.await.map_err(|e| e.to_string()),
                Err(error) => Err(error),
            };
            match connected {
                Ok(connection) => {
                    let session = moq::session(connection).map_err(|e| e.to_string())?;
                    return Link::greet(session).await.map(Arc::new).map_err(|e| e.to_string());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
