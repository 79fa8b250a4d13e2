//! The real worker, spoken to without a server; files as what is said to it, and what it says as files.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use bytes::Bytes;
use nx_codec::{aac, av1, avc, hevc, opus};
use nx_container::fmp4;
use nx_container::index::{Packing, SNIFF_BYTES, Step, indexer, sniff};
use nx_media::{AudioCodec, AudioParams, Kind, Params, Sample, VideoCodec, VideoParams};
use nx_worker_protocol::{
    AudioSource, Filters, LENGTH, Ladder, Load, Output, Reply, Request, Sound, VERSION, VideoSource,
    frame_len,
};

use super::nexus_bin;

pub(crate) fn real_worker() -> PathBuf {
    let path = nexus_bin().with_file_name("nexus-transcoder");
    assert!(path.exists(), "{} is missing: `make transcoder` builds it", path.display());
    path
}

/// See the module.
pub(crate) struct Worker(Child);

impl Worker {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(real_worker());
        let command = command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().expect("it starts");
        let mut worker = Self(child);
        assert_eq!(worker.hear(), Some(Reply::Hello(VERSION)));
        worker
    }

    pub(crate) fn say(&mut self, request: &Request) {
        say(self.0.stdin.as_mut().expect("a pipe"), request);
    }

    pub(crate) fn hear(&mut self) -> Option<Reply> {
        let output = self.0.stdout.as_mut().expect("a pipe");
        let mut length = [0; LENGTH];
        output.read_exact(&mut length).ok()?;
        let mut frame = vec![0; frame_len(length).expect("a length")];
        output.read_exact(&mut frame).ok()?;
        Some(Reply::read(frame.into()).expect("a reply"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Says all of it while it listens, and then that the run is over, unless it knows.
    pub(crate) fn make(&mut self, mut requests: Vec<Request>) -> Made {
        let mut input = self.0.stdin.take().expect("a pipe");
        if !matches!(requests.last(), Some(Request::Slate(_))) {
            requests.push(Request::Flush);
        }
        let writer = std::thread::spawn(move || {
            requests.iter().for_each(|request| say(&mut input, request));
            input
        });
        let mut made = Made::default();
        while let Some(reply) = self.hear() {
            match reply {
                Reply::Opened { output, config, encoder } => {
                    made.output(output).opened.push((config, encoder));
                }
                Reply::Refused { output, why } => made.output(output).refused = Some(why),
                Reply::Coded { output, sample } => made.output(output).samples.push(sample),
                Reply::Load(load) => made.loads.push(load),
                Reply::Flushed => {
                    made.flushed = true;
                    break;
                }
                other => unreachable!("a ladder has no {other:?}"),
            }
        }
        self.0.stdin = writer.join().ok();
        made
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The worker may be dead: then it hears nothing, and says nothing either.
fn say(input: &mut ChildStdin, request: &Request) {
    let _ = input.write_all(&request.write().expect("fits"));
}

/// What became of a run.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) outputs: Vec<Track>,
    pub(crate) loads: Vec<Load>,
    /// It came to its end.
    pub(crate) flushed: bool,
}

/// One output.
#[derive(Debug, Default)]
pub(crate) struct Track {
    pub(crate) opened: Vec<(Bytes, String)>,
    pub(crate) refused: Option<String>,
    pub(crate) samples: Vec<Sample>,
}

impl Made {
    fn output(&mut self, index: u8) -> &mut Track {
        let index = usize::from(index);
        while self.outputs.len() <= index {
            self.outputs.push(Track::default());
        }
        &mut self.outputs[index]
    }
}

impl Track {
    /// Presentation times of all samples, or of key frames.
    pub(crate) fn times(&self, keys: bool) -> Vec<i64> {
        self.samples.iter().filter(|s| s.key || !keys).map(|s| s.pts).collect()
    }

    /// As fragmented MP4.
    pub(crate) fn save(&self, output: &Output, path: &Path) {
        let (config, _) = self.opened.first().expect("it was opened");
        let params = match output {
            Output::Rung(rung) => Params::Video(
                match rung.codec {
                    VideoCodec::Avc => avc::parse_config(config).map_err(|e| e.to_string()),
                    VideoCodec::Hevc => hevc::parse_config(config).map_err(|e| e.to_string()),
                    _ => av1::parse_config(config).map_err(|e| e.to_string()),
                }
                .expect("a configuration"),
            ),
            Output::Sound(Sound { codec: AudioCodec::Opus, channels, .. }) => {
                Params::Audio(opus::params(*channels, None))
            }
            Output::Sound(_) => Params::Audio(aac::parse_config(config).expect("a configuration")),
        };
        // A file begins at 0, sound of MP4 in front of it.
        let early = self.samples.first().map_or(0, |first| first.dts.min(0));
        let later = |s: &Sample| Sample { dts: s.dts - early, pts: s.pts - early, ..s.clone() };
        let samples: Vec<Sample> = self.samples.iter().map(later).collect();
        let fragment = fmp4::fragment(1, params.kind(), &samples).expect("a fragment");
        std::fs::write(path, [fmp4::init(&params), fragment].concat()).expect("a file");
    }
}

/// A file's first picture and sound, as tracks.
pub(crate) struct Source {
    pub(crate) video: Option<(VideoParams, Vec<Sample>)>,
    pub(crate) audio: Option<(AudioParams, Vec<Sample>)>,
}

impl Source {
    pub(crate) fn load(path: &Path) -> Self {
        let file = Bytes::from(std::fs::read(path).expect("a file"));
        let kind = sniff(&file[..file.len().min(SNIFF_BYTES)]).expect("a kind of file");
        let mut indexer = indexer(kind, file.len() as u64);
        let index = loop {
            match indexer.next().expect("a sound file") {
                Step::Read { offset, bytes } => {
                    let from = usize::try_from(offset).expect("small").min(file.len());
                    indexer.take(&file[from..(from + bytes).min(file.len())]).expect("a sound file");
                }
                Step::Done(index) => break index,
            }
        };
        let mut source = Self { video: None, audio: None };
        for track in index.tracks {
            let sample = |place: &nx_container::index::Place| {
                let from = usize::try_from(place.offset).expect("small");
                let payload = file.slice(from..from + place.bytes as usize);
                let payload = match &track.packing {
                    Packing::Whole => payload,
                    Packing::Behind(head) => [&head[..], &payload].concat().into(),
                    Packing::Ts { .. } => unreachable!("no test has such a file"),
                };
                let pts = place.dts + i64::from(place.cts);
                Sample { dts: place.dts, pts, duration: Some(place.duration), key: place.key, payload }
            };
            let samples = track.samples.iter().map(sample).collect();
            match track.params {
                Params::Video(params) => source.video = source.video.or(Some((params, samples))),
                Params::Audio(params) => source.audio = source.audio.or(Some((params, samples))),
            }
        }
        source
    }

    /// The ladder of these outputs, and all samples in the order of their time.
    pub(crate) fn requests(&self, filters: Filters, outputs: Vec<Output>) -> Vec<Request> {
        let side = |n: u32| u16::try_from(n).expect("small");
        let video = self.video.as_ref().map(|(video, _)| VideoSource {
            codec: video.codec,
            config: video.config.clone(),
            width: side(video.width),
            height: side(video.height),
            frame_rate: video.frame_rate,
        });
        let audio = self.audio.as_ref().map(|(audio, _)| AudioSource {
            codec: audio.codec,
            config: audio.config.clone(),
            sample_rate: audio.sample_rate,
            channels: audio.channels,
        });
        let of = |kind: Kind, scale: u32, samples: &[Sample]| {
            let sample = |s: &Sample| (s.dts * 1_000_000 / i64::from(scale), kind, s.clone());
            samples.iter().map(sample).collect::<Vec<_>>()
        };
        let mut samples = Vec::new();
        if let Some((_, video)) = &self.video {
            samples.extend(of(Kind::Video, nx_media::VIDEO_TIMESCALE, video));
        }
        if let Some((params, audio)) = &self.audio {
            samples.extend(of(Kind::Audio, params.sample_rate, audio));
        }
        samples.sort_by_key(|(at, ..)| *at);
        let ladder = Request::Ladder(Box::new(Ladder { video, audio, filters, outputs }));
        let samples = samples.into_iter().map(|(_, kind, sample)| Request::Sample(kind, sample));
        [ladder].into_iter().chain(samples).collect()
    }
}
