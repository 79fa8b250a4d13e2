//! Asks as a player would, and as nobody else does, and shows every answer to the judge.

mod client;
mod stream;
mod twin;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use crate::Judge;
use crate::evidence::{Fetch, Role};
use crate::m3u8::{self, Kind, Multivariant};
use client::Client;

/// What the watcher says it is a page of.
pub(crate) const ORIGIN: &str = "https://doctor.invalid";
/// Media playlists that are followed at once; the rest is not asked for.
const RENDITIONS_MAX: usize = 16;
/// Answers waiting for the judge; tasks wait when it is full.
const QUEUE_MAX: usize = 16;

/// Why nothing could be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Not an address of HTTP.
    #[error("'{0}' is not an http or https address")]
    Address(String),
    /// The client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The address gave no playlist.
    #[error("{url}: {what}; is the stream running?")]
    Unreachable {
        /// The address.
        url: String,
        /// Status or failure.
        what: String,
    },
    /// A DASH manifest.
    #[error("{0} is a DASH manifest, not a playlist")]
    Manifest(String),
}

/// How to watch.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long.
    pub time: Duration,
    /// Accept any certificate.
    pub insecure: bool,
    /// The same playlist at another origin of the same encoder, to be compared with in the end.
    pub twin: Option<String>,
}

/// Watches `url` and shows what it sees to `judge`. `progress` is told the seconds left and the answers so far.
///
/// # Errors
/// [`WatchError`] when the address itself gives nothing to watch.
pub async fn watch(
    url: &str,
    options: Options,
    mut judge: Judge,
    mut progress: impl FnMut(u64, u64),
) -> Result<Judge, WatchError> {
    let address: Arc<str> = Arc::from(address_of(url)?.as_str());
    let twin = options.twin.as_deref().map(address_of).transpose()?;
    let client = Client::new(options.insecure)?;
    let first = client.get(&address, &address, Role::Playlist, &[]).await;
    if !first.is_good() {
        let what = first.failure.clone().unwrap_or_else(|| format!("status {}", first.status));
        return Err(WatchError::Unreachable { url: url.to_owned(), what });
    }
    if first.body.trim_ascii_start().starts_with(b"<") && first.body.windows(4).any(|w| w == b"<MPD") {
        return Err(WatchError::Manifest(url.to_owned()));
    }
    let until = Instant::now() + options.time;
    let (answers, mut seen) = mpsc::channel::<Fetch>(QUEUE_MAX);
    // Relative addresses are meant against where a redirection led.
    let base: Arc<str> = first.redirect.as_deref().map_or(Arc::clone(&address), Arc::from);
    let playlists = if m3u8::kind(&first.body) == Kind::Multivariant {
        let all = Multivariant::parse(&base, first.done_us, &first.body);
        judge.see(&Fetch { role: Role::Multivariant, url: Arc::clone(&base), ..first });
        judge.see(&client.get(&base, &base, Role::Compressed, &[("accept-encoding", "gzip")]).await);
        addresses(&all)
    } else {
        vec![Arc::clone(&base)]
    };
    for playlist in &playlists {
        tokio::spawn(stream::follow(client.clone(), Arc::clone(playlist), answers.clone(), until));
    }
    drop(answers);
    let mut count = 0;
    // A request that is held outlives the time, but not for long.
    let end = until + Duration::from_secs(2);
    while let Ok(Some(fetch)) = tokio::time::timeout_at(end, seen.recv()).await {
        judge.see(&fetch);
        count += 1;
        progress(until.saturating_duration_since(Instant::now()).as_secs(), count);
    }
    if let Some(twin) = twin {
        twin::compare(&client, (&base, twin.as_str()), &playlists, &mut judge).await;
    }
    Ok(judge)
}

fn address_of(url: &str) -> Result<reqwest::Url, WatchError> {
    let address = reqwest::Url::parse(url).ok().filter(|u| ["http", "https"].contains(&u.scheme()));
    address.ok_or_else(|| WatchError::Address(url.to_owned()))
}

/// Addresses of all media playlists, each once.
fn addresses(all: &Multivariant) -> Vec<Arc<str>> {
    let variants = all.variants.iter().map(|v| v.uri.value.as_str());
    let others = all.renditions.iter().chain(&all.i_frames).filter_map(|a| a.get("URI"));
    let mut found: Vec<Arc<str>> = Vec::new();
    for url in variants.chain(others).filter_map(|uri| all.text.resolve(uri)) {
        if found.len() < RENDITIONS_MAX && !found.iter().any(|f| **f == *url) {
            found.push(Arc::from(url));
        }
    }
    found
}
