//! Codec ids, and the parameters that the private data or the first frame of a track tells.
//!
//! Spec: "Matroska Codec Specifications"; "AV1 in Matroska"; VP Codec ISO Media File Format Binding (`vpcC`).

use bytes::Bytes;
use nx_codec::{aac, av1, flac, opus, vp9};
use nx_media::{AudioCodec, Params, VideoCodec};

use crate::index::{avc_params, foreign_params, frame_params, hevc_params};

/// Bytes of a track's first frame that are read at most.
pub(super) const FIRST_FRAME_BYTES: usize = 64 << 10;

/// What a track says of its picture: numbers of ITU-T H.273, of which 2 is "not said"; pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture {
    pub(super) primaries: u8,
    pub(super) transfer: u8,
    pub(super) matrix: u8,
    pub(super) size: (u32, u32),
}

impl Default for Picture {
    fn default() -> Self {
        Self { primaries: 2, transfer: 2, matrix: 2, size: (0, 0) }
    }
}

/// What is missing for the parameters of a track.
#[derive(Debug)]
pub(super) enum Need {
    Nothing(Params),
    /// The first key frame of VP9.
    Vp9(Picture),
    /// The first temporal unit of AV1, for a record without its sequence header.
    Av1(Bytes),
    /// The first frame.
    Frame(AudioCodec),
}

/// Tells what is needed for the codec; in words why it is left out.
pub(super) fn need(codec: &str, video: bool, private: Bytes, picture: Picture) -> Result<Need, String> {
    let damaged = |e: &dyn std::fmt::Display| format!("{codec}: {e}");
    let params = match (codec, video) {
        ("V_MPEG4/ISO/AVC", true) => avc_params(&private).map(Params::Video),
        ("V_MPEGH/ISO/HEVC", true) => hevc_params(&private).map(Params::Video),
        ("V_AV1", true) => return av1_need(private).map_err(|e| damaged(&e)),
        ("V_MPEG4/ISO/ASP" | "V_MPEG4/ISO/SP", true) => {
            Ok(Params::Video(foreign_params(VideoCodec::Mpeg4, private, picture.size)))
        }
        ("V_MPEG2", true) => Ok(Params::Video(foreign_params(VideoCodec::Mpeg2, private, picture.size))),
        ("V_VP9", true) => return Ok(Need::Vp9(picture)),
        ("A_OPUS", false) => opus::parse_head(&private).map(Params::Audio).map_err(|e| e.to_string()),
        ("A_FLAC", false) => flac::parse_header(&private).map(Params::Audio).map_err(|e| e.to_string()),
        ("A_AC3" | "A_AC3/BSID9" | "A_AC3/BSID10", false) => return Ok(Need::Frame(AudioCodec::Ac3)),
        ("A_EAC3", false) => return Ok(Need::Frame(AudioCodec::Eac3)),
        ("A_MPEG/L3" | "A_MPEG/L2", false) => return Ok(Need::Frame(AudioCodec::Mpa)),
        (aac, false) if aac == "A_AAC" || aac.starts_with("A_AAC/") => {
            aac::parse_config(&private).map(Params::Audio).map_err(|e| e.to_string())
        }
        _ => return Err(format!("codec {codec} is not carried")),
    };
    params.map(Need::Nothing).map_err(|e| damaged(&e))
}

fn av1_need(record: Bytes) -> Result<Need, av1::Av1Error> {
    match av1::parse_config(&record) {
        Ok(params) => Ok(Need::Nothing(Params::Video(params))),
        Err(av1::Av1Error::NoSequenceHeader) => Ok(Need::Av1(record)),
        Err(e) => Err(e),
    }
}

/// Parameters by the beginning of a frame; `None` to wait for a later one, words when none will do.
pub(super) fn by_frame(need: &Need, frame: &[u8]) -> Result<Option<Params>, String> {
    match need {
        Need::Nothing(params) => Ok(Some(params.clone())),
        Need::Vp9(picture) => {
            let Some(config) =
                vp9::config_from_key(frame, picture.primaries, picture.transfer, picture.matrix)
            else {
                return Ok(None);
            };
            vp9::parse_config(&config, frame).map(|p| Some(Params::Video(p))).map_err(|e| e.to_string())
        }
        Need::Av1(record) => {
            let Some(record) = av1::with_sequence_header(record, frame) else { return Ok(None) };
            av1::parse_config(&record).map(|p| Some(Params::Video(p))).map_err(|e| e.to_string())
        }
        Need::Frame(codec) => frame_params(*codec, frame).map(|p| Some(Params::Audio(p))),
    }
}
