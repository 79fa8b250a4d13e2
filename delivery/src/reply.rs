//! Answers that carry media or a playlist, as HTTP responses: validators, ranges, codings, caching, CORS.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use zeroize::Zeroizing;

use crate::body::Body;
use crate::caching::Keep;
use crate::cmcd::Object;
use crate::cmsd::{Node, Told};
use crate::conditional::Validators;
use crate::encoding;
use crate::film::Film;
use crate::growing::Growing;
use crate::listen::Response;
use crate::range::{self, Range};
use crate::rendered::{Changed, Rendered};

static TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
pub(crate) const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MANIFEST: &str = "application/dash+xml";

/// Header fields of an answer, about.
const FIELDS: usize = 12;

/// What was found for a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) content: Content,
    pub(crate) keep: Keep,
    pub(crate) object: Object,
    /// How long it was waited for, when it was.
    pub(crate) held: Option<Duration>,
}

/// The bytes of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    /// A playlist or a list of assets: changes under its name, never sent in pieces, compressed for those who like it.
    Text(Arc<Rendered>, &'static str),
    /// A segment while it is made.
    Growing(Growing),
    /// An MP4, and its content disposition.
    Film(Film, String),
    /// The time of day.
    Clock,
    /// A JPEG; none at all when it is empty.
    Picture(Bytes),
    /// Media: the same for ever under its name.
    Media { slices: VecDeque<Bytes>, content_type: &'static str, duration_ms: Option<u64> },
}

/// What an answer says besides, the same for every viewer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) target_s: u64,
    pub(crate) ended: bool,
    pub(crate) node: &'a Node,
    pub(crate) duress: bool,
}

impl Reply {
    pub(crate) fn text(text: Arc<Rendered>, keep: Keep) -> Self {
        Self { content: Content::Text(text, PLAYLIST), keep, object: Object::Manifest, held: None }
    }

    pub(crate) fn manifest(text: Arc<Rendered>) -> Self {
        let content = Content::Text(text, MANIFEST);
        Self { content, keep: Keep::Now, object: Object::Manifest, held: None }
    }

    /// What is played in a break (RFC 8216bis appendix D.3).
    pub(crate) fn asset_list(list: Arc<Rendered>) -> Self {
        let content = Content::Text(list, "application/json");
        Self { content, keep: Keep::Now, object: Object::Other, held: None }
    }

    /// A stretch of what is stored, with whether it is shown or saved, and under which name.
    pub(crate) fn film(film: Film, disposition: String) -> Self {
        Self { content: Content::Film(film, disposition), keep: Keep::Now, object: Object::Muxed, held: None }
    }

    /// A picture. Without bytes it says that there is none.
    pub(crate) fn picture(jpeg: Bytes, keep: Keep) -> Self {
        Self { content: Content::Picture(jpeg), keep, object: Object::Other, held: None }
    }

    /// An index of pictures.
    pub(crate) fn pictures(index: Arc<Rendered>) -> Self {
        let content = Content::Text(index, "text/vtt");
        Self { content, keep: Keep::Now, object: Object::Other, held: None }
    }

    /// The server's clock, for players of DASH (`urn:mpeg:dash:utc:http-xsdate:2014`).
    pub(crate) fn clock() -> Self {
        Self { content: Content::Clock, keep: Keep::Never, object: Object::Other, held: None }
    }

    pub(crate) fn growing(segment: Growing, object: Object) -> Self {
        Self { content: Content::Growing(segment), keep: Keep::Forever, object, held: None }
    }

    pub(crate) fn media(slices: VecDeque<Bytes>, content_type: &'static str, object: Object) -> Self {
        let content = Content::Media { slices, content_type, duration_ms: None };
        Self { content, keep: Keep::Forever, object, held: None }
    }

    /// A key as it is.
    pub(crate) fn key(bytes: Bytes) -> Self {
        let content = Self::media(VecDeque::from([bytes]), "application/octet-stream", Object::Other);
        Self { keep: Keep::Never, ..content }
    }

    /// A licence of ClearKey: keys as JSON Web Keys (W3C EME §9.1.4).
    pub(crate) fn licence(keys: &[([u8; 16], Zeroizing<[u8; 16]>)]) -> Self {
        let text =
            |bytes: &[u8]| nx_crypt::base64(bytes).replace('+', "-").replace('/', "_").replace('=', "");
        let one = |(id, key): &([u8; 16], Zeroizing<[u8; 16]>)| {
            format!("{{\"kty\":\"oct\",\"kid\":\"{}\",\"k\":\"{}\"}}", text(id), text(&**key))
        };
        let keys: Vec<String> = keys.iter().map(one).collect();
        let json = format!("{{\"keys\":[{}],\"type\":\"temporary\"}}", keys.join(","));
        let content = Self::media(VecDeque::from([json.into()]), "application/json", Object::Other);
        Self { keep: Keep::Never, ..content }
    }

    /// Media that will never come.
    pub(crate) fn nothing(content_type: &'static str, object: Object) -> Self {
        Self { keep: Keep::Never, ..Self::media(VecDeque::new(), content_type, object) }
    }

    pub(crate) fn held(self, held: Option<Duration>) -> Self {
        Self { held, ..self }
    }

    /// Tells its duration.
    pub(crate) fn lasting(mut self, ms: Option<u64>) -> Self {
        if let Content::Media { duration_ms, .. } = &mut self.content {
            *duration_ms = ms;
        }
        self
    }

    /// The response to a request with this method and head.
    pub(crate) fn respond(self, method: &Method, request: &HeaderMap, about: About<'_>) -> Response {
        let mut response = Response::default();
        let headers = response.headers_mut();
        // Room for all at once: growing costs as much as filling.
        headers.reserve(FIELDS);
        cors(headers);
        headers.insert(header::CACHE_CONTROL, self.keep.header(about.target_s));
        let duration_ms = match &self.content {
            Content::Media { duration_ms, .. } => *duration_ms,
            _ => None,
        };
        let dash = matches!(self.content, Content::Text(_, MANIFEST));
        let About { ended, node, duress, .. } = about;
        Told { object: self.object, dash, duration_ms, ended, held: self.held, duress }.write(node, headers);
        match self.content {
            Content::Text(text, content_type) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                respond_text(&text, request, &mut response);
            }
            Content::Clock => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                *response.body_mut() = nx_hls::Rfc3339(crate::wall_ms()).to_string().into();
            }
            Content::Film(film, disposition) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
                set(headers, header::CONTENT_DISPOSITION, &disposition);
                respond_film(film, method, request, &mut response);
            }
            Content::Picture(jpeg) => respond_picture(jpeg, request, &mut response),
            Content::Growing(segment) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
                *response.body_mut() = Body::Growing(Box::new(segment));
            }
            Content::Media { slices, content_type, .. } => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                respond_media(slices, method, request, &mut response);
            }
        }
        response
    }
}

fn respond_text(text: &Rendered, request: &HeaderMap, response: &mut Response) {
    let accept = request.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok());
    let (coding, bytes) = text.coded(encoding::choose(accept));
    let etag = text.etag(coding);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::LAST_MODIFIED, text.last_modified.clone());
    headers.insert(header::ETAG, etag.clone());
    let etag = etag.to_str().unwrap_or_default();
    if (Validators { etag, changed: Some(text.changed) }).not_modified(request) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return;
    }
    if coding != encoding::Coding::Identity {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    }
    *response.body_mut() = bytes.into();
}

fn respond_media(slices: VecDeque<Bytes>, method: &Method, request: &HeaderMap, response: &mut Response) {
    let len: u64 = slices.iter().map(|b| b.len() as u64).sum();
    // The name means the same bytes for ever, so any constant would do.
    let etag = format!("\"{len:x}\"");
    set(response.headers_mut(), header::ETAG, &etag);
    if let Some(bytes) = select(len, method, request, response) {
        *response.body_mut() = Body::Slices(range::cut(slices, bytes));
    }
}

/// Which of the `len` bytes that `response` is about a request wants; status and fields come to say so. Its `ETag` and
/// `Last-Modified` are what is compared. `None`: none of them, they are there already or do not exist.
pub fn select(
    len: u64,
    method: &Method,
    request: &HeaderMap,
    response: &mut Response,
) -> Option<std::ops::Range<u64>> {
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let (etag, changed) = (headers.get(header::ETAG).cloned(), headers.get(header::LAST_MODIFIED));
    let etag = etag.as_ref().and_then(|v| v.to_str().ok()).unwrap_or_default();
    let validators = Validators { etag, changed: changed.and_then(Changed::of) };
    if validators.not_modified(request) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return None;
    }
    // Ranges are for GET alone (RFC 9110 §14.2).
    let ranged = *method == Method::GET && validators.range_holds(request);
    let asked = request.get(header::RANGE).filter(|_| ranged).and_then(|v| v.to_str().ok());
    match range::parse(asked, len) {
        Range::Whole => Some(0..len),
        Range::Part { first, last } => {
            set(headers, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{len}"));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            Some(first..last + 1)
        }
        Range::Unsatisfiable => {
            set(headers, header::CONTENT_RANGE, &format!("bytes */{len}"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            None
        }
    }
}

/// Another picture has another tag, whatever its name.
fn respond_picture(jpeg: Bytes, request: &HeaderMap, response: &mut Response) {
    if jpeg.is_empty() {
        *response.status_mut() = StatusCode::NO_CONTENT;
        return;
    }
    let mut hasher = DefaultHasher::new();
    jpeg.hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    set(headers, header::ETAG, &etag);
    if (Validators { etag: &etag, changed: None }).not_modified(request) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return;
    }
    *response.body_mut() = Body::Slices(VecDeque::from([jpeg]));
}

/// As media; but what is stored may grow or go, so its front is what tells it apart.
fn respond_film(film: Film, method: &Method, request: &HeaderMap, response: &mut Response) {
    let len = film.len();
    let mut hasher = DefaultHasher::new();
    film.front().hash(&mut hasher);
    film.versions().for_each(|version| version.hash(&mut hasher));
    let etag = format!("\"{:016x}\"", hasher.finish());
    set(response.headers_mut(), header::ETAG, &etag);
    if let Some(bytes) = select(len, method, request, response) {
        *response.body_mut() = Body::Film(Box::new(film.cut(bytes)));
    }
}

/// The answer to a page that asks what it may.
pub(crate) fn preflight() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    cors(headers);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, OPTIONS"),
        // A star does not cover what pages add on their own in every browser.
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "*, Range, CMCD-Request, CMCD-Object, CMCD-Status, CMCD-Session",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Any page may play a stream, and measure how it arrives.
pub fn cors(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    headers.insert(&TIMING_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
