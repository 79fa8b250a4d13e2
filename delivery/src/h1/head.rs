//! Heads of requests: strict, so that nothing between a viewer and here can read the same bytes in another way.
//!
//! Refused are: line ends that are not CR LF, folded lines, spaces around names, NUL, several `Content-Length`,
//! `Content-Length` beside `Transfer-Encoding`, any coding but `chunked`, no or several `Host`, a target that names
//! another host (RFC 9112 §2.2, §3.2, §5.2, §6.3).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};

use crate::listen::Request;
use crate::upload::Upload;

/// Longest head in bytes.
pub(crate) const HEAD_MAX: usize = 8 << 10;
/// Most header fields of a head.
const FIELDS_MAX: usize = 64;
/// How HTTP/2 with prior knowledge begins (RFC 9113 §3.4).
pub(super) const HTTP2: &[u8] = b"PRI ";

/// What the first bytes of a connection, or those after a request, are.
#[derive(Debug)]
pub(crate) enum Read {
    /// The head is not whole yet.
    Partial,
    /// A request for our own loop, and the length of its head.
    Ours(Box<Head>, usize),
    /// Sound, and for hyper: another method, a body, an upgrade, HTTP/2.
    Foreign,
}

/// A request without a body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request: Request,
    /// Whether the connection stays after the answer.
    pub(crate) keep_alive: bool,
}

/// Why a head is refused; the connection ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) why: &'static str,
}

const fn refuse<T>(status: StatusCode, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, why })
}

const fn bad<T>(why: &'static str) -> Result<T, Refusal> {
    refuse(StatusCode::BAD_REQUEST, why)
}

/// What the fields say about the connection and the body.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    hosts: usize,
    upgrade: bool,
    expect: bool,
    close: bool,
    keep: bool,
}

/// Reads the head at the front of `bytes`.
///
/// # Errors
/// How the request is refused.
pub(crate) fn read(bytes: &[u8]) -> Result<Read, Refusal> {
    if !bytes.is_empty() && HTTP2.starts_with(bytes.get(..HTTP2.len()).unwrap_or(bytes)) {
        return Ok(if bytes.len() < HTTP2.len() { Read::Partial } else { Read::Foreign });
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let limited = bytes.get(..HEAD_MAX).unwrap_or(bytes);
    let len = match parsed.parse(limited) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if limited.len() < HEAD_MAX => {
            line_ends(limited)?;
            return Ok(Read::Partial);
        }
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return refuse(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the head is longer than 8 KiB or 64 fields",
            );
        }
        Err(httparse::Error::Version) => {
            return refuse(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "the version is neither HTTP/1.0 nor HTTP/1.1",
            );
        }
        Err(_) => return bad("the head is not well-formed HTTP/1.1"),
    };
    let whole = limited.get(..len).unwrap_or_default();
    line_ends(whole)?;
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else { return Ok(Read::Partial) };
    let http10 = parsed.version == Some(0);
    let framing = framing(parsed.headers)?;
    if framing.chunked && (framing.length.is_some() || http10) {
        return bad("Transfer-Encoding stands beside Content-Length, or in HTTP/1.0");
    }
    if framing.hosts > 1 || (framing.hosts == 0 && !http10) {
        return bad("there must be exactly one Host");
    }
    let method = match method {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "OPTIONS" => Method::OPTIONS,
        _ => return Ok(Read::Foreign),
    };
    if framing.chunked || framing.length.is_some_and(|l| l > 0) || framing.upgrade {
        return Ok(Read::Foreign);
    }
    if framing.expect {
        return refuse(StatusCode::EXPECTATION_FAILED, "a request without a body expects nothing");
    }
    let keep_alive = !framing.close && (!http10 || framing.keep);
    let version = if http10 { Version::HTTP_10 } else { Version::HTTP_11 };
    let request = request(whole, method, target, version, parsed.headers)?;
    Ok(Read::Ours(Box::new(Head { request, keep_alive }), len))
}

/// Each LF follows a CR: what others take for two lines is not one here, nor the other way round.
fn line_ends(head: &[u8]) -> Result<(), Refusal> {
    let mut before = 0;
    for &byte in head {
        if byte == b'\n' && before != b'\r' {
            return bad("a line ends without CR LF");
        }
        before = byte;
    }
    Ok(())
}

fn framing(fields: &[httparse::Header<'_>]) -> Result<Framing, Refusal> {
    let mut framing = Framing::default();
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        // Most fields are told apart by their first letter alone.
        match field.name.as_bytes().first().map(u8::to_ascii_lowercase) {
            Some(b'c') if is("content-length") => {
                if framing.length.is_some() {
                    return bad("Content-Length stands twice");
                }
                framing.length = Some(length(field.value)?);
            }
            Some(b'c') if is("connection") => connection(field.value, &mut framing),
            Some(b't') if is("transfer-encoding") => {
                if framing.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return bad("the only Transfer-Encoding is chunked, once");
                }
                framing.chunked = true;
            }
            Some(b'h') if is("host") => framing.hosts += 1,
            Some(b'u') if is("upgrade") => framing.upgrade = true,
            Some(b'e') if is("expect") => framing.expect = true,
            _ => {}
        }
    }
    Ok(framing)
}

/// Digits and nothing else: `+1`, `1,1` and spaces have been read in different ways.
fn length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|d| d.parse().ok()).map_or_else(|| bad("Content-Length is not a number"), Ok)
}

fn connection(value: &[u8], framing: &mut Framing) {
    for token in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
        framing.close |= token.eq_ignore_ascii_case(b"close");
        framing.keep |= token.eq_ignore_ascii_case(b"keep-alive");
    }
}

/// The request as handlers know it. Its text is copied once; fields are slices of the copy.
fn request(
    head: &[u8],
    method: Method,
    target: &str,
    version: Version,
    fields: &[httparse::Header<'_>],
) -> Result<Request, Refusal> {
    const MALFORMED: Refusal =
        Refusal { status: StatusCode::BAD_REQUEST, why: "a field or the target is malformed" };
    // One copy of the text, of which everything else is a slice.
    let text = Bytes::copy_from_slice(head);
    let origin = head.as_ptr() as usize;
    let slice = |part: &[u8]| {
        let at = (part.as_ptr() as usize).wrapping_sub(origin);
        if part.is_empty() { Bytes::new() } else { text.slice(at..at + part.len()) }
    };
    let uri = Uri::from_maybe_shared(slice(target.as_bytes())).map_err(|_| MALFORMED)?;
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| MALFORMED)?;
        let value = HeaderValue::from_maybe_shared(slice(field.value)).map_err(|_| MALFORMED)?;
        headers.append(name, value);
    }
    host(&method, &uri, headers.get(header::HOST))?;
    let mut request = Request::new(Upload::None);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = version;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The target is a path, or names the host that `Host` names; `*` is for OPTIONS.
fn host(method: &Method, uri: &Uri, host: Option<&HeaderValue>) -> Result<(), Refusal> {
    let named = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=:[]%".contains(b);
    if !host.is_none_or(|host| host.as_bytes().iter().all(named)) {
        return bad("Host is not the name of a host");
    }
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') || (uri.path() == "*" && method == Method::OPTIONS) => {
            Ok(())
        }
        (Some("http" | "https"), Some(authority)) => match host {
            Some(host) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
                bad("the target names another host than Host")
            }
            _ => Ok(()),
        },
        _ => bad("the target is neither a path nor an address of HTTP"),
    }
}
