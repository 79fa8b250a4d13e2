//! Cuts messages into chunks: always a full header, so that no chunk depends on one sent before.

use bytes::{BufMut, Bytes, BytesMut};

use super::{CHUNK_SIZE_DEFAULT, EXTENDED, MESSAGE_LEN_MAX};
use crate::message::{csid, kind};

/// What a media message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// FLV audio tag body.
    Audio,
    /// FLV video tag body.
    Video,
    /// AMF0 data, for example `onMetaData`.
    Data,
}

impl MediaKind {
    /// Message type id.
    #[must_use]
    pub fn kind(self) -> u8 {
        match self {
            Self::Audio => kind::AUDIO,
            Self::Video => kind::VIDEO,
            Self::Data => kind::DATA_AMF0,
        }
    }

    /// Chunk stream the message goes out on: one each, so that they never wait for one another.
    #[must_use]
    pub fn csid(self) -> u8 {
        match self {
            Self::Audio => csid::AUDIO,
            Self::Video => csid::VIDEO,
            Self::Data => csid::DATA,
        }
    }
}

/// One media message laid out for players: a full header, then `parts` as one payload in chunks of
/// `chunk_size` bytes. It depends on nothing sent before, so all players of a stream that were told the same
/// `chunk_size` and `stream_id` can share it.
///
/// Empty when the payload is longer than 16 MiB − 1, which RTMP cannot express.
#[must_use]
pub fn media_message(
    media: MediaKind,
    timestamp_ms: u32,
    stream_id: u32,
    chunk_size: u32,
    parts: &[&[u8]],
) -> Bytes {
    let mut out = BytesMut::new();
    let writer = ChunkWriter::new(chunk_size);
    writer.write(&mut out, media.csid(), media.kind(), timestamp_ms, stream_id, parts);
    out.freeze()
}

/// Writer half of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkWriter {
    chunk_size: usize,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self::new(CHUNK_SIZE_DEFAULT)
    }
}

impl ChunkWriter {
    /// `chunk_size` is in bytes and what the peer was last told; 0 counts as 1.
    #[must_use]
    pub fn new(chunk_size: u32) -> Self {
        Self { chunk_size: usize::try_from(chunk_size.clamp(1, MESSAGE_LEN_MAX)).unwrap_or(1) }
    }

    /// Appends one message whose payload is all `parts` in a row. `csid` is held to 2..=63. A payload longer
    /// than 16 MiB − 1 is not written.
    ///
    /// Spec: RTMP §5.3.1.
    pub fn write(
        self,
        out: &mut BytesMut,
        csid: u8,
        kind: u8,
        timestamp_ms: u32,
        stream_id: u32,
        parts: &[&[u8]],
    ) {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let Some(len) = u32::try_from(total).ok().filter(|len| *len <= MESSAGE_LEN_MAX) else { return };
        let csid = csid.clamp(2, 63);
        let extended = (timestamp_ms >= EXTENDED).then_some(timestamp_ms);
        out.reserve(16 + total + total / self.chunk_size * 5);
        out.put_u8(csid);
        out.put_uint(u64::from(timestamp_ms.min(EXTENDED)), 3);
        out.put_uint(u64::from(len), 3);
        out.put_u8(kind);
        out.put_u32_le(stream_id);
        put_extended(out, extended);
        let mut room = self.chunk_size;
        for part in parts {
            let mut part = *part;
            while !part.is_empty() {
                if room == 0 {
                    out.put_u8(0xC0 | csid);
                    put_extended(out, extended);
                    room = self.chunk_size;
                }
                let (now, later) = part.split_at(room.min(part.len()));
                out.put_slice(now);
                room -= now.len();
                part = later;
            }
        }
    }
}

/// Every chunk of a message repeats the 32-bit time, as ffmpeg and OBS write and read it.
fn put_extended(out: &mut BytesMut, time: Option<u32>) {
    if let Some(time) = time {
        out.put_u32(time);
    }
}
