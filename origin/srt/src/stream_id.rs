//! Stream ids: what a caller wants, in the syntax of the SRT Access Control guidelines or in a short form.
//!
//! * `#!::r=live/cam,m=publish,u=ann,s=..,key=..`: keys and values behind commas;
//! * `publish:live/cam` and `read:live/cam`, optionally `:user:pass`, optionally `:query` or `?query`;
//! * `live/cam`: the bare resource, whose mode is for the server to decide.
//!
//! The resource may itself have a `?query`, whose pairs are percent-decoded and join the extra keys.

use std::collections::BTreeMap;

/// Longest stream id; bytes.
const LENGTH_MAX: usize = 512;
/// Keys beyond the standard ones.
const EXTRA_MAX: usize = 16;

/// What the caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To send a stream (`m=publish`).
    Publish,
    /// To receive one (`m=request`, `read:`).
    Request,
}

/// A stream id that was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamId {
    /// Name of the stream without a leading slash; not checked otherwise.
    pub resource: String,
    /// What is wanted; None if not said.
    pub mode: Option<Mode>,
    /// Who asks (`u`).
    pub user: Option<String>,
    /// A session of the caller's (`s`).
    pub session: Option<String>,
    /// The host that was addressed (`h`).
    pub host: Option<String>,
    /// All other keys, such as `key`, `token`, `input`; a password given in the short form is `pass`.
    pub extra: BTreeMap<String, String>,
}

/// Why a stream id is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamIdError {
    /// Nothing there, or no `r` key.
    #[error("the stream id names no stream: use `publish:APP/STREAM` or `#!::r=APP/STREAM,m=publish`")]
    NoResource,
    /// Longer than SRT allows.
    #[error("the stream id has {0} bytes, at most 512 are possible: shorten it")]
    TooLong(usize),
    /// `#!:{`
    #[error("nested stream ids (`#!:{{..}}`) are not supported: use `#!::key=value,..`")]
    Nested,
    /// Something else behind `#!`.
    #[error("the stream id begins with `#!` but not with `#!::`")]
    Syntax,
    /// A part without `=`, or without a key before it.
    #[error("`{0}` in the stream id is not of the form key=value")]
    NotAPair(String),
    /// A key twice.
    #[error("the key `{0}` is there twice")]
    Twice(String),
    /// More keys than are of use.
    #[error("more than 16 extra keys")]
    TooMany,
    /// A mode that is not publish or request.
    #[error("the mode `{0}` is not possible: use `publish` or `request`")]
    Mode(String),
    /// A type that is not a stream.
    #[error("the type `{0}` is not possible: only `stream` is")]
    Type(String),
    /// A malformed percent escape.
    #[error("`{0}` has a percent sign that is not followed by two hexadecimal digits of UTF-8")]
    Escape(String),
    /// A control character.
    #[error("the stream id has a control character")]
    Control,
}

impl StreamId {
    /// Reads a stream id in any of the forms, see the module.
    ///
    /// # Errors
    /// If it is in none of them, or names nothing.
    pub fn parse(text: &str) -> Result<Self, StreamIdError> {
        if text.len() > LENGTH_MAX {
            return Err(StreamIdError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(StreamIdError::Control);
        }
        let mut id = Self::default();
        match text.strip_prefix("#!") {
            Some(rest) if rest.starts_with(":{") => return Err(StreamIdError::Nested),
            Some(rest) => id.pairs(rest.strip_prefix("::").ok_or(StreamIdError::Syntax)?)?,
            None => id.short(text)?,
        }
        let resource = std::mem::take(&mut id.resource);
        let (resource, query) = resource.split_once('?').unwrap_or((&resource, ""));
        id.resource = resource.strip_prefix('/').unwrap_or(resource).to_owned();
        id.query(query)?;
        if id.resource.is_empty() { Err(StreamIdError::NoResource) } else { Ok(id) }
    }

    /// `key=value,key=value`; values are taken literally, as libsrt's own parser does.
    fn pairs(&mut self, text: &str) -> Result<(), StreamIdError> {
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let pair = part.split_once('=').filter(|(key, _)| !key.is_empty());
            let (key, value) = pair.ok_or_else(|| StreamIdError::NotAPair(part.to_owned()))?;
            match key {
                "r" if self.resource.is_empty() => value.clone_into(&mut self.resource),
                "r" => return Err(StreamIdError::Twice("r".to_owned())),
                "m" if self.mode.is_none() => self.mode = Some(mode(value)?),
                "m" => return Err(StreamIdError::Twice("m".to_owned())),
                "u" => once(key, value, &mut self.user)?,
                "s" => once(key, value, &mut self.session)?,
                "h" => once(key, value, &mut self.host)?,
                "t" if value == "stream" => {}
                "t" => return Err(StreamIdError::Type(value.to_owned())),
                _ => self.add(key.to_owned(), value.to_owned())?,
            }
        }
        Ok(())
    }

    /// `mode:resource[:user[:pass[:query]]]` or only a resource.
    fn short(&mut self, text: &str) -> Result<(), StreamIdError> {
        let end = text.find('?').unwrap_or(text.len());
        let (fields, query) = text.split_at(end);
        let mut fields = fields.splitn(5, ':');
        let first = fields.next().unwrap_or_default();
        let Some(resource) = fields.next() else {
            text.clone_into(&mut self.resource);
            return Ok(());
        };
        self.mode = Some(mode(first)?);
        self.resource = format!("{resource}{query}");
        if let Some(user) = fields.next().filter(|u| !u.is_empty()) {
            self.user = Some(decode(user)?);
        }
        if let Some(pass) = fields.next().filter(|p| !p.is_empty()) {
            self.add("pass".to_owned(), decode(pass)?)?;
        }
        self.query(fields.next().unwrap_or_default())
    }

    /// `key=value&key=value`, percent-encoded.
    fn query(&mut self, text: &str) -> Result<(), StreamIdError> {
        for part in text.split('&').filter(|p| !p.is_empty()) {
            let pair = part.split_once('=').filter(|(key, _)| !key.is_empty());
            let (key, value) = pair.ok_or_else(|| StreamIdError::NotAPair(part.to_owned()))?;
            self.add(decode(key)?, decode(value)?)?;
        }
        Ok(())
    }

    fn add(&mut self, key: String, value: String) -> Result<(), StreamIdError> {
        if self.extra.contains_key(&key) {
            return Err(StreamIdError::Twice(key));
        }
        if self.extra.len() >= EXTRA_MAX {
            return Err(StreamIdError::TooMany);
        }
        self.extra.insert(key, value);
        Ok(())
    }
}

fn once(key: &str, value: &str, into: &mut Option<String>) -> Result<(), StreamIdError> {
    if into.replace(value.to_owned()).is_some() { Err(StreamIdError::Twice(key.to_owned())) } else { Ok(()) }
}

fn mode(word: &str) -> Result<Mode, StreamIdError> {
    match word {
        "publish" => Ok(Mode::Publish),
        "request" | "read" | "play" => Ok(Mode::Request),
        _ => Err(StreamIdError::Mode(word.to_owned())),
    }
}

/// Percent-decodes; control characters stay out in this way too.
fn decode(text: &str) -> Result<String, StreamIdError> {
    let bad = || StreamIdError::Escape(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
        let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
        bytes.push(u8::try_from(high << 4 | low).map_err(|_| bad())?);
    }
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    if text.chars().any(char::is_control) { Err(StreamIdError::Control) } else { Ok(text) }
}

#[cfg(test)]
#[path = "stream_id_tests.rs"]
mod tests;
