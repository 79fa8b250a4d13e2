//! The maxima one connection is held to.

/// Bounds for one connection. A peer that passes one is cut with an error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest audio, video or aggregate message, bytes. At most 16 MiB − 1 can be announced at all.
    pub message_bytes_max: usize,
    /// Largest command, data or control message, bytes; the bound for every message until the peer asks to
    /// publish or play.
    pub command_bytes_max: usize,
    /// Sum of the received bytes of unfinished messages, bytes.
    pub pending_bytes_max: usize,
    /// Largest chunk size the peer may set, bytes. Sizes past 16 MiB − 1 mean the same as that (RTMP §5.4.1).
    pub chunk_size_max: u32,
    /// Chunk streams (csid) the peer may use.
    pub chunk_streams_max: usize,
    /// Longest app, stream name or tcUrl with its query, bytes of UTF-8.
    pub name_bytes_max: usize,
    /// Commands handled while the peer neither publishes nor plays, over the whole connection.
    pub commands_max: u32,
    /// `createStream` calls over the whole connection.
    pub create_streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            command_bytes_max: 64 << 10,
            pending_bytes_max: 8 << 20,
            chunk_size_max: 0xFF_FFFF,
            chunk_streams_max: 32,
            name_bytes_max: 4096,
            commands_max: 64,
            create_streams_max: 8,
        }
    }
}
