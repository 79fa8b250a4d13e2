//! An event on its way.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

/// An event on its way, with what the way needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The service that tells it.
    pub source: String,
    /// Differs for every event of a source.
    pub id: String,
    /// What has happened: `cos.DOMAIN.ENTITY.FACT.v1`.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Its number among those about the subject.
    pub number: i64,
    /// The event (CloudEvents 1.0 in JSON).
    pub body: String,
}

/// What of an event the way needs to know.
#[derive(Deserialize)]
struct Envelope {
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    sequence: i64,
}

impl Letter {
    /// Reads what a broker has handed over. What is no event becomes a letter too, of nobody, about nothing: it will be laid
    /// aside where others are that a service makes no sense of.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        // No store keeps NUL in a text.
        let body = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
        let clean =
            |e: &Envelope| ![&e.id, &e.source, &e.kind, &e.subject].iter().any(|text| text.contains('\0'));
        match serde_json::from_str::<Envelope>(&body).ok().filter(clean) {
            Some(Envelope { id, source, kind, subject, sequence }) => {
                let source = source.strip_prefix("/services/").unwrap_or(&source).to_owned();
                Self { source, id, kind, subject, number: sequence, body }
            }
            None => {
                let mut hash = DefaultHasher::new();
                bytes.hash(&mut hash);
                let id = format!("{:016x}", hash.finish());
                let (source, kind, subject) = Default::default();
                Self { source, id, kind, subject, number: 0, body }
            }
        }
    }
}
