//! The name of a stream: the one validated form that every protocol's spelling is parsed into.

use std::fmt;
use std::sync::Arc;

/// Longest application or stream name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// First path segments that belong to the server's own pages, so no application may be called so.
const RESERVED_APPS: [&str; 8] =
    ["api", "assets", "favicon.ico", "health", "metrics", "openapi.json", "watch", "graphql"];

/// Application of channels that everybody may watch.
pub const CHANNELS: &str = "channels";

/// Application of channels that ask every viewer for a token, on every node and whatever its settings say.
pub const MEMBERS: &str = "members";

/// `APP/STREAM`, safe to put into a URL path, a file name and a log line as it is.
///
/// Each half has 1 to 128 bytes out of `A-Z a-z 0-9 - _ . ~` and does not begin with a dot, so neither
/// `..` nor a separator nor a control character can be part of it. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    text: Arc<str>,
    slash: usize,
}

/// Why a name is refused. The messages are shown to the encoder's user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// One half is missing.
    #[error("the {0} name is empty")]
    Empty(&'static str),
    /// One half is over the limit.
    #[error("the {what} name has {len} bytes; at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// Which half.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A byte outside the allowed set.
    #[error(
        "the {what} name has {byte:#04x} at position {at}; use letters, digits, '-', '_', '.' and '~' only"
    )]
    Character {
        /// Which half.
        what: &'static str,
        /// The byte found.
        byte: u8,
        /// Where, counted from 0.
        at: usize,
    },
    /// A leading dot would make hidden or parent folders.
    #[error("the {0} name begins with a dot")]
    LeadingDot(&'static str),
    /// The application name belongs to the server's own pages.
    #[error("the application name is reserved; choose another, such as 'live'")]
    Reserved,
}

impl StreamKey {
    /// Builds a key from its two halves.
    ///
    /// # Errors
    /// [`KeyError`] says which half is wrong and how.
    pub fn new(app: &str, name: &str) -> Result<Self, KeyError> {
        check("application", app)?;
        check("stream", name)?;
        if RESERVED_APPS.contains(&app) {
            return Err(KeyError::Reserved);
        }
        Ok(Self { text: [app, "/", name].concat().into(), slash: app.len() })
    }

    /// Reads `APP/STREAM`.
    ///
    /// # Errors
    /// As [`Self::new`]; text without a slash has no stream name.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (app, name) = text.split_once('/').unwrap_or((text, ""));
        Self::new(app, name)
    }

    /// The application, such as `live`.
    #[must_use]
    pub fn app(&self) -> &str {
        self.text.get(..self.slash).unwrap_or_default()
    }

    /// The stream's name within the application, such as `cam1`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(self.slash + 1..).unwrap_or_default()
    }

    /// Whether it belongs to a channel: nobody publishes it without a credential.
    #[must_use]
    pub fn is_channel(&self) -> bool {
        matches!(self.app(), CHANNELS | MEMBERS)
    }

    /// Whether nobody watches it without a token.
    #[must_use]
    pub fn is_for_members(&self) -> bool {
        self.app() == MEMBERS
    }

    /// Both halves, as `live/cam1`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn check(what: &'static str, half: &str) -> Result<(), KeyError> {
    if half.is_empty() {
        return Err(KeyError::Empty(what));
    }
    if half.len() > NAME_BYTES_MAX {
        return Err(KeyError::TooLong { what, len: half.len() });
    }
    if half.starts_with('.') {
        return Err(KeyError::LeadingDot(what));
    }
    let odd = |b: u8| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'));
    match half.bytes().enumerate().find(|&(_, b)| odd(b)) {
        Some((at, byte)) => Err(KeyError::Character { what, byte, at }),
        None => Ok(()),
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_names_and_nothing_that_leaves_its_place() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let character = |what, byte, at| Err(KeyError::Character { what, byte, at });
        for (app, name, want) in [
            ("live", "cam1", Ok("live/cam1")),
            ("a.b~c-d_e", "0", Ok("a.b~c-d_e/0")),
            ("live", "", Err(KeyError::Empty("stream"))),
            ("", "cam1", Err(KeyError::Empty("application"))),
            ("live", "..", Err(KeyError::LeadingDot("stream"))),
            ("live", ".hidden", Err(KeyError::LeadingDot("stream"))),
            ("live", "a/b", character("stream", b'/', 1)),
            ("live", "a\\b", character("stream", b'\\', 1)),
            ("live", "a\0", character("stream", 0, 1)),
            ("li\nve", "cam", character("application", b'\n', 2)),
            ("live", "caf\u{e9}", character("stream", 0xc3, 3)),
            ("live", "a%2f", character("stream", b'%', 1)),
            ("live", long.as_str(), Err(KeyError::TooLong { what: "stream", len: 129 })),
            ("watch", "x", Err(KeyError::Reserved)),
        ] {
            let got = StreamKey::new(app, name);
            assert_eq!(got.as_ref().map(StreamKey::as_str), want.as_ref().map(|s| *s), "{app} {name}");
        }
    }

    #[test]
    fn gives_back_its_halves() {
        let key = StreamKey::new("live", "cam1").unwrap();
        assert_eq!((key.app(), key.name(), key.to_string().as_str()), ("live", "cam1", "live/cam1"));
    }

    #[test]
    fn its_application_says_whose_it_is_and_for_whom() {
        for (text, channel, members) in [
            ("live/members", false, false),
            ("channels/a", true, false),
            ("members/a", true, true),
            ("members2/a", false, false),
            ("Members/a", false, false),
        ] {
            let key = StreamKey::parse(text).unwrap();
            assert_eq!((key.is_channel(), key.is_for_members()), (channel, members), "{text}");
        }
    }
}
