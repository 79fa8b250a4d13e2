//! The state of live streams, as `/api/streamcore/v1/streams` gives it.

use serde::Serialize;

/// Whoever knows the live streams of this node.
pub trait Streams: Send + Sync + 'static {
    /// All of them, by key.
    fn list(&self) -> Vec<Stream>;
    /// The node itself.
    fn server(&self) -> Server;
}

/// One stream.
#[derive(Debug, Clone, Serialize)]
pub struct Stream {
    /// Identifier that the log uses for it.
    pub id: String,
    /// `APP/STREAM`.
    pub key: String,
    /// What it is doing.
    pub state: State,
    /// Who is on air; absent while nobody is.
    pub publisher: Option<Publisher>,
    /// Everybody who sends it, best first.
    pub inputs: Vec<Input>,
    /// Changes from one input to another.
    pub switches: u64,
    /// When its first publisher came, RFC 3339.
    pub started_at: String,
    /// Milliseconds since the present publisher came.
    pub uptime_ms: u64,
    /// What it consists of.
    pub tracks: Vec<Track>,
    /// All tracks together, bits per second, over the last second.
    pub bitrate_bps: u64,
    /// Who watches.
    pub viewers: Viewers,
    /// How it looks at the players' end, as far as they tell.
    pub qoe: Qoe,
    /// Bytes of media in memory.
    pub window_bytes: u64,
    /// Playlists written so far: it does not matter how many ask.
    pub playlists_rendered: u64,
    /// Edges that fetch it.
    pub edges: u64,
    /// What the timeline mended.
    pub repairs: Repairs,
    /// Seams that viewers saw.
    pub discontinuities: u64,
    /// What the broadcaster could do better, in words.
    pub hints: Vec<String>,
    /// What is made of it; absent when nothing is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ladder: Option<Ladder>,
}

/// Life of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A publisher is sending.
    Live,
    /// The publisher left; it, or another, may take it up again.
    Reconnecting,
    /// Nobody sends; the slate is shown.
    Slate,
    /// Over; players may finish what is there.
    Ended,
}

/// Who sends a stream.
#[derive(Debug, Clone, Serialize)]
pub struct Publisher {
    /// Such as `rtmp`.
    pub protocol: String,
    /// Address and port.
    pub peer: String,
    /// What the encoder calls itself.
    pub client: String,
    /// RFC 3339.
    pub connected_at: String,
}

/// One that sends a stream, on air or not.
#[derive(Debug, Clone, Serialize)]
pub struct Input {
    /// `primary`, `backup` or `slate`.
    pub role: String,
    /// `on_air`, `standby` or `silent`.
    pub state: String,
    /// Who.
    #[serde(flatten)]
    pub publisher: Publisher,
    /// What is wrong with what it sends, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// How it was admitted: `open`, `key`, `token`, `hook`.
    pub admitted_by: String,
    /// Bytes so far.
    pub bytes: u64,
    /// The SRT link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// The transport stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
}

/// Figures of an SRT link.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Link {
    /// Round trip, milliseconds.
    pub rtt_ms: f64,
    /// Agreed latency, milliseconds.
    pub latency_ms: u64,
    /// Data packets that came.
    pub packets: u64,
    /// Of them, seen missing at first.
    pub lost: u64,
    /// Came a second time because we asked.
    pub retransmitted: u64,
    /// Came too late or never.
    pub dropped: u64,
    /// Packets that wait for their time.
    pub buffered: u64,
    /// Their span, milliseconds.
    pub buffered_ms: u64,
    /// `none`, `AES-128`, `AES-192` or `AES-256`.
    pub encryption: String,
}

/// What a transport stream lost on its way.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Transport {
    /// Packets missing by their continuity counters.
    pub lost_packets: u64,
    /// Access units given up for it.
    pub lost_units: u64,
    /// Times that the packet grid was lost.
    pub sync_losses: u64,
    /// What is not carried, in words.
    pub left_out: Vec<String>,
}

/// One track.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Track {
    /// As in URLs: `v1`, `a2`.
    pub name: String,
    /// `video` or `audio`.
    pub kind: String,
    /// ISO 639-2, when the publisher tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// RFC 6381.
    pub codec: String,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames per second, measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Hertz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Loudspeaker channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Over the last second.
    pub bitrate_bps: u64,
    /// Sound: how far it is from where its stamps want it, mean, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation_ms: Option<i64>,
    /// Distance of the last two key frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_interval_ms: Option<u64>,
}

/// Renditions that are made of a stream, and the worker that makes them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ladder {
    /// `none` (nothing to make), `refused`, `starting`, `running`, `restarting` or `dropped`.
    pub state: String,
    /// Process that makes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// How far the slowest of them is behind the source.
    pub lag_ms: u64,
    /// Workers that died so far.
    pub crashes: u64,
    /// Cores that the worker takes.
    pub cpu: f64,
    /// Times that it was so far behind that pictures were left out, up to the next key frame.
    pub skips: u64,
    /// Samples of the source that could not be decoded.
    pub damaged: u64,
    /// Why there is none, or why the last worker died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the source is to be hidden: `hidden`, or `announced` as long as nothing else can be watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What is made.
    pub rungs: Vec<Rung>,
}

/// One rendition that is made.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rung {
    /// Its track: `v2`.
    pub name: String,
    /// `on`, `idle` (nobody watches it), `shed` (the machine is too slow) or `refused`.
    pub state: String,
    /// What codes it, such as `libx264`.
    pub encoder: String,
    /// What was to code it: `software`, `nvenc`, `qsv` or `auto`. Software does it where that is not there.
    pub device: String,
    /// Why it is not made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who watches a stream.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Viewers {
    /// Over HTTP.
    pub hls: u64,
    /// Over RTMP.
    pub rtmp: u64,
}

/// What players report (CMCD, CTA-5004).
#[derive(Debug, Clone, Default, Serialize)]
pub struct Qoe {
    /// Viewers that tell their session.
    pub sessions: u64,
    /// Requests with a report.
    pub reports: u64,
    /// Of them in version 2 or later.
    pub version_2: u64,
    /// Of them by what was asked for, such as `video`.
    pub objects: Vec<ObjectCount>,
    /// Reports of a buffer that ran dry.
    pub starved: u64,
    /// Requests to start, or to start again.
    pub startups: u64,
    /// Media in the players' buffers, milliseconds, mean of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_ms: Option<u64>,
    /// What players measure, kilobits per second, mean of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_kbps: Option<u64>,
}

/// Requests for objects of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectCount {
    /// `manifest`, `video`, `audio`, `muxed`, `init`, `other` or `untold`.
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// What the timeline mended.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Repairs {
    /// All of them.
    pub total: u64,
    /// By kind.
    pub kinds: Vec<RepairCount>,
    /// The last few in words.
    pub recent: Vec<Note>,
}

/// Repairs of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct RepairCount {
    /// Such as `jump`.
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// Something that happened, in words.
#[derive(Debug, Clone, Serialize)]
pub struct Note {
    /// RFC 3339.
    pub at: String,
    /// What.
    pub text: String,
}

/// A connection that was turned away.
#[derive(Debug, Clone, Serialize)]
pub struct Refusal {
    /// RFC 3339.
    pub at: String,
    /// Address and port.
    pub peer: String,
    /// The name it wanted, as far as it is fit to print.
    pub key: String,
    /// Why, in the words that the encoder got.
    pub reason: String,
}

/// The node that carries the streams.
#[derive(Debug, Clone, Serialize)]
pub struct Server {
    /// Of the software.
    pub version: String,
    /// Since its start.
    pub uptime_ms: u64,
    /// Where to publish, by protocol.
    pub ingest: Ingest,
    /// The last few.
    pub refusals: Vec<Refusal>,
}

/// Addresses for publishers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ingest {
    /// Such as `rtmp://127.0.0.1:1935`.
    pub rtmp: String,
    /// Such as `rtmps://127.0.0.1:1936`; empty when there is no listener.
    pub rtmps: String,
    /// Such as `srt://127.0.0.1:10080`; empty when there is no listener.
    pub srt: String,
}
