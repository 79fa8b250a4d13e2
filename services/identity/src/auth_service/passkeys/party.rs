//! Where passkeys hold: the relying party, as the specification calls it.

use nx_chassis::Problem;
use nx_contract::identity::Config;
use webauthn_rs::prelude::{Url, WebauthnError};
use webauthn_rs::{Webauthn, WebauthnBuilder};

/// One for the process.
pub(in super::super) struct Party {
    pub(super) webauthn: Webauthn,
    origin: String,
}

impl Party {
    /// # Panics
    /// With settings that were not checked.
    pub(in super::super) fn new(config: &Config) -> Self {
        let site = config.site().expect("settings are checked before anything starts");
        let origin = Url::parse(&site.origin).expect("a site has an origin");
        let webauthn = WebauthnBuilder::new(&site.name, &origin)
            .map(|builder| builder.rp_name("Nexus COS").allow_any_port(site.any_port))
            .and_then(WebauthnBuilder::build)
            .expect("a site has the name of its origin");
        Self { webauthn, origin: site.origin }
    }

    /// Where a browser can make and show passkeys.
    pub(in super::super) fn origin(&self) -> &str {
        &self.origin
    }

    /// What is said of an answer that does not hold; but for where it was given nothing of why.
    pub(super) fn refusal(&self, error: &WebauthnError) -> Problem {
        let text = match error {
            WebauthnError::InvalidRPOrigin | WebauthnError::InvalidRPIDHash => {
                format!("passkeys are good at {} alone: open that", self.origin)
            }
            WebauthnError::UserNotVerified => {
                "the device was not unlocked for it: passkeys need a screen lock, a finger or a PIN".into()
            }
            _ => "this passkey is not good here".into(),
        };
        tracing::debug!(%error, "a passkey was refused");
        Problem::unauthorized(text)
    }
}
