//! MPEG transport stream segments for HLS, made from stored samples on demand.
//!
//! A segment depends on nothing but its own samples and its number: any node can make any segment, in any
//! order, and gets the same bytes. Continuity counters still run on from one segment to the next, because
//! the packets of each elementary stream are filled up to a multiple of 16 (at most 16 more packets, with
//! real payload spread thinner), so each segment starts at 0; PAT and PMT come once per segment, so their
//! counter follows from the segment number.
//!
//! Spec: ISO/IEC 13818-1 §2.4, RFC 8216 §3.2.

use bytes::Bytes;
use nx_codec::aac::AacError;
use nx_codec::avc::AvcError;
use nx_media::{AudioParams, Params, Sample, VideoParams};

mod audio;
mod packet;
mod pes;
mod psi;
mod sealed;
mod video;

use super::PACKET_LEN;
use audio::{AudioUnits, Framing};
use packet::Stream;
use psi::Entry;
use video::{Bitstream, VideoUnits};

/// Packet id of the video stream.
pub const VIDEO_PID: u16 = 0x100;
/// Packet id of the first audio stream; the others follow.
pub const AUDIO_PID: u16 = 0x101;
/// Packet id of the program map.
pub const PMT_PID: u16 = 0x1000;
/// The most audio tracks in one segment: as many have a PES stream id.
pub const AUDIO_TRACKS_MAX: usize = 32;
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
    /// Each track's audio samples in decode order. Without video the first one carries the PCR.
    pub audio: &'a [(&'a AudioParams, &'a [Sample])],
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
    /// Transport streams have no agreed form for this codec; serve it in CMAF.
    #[error("a transport stream does not carry {0}; take the CMAF rendition")]
    Codec(&'static str),
    /// The `hvcC` record ends inside its lists.
    #[error("HEVC configuration record of {len} bytes ends inside its lists of parameter sets")]
    HevcConfig {
        /// Size of the record.
        len: usize,
    },
    /// One audio frame is longer than a PES packet can state.
    #[error("audio frame of {got} bytes, a PES packet carries at most {max}")]
    FrameTooLong {
        /// Size of the frame with its framing.
        got: usize,
        /// The most that fits.
        max: usize,
    },
    /// More than [`AUDIO_TRACKS_MAX`] audio tracks.
    #[error("{got} audio tracks, a segment carries at most {max}")]
    AudioTracks {
        /// Tracks asked for.
        got: usize,
        /// [`AUDIO_TRACKS_MAX`].
        max: usize,
    },
}

/// Whether [`segment`] takes a track with these parameters.
///
/// True for H.264, HEVC, AAC that ADTS can tell, MPEG audio, AC-3, E-AC-3 and Opus of up to 8 channels, when
/// the decoder configuration is whole.
#[must_use]
pub fn carries(params: &Params) -> bool {
    match params {
        Params::Video(video) => Bitstream::new(video).is_ok(),
        Params::Audio(audio) => Framing::new(audio).is_ok(),
    }
}

/// Writes one segment: PAT, PMT, then all streams interleaved by decode time.
///
/// `number` is the media sequence number of the segment; it must grow by one per segment for continuous
/// PAT and PMT counters. Every video frame is one PES packet that starts with an access unit delimiter;
/// key frames also get the parameter sets unless they carry their own. Audio PES packets hold up to 100 ms.
/// The PCR is on the video stream, or on the first audio stream when there is no video track. A `pts` before
/// its `dts` pulls the DTS down to it, as a transport stream cannot state it.
///
/// # Errors
///
/// [`TsError`].
///
/// Spec: ISO/IEC 13818-1 §2.4.3, §2.4.4, §2.14 (H.264), §2.17 (HEVC), ISO/IEC 13818-7 §6.2 (ADTS), ATSC A/52
/// annex A (Dolby).
pub fn segment(tracks: &Tracks<'_>, number: u64) -> Result<Bytes, TsError> {
    write(tracks, number, false)
}

/// The same of samples of H.264 and AAC that are encrypted one by one: the PMT says so.
///
/// # Errors
///
/// [`TsError`]; [`TsError::Codec`] of other codecs.
///
/// Spec: Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming".
pub fn sample_aes_segment(tracks: &Tracks<'_>, number: u64) -> Result<Bytes, TsError> {
    write(tracks, number, true)
}

fn write(tracks: &Tracks<'_>, number: u64, sealed: bool) -> Result<Bytes, TsError> {
    if tracks.audio.len() > AUDIO_TRACKS_MAX {
        return Err(TsError::AudioTracks { got: tracks.audio.len(), max: AUDIO_TRACKS_MAX });
    }
    let mut entries = Vec::with_capacity(1 + tracks.audio.len());
    let mut video = None;
    if let Some((params, samples)) = tracks.video {
        let bitstream = Bitstream::new(params)?;
        entries.push(Entry { pid: VIDEO_PID, stream_type: bitstream.stream_type(), descriptors: Vec::new() });
        video = Some((Stream::new(VIDEO_PID), VideoUnits::new(bitstream, samples)));
    }
    let mut audio = Vec::with_capacity(tracks.audio.len());
    for (nth, (params, samples)) in (0..).zip(tracks.audio) {
        let (framing, pid) = (Framing::new(params)?, AUDIO_PID + u16::from(nth));
        let with_pcr = entries.is_empty();
        entries.push(Entry {
            pid,
            stream_type: framing.stream_type(),
            descriptors: framing.descriptors(params.language),
        });
        audio.push((Stream::new(pid), AudioUnits::new(framing, params, samples, nth, with_pcr)));
    }
    if sealed {
        let configs = tracks.video.iter().map(|_| &[][..]);
        let configs = configs.chain(tracks.audio.iter().map(|(params, _)| &params.config[..]));
        entries.iter_mut().zip(configs).try_for_each(|(entry, config)| sealed::tell(entry, config))?;
    }
    let mut out = Vec::with_capacity(capacity(tracks));
    psi::write(&mut out, &entries, number);
    loop {
        let video_dts = video.as_ref().and_then(|(_, units)| units.next_dts_90k());
        let next_audio = (audio.iter_mut())
            .filter_map(|(stream, units)| Some((units.next_dts_90k()?, stream, units)))
            .min_by_key(|(dts, ..)| *dts);
        match (&mut video, video_dts, next_audio) {
            (Some((stream, units)), Some(dts), next) if next.as_ref().is_none_or(|(a, ..)| dts <= *a) => {
                stream.write(&mut out, units.next_unit()?);
            }
            (.., Some((_, stream, units))) => stream.write(&mut out, units.next_unit()?),
            (.., None) => return Ok(out.into()),
        }
    }
}

/// An upper bound for usual streams: 4 bytes of header per packet, and per sample two packets for headers,
/// parameter sets and stuffing.
fn capacity(tracks: &Tracks<'_>) -> usize {
    let video = tracks.video.map_or(&[][..], |(_, samples)| samples);
    let audio = tracks.audio.iter().flat_map(|(_, samples)| *samples);
    let payload: usize = video.iter().chain(audio.clone()).map(|s| s.payload.len()).sum();
    let rounding = 17 * (1 + tracks.audio.len());
    let packets = payload / (PACKET_LEN - 4) + 2 * video.len() + audio.count() + 6 + rounding;
    packets * PACKET_LEN
}

#[cfg(test)]
mod tests;
