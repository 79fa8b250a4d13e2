//! Who asks for what, and the token that was brought along.
//!
//! A token comes in front of the path (`/token=TOKEN/live/cam1/index.m3u8`: what a playlist names beside itself has it too,
//! whatever plays it), as `?token=TOKEN`, in the header `CTA-Common-Access-Token` or in a cookie of that name. It is taken
//! off the address, which is the same for everybody from there on.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Request, Uri, header};
use nx_media::StreamKey;

/// Name of header and cookie (CTA-5007 §6).
pub const HEADER: &str = "cta-common-access-token";
const IN_PATH: &str = "/token=";
const IN_QUERY: &str = "token=";

/// Somebody asks for something.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// `GET`, or what is nearest to it.
    pub method: &'a str,
    /// As `rtmp`; over HTTP always `http`.
    pub scheme: &'a str,
    /// Without port.
    pub host: &'a str,
    /// Digits; nothing where it was not said.
    pub port: &'a str,
    /// Without the token.
    pub path: &'a str,
    /// Without the token.
    pub query: &'a str,
    /// Whence.
    pub address: IpAddr,
    /// ISO 3166-1, where that is known.
    pub country: Option<&'a str>,
}

impl<'a> Visit<'a> {
    /// A player of a whole stream by a protocol that has no files: its path is that of the stream's folder.
    #[must_use]
    pub fn of_stream(scheme: &'a str, folder: &'a str, address: IpAddr) -> Self {
        Self { method: "GET", scheme, host: "", port: "", path: folder, query: "", address, country: None }
    }
}

/// How a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In front of the path.
    Path,
    /// As a parameter.
    Query,
    /// In the header.
    Header,
    /// In a cookie.
    Cookie,
}

/// A token as it was brought.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// As text.
    pub token: String,
    /// How it came.
    pub way: Way,
}

/// The token is a secret.
impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("way", &self.way).finish_non_exhaustive()
    }
}

/// A path without the token in front of it, for logs.
#[must_use]
pub fn without_token(path: &str) -> &str {
    let behind = path
        .strip_prefix(IN_PATH)
        .map(|rest| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default());
    behind.unwrap_or(path)
}

/// Takes a token off the front of a path.
pub fn unfold<B>(request: &mut Request<B>) -> Option<Shown> {
    let path_and_query = request.uri().path_and_query()?.as_str();
    let (token, rest) = path_and_query.strip_prefix(IN_PATH)?.split_once('/')?;
    let (token, rest) = (token.to_owned(), format!("/{rest}"));
    replace(request, rest)?;
    Some(Shown { token, way: Way::Path })
}

/// Takes a token out of the query, else reads it in the head.
pub(crate) fn take<B>(request: &mut Request<B>) -> Option<Shown> {
    let query = request.uri().query().unwrap_or_default();
    if let Some(token) = query.split('&').find_map(|pair| pair.strip_prefix(IN_QUERY)) {
        let token = token.to_owned();
        let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(IN_QUERY)).collect();
        let (path, rest) = (request.uri().path(), rest.join("&"));
        let address = if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") };
        replace(request, address)?;
        return Some(Shown { token, way: Way::Query });
    }
    let headers = request.headers();
    let own = headers.get(HEADER).and_then(|v| v.to_str().ok()).map(|t| (t, Way::Header));
    let (token, way) = own.or_else(|| cookie(headers).map(|t| (t, Way::Cookie)))?;
    Some(Shown { token: token.trim().to_owned(), way })
}

fn replace<B>(request: &mut Request<B>, path_and_query: String) -> Option<()> {
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(path_and_query.try_into().ok()?);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    Some(())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| name.eq_ignore_ascii_case(HEADER)).map(|(_, value)| value)
}

/// The visit that a request is.
pub(crate) fn of_request<'a, B>(
    request: &'a Request<B>,
    address: IpAddr,
    country: Option<&'a str>,
) -> Visit<'a> {
    let uri = request.uri();
    let said = request.headers().get(header::HOST).and_then(|v| v.to_str().ok());
    let authority = uri.authority().map_or(said.unwrap_or_default(), |a| a.as_str());
    // The port is behind the last colon that is in no address of IPv6.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    // What a client says of the scheme proves nothing.
    let (method, scheme) = (request.method().as_str(), "http");
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    Visit { method, scheme, host, port, path, query, address, country }
}

/// What is for one viewer alone: no cache that others share may keep it.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    // Some caches believe these before the other.
    for name in ["cdn-cache-control", "surrogate-control"] {
        headers.remove(name);
    }
    let told = headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|v| v.to_str().ok());
    let told: Vec<&str> = told.flat_map(|line| line.split(',')).map(str::trim).collect();
    let is =
        |told: &str, name: &str| told.get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name));
    let shared = |told: &&str| !["public", "private", "s-maxage"].iter().any(|name| is(told, name));
    let rest = told.into_iter().filter(shared).filter(|told| !told.is_empty());
    let kept = ["private"].into_iter().chain(rest).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&kept) {
        headers.insert(header::CACHE_CONTROL, value);
    }
}

/// The stream whose resource a path names.
#[must_use]
pub fn stream_of(path: &str) -> Option<StreamKey> {
    let mut halves = path.strip_prefix('/')?.splitn(3, '/');
    let (app, name, _) = (halves.next()?, halves.next()?, halves.next()?);
    StreamKey::new(app, name).ok()
}
