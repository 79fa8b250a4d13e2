//! Initialization segments: `ftyp` and `moov` of fragmented files (ISO/IEC 14496-12 §8, 23000-19 §7.3.1).

use super::boxes::{Atom, atoms, find, need};
use super::codec::configured;
use super::nal::Standard;
use super::sps::{Picture, picture};
use super::{Fault, TRACKS_MAX};

/// What an initialization segment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Major brand first.
    pub brands: Vec<[u8; 4]>,
    /// In the order of the file.
    pub tracks: Vec<Track>,
}

impl Init {
    /// The track of that id.
    #[must_use]
    pub fn track(&self, id: u32) -> Option<&Track> {
        self.tracks.iter().find(|t| t.id == id)
    }
}

/// What a track holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `vide`
    Video,
    /// `soun`
    Audio,
    /// `text` and `subt`
    Text,
    /// Another handler.
    Other,
}

/// Common encryption of a track (ISO/IEC 23001-7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// `cenc`, `cbcs` and others.
    pub scheme: [u8; 4],
    /// Encrypted blocks of the pattern; 0 without one.
    pub crypt_blocks: u8,
    /// Clear blocks of the pattern.
    pub skip_blocks: u8,
}

/// One track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// `track_ID`
    pub id: u32,
    /// From the handler.
    pub kind: Kind,
    /// Ticks in a second; never 0.
    pub timescale: u32,
    /// By RFC 6381, out of the decoder configuration, `avc1.64001F`. The bare sample entry when there is none.
    pub codec: String,
    /// Of the sample entry, in pixels; 0 for sound.
    pub width: u16,
    /// Of the sample entry, in pixels; 0 for sound.
    pub height: u16,
    /// In Hz; 0 for pictures.
    pub sample_rate: u32,
    /// 0 for pictures.
    pub channels: u16,
    /// From `trex`, in ticks; 0 when not given.
    pub default_duration: u32,
    /// From `trex`, in bytes.
    pub default_size: u32,
    /// From `trex`.
    pub default_flags: u32,
    /// ISO 639-2 letters of `mdhd`, `und` when not known.
    pub language: String,
    /// Of an H.264 sequence parameter set in the sample description.
    pub picture: Option<Picture>,
    /// H.264 and H.265: parameter sets are in the sample description. True for other codecs.
    pub parameter_sets: bool,
    /// Time of the media where its presentation begins (`elst`), in ticks.
    pub edit_start: u64,
    /// The samples are encrypted.
    pub encryption: Option<Encryption>,
    pub(crate) nal: Option<(Standard, u8)>,
}

/// Reads a whole initialization segment.
///
/// # Errors
///
/// A [`Fault`] when a box ends early, one that must be there is not, a time scale is 0 or two tracks share an id.
pub fn init(data: &[u8]) -> Result<Init, Fault> {
    let top = atoms(data, 0)?;
    let brands = match find(&top, b"ftyp") {
        Some(ftyp) => brands(&ftyp)?,
        None => return Err(Fault::Missing("ftyp")),
    };
    let moov = need(&top, b"moov", "moov")?.children()?;
    let mvex = need(&moov, b"mvex", "mvex: the file is not fragmented")?.children()?;
    let mut tracks: Vec<Track> = Vec::new();
    for trak in moov.iter().filter(|a| a.kind == *b"trak") {
        if tracks.len() == TRACKS_MAX {
            return Err(Fault::TooMany { what: "tracks", max: TRACKS_MAX });
        }
        let mut track = one(trak)?;
        if tracks.iter().any(|t| t.id == track.id) {
            return Err(Fault::Value { what: "second track id", offset: trak.offset, got: track.id.into() });
        }
        defaults(&mvex, &mut track)?;
        tracks.push(track);
    }
    if tracks.is_empty() {
        return Err(Fault::Missing("trak"));
    }
    Ok(Init { brands, tracks })
}

/// Major and compatible brands of `ftyp` and `styp`.
pub(crate) fn brands(atom: &Atom<'_>) -> Result<Vec<[u8; 4]>, Fault> {
    let mut r = atom.reader("brands");
    let mut all = vec![r.four()?];
    r.u32()?;
    while r.rest().len() >= 4 && all.len() < 64 {
        all.push(r.four()?);
    }
    Ok(all)
}

fn defaults(mvex: &[Atom<'_>], track: &mut Track) -> Result<(), Fault> {
    for trex in mvex.iter().filter(|a| a.kind == *b"trex") {
        let mut r = trex.reader("trex");
        r.full()?;
        if r.u32()? == track.id {
            r.u32()?;
            (track.default_duration, track.default_size, track.default_flags) =
                (r.u32()?, r.u32()?, r.u32()?);
            return Ok(());
        }
    }
    Err(Fault::Missing("trex of a track"))
}

fn one(trak: &Atom<'_>) -> Result<Track, Fault> {
    let trak = trak.children()?;
    let mut tkhd = need(&trak, b"tkhd", "tkhd")?.reader("tkhd");
    let (version, _) = tkhd.full()?;
    tkhd.take(if version == 0 { 8 } else { 16 })?;
    let id = tkhd.u32()?;
    let mdia = need(&trak, b"mdia", "mdia")?.children()?;
    let mut mdhd = need(&mdia, b"mdhd", "mdhd")?.reader("mdhd");
    let (version, _) = mdhd.full()?;
    mdhd.take(if version == 0 { 8 } else { 16 })?;
    let offset = mdhd.offset();
    let timescale = mdhd.u32()?;
    if timescale == 0 {
        return Err(Fault::Value { what: "timescale", offset, got: 0 });
    }
    mdhd.sized(version)?;
    let packed = mdhd.u16()?;
    let language = [10, 5, 0].map(|s| char::from((packed >> s & 0x1F) as u8 + 0x60)).iter().collect();
    let mut hdlr = need(&mdia, b"hdlr", "hdlr")?.reader("hdlr");
    hdlr.take(8)?;
    let kind = match &hdlr.four()? {
        b"vide" => Kind::Video,
        b"soun" => Kind::Audio,
        b"text" | b"subt" => Kind::Text,
        _ => Kind::Other,
    };
    let minf = need(&mdia, b"minf", "minf")?.children()?;
    let stbl = need(&minf, b"stbl", "stbl")?.children()?;
    let stsd = need(&stbl, b"stsd", "stsd")?;
    stsd.reader("stsd").take(8)?;
    let entries = atoms(&stsd.body[8..], stsd.body_at + 8)?;
    let entry = entries.first().ok_or(Fault::Missing("sample entry"))?;
    let mut track = Track {
        id,
        kind,
        timescale,
        codec: String::new(),
        width: 0,
        height: 0,
        sample_rate: 0,
        channels: 0,
        default_duration: 0,
        default_size: 0,
        default_flags: 0,
        language,
        picture: None,
        edit_start: edit_start(&trak)?,
        parameter_sets: true,
        encryption: None,
        nal: None,
    };
    sample_entry(entry, &mut track)?;
    Ok(track)
}

/// The first edit that is not empty (ISO/IEC 14496-12 §8.6.6).
fn edit_start(trak: &[Atom<'_>]) -> Result<u64, Fault> {
    let Some(edts) = find(trak, b"edts") else { return Ok(0) };
    let Some(elst) = find(&edts.children()?, b"elst") else { return Ok(0) };
    let mut r = elst.reader("elst");
    let (version, _) = r.full()?;
    for _ in 0..r.u32()?.min(16) {
        r.sized(version)?;
        let at = if version == 0 { i64::from(r.i32()?) } else { r.u64()?.cast_signed() };
        r.u32()?;
        if let Ok(at) = u64::try_from(at) {
            return Ok(at);
        }
    }
    Ok(0)
}

/// ISO/IEC 14496-12 §12.1.3 and §12.2.3.
fn sample_entry(entry: &Atom<'_>, track: &mut Track) -> Result<(), Fault> {
    let mut r = entry.reader("sample entry");
    r.take(8)?;
    match track.kind {
        Kind::Video => {
            r.take(16)?;
            (track.width, track.height) = (r.u16()?, r.u16()?);
            r.take(50)?;
        }
        Kind::Audio => {
            r.take(8)?;
            track.channels = r.u16()?;
            r.take(6)?;
            track.sample_rate = r.u32()? >> 16;
        }
        Kind::Text | Kind::Other => {
            track.codec = String::from_utf8_lossy(&entry.kind).into_owned();
            return Ok(());
        }
    }
    let children = atoms(r.rest(), r.offset())?;
    let mut format = entry.kind;
    if let Some(sinf) = find(&children, b"sinf") {
        let sinf = sinf.children()?;
        format = need(&sinf, b"frma", "frma")?.reader("frma").four()?;
        track.encryption = Some(encryption(&sinf)?);
    }
    let found = configured(format, &children)?;
    track.codec = found.codec.unwrap_or_else(|| String::from_utf8_lossy(&format).into_owned());
    let standard = match &format {
        b"avc1" | b"avc3" => Some(Standard::Avc),
        b"hvc1" | b"hev1" => Some(Standard::Hevc),
        _ => None,
    };
    track.parameter_sets = standard.is_none() || found.parameter_sets;
    track.nal = standard.zip(found.nal_length);
    track.picture = found.sps.as_deref().and_then(picture);
    Ok(())
}

fn encryption(sinf: &[Atom<'_>]) -> Result<Encryption, Fault> {
    let mut schm = need(sinf, b"schm", "schm")?.reader("schm");
    schm.full()?;
    let scheme = schm.four()?;
    let mut found = Encryption { scheme, crypt_blocks: 0, skip_blocks: 0 };
    if let Some(schi) = find(sinf, b"schi")
        && let Some(tenc) = find(&schi.children()?, b"tenc")
    {
        let mut r = tenc.reader("tenc");
        let (version, _) = r.full()?;
        r.u8()?;
        let pattern = r.u8()?;
        if version > 0 {
            (found.crypt_blocks, found.skip_blocks) = (pattern >> 4, pattern & 15);
        }
    }
    Ok(found)
}
