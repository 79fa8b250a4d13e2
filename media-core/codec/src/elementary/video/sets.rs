//! The parameter sets that a stream carries in band, and the configuration made of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use nx_media::{VideoCodec, VideoParams};

use crate::bits::{Bits, rbsp};
use crate::{avc, hevc};

/// Bytes of an H.264 SPS in front of its id: NAL header, profile, constraints, level.
const AVC_SPS_HEAD_LEN: usize = 4;

/// The latest parameter set of each type and id.
#[derive(Debug)]
pub(super) struct Sets {
    codec: VideoCodec,
    /// By NAL unit type and id, which is the order of a record.
    latest: BTreeMap<(u8, u32), Bytes>,
    /// They changed since the last configuration.
    changed: bool,
    /// The last configuration.
    config: Option<Bytes>,
}

/// What became of the configuration.
pub(super) enum Renewed {
    /// It differs from the one before.
    New(VideoParams),
    /// It does not, or not all parameter sets are there yet.
    Same,
    /// The parameter sets do not parse, or are too long.
    Unusable,
}

impl Sets {
    pub(super) fn new(codec: VideoCodec) -> Self {
        Self { codec, latest: BTreeMap::new(), changed: false, config: None }
    }

    /// Whether the latest sets are other ones than the configuration was made of.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// Whether there is a configuration.
    pub(super) fn known(&self) -> bool {
        self.config.is_some()
    }

    /// Takes a parameter set; `None` when its id does not parse or it is too long for any record.
    pub(super) fn put(&mut self, nal: &[u8]) -> Option<()> {
        let key = id(self.codec, nal)?;
        if self.latest.get(&key).is_none_or(|old| old != nal) {
            self.latest.insert(key, Bytes::copy_from_slice(nal));
            self.changed = true;
        }
        Some(())
    }

    /// Makes the configuration of the latest sets; there is none before each type has been seen.
    pub(super) fn renew(&mut self) -> Renewed {
        let params = match self.codec {
            VideoCodec::Hevc => {
                let [vps, sps, pps] = [hevc::NAL_VPS, hevc::NAL_SPS, hevc::NAL_PPS].map(|t| self.list(t));
                if vps.is_empty() || sps.is_empty() || pps.is_empty() {
                    return Renewed::Same;
                }
                hevc::config_from_sets(&vps, &sps, &pps).and_then(|config| hevc::parse_config(&config)).ok()
            }
            _ => {
                let [sps, pps] = [avc::NAL_SPS, avc::NAL_PPS].map(|t| self.list(t));
                if sps.is_empty() || pps.is_empty() {
                    return Renewed::Same;
                }
                avc::config_from_sets(&sps, &pps).and_then(|config| avc::parse_config(&config)).ok()
            }
        };
        let Some(params) = params else { return Renewed::Unusable };
        self.changed = false;
        match self.config.replace(params.config.clone()) {
            Some(old) if old == params.config => Renewed::Same,
            _ => Renewed::New(params),
        }
    }

    fn list(&self, nal_type: u8) -> Vec<Bytes> {
        self.latest.range((nal_type, 0)..=(nal_type, u32::MAX)).map(|(_, nal)| nal.clone()).collect()
    }
}

/// Type and id of a parameter set that can be taken.
pub(super) fn id(codec: VideoCodec, nal: &[u8]) -> Option<(u8, u32)> {
    let id = match codec {
        VideoCodec::Hevc => hevc_id(nal),
        _ => avc_id(nal),
    };
    id.filter(|_| nal.len() <= avc::CONFIG_BYTES_MAX)
}

/// Type and id of an H.264 parameter set.
fn avc_id(nal: &[u8]) -> Option<(u8, u32)> {
    let (at, max) = if avc::nal_type(nal) == avc::NAL_SPS { (AVC_SPS_HEAD_LEN, 31) } else { (1, 255) };
    Some((avc::nal_type(nal), ue_at(nal, at, max)?))
}

/// Type and id of an H.265 parameter set.
fn hevc_id(nal: &[u8]) -> Option<(u8, u32)> {
    let id = match hevc::nal_type(nal) {
        hevc::NAL_VPS => u32::from(nal.get(2)? >> 4),
        hevc::NAL_SPS => hevc::Sps::parse(nal).ok()?.id,
        _ => ue_at(nal, 2, 63)?,
    };
    Some((hevc::nal_type(nal), id))
}

/// The number, at most `max`, that begins at byte `at` of the unescaped NAL unit.
fn ue_at(nal: &[u8], at: usize, max: u32) -> Option<u32> {
    let head = rbsp(nal.get(..nal.len().min(16))?);
    Bits::new(head.get(at..)?).ue().filter(|&id| id <= max)
}
