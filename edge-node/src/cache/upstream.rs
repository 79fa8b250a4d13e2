//! Where objects come from: the origins of a route, asked in turn over connections that are kept.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use nx_access::Gate;
use nx_cache::{Failure, Health, Query, Terms};
use nx_cdn_config::{Access, Limit, Network, PathPattern, Route, TokenPolicy};
use nx_delivery::wall_ms;
use reqwest::{Client, Response};
use tokio::sync::watch;

use super::config::{Prefetch, UpstreamConfig};

/// Longest time for a connection to an origin.
const CONNECT: Duration = Duration::from_secs(2);
/// Connections to one origin that are kept while nothing is asked.
const IDLE_MAX: usize = 64;
/// How long they are kept.
const IDLE: Duration = Duration::from_secs(30);
/// Pause between checks of an origin's health.
const CHECK: Duration = Duration::from_secs(2);
/// Longest head of an answer, bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// The client of all upstreams: HTTP/1.1, no redirects, no cookies, no proxies from the environment.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn client() -> Result<Client, String> {
    let builder = Client::builder()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_idle_timeout(IDLE);
    builder.build().map_err(|e| format!("the cache cannot ask upstreams: {e}"))
}

#[derive(Debug)]
pub(super) struct Origin {
    /// Without a slash at its end.
    base: String,
    /// What it is shown to give out what asks for a token.
    token: Option<HeaderValue>,
    health: Mutex<Health>,
}

impl Origin {
    fn new(base: &str, token: Option<HeaderValue>) -> Self {
        Self { base: base.to_owned(), token, health: Mutex::default() }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn shows_token(&self) -> bool {
        self.token.is_some()
    }

    fn good(&self) {
        if self.health().good() {
            tracing::info!(origin = self.base, "an origin answers again");
        }
    }

    /// `plain`: see [`Health::bad`].
    fn bad(&self, plain: bool, why: &str) {
        if self.health().bad(wall_ms(), plain) {
            tracing::warn!(origin = self.base, why, "an origin fails; it is asked again after a pause");
        }
    }
}

/// Which paths.
#[derive(Debug)]
enum Reach {
    /// `/vod` and what is below it.
    Below(String),
    /// As a network describes them.
    Pattern(PathPattern),
}

/// What a network says of a route beside where it leads.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// From where one may come.
    pub(crate) access: Option<Access>,
    /// How much one may ask.
    pub(crate) limit: Option<Limit>,
    /// One must have a token that this opens to.
    pub(crate) token: Option<Arc<Gate>>,
    /// On how many devices at a time.
    pub(crate) seats_max: Option<u32>,
    /// None of its origins is a node of ours.
    pub(crate) foreign: bool,
    /// How long answers are kept.
    lifetimes: Option<nx_cdn_config::Cache>,
}

/// One of `edge.upstream`, or a route of a network.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) rules: Rules,
    /// Which streams ask for a token.
    gate: Arc<Gate>,
    pub(super) name: String,
    pub(super) query: Query,
    pub(super) prefetch: Prefetch,
    pub(super) timeout: Duration,
    reach: Reach,
    hosts: Vec<String>,
    origins: Vec<Arc<Origin>>,
    check: Option<String>,
    spread: bool,
}

/// An answer's head, and what reads its body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) asked_ms: i64,
    pub(super) response: Response,
}

impl Upstream {
    fn new(config: &UpstreamConfig, (gate, token): (&Arc<Gate>, Option<&HeaderValue>)) -> Self {
        let token = token.filter(|_| config.ours);
        let origin = |base: &String| Arc::new(Origin::new(base.trim_end_matches('/'), token.cloned()));
        Self {
            rules: Rules::default(),
            gate: gate.clone(),
            name: config.name.clone(),
            query: config.query.clone().map_or(Query::All, Query::Named),
            prefetch: config.prefetch,
            timeout: Duration::from_millis(config.timeout_ms),
            reach: Reach::Below(config.path.clone()),
            hosts: config.hosts.iter().map(|h| h.to_ascii_lowercase()).collect(),
            origins: config.origins.iter().map(origin).collect(),
            check: config.health.clone(),
            spread: config.spread,
        }
    }

    /// Those of the configuration, the narrowest first.
    pub(super) fn all(
        configs: &[UpstreamConfig],
        shown: (&Arc<Gate>, Option<&HeaderValue>),
    ) -> Vec<Arc<Self>> {
        let mut configs: Vec<&UpstreamConfig> = configs.iter().collect();
        configs.sort_by_key(|config| std::cmp::Reverse((!config.hosts.is_empty(), config.path.len())));
        configs.into_iter().map(|config| Arc::new(Self::new(config, shown))).collect()
    }

    /// The routes of a network, the narrowest first. What is known of the health of origins stays from `before`. A
    /// route is named by host and path, so that what is kept for it outlives other changes. Nodes of ours are shown `token`.
    pub(super) fn of_network(
        network: &Network,
        before: &[Arc<Self>],
        (gate, token): (&Arc<Gate>, Option<&HeaderValue>),
    ) -> Vec<Arc<Self>> {
        let origin = |described: &nx_cdn_config::Origin| {
            let (base, token) = (described.http.to_string(), token.filter(|_| described.plane.is_some()));
            let mut known = before.iter().flat_map(|u| &u.origins);
            let known = known.find(|o| o.base == base && o.token.as_ref() == token).cloned();
            known.unwrap_or_else(|| Arc::new(Origin::new(&base, token.cloned())))
        };
        // Who was let in by a gate is watched as long as that is there.
        let opened = |policy: &TokenPolicy| {
            let (file, issuer) = (Path::new(&policy.keys), policy.issuer.as_deref());
            let mut before = before.iter().filter_map(|upstream| upstream.rules.token.as_ref());
            let known = before.find(|gate| gate.is_of(file, issuer)).cloned();
            known.unwrap_or_else(|| gate.whole(file.to_owned(), policy.issuer.clone()))
        };
        let gates: HashMap<&str, Arc<Gate>> =
            network.tokens.iter().map(|policy| (policy.name.as_str(), opened(policy))).collect();
        let one = |route: &Route| {
            let lifetimes = network.cache_of(route);
            let usual = UpstreamConfig::default();
            let origins = || network.origins_of(route);
            Arc::new(Self {
                rules: Rules {
                    access: network.access_of(route).cloned(),
                    limit: network.limit_of(route).cloned(),
                    token: route
                        .token
                        .as_ref()
                        .map(|name| gates.get(name.as_str()).cloned().unwrap_or_else(|| gate.shut())),
                    seats_max: network.token_of(route).and_then(|policy| policy.streams_max),
                    foreign: origins().all(|origin| origin.plane.is_none()),
                    lifetimes: Some(lifetimes.clone()),
                },
                gate: gate.clone(),
                name: route.title(),
                query: Query::Named(lifetimes.parameters().map(str::to_owned).collect()),
                prefetch: usual.prefetch,
                timeout: Duration::from_millis(usual.timeout_ms),
                reach: Reach::Pattern(route.path.clone()),
                hosts: route.host.iter().map(ToString::to_string).collect(),
                origins: origins().map(origin).collect(),
                check: None,
                spread: false,
            })
        };
        network.ranked().into_iter().map(one).collect()
    }

    /// What the operator says of answers for this target.
    pub(super) fn terms(&self, target: &str, usual: &Terms) -> Terms {
        let Some(rule) = &self.rules.lifetimes else { return *usual };
        let path = target.split('?').next().unwrap_or_default();
        let list = [".m3u8", ".mpd"].iter().any(|ending| path.ends_with(ending));
        let ms = |s: u32| i64::from(s) * 1000;
        Terms {
            rescue_ms: ms(rule.stale_if_error_s),
            spare_ms: ms(rule.stale_while_revalidate_s),
            fresh_ms: if list { rule.playlists_s } else { rule.media_s }.map(ms),
            not_there_ms: Some(ms(rule.negative_s)),
            ..*usual
        }
    }

    /// Largest object that is kept of it, if that is said; bytes.
    pub(super) fn kept_max(&self) -> Option<u64> {
        self.rules.lifetimes.as_ref().map(|rule| rule.object_bytes_max)
    }

    /// Whether it is asked for this path under this name. `/vod` is in front of `/vod/x`, not of `/vodka`.
    pub(super) fn takes(&self, host: &str, path: &str) -> bool {
        let reaches = match &self.reach {
            Reach::Below(top) => path
                .strip_prefix(top.as_str())
                .is_some_and(|rest| top.ends_with('/') || rest.is_empty() || rest.starts_with('/')),
            Reach::Pattern(pattern) => pattern.takes(path),
        };
        reaches && (self.hosts.is_empty() || self.hosts.iter().any(|h| h == host))
    }

    /// Whether live streams may have what it is asked for, before it is.
    pub(super) fn is_behind_live(&self) -> bool {
        match &self.reach {
            Reach::Below(top) => self.hosts.is_empty() && top == "/",
            Reach::Pattern(_) => !self.rules.foreign,
        }
    }

    /// How many of its origins may be asked now.
    pub(super) fn up(&self) -> usize {
        let now = wall_ms();
        self.origins.iter().filter(|o| o.health().is_up(now)).count()
    }

    #[cfg(test)]
    pub(super) fn origin(&self, nth: usize) -> &Arc<Origin> {
        &self.origins[nth]
    }

    /// How many it has.
    pub(super) fn origins(&self) -> usize {
        self.origins.len()
    }

    /// Asks one origin after the other until one answers. Only what has not answered at all, or with a server's error, is
    /// asked elsewhere; a body is never begun twice.
    pub(super) async fn ask(
        &self,
        client: &Client,
        target: &str,
        headers: &HeaderMap,
    ) -> Result<Answer, Failure> {
        let mut failure = Failure::Down("all of them have failed lately".into());
        let mut refused = None;
        for nth in self.order(target) {
            let Some(origin) = self.origins.get(nth).filter(|o| o.health().is_up(wall_ms())) else {
                continue;
            };
            match self.ask_one(client, origin, target, headers).await {
                Ok(answer) if answer.response.status().is_server_error() => refused = Some(answer),
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    tracing::debug!(upstream = self.name, origin = origin.base, %error, "origin failed");
                    failure = error;
                }
            }
        }
        refused.ok_or(failure)
    }

    /// Whether viewers are asked for a token before they get this.
    fn is_guarded(&self, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        // Who was sent away is told to nodes, not to whom they serve.
        if path == nx_access::REVOCATIONS {
            return false;
        }
        self.rules.token.is_some() || nx_access::stream_of(path).is_some_and(|key| self.gate.guards(&key))
    }

    fn order(&self, target: &str) -> Vec<usize> {
        if !self.spread {
            return (0..self.origins.len()).collect();
        }
        let names: Vec<&str> = self.origins.iter().map(|o| o.base.as_str()).collect();
        nx_cache::order(target, &names)
    }

    async fn ask_one(
        &self,
        client: &Client,
        origin: &Origin,
        target: &str,
        headers: &HeaderMap,
    ) -> Result<Answer, Failure> {
        let asked_ms = wall_ms();
        let mut headers = headers.clone();
        // What is open to all here is asked for as anybody would.
        if let Some(token) = origin.token.as_ref().filter(|_| self.is_guarded(target)) {
            headers.insert(nx_access::HEADER, token.clone());
        }
        let request = client.get(format!("{}{target}", origin.base)).headers(headers);
        let failure = match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(Ok(response)) => match sound(&response) {
                Ok(()) => {
                    origin.good();
                    return Ok(Answer { asked_ms, response });
                }
                Err(why) => Failure::Bad(why.into()),
            },
            Ok(Err(error)) if error.is_connect() => Failure::Down(cause(&error)),
            Ok(Err(error)) => Failure::Bad(cause(&error)),
            Err(_) => Failure::Late(format!("no answer within {} ms", self.timeout.as_millis()).into()),
        };
        origin.bad(matches!(failure, Failure::Down(_)), &failure.to_string());
        Err(failure)
    }

    /// Asks the origins how they are until `stop` turns true.
    pub(super) fn watch(
        self: Arc<Self>,
        client: Client,
        stop: watch::Receiver<bool>,
    ) -> Option<impl Future<Output = ()>> {
        let path = self.check.clone()?;
        Some(async move {
            let mut stop = stop;
            let rounds = async {
                let mut pause = tokio::time::interval(CHECK);
                loop {
                    pause.tick().await;
                    for origin in &self.origins {
                        let asked = client.get(format!("{}{path}", origin.base)).timeout(CHECK).send().await;
                        let good = asked.is_ok_and(|answer| answer.status() == StatusCode::OK);
                        if good { origin.good() } else { origin.bad(true, "its check of health failed") }
                    }
                }
            };
            tokio::select! {
                () = nx_delivery::stopped(&mut stop) => {}
                () = rounds => {}
            }
        })
    }
}

/// Whether all who read this head take the body for the same bytes, and it is no bomb.
fn sound(response: &Response) -> Result<(), &'static str> {
    let headers = response.headers();
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    if lengths > 1 || (lengths == 1 && headers.contains_key(header::TRANSFER_ENCODING)) {
        return Err("it says its length in two ways");
    }
    let coded: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    if coded.len() > 1 || coded.iter().any(|c| !c.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err("its only Transfer-Encoding may be chunked");
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > HEAD_BYTES_MAX {
        return Err("its head is longer than 32 KiB");
    }
    Ok(())
}

/// The innermost cause: the outer ones repeat the address.
pub(super) fn cause(error: &reqwest::Error) -> Arc<str> {
    let mut inner: &dyn std::error::Error = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_upstream_takes_a_request_and_no_other_host_its_path() {
        let gate = Gate::open(nx_access::Terms::default()).expect("a gate");
        let config = |name: &str, path: &str, hosts: &[&str]| UpstreamConfig {
            name: name.into(),
            path: path.into(),
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            ..Default::default()
        };
        let all = Upstream::all(
            &[
                config("all", "/", &[]),
                config("vod", "/vod", &[]),
                config("deep", "/vod/deep/", &[]),
                config("a", "/", &["A.example"]),
            ],
            (&gate, None),
        );
        for (host, path, want) in [
            ("x", "/other", "all"),
            ("x", "/vod", "vod"),
            ("x", "/vod/1", "vod"),
            ("x", "/vodka", "all"),
            ("x", "/vod/deep/1", "deep"),
            ("x", "/vod/deeper", "vod"),
            ("a.example", "/vod/1", "a"),
        ] {
            let found = all.iter().find(|u| u.takes(host, path)).map(|u| u.name.as_str());
            assert_eq!(found, Some(want), "{host}{path}");
        }
        let only = Upstream::all(&[config("a", "/", &["a.example"])], (&gate, None));
        assert!(!only[0].takes("b.example", "/"));
    }
}
