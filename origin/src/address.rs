//! URLs of targets and sources: taken apart, and shown without their secrets.
//!
//! Not a general URL parser: a stream key may hold anything, and an SRT stream id has a `#` that begins no fragment.

use nx_admission::percent_decoded;
use nx_srt::KeyLength;

/// Longest URL, bytes.
const URL_BYTES_MAX: usize = 2_048;
/// What stands in a secret's place.
const MASK: &str = "***";
/// Shorter ones are not looked for in what servers say: they would be found in every word.
const SECRET_BYTES_MIN: usize = 4;

/// A URL that cannot be used. The messages never show the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("the URL has {0} bytes, at most {URL_BYTES_MAX} are taken: shorten it")]
    TooLong(usize),
    #[error("the URL holds a blank or control character: write it as %20 and the like")]
    Character,
    #[error("a URL of scheme {got} cannot be used here: begin it with {want}")]
    Scheme { got: String, want: &'static str },
    #[error("the URL names no host: write {0}")]
    Host(&'static str),
    #[error("the URL's port is missing or not 1 to 65535: write {0}")]
    Port(&'static str),
    #[error("the URL needs an application and a stream key: write rtmp://HOST/APP/KEY")]
    Path,
    #[error(
        "user and password in front of the host are not used with {0}: give what the server wants as the stream key or its query"
    )]
    User(&'static str),
    #[error("{name} is no parameter of such a URL: known are {known}")]
    Parameter { name: String, known: &'static str },
    #[error("parameter {name} {hint}")]
    Value { name: &'static str, hint: &'static str },
}

/// Where a stream is sent to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Rtmp(Rtmp),
    Srt(Srt),
}

/// An RTMP server and a name on it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Rtmp {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With its query, if it has one.
    pub(crate) app: String,
    /// The stream key with its query: secret.
    pub(crate) stream: String,
}

/// An SRT listener and what is wanted of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Srt {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) stream_id: String,
    pub(crate) passphrase: Option<String>,
    pub(crate) key: KeyLength,
    /// Milliseconds.
    pub(crate) latency_ms: Option<u32>,
}

/// Where a stream is fetched from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Srt(Srt),
    Udp(Udp),
    /// A playlist, by the end of its path.
    Hls(String),
    /// An endless transport stream.
    Http(String),
}

/// Where datagrams come to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Udp {
    /// Of this machine, or of a multicast group.
    pub(crate) address: std::net::SocketAddr,
    /// Address of the network card on which a group is joined.
    pub(crate) interface: Option<std::net::IpAddr>,
}

/// The parts of `SCHEME://USER@HOST:PORT/PATH?QUERY`.
struct Parts<'a> {
    scheme: String,
    user: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

const TARGET_SCHEMES: &str = "rtmp://, rtmps:// or srt://";
const SOURCE_SCHEMES: &str = "srt://, udp://, http:// or https://";
const RTMP_FORM: &str = "rtmp://HOST:PORT/APP/KEY";
const SRT_FORM: &str = "srt://HOST:PORT?streamid=…";
const SRT_PARAMETERS: &str = "streamid, passphrase, pbkeylen, latency (milliseconds) and mode=caller";

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let parts = Parts::of(url, TARGET_SCHEMES)?;
        match parts.scheme.as_str() {
            "rtmp" => Rtmp::new(&parts, false).map(Self::Rtmp),
            "rtmps" => Rtmp::new(&parts, true).map(Self::Rtmp),
            "srt" => Srt::new(&parts).map(Self::Srt),
            _ => Err(AddressError::Scheme { got: parts.scheme, want: TARGET_SCHEMES }),
        }
    }

    /// For logs and the API.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Rtmp(rtmp) => rtmp.shown(),
            Self::Srt(srt) => srt.shown(),
        }
    }
}

impl Rtmp {
    fn new(parts: &Parts<'_>, tls: bool) -> Result<Self, AddressError> {
        if parts.user.is_some() {
            return Err(AddressError::User("RTMP"));
        }
        // All behind the last slash of the path is the stream, with the query; what is in front, the application.
        let (app, name) = parts.path.trim_start_matches('/').rsplit_once('/').ok_or(AddressError::Path)?;
        let stream = parts.query.map_or_else(|| name.to_owned(), |query| format!("{name}?{query}"));
        if app.is_empty() || name.is_empty() {
            return Err(AddressError::Path);
        }
        let port = parts.port(RTMP_FORM)?.unwrap_or(if tls { 443 } else { 1935 });
        Ok(Self { tls, host: parts.host.to_owned(), port, app: app.to_owned(), stream })
    }

    fn server(&self) -> String {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        let usual = if self.tls { 443 } else { 1935 };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{}{port}", bracketed(&self.host))
    }

    /// As the server is told.
    pub(crate) fn tc_url(&self) -> String {
        format!("{}/{}", self.server(), self.app)
    }

    pub(crate) fn shown(&self) -> String {
        format!("{}/{}/{MASK}", self.server(), self.app)
    }

    /// What a server says, without our secrets in it.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let name = self.stream.split('?').next().unwrap_or_default();
        let values = self.stream.split(['?', '&', '=']);
        let mut secrets: Vec<&str> = values.chain([self.stream.as_str(), name]).collect();
        secrets.retain(|s| s.len() >= SECRET_BYTES_MIN);
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }

    /// Where a server sends us on to: a whole URL or a path, with the same stream. Never from TLS to none.
    pub(crate) fn moved(&self, tc_url: Option<&str>) -> Option<Self> {
        let Some(to) = tc_url.filter(|to| !to.is_empty()) else { return Some(self.clone()) };
        if let Some(path) = to.strip_prefix('/') {
            return (!path.is_empty())
                .then(|| Self { app: path.trim_end_matches('/').to_owned(), ..self.clone() });
        }
        let parts = Parts::of(to, TARGET_SCHEMES).ok()?;
        let tls = match parts.scheme.as_str() {
            "rtmps" => true,
            "rtmp" if !self.tls => false,
            _ => return None,
        };
        let app = parts.path.trim_matches('/');
        let app = if app.is_empty() { self.app.clone() } else { app.to_owned() };
        let port = parts.port(RTMP_FORM).ok()?.unwrap_or(if tls { 443 } else { 1935 });
        Some(Self { tls, host: parts.host.to_owned(), port, app, stream: self.stream.clone() })
    }
}

impl Srt {
    fn new(parts: &Parts<'_>) -> Result<Self, AddressError> {
        if parts.user.is_some() {
            return Err(AddressError::User("SRT"));
        }
        let port = parts.port(SRT_FORM)?.ok_or(AddressError::Port(SRT_FORM))?;
        let (mut stream_id, mut passphrase, mut latency_ms) = (String::new(), None, None);
        let mut key = KeyLength::default();
        for (name, value) in parts.parameters() {
            match (name, value.as_str()) {
                ("streamid", _) if value.len() <= 512 => stream_id = value,
                ("streamid", _) => {
                    return Err(wrong(
                        "streamid",
                        "has more than the 512 bytes that SRT carries: shorten it",
                    ));
                }
                ("passphrase", "") => {}
                ("passphrase", _) if (10..=79).contains(&value.len()) => passphrase = Some(value),
                ("passphrase", _) => return Err(wrong("passphrase", "must have 10 to 79 bytes")),
                ("latency", _) => {
                    let ms = value.parse().ok().filter(|ms| (20..=30_000).contains(ms));
                    latency_ms = Some(ms.ok_or(wrong("latency", "must be 20 to 30000 (milliseconds)"))?);
                }
                ("pbkeylen", "0") => {}
                ("pbkeylen", "16") => key = KeyLength::Aes128,
                ("pbkeylen", "24") => key = KeyLength::Aes192,
                ("pbkeylen", "32") => key = KeyLength::Aes256,
                ("pbkeylen", _) => return Err(wrong("pbkeylen", "must be 16, 24 or 32 (bytes)")),
                ("mode", "caller") | ("transtype", "live") | ("pkt_size", _) => {}
                ("mode", _) => return Err(wrong("mode", "must be caller: this server calls")),
                (name, _) => {
                    return Err(AddressError::Parameter { name: shortened(name), known: SRT_PARAMETERS });
                }
            }
        }
        Ok(Self { host: parts.host.to_owned(), port, stream_id, passphrase, key, latency_ms })
    }

    pub(crate) fn shown(&self) -> String {
        let mut shown = format!("srt://{}:{}", bracketed(&self.host), self.port);
        let secrets = [("streamid", !self.stream_id.is_empty()), ("passphrase", self.passphrase.is_some())];
        let mut mark = '?';
        for (name, _) in secrets.into_iter().filter(|(_, set)| *set) {
            shown.push_str(&format!("{mark}{name}={MASK}"));
            mark = '&';
        }
        if let Some(ms) = self.latency_ms {
            shown.push_str(&format!("{mark}latency={ms}"));
        }
        shown
    }
}

impl Source {
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let parts = Parts::of(url, SOURCE_SCHEMES)?;
        match parts.scheme.as_str() {
            "srt" => Srt::new(&parts).map(Self::Srt),
            "udp" => Udp::new(&parts).map(Self::Udp),
            "http" | "https" => {
                parts.port("http://HOST/PATH")?;
                let path = parts.path.to_ascii_lowercase();
                let hls = path.ends_with(".m3u8") || path.ends_with(".m3u");
                Ok(if hls { Self::Hls(url.to_owned()) } else { Self::Http(url.to_owned()) })
            }
            _ => Err(AddressError::Scheme { got: parts.scheme, want: SOURCE_SCHEMES }),
        }
    }

    /// For logs and the API.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Srt(srt) => srt.shown(),
            Self::Udp(Udp { address, interface: None }) => format!("udp://{address}"),
            Self::Udp(Udp { address, interface: Some(card) }) => format!("udp://{address}?interface={card}"),
            Self::Hls(url) | Self::Http(url) => shown_http(url),
        }
    }
}

impl Udp {
    fn new(parts: &Parts<'_>) -> Result<Self, AddressError> {
        const FORM: &str = "udp://ADDRESS:PORT, with the address of this machine or of a multicast group";
        if parts.user.is_some_and(|user| !user.is_empty()) {
            return Err(AddressError::User("UDP"));
        }
        let port = parts.port(FORM)?.ok_or(AddressError::Port(FORM))?;
        let ip: std::net::IpAddr = parts.host.parse().map_err(|_| AddressError::Host(FORM))?;
        let mut interface = None;
        for (name, value) in parts.parameters() {
            let known = "interface";
            match name {
                "interface" => {
                    let card = value
                        .parse()
                        .map_err(|_| wrong("interface", "must be an address of this machine"))?;
                    interface = Some(card);
                }
                _ => return Err(AddressError::Parameter { name: shortened(name), known }),
            }
        }
        Ok(Self { address: (ip, port).into(), interface })
    }
}

impl<'a> Parts<'a> {
    fn of(url: &'a str, want: &'static str) -> Result<Self, AddressError> {
        if url.len() > URL_BYTES_MAX {
            return Err(AddressError::TooLong(url.len()));
        }
        if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(AddressError::Character);
        }
        let no_scheme = || AddressError::Scheme { got: "none".into(), want };
        let (scheme, rest) = url.split_once("://").ok_or_else(no_scheme)?;
        if !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) || scheme.len() > 16 {
            return Err(no_scheme());
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.contains(['[', ']']) {
            return Err(AddressError::Host("it as SCHEME://HOST:PORT/…"));
        }
        Ok(Self { scheme: scheme.to_ascii_lowercase(), user, host, port, path, query })
    }

    fn port(&self, form: &'static str) -> Result<Option<u16>, AddressError> {
        let number = |port: &str| port.parse().ok().filter(|p| *p > 0).ok_or(AddressError::Port(form));
        self.port.map(number).transpose()
    }

    fn parameters(&self) -> impl Iterator<Item = (&'a str, String)> {
        let pairs = self.query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name, percent_decoded(value))
        })
    }
}

fn wrong(name: &'static str, hint: &'static str) -> AddressError {
    AddressError::Value { name, hint }
}

/// A name that somebody made up, fit to be printed.
fn shortened(name: &str) -> String {
    name.chars().take(32).collect()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A web address without user, password and query.
pub(crate) fn shown_http(url: &str) -> String {
    let Ok(parts) = Parts::of(url, SOURCE_SCHEMES) else { return MASK.to_owned() };
    let port = parts.port.map(|port| format!(":{port}")).unwrap_or_default();
    let user = parts.user.map_or(String::new(), |_| format!("{MASK}@"));
    let query = parts.query.map_or(String::new(), |_| format!("?{MASK}"));
    format!("{}://{user}{}{port}{}{query}", parts.scheme, bracketed(parts.host), parts.path)
}

#[cfg(test)]
mod tests;
