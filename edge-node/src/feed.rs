//! What other nodes have taken back: asked for at origins, which answer when there is more.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use nx_access::{Gate, Page};
use reqwest::Client;
use tokio::sync::watch;

use crate::start::Playback;

/// How long an origin may hold a question: longer than it waits for something new.
const PATIENCE: Duration = Duration::from_secs(25);
/// Pause after a question that went wrong.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest answer, bytes.
const PAGE_BYTES_MAX: usize = 32 << 20;

/// Asks every origin that is named, until `stop` turns true.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn start(playback: &Playback, stop: &watch::Receiver<bool>) -> Result<(), String> {
    if playback.revocations.is_empty() {
        return Ok(());
    }
    let client = crate::cache::client()?;
    for base in &playback.revocations {
        let feed = Feed {
            base: base.trim_end_matches('/').to_owned(),
            client: client.clone(),
            gate: playback.gate.clone(),
            token: playback.node_token.clone(),
        };
        tokio::spawn(feed.run(stop.clone()));
    }
    Ok(())
}

struct Feed {
    base: String,
    client: Client,
    gate: Arc<Gate>,
    token: Option<String>,
}

impl Feed {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut log, mut since, mut good) = (String::new(), 0, true);
        loop {
            let answer = tokio::select! {
                () = nx_delivery::stopped(&mut stop) => return,
                answer = self.ask(&log, since) => answer,
            };
            match answer {
                Ok(page) => {
                    self.gate.learn(&page);
                    if !std::mem::replace(&mut good, true) {
                        tracing::info!(origin = self.base, "it is known again what is taken back");
                    }
                    (log, since) = (page.log, page.newest);
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

    async fn ask(&self, log: &str, since: u64) -> Result<Page, String> {
        let address = format!("{}/revocations?log={log}&since={since}", self.base);
        let mut request = self.client.get(address).timeout(PATIENCE);
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(token).map_err(|e| e.to_string())?;
            value.set_sensitive(true);
            request = request.header(nx_access::HEADER, value);
        }
        let mut response = request.send().await.map_err(|e| e.to_string())?;
        if !response.status().is_success() {
            return Err(format!(
                "it answers {}; playback.node_token_file is what it asks for",
                response.status()
            ));
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
