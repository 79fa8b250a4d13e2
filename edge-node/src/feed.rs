//! What other nodes have taken back: asked for at origins, which answer when there is more, and kept on disk, so that a node
//! that starts while an origin is away knows what it knew.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use nx_access::{Gate, List, Page, REVOCATIONS};
use reqwest::Client;
use tokio::sync::watch;

/// How long an origin may hold a question: longer than it waits for something new.
const PATIENCE: Duration = Duration::from_secs(25);
/// Pause after a question that went wrong.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest answer, bytes.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// Asks every origin that is named, showing `token`, until `stop` turns true. What they say is kept in `data`.
///
/// # Errors
/// In words, with what to do: TLS cannot be set up, what is kept cannot be read.
pub(crate) fn start(
    gate: &Arc<Gate>,
    (origins, token): (&[String], Option<&HeaderValue>),
    data: &Path,
    stop: &watch::Receiver<bool>,
) -> Result<(), String> {
    if origins.is_empty() {
        return Ok(());
    }
    let client = crate::cache::client()?;
    for base in origins {
        let base = base.trim_end_matches('/').to_owned();
        let named: String = base.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let number = crc32fast::hash(base.as_bytes());
        let file = data.join(format!("revocations-of-{named}-{number:08x}.json"));
        let kept = read(&file)?;
        if let Some(page) = &kept {
            gate.learn(page);
            gate.heard();
        }
        let known = kept.is_some();
        let mut list = List::default();
        list.follow(kept.unwrap_or_default());
        let token = token.cloned();
        let feed = Feed { base, client: client.clone(), gate: gate.clone(), token, file, list, known };
        tokio::spawn(feed.run(stop.clone()));
    }
    Ok(())
}

struct Feed {
    base: String,
    client: Client,
    gate: Arc<Gate>,
    token: Option<HeaderValue>,
    file: PathBuf,
    list: List,
    /// It has been heard, now or by an earlier process.
    known: bool,
}

impl Feed {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut good = true;
        loop {
            let answer = tokio::select! {
                () = nx_delivery::stopped(&mut stop) => return,
                answer = self.ask() => answer,
            };
            match answer {
                Ok(page) => {
                    let other = !self.list.name().is_empty() && self.list.name() != page.log;
                    self.take(page).await;
                    if other {
                        // Several may answer in turn under one address.
                        tokio::time::sleep(PAUSE).await;
                    }
                    if !std::mem::replace(&mut good, true) {
                        tracing::info!(origin = self.base, "it is known again what is taken back");
                    }
                }
                Err(error) => {
                    if std::mem::replace(&mut good, false) {
                        tracing::warn!(
                            origin = self.base,
                            error,
                            "not known what is taken back from now on; asked again"
                        );
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes over what is said; then keeps it.
    async fn take(&mut self, page: Page) {
        let news = !self.known || !page.items.is_empty();
        self.gate.learn(&page);
        self.list.follow(page);
        if !std::mem::replace(&mut self.known, true) {
            self.gate.heard();
        }
        if news {
            let (all, file) = (self.list.since("", 0, usize::MAX), self.file.clone());
            let kept = tokio::task::spawn_blocking(move || keep(&file, &all)).await;
            if let Ok(Err(error)) = kept {
                tracing::error!(%error, "what is taken back cannot be kept; the next process has to ask");
            }
        }
    }

    async fn ask(&self) -> Result<Page, String> {
        let Page { log, newest, .. } = self.list.since("", 0, 0);
        let address = format!("{}{REVOCATIONS}?log={log}&since={newest}", self.base);
        let mut request = self.client.get(address).timeout(PATIENCE);
        if let Some(token) = &self.token {
            request = request.header(nx_access::HEADER, token);
        }
        let mut response = request.send().await.map_err(|e| e.to_string())?;
        if !response.status().is_success() {
            let status = response.status();
            return Err(format!("it answers {status}; playback.node_token_file is what it asks for"));
        }
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|e| e.to_string())? {
            if body.len() + bytes.len() > PAGE_BYTES_MAX {
                return Err("its list is too long".into());
            }
            body.extend_from_slice(&bytes);
        }
        serde_json::from_slice(&body).map_err(|e| e.to_string())
    }
}

/// What an earlier process was told, if it was.
fn read(file: &Path) -> Result<Option<Page>, String> {
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let page = serde_json::from_slice(&text);
    page.map(Some).map_err(|e| format!("{}: {e}; remove it to have it asked for anew", file.display()))
}

fn keep(file: &Path, page: &Page) -> std::io::Result<()> {
    let new = file.with_extension("new");
    // Names of viewers are in it.
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    out.write_all(&serde_json::to_vec(page).map_err(std::io::Error::other)?)?;
    out.sync_all()?;
    fs::rename(&new, file)
}
