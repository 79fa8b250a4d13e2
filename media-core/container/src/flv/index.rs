//! Where the samples of an FLV file lie: the tags one behind the other, their headers only.

use bytes::Bytes;
use nx_codec::{aac, av1, flac, mpa, opus, vp9};
use nx_media::{AudioCodec, Kind, Params, VideoCodec};

use super::{AudioTag, FlvError, TAG_AUDIO, TAG_VIDEO, VideoTag, parse_audio, parse_video};
use crate::index::{
    Beat, Clock90k, Cut, Draft, Epochs, Halt, Index, IndexError, PLACE_BYTES_MAX, Packing, Place, READ_MAX,
    SAMPLES_MAX, TRACKS_MAX, Walk, Window, assemble, avc_params, frame_params, frame_samples, from_90k,
    hevc_params, note,
};

/// Size of the tag before, and a tag's header.
const HEAD_BYTES: usize = 15;
/// Bytes of a tag's body that are looked at, as long as they tell enough.
const FRONT_BYTES: usize = 64;
/// Where a stream of pictures goes on behind a leap of its clock; 90 kHz.
const STEP: i64 = 3_600;
const TEMPORAL_DELIMITER: [u8; 2] = [0x12, 0];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct FlvFile {
    /// Of the size in front of the next tag; 0 before the first.
    at: u64,
    tracks: Vec<Track>,
    epochs: Epochs,
    samples: usize,
    left_out: Vec<String>,
}

#[derive(Debug)]
struct Track {
    kind: Kind,
    /// As tags have it.
    number: u8,
    /// The record or header that told the parameters.
    record: Bytes,
    params: Option<Params>,
    /// Another configuration came; it matters to the frames behind it.
    changed: bool,
    /// Why nothing more of it is taken.
    ended: Option<String>,
    clock: Clock90k,
    beat: Beat,
    samples: Vec<Place>,
    last: Option<u32>,
}

/// One thing in a tag, of either kind.
#[derive(Debug)]
enum Item {
    Config(Codec, Bytes),
    Frame { codec: Codec, key: bool, cts_ms: i32, nanos: u32, at: usize, payload: Bytes },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Video(VideoCodec),
    Audio(AudioCodec),
}

impl Walk for FlvFile {
    fn step(&mut self, window: &mut Window) -> Result<bool, Halt> {
        if self.at == 0 {
            let Some(&[b'F', b'L', b'V', _, _, ref len @ ..]) = window.get(0, 9)?.first_chunk::<9>() else {
                return Err(IndexError::Broken { what: "no FLV signature".to_owned(), at: 0 }.into());
            };
            self.at = u64::from(u32::from_be_bytes(*len).max(9));
            return Ok(true);
        }
        let head = window.get(self.at, HEAD_BYTES)?;
        let Some(&[_, _, _, _, kind, s0, s1, s2, t1, t2, t3, t0, ..]) = head.first_chunk::<HEAD_BYTES>()
        else {
            return Ok(false);
        };
        let size = u32::from_be_bytes([0, s0, s1, s2]);
        let end = self.at.saturating_add(HEAD_BYTES as u64 + u64::from(size));
        if end > window.file_bytes() {
            note(&mut self.left_out, format!("the file ends inside the tag at byte {}", self.at));
            return Ok(false);
        }
        let time_ms = u32::from_be_bytes([t0, t1, t2, t3]);
        match kind {
            TAG_VIDEO => self.tag(window, Kind::Video, time_ms, size)?,
            TAG_AUDIO => self.tag(window, Kind::Audio, time_ms, size)?,
            _ if kind & 0x20 != 0 => note(&mut self.left_out, "encrypted tags".to_owned()),
            _ => {}
        }
        self.at = end;
        Ok(true)
    }

    fn finish(&mut self) -> Result<Index, IndexError> {
        let mut left_out = std::mem::take(&mut self.left_out);
        let mut drafts = Vec::new();
        for Track { kind, number, params, ended, samples, last, .. } in std::mem::take(&mut self.tracks) {
            left_out.extend(ended);
            match params {
                Some(params) => drafts.push(Draft { params, packing: Packing::Whole, samples, last }),
                None => left_out.push(format!("{kind:?} track {number}: nothing tells its parameters")),
            }
        }
        assemble(drafts, left_out)
    }
}

impl FlvFile {
    fn tag(&mut self, window: &mut Window, kind: Kind, time_ms: u32, size: u32) -> Result<(), Halt> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        for len in [size.min(FRONT_BYTES), size] {
            if len > READ_MAX - HEAD_BYTES {
                note(&mut self.left_out, format!("the tag at byte {}: its header is too long", self.at));
                return Ok(());
            }
            let data = window.get(self.at, len + HEAD_BYTES)?;
            let body = Bytes::copy_from_slice(data.get(HEAD_BYTES..).unwrap_or_default());
            let whole = len == size;
            let (items, result) = items(kind, &body);
            if !whole && self.wants_more(kind, &items, &result) {
                continue;
            }
            if let Err(error) = result {
                note(&mut self.left_out, error.to_string());
            }
            for (number, item) in items {
                self.item(kind, number, item, time_ms, (!whole).then_some(size))?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Whether the front of a body is not enough.
    fn wants_more(&self, kind: Kind, items: &[(u8, Item)], result: &Result<(), FlvError>) -> bool {
        let tells = |(number, item): &(u8, Item)| match item {
            Item::Config(..) => false,
            // Several frames may be in one tag.
            Item::Frame { codec: Codec::Audio(AudioCodec::Mpa), .. } => false,
            Item::Frame { .. } => {
                let track = self.tracks.iter().find(|t| (t.kind, t.number) == (kind, *number));
                track.is_some_and(|t| t.params.is_some() || t.ended.is_some())
            }
        };
        matches!(result, Err(FlvError::Truncated { .. })) || items.len() > 1 || !items.iter().all(tells)
    }

    /// `size` is that of the body, when the payload is only the front of what is there.
    fn item(
        &mut self,
        kind: Kind,
        number: u8,
        item: Item,
        time_ms: u32,
        size: Option<usize>,
    ) -> Result<(), Halt> {
        let known = self.tracks.iter().position(|t| (t.kind, t.number) == (kind, number));
        if known.is_none() && self.tracks.len() >= TRACKS_MAX {
            note(&mut self.left_out, format!("tracks beyond the first {TRACKS_MAX}"));
            return Ok(());
        }
        let nth = known.unwrap_or_else(|| {
            self.tracks.push(Track::new(kind, number));
            self.tracks.len() - 1
        });
        let Some(track) = self.tracks.get_mut(nth).filter(|t| t.ended.is_none()) else { return Ok(()) };
        let (codec, key, cts_ms, nanos, at, payload) = match item {
            Item::Config(codec, record) => {
                track.config(codec, record);
                return Ok(());
            }
            Item::Frame { codec, key, cts_ms, nanos, at, payload } => {
                (codec, key, cts_ms, nanos, at, payload)
            }
        };
        let len = size.map_or(payload.len(), |size| size.saturating_sub(at));
        let offset = self.at.saturating_add((HEAD_BYTES + at) as u64);
        let stamp = i64::from(time_ms) * 90 + i64::from(nanos) * 9 / 100_000;
        self.samples += track
            .frame(codec, key, cts_ms, &payload, (offset, len), |clock| self.epochs.time(clock, stamp, STEP));
        if self.samples > SAMPLES_MAX {
            return Err(IndexError::TooMuch { what: "samples of a file", max: SAMPLES_MAX as u64 }.into());
        }
        Ok(())
    }
}

/// What a body, or the front of one, has.
fn items(kind: Kind, body: &Bytes) -> (Vec<(u8, Item)>, Result<(), FlvError>) {
    let mut items = Vec::new();
    let at = |payload: &Bytes| payload.as_ptr().addr().saturating_sub(body.as_ptr().addr()).min(body.len());
    let result = match kind {
        Kind::Video => parse_video(body, &mut |number, tag| match tag {
            VideoTag::Config { codec, record } => {
                items.push((number, Item::Config(Codec::Video(codec), record)))
            }
            VideoTag::Frame { codec, key, cts_ms, nanos, payload } => {
                let (codec, at) = (Codec::Video(codec), at(&payload));
                items.push((number, Item::Frame { codec, key, cts_ms, nanos, at, payload }));
            }
            VideoTag::EndOfSequence | VideoTag::Ignored => {}
        }),
        Kind::Audio => parse_audio(body, &mut |number, tag| match tag {
            AudioTag::Config { codec, header } => {
                items.push((number, Item::Config(Codec::Audio(codec), header)))
            }
            AudioTag::Frame { codec, nanos, payload } => {
                let (codec, at) = (Codec::Audio(codec), at(&payload));
                items.push((number, Item::Frame { codec, key: true, cts_ms: 0, nanos, at, payload }));
            }
            AudioTag::Ignored => {}
        }),
    };
    (items, result)
}

impl Track {
    fn new(kind: Kind, number: u8) -> Self {
        Self {
            kind,
            number,
            record: Bytes::new(),
            params: None,
            changed: false,
            ended: None,
            clock: Clock90k::default(),
            beat: Beat::default(),
            samples: Vec::new(),
            last: None,
        }
    }

    fn end(&mut self, why: &str) {
        let (kind, number) = (self.kind, self.number);
        self.ended = Some(format!("{kind:?} track {number} behind {} samples: {why}", self.samples.len()));
    }

    fn config(&mut self, codec: Codec, record: Bytes) {
        let same = self.params.is_some() && self.record == record && self.is(codec);
        self.changed = !same && !self.samples.is_empty();
        if same || self.changed {
            return;
        }
        let params = match codec {
            Codec::Video(VideoCodec::Avc) => avc_params(&record).map(Params::Video),
            Codec::Video(VideoCodec::Hevc) => hevc_params(&record).map(Params::Video),
            Codec::Video(VideoCodec::Av1) => {
                av1::parse_config(&record).map(Params::Video).map_err(|e| e.to_string())
            }
            Codec::Audio(AudioCodec::Aac) => {
                aac::parse_config(&record).map(Params::Audio).map_err(|e| e.to_string())
            }
            Codec::Audio(AudioCodec::Opus) => {
                opus::parse_head(&record).map(Params::Audio).map_err(|e| e.to_string())
            }
            Codec::Audio(AudioCodec::Flac) => {
                flac::parse_header(&record).map(Params::Audio).map_err(|e| e.to_string())
            }
            // The first frame tells.
            _ => {
                (self.record, self.params) = (record, None);
                return;
            }
        };
        match params {
            Ok(params) => (self.record, self.params) = (record, Some(params)),
            Err(why) => self.end(&why),
        }
    }

    fn is(&self, codec: Codec) -> bool {
        match (&self.params, codec) {
            (Some(Params::Video(v)), Codec::Video(codec)) => v.codec == codec,
            (Some(Params::Audio(a)), Codec::Audio(codec)) => a.codec == codec,
            _ => false,
        }
    }

    /// Takes parameters from a frame, if its codec has them there.
    fn learn(&mut self, codec: Codec, frame: &[u8]) {
        let params = match codec {
            Codec::Video(VideoCodec::Vp9) => match vp9::parse_config(&self.record, frame) {
                Err(vp9::Vp9Error::NotKey) => return,
                params => params.map(Params::Video).map_err(|e| e.to_string()),
            },
            Codec::Audio(codec @ (AudioCodec::Ac3 | AudioCodec::Eac3 | AudioCodec::Mpa)) => {
                frame_params(codec, frame).map(Params::Audio)
            }
            // Its configuration comes first.
            _ => return,
        };
        match params {
            Ok(params) => self.params = Some(params),
            Err(why) => self.end(&why),
        }
    }

    /// Takes a frame, of whose payload at least the front is there; how many samples it became.
    fn frame(
        &mut self,
        codec: Codec,
        key: bool,
        cts_ms: i32,
        payload: &[u8],
        (offset, len): (u64, usize),
        time: impl FnOnce(&mut Clock90k) -> i64,
    ) -> usize {
        if len == 0 {
            return 0;
        }
        if self.params.is_none() {
            self.learn(codec, payload);
        }
        if self.changed {
            self.end("its configuration changes");
        }
        if self.params.is_some() && !self.is(codec) {
            self.end("its codec changes");
        }
        let Some(params) = self.params.as_ref().filter(|_| self.ended.is_none()) else { return 0 };
        let (dts, before) = (time(&mut self.clock), self.samples.len());
        let cut = Cut::default();
        match params {
            Params::Video(video) => {
                let delimited = video.codec == VideoCodec::Av1 && payload.starts_with(&TEMPORAL_DELIMITER);
                let skip = if delimited { TEMPORAL_DELIMITER.len() } else { 0 };
                let offset = offset.saturating_add(skip as u64);
                let Some(bytes) = size(len.saturating_sub(skip)) else { return 0 };
                let cts = cts_ms.saturating_mul(90);
                self.samples.push(Place { dts, cts, duration: 0, offset, bytes, key, cut });
            }
            Params::Audio(audio) => {
                let (mut at, mut stamp) = (0, Some(from_90k(dts, audio.sample_rate)));
                while at < len {
                    let rest = payload.get(at..).unwrap_or_default();
                    let frame =
                        if audio.codec == AudioCodec::Mpa { mpa::parse_frame(rest).ok() } else { None };
                    let fits = frame.filter(|frame| frame.frame_len <= len - at && frame.frame_len > 0);
                    let (piece, samples) = fits.map_or_else(
                        || (len - at, frame_samples(audio, rest)),
                        |frame| (frame.frame_len, frame.samples),
                    );
                    let place = self.beat.place(stamp.take(), samples, audio.sample_rate);
                    if let (Some(dts), Some(bytes)) = (place, size(piece)) {
                        let offset = offset.saturating_add(at as u64);
                        self.samples.push(Place { dts, cts: 0, duration: 0, offset, bytes, key: true, cut });
                        self.last = Some(samples);
                    }
                    at += piece;
                }
            }
        }
        self.samples.len() - before
    }
}

fn size(len: usize) -> Option<u32> {
    u32::try_from(len).ok().filter(|len| (1..=PLACE_BYTES_MAX).contains(len))
}
