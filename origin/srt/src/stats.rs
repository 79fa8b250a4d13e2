//! Figures of a connection.

/// Counts since the connection was made, and its present state. Renewed four times a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Smoothed round trip; microseconds.
    pub rtt_us: u32,
    /// Data packets that came, repeated ones included.
    pub packets_received: u64,
    /// Data packets found missing when a later one came; most of them come after all.
    pub packets_lost: u64,
    /// Data packets given up: too late, or no room.
    pub packets_dropped: u64,
    /// Data packets that came as retransmissions.
    pub packets_retransmitted: u64,
    /// Data packets that came twice or after they were given up.
    pub packets_useless: u64,
    /// Data packets that no key opened.
    pub packets_undecrypted: u64,
    /// Reports of loss sent.
    pub naks_sent: u64,
    /// Payload bytes delivered.
    pub bytes_received: u64,
    /// Messages delivered and waiting in the receive buffer.
    pub receive_buffer_packets: u32,
    /// Time span of the receive buffer; milliseconds.
    pub receive_buffer_ms: u32,
    /// Estimated capacity of the path from the peer; bits per second, 0 when unknown.
    pub bandwidth_bps: u64,
    /// Agreed delay of delivery here; milliseconds.
    pub latency_ms: u32,
    /// Length of the AES key; bytes, 0 without encryption.
    pub key_bytes: u32,
    /// Data packets sent, repeated ones included.
    pub packets_sent: u64,
    /// Data packets sent again.
    pub packets_resent: u64,
    /// Data packets given up before they were acknowledged.
    pub packets_send_dropped: u64,
    /// Bytes sent, headers included.
    pub bytes_sent: u64,
}
