//! Signed tokens: JSON Web Tokens (RFC 7519), checked by one algorithm that the settings choose, never the token.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use nx_media::StreamPattern;
use serde::Deserialize;

use crate::answer::{Refusal, RefusalKind, Ticket, named};
use crate::config::TokenConfig;
use crate::validate::{Fault, resolve, wrong_nothing, wrong_token_secret};
use crate::{Action, Ask, Input, Limits, Network};

/// How far clocks may be apart where a token is not valid yet (`nbf`). Seconds.
const SKEW_S: u64 = 60;
/// Longest token. Bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Checks tokens.
pub(crate) struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

/// What a token says.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    act: Action,
    /// RFC 7519 section 2 allows fractions.
    exp: f64,
    nbf: Option<f64>,
    ip: Option<Network>,
    input: Option<Input>,
    #[serde(default)]
    limits: Limits,
}

impl Verifier {
    /// Reads the key; what is wrong is noted.
    pub(crate) fn new(config: &TokenConfig, faults: &mut Vec<Fault>) -> Option<Self> {
        let (key, algorithm) = match &config.public_key_file {
            None => {
                let (secret, file) = (config.secret.as_ref(), config.secret_file.as_deref());
                let secret = resolve(secret, file, "tokens.secret_file", wrong_token_secret, faults)?;
                (DecodingKey::from_secret(secret.reveal().as_bytes()), Algorithm::HS256)
            }
            Some(file) => {
                let place = "tokens.public_key_file";
                let pem = resolve(None, Some(file), place, wrong_nothing, faults)?;
                let pem = pem.reveal().as_bytes();
                let ed = DecodingKey::from_ed_pem(pem).map(|key| (key, Algorithm::EdDSA));
                let key = ed.or_else(|_| DecodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256)));
                let Ok(key) = key else {
                    let text =
                        format!("{}: holds no public key of Ed25519 or RSA in PEM form", file.display());
                    faults.push((place.into(), text));
                    return None;
                };
                key
            }
        };
        let mut validation = Validation::new(algorithm);
        // Times are compared here, with the caller's clock.
        validation.validate_exp = false;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &config.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Some(Self { key, validation })
    }

    /// Lets in by the token, or says what is wrong with it.
    pub(crate) fn check(&self, token: &str, ask: &Ask, now_s: u64) -> Result<Ticket, Refusal> {
        let bad =
            |text: &str| Refusal::new(RefusalKind::BadToken, &format!("{}: {text}", named(&ask.stream)));
        if token.len() > TOKEN_BYTES_MAX {
            return Err(bad("the token is too long; ask for a new one"));
        }
        let claims = decode::<Claims>(token, &self.key, &self.validation);
        let claims = claims.map_err(|error| bad(&explained(error.kind())))?.claims;
        let end_s = whole(claims.exp);
        if now_s >= end_s {
            let text = format!("{}: the token has expired; ask for a new one", named(&ask.stream));
            return Err(Refusal::new(RefusalKind::ExpiredToken, &text));
        }
        if claims.nbf.is_some_and(|begin| whole(begin) > now_s.saturating_add(SKEW_S)) {
            return Err(bad("the token is not valid yet; check the clock of the machine that made it"));
        }
        if claims.act != ask.action {
            return Err(bad(
                "the token is for something else; its claim act must be publish or play as wanted",
            ));
        }
        if !StreamPattern::new(&claims.sub).is_ok_and(|pattern| pattern.matches(&ask.stream)) {
            return Err(bad("the token is for another stream; use the one made for this name"));
        }
        if claims.ip.is_some_and(|network| !network.contains(ask.peer)) {
            return Err(bad("the token is for another address; ask for one for yours"));
        }
        let mut ticket = Ticket::new("token", claims.input.or(ask.input));
        ticket.expires_at_s = Some(end_s);
        Ok(ticket.limited(claims.limits, || format!("token {}", claims.sub)))
    }
}

/// Whole seconds; what is below 0 is 0.
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

fn explained(error: &ErrorKind) -> String {
    let text = match error {
        ErrorKind::InvalidSignature => "the token's signature is wrong; it was made with another key",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            "the token's algorithm is not the one set here"
        }
        ErrorKind::InvalidIssuer => "the token's issuer (iss) is not the one set here",
        ErrorKind::InvalidAudience => "the token's audience (aud) is not the one set here",
        ErrorKind::MissingRequiredClaim(claim) => return format!("the token lacks the claim {claim}"),
        _ => "the token cannot be read; it needs the claims sub, act and exp, and is pasted whole",
    };
    text.to_owned()
}
