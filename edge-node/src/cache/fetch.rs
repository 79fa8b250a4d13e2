//! One fetch: from disk or an origin into a fill, and from there into memory and onto disk.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use nx_cache::{
    Coding, Failure, Fill, Head, Key, Life, Object, Room, Source, Standing, Terms, Verdict, judge,
};
use nx_delivery::{http_date, wall_ms};

use super::upstream::{Answer, Upstream, cause};
use super::{CDN_LOOP, Cache};

/// How long a fetch goes on that nobody reads, milliseconds: who left may come back.
const DESERTED_MS: i64 = 30_000;
/// What is fresh for less is not worth a file, unless it has proved to last; milliseconds.
const DISK_FRESH_MS: i64 = 10_000;
/// A file is written anew when its times are out of date by that much, milliseconds.
const DISK_STALE_MS: i64 = 3_600_000;
/// A client may ask with these for a part of what is for it alone.
const FOR_ONE: [HeaderName; 4] =
    [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
/// Fields that are of one connection, of the origin's own face, or ours to say (RFC 9110 §7.6.1).
const NOT_PASSED: [&str; 22] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authentication-info",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "accept-ranges",
    "age",
    "set-cookie",
    "set-cookie2",
    "alt-svc",
    "strict-transport-security",
    "x-request-id",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "timing-allow-origin",
    "clear-site-data",
];

/// See the module.
pub(super) struct Fetch {
    pub(super) cache: Arc<Cache>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) key: Key,
    pub(super) fill: Arc<Fill>,
    /// What there was under this name, stale.
    pub(super) old: Option<Arc<Object>>,
    /// Of the request to the origin.
    pub(super) headers: HeaderMap,
    /// Whether it is for all, or for one asker.
    pub(super) shared: bool,
}

/// What an origin is told; of a viewer nothing but what part he wants, if the answer is his alone.
pub(super) fn headers(coding: Coding, loops: &str, asker: Option<&HeaderMap>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding.token()));
    headers.insert(header::VIA, HeaderValue::from_static("1.1 nexus"));
    if let Ok(loops) = HeaderValue::from_str(loops) {
        headers.insert(CDN_LOOP, loops);
    }
    let fields = asker.into_iter().flat_map(|asker| FOR_ONE.iter().map(move |name| (name, asker.get(name))));
    for (name, value) in fields {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    headers
}

impl Fetch {
    /// Fetches, and then ends.
    pub(super) async fn run(mut self) {
        self.cache.counters.fetches.add(1);
        if let Err(failure) = self.fetch().await {
            let (upstream, path) = (&self.upstream.name, self.key.target());
            match failure {
                // Nobody reads any more.
                Failure::Slow => {}
                // Of origins that are gone the log says it once.
                Failure::Down(_) => self.cache.counters.broken.add(1),
                _ => {
                    tracing::info!(upstream, path, %failure, "a fetch failed");
                    self.cache.counters.broken.add(1);
                }
            }
            self.fill.fail(failure);
        }
    }

    async fn fetch(&mut self) -> Result<(), Failure> {
        if self.shared && self.old.is_none() && self.read_disk().await {
            return Ok(());
        }
        let answer = self.ask(self.shared).await;
        let failed = match &answer {
            Ok(answer) => answer.response.status().is_server_error(),
            Err(_) => true,
        };
        if failed && self.rescue() {
            return Ok(());
        }
        let answer = answer?;
        if answer.response.status() != StatusCode::NOT_MODIFIED || !self.shared {
            return self.take(answer).await;
        }
        if self.checked(&answer) {
            return Ok(());
        }
        // It speaks of something else than what there is.
        self.old = None;
        let answer = self.ask(false).await?;
        if answer.response.status() == StatusCode::NOT_MODIFIED {
            return Err(Failure::Bad("it says 304 to who has nothing".into()));
        }
        self.take(answer).await
    }

    /// Serves what is on disk if that is fresh; what is stale becomes what there was.
    async fn read_disk(&mut self) -> bool {
        let Some(disk) = self.cache.disk.clone() else { return false };
        let key = self.key.clone();
        let read = tokio::task::spawn_blocking(move || disk.read(&key)).await;
        let Some(object) = read.ok().flatten().map(Arc::new) else { return false };
        self.cache.counters.disk_hits.add(1);
        let fresh = object.head.life.standing(wall_ms()) == Standing::Fresh;
        if fresh {
            self.keep(&object, false);
            self.fill.complete_with(&object);
        }
        self.old = Some(object);
        fresh
    }

    async fn ask(&self, conditional: bool) -> Result<Answer, Failure> {
        let mut headers = self.headers.clone();
        let old = self.old.as_ref().filter(|_| conditional).map(|old| &old.head.headers);
        for (validator, condition) in
            [(header::ETAG, header::IF_NONE_MATCH), (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE)]
        {
            if let Some(value) = old.and_then(|old| old.get(validator)) {
                headers.insert(condition, value.clone());
            }
        }
        self.upstream.ask(&self.cache.client, self.key.target(), &headers).await
    }

    /// Serves what is stale in place of an answer that did not come, where that is allowed.
    fn rescue(&self) -> bool {
        let Some(old) = self.old.as_ref().filter(|old| old.head.life.may_rescue(wall_ms())) else {
            return false;
        };
        let head = Head { from: Source::Rescue, ..old.head.clone() };
        self.cache.counters.rescued.add(1);
        // What came from disk is found in memory the next time, and still asked for first.
        self.keep(old, false);
        self.fill.complete_with(&Object { head, body: old.body.clone() });
        true
    }

    /// What there was is still right, if the answer speaks of it (RFC 9111 §4.3.4).
    fn checked(&self, answer: &Answer) -> bool {
        let Some(old) = &self.old else { return false };
        let (now, fresh) = (wall_ms(), passed_on(answer.response.headers()));
        let (had, has) = (old.head.headers.get(header::ETAG), fresh.get(header::ETAG));
        if has.is_some() && has != had {
            return false;
        }
        let mut headers = old.head.headers.clone();
        for name in fresh.keys() {
            headers.remove(name);
        }
        headers.extend(fresh.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut judged = headers.clone();
        if let Some(age) = answer.response.headers().get(header::AGE) {
            judged.insert(header::AGE, age.clone());
        }
        let verdict = judge(old.head.status, &judged, answer.asked_ms, now, &self.terms());
        let life =
            if let Verdict::Keep(life) = verdict { life } else { Life { born_ms: now, ..Life::default() } };
        let head = Head { headers, life, from: Source::Checked, ..old.head.clone() };
        let object = Arc::new(Object { head, body: old.body.clone() });
        self.cache.counters.checked.add(1);
        if matches!(verdict, Verdict::Keep(_)) {
            // It lasts, however short it is fresh: worth a file, if there is none of about the same age.
            let written = self.cache.disk.as_ref().and_then(|disk| disk.born_ms(&self.key));
            let current = |born: i64| life.born_ms.saturating_sub(born) < DISK_STALE_MS;
            self.keep(&object, old.head.status.is_success() && !written.is_some_and(current));
        }
        self.fill.complete_with(&object);
        true
    }

    /// Carries an answer's body into the fill.
    async fn take(&self, answer: Answer) -> Result<(), Failure> {
        let Answer { asked_ms, mut response } = answer;
        let (status, now) = (response.status(), wall_ms());
        let verdict = judge(status, response.headers(), asked_ms, now, &self.terms());
        let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let told = response.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let length = if bodiless { Some(0) } else { told.and_then(|v| v.parse().ok()) };
        // What ends with its connection may have been cut off: nobody can tell.
        let endless = length.is_none() && !response.headers().contains_key(header::TRANSFER_ENCODING);
        let foreign = response
            .headers()
            .get(header::CONTENT_ENCODING)
            .is_some_and(|c| c != self.key.coding().token() && c != Coding::Identity.token());
        let (mut life, mut keep) = (Life { born_ms: now, ..Life::default() }, false);
        let mut alone = !self.shared;
        match verdict {
            Verdict::Keep(found) => (life, keep) = (found, true),
            Verdict::Share => {}
            Verdict::Pass(_) => alone = true,
        }
        if endless || foreign {
            (keep, alone) = (false, true);
        }
        let mut headers = passed_on(response.headers());
        if !headers.contains_key(header::DATE)
            && let Ok(date) = HeaderValue::from_str(&http_date(now))
        {
            headers.insert(header::DATE, date);
        }
        self.fill.open(Head { status, headers, length, life, alone, from: Source::Origin });
        let kept_max = self.cache.bounds(&self.upstream).kept_max;
        let large = |bytes: u64| bytes > kept_max;
        let (mut deserted_ms, mut left, mut taken) = (None, false, 0);
        loop {
            if self.shared && !left && !self.fill.is_shared() {
                left = true;
                self.leave();
                if alone || length.is_some_and(large) || large(taken) {
                    // Later askers fetch for themselves, all at once and not one after the other.
                    self.cache.alone.insert(self.key.clone(), now);
                }
            }
            if poll_fn(|cx| self.fill.poll_room(cx)).await == Room::Deserted {
                return Err(Failure::Slow);
            }
            let Some(bytes) = self.next(&mut response).await? else { break };
            self.cache.counters.fetched_bytes.add(bytes.len() as u64);
            taken += bytes.len() as u64;
            self.fill.append(bytes)?;
            let since = if self.fill.is_deserted() { deserted_ms.or(Some(wall_ms())) } else { None };
            deserted_ms = since;
            if since.is_some_and(|since| wall_ms().saturating_sub(since) > DESERTED_MS) {
                return Err(Failure::Slow);
            }
        }
        // The name is freed when it is in memory: whoever comes then finds the one or the other.
        if let Some(object) = self.fill.complete()?.filter(|_| keep) {
            let worth = life.fresh_ms >= DISK_FRESH_MS && status.is_success();
            self.keep(&object, worth);
        }
        Ok(())
    }

    fn terms(&self) -> Terms {
        self.upstream.terms(self.key.target(), &self.cache.terms)
    }

    async fn next(&self, response: &mut reqwest::Response) -> Result<Option<bytes::Bytes>, Failure> {
        let timeout: Duration = self.upstream.timeout;
        match tokio::time::timeout(timeout, response.chunk()).await {
            Ok(chunk) => chunk.map_err(|e| Failure::Bad(cause(&e))),
            Err(_) => Err(Failure::Late(format!("silent for {} ms", timeout.as_millis()).into())),
        }
    }

    /// Keeps what was fetched in memory, and on disk too, unless it was purged meanwhile.
    fn keep(&self, object: &Arc<Object>, on_disk: bool) {
        let fills = self.cache.fills();
        if fills.get(&self.key).is_some_and(|fill| Arc::ptr_eq(fill, &self.fill)) {
            self.cache.ram.keep(self.key.clone(), object.clone());
            if let Some(disk) = self.cache.disk.as_ref().filter(|_| on_disk) {
                disk.keep(self.key.clone(), object.clone());
            }
        }
    }

    /// Frees the name, if it is still this fetch's.
    fn leave(&self) {
        let mut fills = self.cache.fills();
        if fills.get(&self.key).is_some_and(|fill| Arc::ptr_eq(fill, &self.fill)) {
            fills.remove(&self.key);
        }
    }
}

/// However a fetch ends, its readers learn of it and its name is free for another.
impl Drop for Fetch {
    fn drop(&mut self) {
        self.fill.fail(Failure::Bad("the fetch was given up".into()));
        self.leave();
    }
}

/// The fields that go on to viewers.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|v| v.split(',')).map(|n| n.trim().to_ascii_lowercase()).collect();
    let passes = |name: &str| !NOT_PASSED.contains(&name) && !named.iter().any(|n| n == name);
    let kept = headers.iter().filter(|(name, _)| passes(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
