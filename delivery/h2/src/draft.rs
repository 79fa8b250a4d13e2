//! A request that is put together from its fields (RFC 9113 §8.2, §8.3).

use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};

use crate::hpack::Field;

/// Fields so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    method: Option<Method>,
    path: Option<Uri>,
    scheme: bool,
    authority: Option<HeaderValue>,
    fields: HeaderMap,
    /// As RFC 9113 §6.5.2 counts it.
    bytes: usize,
    malformed: bool,
}

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// RFC 9113 §8.1.1.
    Malformed,
    /// More fields than are taken.
    TooLarge,
}

/// A request, and what its body has to be.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) request: Request<()>,
    /// Bytes of the body, when they are told.
    pub(crate) length: Option<u64>,
}

impl Draft {
    /// Takes a field that counts `size` bytes; beyond `bytes_max` they are only counted.
    pub(crate) fn add(&mut self, field: &Field, size: usize, bytes_max: usize) {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > bytes_max {
            return;
        }
        // Pseudo-header fields come first, each once.
        let late = !self.fields.is_empty();
        let again = match field {
            Field::Method(method) => late || self.method.replace(method.clone()).is_some(),
            Field::Scheme => late || std::mem::replace(&mut self.scheme, true),
            Field::Authority(authority) => late || self.authority.replace(authority.clone()).is_some(),
            Field::Path(path) => late || self.path.replace(path.clone()).is_some(),
            Field::Header(name, value) => {
                if of_connection(name, value) {
                    self.malformed = true;
                } else {
                    self.fields.append(name.clone(), value.clone());
                }
                false
            }
            Field::Malformed => true,
        };
        self.malformed |= again;
    }

    /// Whether it has what only requests have.
    pub(crate) fn is_request(&self) -> bool {
        self.method.is_some() || self.path.is_some() || self.scheme || self.authority.is_some()
    }

    /// The request; `last` when nothing follows its head.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn whole(mut self, last: bool, bytes_max: usize) -> Result<Whole, Flaw> {
        if self.bytes > bytes_max {
            return Err(Flaw::TooLarge);
        }
        let length = self.length()?;
        let (Some(method), Some(uri), true, false) = (self.method, self.path, self.scheme, self.malformed)
        else {
            return Err(Flaw::Malformed);
        };
        if (last && length.is_some_and(|l| l > 0)) || (uri.path() == "*" && method != Method::OPTIONS) {
            return Err(Flaw::Malformed);
        }
        host(&mut self.fields, self.authority)?;
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.fields;
        Ok(Whole { request, length })
    }

    /// `Content-Length`: once, and nothing but digits.
    fn length(&self) -> Result<Option<u64>, Flaw> {
        let mut all = self.fields.get_all(header::CONTENT_LENGTH).iter();
        let Some(value) = all.next() else { return Ok(None) };
        let digits = value.to_str().ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
        let length = digits.and_then(|d| d.parse().ok()).filter(|_| all.next().is_none());
        length.map(Some).ok_or(Flaw::Malformed)
    }
}

/// What belongs to a connection of HTTP/1.1 (RFC 9113 §8.2.2).
fn of_connection(name: &header::HeaderName, value: &HeaderValue) -> bool {
    match *name {
        header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => true,
        header::TE => value != "trailers",
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}

/// Leaves one `Host`, as handlers know it from HTTP/1.1. It must not say anything else than `:authority`.
fn host(fields: &mut HeaderMap, authority: Option<HeaderValue>) -> Result<(), Flaw> {
    let named = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=:[]%".contains(b);
    let mut given = fields.get_all(header::HOST).iter();
    let (first, more) = (given.next(), given.next().is_some());
    let host = authority.as_ref().or(first).ok_or(Flaw::Malformed)?;
    let same = first.is_none_or(|f| f.as_bytes().eq_ignore_ascii_case(host.as_bytes()));
    if more || !same || host.is_empty() || !host.as_bytes().iter().all(named) {
        return Err(Flaw::Malformed);
    }
    if let Some(authority) = authority {
        fields.insert(header::HOST, authority);
    }
    Ok(())
}
