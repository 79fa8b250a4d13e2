//! Decides by keys, tokens, addresses and policy: everything but the hook. No I/O, no clock.

use nx_media::{StreamKey, StreamPattern};

use crate::answer::{Refusal, RefusalKind, Ticket, named};
use crate::config::{Config, Policy, StreamRule};
use crate::token::Verifier;
use crate::validate::{Fault, resolve, wrong_key, wrong_passphrase};
use crate::{Action, Ask, Input, Limits, Lock, Network, Protocol, Secret};

/// The settings, ready for use.
pub(crate) struct Rules {
    publish: Policy,
    play: Policy,
    allow: Vec<Network>,
    /// The most telling first.
    streams: Vec<Rule>,
    tokens: Option<Verifier>,
    hook_publish: bool,
    hook_play: bool,
}

struct Rule {
    pattern: StreamPattern,
    name: String,
    keys: Vec<(Secret, Option<Input>)>,
    passphrase: Option<Secret>,
    allow: Vec<Network>,
    limits: Limits,
}

/// A key that came while the server runs.
#[derive(Debug, Clone)]
pub(crate) struct HeldKey {
    pub(crate) id: String,
    pub(crate) lock: Lock,
    pub(crate) input: Input,
    pub(crate) limits: Limits,
}

/// What the rules say.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Let in.
    Grant(Ticket),
    /// Turned away.
    Refuse(Refusal),
    /// The hook decides.
    AskHook,
}

impl Rules {
    /// Takes valid settings and reads the files they name.
    pub(crate) fn new(config: &Config, faults: &mut Vec<Fault>) -> Self {
        let mut streams: Vec<_> = config
            .streams
            .iter()
            .enumerate()
            .filter_map(|(at, rule)| Rule::new(rule, &format!("streams.{at}"), faults))
            .collect();
        streams.sort_by_key(|rule| std::cmp::Reverse(rule.pattern.rank()));
        Self {
            publish: config.publish_policy(),
            play: config.play.unwrap_or(Policy::Open),
            allow: config.allow.clone(),
            streams,
            tokens: config.tokens.as_ref().and_then(|tokens| Verifier::new(tokens, faults)),
            hook_publish: config.hook.is_some(),
            hook_play: config.hook.as_ref().is_some_and(|hook| hook.play),
        }
    }

    /// Address, then key, then token, then hook, then policy. `held` are the stream's keys from run time.
    pub(crate) fn judge(&self, ask: &Ask, held: &[HeldKey], now_s: u64) -> Verdict {
        let rule = self.rule(&ask.stream);
        let by_credential = self.address(ask, rule).and_then(|()| self.credential(ask, rule, held, now_s));
        let verdict = match by_credential {
            Ok(Some(ticket)) => Ok(ticket),
            // A hook that lets everybody in that it does not know would open channels.
            Ok(None) if self.asks_hook(ask) => return Verdict::AskHook,
            Ok(None) => self.without_credential(ask, rule, held),
            Err(refusal) => Err(refusal),
        };
        verdict.map_or_else(Verdict::Refuse, |ticket| Verdict::Grant(self.limited(ticket, ask)))
    }

    /// What holds when the hook failed and the settings let everybody in then: streams with keys stay shut.
    pub(crate) fn judge_failure(&self, ask: &Ask, held: &[HeldKey]) -> Result<Ticket, Refusal> {
        let rule = self.rule(&ask.stream);
        if ask.action == Action::Publish && is_guarded(rule, held) {
            return self.without_credential(ask, rule, held).map(|ticket| self.limited(ticket, ask));
        }
        Ok(self.limited(Ticket::new("hook", ask.input), ask))
    }

    /// Adds the limits of the stream's rule, which hold for publishers.
    pub(crate) fn limited(&self, ticket: Ticket, ask: &Ask) -> Ticket {
        match self.rule(&ask.stream) {
            Some(rule) if ask.action == Action::Publish => {
                ticket.limited(rule.limits, || format!("rule {}", rule.name))
            }
            _ => ticket,
        }
    }

    pub(crate) fn passphrase(&self, stream: &StreamKey) -> Option<&Secret> {
        self.rule(stream)?.passphrase.as_ref()
    }

    /// The key that a user of an application has, where the stream is not known yet: of rules for all its streams.
    pub(crate) fn password(&self, app: &str, user: &str) -> Option<&Secret> {
        let rule = self.streams.iter().find(|rule| rule.pattern.covers(app))?;
        let named = rule.keys.iter().find(|(_, input)| input.is_some_and(|input| input.name() == user));
        named.map(|(key, _)| key)
    }

    fn rule(&self, stream: &StreamKey) -> Option<&Rule> {
        self.streams.iter().find(|rule| rule.pattern.matches(stream))
    }

    fn asks_hook(&self, ask: &Ask) -> bool {
        match ask.action {
            Action::Publish => self.hook_publish && !ask.stream.is_channel(),
            Action::Play => self.hook_play,
        }
    }

    fn address(&self, ask: &Ask, rule: Option<&Rule>) -> Result<(), Refusal> {
        let within =
            |list: &[Network]| list.is_empty() || list.iter().any(|network| network.contains(ask.peer));
        if ask.action == Action::Play || (within(&self.allow) && rule.is_none_or(|rule| within(&rule.allow)))
        {
            return Ok(());
        }
        let list = if within(&self.allow) { "the stream's allow list" } else { "origin.admission.allow" };
        let (name, peer) = (named(&ask.stream), ask.peer.to_canonical());
        let text = format!("{name} may not be published from {peer}: add the address to {list}");
        Err(Refusal::new(RefusalKind::Address, &text))
    }

    /// Lets in by key or token. `None` when there was none that means something here.
    fn credential(
        &self,
        ask: &Ask,
        rule: Option<&Rule>,
        held: &[HeldKey],
        now_s: u64,
    ) -> Result<Option<Ticket>, Refusal> {
        if let Some(key) = &ask.key
            && asks_for_key(ask, rule, held)
        {
            return match matching(key, ask, rule, held) {
                Some(ticket) => Ok(Some(ticket)),
                None => {
                    let name = named(&ask.stream);
                    let text =
                        format!("the key is not one of {name}: check it for typing errors and for its end");
                    Err(Refusal::new(RefusalKind::WrongKey, &text))
                }
            };
        }
        match (&ask.token, &self.tokens) {
            (Some(token), Some(tokens)) => tokens.check(token.reveal(), ask, now_s).map(Some),
            _ => Ok(None),
        }
    }

    fn without_credential(
        &self,
        ask: &Ask,
        rule: Option<&Rule>,
        held: &[HeldKey],
    ) -> Result<Ticket, Refusal> {
        let name = named(&ask.stream);
        if ask.action == Action::Play {
            if self.play == Policy::Open {
                return Ok(Ticket::new("open", ask.input));
            }
            let text =
                format!("{name} asks players for a credential: add ?token=… or ?key=… to the stream name");
            return Err(Refusal::new(RefusalKind::NoCredential, &text));
        }
        if ask.protocol == Protocol::Pull {
            return Ok(Ticket::new("pull", ask.input));
        }
        // Of a channel nobody learns whether it has keys, or is there at all.
        if asks_for_key(ask, rule, held) {
            let text = format!("{name} asks for a key: add ?key=… to the stream name");
            return Err(Refusal::new(RefusalKind::NoCredential, &text));
        }
        if is_guarded(rule, held) {
            if ask.protocol == Protocol::Srt {
                return Ok(Ticket::new("passphrase", ask.input));
            }
            let text =
                format!("{name} takes SRT with its passphrase only: publish by SRT, or add keys to its rule");
            return Err(Refusal::new(RefusalKind::NotAllowed, &text));
        }
        if self.publish == Policy::Open {
            return Ok(Ticket::new("open", ask.input));
        }
        let (kind, text) = match (&self.tokens, &ask.token) {
            (Some(_), _) => (RefusalKind::NoCredential, "asks for a token: add ?token=… to the stream name"),
            (None, Some(_)) => {
                (RefusalKind::BadToken, "came with a token, which is not checked here: use its key")
            }
            (None, None) => (
                RefusalKind::NotAllowed,
                "may not be published: check the name, or add it to origin.admission.streams",
            ),
        };
        Err(Refusal::new(kind, &format!("{name} {text}")))
    }
}

impl Rule {
    fn new(config: &StreamRule, place: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut keys = Vec::new();
        for (at, entry) in config.keys.iter().enumerate() {
            let place = format!("{place}.keys.{at}.key_file");
            let key = resolve(entry.key.as_ref(), entry.key_file.as_deref(), &place, wrong_key, faults);
            keys.extend(key.map(|key| (key, entry.input)));
        }
        let passphrase = resolve(
            config.passphrase.as_ref(),
            config.passphrase_file.as_deref(),
            &format!("{place}.passphrase_file"),
            wrong_passphrase,
            faults,
        );
        Some(Self {
            pattern: StreamPattern::new(&config.name).ok()?,
            name: config.name.clone(),
            keys,
            passphrase,
            allow: config.allow.clone(),
            limits: config.limits,
        })
    }
}

fn has_keys(rule: Option<&Rule>, held: &[HeldKey]) -> bool {
    !held.is_empty() || rule.is_some_and(|rule| !rule.keys.is_empty())
}

fn asks_for_key(ask: &Ask, rule: Option<&Rule>, held: &[HeldKey]) -> bool {
    has_keys(rule, held) || ask.stream.is_channel()
}

fn is_guarded(rule: Option<&Rule>, held: &[HeldKey]) -> bool {
    has_keys(rule, held) || rule.is_some_and(|rule| rule.passphrase.is_some())
}

/// The ticket that a key gives. All keys are compared, whichever fits. Where one key stands for both inputs, the
/// peer's wish decides; otherwise the key does.
fn matching(key: &Secret, ask: &Ask, rule: Option<&Rule>, held: &[HeldKey]) -> Option<Ticket> {
    let configured =
        rule.into_iter().flat_map(|rule| &rule.keys).map(|(own, input)| (own == key, *input, None));
    let runtime = held.iter().map(|held| (held.lock.fits(key), Some(held.input), Some(held)));
    let fits: Vec<_> = configured.chain(runtime).filter(|(fits, ..)| *fits).collect();
    let wished = fits.iter().find(|(_, input, _)| *input == ask.input || input.is_none());
    let (_, input, held) = wished.or(fits.first())?;
    let ticket = Ticket::new("key", input.or(ask.input));
    Some(match held {
        Some(held) => Ticket { key: Some(held.id.clone()), ..ticket }
            .limited(held.limits, || format!("key {}", held.id)),
        None => ticket,
    })
}
