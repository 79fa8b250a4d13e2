//! Under which name something is kept: exactly what is sent to the upstream, so that nothing that is not in the name
//! can make a difference.

use std::sync::Arc;

/// Parameters that players add for the log and that never change an answer.
const LOGGED: &str = "CMCD";

/// Which parameters of the query count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// All but those of CMCD, as they are sent.
    All,
    /// These, in this order; what comes twice counts once, the first of them.
    Named(Vec<String>),
}

impl Query {
    /// Path and query as they are asked for upstream.
    #[must_use]
    pub fn target(&self, path: &str, query: &str) -> String {
        let pairs = || query.split('&').filter(|pair| !pair.is_empty());
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let kept: Vec<&str> = match self {
            Self::All => pairs().filter(|pair| name(pair) != LOGGED).collect(),
            Self::Named(names) => {
                names.iter().filter_map(|wanted| pairs().find(|pair| name(pair) == *wanted)).collect()
            }
        };
        if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
    }
}

/// How the content may be coded: part of the name, since what we ask for depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is. Media are not compressed a second time.
    Identity,
    /// Text for a player that takes gzip.
    Gzip,
}

impl Coding {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Identity, Self::Gzip];

    /// For a path, and what the player takes (`Accept-Encoding`).
    #[must_use]
    pub fn of(path: &str, accept: Option<&str>) -> Self {
        let file = path.rsplit('/').next().unwrap_or_default();
        let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
        let text = ["m3u8", "mpd", "vtt", "ttml", "srt", "json", "xml", "txt", "html", "js", "css", "svg"];
        let is_text = text.iter().any(|e| ending.eq_ignore_ascii_case(e));
        let takes = |list: &str| {
            list.split(',').any(|coding| {
                let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
                let zero = ["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&weight.trim());
                name.trim().eq_ignore_ascii_case("gzip") && !zero
            })
        };
        if is_text && accept.is_some_and(takes) { Self::Gzip } else { Self::Identity }
    }

    /// As `Accept-Encoding` says it.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
        }
    }
}

/// A name. Two upstreams never share one, whatever their paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The name of what `upstream` has at `target`, a path with its query.
    #[must_use]
    pub fn new(upstream: &str, coding: Coding, target: &str) -> Self {
        Self(format!("{upstream}\n{}\n{target}", coding.token()).into())
    }

    /// A name as it was written down by [`Key::text`].
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let three = (lines.next(), lines.next(), lines.next(), lines.next());
        matches!(three, (Some(_), Some(_), Some(_), None)).then(|| Self(text.into()))
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whose it is.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.0.split('\n').next().unwrap_or_default()
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.0.rsplit('\n').next().unwrap_or_default()
    }

    /// How it may be coded.
    #[must_use]
    pub fn coding(&self) -> Coding {
        let gzip = self.0.split('\n').nth(1) == Some(Coding::Gzip.token());
        if gzip { Coding::Gzip } else { Coding::Identity }
    }
}

/// Whether a path says where it leads, and in one way only: no `.` or `..`, no empty segment within, no backslash, none of
/// them behind percent signs, and no letter, digit or mark there that needs none (RFC 3986 §6.2.2.2). What does not is
/// refused, lest an upstream read it as a path of another route, whose rules are others.
#[must_use]
pub fn is_plain(path: &str) -> bool {
    // Escaped twice, too: some origins unescape twice.
    let plain = path.to_ascii_lowercase().replace("%25", "%");
    let plain = plain.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    path.starts_with('/')
        && !plain.contains('\\')
        && !plain.contains("%00")
        && !plain.contains("//")
        && !plain.split('/').any(|segment| segment == "." || segment == "..")
        && escapes(path.as_bytes()).all(|byte| byte.is_some())
        && !escapes(plain.as_bytes()).flatten().any(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// What stands behind each percent sign; `None` where that is no byte.
fn escapes(path: &[u8]) -> impl Iterator<Item = Option<u8>> {
    let digit =
        |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let signs = path.iter().enumerate().filter(|(_, b)| **b == b'%');
    signs.map(move |(at, _)| Some(digit(path.get(at + 1))? << 4 | digit(path.get(at + 2))?))
}

#[cfg(test)]
mod tests;
