//! What this service asks of the streaming core, and tells it.

use std::collections::HashSet;

use http::HeaderMap;
use nx_chassis::{Ctx, Job, Problem, REACHED};
use nx_contract::keys::{KeyLimits, OuterKey};
use nx_contract::playback::{Revocation, Revoke};
use nx_contract::sources::InputRole;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::store::{self, Untold};

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
    stream: Value,
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

/// The streams that somebody publishes.
pub(super) async fn on(cx: &Ctx) -> Result<HashSet<String>, Problem> {
    let (mut on, mut cursor) = (HashSet::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = streams(cx, &format!("limit=200{cursor}")).await?;
        let live = page.items.iter().filter(|item| item["state"] == "live");
        on.extend(live.filter_map(|item| item["key"].as_str().map(str::to_owned)));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    Ok(on)
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
pub(super) async fn make_token(cx: &Ctx, stream: &str, lasts_s: u32, subject: &str) -> Result<Made, Problem> {
    let wish = json!({"stream": stream, "lasts_s": lasts_s, "subject": subject});
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

/// Tells the core of all keys there are: it may have lost what it was told.
pub(super) async fn remind(cx: Ctx, _: Job) -> Result<(), Problem> {
    let mut after = String::new();
    loop {
        let keys = store::keys_after(&cx, &after).await?;
        let Some(last) = keys.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for key in &keys {
            tell_key(&cx, key).await?;
        }
    }
}

/// Tells what the core does not know yet: keys that came and went, tokens that hold no more. What was told twice was told
/// once; what fails is told again.
pub(super) async fn tell(cx: Ctx, _: Job) -> Result<(), Problem> {
    let mut failed = None;
    for key in store::untold_keys(&cx).await? {
        match tell_key(&cx, &key).await {
            Ok(()) => store::key_told(&cx, &key).await?,
            Err(problem) => failed = Some(problem),
        }
    }
    for token in store::untold_tokens(&cx).await? {
        let lasts_s = u32::try_from((token.ends_ms - cx.now_ms()).max(0) / 1000 + 1).unwrap_or(u32::MAX);
        let over = Revocation { what: Revoke::Token(token.token_id.clone()), lasts_s: Some(lasts_s) };
        match cx.call(CORE)?.post::<Value>("/v1/revocations", &token.token_id, &over).await {
            Ok(_) => store::token_told(&cx, &token.token_id).await?,
            Err(problem) => failed = Some(problem),
        }
    }
    store::forget(&cx).await?;
    failed.map_or(Ok(()), Err)
}
