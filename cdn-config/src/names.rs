//! Values that can be wrong by themselves: names, hosts, paths, sites, countries.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// Longest name; a label of the domain name system.
const NAME_MAX: usize = 63;
/// Longest host and path.
const TEXT_MAX: usize = 253;

/// Why a value is none; says what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(&'static str);

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $make:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = Unfit;
            fn try_from(text: String) -> Result<Self, Unfit> {
                let make: fn(String) -> Result<String, Unfit> = $make;
                make(text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl $name {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// What a region, an edge, a rule is called: `a` to `z`, digits and inner hyphens, at most 63.
    Name, |text| {
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let ends = text.starts_with('-') || text.ends_with('-');
        if plain && !ends && (1..=NAME_MAX).contains(&text.len()) {
            Ok(text)
        } else {
            Err(Unfit("a name is 1 to 63 of a-z, 0-9 and hyphens within, such as \"eu-west-1\""))
        }
    }
}

text! {
    /// A host name as viewers ask for it, in small letters: `tv.example.com`.
    Host, |text| {
        let label = |label: &str| Name::try_from(label.to_owned()).is_ok();
        if text.len() <= TEXT_MAX && text.split('.').all(label) {
            Ok(text)
        } else {
            Err(Unfit("a host is a name without port and scheme, such as \"tv.example.com\""))
        }
    }
}

text! {
    /// Which paths a route takes: one (`/robots.txt`), or all that begin so (`/live/*`).
    PathPattern, |text| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.~*".contains(&b));
        let star = text.find('*').is_none_or(|at| at + 1 == text.len());
        if text.starts_with('/') && plain && star && text.len() <= TEXT_MAX && !text.contains("//") {
            Ok(text)
        } else {
            Err(Unfit("a path begins with / and may end in *, such as \"/live/*\" or \"/\""))
        }
    }
}

text! {
    /// A country, ISO 3166-1 alpha-2: `DE`.
    Country, |text| {
        if text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(text)
        } else {
            Err(Unfit("a country is two capital letters (ISO 3166-1), such as \"DE\""))
        }
    }
}

impl Name {
    /// Of what is there without being written down.
    pub(crate) fn usual() -> Self {
        Self("usual".to_owned())
    }
}

impl PathPattern {
    /// Whether it takes this path.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        match self.prefix() {
            Some(prefix) => path.starts_with(prefix),
            None => path == self.0,
        }
    }

    /// What the paths begin with; `None` when it is a single one.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }
}

/// Where a node is reached: scheme, host and port, nothing behind them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Site {
    text: String,
    tls: bool,
    host: String,
    port: u16,
}

impl Site {
    /// Whether it is `https`.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Name or address; an IPv6 one in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The one given, else that of the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host, and port where it is not the scheme's.
    #[must_use]
    pub fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Site> for String {
    fn from(site: Site) -> Self {
        site.text
    }
}

impl TryFrom<String> for Site {
    type Error = Unfit;

    fn try_from(text: String) -> Result<Self, Unfit> {
        let wrong = Unfit("an address is scheme, host and port only, such as \"https://e1.example.com\"");
        let url = Url::parse(&text).map_err(|_| wrong.clone())?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let known = matches!(url.scheme(), "http" | "https") && url.username().is_empty();
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong);
        };
        if !bare || !known || url.password().is_some() {
            return Err(wrong);
        }
        let (tls, host) = (url.scheme() == "https", host.to_owned());
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), tls, host, port })
    }
}
