//! AC-3 and E-AC-3: sync frames, and the boxes `dac3` and `dec3`.
//!
//! Spec: ETSI TS 102 366 §4.3 and §4.4 (AC-3), §E.1.2 and §E.1.3 (E-AC-3), annex F (boxes).

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams};

use crate::bits::Bits;

/// First bytes of every frame.
pub const SYNC: [u8; 2] = [0x0b, 0x77];
/// Dependent substreams that one independent substream can have.
pub const DEPENDENT_MAX: u8 = 8;
const BLOCK_SAMPLES: u32 = 256;
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// kbit/s by half the frame size code.
const BITRATES: [u32; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Loudspeakers by `acmod`, in the bits of `chanmap` (§E.1.3.1.8): left is the most significant bit.
const LOCATIONS: [u16; 8] = [0xa000, 0x4000, 0xa000, 0xe000, 0xa100, 0xe100, 0xb800, 0xf800];
const LFE: u16 = 0x0001;
/// Locations of `chanmap` that are two loudspeakers: Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh, Lts/Rts.
const PAIRS: u16 = 0x0674;

/// The bytes do not begin with a frame that this system reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ac3Error {
    /// The header ends too early.
    #[error("AC-3 frame of {got} bytes ends inside its header")]
    Truncated {
        /// Size of what was given.
        got: usize,
    },
    /// No sync word.
    #[error("no AC-3 sync word 0b77")]
    NoSync,
    /// A field has a value that is reserved or contradicts another.
    #[error("AC-3 header with reserved {field} {value}")]
    Reserved {
        /// As ETSI TS 102 366 names it.
        field: &'static str,
        /// What it says.
        value: u32,
    },
    /// An access unit begins with an independent substream.
    #[error("E-AC-3 access unit begins with dependent substream {0}, send the independent one in front")]
    Dependent(u8),
}

/// How a frame relates to its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Substream {
    /// Can be decoded alone; the number of the programme, 0 for AC-3.
    Independent(u8),
    /// Adds channels to the independent one before it.
    Dependent(u8),
}

/// Header of one sync frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// [`AudioCodec::Ac3`] or [`AudioCodec::Eac3`].
    pub codec: AudioCodec,
    /// Its place among the substreams.
    pub substream: Substream,
    /// Bytes of the frame with its sync word.
    pub frame_len: usize,
    /// In hertz.
    pub sample_rate: u32,
    /// Loudspeakers of this substream, LFE included.
    pub channels: u8,
    /// PCM samples per channel in the frame.
    pub samples: u32,
    fscod: u8,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    lfe: bool,
    /// AC-3 only.
    rate_code: u8,
    /// Loudspeakers as in `chanmap`.
    locations: u16,
}

/// Reads the header that the bytes begin with; the rest of the frame need not be there.
///
/// # Errors
///
/// [`Ac3Error`], but [`Ac3Error::Dependent`].
pub fn parse_frame(data: &[u8]) -> Result<Header, Ac3Error> {
    if !data.starts_with(SYNC.get(..data.len().min(2)).unwrap_or(&SYNC)) {
        return Err(Ac3Error::NoSync);
    }
    let short = Ac3Error::Truncated { got: data.len() };
    // `bsid` is at the same place in both, so that a reader can tell them apart.
    let Some(bsid) = data.get(5).map(|b| b >> 3) else { return Err(short) };
    let header = match bsid {
        ..=10 => ac3(data, bsid),
        11..=16 => eac3(data, bsid),
        _ => return Err(Ac3Error::Reserved { field: "bsid", value: bsid.into() }),
    };
    header.unwrap_or(Err(short))
}

/// `None` when bytes are missing.
fn ac3(data: &[u8], bsid: u8) -> Option<Result<Header, Ac3Error>> {
    let mut bits = Bits::new(data);
    bits.take(32)?;
    let fscod = byte(&mut bits, 2)?;
    let size_code = byte(&mut bits, 6)?;
    bits.take(5)?;
    let bsmod = byte(&mut bits, 3)?;
    let acmod = byte(&mut bits, 3)?;
    let mix_levels = match acmod {
        2 => 2,
        n => 2 * u32::from(n & 1 == 1 && n != 1) + 2 * u32::from(n & 4 != 0),
    };
    bits.take(mix_levels)?;
    let lfe = bits.flag()?;
    let Some(&rate) = RATES.get(usize::from(fscod)) else { return Some(reserved("fscod", fscod)) };
    let Some(kbps) = BITRATES.get(usize::from(size_code / 2)) else {
        return Some(reserved("frmsizecod", size_code));
    };
    // 16-bit words; at 44.1 kHz the last bit of the code adds one.
    let words = kbps * 96_000 / rate + u32::from(fscod == 1) * u32::from(size_code & 1);
    let locations = locations(acmod, lfe);
    Some(Ok(Header {
        codec: AudioCodec::Ac3,
        substream: Substream::Independent(0),
        frame_len: usize::try_from(words * 2).ok()?,
        // Half and quarter rates were never standardised, but are decoded everywhere.
        sample_rate: rate >> bsid.saturating_sub(8),
        channels: channels(locations),
        samples: 6 * BLOCK_SAMPLES,
        fscod,
        bsid,
        bsmod,
        acmod,
        lfe,
        rate_code: size_code / 2,
        locations,
    }))
}

/// `None` when bytes are missing.
fn eac3(data: &[u8], bsid: u8) -> Option<Result<Header, Ac3Error>> {
    let mut bits = Bits::new(data);
    bits.take(16)?;
    let kind = byte(&mut bits, 2)?;
    let id = byte(&mut bits, 3)?;
    let frame_len = usize::try_from((bits.take(11)? + 1) * 2).ok()?;
    let (fscod, code) = (byte(&mut bits, 2)?, byte(&mut bits, 2)?);
    let (rates, blocks) = match (fscod, code) {
        (3, _) => (RATES.map(|hz| hz / 2), 6),
        (_, 3) => (RATES, 6),
        (_, n) => (RATES, u32::from(n) + 1),
    };
    let rate_index = if fscod == 3 { code } else { fscod };
    let acmod = byte(&mut bits, 3)?;
    let lfe = bits.flag()?;
    bits.take(5)?;
    // Dialogue level and compression, twice for dual mono.
    for _ in 0..=u8::from(acmod == 0) {
        bits.take(5)?;
        if bits.flag()? {
            bits.take(8)?;
        }
    }
    let mut locations = locations(acmod, lfe);
    let substream = match kind {
        0 | 2 => Substream::Independent(id),
        1 => {
            if bits.flag()? {
                locations = u16::try_from(bits.take(16)?).ok()?;
            }
            Substream::Dependent(id)
        }
        _ => return Some(reserved("strmtyp", kind)),
    };
    let Some(&sample_rate) = rates.get(usize::from(rate_index)) else {
        return Some(reserved("fscod2", rate_index));
    };
    if frame_len * 8 < bits.position() {
        return Some(reserved("frmsiz", u8::try_from(frame_len / 2 - 1).ok()?));
    }
    Some(Ok(Header {
        codec: AudioCodec::Eac3,
        substream,
        frame_len,
        sample_rate,
        channels: channels(locations),
        samples: blocks * BLOCK_SAMPLES,
        fscod,
        bsid,
        // Deep inside the frame, and "complete main" in practice.
        bsmod: 0,
        acmod,
        lfe,
        rate_code: 0,
        locations,
    }))
}

fn byte(bits: &mut Bits<'_>, n: u32) -> Option<u8> {
    bits.take(n).and_then(|v| u8::try_from(v).ok())
}

fn reserved(field: &'static str, value: u8) -> Result<Header, Ac3Error> {
    Err(Ac3Error::Reserved { field, value: value.into() })
}

fn locations(acmod: u8, lfe: bool) -> u16 {
    LOCATIONS.get(usize::from(acmod)).copied().unwrap_or(0) | if lfe { LFE } else { 0 }
}

fn channels(locations: u16) -> u8 {
    u8::try_from(locations.count_ones() + (locations & PAIRS).count_ones()).unwrap_or(u8::MAX)
}

/// An independent substream with the dependent ones that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    /// Header of the independent substream.
    pub(crate) first: Header,
    /// Bytes of all frames.
    pub(crate) len: usize,
    /// Dependent substreams.
    pub(crate) dependents: u8,
    /// Loudspeakers of all substreams, as in `chanmap`.
    locations: u16,
    /// The header behind the last frame was seen, or the bytes end exactly there.
    pub(crate) bounded: bool,
}

impl AccessUnit {
    /// Reads the headers of the access unit that the bytes begin with. The unit ends where the bytes end or
    /// something else than a dependent substream begins. AC-3 has no dependents here.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, Ac3Error> {
        let first = parse_frame(data)?;
        let mut unit =
            Self { first, len: first.frame_len, dependents: 0, locations: first.locations, bounded: true };
        while first.codec == AudioCodec::Eac3 && unit.dependents < DEPENDENT_MAX {
            match data.get(unit.len..).map(parse_frame) {
                Some(Ok(Header { substream: Substream::Dependent(_), frame_len, locations, .. })) => {
                    unit.len += frame_len;
                    unit.locations |= locations;
                    unit.dependents += 1;
                }
                None | Some(Err(Ac3Error::Truncated { .. })) => {
                    unit.bounded = false;
                    break;
                }
                Some(_) => break,
            }
        }
        Ok(unit)
    }

    /// What makes another track of it when it changes.
    pub(crate) fn signature(&self) -> u64 {
        let Header { codec, sample_rate, samples, bsid, acmod, lfe, .. } = self.first;
        pack(&[
            (u32::from(codec == AudioCodec::Eac3), 1),
            (sample_rate, 16),
            (samples, 11),
            (bsid.into(), 5),
            (acmod.into(), 3),
            (lfe.into(), 1),
            (self.dependents.into(), 4),
            (self.locations.into(), 16),
        ])
    }
}

/// Parameters of the track that an access unit belongs to. For E-AC-3 the bytes have to hold the dependent
/// substreams too.
///
/// # Errors
///
/// [`Ac3Error`], when the bytes do not begin with an independent substream.
///
/// Spec: ETSI TS 102 366 §F.4 (`dac3`), §F.6 (`dec3`).
pub fn params(access_unit: &[u8]) -> Result<AudioParams, Ac3Error> {
    let unit = AccessUnit::parse(access_unit)?;
    let first = &unit.first;
    if let Substream::Dependent(id) = first.substream {
        return Err(Ac3Error::Dependent(id));
    }
    let (config, rfc6381) =
        if first.codec == AudioCodec::Ac3 { (dac3(first), "ac-3") } else { (dec3(&unit), "ec-3") };
    Ok(AudioParams {
        codec: first.codec,
        config,
        sample_rate: first.sample_rate,
        channels: channels(unit.locations),
        frame_samples: first.samples,
        rfc6381: rfc6381.to_owned(),
        language: None,
    })
}

fn dac3(header: &Header) -> Bytes {
    let bits = pack(&[
        (header.fscod.into(), 2),
        (header.bsid.into(), 5),
        (header.bsmod.into(), 3),
        (header.acmod.into(), 3),
        (header.lfe.into(), 1),
        (header.rate_code.into(), 5),
        (0, 5),
    ]);
    let [.., a, b, c] = bits.to_be_bytes();
    Bytes::copy_from_slice(&[a, b, c])
}

/// One independent substream.
fn dec3(unit: &AccessUnit) -> Bytes {
    let first = &unit.first;
    let bits_per_unit = u32::try_from(unit.len).unwrap_or(u32::MAX).saturating_mul(8);
    let kbps = u64::from(bits_per_unit) * u64::from(first.sample_rate) / u64::from(first.samples) / 1_000;
    let fixed = [
        (u32::try_from(kbps).unwrap_or(u32::MAX).min(0x1fff), 13),
        (0, 3),
        (first.fscod.into(), 2),
        (first.bsid.into(), 5),
        (0, 2),
        (first.bsmod.into(), 3),
        (first.acmod.into(), 3),
        (first.lfe.into(), 1),
        (0, 3),
        (unit.dependents.into(), 4),
    ];
    if unit.dependents == 0 {
        let [_, _, _, bytes @ ..] = (pack(&fixed) << 1).to_be_bytes();
        return Bytes::copy_from_slice(&bytes);
    }
    // `chan_loc`: Lc/Rc, Lrs/Rrs, Cs, Ts, Lsd/Rsd, Lw/Rw, Lvh/Rvh, Cvh from the lowest bit on, then LFE2.
    let [_, eight] = (unit.locations >> 3).to_be_bytes();
    let chan_loc = u64::from(eight.reverse_bits()) | u64::from(unit.locations & 2) << 7;
    let [_, _, bytes @ ..] = (pack(&fixed) << 9 | chan_loc).to_be_bytes();
    Bytes::copy_from_slice(&bytes)
}

/// Fields of at most 64 bits together, most significant first.
fn pack(fields: &[(u32, u32)]) -> u64 {
    fields.iter().fold(0, |all, &(value, bits)| all << bits | u64::from(value))
}

#[cfg(test)]
pub(crate) mod tests;
