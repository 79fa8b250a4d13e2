//! Where a stream is sent to: `/api/streamcore/v1/streams/APP/STREAM/targets`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::desired::{Held, Status};

/// Another server that gets the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// `UUIDv7`.
    pub id: String,
    /// `APP/STREAM`.
    pub stream: String,
    /// Its secrets are replaced by `***`.
    pub url: String,
    /// Whether it runs.
    pub enabled: bool,
    /// Its certificate is not checked.
    pub tls_insecure: bool,
    /// It is not followed into networks of ours.
    pub public_only: bool,
    /// RFC 3339.
    pub created_at: String,
    /// Who wants it.
    pub origin: Held,
    /// What it is doing.
    #[serde(flatten)]
    pub status: Status,
    /// Since the server started.
    pub bytes_sent: u64,
    /// Frames of the leading track that it was too slow for, since the server started.
    pub frames_dropped: u64,
}

/// A target to be.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// `rtmp://HOST/APP/KEY`, `rtmps://HOST/APP/KEY` or
    /// `srt://HOST:PORT?streamid=…&passphrase=…&latency=MILLISECONDS`.
    pub url: String,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Takes any certificate, for servers with one of their own.
    #[serde(default)]
    pub tls_insecure: bool,
    /// Goes nowhere but to [public addresses](is_public), whatever names and servers say.
    #[serde(default)]
    pub public_only: bool,
}

pub(crate) fn yes() -> bool {
    true
}

/// Whether an address is of the world outside, not of this machine or of a network of its own.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let ours = ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared || a == 0;
            !(ours || a >= 224)
        }
        // Of what is given out, not what leads on to an address of version 4: NAT64, 6to4, Teredo.
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            a & 0xe000 == 0x2000 && a != 0x2002 && !(a == 0x2001 && b == 0)
        }
    }
}
