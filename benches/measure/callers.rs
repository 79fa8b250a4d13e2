//! Many SRT publishers in one process: MPEG-TS from a clip in memory, whole frames at their due time.

use std::io::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nx_codec::{aac, avc};
use nx_container::flv::{self, AudioTag, TAG_AUDIO, TAG_VIDEO, VideoTag};
use nx_container::ts::{self, PACKET_LEN, Tracks};
use nx_media::{AudioParams, Sample, VideoParams};
use nx_srt::{CallerConfig, Link, Stats, connect};

/// Seven packets, as every SRT encoder sends them.
const DATAGRAM: usize = 7 * PACKET_LEN;
const TICK: Duration = Duration::from_millis(10);
/// Key frames of the publishers are spread over one GOP.
const GOP: Duration = Duration::from_secs(2);

/// A transport stream in memory: when each datagram is due, and what it holds.
pub(crate) struct TsClip {
    datagrams: Vec<(Duration, Bytes)>,
}

impl TsClip {
    /// Makes it of an FLV file with H.264 and AAC.
    pub(crate) fn load(flv: &Path) -> Self {
        let file = Bytes::from(std::fs::read(flv).expect("a clip can be read"));
        let (video, pictures, audio, sounds) = samples(&file);
        let tracks = Tracks { video: Some((&video, &pictures)), audio: &[(&audio, &sounds)] };
        let stream = ts::segment(&tracks, 0).expect("H.264 and AAC fit");
        let mut due = Duration::ZERO;
        let datagrams = (0..stream.len()).step_by(DATAGRAM).map(|at| {
            let datagram = stream.slice(at..stream.len().min(at + DATAGRAM));
            due = datagram.chunks(PACKET_LEN).filter_map(begins_at).fold(due, Duration::max);
            (due, datagram)
        });
        Self { datagrams: datagrams.collect() }
    }

    /// How long it lasts.
    pub(crate) fn length(&self) -> Duration {
        self.datagrams.last().map_or(Duration::ZERO, |(due, _)| *due)
    }

    /// Bytes of transport stream per second.
    pub(crate) fn bytes_per_s(&self) -> f64 {
        let bytes: usize = self.datagrams.iter().map(|(_, bytes)| bytes.len()).sum();
        bytes as f64 / self.length().as_secs_f64()
    }
}

fn samples(file: &Bytes) -> (VideoParams, Vec<Sample>, AudioParams, Vec<Sample>) {
    let (mut video, mut pictures, mut audio, mut sounds) = (None, Vec::new(), None, Vec::new());
    for (kind, at_ms, body) in flv::tags(file) {
        let body = file.slice_ref(body);
        let read = match kind {
            TAG_VIDEO => flv::parse_video(&body, &mut |_, tag| match tag {
                VideoTag::Config { record, .. } => video = avc::parse_config(&record).ok(),
                VideoTag::Frame { key, payload, .. } => {
                    let dts = i64::from(at_ms) * 90;
                    pictures.push(Sample { dts, pts: dts, duration: None, key, payload });
                }
                _ => {}
            }),
            TAG_AUDIO => flv::parse_audio(&body, &mut |_, tag| match tag {
                AudioTag::Config { header, .. } => audio = aac::parse_config(&header).ok(),
                AudioTag::Frame { payload, .. } => {
                    let dts = sounds.len() as i64 * 1024;
                    sounds.push(Sample { dts, pts: dts, duration: Some(1024), key: true, payload });
                }
                AudioTag::Ignored => {}
            }),
            _ => Ok(()),
        };
        read.expect("ffmpeg writes sound tags");
    }
    (video.expect("pictures"), pictures, audio.expect("sound"), sounds)
}

/// The time since the first frame, when this packet begins a PES packet.
fn begins_at(packet: &[u8]) -> Option<Duration> {
    let [_, flags, _, control, field, ..] = *packet else { return None };
    // A start in one of the packet ids from 0x100 on, where pictures and sound are.
    let media = flags & 0x5f == 0x41;
    let start = 4 + if control & 0x20 == 0 { 0 } else { 1 + usize::from(field) };
    let pes = packet.get(start..).filter(|pes| media && pes.starts_with(&[0, 0, 1]))?;
    let [a, b, c, d, e] = *pes.get(9..)?.first_chunk()?;
    let low = |high: u8, byte: u8| u64::from(high) << 7 | u64::from(byte >> 1);
    let pts = u64::from(a >> 1 & 7) << 30 | low(b, c) << 15 | low(d, e);
    let ticks = pts.saturating_sub(ts::TIME_OFFSET_90K.unsigned_abs());
    Some(Duration::from_micros(ticks * 100 / 9))
}

/// The publishers.
pub(crate) struct Callers {
    shared: Arc<Shared>,
    thread: JoinHandle<Report>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    bytes: AtomicU64,
}

/// How they fared.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Links that were closed, with the reason of each.
    pub(crate) fallen: Vec<String>,
    /// Packets that went out a second time.
    pub(crate) resent: u64,
    /// Packets that were given up before they were acknowledged, or that the queue did not take.
    pub(crate) dropped: u64,
}

impl Callers {
    /// Calls each address, as `live/bench000` and so on; returns when all are accepted and begin to send.
    ///
    /// # Errors
    /// When one is refused.
    pub(crate) fn start(addresses: &[SocketAddr], clip: &Arc<TsClip>) -> Result<Self> {
        let call = |(nth, address): (usize, &SocketAddr)| {
            connect(CallerConfig::new(*address, format!("publish:live/bench{nth:03}")))
        };
        let links: Vec<Link> = addresses.iter().enumerate().map(call).collect::<Result<_>>()?;
        let shared = Arc::new(Shared::default());
        let (clip, theirs) = (clip.clone(), shared.clone());
        let thread = std::thread::spawn(move || send(&links, &clip, &theirs));
        Ok(Self { shared, thread })
    }

    /// Bytes handed over so far by all.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Stops all and tells how it went.
    pub(crate) fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("callers do not panic")
    }
}

/// Sends for all, every 10 ms what is due, until told to stop or until the clip is over.
fn send(links: &[Link], clip: &TsClip, shared: &Shared) -> Report {
    let start = Instant::now();
    let apart = GOP / u32::try_from(links.len()).unwrap_or(u32::MAX).max(1);
    let mut places = vec![0; links.len()];
    let mut refused = 0;
    let mut tick = start;
    while !shared.stop.load(Ordering::Relaxed) {
        for (nth, (link, place)) in (0..).zip(links.iter().zip(&mut places)) {
            let now = start.elapsed().checked_sub(apart * nth);
            let rest = clip.datagrams.get(*place..).unwrap_or_default();
            for (_, bytes) in rest.iter().take_while(|(due, _)| now.is_some_and(|now| *due <= now)) {
                *place += 1;
                refused += u64::from(link.send(bytes.clone()).is_err());
                shared.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        }
        tick += TICK;
        std::thread::sleep(tick.saturating_duration_since(Instant::now()));
    }
    let stats: Vec<Stats> = links.iter().map(Link::stats).collect();
    let fallen = links.iter().filter_map(Link::closed).collect();
    links.iter().for_each(Link::close);
    let resent = stats.iter().map(|s| s.packets_resent).sum();
    let dropped = stats.iter().map(|s| s.packets_send_dropped).sum::<u64>() + refused;
    Report { fallen, resent, dropped }
}
