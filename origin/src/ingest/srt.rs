//! SRT callers: who they are, what they may, and their link as a source of a transport stream.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use nx_admission::{Action, Ask, Protocol, RefusalKind};
use nx_contract::streams;
use nx_media::StreamKey;
use nx_srt::{Gate, Link, Listener, ListenerConfig, Mode, Passphrase, Reject, Request, StreamId};
use tokio::runtime::Handle;

use crate::claims::{Claim, Role};
use crate::hub::Hub;
use crate::ingest::input::{About, Wire};
use crate::ingest::shard::{Join, Shards};
use crate::ingest::ts_input::{TsInput, TsSource};
use crate::ingest::viewer::Viewer;
use crate::restream;

/// Takes callers on `address`; must be called within the runtime.
pub(crate) fn listen(hub: &Arc<Hub>, shards: &Shards, address: SocketAddr) -> io::Result<Listener> {
    let config = ListenerConfig {
        latency_ms: hub.config.srt.latency_ms,
        connections_max: hub.config.srt.connections_max,
        peer_idle_s: hub.config.rtmp.silence_s,
        ..ListenerConfig::default()
    };
    let door = Arc::new(Door { hub: hub.clone(), shards: shards.clone(), runtime: Handle::current() });
    Listener::bind(address, config, door)
}

struct Door {
    hub: Arc<Hub>,
    shards: Shards,
    runtime: Handle,
}

impl Gate for Door {
    fn admit(&self, request: Request) {
        let (hub, shards) = (self.hub.clone(), self.shards.clone());
        self.runtime.spawn(async move {
            let peer = request.peer.to_string();
            let stream_id = request.stream_id.clone();
            if let Err((code, text)) = attend(&hub, shards, request).await {
                hub.refuse(&peer, &name_in(&stream_id), &format!("{text} (SRT code {code})"));
            }
        });
    }

    fn refused(&self, peer: SocketAddr, stream_id: &str, reason: &str) {
        self.hub.refuse(&peer.to_string(), &name_in(stream_id), reason);
    }
}

/// What of a stream id is fit to be shown: the name, without keys and tokens.
fn name_in(stream_id: &str) -> String {
    StreamId::parse(stream_id).map(|id| id.resource).unwrap_or_default()
}

/// Decides; what is refused comes back with its code.
async fn attend(hub: &Arc<Hub>, shards: Shards, request: Request) -> Result<(), (i32, String)> {
    let Request { peer, stream_id, version, answer, .. } = request;
    let wish = wish(&stream_id, peer);
    let (key, ask) = match wish {
        Ok(wish) => wish,
        Err(text) => return refuse(answer, Reject::BadRequest, text),
    };
    let passphrase =
        match hub.admission.passphrase(&key).map(|p| Passphrase::try_from(p.reveal().to_owned())).transpose()
        {
            Ok(passphrase) => passphrase,
            Err(error) => {
                return refuse(answer, Reject::InternalError, format!("the stream's passphrase: {error}"));
            }
        };
    let refused = |refusal: nx_admission::Refusal| (code_of(refusal.kind), refusal.text);
    if ask.action == Action::Play {
        let viewer = match Viewer::enter(hub, &ask).await.map_err(refused) {
            Ok(viewer) => viewer,
            Err((code, text)) => return refuse(answer, code, text),
        };
        let Some(entry) = hub.entry(&key) else {
            return refuse(answer, Reject::NotFound, format!("nobody publishes {key}"));
        };
        if let Some(text) = hub.keys.refusal(&key) {
            return refuse(answer, Reject::Forbidden, text);
        }
        let (live, runtime) = (entry.live.clone(), Handle::current());
        tracing::info!(stream = %key, %peer, "playing over SRT");
        answer.accept(
            passphrase,
            Box::new(move |link| drop(runtime.spawn(restream::play_srt(live, link, viewer)))),
        );
        return Ok(());
    }
    let grant = match hub.admission.decide(&ask, crate::clock::unix_s()).await.map_err(refused) {
        Ok(grant) => grant,
        Err((code, text)) => return refuse(answer, code, text),
    };
    let claim = Claim::new(grant.key.clone(), hub.clock.ms());
    let role = Role::from(grant.input);
    let entry = match hub.take_name(&key, role, &claim).await {
        Ok(entry) => entry,
        Err(text) => return refuse(answer, Reject::Conflict, text),
    };
    let [major, minor, patch] = version;
    let client = format!("libsrt {major}.{minor}.{patch}");
    let peer = peer.to_string();
    let held = Held { hub: hub.clone(), key: key.clone(), claim: Some(claim) };
    let accepted = move |link: Link| {
        let Some(claim) = held.take() else { return };
        tracing::info!(
            stream = %key, stream_id = entry.id, session = claim.session, peer, client, protocol = "srt",
            input = role.name(), admitted_by = grant.by, "publishing"
        );
        let about = Box::new(About { role, protocol: Protocol::Srt.name(), peer, client, grant });
        let wire = Wire::Ts(Box::new(TsInput::new(Box::new(SrtSource(link)))));
        shards.join(Join::Input { key, entry, about, claim, wire });
    };
    answer.accept(passphrase, Box::new(accepted));
    Ok(())
}

fn refuse(answer: nx_srt::Answer, reject: Reject, text: String) -> Result<(), (i32, String)> {
    let code = reject.code();
    answer.reject(reject);
    Err((code, text))
}

fn code_of(kind: RefusalKind) -> Reject {
    match kind {
        RefusalKind::NoCredential
        | RefusalKind::WrongKey
        | RefusalKind::ExpiredToken
        | RefusalKind::BadToken => Reject::Unauthorized,
        RefusalKind::TooMany => Reject::Overload,
        _ => Reject::Forbidden,
    }
}

/// What the stream id asks for.
fn wish(stream_id: &str, peer: SocketAddr) -> Result<(StreamKey, Ask), String> {
    let id = StreamId::parse(stream_id).map_err(|error| error.to_string())?;
    let key = StreamKey::parse(id.resource.trim_matches('/')).map_err(|error| error.to_string())?;
    let action = match id.mode {
        Some(Mode::Request) => Action::Play,
        Some(Mode::Publish) | None => Action::Publish,
    };
    let mut ask = Ask::new(key.clone(), action, Protocol::Srt, peer.ip());
    if let Some(user) = &id.user {
        ask.set("user", user);
    }
    id.extra.iter().for_each(|(name, value)| ask.set(name, value));
    Ok((key, ask))
}

/// Lets go of a name when the caller never arrives: a wrong passphrase shows only after the name is taken.
struct Held {
    hub: Arc<Hub>,
    key: StreamKey,
    claim: Option<Arc<Claim>>,
}

impl Held {
    fn take(mut self) -> Option<Arc<Claim>> {
        self.claim.take()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(claim) = &self.claim {
            self.hub.let_go(&self.key, claim);
        }
    }
}

/// The receiving side of a link.
pub(crate) struct SrtSource(pub(crate) Link);

impl TsSource for SrtSource {
    fn drain(&mut self, out: &mut Vec<Bytes>, _max: usize) -> Result<(), String> {
        let closed = self.0.closed();
        // What came before the close is there after it.
        match (self.0.drain(out), closed) {
            (0, Some(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    fn link(&self) -> Option<streams::Link> {
        let stats = self.0.stats();
        Some(streams::Link {
            rtt_ms: f64::from(stats.rtt_us) / 1000.0,
            latency_ms: stats.latency_ms.into(),
            packets: stats.packets_received,
            lost: stats.packets_lost,
            retransmitted: stats.packets_retransmitted,
            dropped: stats.packets_dropped,
            buffered: stats.receive_buffer_packets.into(),
            buffered_ms: stats.receive_buffer_ms.into(),
            encryption: match stats.key_bytes {
                0 => "none".into(),
                bytes => format!("AES-{}", bytes * 8),
            },
        })
    }

    fn close(&mut self) {
        self.0.close();
    }
}
