//! What the index says of a segment: 64 bytes, little-endian, the last four a CRC-32 of the others.

/// Size of a record.
pub(crate) const RECORD: usize = 64;
/// Version of the layout; the first byte.
const LAYOUT: u8 = 1;
const INDEPENDENT: u8 = 1;
const I_FRAME: u8 = 2;

/// A segment in a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Index into the tracks of its run.
    pub(crate) track: u8,
    /// Number of its key within the run, from 0; wraps. Says when to look for a key.
    pub(crate) key: u8,
    /// Decoding can start with it.
    pub(crate) independent: bool,
    /// See [`nx_hls::Segment::i_frame_bytes`].
    pub(crate) i_frame_bytes: Option<u32>,
    pub(crate) run: u32,
    /// Media sequence number.
    pub(crate) msn: u64,
    /// Unix time in milliseconds of its first picture or sound.
    pub(crate) begins_ms: i64,
    /// Earliest presentation time, in the track's timescale.
    pub(crate) pts: i64,
    /// Length in the track's timescale, and in milliseconds.
    pub(crate) ticks: u32,
    pub(crate) duration_ms: u32,
    /// Where it begins in the volume.
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    /// CRC-32 of its bytes.
    pub(crate) crc: u32,
}

impl Record {
    pub(crate) fn write(&self) -> [u8; RECORD] {
        let flags =
            u8::from(self.independent) * INDEPENDENT + u8::from(self.i_frame_bytes.is_some()) * I_FRAME;
        let mut out = [0; RECORD];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&[LAYOUT, self.track, flags, self.key]);
        put(&self.run.to_le_bytes());
        put(&self.msn.to_le_bytes());
        put(&self.begins_ms.to_le_bytes());
        put(&self.pts.to_le_bytes());
        put(&self.offset.to_le_bytes());
        put(&self.bytes.to_le_bytes());
        put(&self.ticks.to_le_bytes());
        put(&self.i_frame_bytes.unwrap_or(0).to_le_bytes());
        put(&self.crc.to_le_bytes());
        put(&self.duration_ms.to_le_bytes());
        let crc = crc32fast::hash(&out[..RECORD - 4]);
        out[RECORD - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` when the bytes are not a whole record.
    pub(crate) fn read(bytes: &[u8; RECORD]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) || body.first() != Some(&LAYOUT) {
            return None;
        }
        let u32_at = |at: usize| body.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        let u64_at = |at: usize| body.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
        let flags = *body.get(2)?;
        Some(Self {
            track: *body.get(1)?,
            key: *body.get(3)?,
            independent: flags & INDEPENDENT != 0,
            run: u32_at(4)?,
            msn: u64_at(8)?,
            begins_ms: u64_at(16)?.cast_signed(),
            pts: u64_at(24)?.cast_signed(),
            offset: u64_at(32)?,
            bytes: u32_at(40)?,
            ticks: u32_at(44)?,
            i_frame_bytes: u32_at(48).filter(|_| flags & I_FRAME != 0),
            crc: u32_at(52)?,
            duration_ms: u32_at(56)?,
        })
    }

    /// Unix time in milliseconds at which it ends.
    pub(crate) fn ends_ms(&self) -> i64 {
        self.begins_ms.saturating_add(i64::from(self.duration_ms))
    }

    /// Where it ends in the volume.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.bytes))
    }
}
