//! Where a target may be: what a name stands for is looked at at the moment that it is gone to, and nowhere else.

use std::net::SocketAddr;
use std::time::Duration;

use nx_contract::targets::is_public;
use tokio::time::timeout;

use crate::retry::Failure;

/// Longest wait for a name.
const NAME: Duration = Duration::from_secs(5);

/// What is asked of whoever a target turns out to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Care {
    /// Any certificate will do.
    pub(crate) tls_insecure: bool,
    /// It is no host of our own networks, whoever says so: a name, or a server that sends us on.
    pub(crate) public_only: bool,
}

/// Addresses of a host, those that may be gone to: the first is tried first.
pub(crate) async fn resolve(host: &str, port: u16, public_only: bool) -> Result<Vec<SocketAddr>, Failure> {
    let unknown =
        |why: &str| Failure::Passing(format!("{host} has no address: {why}; check the host's name"));
    let found = timeout(NAME, tokio::net::lookup_host((host, port))).await;
    let found =
        found.map_err(|_| unknown("nobody has said it in time"))?.map_err(|e| unknown(&e.to_string()))?;
    let mut found: Vec<SocketAddr> = found.collect();
    let known = !found.is_empty();
    found.retain(|address| !public_only || is_public(address.ip()));
    match (found.is_empty(), known) {
        (false, _) => Ok(found),
        (true, true) => Err(Failure::Slow(format!(
            "{host} leads into a network of this server: only operators may have a stream sent there"
        ))),
        (true, false) => Err(unknown("its name stands for none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_to_stay_outside_does() {
        for host in ["127.0.0.1", "10.0.0.7", "::1", "localhost", "::ffff:192.168.0.1"] {
            assert!(matches!(resolve(host, 1935, true).await, Err(Failure::Slow(_))), "{host}");
            assert!(resolve(host, 1935, false).await.is_ok_and(|found| !found.is_empty()), "{host}");
        }
        assert!(resolve("198.51.100.7", 1935, true).await.is_ok());
    }
}
