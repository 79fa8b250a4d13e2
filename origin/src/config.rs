//! Settings of the origin.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Section `origin`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// RTMP listener.
    pub rtmp: RtmpConfig,
    /// HTTP listener for edges and third-party CDNs.
    pub http: HttpConfig,
    /// How streams are cut and kept.
    pub stream: StreamConfig,
}

/// Section `origin.rtmp`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RtmpConfig {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Open connections, publishers and players together.
    pub connections_max: usize,
    /// Time in which a connection must have said what it wants, and the longest silence of a publisher. Seconds.
    pub silence_s: u32,
    /// Silence after which another publisher may take the name over. Milliseconds.
    pub takeover_ms: u32,
    /// Largest message. Bytes.
    pub message_bytes_max: usize,
    /// What may wait for a slow player; beyond, it skips to the next key frame. Bytes.
    pub player_bytes_max: usize,
    /// Threads that carry media; 0 takes half the cores.
    pub shards: usize,
}

impl Default for RtmpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1935)),
            connections_max: 20_000,
            silence_s: 10,
            takeover_ms: 1_500,
            message_bytes_max: 4 << 20,
            player_bytes_max: 4 << 20,
            shards: 0,
        }
    }
}

/// Section `origin.http`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8887)) }
    }
}

/// Section `origin.stream`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamConfig {
    /// Segment length and target duration. Whole seconds, in milliseconds.
    pub segment_ms: u32,
    /// Part length, rounded to whole frames. Milliseconds.
    pub part_ms: u32,
    /// Segments in a playlist.
    pub window_segments: usize,
    /// Media per stream beyond which segments that left the playlist are dropped early. Bytes.
    pub window_bytes_max: usize,
    /// How long a stream waits for its publisher to come back. Seconds.
    pub reconnect_s: u32,
    /// Streams at a time.
    pub streams_max: usize,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            segment_ms: 2_000,
            part_ms: 333,
            window_segments: 6,
            window_bytes_max: 11 << 19,
            reconnect_s: 60,
            streams_max: 5_000,
        }
    }
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(&'static str, String)> {
        let (rtmp, stream) = (&self.rtmp, &self.stream);
        let rules = [
            (
                "stream.segment_ms",
                stream.segment_ms % 1000 == 0 && (1_000..=30_000).contains(&stream.segment_ms),
                "must be whole seconds between 1000 and 30000",
            ),
            (
                "stream.part_ms",
                (100..=stream.segment_ms).contains(&stream.part_ms),
                "must be at least 100 and at most stream.segment_ms",
            ),
            ("stream.window_segments", (3..=10_000).contains(&stream.window_segments), "must be 3 to 10000"),
            ("stream.streams_max", stream.streams_max > 0, "must be at least 1"),
            ("rtmp.connections_max", rtmp.connections_max > 0, "must be at least 1"),
            ("rtmp.silence_s", (1..=3600).contains(&rtmp.silence_s), "must be 1 to 3600"),
            ("rtmp.takeover_ms", (100..=60_000).contains(&rtmp.takeover_ms), "must be 100 to 60000"),
            (
                "rtmp.message_bytes_max",
                (64 << 10..=16 << 20).contains(&rtmp.message_bytes_max),
                "must be 65536 to 16777216",
            ),
            ("rtmp.player_bytes_max", rtmp.player_bytes_max >= 64 << 10, "must be at least 65536"),
            ("rtmp.shards", rtmp.shards <= 64, "must be 0 (half the cores) to 64"),
        ];
        rules.into_iter().filter(|r| !r.1).map(|(key, _, hint)| (key, hint.to_owned())).collect()
    }
}
