//! Tests of the whole crate: tables for what the rules decide, a real socket for the hook.

mod asks;
mod config;
mod hook;
mod peer;
mod rules;
mod runtime;
mod token;

use nx_media::StreamKey;

use crate::{Action, Admission, Ask, Config, Grant, Protocol, Refusal, RefusalKind, Secret};

/// When the tests take place.
const NOW_S: u64 = 1_000;

fn key(text: &str) -> StreamKey {
    let (app, name) = text.split_once('/').unwrap();
    StreamKey::new(app, name).unwrap()
}

fn parsed(toml: &str) -> Config {
    toml::from_str(toml).unwrap()
}

fn admission(toml: &str) -> Admission {
    Admission::new(parsed(toml)).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// A publisher by RTMP of `live/show` at 192.0.2.7, with what the query says.
fn ask(query: &str) -> Ask {
    let peer = "192.0.2.7".parse().unwrap();
    Ask::from_query(key("live/show"), Action::Publish, Protocol::Rtmp, peer, query, "")
}

fn of(stream: &str, query: &str) -> Ask {
    Ask { stream: key(stream), ..ask(query) }
}

async fn decide(admission: &Admission, ask: &Ask) -> Result<Grant, Refusal> {
    let outcome = admission.decide(ask, NOW_S).await;
    if let Err(refusal) = &outcome {
        assert!(refusal.text.chars().count() <= 200, "{}", refusal.text);
        // Short ones may stand in a word.
        let secrets = [&ask.key, &ask.token].into_iter().flatten();
        for secret in secrets.filter(|secret| secret.reveal().len() > 6) {
            assert!(!format!("{refusal:?} {refusal}").contains(secret.reveal()), "{refusal:?}");
        }
    }
    outcome
}

/// What let it in, or why not.
async fn by(admission: &Admission, ask: &Ask) -> Result<&'static str, RefusalKind> {
    decide(admission, ask).await.map(|grant| grant.by).map_err(|refusal| refusal.kind)
}

/// A file that is gone with its test.
struct TempFile(std::path::PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nx-admission-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
