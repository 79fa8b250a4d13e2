//! Pictures of streams: what is asked for goes to a worker process, one thing at a time; what was made is kept a while.

mod desk;
mod shelf;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use nx_delivery::{Metrics, Order, Painter, Painting, Problem};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as Turn, Semaphore, watch};

use crate::hub::lock;
use crate::images::desk::Desk;
use crate::images::shelf::{Memory, Shelf};
use crate::worker;

/// Pictures that may be waited for at a time.
const ORDERS_MAX: usize = 32;
/// Bytes of pictures that are kept in memory.
const MEMORY_BYTES: usize = 32 << 20;
/// A worker without work ends after this time.
const IDLE: Duration = Duration::from_secs(30);

/// Section `origin.images`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagesConfig {
    /// The program that makes pictures; `nexus-transcoder` beside the server by default.
    pub worker: Option<PathBuf>,
    /// How long it may take for one key frame before it is killed. Milliseconds.
    pub patience_ms: u32,
    /// Sheets of pictures that are kept in the store's folder. Bytes.
    pub bytes_max: u64,
}

impl Default for ImagesConfig {
    fn default() -> Self {
        Self { worker: None, patience_ms: 5_000, bytes_max: 256 << 20 }
    }
}

/// Where pictures are made.
#[derive(Debug, Clone)]
pub(crate) struct Studio(Arc<Room>);

#[derive(Debug)]
struct Room {
    places: Semaphore,
    desk: Turn<Desk>,
    /// Who asks for what is being made waits for it.
    making: Mutex<HashMap<String, watch::Receiver<Made>>>,
    memory: Mutex<Memory>,
    shelf: Option<Shelf>,
    counts: Counts,
}

/// `None` until it is there.
type Made = Option<Result<Bytes, Problem>>;

#[derive(Debug, Default)]
struct Counts {
    made: AtomicU64,
    failed: AtomicU64,
    crashes: AtomicU64,
}

impl Studio {
    /// Keeps sheets in a folder of the store, if there is one.
    pub(crate) fn new(config: &ImagesConfig, store: Option<&Path>) -> Self {
        let program = worker::program(config.worker.as_deref());
        let patience = Duration::from_millis(config.patience_ms.into());
        Self(Arc::new(Room {
            places: Semaphore::new(ORDERS_MAX),
            desk: Turn::new(Desk::new(program, patience)),
            making: Mutex::default(),
            memory: Mutex::new(Memory::new(MEMORY_BYTES)),
            shelf: store.map(|folder| Shelf::open(folder.join(".images"), config.bytes_max)),
            counts: Counts::default(),
        }))
    }

    pub(crate) fn metrics(&self, out: &mut Metrics) {
        let Counts { made, failed, crashes } = &self.0.counts;
        for (name, help, count) in [
            ("nexus_images_made_total", "Pictures and sheets made.", made),
            ("nexus_images_failed_total", "Pictures and sheets that could not be made.", failed),
            ("nexus_images_crashes_total", "Workers that died or had to be killed.", crashes),
        ] {
            out.single(name, "counter", help, count.load(Ordering::Relaxed));
        }
    }

    /// Takes an order on, or joins those who wait for the same.
    fn order(&self, order: Order) -> watch::Receiver<Made> {
        let mut making = lock(&self.0.making);
        if let Some(made) = making.get(&order.name) {
            return made.clone();
        }
        let (done, made) = watch::channel(None);
        making.insert(order.name.clone(), made.clone());
        let room = self.0.clone();
        tokio::spawn(async move {
            // A panic must not leave others waiting for ever.
            let name = order.name.clone();
            let result = tokio::spawn(room.clone().make(order)).await;
            let result = result.unwrap_or_else(|_| Err(trouble("making it failed")));
            let count = if result.is_ok() { &room.counts.made } else { &room.counts.failed };
            count.fetch_add(1, Ordering::Relaxed);
            if let Ok(jpeg) = &result {
                lock(&room.memory).put(name.clone(), jpeg.clone());
            }
            lock(&room.making).remove(&name);
            let _ = done.send(Some(result));
        });
        made
    }
}

impl Painter for Studio {
    fn paint(&self, order: Order) -> Painting<'_> {
        Box::pin(async move {
            if let Some(jpeg) = lock(&self.0.memory).get(&order.name) {
                return Ok(jpeg);
            }
            let mut made = self.order(order);
            let made = made.wait_for(Option::is_some).await.ok().and_then(|made| made.clone());
            made.unwrap_or_else(|| Err(trouble("the server stops")))
        })
    }
}

impl Room {
    async fn make(self: Arc<Self>, order: Order) -> Result<Bytes, Problem> {
        let _place = self.places.try_acquire().map_err(|_| {
            let detail = "more pictures are asked for than can be made; ask again shortly";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many pictures", detail)
                .retry_after(2)
        })?;
        if let Some(shelf) = self.shelf.as_ref().filter(|_| order.lasting)
            && let Some(jpeg) = shelf.get(&order.name).await
        {
            return Ok(jpeg);
        }
        let jpeg = {
            let mut desk = self.desk.lock().await;
            let idle = !desk.is_busy();
            let drawn = desk.draw(&order, &self.counts.crashes).await;
            if idle && desk.is_busy() {
                tokio::spawn(Self::send_home(Arc::downgrade(&self)));
            }
            drawn?
        };
        if let Some(shelf) = self.shelf.as_ref().filter(|_| order.lasting) {
            shelf.put(&order.name, jpeg.clone()).await;
        }
        Ok(jpeg)
    }

    /// Ends the worker when it has had nothing to do for a while.
    async fn send_home(room: std::sync::Weak<Self>) {
        loop {
            tokio::time::sleep(IDLE).await;
            let Some(room) = room.upgrade() else { return };
            let mut desk = room.desk.lock().await;
            if desk.rests(IDLE) {
                return desk.close().await;
            }
        }
    }
}

/// Nothing that the viewer did.
fn trouble(what: &str) -> Problem {
    let detail = format!("{what}; ask again shortly");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-picture", "No picture now", detail).retry_after(5)
}

#[cfg(test)]
mod tests;
