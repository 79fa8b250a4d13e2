//! Turns samples into PES packets: H.264 in byte stream form, AAC in ADTS.
//!
//! Spec: ISO/IEC 13818-1 §2.4.3.6 (PES), ISO/IEC 14496-10 annex B (byte stream).

use nx_codec::aac::Adts;
use nx_codec::avc::{self, NAL_AUD, NAL_PPS, NAL_SPS, ParameterSets};
use nx_media::{AudioParams, Sample, VIDEO_TIMESCALE, rescale};

use super::packet::Unit;
use super::{PCR_LEAD_90K, TIME_OFFSET_90K, TsError};

/// The most audio in one PES packet, in 90 kHz ticks (100 ms).
const AUDIO_PES_90K_MAX: i64 = 9_000;
/// The most that `PES_packet_length` can state, less the largest header behind it.
const AUDIO_PES_BYTES_MAX: usize = 65_535 - 13;
const STREAM_VIDEO: u8 = 0xe0;
const STREAM_AUDIO: u8 = 0xc0;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Any slice type may follow.
const AUD: [u8; 2] = [NAL_AUD, 0xf0];

/// Ticks as a transport stream states them: 33 bits.
fn ticks(time_90k: i64) -> u64 {
    time_90k.wrapping_add(TIME_OFFSET_90K).rem_euclid(1 << 33).unsigned_abs()
}

fn pcr(dts_90k: i64) -> u64 {
    ticks(dts_90k.wrapping_sub(PCR_LEAD_90K))
}

/// PES header. `len` counts the bytes behind it; 0 leaves the length open, as video may.
fn header(out: &mut Vec<u8>, stream: u8, pts_90k: i64, dts_90k: i64, len: usize) {
    let (pts, dts) = (ticks(pts_90k), ticks(dts_90k.min(pts_90k)));
    let times_len: u8 = if pts == dts { 5 } else { 10 };
    let len = if len == 0 { 0 } else { u16::try_from(3 + usize::from(times_len) + len).unwrap_or(0) };
    out.extend_from_slice(&[0, 0, 1, stream]);
    out.extend_from_slice(&len.to_be_bytes());
    // Marker and data alignment; which times follow.
    out.extend_from_slice(&[0x84, if pts == dts { 0x80 } else { 0xc0 }, times_len]);
    if pts == dts {
        timestamp(out, 2, pts);
    } else {
        timestamp(out, 3, pts);
        timestamp(out, 1, dts);
    }
}

/// 33 bits with a marker bit behind each group of 3, 15 and 15.
fn timestamp(out: &mut Vec<u8>, prefix: u64, ticks: u64) {
    let high = (ticks >> 30) & 0x7;
    let (middle, low) = ((ticks >> 15) & 0x7fff, ticks & 0x7fff);
    let bits = (prefix << 36) | (high << 33) | (1 << 32) | (middle << 17) | (1 << 16) | (low << 1) | 1;
    let [_, _, _, bytes @ ..] = bits.to_be_bytes();
    out.extend_from_slice(&bytes);
}

/// PES packets of a video track, one per sample.
pub(super) struct VideoUnits<'a> {
    sets: ParameterSets,
    samples: &'a [Sample],
    scratch: Vec<u8>,
}

impl<'a> VideoUnits<'a> {
    pub(super) fn new(sets: ParameterSets, samples: &'a [Sample]) -> Self {
        Self { sets, samples, scratch: Vec::new() }
    }

    /// Decode time of the next packet; `None` at the end.
    pub(super) fn next_dts_90k(&self) -> Option<i64> {
        self.samples.first().map(|s| s.dts)
    }

    /// Call only while [`Self::next_dts_90k`] tells a time.
    pub(super) fn next_unit(&mut self) -> Result<Unit<'_>, TsError> {
        let (sample, rest) = self.samples.split_first().expect("the caller saw its decode time");
        self.samples = rest;
        avc::check(&sample.payload)?;
        let out = &mut self.scratch;
        out.clear();
        header(out, STREAM_VIDEO, sample.pts, sample.dts, 0);
        nal(out, &AUD);
        let in_band = |wanted| avc::nals(&sample.payload).any(|n| avc::nal_type(n) == wanted);
        if sample.key && !(in_band(NAL_SPS) && in_band(NAL_PPS)) {
            for set in self.sets.sps.iter().chain(&self.sets.pps) {
                nal(out, set);
            }
        }
        for unit in avc::nals(&sample.payload).filter(|n| avc::nal_type(n) != NAL_AUD) {
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

/// PES packets of an audio track, each with as many whole frames as fit the limits and follow each other.
pub(super) struct AudioUnits<'a> {
    adts: Adts,
    samples: &'a [Sample],
    timescale: u32,
    frame_samples: i64,
    with_pcr: bool,
    scratch: Vec<u8>,
}

impl<'a> AudioUnits<'a> {
    pub(super) fn new(adts: Adts, params: &AudioParams, samples: &'a [Sample], with_pcr: bool) -> Self {
        let frame_samples = i64::from(params.frame_samples);
        let timescale = params.sample_rate;
        Self { adts, samples, timescale, frame_samples, with_pcr, scratch: Vec::new() }
    }

    fn to_90k(&self, time: i64) -> i64 {
        rescale(time, self.timescale, VIDEO_TIMESCALE)
    }

    /// Decode time of the next packet; `None` at the end.
    pub(super) fn next_dts_90k(&self) -> Option<i64> {
        self.samples.first().map(|s| self.to_90k(s.dts))
    }

    /// Call only while [`Self::next_dts_90k`] tells a time.
    pub(super) fn next_unit(&mut self) -> Result<Unit<'_>, TsError> {
        let (count, len) = self.group();
        let (group, rest) = self.samples.split_at(count);
        let first = group.first().expect("the caller saw its decode time");
        let (pts, dts) = (self.to_90k(first.pts), self.to_90k(first.dts));
        self.samples = rest;
        self.scratch.clear();
        header(&mut self.scratch, STREAM_AUDIO, pts, dts, len);
        for sample in group {
            self.scratch.extend_from_slice(&self.adts.header(sample.payload.len())?);
            self.scratch.extend_from_slice(&sample.payload);
        }
        Ok(Unit {
            data: &self.scratch,
            pcr_90k: self.with_pcr.then(|| pcr(dts)),
            random_access: self.with_pcr,
            last: self.samples.is_empty(),
        })
    }

    /// How many frames the next packet takes, at least one, and their bytes in ADTS.
    fn group(&self) -> (usize, usize) {
        let start = self.samples.first().map_or(0, |s| s.dts);
        let (mut count, mut len) = (0, 0);
        for sample in self.samples {
            let with = len + sample.payload.len() + nx_codec::aac::ADTS_HEADER_LEN;
            let steps = i64::try_from(count).unwrap_or(i64::MAX);
            let follows = sample.dts == start.saturating_add(steps.saturating_mul(self.frame_samples));
            let span = self.to_90k(steps.saturating_add(1).saturating_mul(self.frame_samples));
            if count > 0 && (!follows || span > AUDIO_PES_90K_MAX || with > AUDIO_PES_BYTES_MAX) {
                break;
            }
            (count, len) = (count + 1, with);
        }
        (count, len)
    }
}
