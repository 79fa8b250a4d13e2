//! Fragments: `moof` and `mdat` with what stands before them (ISO/IEC 14496-12 §8.8, 23000-19 §7.3.2).

use super::boxes::{Atom, Reader, atoms, need};
use super::init::{Init, Track, brands};
use super::nal::entry_in_sample;
use super::{Fault, SAMPLES_MAX};

/// One `moof` with its `mdat`, and the boxes before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// Brands of a `styp` before it.
    pub styp: Option<Vec<[u8; 4]>>,
    /// Producer's clock.
    pub prft: Vec<Prft>,
    /// Events.
    pub emsg: Vec<Emsg>,
    /// `mfhd` sequence number.
    pub sequence: u32,
    /// One for each `traf`.
    pub runs: Vec<Run>,
}

/// Samples of one track in a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// `track_ID`, known to the initialization segment.
    pub track: u32,
    /// `baseMediaDecodeTime` in ticks of the track.
    pub tfdt: Option<u64>,
    /// In decode order.
    pub samples: Vec<Sample>,
}

impl Run {
    /// Ticks of all samples together.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|s| u64::from(s.duration)).sum()
    }
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Ticks of the track.
    pub duration: u32,
    /// Bytes.
    pub size: u32,
    /// Marked as a sync sample.
    pub sync: bool,
    /// Composition time offset in ticks.
    pub cts: i32,
    /// What the payload of clear H.264 and H.265 says: whether it is an IDR (H.264) or IRAP (H.265) picture.
    pub entry: Option<bool>,
}

/// Producer reference time (ISO/IEC 14496-12 §8.16.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prft {
    /// `reference_track_ID`
    pub track: u32,
    /// NTP format: seconds since 1900 in the upper, their fraction in the lower half.
    pub ntp: u64,
    /// Ticks of the track.
    pub media_time: u64,
}

/// An event message (ISO/IEC 23009-1 §5.10.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emsg {
    /// 0 or 1.
    pub version: u8,
    /// `scheme_id_uri`
    pub scheme: String,
    /// `value`
    pub value: String,
    /// Ticks in a second; never 0.
    pub timescale: u32,
    /// Since the segment's earliest time in version 0, since the start of the track in version 1; in ticks.
    pub time: u64,
    /// Ticks; `u32::MAX` when not known.
    pub duration: u32,
    /// Number of the event.
    pub id: u32,
    /// `message_data`
    pub message: Vec<u8>,
}

/// Reads a whole segment, part or chunk of the tracks of `init`.
///
/// # Errors
///
/// A [`Fault`] when a box ends early, a track is not known, samples lie outside of the data, or there is no `moof`.
pub fn fragment(init: &Init, data: &[u8]) -> Result<Vec<Chunk>, Fault> {
    let (mut chunks, mut next) = (Vec::new(), Chunk::default());
    let mut budget = SAMPLES_MAX;
    let top = atoms(data, 0)?;
    for (at, atom) in top.iter().enumerate() {
        match &atom.kind {
            b"styp" => next.styp = Some(brands(atom)?),
            b"prft" => next.prft.push(prft(atom)?),
            b"emsg" => next.emsg.push(emsg(atom)?),
            b"moof" => {
                if top.get(at + 1).is_none_or(|a| a.kind != *b"mdat") {
                    return Err(Fault::Missing("mdat behind a moof"));
                }
                moof(init, data, atom, &mut next, &mut budget)?;
                chunks.push(std::mem::take(&mut next));
            }
            _ => {}
        }
    }
    if chunks.is_empty() {
        return Err(Fault::Missing("moof"));
    }
    Ok(chunks)
}

/// Bodies of the `mdat` boxes of a piece; none when its boxes do not parse.
pub(crate) fn payload(data: &[u8]) -> Vec<&[u8]> {
    let top = atoms(data, 0).unwrap_or_default();
    top.iter().filter(|a| a.kind == *b"mdat").map(|a| a.body).collect()
}

fn prft(atom: &Atom<'_>) -> Result<Prft, Fault> {
    let mut r = atom.reader("prft");
    let (version, _) = r.full()?;
    Ok(Prft { track: r.u32()?, ntp: r.u64()?, media_time: r.sized(version)? })
}

fn emsg(atom: &Atom<'_>) -> Result<Emsg, Fault> {
    let mut r = atom.reader("emsg");
    let (version, _) = r.full()?;
    let mut found = Emsg {
        version,
        scheme: String::new(),
        value: String::new(),
        timescale: 0,
        time: 0,
        duration: 0,
        id: 0,
        message: vec![],
    };
    if version == 0 {
        (found.scheme, found.value) = (r.text(), r.text());
    }
    let offset = r.offset();
    found.timescale = r.u32()?;
    found.time = r.sized(version)?;
    (found.duration, found.id) = (r.u32()?, r.u32()?);
    if version != 0 {
        (found.scheme, found.value) = (r.text(), r.text());
    }
    if found.timescale == 0 {
        return Err(Fault::Value { what: "emsg timescale", offset, got: 0 });
    }
    found.message = r.rest().to_vec();
    Ok(found)
}

fn moof(
    init: &Init,
    data: &[u8],
    atom: &Atom<'_>,
    chunk: &mut Chunk,
    budget: &mut usize,
) -> Result<(), Fault> {
    let children = atom.children()?;
    let mut mfhd = need(&children, b"mfhd", "mfhd")?.reader("mfhd");
    mfhd.full()?;
    chunk.sequence = mfhd.u32()?;
    // Without a base of its own, a track's data begins where the last one's ended (§8.8.7.1).
    let mut end = atom.offset as u64;
    for traf in children.iter().filter(|a| a.kind == *b"traf") {
        chunk.runs.push(self::traf(init, data, (atom.offset as u64, &mut end), traf, budget)?);
    }
    Ok(())
}

/// What `tfhd` says for the samples of a track fragment.
struct Defaults {
    base: u64,
    duration: u32,
    size: u32,
    flags: u32,
}

fn traf(
    init: &Init,
    data: &[u8],
    (moof_at, end): (u64, &mut u64),
    atom: &Atom<'_>,
    budget: &mut usize,
) -> Result<Run, Fault> {
    let children = atom.children()?;
    let mut r = need(&children, b"tfhd", "tfhd")?.reader("tfhd");
    let (_, flags) = r.full()?;
    let offset = r.offset();
    let id = r.u32()?;
    let Some(track) = init.track(id) else {
        return Err(Fault::Value {
            what: "track id that the initialization segment lacks",
            offset,
            got: id.into(),
        });
    };
    let from_moof = flags & 0x02_0000 != 0;
    let mut base = if from_moof { moof_at } else { *end };
    if flags & 1 != 0 {
        base = r.u64()?;
    }
    if flags & 2 != 0 {
        r.u32()?;
    }
    let mut field = |bit: u32, default: u32| if flags & bit != 0 { r.u32() } else { Ok(default) };
    let defaults = Defaults {
        base,
        duration: field(8, track.default_duration)?,
        size: field(0x10, track.default_size)?,
        flags: field(0x20, track.default_flags)?,
    };
    let mut run = Run { track: id, tfdt: None, samples: Vec::new() };
    let mut at = defaults.base;
    for child in &children {
        match &child.kind {
            b"tfdt" => {
                let mut r = child.reader("tfdt");
                let (version, _) = r.full()?;
                run.tfdt = Some(r.sized(version)?);
            }
            b"trun" => at = trun(track, data, &defaults, at, child.reader("trun"), (&mut run, budget))?,
            _ => {}
        }
    }
    *end = at;
    Ok(run)
}

/// Reads the samples of one `trun` whose data begins at `at` unless it says otherwise; gives where they end.
fn trun(
    track: &Track,
    data: &[u8],
    defaults: &Defaults,
    mut at: u64,
    mut r: Reader<'_>,
    (run, budget): (&mut Run, &mut usize),
) -> Result<u64, Fault> {
    let (_, flags) = r.full()?;
    let count = r.u32()? as usize;
    if count > *budget {
        return Err(Fault::TooMany { what: "samples", max: SAMPLES_MAX });
    }
    *budget -= count;
    if flags & 1 != 0 {
        at = defaults.base.saturating_add_signed(r.i32()?.into());
    }
    let first_flags = if flags & 4 != 0 { Some(r.u32()?) } else { None };
    for index in 0..count {
        let mut field = |bit: u32, default: u32| if flags & bit != 0 { r.u32() } else { Ok(default) };
        let duration = field(0x100, defaults.duration)?;
        let size = field(0x200, defaults.size)?;
        let default_flags = first_flags.filter(|_| index == 0).unwrap_or(defaults.flags);
        let sample_flags = field(0x400, default_flags)?;
        let cts = field(0x800, 0)?.cast_signed();
        let end = at.saturating_add(size.into());
        let payload =
            usize::try_from(at).ok().zip(usize::try_from(end).ok()).and_then(|(a, b)| data.get(a..b));
        let Some(payload) = payload else {
            let offset = usize::try_from(at).unwrap_or(usize::MAX);
            let got = data.len().saturating_sub(offset);
            return Err(Fault::Truncated { what: "sample", offset, needed: size.into(), got });
        };
        let clear = track.nal.filter(|_| track.encryption.is_none());
        let entry = clear.and_then(|(standard, length)| entry_in_sample(standard, length, payload));
        // sample_is_non_sync_sample (§8.8.3.1)
        run.samples.push(Sample { duration, size, sync: sample_flags & 0x1_0000 == 0, cts, entry });
        at = end;
    }
    Ok(at)
}
