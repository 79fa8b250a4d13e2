//! Recordings and clips: stretches of streams that outlive the time that streams are kept.
//!
//! An asset is a line in the store's book, and pins the volumes that it needs. Whatever a recorded stream did behind its
//! newest recording is pinned too: it will be one. So nothing has to be remembered of a recording that goes on, and a
//! process that was killed leaves one that the next process finishes.

mod api;
mod manifest;
mod moment;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use nx_contract::desired::Fault;
use nx_hls::Unstored;
use nx_media::StreamKey;
use nx_store::{Asset, Assets, Hold, Kind, Log, Stage, Terms};

pub(crate) use self::manifest::Signer;
use crate::desired::{random, uuid};
use crate::hub::{Hub, lock};
use crate::keep::{Kept, Rule, Rules};

/// How often it is looked whether the end of a clip has come.
const LOOK: Duration = Duration::from_millis(50);
/// Looks between two at what else has to be done: recordings, and what has to go.
const LOOKS: u32 = 20;
/// How long behind its end a clip of a stream that is on waits for its last part, milliseconds.
const LATE_MS: i64 = 10_000;

/// All assets, and what they pin.
#[derive(Debug)]
pub(crate) struct Shelf {
    rules: Rules,
    trash_ms: i64,
    book: Mutex<Book>,
    /// Held by whoever cuts, so that an idempotency key makes one clip.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Book {
    assets: Assets,
    /// By stream.
    held: HashMap<String, Vec<Held>>,
    /// Clips whose end is still to come.
    waiting: usize,
}

/// A stretch that an asset holds.
#[derive(Debug)]
struct Held {
    from_ms: i64,
    to_ms: i64,
    /// When the asset goes.
    until_ms: Option<i64>,
}

impl Book {
    fn put(&mut self, asset: Asset, trash_ms: i64) -> Result<Asset, Fault> {
        self.assets.put(asset.clone()).map_err(|error| match error.kind() {
            std::io::ErrorKind::QuotaExceeded => {
                let most = nx_store::ASSETS_MAX;
                Fault::Full(format!(
                    "there are {most} recordings and clips, as many as there may be: delete some"
                ))
            }
            _ => unwritten(&error),
        })?;
        self.hold(trash_ms);
        Ok(asset)
    }

    /// Notes what is held, by stream.
    fn hold(&mut self, trash_ms: i64) {
        self.held.clear();
        self.waiting = self.assets.iter().filter(|a| a.stage == Stage::Waiting).count();
        for asset in self.assets.iter().filter(|a| a.stage != Stage::Failed) {
            let until_ms = goes_ms(asset, trash_ms);
            let held = Held { from_ms: asset.start_ms, to_ms: asset.end_ms, until_ms };
            self.held.entry(asset.stream.clone()).or_default().push(held);
        }
    }
}

/// When an asset goes for good: at its time, or when it has been in the trash for long enough.
fn goes_ms(asset: &Asset, trash_ms: i64) -> Option<i64> {
    let emptied = asset.deleted_ms.map(|at| at.saturating_add(trash_ms));
    [asset.keep_until_ms, emptied].into_iter().flatten().min()
}

impl Shelf {
    pub(crate) fn new(assets: Assets, rules: Rules, trash_s: u32) -> Self {
        let trash_ms = i64::from(trash_s) * 1000;
        let mut book = Book { assets, held: HashMap::new(), waiting: 0 };
        book.hold(trash_ms);
        Self { rules, trash_ms, book: Mutex::new(book), turn: Mutex::default() }
    }

    pub(crate) fn rule(&self, key: &StreamKey) -> Rule {
        self.rules.of(key)
    }

    pub(crate) fn count(&self) -> u64 {
        lock(&self.book).assets.len() as u64
    }

    /// What of a stream is held at a time, Unix milliseconds.
    fn hold_at(&self, key: &StreamKey, now_ms: i64) -> Hold {
        let (rule, book) = (self.rule(key), lock(&self.book));
        let held = book.held.get(key.as_str()).into_iter().flatten();
        let stays = held.filter(|held| held.until_ms.is_none_or(|until| until > now_ms));
        let mut pins: Vec<(i64, i64)> = stays.map(|held| (held.from_ms, held.to_ms)).collect();
        if rule.record {
            pins.push((book.assets.recorded_until(key.as_str()), i64::MAX));
        }
        pins.sort_unstable();
        pins.dedup_by(|next, last| {
            let meet = next.0 <= last.1;
            last.1 = if meet { last.1.max(next.1) } else { last.1 };
            meet
        });
        Hold { keep_ms: rule.keep_ms, pins }
    }

    fn put(&self, asset: Asset) -> Result<Asset, Fault> {
        lock(&self.book).put(asset, self.trash_ms)
    }

    /// Changes an asset that is not to go yet.
    fn change(&self, id: &str, change: impl FnOnce(&mut Asset)) -> Result<Asset, Fault> {
        let (mut book, now_ms) = (lock(&self.book), nx_delivery::wall_ms());
        let stays = |a: &&Asset| goes_ms(a, self.trash_ms).is_none_or(|goes| goes > now_ms);
        let mut asset = book.assets.get(id).filter(stays).cloned().ok_or_else(|| unknown(id))?;
        let before = asset.clone();
        change(&mut asset);
        if asset == before { Ok(asset) } else { book.put(asset, self.trash_ms) }
    }

    /// Forgets what has to go; the store drops it in its own time.
    fn sweep(&self, now_ms: i64) {
        let mut book = lock(&self.book);
        let gone = |a: &&Asset| goes_ms(a, self.trash_ms).is_some_and(|goes| goes <= now_ms);
        let ids: Vec<String> = book.assets.iter().filter(gone).map(|a| a.id.clone()).collect();
        for id in &ids {
            match book.assets.forget(id) {
                Ok(()) => tracing::info!(id, "asset gone: its time was over"),
                Err(error) => return drop(unwritten(&error)),
            }
        }
        if !ids.is_empty() {
            book.hold(self.trash_ms);
        }
    }

    fn waiting(&self) -> Vec<Asset> {
        let book = lock(&self.book);
        let waiting = book.assets.iter().filter(|a| a.stage == Stage::Waiting);
        waiting.take(book.waiting).cloned().collect()
    }
}

impl Terms for Shelf {
    fn hold(&self, key: &StreamKey) -> Hold {
        self.hold_at(key, nx_delivery::wall_ms())
    }
}

fn unknown(id: &str) -> Fault {
    Fault::NotFound(format!("there is no recording and no clip {id:.64}"))
}

fn unwritten(error: &std::io::Error) -> Fault {
    tracing::error!(%error, "the book of recordings and clips cannot be written: check the store's disk");
    Fault::Storage(error.to_string())
}

/// Looks after the assets of a hub for as long as it is there.
///
/// # Errors
/// In words: there can be no thread for it.
pub(crate) fn tend(hub: &Arc<Hub>) -> Result<(), String> {
    if hub.kept.is_none() {
        return Ok(());
    }
    let hub = Arc::downgrade(hub);
    let thread = std::thread::Builder::new().name("assets".into()).spawn(move || run(&hub));
    thread.map(drop).map_err(|e| format!("cannot start a thread for recordings: {e}"))
}

#[expect(clippy::disallowed_methods, reason = "the rim: a thread that looks again and again")]
fn run(hub: &Weak<Hub>) {
    for look in (0..LOOKS).cycle() {
        std::thread::sleep(LOOK);
        let Some(hub) = hub.upgrade() else { return };
        let Some(kept) = &hub.kept else { return };
        let now_ms = nx_delivery::wall_ms();
        if look == 0 {
            kept.shelf.sweep(now_ms);
            hub.record(kept, now_ms);
        }
        for asset in kept.shelf.waiting().into_iter().filter(|a| a.end_ms <= now_ms) {
            hub.finish(kept, asset, now_ms);
        }
    }
}

/// How much of a stream there is beyond what is stored.
struct Edge {
    /// Up to when it is complete, when it is on; Unix milliseconds.
    until_ms: Option<i64>,
    held: Vec<Unstored>,
}

impl Hub {
    fn edge(&self, key: &StreamKey, to_ms: i64) -> Edge {
        let on = self.entry(key).filter(|entry| entry.live.read(|w| !w.is_ended()));
        on.map_or(Edge { until_ms: None, held: Vec::new() }, |entry| {
            let until_ms = entry.live.read(|w| w.complete_until_ms().or(Some(0)));
            Edge { until_ms, held: entry.live.held_before(to_ms) }
        })
    }

    /// Makes recordings of what recorded streams did, as far as they are off for good.
    fn record(&self, kept: &Kept, now_ms: i64) {
        for (key, log) in kept.store.list() {
            let rule = kept.shelf.rule(&key);
            if !rule.record {
                continue;
            }
            let until_ms = lock(&kept.shelf.book).assets.recorded_until(key.as_str());
            let on = self.edge(&key, 0).until_ms.is_some();
            let mut stretches = log.recordings(kept.join_ms);
            // The newest goes on while the stream is on, or may come back.
            let goes_on = |last: &nx_store::Recording| on || now_ms - last.ends_ms <= kept.join_ms;
            if stretches.last().is_some_and(goes_on) {
                stretches.pop();
            }
            for stretch in stretches.iter().filter(|s| s.ends_ms > until_ms) {
                let (from_ms, to_ms) = (stretch.begins_ms.max(until_ms), stretch.ends_ms);
                if let Err(fault) = self.keep_recording(kept, &key, &log, (from_ms, to_ms), now_ms) {
                    tracing::error!(stream = %key, ?fault, "recording not noted; it is tried again");
                    return;
                }
            }
        }
    }

    fn keep_recording(
        &self,
        kept: &Kept,
        key: &StreamKey,
        log: &Log,
        (start_ms, end_ms): (i64, i64),
        now_ms: i64,
    ) -> Result<(), Fault> {
        let stretch = log.stretch(start_ms, end_ms, &[]).map_err(|e| unread(&e))?;
        let (bytes, duration_ms) = stretch.map_or((0, 0), |s| (s.bytes, s.duration_ms));
        let keep_ms = kept.shelf.rule(key).record_keep_ms;
        let asset = Asset {
            id: uuid(now_ms, random()?),
            kind: Kind::Recording,
            stream: key.to_string(),
            title: key.name().to_owned(),
            start_ms,
            end_ms,
            created_ms: now_ms,
            keep_until_ms: keep_ms.map(|ms| end_ms.saturating_add(ms)),
            deleted_ms: None,
            bytes,
            duration_ms,
            stage: Stage::Ready,
            once: None,
        };
        let asset = kept.shelf.put(asset)?;
        tracing::info!(stream = %key, id = asset.id, duration_ms, bytes, "recorded");
        Ok(())
    }

    /// Ends the waiting of a clip if all of it is there, or no more will come.
    fn finish(&self, kept: &Kept, asset: Asset, now_ms: i64) {
        let Ok(key) = StreamKey::parse(&asset.stream) else { return };
        match self.settled(kept, &key, &asset, now_ms) {
            Ok(settled) if settled.stage != Stage::Waiting => {
                let Asset { start_ms, end_ms, bytes, duration_ms, stage, .. } = settled;
                let done = kept.shelf.change(&asset.id, |a| {
                    (a.start_ms, a.end_ms, a.bytes) = (start_ms, end_ms, bytes);
                    (a.duration_ms, a.stage) = (duration_ms, stage);
                });
                if done.is_ok() {
                    tracing::info!(stream = %key, id = asset.id, ?stage, duration_ms, bytes, "clip");
                }
            }
            Ok(_) => {}
            Err(fault) => tracing::warn!(stream = %key, id = asset.id, ?fault, "clip still waits"),
        }
    }

    /// A clip as it is now: with what there is of it, if it is complete or no more will come.
    fn settled(&self, kept: &Kept, key: &StreamKey, asset: &Asset, now_ms: i64) -> Result<Asset, Fault> {
        let edge = self.edge(key, asset.end_ms);
        // A stream that is off has stored all it had within moments.
        let late_ms = if edge.until_ms.is_some() { LATE_MS } else { 2_000 };
        let complete = edge.until_ms.map_or(asset.end_ms <= now_ms - 2_000, |until| until >= asset.end_ms);
        let mut asset = asset.clone();
        if !complete && now_ms - asset.end_ms <= late_ms {
            return Ok(asset);
        }
        let log = kept.store.find(key);
        let stretch = log.map(|log| log.stretch(asset.start_ms, asset.end_ms, &edge.held)).transpose();
        match stretch.map_err(|e| unread(&e))?.flatten() {
            Some(stretch) => {
                asset.start_ms = asset.start_ms.max(stretch.begins_ms);
                asset.end_ms = asset.end_ms.min(stretch.ends_ms);
                (asset.bytes, asset.duration_ms) = (stretch.bytes, stretch.duration_ms);
                asset.stage = Stage::Ready;
            }
            None => asset.stage = Stage::Failed,
        }
        Ok(asset)
    }
}

fn unread(error: &std::io::Error) -> Fault {
    tracing::warn!(%error, "the store cannot be read");
    Fault::Storage(error.to_string())
}

#[cfg(test)]
mod tests;
