//! What the program map says of streams whose samples are encrypted one by one.
//!
//! Spec: Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming".

use super::super::wire::{
    DESC_PRIVATE_DATA, DESC_REGISTRATION, TYPE_ADTS, TYPE_ADTS_SEALED, TYPE_AVC, TYPE_AVC_SEALED,
};
use super::TsError;
use super::psi::Entry;

/// Version of the setup information of sound.
const SETUP_VERSION: u8 = 1;
/// Object types of AAC, and what the setup calls them (ISO/IEC 14496-3 table 1.17).
const SETUPS: [(u8, &[u8; 4]); 2] = [(5, b"zach"), (29, b"zacp")];

/// Turns the entry of a stream into that of an encrypted one; `config` is the `AudioSpecificConfig` of sound.
pub(super) fn tell(entry: &mut Entry, config: &[u8]) -> Result<(), TsError> {
    let (sealed, name): (u8, &[u8; 4]) = match entry.stream_type {
        TYPE_AVC => (TYPE_AVC_SEALED, b"zavc"),
        TYPE_ADTS => (TYPE_ADTS_SEALED, b"aacd"),
        _ => return Err(TsError::Codec("encrypted samples but of H.264 and AAC")),
    };
    entry.stream_type = sealed;
    entry.descriptors.extend_from_slice(&[DESC_PRIVATE_DATA, 4]);
    entry.descriptors.extend_from_slice(name);
    if sealed == TYPE_ADTS_SEALED {
        let object = config.first().map_or(0, |first| first >> 3);
        let kind = SETUPS.iter().find(|(of, _)| *of == object).map_or(b"zaac", |(_, name)| *name);
        // No priming is told.
        let setup = [&b"apad"[..], kind, &[0, 0, SETUP_VERSION]].concat();
        let too_long = || TsError::Codec("encrypted AAC with so long a configuration");
        let len = u8::try_from(config.len()).map_err(|_| too_long())?;
        entry.descriptors.push(DESC_REGISTRATION);
        entry.descriptors.push(u8::try_from(setup.len() + 1 + config.len()).map_err(|_| too_long())?);
        entry.descriptors.extend_from_slice(&setup);
        entry.descriptors.push(len);
        entry.descriptors.extend_from_slice(config);
    }
    Ok(())
}
