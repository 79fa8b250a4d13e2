//! What the API asks of this server.

use nx_admission::{Input, Limits, Secret};
use nx_contract::desired::{Change, Desired, Fault};
use nx_contract::keys::{self, KeyLimits, MadeKey, NewKey, OuterKey};
use nx_contract::sources::{InputRole, NewSource, Source};
use nx_contract::targets::{NewTarget, Target};
use nx_hls::Rfc3339;
use nx_media::StreamKey;

use super::{Outbound, Shown, key, reused, shown, unknown};
use crate::address;
use crate::desired::{Content, Key, Lock, Way, random, secret, uuid};
use crate::hub::Hub;

/// Publish keys that one stream may have.
const KEYS_MAX: usize = 64;
/// Of all streams together.
const ALL_KEYS_MAX: usize = 10_000;
/// Longest id of a key that was made elsewhere, bytes.
const ID_BYTES_MAX: usize = 64;
/// Any target, any source: the kind counts.
const TARGETS: Way = Way::Target { tls_insecure: false, public_only: false };
const SOURCES: Way = Way::Source { input: InputRole::Primary };

impl Desired for Outbound {
    fn targets(&self, stream: &str) -> Result<Vec<Target>, Fault> {
        Ok(self.list(stream, TARGETS)?.into_iter().map(target).collect())
    }

    fn add_target(&self, stream: &str, new: NewTarget, once: Option<&str>) -> Result<Target, Fault> {
        address::Target::parse(&new.url).map_err(|e| Fault::Invalid(format!("url: {e}")))?;
        let way = Way::Target { tls_insecure: new.tls_insecure, public_only: new.public_only };
        self.add(stream, new.url, new.enabled, way, once).map(target)
    }

    fn change_target(&self, stream: &str, id: &str, change: Change) -> Result<Target, Fault> {
        self.change(stream, id, TARGETS, change.enabled).map(target)
    }

    fn remove_target(&self, stream: &str, id: &str) -> Result<(), Fault> {
        self.remove(stream, id, TARGETS)
    }

    fn sources(&self, stream: &str) -> Result<Vec<Source>, Fault> {
        Ok(self.list(stream, SOURCES)?.into_iter().map(source).collect())
    }

    fn add_source(&self, stream: &str, new: NewSource, once: Option<&str>) -> Result<Source, Fault> {
        address::Source::parse(&new.url).map_err(|e| Fault::Invalid(format!("url: {e}")))?;
        self.add(stream, new.url, new.enabled, Way::Source { input: new.input }, once).map(source)
    }

    fn change_source(&self, stream: &str, id: &str, change: Change) -> Result<Source, Fault> {
        self.change(stream, id, SOURCES, change.enabled).map(source)
    }

    fn remove_source(&self, stream: &str, id: &str) -> Result<(), Fault> {
        self.remove(stream, id, SOURCES)
    }

    fn keys(&self, stream: &str) -> Result<Vec<keys::Key>, Fault> {
        key(stream)?;
        let content = self.hub.book.read();
        Ok(content.keys.iter().filter(|k| k.stream == stream).map(about).collect())
    }

    fn add_key(&self, stream: &str, new: NewKey, once: Option<&str>) -> Result<MadeKey, Fault> {
        key(stream)?;
        check(&new.limits)?;
        let created_ms = nx_delivery::wall_ms();
        let (id, secret) = (uuid(created_ms, random()?), secret()?);
        let NewKey { input, limits } = new;
        let lock = Lock::Key(secret.clone());
        let new = Key { id, stream: stream.to_owned(), lock, input, limits, created_ms };
        let change = |content: &mut Content| {
            if let Some(id) = content.made_by(once) {
                let same = |k: &&Key| {
                    (&k.id[..], &k.stream, k.input, k.limits) == (id, &new.stream, new.input, new.limits)
                };
                return content.keys.iter().find(same).cloned().ok_or_else(reused);
            }
            has_room(content, stream)?;
            content.answer(once, &new.id);
            content.keys.push(new.clone());
            Ok(new.clone())
        };
        let made = self.hub.book.change(change, |key| admit(&self.hub, key))?;
        let Lock::Key(key) = &made.lock else { return Err(reused()) };
        Ok(MadeKey { about: about(&made), key: key.clone() })
    }

    fn put_key(&self, stream: &str, id: &str, new: OuterKey) -> Result<keys::Key, Fault> {
        key(stream)?;
        check(&new.limits)?;
        let fault = |text: &str| Fault::Invalid(text.into());
        if !is_id(id) {
            return Err(fault("the id of a key has 1 to 64 letters, digits and hyphens"));
        }
        if read_sha256(&new.sha256).is_none() {
            return Err(fault("sha256: must have 64 hexadecimal digits"));
        }
        let created_ms = nx_delivery::wall_ms();
        let OuterKey { sha256, input, limits } = new;
        let (id, lock) = (id.to_owned(), Lock::Sha256(sha256.to_ascii_lowercase()));
        let new = Key { id, stream: stream.to_owned(), lock, input, limits, created_ms };
        let is_new = |k: &&Key| k.id == new.id && **k == Key { created_ms: k.created_ms, ..new.clone() };
        if let Some(same) = self.hub.book.read().keys.iter().find(is_new) {
            return Ok(about(same));
        }
        let change = |content: &mut Content| {
            if content.is_gone(&new.id) {
                return Err(Fault::Conflict(format!("key {} was deleted: make another", new.id)));
            }
            if let Some(old) = content.keys.iter_mut().find(|k| k.id == new.id) {
                if old.stream != new.stream {
                    return Err(Fault::Conflict(format!("key {} is of another stream", new.id)));
                }
                *old = Key { created_ms: old.created_ms, ..new.clone() };
                return Ok(old.clone());
            }
            has_room(content, stream)?;
            content.keys.push(new.clone());
            Ok(new.clone())
        };
        Ok(about(&self.hub.book.change(change, |key| admit(&self.hub, key))?))
    }

    fn remove_key(&self, stream: &str, id: &str) -> Result<(), Fault> {
        key(stream)?;
        let change = |content: &mut Content| {
            let at = content.keys.iter().position(|k| k.id == id && k.stream == stream);
            if at.is_none() && (!is_id(id) || content.keys.iter().any(|k| k.id == id)) {
                return Err(unknown(stream, id));
            }
            // Also where it never came: whoever puts it is on the way.
            content.bury(id);
            Ok(at.map(|at| content.keys.remove(at)).is_some())
        };
        let known = self.hub.book.change(change, |_| {
            self.hub.admission.remove_key(id);
            self.hub.shut(id);
        })?;
        if known { Ok(()) } else { Err(unknown(stream, id)) }
    }
}

/// Lets publishers in with a key.
pub(crate) fn admit(hub: &Hub, key: &Key) {
    let Ok(stream) = StreamKey::parse(&key.stream) else { return };
    let input = match key.input {
        InputRole::Primary => Input::Primary,
        InputRole::Backup => Input::Backup,
    };
    let KeyLimits { bitrate_bps, width, height, duration_s, concurrent } = key.limits;
    let limits = Limits { bitrate_bps, width, height, duration_s, concurrent };
    let lock = match &key.lock {
        Lock::Key(key) => Secret::new(key.as_str()).into(),
        Lock::Sha256(hash) => match read_sha256(hash) {
            Some(hash) => nx_admission::Lock::Sha256(hash),
            None => return,
        },
    };
    hub.admission.add_key(stream, &key.id, lock, input, limits);
}

fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn read_sha256(text: &str) -> Option<[u8; 32]> {
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::try_from(digit(2 * at)? << 4 | digit(2 * at + 1)?).ok()?;
    }
    (text.len() == 64).then_some(hash)
}

fn has_room(content: &Content, stream: &str) -> Result<(), Fault> {
    let like = content.keys.iter().filter(|k| k.stream == stream).count();
    if like < KEYS_MAX && content.keys.len() < ALL_KEYS_MAX {
        return Ok(());
    }
    Err(Fault::Full(format!(
        "{stream} has {like} of {KEYS_MAX} keys, all streams {} of {ALL_KEYS_MAX}: delete one first",
        content.keys.len()
    )))
}

fn check(limits: &KeyLimits) -> Result<(), Fault> {
    let zeros = [
        ("bitrate_bps", limits.bitrate_bps == Some(0)),
        ("width", limits.width == Some(0)),
        ("height", limits.height == Some(0)),
        ("duration_s", limits.duration_s == Some(0)),
        ("concurrent", limits.concurrent == Some(0)),
    ];
    match zeros.into_iter().find(|(_, zero)| *zero) {
        Some((name, _)) => {
            Err(Fault::Invalid(format!("limits.{name} of 0 lets nothing through: leave it out for no limit")))
        }
        None => Ok(()),
    }
}

fn about(key: &Key) -> keys::Key {
    keys::Key {
        id: key.id.clone(),
        stream: key.stream.clone(),
        input: key.input,
        limits: key.limits,
        created_at: Rfc3339(key.created_ms).to_string(),
    }
}

fn target(it: Shown) -> Target {
    let Shown { feed, held, meter } = it;
    let (bytes_sent, frames_dropped) = meter.figures();
    Target {
        url: shown(&feed),
        id: feed.id,
        stream: feed.stream,
        enabled: feed.enabled,
        tls_insecure: matches!(feed.way, Way::Target { tls_insecure: true, .. }),
        public_only: matches!(feed.way, Way::Target { public_only: true, .. }),
        created_at: Rfc3339(feed.created_ms).to_string(),
        origin: held,
        status: meter.life().status(),
        bytes_sent,
        frames_dropped,
    }
}

fn source(it: Shown) -> Source {
    let Shown { feed, held, meter } = it;
    let (bytes_received, packets_dropped) = meter.figures();
    let input = if let Way::Source { input } = feed.way { input } else { InputRole::Primary };
    Source {
        url: shown(&feed),
        id: feed.id,
        stream: feed.stream,
        input,
        enabled: feed.enabled,
        created_at: Rfc3339(feed.created_ms).to_string(),
        origin: held,
        status: meter.life().status(),
        bytes_received,
        packets_dropped,
    }
}
