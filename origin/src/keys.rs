//! Keys of encrypted streams: which stream needs one, where it comes from, when it is another.
//!
//! Nothing is shown before there is a key. A service that fails later does not end a stream: it goes on with the key that
//! it has, still encrypted, and the log says so. Keys are in memory only.

mod config;
mod fetch;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use nx_crypt::{CLEARKEY, COMMON, FAIRPLAY, HlsKey, Key, Protection, System, common_pssh};
use nx_delivery::LiveStream;
use nx_media::StreamKey;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

pub use config::{ClearKeys, EncryptionConfig, Source};

use crate::hub::lock;

/// Keys of one stream that are remembered, for targets and for open keys.
const KEYS_MAX: usize = 64;
/// Streams that have keys from services.
const STREAMS_MAX: usize = 10_000;
/// Pause after a service has failed, milliseconds.
const PAUSE_MS: i64 = 2_000;

/// What a source gives: the name of a key, the key, its IV if it has one, and further ways to get it.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) id: [u8; 16],
    pub(crate) key: Zeroizing<[u8; 16]>,
    pub(crate) iv: Option<[u8; 16]>,
    pub(crate) systems: Vec<System>,
}

/// One section, ready for use.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) config: EncryptionConfig,
    from: From,
}

enum From {
    /// Used in turn.
    List(Vec<Given>),
    Service(fetch::Service),
}

impl fmt::Debug for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::List(_)) { "a file" } else { "a service" })
    }
}

/// Keys of all streams.
#[derive(Debug)]
pub(crate) struct Keys {
    rules: Vec<Arc<Rule>>,
    rings: Mutex<HashMap<StreamKey, Ring>>,
    /// Where services are asked from.
    runtime: Option<Handle>,
}

/// Keys that a stream has had, newest last, with their periods.
#[derive(Debug, Default)]
struct Ring {
    keys: VecDeque<(u64, Key)>,
    asking: bool,
    again_ms: i64,
}

impl Keys {
    /// Reads the files.
    ///
    /// # Errors
    /// In words, all of them: what cannot be read or used.
    pub(crate) fn open(configs: &[EncryptionConfig]) -> Result<Arc<Self>, String> {
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        for (nth, config) in configs.iter().enumerate() {
            match fetch::source(config) {
                Ok(from) => rules.push(Arc::new(Rule { config: config.clone(), from })),
                Err(text) => faults.push(format!("origin.encryption.{nth}: {text}")),
            }
        }
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        Ok(Arc::new(Self { rules, rings: Mutex::default(), runtime: Handle::try_current().ok() }))
    }

    /// How a stream is encrypted, if it is.
    pub(crate) fn rule(&self, stream: &StreamKey) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.config.fits(stream))
    }

    /// Why players that get no encrypted media are sent away.
    pub(crate) fn refusal(&self, stream: &StreamKey) -> Option<String> {
        let text =
            || format!("{stream} is encrypted and not given out in the clear: play it over HLS or DASH");
        self.rule(stream).map(|_| text())
    }

    /// The keys of one stream, if it is encrypted.
    pub(crate) fn of(self: &Arc<Self>, stream: &StreamKey) -> Option<StreamKeys> {
        let rule = self.rule(stream)?.clone();
        Some(StreamKeys { keys: self.clone(), rule, stream: stream.clone() })
    }

    /// Gives a stream its keys: to make views with, and for viewers where the configuration says so.
    pub(crate) fn give(self: &Arc<Self>, stream: &StreamKey, live: &LiveStream) {
        if let Some(keys) = self.of(stream) {
            live.give_keys(Arc::new(keys));
        }
    }
}

/// Keys of one stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamKeys {
    keys: Arc<Keys>,
    rule: Arc<Rule>,
    stream: StreamKey,
}

impl StreamKeys {
    /// The key to use now, Unix milliseconds; the one before while a service is asked; `None` when there is none yet.
    pub(crate) fn now(&self, wall_ms: i64) -> Option<Key> {
        let rotate_ms = i64::from(self.rule.config.rotate_s) * 1000;
        let period = if rotate_ms > 0 { wall_ms / rotate_ms } else { 0 };
        self.at(u64::try_from(period).unwrap_or(0), wall_ms)
    }

    /// The key of what does not change with time: that of period 0; `None` when there is none yet.
    pub(crate) fn lasting(&self, wall_ms: i64) -> Option<Key> {
        self.at(0, wall_ms)
    }

    fn at(&self, period: u64, wall_ms: i64) -> Option<Key> {
        let mut rings = lock(&self.keys.rings);
        if !rings.contains_key(&self.stream) && rings.len() >= STREAMS_MAX {
            return None;
        }
        let ring = rings.entry(self.stream.clone()).or_default();
        if let Some((_, key)) = ring.keys.iter().find(|(of, _)| *of == period) {
            return Some(key.clone());
        }
        match &self.rule.from {
            From::List(list) => {
                let nth = usize::try_from(period % list.len().max(1) as u64).unwrap_or(0);
                let key = self.key(list.get(nth)?.clone());
                ring.add(period, key.clone());
                Some(key)
            }
            From::Service(service) => {
                if let (false, true, Some(runtime)) =
                    (ring.asking, wall_ms >= ring.again_ms, &self.keys.runtime)
                {
                    ring.asking = true;
                    let (this, service) = (self.clone(), service.clone());
                    runtime.spawn(async move { this.fetch(&service, period).await });
                }
                ring.keys.back().map(|(_, key)| key.clone())
            }
        }
    }

    async fn fetch(&self, service: &fetch::Service, period: u64) {
        let given = service.ask(&self.stream, period).await;
        let mut rings = lock(&self.keys.rings);
        let ring = rings.entry(self.stream.clone()).or_default();
        ring.asking = false;
        match given {
            Ok(given) => ring.add(period, self.key(given)),
            Err(reason) => {
                ring.again_ms = nx_delivery::wall_ms() + PAUSE_MS;
                let goes_on =
                    if ring.keys.is_empty() { "it is not shown" } else { "it goes on with the key before" };
                tracing::warn!(stream = %self.stream, period, reason, "no key for an encrypted stream: {goes_on}");
            }
        }
    }

    /// A key with everything that is told of it.
    fn key(&self, given: Given) -> Key {
        let (config, kid) = (&self.rule.config, nx_crypt::hex(&given.id));
        let mut systems = given.systems;
        let open = self.is_open();
        if !systems.iter().any(|s| s.id == COMMON) {
            let pssh = common_pssh(given.id);
            systems.push(System { id: COMMON, pssh, hls: None, licence_url: None, dash: String::new() });
        }
        let licence_url = config.licence_url.as_ref().map(|url| url.replace("{kid}", &kid));
        if open || licence_url.is_some() {
            let here = |name: &str| format!("/{}/keys/{name}", self.stream);
            let hls = HlsKey {
                format: "identity".into(),
                versions: None,
                uri: if open { here(&format!("{kid}.bin")) } else { licence_url.clone().unwrap_or_default() },
            };
            let licence_url = licence_url.or_else(|| Some(here("licence.json")));
            let (id, hls) = (CLEARKEY, Some(hls));
            systems.push(System { id, pssh: Vec::new(), hls, licence_url, dash: String::new() });
        }
        if let Some(uri) = &config.fairplay_uri {
            let (format, versions) = ("com.apple.streamingkeydelivery".into(), Some("1".into()));
            let hls = Some(HlsKey { format, versions, uri: uri.replace("{kid}", &kid) });
            systems.push(System {
                id: FAIRPLAY,
                pssh: Vec::new(),
                hls,
                licence_url: None,
                dash: String::new(),
            });
        }
        let iv = given.iv.unwrap_or(given.id);
        let told = Protection { scheme: config.scheme, key_id: given.id, iv, systems, ts: config.ts };
        Key::new(told, given.key)
    }

    /// The key of a name, for who may have it.
    pub(crate) fn find(&self, id: &[u8; 16]) -> Option<Key> {
        let rings = lock(&self.keys.rings);
        let had = rings.get(&self.stream).and_then(|r| r.keys.iter().rfind(|(_, k)| k.told.key_id == *id));
        had.map(|(_, key)| key.clone()).or_else(|| match &self.rule.from {
            From::List(list) => {
                list.iter().find(|given| given.id == *id).map(|given| self.key(given.clone()))
            }
            From::Service(_) => None,
        })
    }

    /// Anybody may have its keys.
    fn is_open(&self) -> bool {
        self.rule.config.clear_keys == ClearKeys::Open
    }

    /// Targets may have it in the clear.
    pub(crate) fn clear_targets(&self) -> bool {
        self.rule.config.clear_targets
    }
}

impl nx_delivery::Keys for StreamKeys {
    fn secret(&self, id: &[u8; 16]) -> Option<Zeroizing<[u8; 16]>> {
        self.find(id).map(|key| Zeroizing::new(*key.reveal()))
    }

    fn key(&self, id: &[u8; 16]) -> Option<Zeroizing<[u8; 16]>> {
        if self.is_open() { self.secret(id) } else { None }
    }

    fn all(&self) -> Vec<([u8; 16], Zeroizing<[u8; 16]>)> {
        if !self.is_open() {
            return Vec::new();
        }
        if let From::List(list) = &self.rule.from {
            return list.iter().map(|given| (given.id, given.key.clone())).collect();
        }
        let rings = lock(&self.keys.rings);
        let keys = rings.get(&self.stream).into_iter().flat_map(|ring| &ring.keys);
        keys.map(|(_, key)| (key.told.key_id, Zeroizing::new(*key.reveal()))).collect()
    }
}

impl Ring {
    fn add(&mut self, period: u64, key: Key) {
        self.keys.push_back((period, key));
        if self.keys.len() > KEYS_MAX {
            self.keys.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
