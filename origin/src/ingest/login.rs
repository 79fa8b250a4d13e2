//! RTMP log-in with user and password, as Adobe's encoders do it: three connections, one after the other.

use std::collections::VecDeque;
use std::sync::Mutex;

use nx_admission::Secret;
use nx_rtmp::auth::{Challenge, FAILED, NEED_USER, Response, SECRET_LEN, user};

use crate::hub::{Hub, lock};

/// Challenges that wait for their answer; beyond, the oldest is forgotten.
const WAITING_MAX: usize = 256;
/// How long an answer may take; milliseconds.
const PATIENCE_MS: i64 = 60_000;

/// Challenges given out.
#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<VecDeque<(i64, Challenge)>>);

/// Where a log-in stands.
pub(crate) enum Step {
    /// The user and password are right; the password is also the stream key.
    In(Secret),
    /// Refuse with this text; the client comes again.
    Again(String),
    /// Refuse with this text for good.
    Wrong(String),
}

/// Judges the query of a `connect` to an application that asks for a log-in.
pub(crate) fn step(hub: &Hub, app: &str, query: &str) -> Step {
    if let Some(response) = Response::parse(query) {
        let challenge = hub.logins.take(response.opaque(), hub.clock.ms());
        let password = hub.admission.adobe_password(app, response.user());
        return match challenge.zip(password) {
            Some((challenge, password)) if response.verify(password.reveal(), &challenge) => {
                Step::In(password)
            }
            _ => Step::Wrong(FAILED.into()),
        };
    }
    let Some(user) = user(query) else { return Step::Again(NEED_USER.into()) };
    let mut secrets = [[0; SECRET_LEN]; 2];
    for secret in &mut secrets {
        if getrandom::fill(secret).is_err() {
            return Step::Wrong("the server has no randomness for a log-in; try again".into());
        }
    }
    let [salt, challenge] = secrets;
    let challenge = Challenge::new(user, salt, challenge);
    let text = challenge.reject_text();
    hub.logins.keep(challenge, hub.clock.ms());
    Step::Again(text)
}

impl Logins {
    fn keep(&self, challenge: Challenge, now_ms: i64) {
        let mut waiting = lock(&self.0);
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back((now_ms, challenge));
    }

    /// Each is good once.
    fn take(&self, opaque: &str, now_ms: i64) -> Option<Challenge> {
        let mut waiting = lock(&self.0);
        waiting.retain(|(at, _)| now_ms - at < PATIENCE_MS);
        let at = waiting.iter().position(|(_, c)| c.opaque() == opaque)?;
        waiting.remove(at).map(|(_, challenge)| challenge)
    }
}
