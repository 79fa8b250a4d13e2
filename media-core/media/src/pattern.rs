//! Stream names with a star at the end.

use crate::key::StreamKey;

/// A stream name such as `live/show`, or the beginning of one: `live/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPattern {
    text: String,
    open: bool,
}

impl StreamPattern {
    /// Reads it.
    ///
    /// # Errors
    /// What to write instead.
    pub fn new(name: &str) -> Result<Self, String> {
        let (text, open) = name.strip_suffix('*').map_or((name, false), |text| (text, true));
        // The rest of an open name may be anything, so it is checked as if it were there.
        let whole = match (open, text.contains('/')) {
            (true, true) => format!("{text}x"),
            (true, false) => format!("{text}x/x"),
            (false, _) => text.to_owned(),
        };
        let key = whole.split_once('/').map(|(app, name)| StreamKey::new(app, name));
        match key {
            Some(Ok(_)) => Ok(Self { text: text.to_owned(), open }),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("must be APPLICATION/STREAM, or begin so and end in '*', as live/*".into()),
        }
    }

    /// Whether it is the stream's.
    #[must_use]
    pub fn matches(&self, stream: &StreamKey) -> bool {
        if self.open { stream.as_str().starts_with(&self.text) } else { stream.as_str() == self.text }
    }

    /// Whether every stream of the application matches.
    #[must_use]
    pub fn covers(&self, app: &str) -> bool {
        self.open && format!("{app}/").starts_with(&self.text)
    }

    /// Of several patterns that match, the one that says most has the greatest rank.
    #[must_use]
    pub fn rank(&self) -> (bool, usize) {
        (!self.open, self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> StreamKey {
        let (app, name) = text.split_once('/').unwrap();
        StreamKey::new(app, name).unwrap()
    }

    #[test]
    fn a_pattern_matches_its_name_or_whatever_begins_so() {
        for (pattern, stream, want) in [
            ("live/show", "live/show", true),
            ("live/show", "live/show2", false),
            ("live/*", "live/show", true),
            ("live/*", "live2/show", false),
            ("live*", "live2/show", true),
            ("live/sh*", "live/show", true),
            ("live/sh*", "live/s", false),
            ("*", "any/thing", true),
        ] {
            let got = StreamPattern::new(pattern).unwrap().matches(&key(stream));
            assert_eq!(got, want, "{pattern} {stream}");
        }
        for wrong in
            ["", "live", "live/", "/x", "li*/x", "live/**", "*/x", "live/a b", "watch/x", "a/b/c", "a/b/*"]
        {
            assert!(StreamPattern::new(wrong).is_err(), "{wrong}");
        }
        assert!(StreamPattern::new("live/*").unwrap().covers("live"));
        assert!(!StreamPattern::new("live/a*").unwrap().covers("live"));
        assert!(!StreamPattern::new("live/a").unwrap().covers("live"));
    }
}
