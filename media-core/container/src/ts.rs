//! MPEG transport streams: [`segment`] and [`sample_aes_segment`] write them for HLS, [`demux`] reads what publishers send.
//!
//! Spec: ISO/IEC 13818-1.

pub mod demux;
mod index;
mod mux;
mod wire;

pub use index::unpack;
pub(crate) use index::{TsFile, sniff};
pub use mux::{
    AUDIO_PID, AUDIO_TRACKS_MAX, PCR_LEAD_90K, PMT_PID, TIME_OFFSET_90K, Tracks, TsError, VIDEO_PID, carries,
    sample_aes_segment, segment,
};
pub use wire::PACKET_LEN;
pub(crate) use wire::crc;
