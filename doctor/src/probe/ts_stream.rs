//! One elementary stream of a transport stream: its PES packets, clocks and first picture.

use super::nal::{Standard, annexb, entry_in_annexb};

/// Bytes kept of a stream's first PES packet, to see what it begins with.
const HEAD_BYTES_MAX: usize = 65_536;
/// 90 kHz clocks are 33 bits wide.
const CLOCK: u64 = 1 << 33;

/// What a stream type of the program map means (ISO/IEC 13818-1 table 2-34).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsKind {
    /// 0x1B
    Avc,
    /// 0x24
    Hevc,
    /// Other pictures.
    OtherVideo,
    /// 0x0F, ADTS
    Aac,
    /// MPEG, AC-3 and other sound.
    OtherAudio,
    /// Private data, ID3, SCTE-35.
    Data,
}

impl TsKind {
    pub(crate) fn of(stream_type: u8) -> Self {
        match stream_type {
            0x1B => Self::Avc,
            0x24 => Self::Hevc,
            0x01 | 0x02 | 0x10 | 0x33 => Self::OtherVideo,
            0x0F => Self::Aac,
            0x03 | 0x04 | 0x11 | 0x1C | 0x81 | 0x87 | 0xC1 | 0xC2 | 0xCF => Self::OtherAudio,
            _ => Self::Data,
        }
    }

    /// Whether this is sound.
    #[must_use]
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Aac | Self::OtherAudio)
    }

    /// Whether this is pictures.
    #[must_use]
    pub fn is_video(self) -> bool {
        matches!(self, Self::Avc | Self::Hevc | Self::OtherVideo)
    }

    fn standard(self) -> Option<Standard> {
        match self {
            Self::Avc => Some(Standard::Avc),
            Self::Hevc => Some(Standard::Hevc),
            _ => None,
        }
    }
}

/// What was seen of one elementary stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TsStream {
    /// Its packet identifier.
    pub pid: u16,
    /// As the program map says.
    pub stream_type: u8,
    /// What that means.
    pub kind: TsKind,
    /// Packets whose counter does not follow the one before.
    pub continuity_faults: u32,
    /// Counter of the first packet with payload, to compare with the segment before.
    pub first_counter: Option<u8>,
    /// Counter of the last packet with payload.
    pub last_counter: Option<u8>,
    /// PES packets begun.
    pub pes: u32,
    /// Of the first PES packet, 90 kHz.
    pub first_pts: Option<u64>,
    /// Highest, 90 kHz, counted on past 33 bits.
    pub last_pts: Option<u64>,
    /// Of the first PES packet (its PTS when it has no DTS), 90 kHz.
    pub first_dts: Option<u64>,
    /// Of the last PES packet, 90 kHz, counted on past 33 bits.
    pub last_dts: Option<u64>,
    /// PES packets whose DTS is not above that of the one before.
    pub backwards: u32,
    /// Pictures: whether the first PES packet holds an IDR (H.264) or IRAP (H.265) picture.
    pub starts_with_entry: Option<bool>,
    /// `avc1.…` of the first sequence parameter set or `mp4a.40.…` of the first ADTS header.
    pub codec: Option<String>,
    head: Vec<u8>,
}

impl TsStream {
    pub(crate) fn new(pid: u16, stream_type: u8) -> Self {
        Self {
            pid,
            stream_type,
            kind: TsKind::of(stream_type),
            continuity_faults: 0,
            first_counter: None,
            last_counter: None,
            pes: 0,
            first_pts: None,
            last_pts: None,
            first_dts: None,
            last_dts: None,
            backwards: 0,
            starts_with_entry: None,
            codec: None,
            head: Vec::new(),
        }
    }

    /// From the first decode time to the end of the last PES packet, which is taken to last as long as the mean of
    /// the others; 90 kHz. `None` with fewer than two PES packets.
    #[must_use]
    pub fn duration(&self) -> Option<u64> {
        let span = self.last_dts?.checked_sub(self.first_dts?)?;
        let steps = u64::from(self.pes.checked_sub(1)?);
        Some(span + span.checked_div(steps)?)
    }

    /// Takes the counter of a packet with payload.
    pub(crate) fn counter(&mut self, counter: u8, announced: bool) {
        // A packet may be sent twice (§2.4.3.3).
        if let Some(last) = self.last_counter
            && counter != (last + 1) & 15
            && counter != last
            && !announced
        {
            self.continuity_faults += 1;
        }
        self.first_counter.get_or_insert(counter);
        self.last_counter = Some(counter);
    }

    /// Takes the payload of a packet; `start` when a PES packet begins with it.
    pub(crate) fn payload(&mut self, payload: &[u8], start: bool) {
        let mut body = payload;
        if start {
            if !payload.starts_with(&[0, 0, 1]) {
                return;
            }
            self.pes += 1;
            let header = usize::from(payload.get(8).copied().unwrap_or(0));
            if self.kind != TsKind::Data {
                self.clocks(payload);
            }
            body = payload.get(9 + header..).unwrap_or_default();
        }
        if self.pes == 1 {
            let room = HEAD_BYTES_MAX - self.head.len();
            self.head.extend_from_slice(&body[..body.len().min(room)]);
        }
    }

    fn clocks(&mut self, pes: &[u8]) {
        let flags = pes.get(7).copied().unwrap_or(0) >> 6;
        let pts = (flags & 2 != 0).then(|| clock(pes.get(9..14)?)).flatten();
        let dts = (flags & 1 != 0).then(|| clock(pes.get(14..19)?)).flatten().or(pts);
        if let Some(pts) = pts {
            self.first_pts.get_or_insert(pts);
            let pts = onward(self.last_pts, pts);
            self.last_pts = Some(self.last_pts.map_or(pts, |last| last.max(pts)));
        }
        if let Some(dts) = dts {
            self.first_dts.get_or_insert(dts);
            let dts = onward(self.last_dts, dts);
            if self.last_dts.is_some_and(|last| dts <= last) {
                self.backwards += 1;
            }
            self.last_dts = Some(dts);
        }
    }

    /// Looks at what was kept of the first PES packet.
    pub(crate) fn close(&mut self) {
        let head = std::mem::take(&mut self.head);
        if let Some(standard) = self.kind.standard() {
            self.starts_with_entry = entry_in_annexb(standard, &head);
            let sps = annexb(&head).find(|nal| standard.is_sps(nal));
            if let (Standard::Avc, Some(&[_, profile, flags, level, ..])) = (standard, sps) {
                self.codec = Some(format!("avc1.{profile:02X}{flags:02X}{level:02X}"));
            }
        }
        if let (TsKind::Aac, &[0xFF, b, c, ..]) = (self.kind, &head[..])
            && b & 0xF6 == 0xF0
        {
            self.codec = Some(format!("mp4a.40.{}", (c >> 6) + 1));
        }
    }
}

/// A 33-bit clock with its marker bits.
fn clock(field: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = field else { return None };
    let part = |high: u8, low: u8| u64::from(high) << 7 | u64::from(low >> 1);
    Some(u64::from(a >> 1 & 7) << 30 | part(b, c) << 15 | part(d, e))
}

/// `now` as the value nearest to `last` that has the same lower 33 bits.
fn onward(last: Option<u64>, now: u64) -> u64 {
    let Some(last) = last else { return now };
    let ahead = now.wrapping_sub(last) & (CLOCK - 1);
    if ahead < CLOCK / 2 { last + ahead } else { (last + ahead).saturating_sub(CLOCK) }
}
