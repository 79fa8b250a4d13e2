//! What an app may ask for and where it may be answered: no I/O.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};

/// What there is to ask for, and what it is called on the page that asks.
pub(super) const SCOPES: [(&str, &str); 6] = [
    ("openid", "know who you are here"),
    ("profile", "know your handle and your name"),
    ("offline_access", "go on when you have signed out"),
    ("watch", "watch in your name"),
    ("publish", "have and change channels in your name"),
    ("operate", "run this system in your name"),
];
/// Longest of each thing that an app says, bytes.
const TEXT_MAX: usize = 2048;
/// Letters of a code that somebody types: none that are taken for each other, or make words.
pub(super) const CODE_CHARS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What an app says, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads them as a query or a form has them.
    ///
    /// # Errors
    /// In words: something is there twice (RFC 6749 §3.1) or too long.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text) {
            if name.len() > TEXT_MAX || value.len() > TEXT_MAX || name.contains('\0') || value.contains('\0')
            {
                return Err(format!("{name:.40} is too long, or no text"));
            }
            // What is there and empty is as if it were not (RFC 6749 §3.1).
            if value.is_empty() {
                continue;
            }
            if all.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(format!("{name:.40} is there twice"));
            }
        }
        Ok(Self(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What must be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("{name} is missing"))
    }

    /// As a query again.
    pub(super) fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.into(), value.into());
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }
}

/// The scopes of `asked`, in our order, if all of them are among `allowed`.
///
/// # Errors
/// The one that is not.
pub(super) fn scope(asked: &str, allowed: &[String]) -> Result<String, String> {
    let asked: BTreeSet<&str> = asked.split(' ').filter(|s| !s.is_empty()).collect();
    if let Some(more) = asked.iter().find(|scope| !allowed.iter().any(|a| a == *scope)) {
        return Err(format!("{more:.40} is no scope that this app may ask for"));
    }
    let known: Vec<&str> = SCOPES.iter().map(|(name, _)| *name).filter(|name| asked.contains(name)).collect();
    Ok(known.join(" "))
}

/// Whether `scope` stands in a list of scopes behind each other.
pub(super) fn has(list: &str, scope: &str) -> bool {
    list.split(' ').any(|s| s == scope)
}

/// Whether an app may have people sent here: https, a loopback address for programs on this machine, or a scheme of its own
/// with a dot in it (RFC 8252 §7).
///
/// # Errors
/// In words, with what to do.
pub(super) fn redirect_uri(uri: &str) -> Result<(), String> {
    let (scheme, rest) = uri.split_once(':').ok_or("is no address")?;
    let good = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}#".contains(c);
    if uri.len() > TEXT_MAX || !uri.chars().all(good) {
        return Err("has characters that an address has not, or a fragment, or is too long".into());
    }
    let host = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    let named = host.is_some_and(|h| !h.is_empty() && !h.contains('@'));
    match scheme {
        "https" if named => Ok(()),
        "http" if host.is_some_and(|h| is_loopback(h) || h == "localhost" || h.starts_with("localhost:")) => {
            Ok(())
        }
        "http" => Err("goes over the network in clear: take https".into()),
        own if own.contains('.')
            && !rest.is_empty()
            && own.chars().all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c)) =>
        {
            Ok(())
        }
        _ => Err("begins with https://, http://127.0.0.1 or a scheme such as com.example.app:".into()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix("[::1]") {
        Some(port) => return port.is_empty() || port.starts_with(':'),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "127.0.0.1"
}

/// Whether what an app says is what it has registered: the very same text (RFC 9700 §2.1), but for the port of a loopback
/// address, which a program gets when it starts (RFC 8252 §7.3).
pub(super) fn is_registered(given: &str, registered: &str) -> bool {
    given == registered || without_port(given).is_some_and(|given| Some(given) == without_port(registered))
}

fn without_port(uri: &str) -> Option<(String, String)> {
    let rest = uri.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let bare = if host.starts_with("[::1]") { "[::1]" } else { host.split(':').next()? };
    let port = host.strip_prefix(bare)?;
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok());
    (is_loopback(host) && is_port).then(|| (bare.to_owned(), path.to_owned()))
}

/// Whether every scope of `scope` stands in `list`.
pub(super) fn covers(list: &str, scope: &str) -> bool {
    scope.split(' ').all(|scope| scope.is_empty() || has(list, scope))
}

/// Whether this can be a PKCE challenge: SHA-256 in base64 (RFC 7636 §4.2).
pub(super) fn is_challenge(text: &str) -> bool {
    text.len() == 43 && BASE64.decode(text).is_ok()
}

/// Whether a verifier is the one behind a challenge.
pub(super) fn proves(verifier: &str, challenge: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(unreserved)
        && BASE64.encode(Sha256::digest(verifier.as_bytes())) == challenge
}

/// A code that somebody types, however they type it.
pub(super) fn typed(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// An address with more in its query.
pub(super) fn with_query(uri: &str, more: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(more).finish();
    format!("{uri}{}{query}", if uri.contains('?') { '&' } else { '?' })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_people_are_sent() {
        for (uri, good) in [
            ("https://app.example/cb", true),
            ("https://app.example/cb?x=1", true),
            ("http://127.0.0.1/cb", true),
            ("http://127.0.0.1:7000/cb", true),
            ("http://[::1]:7000/cb", true),
            ("http://localhost:7000/cb", true),
            ("com.example.app:/cb", true),
            ("https://app.example/cb#x", false),
            ("https:///cb", false),
            ("https://user@app.example/", false),
            ("http://app.example/cb", false),
            ("http://127.0.0.1.evil.example/cb", false),
            ("http://localhost.evil.example/cb", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("app:/cb", false),
            ("https://app.example/ cb", false),
            ("https://app.example/\n", false),
            ("cb", false),
        ] {
            assert_eq!(redirect_uri(uri).is_ok(), good, "{uri}");
        }
    }

    #[test]
    fn what_is_said_is_what_was_registered() {
        for (given, registered, same) in [
            ("https://a.example/cb", "https://a.example/cb", true),
            ("https://a.example/cb/", "https://a.example/cb", false),
            ("https://a.example/cb?x", "https://a.example/cb", false),
            ("https://A.example/cb", "https://a.example/cb", false),
            ("https://a.example:444/cb", "https://a.example/cb", false),
            ("http://127.0.0.1:5123/cb", "http://127.0.0.1/cb", true),
            ("http://127.0.0.1:5123/cb", "http://127.0.0.1:9/cb", true),
            ("http://127.0.0.1:5123/other", "http://127.0.0.1/cb", false),
            ("http://127.0.0.1:99999/cb", "http://127.0.0.1/cb", false),
            ("http://127.0.0.1:1@evil.example/cb", "http://127.0.0.1/cb", false),
            ("http://[::1]:5/cb", "http://[::1]/cb", true),
            ("http://[::1]:5/cb", "http://127.0.0.1/cb", false),
            ("http://localhost:5/cb", "http://localhost/cb", false),
        ] {
            assert_eq!(is_registered(given, registered), same, "{given} {registered}");
        }
    }

    #[test]
    fn scopes_and_parameters() {
        let allowed = ["openid", "watch"].map(str::to_owned);
        assert_eq!(scope("watch  openid watch", &allowed), Ok("openid watch".into()));
        assert_eq!(scope("", &allowed), Ok(String::new()));
        assert!(scope("openid operate", &allowed).is_err());
        let params = Params::parse(b"a=1&b=%20x&c=").expect("good ones");
        assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("1"), Some(" x"), None));
        assert!(Params::parse(b"a=1&a=1").is_err() && Params::parse(b"a=%00").is_err());
        assert_eq!(with_query("x:/cb?y", &[("code", "1&2")]), "x:/cb?y&code=1%262");
    }

    /// The example of RFC 7636, appendix B.
    #[test]
    fn a_verifier_proves_its_challenge() {
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_challenge(challenge) && proves(verifier, challenge));
        assert!(!proves(&verifier.replace('d', "e"), challenge) && !proves("short", challenge));
        assert!(!is_challenge(verifier.get(..42).expect("a part")) && !is_challenge("="));
    }
}
