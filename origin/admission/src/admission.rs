//! Puts rules, hook, run-time keys and quotas together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nx_media::StreamKey;

use crate::answer::{Grant, Refusal, RefusalKind, Ticket, named};
use crate::config::{Config, OnFailure};
use crate::hook::{Answer, Hook};
use crate::limits::{Leases, Quota};
use crate::rules::{HeldKey, Rules, Verdict};
use crate::{Action, Ask, Input, Limits, Lock, Protocol, Secret};

/// Decides who may publish and play. Share it in an `Arc`.
pub struct Admission {
    rules: Rules,
    hook: Option<Hook>,
    on_failure: OnFailure,
    is_configured: bool,
    keys: RwLock<Keys>,
    leases: Leases,
    players: AtomicU64,
}

/// Keys that came while the server runs.
#[derive(Default)]
struct Keys {
    by_stream: HashMap<StreamKey, Vec<HeldKey>>,
    streams: HashMap<String, StreamKey>,
}

/// A run-time key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its identifier.
    pub id: String,
    /// The stream it opens.
    pub stream: StreamKey,
    /// The input it is for.
    pub input: Input,
    /// What its bearer may send.
    pub limits: Limits,
}

impl Admission {
    /// Checks the settings and reads the files they name.
    ///
    /// # Errors
    /// All faults, as key within section `origin.admission` and a sentence that says what to do.
    pub fn new(config: Config) -> Result<Self, Vec<(String, String)>> {
        let mut faults = config.validate();
        if !faults.is_empty() {
            return Err(faults);
        }
        let rules = Rules::new(&config, &mut faults);
        let hook = config.hook.as_ref().and_then(|hook| Hook::new(hook, &mut faults));
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            rules,
            hook,
            on_failure: config.hook.as_ref().map_or(OnFailure::Deny, |hook| hook.on_failure),
            is_configured: config.is_configured(),
            keys: RwLock::default(),
            leases: Leases::default(),
            players: AtomicU64::new(0),
        })
    }

    /// Lets in or turns away. `now_s` is Unix time, for tokens, the hook's signature and its cache. Only the hook
    /// makes it wait, at most for the hook's deadline.
    ///
    /// # Errors
    /// [`Refusal`] says why and what to do.
    pub async fn decide(&self, ask: &Ask, now_s: u64) -> Result<Grant, Refusal> {
        let verdict = self.rules.judge(ask, self.read().held(&ask.stream), now_s);
        let ticket = match verdict {
            Verdict::Grant(ticket) => ticket,
            Verdict::Refuse(refusal) => return Err(refusal),
            Verdict::AskHook => {
                let answer = match &self.hook {
                    Some(hook) => hook.ask(ask, now_s).await,
                    None => Answer::Failed,
                };
                self.by_hook(answer, ask)?
            }
        };
        self.grant(ticket, ask)
    }

    /// The passphrase that SRT publishers of the stream encrypt with.
    #[must_use]
    pub fn passphrase(&self, stream: &StreamKey) -> Option<Secret> {
        self.rules.passphrase(stream).cloned()
    }

    /// Whether publishers without credentials are turned away; see [`Config::is_configured`].
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// The password of a user of RTMP's `authmod=adobe`, who is asked before the stream is known: a run-time key of
    /// one of the application's streams by its id, or a key of a rule for the whole application (`live/*`) by its
    /// input. Whoever proves to know it asks with it as key.
    #[must_use]
    pub fn adobe_password(&self, app: &str, user: &str) -> Option<Secret> {
        let keys = self.read();
        let held = keys.streams.get(user).filter(|stream| stream.app() == app);
        let held = held.and_then(|stream| keys.held(stream).iter().find(|held| held.id == user));
        held.and_then(|held| held.lock.key()).or_else(|| self.rules.password(app, user)).cloned()
    }

    /// Adds a key, or replaces the one with this id. From then on the stream asks for a key, whatever the policy.
    pub fn add_key(&self, stream: StreamKey, id: &str, lock: impl Into<Lock>, input: Input, limits: Limits) {
        let lock = lock.into();
        let mut keys = self.write();
        keys.remove(id);
        keys.streams.insert(id.to_owned(), stream.clone());
        keys.by_stream.entry(stream).or_default().push(HeldKey { id: id.to_owned(), lock, input, limits });
    }

    /// Whether a run-time key is there.
    #[must_use]
    pub fn has_key(&self, id: &str) -> bool {
        self.read().streams.contains_key(id)
    }

    /// Forgets a key; false if there was none. It is the caller's to see off who came in by it.
    pub fn remove_key(&self, id: &str) -> bool {
        self.write().remove(id)
    }

    /// The run-time keys without their secrets, in no particular order.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyInfo> {
        let keys = self.read();
        let infos = keys.by_stream.iter().flat_map(|(stream, held)| {
            held.iter().map(|held| KeyInfo {
                id: held.id.clone(),
                stream: stream.clone(),
                input: held.input,
                limits: held.limits,
            })
        });
        infos.collect()
    }

    fn by_hook(&self, answer: Answer, ask: &Ask) -> Result<Ticket, Refusal> {
        let name = named(&ask.stream);
        match answer {
            Answer::Allow { input, limits } => {
                let ticket = Ticket::new("hook", input.or(ask.input));
                Ok(self.rules.limited(ticket.limited(limits, || format!("hook {}", ask.stream)), ask))
            }
            Answer::Deny(text) => {
                let text = text.filter(|text| !text.trim().is_empty());
                let text = text.unwrap_or_else(|| format!("{name} was refused: check key and name"));
                Err(Refusal::new(RefusalKind::HookDenied, &text))
            }
            Answer::Failed if self.on_failure == OnFailure::Allow => {
                self.rules.judge_failure(ask, self.read().held(&ask.stream))
            }
            Answer::Failed => {
                let text = format!("{name} could not be checked: try again; the server's log says why");
                Err(Refusal::new(RefusalKind::HookFailed, &text))
            }
        }
    }

    fn grant(&self, ticket: Ticket, ask: &Ask) -> Result<Grant, Refusal> {
        let Ticket { by, key, input, limits, expires_at_s, quotas } = ticket;
        let is_publish = ask.action == Action::Publish;
        // Publishers of one input take turns at one place; every player has its own.
        let (kind, place) = if is_publish {
            ("publish", format!("{} {}", ask.stream, input.name()))
        } else {
            ("play", self.players.fetch_add(1, Ordering::Relaxed).to_string())
        };
        let quotas = quotas.into_iter().map(|q| Quota { name: format!("{kind} {}", q.name), ..q }).collect();
        let lease = self.leases.take(quotas, &place).map_err(|full| {
            let text = format!(
                "{}: {} already there and no more allowed: stop one, or raise concurrent",
                named(&ask.stream),
                full.max
            );
            Refusal::new(RefusalKind::TooMany, &text)
        })?;
        let is_srt = is_publish && ask.protocol == Protocol::Srt;
        let passphrase_required = is_srt && self.rules.passphrase(&ask.stream).is_some();
        Ok(Grant { input, limits, passphrase_required, by, key, expires_at_s, lease })
    }

    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn held(&self, stream: &StreamKey) -> &[HeldKey] {
        self.by_stream.get(stream).map_or(&[], Vec::as_slice)
    }

    fn remove(&mut self, id: &str) -> bool {
        let Some(stream) = self.streams.remove(id) else { return false };
        if let Some(held) = self.by_stream.get_mut(&stream) {
            held.retain(|held| held.id != id);
            if held.is_empty() {
                self.by_stream.remove(&stream);
            }
        }
        true
    }
}
