//! Codec strings of RFC 6381 out of decoder configurations.

use super::Fault;
use super::boxes::{Atom, Reader, find};

/// What a configuration says.
#[derive(Debug, Default)]
pub(crate) struct Configured {
    /// `None` when the configuration is not there or cannot be read.
    pub(crate) codec: Option<String>,
    /// Bytes of NAL length fields.
    pub(crate) nal_length: Option<u8>,
    /// First H.264 sequence parameter set.
    pub(crate) sps: Option<Vec<u8>>,
    /// Parameter sets are in the sample description.
    pub(crate) parameter_sets: bool,
}

/// Reads the configuration among `children` of a sample entry whose (unencrypted) format is `format`.
pub(crate) fn configured(format: [u8; 4], children: &[Atom<'_>]) -> Result<Configured, Fault> {
    let name = String::from_utf8_lossy(&format).into_owned();
    let mut all = Configured::default();
    let body = |kind: &[u8; 4], what| find(children, kind).map(|a| a.reader(what));
    match &format {
        b"avc1" | b"avc3" => {
            let Some(r) = body(b"avcC", "avcC") else { return Err(Fault::Missing("avcC")) };
            avc(r, &name, &mut all)?;
        }
        b"hvc1" | b"hev1" => {
            let Some(r) = body(b"hvcC", "hvcC") else { return Err(Fault::Missing("hvcC")) };
            hevc(r, &name, &mut all)?;
        }
        b"av01" => all.codec = body(b"av1C", "av1C").map(av1).transpose()?,
        b"vp09" | b"vp08" => all.codec = body(b"vpcC", "vpcC").map(|r| vp9(r, &name)).transpose()?,
        b"mp4a" => {
            let Some(r) = body(b"esds", "esds") else { return Err(Fault::Missing("esds")) };
            all.codec = Some(mp4a(r)?);
        }
        b"Opus" => all.codec = find(children, b"dOps").map(|_| "Opus".into()),
        b"fLaC" => all.codec = find(children, b"dfLa").map(|_| "fLaC".into()),
        b"ac-3" => all.codec = find(children, b"dac3").map(|_| name),
        b"ec-3" => all.codec = find(children, b"dec3").map(|_| name),
        b"stpp" => all.codec = Some("stpp".into()),
        b"wvtt" => all.codec = find(children, b"vttC").map(|_| name),
        _ => all.codec = Some(name),
    }
    Ok(all)
}

fn avc(mut r: Reader<'_>, name: &str, all: &mut Configured) -> Result<(), Fault> {
    let at = r.offset();
    let version = r.u8()?;
    if version != 1 {
        return Err(Fault::Value { what: "avcC version", offset: at, got: version.into() });
    }
    let [profile, flags, level] = [r.u8()?, r.u8()?, r.u8()?];
    all.codec = Some(format!("{name}.{profile:02X}{flags:02X}{level:02X}"));
    all.nal_length = Some((r.u8()? & 3) + 1);
    if r.u8()? & 0x1F > 0 {
        let len = r.u16()?;
        all.sps = Some(r.take(len.into())?.to_vec());
        all.parameter_sets = true;
    }
    Ok(())
}

/// ISO/IEC 14496-15 annex E.
fn hevc(mut r: Reader<'_>, name: &str, all: &mut Configured) -> Result<(), Fault> {
    let at = r.offset();
    let version = r.u8()?;
    if version != 1 {
        return Err(Fault::Value { what: "hvcC version", offset: at, got: version.into() });
    }
    let first = r.u8()?;
    let space = ["", "A", "B", "C"][usize::from(first >> 6)];
    let tier = if first & 0x20 == 0 { 'L' } else { 'H' };
    let compatible = r.u32()?.reverse_bits();
    let constraints = r.take(6)?;
    let level = r.u8()?;
    let mut codec = format!("{name}.{space}{}.{compatible:X}.{tier}{level}", first & 0x1F);
    let used = constraints.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
    for byte in &constraints[..used] {
        codec.push_str(&format!(".{byte:X}"));
    }
    all.codec = Some(codec);
    r.take(8)?;
    all.nal_length = Some((r.u8()? & 3) + 1);
    all.parameter_sets = r.u8()? > 0;
    Ok(())
}

/// AV1 in ISOBMFF §5: the short form.
fn av1(mut r: Reader<'_>) -> Result<String, Fault> {
    let at = r.offset();
    let marker = r.u8()?;
    if marker != 0x81 {
        return Err(Fault::Value { what: "av1C marker and version", offset: at, got: marker.into() });
    }
    let (profile, flags) = (r.u8()?, r.u8()?);
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (true, true) => 12,
        (true, false) => 10,
        _ => 8,
    };
    Ok(format!("av01.{}.{:02}{tier}.{depth:02}", profile >> 5, profile & 0x1F))
}

fn vp9(mut r: Reader<'_>, name: &str) -> Result<String, Fault> {
    r.full()?;
    let (profile, level, depth) = (r.u8()?, r.u8()?, r.u8()? >> 4);
    Ok(format!("{name}.{profile:02}.{level:02}.{depth:02}"))
}

/// ISO/IEC 14496-1 §7.2.6: the object type, and for MPEG-4 audio the audio object type.
fn mp4a(mut r: Reader<'_>) -> Result<String, Fault> {
    r.full()?;
    let mut object = 0;
    while let Ok(tag) = r.u8() {
        let len = descriptor_len(&mut r)?;
        match tag {
            3 => {
                r.u16()?;
                let flags = r.u8()?;
                r.take(if flags & 0x80 == 0 { 0 } else { 2 })?;
                let url = if flags & 0x40 == 0 { 0 } else { usize::from(r.u8()?) };
                r.take(url)?;
                r.take(if flags & 0x20 == 0 { 0 } else { 2 })?;
            }
            4 => {
                object = r.u8()?;
                r.take(12)?;
            }
            5 if object == 0x40 => {
                let (first, second) = (r.u8()?, r.rest().first().copied().unwrap_or(0));
                let kind = match first >> 3 {
                    31 => 32 + ((first & 7) << 3 | second >> 5),
                    kind => kind,
                };
                return Ok(format!("mp4a.40.{kind}"));
            }
            _ => {
                r.take(len)?;
            }
        }
    }
    match object {
        0 => Err(Fault::Missing("decoder configuration in esds")),
        _ => Ok(format!("mp4a.{object:02X}")),
    }
}

fn descriptor_len(r: &mut Reader<'_>) -> Result<usize, Fault> {
    let mut len = 0;
    for _ in 0..4 {
        let byte = r.u8()?;
        len = len << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(len)
}
