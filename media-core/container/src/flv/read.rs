//! Reader of tag bodies.

use bytes::Bytes;
use nx_media::{AudioCodec, Kind, VideoCodec};

use super::codecs::{audio_by_fourcc, audio_by_id, video_by_fourcc, video_by_id};
use super::{AudioTag, FlvError, VideoTag, multitrack};

/// Modifiers in front of one enhanced packet; more are refused.
const MODIFIERS_MAX: usize = 8;
/// Packet type of a modifier.
const MODIFIER: u8 = 7;
/// Largest offset a modifier may add to the time, nanoseconds.
const NANOS_MAX: u32 = 999_999;
/// Frame type of a command, which has no picture.
const COMMAND: u8 = 5;
/// Video packet type of AMF metadata, whatever the frame type says.
const METADATA: u8 = 4;

/// Reads the body of a video tag (RTMP message type 9) and hands `sink` each track's id and packet. Messages
/// without track ids are track 0.
///
/// # Errors
///
/// [`FlvError`]; on [`FlvError::Codec`] the track cannot be carried, else only this message is lost. When a
/// message has several tracks, those that can be read reach the sink, and the first error is returned.
///
/// Spec: FLV §E.4.3, Enhanced RTMP v2 "Enhanced Video".
pub fn parse_video(body: &Bytes, sink: &mut dyn FnMut(u8, VideoTag)) -> Result<(), FlvError> {
    let mut cursor = Cursor::new(body);
    let header = cursor.byte()?;
    if header & 0x80 == 0 {
        sink(0, legacy_video(cursor, header)?);
        return Ok(());
    }
    let frame_type = (header >> 4) & 7;
    let (packet, nanos) = cursor.modifiers(Kind::Video, header & 0xf)?;
    if frame_type == COMMAND && packet != METADATA {
        sink(0, VideoTag::Ignored);
        return Ok(());
    }
    tracks(Kind::Video, cursor, packet, &mut |track, packet, fourcc, cursor| {
        let tag = enhanced_video(cursor, packet, fourcc, is_key(frame_type), nanos)?;
        sink(track, tag);
        Ok(())
    })
}

/// Key frames, and those that a server made to be key frames.
fn is_key(frame_type: u8) -> bool {
    matches!(frame_type, 1 | 4)
}

fn legacy_video(mut cursor: Cursor<'_>, header: u8) -> Result<VideoTag, FlvError> {
    let (frame_type, id) = (header >> 4, header & 0xf);
    if frame_type == COMMAND {
        return Ok(VideoTag::Ignored);
    }
    let codec = video_by_id(id)?;
    let packet = cursor.byte()?;
    let cts_ms = cursor.si24()?;
    match packet {
        0 => Ok(VideoTag::Config { codec, record: cursor.rest() }),
        1 => Ok(VideoTag::Frame { codec, key: is_key(frame_type), cts_ms, nanos: 0, payload: cursor.rest() }),
        2 => Ok(VideoTag::EndOfSequence),
        got => Err(FlvError::PacketType { kind: Kind::Video, got }),
    }
}

fn enhanced_video(
    mut cursor: Cursor<'_>,
    packet: u8,
    fourcc: [u8; 4],
    key: bool,
    nanos: u32,
) -> Result<VideoTag, FlvError> {
    if packet == METADATA {
        return Ok(VideoTag::Ignored);
    }
    let codec = video_by_fourcc(fourcc)?;
    match packet {
        0 => Ok(VideoTag::Config { codec, record: record(codec, cursor.rest()) }),
        1 | 3 => {
            let has_cts = packet == 1 && matches!(codec, VideoCodec::Avc | VideoCodec::Hevc);
            let cts_ms = if has_cts { cursor.si24()? } else { 0 };
            Ok(VideoTag::Frame { codec, key, cts_ms, nanos, payload: cursor.rest() })
        }
        2 => Ok(VideoTag::EndOfSequence),
        got => Err(FlvError::PacketType { kind: Kind::Video, got }),
    }
}

/// The record of VP9 has 8 bytes. Some senders put version and flags of the box in front of it.
fn record(codec: VideoCodec, sent: Bytes) -> Bytes {
    let boxed = codec == VideoCodec::Vp9 && sent.len() >= 12 && sent.starts_with(&[1, 0, 0, 0]);
    if boxed { sent.slice(4..) } else { sent }
}

/// Reads the body of an audio tag (RTMP message type 8) and hands `sink` each track's id and packet.
///
/// # Errors
///
/// As [`parse_video`].
///
/// Spec: FLV §E.4.2, Enhanced RTMP v2 "Enhanced Audio".
pub fn parse_audio(body: &Bytes, sink: &mut dyn FnMut(u8, AudioTag)) -> Result<(), FlvError> {
    let mut cursor = Cursor::new(body);
    let header = cursor.byte()?;
    if header >> 4 != 9 {
        sink(0, legacy_audio(cursor, header >> 4)?);
        return Ok(());
    }
    let (packet, nanos) = cursor.modifiers(Kind::Audio, header & 0xf)?;
    tracks(Kind::Audio, cursor, packet, &mut |track, packet, fourcc, cursor| {
        let tag = enhanced_audio(cursor, packet, fourcc, nanos)?;
        sink(track, tag);
        Ok(())
    })
}

fn legacy_audio(mut cursor: Cursor<'_>, format: u8) -> Result<AudioTag, FlvError> {
    let codec = audio_by_id(format)?;
    let packet = if codec == AudioCodec::Aac { cursor.byte()? } else { 1 };
    match packet {
        0 => Ok(AudioTag::Config { codec, header: cursor.rest() }),
        1 => Ok(AudioTag::Frame { codec, nanos: 0, payload: cursor.rest() }),
        got => Err(FlvError::PacketType { kind: Kind::Audio, got }),
    }
}

fn enhanced_audio(cursor: Cursor<'_>, packet: u8, fourcc: [u8; 4], nanos: u32) -> Result<AudioTag, FlvError> {
    let codec = audio_by_fourcc(fourcc)?;
    match packet {
        0 if matches!(codec, AudioCodec::Aac | AudioCodec::Opus | AudioCodec::Flac) => {
            Ok(AudioTag::Config { codec, header: cursor.rest() })
        }
        1 => Ok(AudioTag::Frame { codec, nanos, payload: cursor.rest() }),
        // the start of what needs no configuration, the end, and the channel layout
        0 | 2 | 4 => Ok(AudioTag::Ignored),
        got => Err(FlvError::PacketType { kind: Kind::Audio, got }),
    }
}

/// Takes track id, packet type, codec and what is left of the track.
type Each<'a> = dyn FnMut(u8, u8, [u8; 4], Cursor<'_>) -> Result<(), FlvError> + 'a;

/// Splits an enhanced message behind its packet type into tracks.
///
/// Spec: Enhanced RTMP v2, `AvMultitrackType`.
fn tracks(kind: Kind, mut cursor: Cursor<'_>, packet: u8, each: &mut Each<'_>) -> Result<(), FlvError> {
    if packet != multitrack(kind) {
        let fourcc = cursor.take()?;
        return each(0, packet, fourcc, cursor);
    }
    let types = cursor.byte()?;
    let (form, packet) = (types >> 4, types & 0xf);
    let shared = match form {
        0 | 1 => Some(cursor.take()?),
        2 => None,
        got => return Err(FlvError::Multitrack { kind, got }),
    };
    let mut result = Ok(());
    loop {
        let fourcc = shared.map_or_else(|| cursor.take(), Ok)?;
        let track = cursor.byte()?;
        if form == 0 {
            return each(track, packet, fourcc, cursor);
        }
        let [a, b, c] = cursor.take()?;
        let part = cursor.part(u32::from_be_bytes([0, a, b, c]))?;
        result = result.and(each(track, packet, fourcc, part));
        if cursor.left().is_empty() {
            return result;
        }
    }
}

/// Reads the bytes of `body` from `at` to `end`.
struct Cursor<'a> {
    body: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    fn new(body: &'a Bytes) -> Self {
        Self { body, at: 0, end: body.len() }
    }

    fn left(&self) -> &'a [u8] {
        self.body.get(self.at..self.end).unwrap_or_default()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FlvError> {
        let left = self.left();
        let Some(bytes) = left.first_chunk() else {
            return Err(FlvError::Truncated { offset: self.at, needed: N, got: left.len() });
        };
        self.at += N;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Result<u8, FlvError> {
        self.take().map(|[b]| b)
    }

    /// Signed 24-bit number, big endian.
    fn si24(&mut self) -> Result<i32, FlvError> {
        self.take().map(|[a, b, c]| i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    /// The next `len` bytes as a cursor of their own.
    fn part(&mut self, len: u32) -> Result<Self, FlvError> {
        let needed = usize::try_from(len).unwrap_or(usize::MAX);
        let got = self.left().len();
        if needed > got {
            return Err(FlvError::Truncated { offset: self.at, needed, got });
        }
        let part = Self { body: self.body, at: self.at, end: self.at + needed };
        self.at += needed;
        Ok(part)
    }

    /// What is left, possibly nothing; zero-copy.
    fn rest(&self) -> Bytes {
        self.body.slice(self.at..self.end)
    }

    /// Reads `ModEx` prefixes; returns the type of the packet behind them and its offset in nanoseconds.
    /// Unknown modifiers are skipped.
    ///
    /// Spec: Enhanced RTMP v2, `ModEx` signal.
    fn modifiers(&mut self, kind: Kind, first: u8) -> Result<(u8, u32), FlvError> {
        let (mut packet, mut nanos) = (first, 0);
        for _ in 0..=MODIFIERS_MAX {
            if packet != MODIFIER {
                return Ok((packet, nanos));
            }
            let mut len = u32::from(self.byte()?) + 1;
            if len == 256 {
                len = u32::from(u16::from_be_bytes(self.take()?)) + 1;
            }
            let data = self.part(len)?;
            let types = self.byte()?;
            if let (0, [a, b, c, ..]) = (types >> 4, data.left()) {
                nanos = u32::from_be_bytes([0, *a, *b, *c]).min(NANOS_MAX);
            }
            packet = types & 0xf;
        }
        Err(FlvError::PacketType { kind, got: MODIFIER })
    }
}
