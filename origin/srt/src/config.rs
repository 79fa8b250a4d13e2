//! Settings of listener and caller.

use srt_protocol::options;
use srt_protocol::options::{KeySize, PacketCount};

/// Limits and defaults of a listener.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Least delay between a packet's sending and its delivery, in which it may be sent again; the caller may ask for
    /// more. Milliseconds.
    pub latency_ms: u32,
    /// Longest such delay granted; milliseconds.
    pub latency_ms_max: u32,
    /// A peer from whom nothing came for so long is gone; seconds.
    pub peer_idle_s: u32,
    /// Connections, those waiting for the gate included.
    pub connections_max: usize,
    /// Bytes that wait for a link's reader, and bytes that wait to be sent, before the link is closed (reading) or
    /// says so (sending).
    pub queue_bytes_max: usize,
    /// Receive buffer of the socket, which the kernel may cap (`net.core.rmem_max`); bytes.
    pub recv_buffer_bytes: usize,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            latency_ms: 120,
            latency_ms_max: 10_000,
            peer_idle_s: 5,
            connections_max: 1_000,
            queue_bytes_max: 8 << 20,
            recv_buffer_bytes: 16 << 20,
        }
    }
}

/// A shared secret of 10 to 79 bytes. Its `Debug` does not show it.
#[derive(Clone)]
pub struct Passphrase(pub(crate) options::Passphrase);

/// A secret of the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an SRT passphrase has 10 to 79 bytes, not {0}: choose another")]
pub struct PassphraseError(usize);

impl TryFrom<String> for Passphrase {
    type Error = PassphraseError;

    fn try_from(secret: String) -> Result<Self, PassphraseError> {
        let length = secret.len();
        options::Passphrase::try_from(secret).map(Self).map_err(|_| PassphraseError(length))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Length of the AES key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyLength {
    /// AES-128, what libsrt takes if nothing is said.
    #[default]
    Aes128,
    /// AES-192.
    Aes192,
    /// AES-256.
    Aes256,
}

impl KeyLength {
    /// Bytes of the key: 16, 24 or 32.
    pub fn bytes(self) -> u32 {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    pub(crate) fn from_bytes(bytes: usize) -> Option<Self> {
        [Self::Aes128, Self::Aes192, Self::Aes256].into_iter().find(|k| k.bytes() as usize == bytes)
    }

    pub(crate) fn size(self) -> KeySize {
        match self {
            Self::Aes128 => KeySize::AES128,
            Self::Aes192 => KeySize::AES192,
            Self::Aes256 => KeySize::AES256,
        }
    }
}

/// Packets that a receiver keeps: what a link of 100 Mbit/s brings during the delay, and then some.
pub(crate) fn window(latency_ms: u32) -> u32 {
    latency_ms.saturating_add(100).saturating_mul(10).clamp(2_048, 32_768)
}

/// The same as the library's number.
pub(crate) fn packets(count: u32) -> PacketCount {
    PacketCount(u64::from(count))
}
