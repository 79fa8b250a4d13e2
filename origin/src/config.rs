//! Settings of the origin.

use std::net::SocketAddr;
use std::path::PathBuf;

use nx_admission::Secret;
use nx_media::StreamKey;
use serde::{Deserialize, Serialize};

use crate::address;
use crate::captions::CaptionsConfig;
use crate::images::ImagesConfig;
use crate::keep::StoreConfig;
use crate::keys::EncryptionConfig;
use crate::ladder::{LadderConfig, TranscoderConfig};
use crate::mixes::{MixConfig, MixerConfig};
use crate::switch::Rules;
use crate::titles::VodConfig;
use crate::twin::TwinConfig;
use crate::vitals::Patience;

/// Section `origin`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// RTMP listener.
    pub rtmp: RtmpConfig,
    /// RTMP over TLS.
    pub rtmps: RtmpsConfig,
    /// SRT listener.
    pub srt: SrtConfig,
    /// Who may publish and play.
    pub admission: nx_admission::Config,
    /// HTTP listener for edges and third-party CDNs.
    pub http: HttpConfig,
    /// Where edges fetch streams from.
    pub plane: nx_live_plane::Config,
    /// A second origin that the same encoders feed.
    pub twin: TwinConfig,
    /// How streams are cut and shown.
    pub stream: StreamConfig,
    /// What is kept of them on disk.
    pub store: StoreConfig,
    /// Files that are played as streams.
    pub vod: VodConfig,
    /// Which of them are encrypted, and with what.
    pub encryption: Vec<EncryptionConfig>,
    /// Which renditions are made of them.
    pub ladder: Vec<LadderConfig>,
    /// What these may take.
    pub transcoder: TranscoderConfig,
    /// Programmes that are mixed of streams, beyond what the API was asked for.
    pub mixes: Vec<MixConfig>,
    /// What mixes them.
    pub mixer: MixerConfig,
    /// How pictures of them are made.
    pub images: ImagesConfig,
    /// Where streams are sent to, beyond what the API was asked for.
    pub targets: Vec<TargetConfig>,
    /// Where streams are fetched from, beyond what the API was asked for.
    pub sources: Vec<SourceConfig>,
}

/// One of `[[origin.targets]]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// `APP/STREAM`.
    pub stream: String,
    /// `rtmp://`, `rtmps://` or `srt://`; holds secrets.
    pub url: Secret,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Takes any certificate.
    #[serde(default)]
    pub tls_insecure: bool,
}

/// One of `[[origin.sources]]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// `APP/STREAM`.
    pub stream: String,
    /// `srt://`, `udp://`, `http://` or `https://`; may hold secrets.
    pub url: Secret,
    /// Which of the stream's inputs it feeds.
    #[serde(default)]
    pub input: nx_admission::Input,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// What is wrong with lists: targets, encryption, ladders, mixes, sources.
fn feed_faults(config: &Config) -> Vec<(String, String)> {
    let name = |stream: &str| StreamKey::parse(stream).err().map(|e| e.to_string());
    let mix = |(at, mix): (usize, &MixConfig)| mix.faults(at);
    let mut faults: Vec<_> = config.mixes.iter().enumerate().flat_map(mix).collect();
    faults.extend(config.mixer.faults(config.mixes.len()));
    let mut note = |section: &str, at: usize, key: &str, text: Option<String>| {
        faults.extend(text.map(|text| (format!("{section}.{at}.{key}"), text)));
    };
    for (at, target) in config.targets.iter().enumerate() {
        note("targets", at, "stream", name(&target.stream));
        let url = address::Target::parse(target.url.reveal());
        note("targets", at, "url", url.err().map(|e| e.to_string()));
    }
    for (at, section) in config.encryption.iter().enumerate() {
        for (key, text) in section.faults() {
            note("encryption", at, key, Some(text));
        }
    }
    for (at, section) in config.ladder.iter().enumerate() {
        for (key, text) in section.faults() {
            note("ladder", at, key, Some(text));
        }
    }
    for (at, source) in config.sources.iter().enumerate() {
        note("sources", at, "stream", name(&source.stream));
        let url = address::Source::parse(source.url.reveal());
        note("sources", at, "url", url.err().map(|e| e.to_string()));
    }
    faults
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
    /// Applications whose publishers must log in with user and password (`rtmp://user:password@HOST/APP`); the
    /// user is the name of a key of `origin.admission`, the password is the key.
    pub login_apps: Vec<String>,
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
            login_apps: Vec::new(),
        }
    }
}

/// Section `origin.rtmps`; limits are those of `origin.rtmp`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RtmpsConfig {
    /// Off without it.
    pub enabled: bool,
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
}

impl Default for RtmpsConfig {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 1936)) }
    }
}

/// Section `origin.srt`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SrtConfig {
    /// Off without it.
    pub enabled: bool,
    /// Address and UDP port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Least latency of a link: the time in which lost packets are asked for again; a peer may want more.
    /// Milliseconds.
    pub latency_ms: u32,
    /// Links at a time.
    pub connections_max: usize,
}

impl Default for SrtConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([127, 0, 0, 1], 10_080)),
            latency_ms: 120,
            connections_max: 5_000,
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
    /// Segments in a playlist; with more than 6 players may ask for delta updates.
    pub window_segments: usize,
    /// Media per stream beyond which segments that left the playlist are dropped early. Bytes.
    pub window_bytes_max: usize,
    /// How long a stream waits for its publisher to come back. Seconds.
    pub reconnect_s: u32,
    /// Streams at a time.
    pub streams_max: usize,
    /// An input that gave no frame for this long gives way to the backup. Milliseconds.
    pub input_dead_ms: u32,
    /// How long the primary must have been well before the stream returns to it. Milliseconds.
    pub input_well_ms: u32,
    /// A black or flat picture for this long makes way for an input that shows something; 0 never. Milliseconds.
    pub input_black_ms: u32,
    /// The same for silence.
    pub input_silent_ms: u32,
    /// Captions in the picture.
    pub captions: CaptionsConfig,
    /// What is done when nobody sends; the first that fits counts.
    pub policies: Vec<Policy>,
}

/// What becomes of streams that have lost their publishers: `[[origin.stream.policies]]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// `APP/STREAM`, or a beginning followed by `*`.
    pub name: String,
    /// What is shown: a picture, PNG or JPEG, or a clip, MPEG-TS or FLV; without one the stream waits for `reconnect_s`
    /// and ends.
    pub slate: Option<PathBuf>,
    /// How long the stream waits before it shows it. Milliseconds.
    pub slate_after_ms: u32,
    /// How long it is shown before the stream ends. Seconds.
    pub slate_s: u32,
}

impl StreamConfig {
    pub(crate) fn switch_rules(&self) -> Rules {
        Rules { dead_ms: self.input_dead_ms.into(), well_ms: self.input_well_ms.into() }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience { black_ms: self.input_black_ms.into(), silent_ms: self.input_silent_ms.into() }
    }

    /// The policy of a stream.
    #[must_use]
    pub fn policy(&self, key: &StreamKey) -> &Policy {
        const NONE: &Policy = &Policy { name: String::new(), slate: None, slate_after_ms: 0, slate_s: 0 };
        let fits = |p: &&Policy| match p.name.strip_suffix('*') {
            Some(beginning) => key.as_str().starts_with(beginning),
            None => key.as_str() == p.name,
        };
        self.policies.iter().find(fits).unwrap_or(NONE)
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            segment_ms: 2_000,
            part_ms: 333,
            window_segments: 8,
            window_bytes_max: 15 << 19,
            reconnect_s: 60,
            streams_max: 5_000,
            input_dead_ms: 1_000,
            input_well_ms: 5_000,
            input_black_ms: 10_000,
            input_silent_ms: 20_000,
            captions: CaptionsConfig::default(),
            policies: Vec::new(),
        }
    }
}

impl RtmpConfig {
    /// Keys, whether they are right, and what they have to be.
    fn rules(&self) -> [(&'static str, bool, &'static str); 6] {
        [
            ("rtmp.connections_max", self.connections_max > 0, "must be at least 1"),
            ("rtmp.silence_s", (1..=3600).contains(&self.silence_s), "must be 1 to 3600"),
            ("rtmp.takeover_ms", (100..=60_000).contains(&self.takeover_ms), "must be 100 to 60000"),
            (
                "rtmp.message_bytes_max",
                (64 << 10..=16 << 20).contains(&self.message_bytes_max),
                "must be 65536 to 16777216",
            ),
            ("rtmp.player_bytes_max", self.player_bytes_max >= 64 << 10, "must be at least 65536"),
            ("rtmp.shards", self.shards <= 64, "must be 0 (half the cores) to 64"),
        ]
    }
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let stream = &self.stream;
        let rules = [
            (
                "stream.segment_ms",
                stream.segment_ms.is_multiple_of(1000) && (1_000..=30_000).contains(&stream.segment_ms),
                "must be whole seconds between 1000 and 30000",
            ),
            (
                "stream.part_ms",
                (100..=stream.segment_ms).contains(&stream.part_ms),
                "must be at least 100 and at most stream.segment_ms",
            ),
            ("stream.window_segments", (3..=10_000).contains(&stream.window_segments), "must be 3 to 10000"),
            ("stream.streams_max", stream.streams_max > 0, "must be at least 1"),
            ("stream.input_dead_ms", (200..=60_000).contains(&stream.input_dead_ms), "must be 200 to 60000"),
            ("stream.input_well_ms", stream.input_well_ms <= 600_000, "must be at most 600000"),
            (
                "stream.captions",
                stream.captions.is_valid(),
                "needs languages such as CC1 = \"en\" or SERVICE1 = \"pt-BR\"",
            ),
            (
                "stream.policies",
                stream.policies.iter().all(|p| !p.name.is_empty() && (p.slate.is_none() || p.slate_s > 0)),
                "need a name each, and slate_s (how long it is shown) beside a slate",
            ),
            ("store.stream_bytes_max", self.store.stream_bytes_max >= 64 << 20, "must be at least 67108864"),
            (
                "store.bytes_max",
                self.store.bytes_max >= self.store.stream_bytes_max,
                "must be at least store.stream_bytes_max",
            ),
            ("vod.app", self.vod.app_is_good(), "must be the first half of a stream's name, such as vod"),
            (
                "vod.bytes_max",
                self.vod.bytes_max >= self.vod.file_bytes_max,
                "must be at least vod.file_bytes_max",
            ),
            ("vod.workers", self.vod.workers <= 64, "must be 0 (only those of other machines) to 64"),
            ("images.patience_ms", (100..=60_000).contains(&self.images.patience_ms), "must be 100 to 60000"),
            ("srt.latency_ms", (20..=30_000).contains(&self.srt.latency_ms), "must be 20 to 30000"),
            ("srt.connections_max", self.srt.connections_max > 0, "must be at least 1"),
        ];
        let faults = rules
            .into_iter()
            .chain(self.rtmp.rules())
            .chain(self.transcoder.rules())
            .filter(|r| !r.1)
            .map(|(key, _, hint)| (key.to_owned(), hint.to_owned()));
        let admission =
            self.admission.validate().into_iter().map(|(k, hint)| (format!("admission.{k}"), hint));
        let plane = self.plane.validate().into_iter().map(|(k, hint)| (format!("plane.{k}"), hint));
        let cloud = self.store.cloud.faults(self.store.keep_s, self.store.bytes_max);
        faults
            .chain(admission)
            .chain(plane)
            .chain(self.twin.faults(&self.plane))
            .chain(cloud)
            .chain(feed_faults(self))
            .chain(self.store.faults())
            .collect()
    }
}
