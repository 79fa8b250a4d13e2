//! Patterns: stream names with a star at the end, and networks of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use nx_media::StreamKey;
use serde::{Deserialize, Serialize};

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
    pub(crate) fn covers(&self, app: &str) -> bool {
        self.open && format!("{app}/").starts_with(&self.text)
    }

    /// Of several patterns that match, the one that says most has the greatest rank.
    #[must_use]
    pub fn rank(&self) -> (bool, usize) {
        (!self.open, self.text.len())
    }
}

/// An address or a network: `192.0.2.7`, `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl Network {
    /// Whether the address lies in it; an IPv4 address in IPv6 clothes counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = |address: IpAddr| IpNet::from(address.to_canonical());
        let net = text.parse().or_else(|_| text.parse().map(whole));
        net.map(Self).map_err(|_| {
            format!("'{text}' is neither address nor network; write it as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")
        })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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

    #[test]
    fn a_network_holds_its_addresses() {
        for (network, address, want) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("::1", "::1", true),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("2001:db8::/32", "2001:db8:1::2", true),
            ("2001:db8::/32", "10.0.0.1", false),
            ("0.0.0.0/0", "::1", false),
        ] {
            let got = network.parse::<Network>().unwrap().contains(address.parse().unwrap());
            assert_eq!(got, want, "{network} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0", "localhost", "::1/129", "10.0.0.0/8 "] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
