//! MPEG transport stream segments for HLS, made from stored samples on demand.
//!
//! A segment depends on nothing but its own samples and its number: any node can make any segment, in any
//! order, and gets the same bytes. Continuity counters still run on from one segment to the next, because
//! the packets of each elementary stream are filled up to a multiple of 16 (at most 16 more packets, with
//! real payload spread thinner), so each segment starts at 0; PAT and PMT come once per segment, so their
//! counter is the segment number modulo 16.
//!
//! Spec: ISO/IEC 13818-1 §2.4, RFC 8216 §3.2.

use bytes::Bytes;
use nx_codec::aac::{AacError, Adts};
use nx_codec::avc::{self, AvcError};
use nx_media::{AudioParams, Sample, VideoParams};

mod packet;
mod pes;
mod psi;

use packet::Stream;
use pes::{AudioUnits, VideoUnits};

/// Bytes of a transport packet.
pub const PACKET_LEN: usize = 188;
/// Packet id of the video stream.
pub const VIDEO_PID: u16 = 0x100;
/// Packet id of the audio stream.
pub const AUDIO_PID: u16 = 0x101;
/// Packet id of the program map.
pub const PMT_PID: u16 = 0x1000;
/// Added to every PTS and DTS, in 90 kHz ticks (1 s): times from -0.5 s on give a PCR that is not negative.
/// All renditions share it, so they stay in sync.
pub const TIME_OFFSET_90K: i64 = 90_000;
/// The PCR runs this far before the DTS, in 90 kHz ticks (0.5 s).
pub const PCR_LEAD_90K: i64 = 45_000;

/// What goes into a segment. Times are in each track's own timescale; payloads as [`Sample`] has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracks<'a> {
    /// Video samples in decode order. With a track but no sample, the segment has no PCR: pass `None`.
    pub video: Option<(&'a VideoParams, &'a [Sample])>,
    /// Audio samples in decode order.
    pub audio: Option<(&'a AudioParams, &'a [Sample])>,
}

/// The tracks cannot be carried in a transport stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TsError {
    /// The decoder configuration record or a payload is damaged.
    #[error("video does not fit a transport stream")]
    Video(#[from] AvcError),
    /// The audio cannot be told in ADTS.
    #[error("audio does not fit a transport stream")]
    Audio(#[from] AacError),
}

/// Writes one segment: PAT, PMT, then both streams interleaved by decode time.
///
/// `number` is the media sequence number of the segment; it must grow by one per segment for continuous
/// PAT and PMT counters. Every video frame is one PES packet that starts with an access unit delimiter;
/// key frames also get the parameter sets unless they carry their own. Audio PES packets hold up to 100 ms.
/// The PCR is on the video stream, or on the audio stream when there is no video track. A `pts` before
/// its `dts` pulls the DTS down to it, as a transport stream cannot state it.
///
/// # Errors
///
/// [`TsError`].
///
/// Spec: ISO/IEC 13818-1 §2.4.3, §2.4.4, §2.14 (H.264), ISO/IEC 13818-7 §6.2 (ADTS).
pub fn segment(tracks: &Tracks<'_>, number: u64) -> Result<Bytes, TsError> {
    let mut out = Vec::with_capacity(capacity(tracks));
    psi::write(&mut out, tracks.video.is_some(), tracks.audio.is_some(), number);
    let mut video = match tracks.video {
        Some((params, samples)) => Some(VideoUnits::new(avc::parameter_sets(&params.config)?, samples)),
        None => None,
    };
    let mut audio = match tracks.audio {
        Some((params, samples)) => {
            Some(AudioUnits::new(Adts::new(params)?, params, samples, tracks.video.is_none()))
        }
        None => None,
    };
    let (mut video_stream, mut audio_stream) = (Stream::new(VIDEO_PID), Stream::new(AUDIO_PID));
    loop {
        let video_dts = video.as_ref().and_then(VideoUnits::next_dts_90k);
        let audio_dts = audio.as_ref().and_then(AudioUnits::next_dts_90k);
        match (&mut video, &mut audio, video_dts, audio_dts) {
            (Some(video), _, Some(v), a) if a.is_none_or(|a| v <= a) => {
                video_stream.write(&mut out, video.next_unit()?);
            }
            (_, Some(audio), _, Some(_)) => audio_stream.write(&mut out, audio.next_unit()?),
            _ => return Ok(out.into()),
        }
    }
}

/// An upper bound for usual streams: 4 bytes of header per packet, and per sample two packets for headers,
/// parameter sets and stuffing.
fn capacity(tracks: &Tracks<'_>) -> usize {
    let video = tracks.video.map_or(&[][..], |(_, samples)| samples);
    let audio = tracks.audio.map_or(&[][..], |(_, samples)| samples);
    let payload: usize = video.iter().chain(audio).map(|s| s.payload.len()).sum();
    let packets = payload / (PACKET_LEN - 4) + 2 * video.len() + audio.len() + 2 + 2 * 17;
    packets * PACKET_LEN
}

#[cfg(test)]
mod tests;
