//! Follows a DASH presentation as a player would, every representation at once, and shows all answers to the judge.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use crate::dash::{DashJudge, Key};
use crate::evidence::{Fetch, Role};
use crate::mpd::Segment;
use crate::report::Report;

/// Representations that are followed; the rest is not asked for.
const TRACKS_MAX: usize = 12;
/// Segments asked for of each representation at the start, and at most after each manifest.
const SEGMENTS_EACH_MAX: usize = 4;
/// Longest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Shortest time between two manifests, whatever the stream says.
const UPDATE_MIN: Duration = Duration::from_millis(200);
/// Sent with every request, as a page would.
const ORIGIN: &str = "https://doctor.invalid";

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// Watches the manifest at `url` for `time`, which began at `epoch_s` (seconds since 1970), and reports.
/// Gives the number of segments that were judged.
///
/// # Errors
/// [`ClientError`] when there is no TLS to be had. A stream that does not answer is a finding.
pub async fn dash_watch(
    url: &str,
    epoch_s: f64,
    time: Duration,
    insecure: bool,
    report: &mut Report,
) -> Result<u64, ClientError> {
    let builder = reqwest::Client::builder().timeout(ANSWER_MAX).tls_danger_accept_invalid_certs(insecure);
    let client = Client { http: builder.build()?, began: Instant::now() };
    let until = client.began + time;
    let mut judge = DashJudge::new(epoch_s);
    let mut next: BTreeMap<Key, u64> = BTreeMap::new();
    let mut count = 0;
    let mut url = url.to_owned();
    loop {
        let (manifest, _) = client.get(&url, &url, Role::Manifest).await;
        judge.take_manifest(&manifest, report);
        url = judge.manifest().and_then(|m| m.location.clone()).unwrap_or(url);
        let now_s = epoch_s + client.began.elapsed().as_secs_f64();
        let plan = plan(&judge, &mut next, now_s);
        for (key, url) in plan.inits {
            let (fetch, _) = client.get(&url, &manifest.url, Role::Init).await;
            judge.take_init(&key, &fetch, report);
        }
        let mut asked = JoinSet::new();
        for segments in plan.segments {
            let (client, playlist) = (client.clone(), Arc::clone(&manifest.url));
            asked.spawn(async move {
                let mut all = Vec::new();
                for segment in segments {
                    let role = Role::Segment { msn: segment.number };
                    let (fetch, arrivals) = client.get(&segment.url, &playlist, role).await;
                    all.push((segment, fetch, arrivals));
                }
                all
            });
        }
        while let Some(done) = asked.join_next().await {
            for (segment, fetch, arrivals) in done.unwrap_or_default() {
                judge.take_segment(&segment, &fetch, arrivals, report);
                count += 1;
            }
        }
        let dynamic = judge.manifest().is_some_and(|m| m.dynamic);
        let wait = judge.manifest().and_then(|m| m.update_s).unwrap_or(1.0).clamp(0.0, 10.0);
        let wake = Instant::now() + Duration::from_secs_f64(wait).max(UPDATE_MIN);
        if !dynamic || wake >= until {
            break;
        }
        tokio::time::sleep_until(wake).await;
    }
    judge.finish(report);
    Ok(count)
}

/// What to ask for after a manifest.
#[derive(Default)]
struct Plan {
    inits: Vec<(Key, String)>,
    /// Of each representation, in order.
    segments: Vec<Vec<Segment>>,
}

/// `next` holds the media time after the last segment asked for.
fn plan(judge: &DashJudge, next: &mut BTreeMap<Key, u64>, now_s: f64) -> Plan {
    let mut plan = Plan::default();
    let Some(mpd) = judge.manifest() else { return plan };
    for (period, _, representation) in mpd.representations() {
        let mut listed = mpd.segments(period, representation, now_s);
        let Some(newest) = listed.last() else { continue };
        let key = (newest.period.clone(), newest.representation.clone());
        if !next.contains_key(&key) {
            if next.len() == TRACKS_MAX {
                continue;
            }
            plan.inits.extend(mpd.initialization(representation).map(|url| (key.clone(), url)));
        }
        let from = next.get(&key).copied().unwrap_or(0);
        listed.retain(|s| s.t >= from && s.available_s <= now_s);
        let wanted = listed.split_off(listed.len().saturating_sub(SEGMENTS_EACH_MAX));
        let end = wanted.last().map_or(from, |s| s.t.saturating_add(s.d));
        next.insert(key, end);
        plan.segments.push(wanted);
    }
    plan
}

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    began: Instant,
}

impl Client {
    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// An answer, good or bad, and in how many pieces its body came.
    async fn get(&self, url: &str, playlist: &str, role: Role) -> (Fetch, u32) {
        let asked_us = self.now_us();
        let mut fetch = Fetch {
            url: Arc::from(url),
            playlist: Arc::from(playlist),
            role,
            asked_us,
            first_byte_us: asked_us,
            done_us: asked_us,
            status: 0,
            headers: vec![],
            body: Bytes::new(),
            cut: false,
            redirect: None,
            http2: false,
            failure: None,
        };
        let mut arrivals = 0;
        if let Err(error) = self.read(url, &mut fetch, &mut arrivals).await {
            fetch.failure = Some(error.to_string());
        }
        fetch.done_us = self.now_us();
        (fetch, arrivals)
    }

    async fn read(&self, url: &str, fetch: &mut Fetch, arrivals: &mut u32) -> Result<(), reqwest::Error> {
        let mut answer = self.http.get(url).header("origin", ORIGIN).send().await?;
        fetch.first_byte_us = self.now_us();
        fetch.status = answer.status().as_u16();
        fetch.http2 = answer.version() >= reqwest::Version::HTTP_2;
        fetch.redirect = Some(answer.url().to_string()).filter(|to| to != url);
        let text = |v: &reqwest::header::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        fetch.headers = answer.headers().iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await? {
            *arrivals += 1;
            if body.len() + piece.len() > BODY_BYTES_MAX {
                fetch.cut = true;
                break;
            }
            body.extend_from_slice(&piece);
        }
        fetch.body = body.freeze();
        Ok(())
    }
}
