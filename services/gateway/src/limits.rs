//! How often somebody may ask: by address, by key and by user, in this process or in a Redis that several gateways share.

mod bucket;
mod shared;

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use nx_chassis::Secret;
use nx_delivery::{Problem, Response};
use serde::{Deserialize, Serialize};

use bucket::{Buckets, Verdict};
pub(crate) use bucket::{Name, Rate};
use shared::Shared;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Section `gateway.limits`: requests to `/api` within a minute; what is left out is not limited.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Of one address; of IPv6, the first 64 bits of it.
    pub address: Option<Rate>,
    /// With one key, good or bad: what comes as `Authorization`.
    pub key: Option<Rate>,
    /// Of one user.
    pub user: Option<Rate>,
    /// Redis as `redis://USER:PASSWORD@HOST:PORT`, where several gateways count together; by default each counts for itself.
    pub redis: Option<Secret>,
}

impl Config {
    pub(crate) fn validate(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for (name, rate) in self.rates() {
            if let Some(text) = rate.fault() {
                faults.push((name.to_owned(), text));
            }
        }
        if self.redis.as_ref().is_some_and(|url| !url.reveal().starts_with("redis://")) {
            faults.push(("redis".into(), "must be redis://USER:PASSWORD@HOST:PORT, or left out".into()));
        }
        faults
    }

    fn rates(&self) -> impl Iterator<Item = (&'static str, Rate)> {
        let all = [("address", self.address), ("key", self.key), ("user", self.user)];
        all.into_iter().filter_map(|(name, rate)| Some((name, rate?)))
    }
}

/// Who asks, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) user: Option<&'a str>,
}

/// The limits of a gateway.
pub(crate) struct Limits {
    config: Config,
    own: Buckets,
    shared: Option<Shared>,
}

/// How somebody stands with the limit that is nearest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    name: &'static str,
    rate: Rate,
    verdict: Verdict,
}

impl Limits {
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        let shared = config.redis.as_ref().map(|url| Shared::new(url.reveal())).transpose()?;
        Ok(Self { config, own: Buckets::default(), shared })
    }

    pub(crate) fn any(&self) -> bool {
        self.config.rates().next().is_some()
    }

    /// Whether Redis counts; `None` when it is not asked to.
    pub(crate) fn shared(&self) -> Option<bool> {
        self.shared.as_ref().map(Shared::is_up)
    }

    /// Counts a request. The limit that is nearest, or the one that is reached; `None` when nothing limits it.
    pub(crate) async fn count(&self, asker: Asker<'_>, now_ms: i64) -> Option<Standing> {
        let mut nearest: Option<Standing> = None;
        for (name, rate) in self.config.rates() {
            let Some(who) = who(name, asker) else { continue };
            let verdict = self.verdict(&who, rate, now_ms).await;
            let standing = Standing { name, rate, verdict };
            if !verdict.admitted {
                return Some(standing);
            }
            if nearest.is_none_or(|n| verdict.remaining < n.verdict.remaining) {
                nearest = Some(standing);
            }
        }
        nearest
    }

    /// While Redis is away each gateway counts for itself: more may pass than should, never nobody.
    async fn verdict(&self, who: &Name, rate: Rate, now_ms: i64) -> Verdict {
        if let Some(shared) = &self.shared
            && let Some(verdict) = shared.take(who, rate, now_ms).await
        {
            return verdict;
        }
        self.own.take(who, rate, now_ms)
    }
}

impl Standing {
    /// 429, when the limit is reached.
    pub(crate) fn refusal(&self) -> Option<Response> {
        if self.verdict.admitted {
            return None;
        }
        let text =
            format!("too many requests: this {} may send {} a minute", self.name, self.rate.per_minute);
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", text);
        let id = nx_delivery::random_id();
        let mut response = problem.retry_after(seconds(self.verdict.retry_ms)).response(&id);
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-request-id", id);
        }
        self.write(response.headers_mut());
        Some(response)
    }

    /// Says how the asker stands (draft-ietf-httpapi-ratelimit-headers-10).
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Self { name, rate, verdict } = self;
        let policy = format!("\"{name}\";q={};w=60", rate.per_minute);
        let limit = format!("\"{name}\";r={};t={}", verdict.remaining, seconds(verdict.full_ms));
        for (header, text) in [(POLICY, policy), (LIMIT, limit)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(header, value);
            }
        }
    }
}

/// Whole seconds, not too few.
fn seconds(ms: i64) -> u32 {
    u32::try_from((ms.max(0) + 999) / 1000).unwrap_or(u32::MAX)
}

/// The bucket that a request is counted in: a digest, so that what is kept is short and no secret.
fn who(limit: &str, asker: Asker<'_>) -> Option<Name> {
    let text = match limit {
        "address" => match asker.peer.ip().to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets()[..8].to_vec(),
        },
        "key" => asker.headers.get(header::AUTHORIZATION)?.as_bytes().to_vec(),
        _ => asker.user?.as_bytes().to_vec(),
    };
    let digest = digest(&SHA256, &[limit.as_bytes(), b"\n", &text].concat());
    digest.as_ref().first_chunk().copied()
}

#[cfg(test)]
mod tests;
