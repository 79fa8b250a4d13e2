//! What is kept of the streams beyond their windows: segments go to the store as they end, views read them back.

mod rules;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use nx_contract::recordings::{Recording, Recordings};
use nx_delivery::{Archive, Film, LiveStream, Piece, Reader, Source};
use nx_hls::{Event, Lookup, Rfc3339, Run, Unstored, Window};
use nx_media::StreamKey;
use nx_store::{Budget, Cursor, Log, Media, Store, Tier};
use serde::{Deserialize, Serialize};

pub use self::rules::StoreRule;
pub(crate) use self::rules::{Rule, Rules};
use crate::assets::{Shelf, Signer};
use crate::cloud::CloudConfig;
use crate::hub::{Hub, lock};

/// Streams that are not on and were asked for lately: their views are kept.
const OFF_MAX: usize = 64;

/// Section `origin.store`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// How long streams are kept on disk; 0 keeps nothing. Seconds.
    pub keep_s: u32,
    /// Where; `store` in the data folder by default.
    pub folder: Option<PathBuf>,
    /// What one stream may take. Bytes.
    pub stream_bytes_max: u64,
    /// What all streams may take together. Bytes.
    pub bytes_max: u64,
    /// Object storage behind the disk.
    pub cloud: CloudConfig,
    /// How long deleted recordings and clips can be restored. Seconds.
    pub trash_s: u32,
    /// What differs from stream to stream; of those that fit, the one that says most counts.
    pub rule: Vec<StoreRule>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            keep_s: 0,
            folder: None,
            stream_bytes_max: 64 << 30,
            bytes_max: 256 << 30,
            cloud: CloudConfig::default(),
            trash_s: 7 * 86_400,
            rule: Vec::new(),
        }
    }
}

impl StoreConfig {
    pub(crate) fn folder(&self, data: &Path) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| data.join("store"))
    }
}

/// The store of an origin, and its streams that are not on.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) store: Store,
    /// What outlives the rest.
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) signer: Signer,
    /// A pause of up to this long is one recording.
    pub(crate) join_ms: i64,
    /// The one asked for last is last.
    off: Mutex<VecDeque<Arc<LiveStream>>>,
}

impl Kept {
    /// Opens the store if anything is to be kept, or was made an asset.
    ///
    /// # Errors
    /// In words: the folder cannot be used, or the settings of object storage make no sense.
    pub(crate) fn open(config: &StoreConfig, data: &Path, reconnect_s: u32) -> Result<Option<Self>, String> {
        let folder = config.folder(data);
        let rules = Rules::new(config)?;
        if !rules.keep_any() && !folder.join("assets").exists() {
            return Ok(None);
        }
        let budget = Budget {
            keep_ms: rules.longest_ms(),
            stream_bytes: config.stream_bytes_max,
            bytes: config.bytes_max,
        };
        let tier = config.cloud.open()?.map(|objects| Tier {
            objects,
            keep_ms: i64::from(config.cloud.keep_s.max(config.keep_s)) * 1000,
            bytes: config.cloud.most(),
        });
        let unusable = |e| {
            format!(
                "the store in {} cannot be used: {e}; check the folder's rights, or set origin.store.folder",
                folder.display()
            )
        };
        let assets = nx_store::Assets::open(&folder).map_err(unusable)?;
        let shelf = Arc::new(Shelf::new(assets, rules, config.trash_s));
        let store = Store::open_with(&folder, budget, Some(shelf.clone()), tier).map_err(unusable)?;
        let join_ms = i64::from(reconnect_s) * 1000 + 5_000;
        let signer = Signer::new(data);
        Ok(Some(Self { store, shelf, signer, join_ms, off: Mutex::default() }))
    }

    fn archive(&self, log: Arc<Log>) -> Arc<dyn Archive> {
        Arc::new(Archived { log, join_ms: self.join_ms })
    }

    /// The log of a stream that is on, if it is kept or ever was.
    fn log(&self, key: &StreamKey) -> Option<Arc<Log>> {
        if self.shelf.rule(key).keeps() { Some(self.store.log(key)) } else { self.store.find(key) }
    }

    pub(crate) fn totals(&self) -> nx_store::Totals {
        self.store.totals()
    }

    pub(crate) fn cloud_totals(&self) -> Option<nx_store::CloudTotals> {
        self.store.cloud_totals()
    }
}

impl Hub {
    /// Gives a stream its past.
    pub(crate) fn remember(&self, key: &StreamKey, live: &LiveStream) {
        if let Some(kept) = &self.kept
            && let Some(log) = kept.log(key)
        {
            live.remember(kept.archive(log));
        }
    }

    /// Who keeps what a stream's packager makes.
    pub(crate) fn keeper(&self, key: &StreamKey) -> Option<Keeper> {
        let kept = self.kept.clone().filter(|kept| kept.shelf.rule(key).keeps())?;
        let log = kept.store.log(key);
        Some(Keeper { kept, log, run: None })
    }

    /// A stream that is not on, if anything is kept of it.
    pub(crate) fn off(&self, key: &StreamKey) -> Option<Arc<LiveStream>> {
        let kept = self.kept.as_ref()?;
        let log = kept.store.find(key).filter(|log| log.span().is_some())?;
        let mut off = lock(&kept.off);
        let at = off.iter().position(|s| s.key() == key);
        let stream = at.and_then(|at| off.remove(at)).unwrap_or_else(|| {
            let target_s = u64::from(self.config.stream.segment_ms / 1000);
            let mut window = Window::new(self.config.stream.window_segments, target_s, 0);
            window.apply(Event::End);
            let stream = Arc::new(LiveStream::new(key.clone(), window));
            stream.remember(kept.archive(log));
            self.keys.give(key, &stream);
            stream
        });
        if off.len() >= OFF_MAX {
            off.pop_front();
        }
        off.push_back(stream.clone());
        Some(stream)
    }
}

impl Recordings for Hub {
    fn recordings(&self) -> Vec<Recording> {
        let Some(kept) = &self.kept else { return Vec::new() };
        let mut all = Vec::new();
        for (key, log) in kept.store.list() {
            // Its last segments may still be on their way to the disk.
            let on =
                log.is_open() || self.entry(&key).is_some_and(|entry| entry.live.read(|w| !w.is_ended()));
            let recordings = log.recordings(kept.join_ms);
            let newest = recordings.len().saturating_sub(1);
            all.extend(recordings.iter().enumerate().map(|(nth, r)| recording(&key, r, on && nth == newest)));
        }
        all.sort_by(|a: &Recording, b| b.begins_at.cmp(&a.begins_at).then_with(|| a.stream.cmp(&b.stream)));
        all
    }
}

fn recording(key: &StreamKey, of: &nx_store::Recording, on: bool) -> Recording {
    // One that goes on has no end yet.
    let [hls_path, dash_path, mp4_path] = paths(key.as_str(), of.begins_ms, (!on).then_some(of.ends_ms));
    Recording {
        stream: key.to_string(),
        begins_at: Rfc3339(of.begins_ms).to_string(),
        ends_at: (!on).then(|| Rfc3339(of.ends_ms).to_string()),
        duration_ms: u64::try_from(of.ends_ms - of.begins_ms).unwrap_or(0),
        bytes: of.bytes,
        hls_path,
        dash_path,
        mp4_path,
    }
}

/// Where a stretch of a stream is had as HLS, as DASH and as MP4.
pub(crate) fn paths(stream: &str, begins_ms: i64, ends_ms: Option<i64>) -> [String; 3] {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let end = ends_ms.map(|ms| format!("&end={}", seconds(ms))).unwrap_or_default();
    let query = format!("start={}{end}", seconds(begins_ms));
    ["index.m3u8", "manifest.mpd", "video.mp4"].map(|name| format!("/{stream}/{name}?{query}"))
}

/// Keeps the segments of one stream.
pub(crate) struct Keeper {
    kept: Arc<Kept>,
    log: Arc<Log>,
    run: Option<Arc<Run>>,
}

impl Keeper {
    /// The first run that the store has no tracks of.
    pub(crate) fn next_run(&self) -> u32 {
        self.log.next_run()
    }

    /// Goes on with a run that another origin has begun, unless the store has another one under its number.
    pub(crate) fn follow(&mut self, run: &Arc<Run>, stream: &StreamKey) {
        let known = self.next_run() > run.number.saturating_add(1);
        if known {
            let run = run.number;
            tracing::warn!(%stream, run, "not kept: the store has other media under this run's number");
        }
        self.run = (!known).then(|| run.clone());
    }

    /// Takes note of an event that the window of `live` has seen.
    pub(crate) fn note(&mut self, event: &Event, live: &LiveStream) {
        match event {
            Event::Run(run) => self.run = Some(run.clone()),
            Event::SegmentEnd { track, msn, .. } => {
                let whole = live.read(|w| match w.segment(*track, *msn) {
                    Lookup::Found(segment) => Some(segment.clone()),
                    _ => None,
                });
                let (Some(run), Some(segment)) = (&self.run, whole) else { return };
                let text = (*track == run.leader()).then(|| live.read(|w| w.text_to_keep(*msn))).flatten();
                let text = text.and_then(|(about, texts)| nx_store::text_segment(&segment, &about, &texts));
                self.kept.store.keep(&self.log, run, *track, segment);
                if let Some(text) = text {
                    self.kept.store.keep(&self.log, run, nx_store::TEXT, text);
                }
            }
            Event::End => self.kept.store.close(&self.log),
            _ => {}
        }
    }
}

#[derive(Debug)]
struct Archived {
    log: Arc<Log>,
    join_ms: i64,
}

impl Archive for Archived {
    fn version(&self) -> u64 {
        self.log.version()
    }

    fn epoch(&self) -> u64 {
        self.log.epoch()
    }

    fn newest_recording_ms(&self) -> Option<i64> {
        self.log.recordings(self.join_ms).last().map(|r| r.begins_ms)
    }

    fn reader(self: Arc<Self>, from_ms: i64) -> Box<dyn Reader> {
        Box::new(LogReader { log: self.log.clone(), cursor: Cursor::from(from_ms) })
    }

    fn segment(&self, track: &str, msn: u64, run: Option<u32>) -> io::Result<Option<Bytes>> {
        self.log.segment(track, msn, run)
    }

    fn text(&self, rendition: usize, msn: u64) -> io::Result<Option<Bytes>> {
        self.log.text(rendition, msn)
    }

    fn run(&self, msn: u64, run: Option<u32>) -> io::Result<Option<Arc<Run>>> {
        self.log.run_of(msn, run)
    }

    fn beginning(&self, track: &str, msn: u64, run: u32, bytes: usize) -> io::Result<Option<Bytes>> {
        self.log.beginning(track, msn, run, bytes)
    }

    fn film(&self, from_ms: i64, to_ms: i64, live: Vec<Unstored>) -> io::Result<Option<Film>> {
        let movie = self.log.movie(from_ms, to_ms, &live)?;
        let piece = |p: nx_store::Piece| {
            let (offset, bytes) = (p.offset, p.bytes);
            Piece { source: Arc::new(Volume(p.media)), offset, bytes }
        };
        Ok(movie.map(|m| Film::new(m.front, m.pieces.into_iter().map(piece), m.rest)))
    }

    fn init(&self, track: &str, run: u32, key: Option<u64>) -> io::Result<Option<Bytes>> {
        self.log.init(track, run, key)
    }
}

/// Media of the store, for those who send them.
#[derive(Debug)]
struct Volume(Media);

impl Source for Volume {
    fn read(&self, at: u64, len: u64) -> io::Result<Bytes> {
        nx_store::Source::read(&self.0, at, len)
    }
}

struct LogReader {
    log: Arc<Log>,
    cursor: Cursor,
}

impl Reader for LogReader {
    fn read(&mut self, until_ms: i64) -> io::Result<Vec<Event>> {
        self.log.read(&mut self.cursor, until_ms)
    }
}
