//! What `connect` and its answer say about Enhanced RTMP.
//!
//! Spec: Enhanced RTMP v2, "Enhancing NetConnection connect Command".

use crate::amf0::Value;
use crate::link::object;

/// Bits of `capsEx`.
pub mod caps_ex {
    /// Acts on `NetConnection.Connect.ReconnectRequest`.
    pub const RECONNECT: u32 = 0x01;
    /// Can take messages with track ids.
    pub const MULTITRACK: u32 = 0x02;
    /// Can parse `ModEx` prefixes.
    pub const MOD_EX: u32 = 0x04;
    /// Uses nanosecond offsets.
    pub const TIMESTAMP_NANO_OFFSET: u32 = 0x08;
}

/// Status code with which a server asks to be left for another connection.
pub(crate) const RECONNECT_REQUEST: &str = "NetConnection.Connect.ReconnectRequest";

/// Bits of a codec's entry in `videoFourCcInfoMap` and `audioFourCcInfoMap`.
const CAN_DECODE: u32 = 0x01;
const CAN_FORWARD: u32 = 0x04;

/// What both our sessions can do.
const CAPS_EX: u32 =
    caps_ex::RECONNECT | caps_ex::MULTITRACK | caps_ex::MOD_EX | caps_ex::TIMESTAMP_NANO_OFFSET;
/// Codecs that we carry.
const VIDEO: [&str; 4] = ["av01", "vp09", "hvc1", "avc1"];
const AUDIO: [&str; 6] = ["Opus", "mp4a", "fLaC", "ac-3", "ec-3", ".mp3"];

/// Longest codec list taken from `connect`, and longest entry in bytes.
const FOURCC_MAX: usize = 32;
const FOURCC_LEN_MAX: usize = 8;

/// The fields a client adds to its `connect` object.
pub(crate) fn client_fields() -> [(&'static str, Value); 2] {
    let list = VIDEO.iter().chain(&AUDIO).map(|fourcc| (*fourcc).into()).collect();
    [("fourCcList", Value::StrictArray(list)), ("capsEx", f64::from(CAPS_EX).into())]
}

/// The fields a server adds to the properties of its answer: it forwards every codec that it lists.
pub(crate) fn server_fields() -> [(&'static str, Value); 4] {
    let forward = |codecs: &[&str]| {
        let entries: Vec<_> = codecs.iter().map(|c| (*c, f64::from(CAN_FORWARD).into())).collect();
        object(&entries)
    };
    let [list, caps_ex] = client_fields();
    [list, ("videoFourCcInfoMap", forward(&VIDEO)), ("audioFourCcInfoMap", forward(&AUDIO)), caps_ex]
}

/// What a peer says it can do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Codecs that it can take, each once; `*` stands for all.
    pub(crate) fourcc: Vec<String>,
    /// Bits of [`caps_ex`].
    pub(crate) caps_ex: u32,
}

/// Reads the `connect` object; `None` when it has no field of Enhanced RTMP.
pub(crate) fn announced(connect: &Value) -> Option<Announced> {
    let list = connect.property("fourCcList");
    let maps = ["videoFourCcInfoMap", "audioFourCcInfoMap"].map(|name| connect.property(name));
    let caps_ex = connect.property("capsEx");
    if list.is_none() && maps.iter().all(Option::is_none) && caps_ex.is_none() {
        return None;
    }
    let listed = match list {
        Some(Value::StrictArray(list)) => list.as_slice(),
        _ => &[],
    };
    let takes = |flags: &Value| flags.as_u32().is_some_and(|f| f & (CAN_DECODE | CAN_FORWARD) != 0);
    let mapped = maps.iter().flatten().filter_map(|map| map.properties()).flatten();
    let mapped = mapped.filter(|(_, flags)| takes(flags)).map(|(name, _)| name.as_str());
    let mut fourcc: Vec<String> = vec![];
    for code in listed.iter().filter_map(Value::as_str).chain(mapped) {
        if fourcc.len() < FOURCC_MAX && code.len() <= FOURCC_LEN_MAX && !fourcc.iter().any(|f| f == code) {
            fourcc.push(code.to_owned());
        }
    }
    Some(Announced { fourcc, caps_ex: caps_ex.and_then(Value::as_u32).unwrap_or(0) })
}

#[cfg(test)]
mod tests;
