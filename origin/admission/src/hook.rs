//! The hook: a web service that is asked, by JSON over HTTP. The only part that does I/O.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use reqwest::redirect::Policy as Redirects;
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::ask::hex;
use crate::cache::{Cache, Id, Kept};
use crate::config::HookConfig;
use crate::validate::{Fault, resolve, wrong_nothing};
use crate::{Action, Ask, Input, Limits, Protocol, Secret};

/// Questions that may be open at a time.
const CALLS_MAX: usize = 256;
/// Answers that are kept.
const ANSWERS_MAX: usize = 10_000;
/// Largest answer. Bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long a refusal is kept at most, so that a mistake on the other side is soon put right. Seconds.
const DENY_CACHE_S_MAX: u64 = 5;
/// Header with time and signature.
const SIGNATURE: &str = "nexus-signature";

/// What came of asking.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Let in, perhaps with limits.
    Allow { input: Option<Input>, limits: Limits },
    /// Turned away, perhaps with a reason.
    Deny(Option<String>),
    /// No usable answer.
    Failed,
}

/// Asks, within a deadline, once for the same question.
pub(crate) struct Hook {
    client: Client,
    url: reqwest::Url,
    timeout: Duration,
    cache_s: u64,
    secret: Option<hmac::Key>,
    calls: Semaphore,
    answers: Cache<Answer>,
}

/// The question as it goes out.
#[derive(Serialize)]
struct Question<'a> {
    action: Action,
    protocol: Protocol,
    stream: &'a str,
    ip: IpAddr,
    client: &'a str,
    input: Option<Input>,
    user: Option<&'a str>,
    key: Option<&'a str>,
    token: Option<&'a str>,
}

/// The answer as it comes in; all of it may be missing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    input: Option<Input>,
    limits: Limits,
    text: Option<String>,
}

impl Hook {
    /// Takes valid settings; what is wrong with files and certificates is noted.
    pub(crate) fn new(config: &HookConfig, faults: &mut Vec<Fault>) -> Option<Self> {
        let (secret, file) = (config.secret.as_ref(), config.secret_file.as_deref());
        let secret = resolve(secret, file, "hook.secret_file", wrong_nothing, faults);
        let url = reqwest::Url::parse(&config.url).ok()?;
        // The environment has no say: neither proxies, nor redirects to where the secret must not go.
        let mut builder = Client::builder().no_proxy().redirect(Redirects::none()).user_agent("nexus");
        if url.scheme() == "http" {
            // Without TLS the machine needs no certificates, and may have none.
            builder = builder.tls_certs_only([]);
        }
        let client = match builder.build() {
            Ok(client) => client,
            Err(error) => {
                let text = format!("cannot be asked: {}; install ca-certificates", causes(&error));
                faults.push(("hook.url".into(), text));
                return None;
            }
        };
        Some(Self {
            client,
            url,
            timeout: Duration::from_millis(config.timeout_ms),
            cache_s: config.cache_s,
            secret: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes())),
            calls: Semaphore::new(CALLS_MAX),
            answers: Cache::new(ANSWERS_MAX),
        })
    }

    /// The answer, from the cache if it still holds, or from whoever asks the same just now.
    pub(crate) async fn ask(&self, ask: &Ask, now_s: u64) -> Answer {
        let Ok(body) = serde_json::to_string(&Question::new(ask)) else { return Answer::Failed };
        let mut id = Id::default();
        id.copy_from_slice(digest(&SHA256, body.as_bytes()).as_ref());
        let cell = self.answers.cell(id, now_s);
        let fresh = || async {
            let answer = self.call(ask, body, now_s).await;
            let holds_s = match answer {
                Answer::Allow { .. } => self.cache_s,
                Answer::Deny(_) => self.cache_s.min(DENY_CACHE_S_MAX),
                Answer::Failed => 0,
            };
            Kept { answer, from_s: now_s, until_s: now_s.saturating_add(holds_s) }
        };
        cell.get_or_init(fresh).await.answer.clone()
    }

    async fn call(&self, ask: &Ask, body: String, now_s: u64) -> Answer {
        let outcome = match self.calls.try_acquire() {
            Err(_) => Err(format!("{CALLS_MAX} questions are open already")),
            Ok(_place) => {
                let late = format!("no answer within {} ms", self.timeout.as_millis());
                tokio::time::timeout(self.timeout, self.post(body, now_s)).await.unwrap_or(Err(late))
            }
        };
        match outcome {
            Ok(Answer::Deny(text)) => Answer::Deny(text.map(|text| redacted(text, ask))),
            Ok(answer) => answer,
            Err(reason) => {
                tracing::warn!(stream = %ask.stream, peer = %ask.peer, reason, "the admission hook failed");
                Answer::Failed
            }
        }
    }

    async fn post(&self, body: String, now_s: u64) -> Result<Answer, String> {
        let mut request = self.client.post(self.url.clone()).header("content-type", "application/json");
        if let Some(key) = &self.secret {
            request = request.header(SIGNATURE, signature(key, now_s, &body));
        }
        let mut response = request.body(body).send().await.map_err(|e| causes(&e.without_url()))?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                // The status is the answer; the text is for courtesy.
                Ok(Answer::Deny(body_of(&mut response).await.ok().and_then(|body| body.text)))
            }
            status if status.is_success() => {
                let Body { input, limits, .. } = body_of(&mut response).await?;
                Ok(Answer::Allow { input, limits })
            }
            status => Err(format!("status {}; a hook answers 2xx, 401 or 403", status.as_u16())),
        }
    }
}

impl<'a> Question<'a> {
    fn new(ask: &'a Ask) -> Self {
        Self {
            action: ask.action,
            protocol: ask.protocol,
            stream: ask.stream.as_str(),
            ip: ask.peer.to_canonical(),
            client: &ask.client,
            input: ask.input,
            user: ask.user.as_deref(),
            key: ask.key.as_ref().map(Secret::reveal),
            token: ask.token.as_ref().map(Secret::reveal),
        }
    }
}

/// Reads the answer's body. One that is not JSON says nothing, such as `OK`; JSON must be understood, because
/// limits may stand in it.
async fn body_of(response: &mut Response) -> Result<Body, String> {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.split(';').next().unwrap_or_default().trim().ends_with("json");
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| causes(&e.without_url()))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    let text = bytes.trim_ascii();
    if text.is_empty() || !(is_json || text.starts_with(b"{")) {
        return Ok(Body::default());
    }
    serde_json::from_slice(text)
        .map_err(|e| format!("the answer is not understood at line {} column {}", e.line(), e.column()))
}

/// `t=UNIX,v1=HEX`: HMAC-SHA256 over `UNIX.BODY`.
fn signature(key: &hmac::Key, now_s: u64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{now_s}.{body}").as_bytes());
    format!("t={now_s},v1={}", hex(tag.as_ref()))
}

/// The hook's words without the credentials it was given.
fn redacted(text: String, ask: &Ask) -> String {
    let secrets = [&ask.key, &ask.token].into_iter().flatten().filter(|secret| !secret.is_empty());
    secrets.fold(text, |text, secret| text.replace(secret.reveal(), "***"))
}

/// An error with what caused it; reqwest's own text leaves that out.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
