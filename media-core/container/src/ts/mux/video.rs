//! Video samples as PES packets: H.264 and HEVC in byte stream form.
//!
//! Spec: ISO/IEC 14496-10 and 23008-2 annex B (byte stream), ISO/IEC 14496-15 §8.3.3.1 (`hvcC`).

use bytes::Bytes;
use nx_codec::avc::{self, NAL_AUD, NAL_PPS, NAL_SPS};
use nx_media::{Sample, VideoCodec, VideoParams};

use super::super::wire::{TYPE_AVC, TYPE_HEVC};
use super::TsError;
use super::packet::Unit;
use super::pes::{header, pcr};

const STREAM_VIDEO: u8 = 0xe0;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Any slice type may follow.
const AVC_AUD: &[u8] = &[NAL_AUD, 0xf0];
const HEVC_AUD: &[u8] = &[HEVC_NAL_AUD << 1, 1, 0x50];
const HEVC_NAL_VPS: u8 = 32;
const HEVC_NAL_SPS: u8 = 33;
const HEVC_NAL_PPS: u8 = 34;
const HEVC_NAL_AUD: u8 = 35;
/// Bytes of an `hvcC` in front of the number of its lists.
const HVCC_HEADER_LEN: usize = 22;

/// Which NAL units a track has, and those that its key frames need.
pub(super) struct Bitstream {
    hevc: bool,
    /// Whole NAL units in the order in which they are sent.
    sets: Vec<Bytes>,
}

impl Bitstream {
    pub(super) fn new(params: &VideoParams) -> Result<Self, TsError> {
        match params.codec {
            VideoCodec::Avc => {
                let sets = avc::parameter_sets(&params.config)?;
                Ok(Self { hevc: false, sets: sets.sps.into_iter().chain(sets.pps).collect() })
            }
            VideoCodec::Hevc => {
                let sets = hevc_sets(&params.config);
                let sets = sets.ok_or(TsError::HevcConfig { len: params.config.len() })?;
                Ok(Self { hevc: true, sets })
            }
            VideoCodec::Av1 => Err(TsError::Codec("AV1")),
            VideoCodec::Vp9 => Err(TsError::Codec("VP9")),
            _ => Err(TsError::Codec("this video codec")),
        }
    }

    pub(super) fn stream_type(&self) -> u8 {
        if self.hevc { TYPE_HEVC } else { TYPE_AVC }
    }

    fn nal_type(&self, nal: &[u8]) -> u8 {
        if self.hevc { hevc_nal_type(nal) } else { avc::nal_type(nal) }
    }

    /// The access unit delimiter that is put in front, and its type.
    fn delimiter(&self) -> (&'static [u8], u8) {
        if self.hevc { (HEVC_AUD, HEVC_NAL_AUD) } else { (AVC_AUD, NAL_AUD) }
    }

    /// Types of the parameter sets that a key frame needs.
    fn set_types(&self) -> &'static [u8] {
        if self.hevc { &[HEVC_NAL_VPS, HEVC_NAL_SPS, HEVC_NAL_PPS] } else { &[NAL_SPS, NAL_PPS] }
    }
}

fn hevc_nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| (header >> 1) & 0x3f)
}

/// VPS, SPS and PPS of an `hvcC`, in this order; `None` when the record ends early. A record without any (the
/// stream carries them in band) gives an empty list.
fn hevc_sets(hvcc: &Bytes) -> Option<Vec<Bytes>> {
    let (&lists, mut rest) = hvcc.get(HVCC_HEADER_LEN..)?.split_first()?;
    let mut sets = Vec::new();
    for _ in 0..lists {
        let ([_, count @ ..], tail) = rest.split_first_chunk::<3>()?;
        rest = tail;
        for _ in 0..u16::from_be_bytes(*count) {
            let (len, tail) = rest.split_first_chunk()?;
            let (nal, tail) = tail.split_at_checked(u16::from_be_bytes(*len).into())?;
            rest = tail;
            if (HEVC_NAL_VPS..=HEVC_NAL_PPS).contains(&hevc_nal_type(nal)) {
                sets.push(hvcc.slice_ref(nal));
            }
        }
    }
    sets.sort_by_key(|nal| hevc_nal_type(nal));
    Some(sets)
}

/// PES packets of a video track, one per sample.
pub(super) struct VideoUnits<'a> {
    bitstream: Bitstream,
    samples: &'a [Sample],
    scratch: Vec<u8>,
}

impl<'a> VideoUnits<'a> {
    pub(super) fn new(bitstream: Bitstream, samples: &'a [Sample]) -> Self {
        Self { bitstream, samples, scratch: Vec::new() }
    }

    /// Decode time of the next packet; `None` at the end.
    pub(super) fn next_dts_90k(&self) -> Option<i64> {
        self.samples.first().map(|s| s.dts)
    }

    /// Call only while [`Self::next_dts_90k`] tells a time.
    pub(super) fn next_unit(&mut self) -> Result<Unit<'_>, TsError> {
        let (sample, rest) = self.samples.split_first().expect("the caller saw its decode time");
        self.samples = rest;
        // H.264 and HEVC payloads have the same lengths in front of their NAL units.
        avc::check(&sample.payload)?;
        let (out, bitstream) = (&mut self.scratch, &self.bitstream);
        out.clear();
        header(out, STREAM_VIDEO, sample.pts, sample.dts, 0);
        let (delimiter, delimiter_type) = bitstream.delimiter();
        nal(out, delimiter);
        let in_band = |wanted: &u8| avc::nals(&sample.payload).any(|n| bitstream.nal_type(n) == *wanted);
        if sample.key && !bitstream.set_types().iter().all(in_band) {
            for set in &bitstream.sets {
                nal(out, set);
            }
        }
        for unit in avc::nals(&sample.payload).filter(|n| bitstream.nal_type(n) != delimiter_type) {
            nal(out, unit);
        }
        Ok(Unit {
            data: &self.scratch,
            pcr_90k: Some(pcr(sample.dts)),
            random_access: sample.key,
            last: self.samples.is_empty(),
        })
    }
}

fn nal(out: &mut Vec<u8>, nal: &[u8]) {
    out.extend_from_slice(&START_CODE);
    out.extend_from_slice(nal);
}
