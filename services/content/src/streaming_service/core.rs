//! What this service asks of the streaming core, and tells it.

use std::collections::{HashMap, HashSet};

use http::HeaderMap;
use nx_chassis::{Ctx, Job, Problem, REACHED, Time};
use nx_contract::keys::{KeyLimits, OuterKey};
use nx_contract::playback::{Revocation, Revoke};
use nx_contract::sources::InputRole;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::channels::Channel;
use super::store::{self, Untold};
use super::targets;

const CORE: &str = "streamcore";
/// What is told at most in one go; the rest in the next.
pub(super) const TOLD_MAX: i64 = 500;

/// Pages of the core's list that are read at most.
const PAGES_MAX: usize = 50;

/// How a channel stands in the core.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Standing {
    /// Where to publish, by protocol: `rtmp`, `rtmps`, `srt`.
    ingest: Value,
    /// What the core tells of the stream; `null` while nobody publishes it.
    pub(super) stream: Value,
}

/// A page of the core's list.
#[derive(Deserialize)]
struct Streams {
    items: Vec<Value>,
    next_cursor: Option<String>,
    server: Server,
    /// Where viewers go.
    viewers_url: String,
}

#[derive(Deserialize)]
struct Server {
    ingest: Value,
}

/// Addresses of a stream.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Urls {
    hls: String,
    dash: String,
    watch: String,
}

/// A token as the core makes it.
#[derive(Deserialize)]
pub(super) struct Made {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) urls: Urls,
}

impl Urls {
    /// The same under the name by which who asks has reached us, where the core only knows that it is this machine.
    pub(super) fn reached(self, headers: &HeaderMap) -> Self {
        let Self { hls, dash, watch } = self;
        let [hls, dash, watch] = [hls, dash, watch].map(|url| reached(&url, headers));
        Self { hls, dash, watch }
    }
}

/// An address with the name of this machine that the caller used in place of "any".
fn reached(url: &str, headers: &HeaderMap) -> String {
    let host = headers.get(REACHED).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    let name = if name.is_empty() || !name.bytes().all(sane) { "127.0.0.1" } else { name };
    url.replacen("//0.0.0.0:", &format!("//{name}:"), 1).replacen("//[::]:", &format!("//{name}:"), 1)
}

async fn streams(cx: &Ctx, query: &str) -> Result<Streams, Problem> {
    cx.call(CORE)?.get(&format!("/v1/streams?{query}")).await
}

/// How somebody publishes a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// When they came, Unix milliseconds.
    pub(super) since_ms: i64,
    /// How many watch.
    pub(super) viewers: i64,
}

impl Sent {
    /// What the core says of a stream, if somebody publishes it.
    fn of(item: &Value, now_ms: i64) -> Option<(String, Self)> {
        let since_ms = now_ms - item["uptime_ms"].as_i64().unwrap_or_default();
        let key = item["key"].as_str().filter(|_| item["state"] == "live")?;
        Some((key.to_owned(), Self { since_ms, viewers: viewers(item) }))
    }
}

/// How many watch a stream, in whatever way.
pub(super) fn viewers(item: &Value) -> i64 {
    item["viewers"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_i64()).sum()
}

/// The streams that somebody publishes.
pub(super) async fn sent(cx: &Ctx) -> Result<HashMap<String, Sent>, Problem> {
    let (mut sent, mut cursor) = (HashMap::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = streams(cx, &format!("limit=200{cursor}")).await?;
        sent.extend(page.items.iter().filter_map(|item| Sent::of(item, cx.now_ms())));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    Ok(sent)
}

/// Their names.
pub(super) async fn on(cx: &Ctx) -> Result<HashSet<String>, Problem> {
    Ok(sent(cx).await?.into_keys().collect())
}

/// Whether somebody publishes one.
pub(super) async fn is_on(cx: &Ctx, stream: &str) -> Result<bool, Problem> {
    Ok(streams(cx, &format!("stream={stream}")).await?.items.iter().any(|item| item["state"] == "live"))
}

/// How it stands with one.
pub(super) async fn standing(cx: &Ctx, stream: &str, headers: &HeaderMap) -> Result<Standing, Problem> {
    let page = streams(cx, &format!("stream={stream}")).await?;
    let mut ingest = page.server.ingest;
    for url in ingest.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        *url = reached(url.as_str().unwrap_or_default(), headers).into();
    }
    Ok(Standing { ingest, stream: page.items.into_iter().next().unwrap_or_default() })
}

/// Addresses of a stream that everybody watches.
pub(super) async fn open_urls(cx: &Ctx, stream: &str, headers: &HeaderMap) -> Result<Urls, Problem> {
    let edge = streams(cx, "limit=1").await?.viewers_url;
    let at = |rest: &str| format!("{edge}/{rest}");
    let urls = Urls {
        hls: at(&format!("{stream}/index.m3u8")),
        dash: at(&format!("{stream}/manifest.mpd")),
        watch: at(&format!("watch/{stream}")),
    };
    Ok(urls.reached(headers))
}

/// A token for somebody that opens a stream.
pub(super) async fn make_token(cx: &Ctx, channel: &Channel, subject: &str) -> Result<Made, Problem> {
    let Channel { stream, networks, token_s, .. } = channel;
    let wish = json!({"stream": stream, "lasts_s": token_s, "subject": subject, "networks": networks});
    cx.call(CORE)?.post("/v1/playback-tokens", &cx.new_id(), &wish).await
}

async fn tell_key(cx: &Ctx, key: &Untold) -> Result<(), Problem> {
    let path = format!("/v1/streams/{}/keys/{}", key.stream, key.id);
    if key.deleted {
        return cx.call(CORE)?.delete(&path).await;
    }
    let input = if key.backup { InputRole::Backup } else { InputRole::Primary };
    let outer = OuterKey { sha256: key.hash.clone(), input, limits: KeyLimits::default() };
    cx.call(CORE)?.put::<Value>(&path, &outer).await.map(drop)
}

/// A stretch that is to be kept.
#[derive(Serialize)]
pub(super) struct Cut<'a> {
    pub(super) stream: &'a str,
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) title: &'a str,
}

/// An asset.
#[derive(Deserialize)]
pub(super) struct Asset {
    pub(super) id: String,
    pub(super) hls_path: String,
    pub(super) dash_path: String,
    pub(super) mp4_path: String,
}

/// Keeps a stretch of a stream; the same `once` is the same asset.
pub(super) async fn cut(cx: &Ctx, cut: &Cut<'_>, once: &str) -> Result<Asset, Problem> {
    cx.call(CORE)?.post("/v1/cuts", once, cut).await
}

/// Keeps an asset no longer.
pub(super) async fn drop_asset(cx: &Ctx, id: &str) -> Result<(), Problem> {
    cx.call(CORE)?.delete(&format!("/v1/assets/{id}")).await
}

/// Where a stream is sent to, and how that goes.
pub(super) async fn targets(cx: &Ctx, stream: &str) -> Result<Vec<Value>, Problem> {
    let mut all: Value = cx.call(CORE)?.get(&format!("/v1/streams/{stream}/targets")).await?;
    Ok(all["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Has the core send to a target, or no more; what it calls it. What was told twice is one target. Of one that goes before the
/// core has said what it calls it, that is asked with a target that does not run.
async fn tell_target(cx: &Ctx, target: &targets::Untold) -> Result<String, Problem> {
    let all = format!("/v1/streams/{}/targets", target.stream);
    let id = match &target.core_id {
        Some(id) => id.clone(),
        None => {
            let url = target.url(cx)?;
            let wish = json!({"url": url, "enabled": !target.deleted, "public_only": !target.anywhere});
            let made: Value = cx.call(CORE)?.post(&all, &target.id, &wish).await?;
            let id = made["id"].as_str().ok_or_else(|| Problem::internal("a target without an id"))?;
            id.to_owned()
        }
    };
    if target.deleted {
        cx.call(CORE)?.delete(&format!("{all}/{id}")).await?;
    }
    Ok(id)
}

async fn tell_targets(cx: &Ctx) -> Result<(), Problem> {
    let mut failed = Ok(());
    for target in store::untold_targets(cx).await? {
        match tell_target(cx, &target).await {
            Ok(id) => store::target_told(cx, &target, &id).await?,
            Err(problem) if problem.status.is_client_error() => {
                store::target_refused(cx, &target, &problem.detail).await?;
            }
            Err(problem) => failed = Err(problem),
        }
    }
    failed
}

/// A marker that the core does not take, it never will.
async fn tell_markers(cx: &Ctx) -> Result<(), Problem> {
    let mut failed = Ok(());
    for marker in store::untold_markers(cx).await? {
        let path = format!("/v1/streams/{}/daterange", marker.stream);
        match cx.call(CORE)?.post::<Value>(&path, &marker.id, &marker.range()).await {
            Ok(_) => store::marker_told(cx, &marker.id, true).await?,
            Err(problem) if problem.status.is_client_error() => {
                store::marker_told(cx, &marker.id, false).await?;
            }
            Err(problem) => failed = Err(problem),
        }
    }
    failed
}

/// Tells the core of all keys there are, and of the targets that it does not list: it may have lost what it was told.
pub(super) async fn remind(cx: Ctx, _: Job) -> Result<(), Problem> {
    let mut after = String::new();
    loop {
        let keys = store::keys_after(&cx, &after).await?;
        let Some(last) = keys.last() else { break };
        after.clone_from(&last.id);
        for key in &keys {
            match tell_key(&cx, key).await {
                // One that an operator has deleted there stays so.
                Err(problem) if !problem.status.is_client_error() => return Err(problem),
                _ => {}
            }
        }
    }
    after.clear();
    loop {
        let told = store::targets_after(&cx, &after).await?;
        let Some(last) = told.last() else { break };
        after.clone_from(&last.id);
        for target in &told {
            let known = targets(&cx, &target.stream).await?;
            if !known.iter().any(|it| it["id"].as_str() == target.core_id.as_deref()) {
                store::target_forgotten(&cx, target).await?;
            }
        }
    }
    tell_targets(&cx).await
}

/// Tells what the core does not know yet: keys and targets that came and went, markers, tokens that hold no more. What was told
/// twice was told once; what fails is told again.
pub(super) async fn tell(cx: Ctx, _: Job) -> Result<(), Problem> {
    let mut failed = None;
    let tokens = store::untold_tokens(&cx).await?;
    let more = tokens.len() >= usize::try_from(TOLD_MAX).unwrap_or(usize::MAX);
    for key in store::untold_keys(&cx).await? {
        match tell_key(&cx, &key).await {
            Ok(()) => store::key_told(&cx, &key).await?,
            Err(problem) => failed = Some(problem),
        }
    }
    for token in tokens {
        let lasts_s = u32::try_from((token.ends_ms - cx.now_ms()).max(0) / 1000 + 1).unwrap_or(u32::MAX);
        let over = Revocation { what: Revoke::Token(token.token_id.clone()), lasts_s: Some(lasts_s) };
        match cx.call(CORE)?.post::<Value>("/v1/revocations", &token.token_id, &over).await {
            Ok(_) => store::token_told(&cx, &token.token_id).await?,
            Err(problem) => failed = Some(problem),
        }
    }
    let (marked, sent_on) = (tell_markers(&cx).await, tell_targets(&cx).await);
    store::forget(&cx).await?;
    if more && failed.is_none() {
        // Whoever is sent away waits for nobody.
        let mut tx = cx.begin();
        super::tell(&mut tx).await?;
        tx.commit().await?;
    }
    failed.map_or(Ok(()), Err).and(marked).and(sent_on)
}
