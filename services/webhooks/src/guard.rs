//! Where a webhook may go: the public network, and what the operator has allowed. Names are looked up here, the addresses
//! checked, and the connection goes to what was checked: a name that changes between the two leads nowhere else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Which addresses may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<[IpNet]>);

impl Guard {
    pub(crate) fn new(allow: Vec<IpNet>) -> Self {
        Self(allow.into())
    }

    /// Whether a connection may go there.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|net| net.contains(&address))
    }

    /// Refuses an address that is written in numbers, which nobody looks up, when it may not be connected to.
    pub(crate) fn check(&self, url: &Url) -> Result<(), String> {
        if !["http", "https"].contains(&url.scheme()) {
            return Err("a webhook goes to http:// or https://".into());
        }
        let host = url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) if !self.admits(address) => Err(refusal(host)),
            _ => Ok(()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good: Vec<SocketAddr> = found.filter(|a| guard.admits(a.ip())).collect();
            if good.is_empty() {
                return Err(refusal(name.as_str()).into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

fn refusal(host: &str) -> String {
    format!(
        "{host:.100} is not on the public network: have gateway.notify.allow name its network if webhooks shall go there"
    )
}

/// Whether an address is anybody's on the public network, rather than this machine's, a private network's, a cloud's
/// metadata or a special purpose's (RFC 6890 and its registry).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

/// What is given out is 2000::/3; of that, not what carries other addresses (Teredo, 6to4) or is for documents.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    match v6.segments() {
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests;
