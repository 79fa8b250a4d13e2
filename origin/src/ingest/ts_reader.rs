//! A transport stream into frames: demultiplexer, then one elementary reader per track.

use nx_codec::elementary::{AudioFormat, AudioReader, Frame, Item, Unit, VideoReader};
use nx_container::ts::demux::{Config, Demuxer, Event, Program, Stats, Stream, StreamFormat, Unsupported};
use nx_media::{TrackId, VideoCodec};
use nx_timeline::Arrival;

use crate::media::{Expect, Media};

/// How long the first frame waits for a track that the program announces; milliseconds. A picture may be a whole
/// group of pictures away; sound comes at once or not at all.
const VIDEO_PATIENCE_MS: i64 = 5_000;
const AUDIO_PATIENCE_MS: i64 = 1_500;
/// Tracks of one program; further ones are ignored.
const TRACKS_MAX: usize = 32;

/// State machine of one transport stream.
#[derive(Debug)]
pub(crate) struct TsReader {
    demuxer: Demuxer,
    tracks: Vec<Track>,
    /// What cannot be carried, in words, for the status page.
    pub(crate) unsupported: Vec<String>,
}

#[derive(Debug)]
struct Track {
    stream: Stream,
    id: TrackId,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Video(Box<VideoReader>),
    Audio(Box<AudioReader>),
}

impl TsReader {
    pub(crate) fn new() -> Self {
        Self { demuxer: Demuxer::new(Config::default()), tracks: Vec::new(), unsupported: Vec::new() }
    }

    /// Takes bytes, in any split.
    pub(crate) fn push(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Media)) {
        self.demuxer.push(bytes);
        self.events(sink);
    }

    /// The end of a file: what is half read is whole.
    pub(crate) fn finish(&mut self, sink: &mut dyn FnMut(Media)) {
        self.demuxer.flush();
        self.events(sink);
    }

    fn events(&mut self, sink: &mut dyn FnMut(Media)) {
        while let Some(event) = self.demuxer.poll() {
            match event {
                Event::Program(program) => self.program(program, sink),
                Event::Unit { pid, unit, .. } => self.unit(pid, unit, sink),
                Event::Splice { splice, .. } => sink(Media::Cue(splice)),
                Event::Unsupported(Unsupported { pid, stream_type, name }) => {
                    if self.unsupported.len() < TRACKS_MAX {
                        let text = format!("{name} (stream type 0x{stream_type:02x}, PID {pid}) is left out");
                        self.unsupported.push(text);
                    }
                }
            }
        }
    }

    /// What was lost on the way.
    pub(crate) fn stats(&self) -> Stats {
        self.demuxer.stats()
    }

    /// Access units that could not be read.
    pub(crate) fn damaged(&self) -> u64 {
        let damaged = |t: &Track| match &t.reader {
            Reader::Video(video) => video.damaged(),
            Reader::Audio(audio) => audio.damaged(),
        };
        self.tracks.iter().map(damaged).sum()
    }

    /// A program begins or changes: streams that stay keep their track.
    fn program(&mut self, program: Program, sink: &mut dyn FnMut(Media)) {
        let mut old = std::mem::take(&mut self.tracks);
        for stream in program.streams.into_iter().take(TRACKS_MAX) {
            let same = old.iter().position(|t| t.stream == stream);
            let track = match same.map(|at| old.swap_remove(at)) {
                Some(track) => Some(track),
                None => self.track(stream, &old),
            };
            self.tracks.extend(track);
        }
        sink(Media::Expect(Expect {
            tracks: self.tracks.iter().map(|t| t.id).collect(),
            video_ms: VIDEO_PATIENCE_MS,
            audio_ms: AUDIO_PATIENCE_MS,
            exact: true,
        }));
    }

    fn track(&self, stream: Stream, old: &[Track]) -> Option<Track> {
        let audio = |format| Reader::Audio(Box::new(AudioReader::new(format, stream.language)));
        let video = |codec| Reader::Video(Box::new(VideoReader::new(codec)));
        let reader = match stream.format {
            StreamFormat::Avc => video(VideoCodec::Avc),
            StreamFormat::Hevc => video(VideoCodec::Hevc),
            StreamFormat::AacAdts => audio(AudioFormat::AacAdts),
            StreamFormat::AacLatm => audio(AudioFormat::AacLatm),
            StreamFormat::Mpa => audio(AudioFormat::Mpa),
            StreamFormat::Ac3 => audio(AudioFormat::Ac3),
            StreamFormat::Eac3 => audio(AudioFormat::Eac3),
            StreamFormat::Opus { channels } => audio(AudioFormat::Opus { channels }),
            _ => return None,
        };
        let id = |nth| match reader {
            Reader::Video(_) => TrackId::video(nth),
            Reader::Audio(_) => TrackId::audio(nth),
        };
        let free = |id: &TrackId| self.tracks.iter().chain(old).all(|t| t.id != *id);
        let id = (0..u8::MAX).map(id).find(free)?;
        Some(Track { stream, id, reader })
    }

    fn unit(&mut self, pid: u16, unit: Unit, sink: &mut dyn FnMut(Media)) {
        let Some(track) = self.tracks.iter_mut().find(|t| t.stream.pid == pid) else { return };
        let id = track.id;
        let opus = matches!(track.stream.format, StreamFormat::Opus { .. });
        let mut item = |item| match item {
            Item::Params(params) => sink(Media::Params(id, params)),
            Item::Frame(Frame { dts, cts, key, payload }) => {
                let samples = if opus { nx_codec::opus::packet_samples(&payload) } else { None };
                let stamp = dts.rem_euclid(1 << 33).unsigned_abs();
                sink(Media::Frame(Arrival { track: id, stamp, fine: 0, cts, key, samples, payload }));
            }
        };
        match &mut track.reader {
            Reader::Video(reader) => reader.push(unit, &mut item),
            Reader::Audio(reader) => reader.push(unit, &mut item),
        }
    }
}
