//! Transport streams as HLS segments (ISO/IEC 13818-1 §2.4).

use super::Fault;
use super::ts_stream::TsStream;

const PACKET: usize = 188;
/// Elementary streams of the program.
const STREAMS_MAX: usize = 32;

/// What a transport stream holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TsProbe {
    /// Packets read.
    pub packets: usize,
    /// The program association and map come before any other payload (RFC 8216 §3.2).
    pub tables_first: bool,
    /// Programs of the association; 1 is right.
    pub programs: usize,
    /// Packets with the transport error bit.
    pub errors: u32,
    /// Streams of the first program, as its map lists them.
    pub streams: Vec<TsStream>,
}

impl TsProbe {
    /// How many of them are sound.
    #[must_use]
    pub fn audio_streams(&self) -> usize {
        self.streams.iter().filter(|s| s.kind.is_audio()).count()
    }

    /// The first stream of pictures, or else of sound.
    #[must_use]
    pub fn lead(&self) -> Option<&TsStream> {
        let video = self.streams.iter().find(|s| s.kind.is_video());
        video.or_else(|| self.streams.iter().find(|s| s.kind.is_audio()))
    }
}

/// Reads a whole segment.
///
/// # Errors
///
/// A [`Fault`] when a packet is cut, does not begin with 0x47 or has an impossible adaptation field, or when there
/// is no program association or map.
pub fn ts(data: &[u8]) -> Result<TsProbe, Fault> {
    let mut probe = TsProbe::default();
    let (mut map_pid, mut mapped, mut payload_before) = (None, false, false);
    for (index, packet) in data.chunks(PACKET).enumerate() {
        let offset = index * PACKET;
        if packet.len() < PACKET {
            let got = packet.len();
            return Err(Fault::Truncated { what: "transport packet", offset, needed: PACKET as u64, got });
        }
        let found = Packet::read(packet, offset)?;
        probe.packets += 1;
        probe.errors += u32::from(found.error);
        let Some(payload) = found.payload else { continue };
        match found.pid {
            0 if found.start && map_pid.is_none() => {
                (map_pid, probe.programs) = association(payload);
            }
            pid if Some(pid) == map_pid => {
                if found.start && !mapped {
                    probe.streams = map(payload)?;
                    mapped = !probe.streams.is_empty();
                    probe.tables_first = mapped && !payload_before;
                }
            }
            // Null packets and the other tables say nothing here.
            0..=0x1F | 0x1FFF => {}
            pid => {
                payload_before |= !mapped;
                if let Some(stream) = probe.streams.iter_mut().find(|s| s.pid == pid) {
                    stream.counter(found.counter, found.discontinuity);
                    stream.payload(payload, found.start);
                }
            }
        }
    }
    if map_pid.is_none() {
        return Err(Fault::Missing("program association table"));
    }
    if !mapped {
        return Err(Fault::Missing("program map table"));
    }
    probe.streams.iter_mut().for_each(TsStream::close);
    Ok(probe)
}

struct Packet<'a> {
    pid: u16,
    start: bool,
    error: bool,
    counter: u8,
    discontinuity: bool,
    payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads 188 bytes.
    fn read(packet: &'a [u8], offset: usize) -> Result<Self, Fault> {
        let &[sync, a, b, c, ref rest @ ..] = packet else { return Err(Fault::Missing("transport packet")) };
        if sync != 0x47 {
            return Err(Fault::Value { what: "sync byte", offset, got: sync.into() });
        }
        let mut found = Self {
            pid: u16::from(a & 0x1F) << 8 | u16::from(b),
            start: a & 0x40 != 0,
            error: a & 0x80 != 0,
            counter: c & 15,
            discontinuity: false,
            payload: None,
        };
        let mut payload = rest;
        if c & 0x20 != 0 {
            let len = rest.first().copied().unwrap_or(0);
            let Some((field, tail)) = rest[1..].split_at_checked(usize::from(len)) else {
                let got = len.into();
                return Err(Fault::Value { what: "adaptation field length", offset: offset + 4, got });
            };
            found.discontinuity = field.first().is_some_and(|flags| flags & 0x80 != 0);
            payload = tail;
        }
        found.payload = (c & 0x10 != 0).then_some(payload);
        Ok(found)
    }
}

/// The section after the pointer field, without header and checksum.
fn section(payload: &[u8], table: u8) -> Option<&[u8]> {
    let pointer = usize::from(*payload.first()?);
    let section = payload.get(1 + pointer..)?;
    let &[id, a, b, ..] = section else { return None };
    let len = usize::from(a & 15) << 8 | usize::from(b);
    // The checksum is the last four bytes.
    (id == table).then(|| section.get(8..(3 + len).checked_sub(4)?)).flatten()
}

/// Program map PID of the first program, and how many there are (§2.4.4.3).
fn association(payload: &[u8]) -> (Option<u16>, usize) {
    let programs = section(payload, 0).unwrap_or_default().chunks_exact(4).filter(|p| p[..2] != [0, 0]);
    let pids: Vec<u16> = programs.map(|p| u16::from(p[2] & 0x1F) << 8 | u16::from(p[3])).collect();
    (pids.first().copied(), pids.len())
}

/// Streams of a program map that fits a packet (§2.4.4.8).
fn map(payload: &[u8]) -> Result<Vec<TsStream>, Fault> {
    let mut streams = Vec::new();
    let twelve = |high: u8, low: u8| usize::from(high & 15) << 8 | usize::from(low);
    let Some(body) = section(payload, 2) else { return Ok(streams) };
    let Some(&[_, _, a, b]) = body.first_chunk::<4>() else { return Ok(streams) };
    let mut rest = body.get(4 + twelve(a, b)..).unwrap_or_default();
    while let &[kind, a, b, c, d, ref tail @ ..] = rest {
        if streams.len() == STREAMS_MAX {
            return Err(Fault::TooMany { what: "elementary streams", max: STREAMS_MAX });
        }
        streams.push(TsStream::new(u16::from(a & 0x1F) << 8 | u16::from(b), kind));
        rest = tail.get(twelve(c, d)..).unwrap_or_default();
    }
    Ok(streams)
}
