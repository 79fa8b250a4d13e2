//! Connections that this server opens because an operator wants them: to targets, and to sources.

pub(crate) mod desired;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nx_contract::desired::{Fault, Held, LinkState};
use nx_contract::sources::InputRole;
use nx_media::StreamKey;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::address;
use crate::announce::Memory;
use crate::desired::{Content, Feed, Way, random, uuid};
use crate::hub::{Hub, lock};
use crate::ingest::shard::Shards;
use crate::mixes::Mixes;
use crate::restream::target::{self, Job, Stop};
use crate::restream::way::Care;
use crate::retry::Meter;
use crate::sources;

/// Targets, and sources, that one stream may have.
const FEEDS_MAX: usize = 16;
/// Targets and sources of all streams together.
const ALL_FEEDS_MAX: usize = 4_000;
/// Time that connections have to end politely when the process stops.
const GRACE: Duration = Duration::from_secs(3);

/// Keeps what operators want, and does it.
pub struct Outbound {
    pub(crate) hub: Arc<Hub>,
    pub(crate) shards: Shards,
    pub(crate) runtime: Handle,
    /// From the configuration; their identifiers are new at each start.
    fixed: Vec<Feed>,
    running: Mutex<HashMap<String, Running>>,
    /// What was said about live streams.
    pub(crate) said: Memory,
    /// What is mixed.
    pub(crate) mixes: Mixes,
    pub(crate) stop: watch::Receiver<bool>,
}

struct Running {
    meter: Arc<Meter>,
    task: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

/// A feed as the API shows it.
struct Shown {
    feed: Feed,
    held: Held,
    meter: Arc<Meter>,
}

impl Outbound {
    /// Starts what is wanted, until `stop` turns true. Must be called within the runtime.
    pub(crate) fn start(hub: &Arc<Hub>, shards: &Shards, stop: watch::Receiver<bool>) -> Arc<Self> {
        let this = Arc::new(Self {
            hub: hub.clone(),
            shards: shards.clone(),
            runtime: Handle::current(),
            fixed: configured(hub),
            running: Mutex::default(),
            said: Memory::default(),
            mixes: Mixes::default(),
            stop,
        });
        let _ = hub.outbound.set(Arc::downgrade(&this));
        this.fixed.iter().chain(&this.hub.book.read().feeds).for_each(|feed| this.set(feed));
        let (all, mut stop) = (this.clone(), this.stop.clone());
        this.runtime.spawn(async move {
            nx_delivery::stopped(&mut stop).await;
            for (stop, _) in lock(&all.running).values().filter_map(|r| r.task.as_ref()) {
                let _ = stop.send(true);
            }
        });
        this
    }

    /// Waits until every connection has ended.
    pub(crate) async fn drained(&self) {
        let tasks: Vec<_> = lock(&self.running).values_mut().filter_map(|r| r.task.take()).collect();
        let mixes = self.mixes.end();
        let all = async {
            for (stop, task) in tasks {
                let _ = stop.send(true);
                let _ = task.await;
            }
            for task in mixes {
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(GRACE, all).await;
    }

    /// Starts or ends a feed's task as the feed says.
    fn set(&self, feed: &Feed) {
        let mut running = lock(&self.running);
        let now_ms = nx_delivery::wall_ms();
        let entry = running
            .entry(feed.id.clone())
            .or_insert_with(|| Running { meter: Arc::new(Meter::new(now_ms)), task: None });
        let is_on = entry.task.as_ref().is_some_and(|(stop, task)| !*stop.borrow() && !task.is_finished());
        if !feed.enabled {
            if let Some((stop, _)) = &entry.task {
                let _ = stop.send(true);
            }
        } else if !is_on && !*self.stop.borrow() {
            let before = entry.task.take().map(|(_, task)| task);
            let state = match feed.way {
                Way::Target { .. } => LinkState::WaitingForStream,
                Way::Source { .. } => LinkState::Connecting,
            };
            entry.meter.life().begin(state, target::now(self.hub.clock));
            entry.task = self.spawn(feed, entry.meter.clone(), before);
        }
    }

    /// Starts a feed's task, behind the one that it had `before`.
    fn spawn(
        &self,
        feed: &Feed,
        meter: Arc<Meter>,
        before: Option<JoinHandle<()>>,
    ) -> Option<(watch::Sender<bool>, JoinHandle<()>)> {
        let Ok(stream) = StreamKey::parse(&feed.stream) else {
            tracing::error!(id = feed.id, "is for a stream whose name cannot be used; delete it");
            return None;
        };
        let (sender, stop) = watch::channel(false);
        let (hub, id, shards, stop) = (self.hub.clone(), feed.id.clone(), self.shards.clone(), Stop(stop));
        let shown = shown(feed);
        let job = Job { hub, id, stream, shown, meter };
        let (way, url) = (feed.way, feed.url.clone());
        let task = self.runtime.spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            match way {
                Way::Target { tls_insecure, public_only } => {
                    if let Ok(to) = address::Target::parse(&url) {
                        target::run(job, to, Care { tls_insecure, public_only }, stop).await;
                    }
                }
                Way::Source { input } => {
                    if let Ok(from) = address::Source::parse(&url) {
                        sources::run(job, shards, from, input, stop).await;
                    }
                }
            }
        });
        Some((sender, task))
    }

    /// The feeds of one kind and stream, oldest first.
    fn list(&self, stream: &str, kind: Way) -> Result<Vec<Shown>, Fault> {
        key(stream)?;
        let content = self.hub.book.read();
        let of = |feed: &&Feed| feed.stream == stream && feed.way.is_like(kind);
        let fixed = self.fixed.iter().filter(of).map(|f| (f, Held::Config));
        let feeds = fixed.chain(content.feeds.iter().filter(of).map(|f| (f, Held::Api)));
        Ok(feeds.map(|(feed, held)| self.shown(feed.clone(), held)).collect())
    }

    fn shown(&self, feed: Feed, held: Held) -> Shown {
        let running = lock(&self.running);
        let meter = running.get(&feed.id).map(|r| r.meter.clone());
        Shown { feed, held, meter: meter.unwrap_or_else(|| Arc::new(Meter::new(nx_delivery::wall_ms()))) }
    }

    /// Adds a feed whose URL is known to be good.
    fn add(
        &self,
        stream: &str,
        url: String,
        enabled: bool,
        way: Way,
        once: Option<&str>,
    ) -> Result<Shown, Fault> {
        key(stream)?;
        let created_ms = nx_delivery::wall_ms();
        let id = uuid(created_ms, random()?);
        let new = Feed { id, stream: stream.to_owned(), url, enabled, created_ms, way };
        let change = |content: &mut Content| {
            if let Some(id) = content.made_by(once) {
                let same =
                    |f: &&Feed| f.id == id && f.stream == new.stream && f.url == new.url && f.way == new.way;
                return content.feeds.iter().find(same).cloned().ok_or_else(reused);
            }
            let like = content.feeds.iter().filter(|f| f.stream == new.stream && f.way.is_like(way)).count();
            if like >= FEEDS_MAX || content.feeds.len() >= ALL_FEEDS_MAX {
                return Err(Fault::Full(format!(
                    "{stream} has {like} of {FEEDS_MAX}, all streams {} of {ALL_FEEDS_MAX}: delete one first",
                    content.feeds.len()
                )));
            }
            content.answer(once, &new.id);
            content.feeds.push(new.clone());
            Ok(new.clone())
        };
        let feed = self.hub.book.change(change, |feed| self.set(feed))?;
        Ok(self.shown(feed, Held::Api))
    }

    fn change(&self, stream: &str, id: &str, kind: Way, enabled: bool) -> Result<Shown, Fault> {
        self.may_change(stream, id, kind)?;
        let change = |content: &mut Content| {
            let feed =
                content.feeds.iter_mut().find(|f| f.id == id && f.stream == stream && f.way.is_like(kind));
            let feed = feed.ok_or_else(|| unknown(stream, id))?;
            feed.enabled = enabled;
            Ok(feed.clone())
        };
        let feed = self.hub.book.change(change, |feed| self.set(feed))?;
        Ok(self.shown(feed, Held::Api))
    }

    fn remove(&self, stream: &str, id: &str, kind: Way) -> Result<(), Fault> {
        self.may_change(stream, id, kind)?;
        let change = |content: &mut Content| {
            let is_it = |f: &Feed| f.id == id && f.stream == stream && f.way.is_like(kind);
            let at = content.feeds.iter().position(is_it).ok_or_else(|| unknown(stream, id))?;
            content.feeds.remove(at);
            Ok(())
        };
        let forget = |(): &()| {
            if let Some((stop, _)) = lock(&self.running).remove(id).and_then(|r| r.task) {
                let _ = stop.send(true);
            }
        };
        self.hub.book.change(change, forget)
    }

    fn may_change(&self, stream: &str, id: &str, kind: Way) -> Result<(), Fault> {
        key(stream)?;
        let is_fixed = self.fixed.iter().any(|f| f.id == id && f.stream == stream && f.way.is_like(kind));
        let text = "stands in the configuration file: change it there and restart the server";
        if is_fixed { Err(Fault::Conflict(format!("{id} {text}"))) } else { Ok(()) }
    }
}

/// What the configuration wants; it has been checked.
fn configured(hub: &Hub) -> Vec<Feed> {
    let created_ms = nx_delivery::wall_ms();
    let feed = |stream: &String, url: &nx_admission::Secret, enabled, way| Feed {
        id: uuid(created_ms, random().unwrap_or_default()),
        stream: stream.clone(),
        url: url.reveal().to_owned(),
        enabled,
        created_ms,
        way,
    };
    let config = &hub.config;
    let targets = config.targets.iter().map(|t| {
        feed(&t.stream, &t.url, t.enabled, Way::Target { tls_insecure: t.tls_insecure, public_only: false })
    });
    let sources = config.sources.iter().map(|s| {
        let input = match s.input {
            nx_admission::Input::Primary => InputRole::Primary,
            nx_admission::Input::Backup => InputRole::Backup,
        };
        feed(&s.stream, &s.url, s.enabled, Way::Source { input })
    });
    targets.chain(sources).collect()
}

/// A feed's URL without its secrets.
fn shown(feed: &Feed) -> String {
    let shown = match feed.way {
        Way::Target { .. } => address::Target::parse(&feed.url).map(|a| a.shown()),
        Way::Source { .. } => address::Source::parse(&feed.url).map(|a| a.shown()),
    };
    shown.unwrap_or_else(|_| "***".into())
}

pub(crate) fn key(stream: &str) -> Result<StreamKey, Fault> {
    StreamKey::parse(stream)
        .map_err(|error| Fault::Invalid(format!("the stream's name cannot be used: {error}")))
}

fn unknown(stream: &str, id: &str) -> Fault {
    Fault::NotFound(format!("{stream} has nothing with the id {id:.64}: list them to see what there is"))
}

pub(crate) fn reused() -> Fault {
    Fault::Conflict(
        "this Idempotency-Key was used for something else, or what it made has been deleted: use a new one"
            .into(),
    )
}

#[cfg(test)]
mod tests;
