//! Who plays over RTMP or SRT: what let them in, for as long as they stay.

use std::sync::Arc;
use std::time::Duration;

use nx_access::{Denial, Gate, Pass};
use nx_admission::{Ask, Grant, Refusal, RefusalKind};
use nx_delivery::wall_s;

use crate::clock::unix_s;
use crate::hub::Hub;

/// How often it is looked whether a token still holds.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A player that was let in.
pub(crate) struct Viewer {
    /// Where a playback token did: it may end.
    token: Option<(Arc<Gate>, Pass)>,
    _grant: Option<Grant>,
}

impl Viewer {
    /// Lets a player in, by a playback token where the stream asks for one, else by the rules of admission.
    pub(crate) async fn enter(hub: &Hub, ask: &Ask) -> Result<Self, Refusal> {
        let token = ask.token.as_ref().map(|token| token.reveal());
        let pass = hub.gate.play(&ask.stream, token, (ask.protocol.name(), ask.peer), wall_s());
        match pass.map_err(refused)? {
            Some(pass) => Ok(Self { token: Some((hub.gate.clone(), pass)), _grant: None }),
            None => Ok(Self { token: None, _grant: Some(hub.admission.decide(ask, unix_s()).await?) }),
        }
    }

    /// One of our own mixers: it needs no leave.
    pub(crate) fn own() -> Self {
        Self { token: None, _grant: None }
    }

    /// Returns when it may not go on.
    pub(crate) async fn ends(&self) {
        while self.may_stay() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it may go on.
    pub(crate) fn may_stay(&self) -> bool {
        self.token.as_ref().is_none_or(|(gate, pass)| gate.holds(pass, wall_s()))
    }
}

fn refused(denial: Denial) -> Refusal {
    let kind = match denial {
        Denial::Missing => RefusalKind::NoCredential,
        Denial::Expired => RefusalKind::ExpiredToken,
        _ => RefusalKind::BadToken,
    };
    let text = match denial {
        Denial::Missing => "the stream asks for a playback token: add ?token=… to its name".to_owned(),
        denial => denial.to_string(),
    };
    Refusal { kind, text }
}
