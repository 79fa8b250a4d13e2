//! LATM in LOAS: AAC access units as European broadcasters send them.
//!
//! Spec: ISO/IEC 14496-3 §1.7.2 (`AudioSyncStream`), §1.7.3 (`AudioMuxElement`).

use bytes::Bytes;
use nx_media::AudioParams;

use super::{AacError, CONFIG_BYTES_MAX, extent::config_bits, parse_config};
use crate::bits::Bits;

/// Bytes of the sync word and length in front of an `AudioMuxElement`.
pub const LOAS_HEADER_LEN: usize = 3;

/// An `AudioMuxElement` that this system does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LatmError {
    /// It ends too early.
    #[error("LATM element of {len} bytes ends inside the field at bit {bit}")]
    Truncated {
        /// Where the field begins, in bits.
        bit: usize,
        /// Size of the element, in bytes.
        len: usize,
    },
    /// It refers to a configuration that did not come yet; wait for an element that has one.
    #[error("LATM element before the first stream configuration")]
    NoConfig,
    /// A multiplex with another shape.
    #[error(
        "LATM stream with {field} {value} is not read, send one program of one layer with free frame lengths"
    )]
    Unsupported {
        /// As the specification names it.
        field: &'static str,
        /// What it says.
        value: u32,
    },
    /// The codec configuration in it is not taken.
    #[error(transparent)]
    Config(#[from] AacError),
}

/// Bytes of the LOAS frame that the bytes begin with, header included; `None` without the sync word 0x2b7 or
/// with fewer than [`LOAS_HEADER_LEN`] bytes.
#[must_use]
pub fn loas_frame_len(data: &[u8]) -> Option<usize> {
    let header = u32::from_be_bytes([0, *data.first()?, *data.get(1)?, *data.get(2)?]);
    let len = usize::try_from(header & 0x1fff).ok()?;
    (header >> 13 == 0x2b7).then_some(LOAS_HEADER_LEN + len)
}

/// Reads the elements of one track and remembers the configuration, which not every element repeats.
#[derive(Debug, Clone, Default)]
pub struct Latm {
    mux: Option<Mux>,
}

/// What of a `StreamMuxConfig` is needed later.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mux {
    params: AudioParams,
    /// Access units per element.
    frames: usize,
}

impl Latm {
    /// A reader before the first element.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Parameters of the track (`config` is the `AudioSpecificConfig`), once an element told them.
    #[must_use]
    pub fn params(&self) -> Option<&AudioParams> {
        self.mux.as_ref().map(|mux| &mux.params)
    }

    /// Reads one `AudioMuxElement`, a LOAS frame without its first [`LOAS_HEADER_LEN`] bytes: raw AAC access
    /// units in order, usually one.
    ///
    /// # Errors
    ///
    /// [`LatmError`]. When the configuration is what cannot be read, the next one is waited for.
    pub fn read(&mut self, element: &[u8]) -> Result<Vec<Bytes>, LatmError> {
        let mut fields = Fields { bits: Bits::new(element), element };
        if !fields.flag()? {
            self.mux = None;
            self.mux = Some(fields.stream_mux_config()?);
        }
        let mux = self.mux.as_ref().ok_or(LatmError::NoConfig)?;
        let mut bit = fields.bits.position();
        let mut access_units = Vec::new();
        for _ in 0..mux.frames {
            let short = LatmError::Truncated { bit, len: element.len() };
            let (unit, end) = payload(element, bit).ok_or(short)?;
            access_units.push(unit.into());
            bit = end;
        }
        Ok(access_units)
    }
}

/// `PayloadLengthInfo` and `PayloadMux` of one access unit, and the bit behind it.
fn payload(element: &[u8], mut bit: usize) -> Option<(Vec<u8>, usize)> {
    let mut len = 0;
    loop {
        let &[more] = unaligned(element, bit, 8)?.first_chunk()?;
        bit += 8;
        len += usize::from(more);
        if more != 255 {
            break;
        }
    }
    Some((unaligned(element, bit, len * 8)?, bit + len * 8))
}

/// Bits of `data` from `bit` on, moved to the start of a byte; zeros fill the last one.
fn unaligned(data: &[u8], bit: usize, len: usize) -> Option<Vec<u8>> {
    let end = bit.checked_add(len).filter(|&end| end <= data.len() * 8)?;
    let source = data.get(bit / 8..end.div_ceil(8))?;
    let shift = bit % 8;
    let next = source.iter().skip(1).chain([&0]);
    let moved = |(&a, &b): (&u8, &u8)| {
        let [byte, _] = (u16::from_be_bytes([a, b]) << shift).to_be_bytes();
        byte
    };
    let mut bytes: Vec<u8> = source.iter().zip(next).map(moved).take(len.div_ceil(8)).collect();
    if let Some(last) = bytes.last_mut().filter(|_| !len.is_multiple_of(8)) {
        *last &= !(0xff >> (len % 8));
    }
    Some(bytes)
}

/// Reader of an element from its start.
struct Fields<'a> {
    bits: Bits<'a>,
    element: &'a [u8],
}

impl Fields<'_> {
    /// Spec: ISO/IEC 14496-3 table 1.42.
    fn stream_mux_config(&mut self) -> Result<Mux, LatmError> {
        let version = self.take(1)?;
        if version == 1 {
            self.expect("audioMuxVersionA", 1, 0)?;
            self.value()?;
        }
        self.expect("allStreamsSameTimeFraming", 1, 1)?;
        let sub_frames = self.take(6)?;
        self.expect("numProgram", 4, 0)?;
        self.expect("numLayer", 3, 0)?;
        let stated = if version == 1 { Some(self.value()?) } else { None };
        let params = self.audio_specific_config(stated)?;
        self.expect("frameLengthType", 3, 0)?;
        self.take(8)?;
        // The length of other data behind the access units, which is not read.
        if self.flag()? {
            if version == 1 {
                self.value()?;
            } else {
                while self.flag()? {
                    self.take(8)?;
                }
                self.take(8)?;
            }
        }
        if self.flag()? {
            self.take(8)?;
        }
        Ok(Mux { params, frames: usize::try_from(sub_frames).unwrap_or(0) + 1 })
    }

    /// Takes the codec configuration, `stated` bits long or as long as it says itself.
    fn audio_specific_config(&mut self, stated: Option<u32>) -> Result<AudioParams, LatmError> {
        let bit = self.bits.position();
        let short = self.short();
        let max = CONFIG_BYTES_MAX * 8;
        let len = if let Some(stated) = stated {
            usize::try_from(stated).unwrap_or(usize::MAX)
        } else {
            let rest = (self.element.len() * 8).saturating_sub(bit).min(max);
            let from_here = unaligned(self.element, bit, rest);
            from_here.and_then(|asc| config_bits(&asc)).ok_or(short.clone())?
        };
        if len > max {
            return Err(AacError::ConfigTooLong { got: len.div_ceil(8), max: CONFIG_BYTES_MAX }.into());
        }
        let config = unaligned(self.element, bit, len).ok_or(short)?;
        for _ in 0..len {
            self.take(1)?;
        }
        Ok(parse_config(&config.into())?)
    }

    /// `LatmGetValue()`: 1 to 4 bytes.
    fn value(&mut self) -> Result<u32, LatmError> {
        let bytes = self.take(2)? + 1;
        self.take(bytes * 8)
    }

    /// A field that has to have the value of the plain case.
    fn expect(&mut self, field: &'static str, n: u32, plain: u32) -> Result<(), LatmError> {
        match self.take(n)? {
            value if value == plain => Ok(()),
            value => Err(LatmError::Unsupported { field, value }),
        }
    }

    fn flag(&mut self) -> Result<bool, LatmError> {
        self.take(1).map(|bit| bit == 1)
    }

    fn take(&mut self, n: u32) -> Result<u32, LatmError> {
        self.bits.take(n).ok_or_else(|| self.short())
    }

    fn short(&self) -> LatmError {
        LatmError::Truncated { bit: self.bits.position(), len: self.element.len() }
    }
}

#[cfg(test)]
mod tests;
