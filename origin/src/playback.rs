//! Gives out playback tokens and takes them back.

use nx_access::{Claims, Match, Part, RevokeError, What};
use nx_contract::desired::Fault;
use nx_contract::playback::{MadeToken, NewToken, Playback, Revocation, Revoke, Revoked};
use nx_delivery::wall_s;
use nx_hls::Rfc3339;
use nx_media::StreamPattern;

use crate::hub::Hub;

/// Longest name of a subject, bytes.
const SUBJECT_BYTES_MAX: usize = 256;

impl Playback for Hub {
    fn asks_for_token(&self, path: &str) -> bool {
        nx_access::stream_of(path).is_some_and(|stream| self.gate.guards(&stream))
    }

    fn make_token(&self, wish: &NewToken) -> Result<MadeToken, Fault> {
        StreamPattern::new(&wish.stream).map_err(|e| Fault::Invalid(format!("stream: {e}")))?;
        if wish.lasts_s == 0 {
            return Err(Fault::Invalid("lasts_s: must be at least 1".into()));
        }
        if wish.subject.as_ref().is_some_and(|s| s.is_empty() || s.len() > SUBJECT_BYTES_MAX) {
            return Err(Fault::Invalid(format!("subject: must have 1 to {SUBJECT_BYTES_MAX} bytes")));
        }
        let networks = wish.networks.iter().map(|text| nx_access::network(text));
        let networks = networks.collect::<Result<_, _>>();
        let now_s = wall_s();
        let claims = Claims {
            subject: wish.subject.clone(),
            expires_s: now_s.saturating_add(wish.lasts_s.into()),
            issued_s: Some(now_s),
            id: nx_access::random(16).map_err(Fault::Storage)?,
            networks: networks.map_err(|e| Fault::Invalid(format!("networks: {e}")))?,
            places: vec![(Part::Path, Match::Prefix(nx_access::below(&wish.stream)))],
            ..Claims::default()
        };
        let token = self.gate.make(claims.clone()).ok_or_else(|| {
            Fault::Conflict(
                "playback.keys_file has no key that can make tokens; make them where it is".into(),
            )
        })?;
        Ok(MadeToken { id: claims.id_text(), expires_at: at(claims.expires_s), token })
    }

    fn revoke(&self, wish: Revocation) -> Result<Revoked, Fault> {
        let what = match wish.what {
            Revoke::Token(id) => What::Token(id),
            Revoke::Subject(subject) => What::Subject(subject),
            Revoke::Stream(stream) => What::Stream(stream),
            Revoke::Everything(true) => What::Everything,
            Revoke::Everything(false) => return Err(Fault::Invalid("everything: must be true".into())),
        };
        if let Some(why) = what.fault() {
            return Err(Fault::Invalid(format!("it {why}")));
        }
        let now_s = wall_s();
        let until_s = wish.lasts_s.map(|lasts_s| now_s.saturating_add(lasts_s.into()));
        let done = self.gate.revoke_until(what, until_s, now_s).map_err(|error| match error {
            RevokeError::Full => Fault::Full(error.to_string()),
            RevokeError::Disk(_) => Fault::Storage(error.to_string()),
        })?;
        tracing::info!(seq = done.seq, "playback tokens are taken back");
        Ok(told(done))
    }

    fn revoked(&self, after: u64, limit: usize) -> Vec<Revoked> {
        let name = self.gate.revocations("", 0, 0).log;
        let page = self.gate.revocations(&name, after, limit);
        page.items.into_iter().filter(|item| item.seq > after).map(told).collect()
    }
}

fn told(done: nx_access::Revocation) -> Revoked {
    let what = match done.what {
        What::Token(id) => Revoke::Token(id),
        What::Subject(subject) => Revoke::Subject(subject),
        What::Stream(stream) => Revoke::Stream(stream),
        What::Everything => Revoke::Everything(true),
    };
    Revoked { seq: done.seq, what, before: at(done.before_s) }
}

fn at(unix_s: i64) -> String {
    Rfc3339(unix_s.saturating_mul(1000)).to_string()
}
