//! Follows PAT and PMT to one program.
//!
//! Spec: ISO/IEC 13818-1 §2.4.4.3 (PAT), §2.4.4.8 (PMT).

use super::super::wire::{NULL_PID, TABLE_PAT, TABLE_PMT};
use super::format;
use super::packet::Packet;
use super::section::Sections;
use super::{Program, Stats, Stream, Unsupported};

/// Longest section of PAT and PMT, in bytes (§2.4.4.4).
const SECTION_BYTES_MAX: usize = 1024;
/// Programs in a PAT beyond these are not looked at.
const PROGRAMS_MAX: usize = 64;
/// Streams in a PMT beyond these are not looked at.
const STREAMS_MAX: usize = 64;
/// First packet id that a program may use.
const PID_MIN: u16 = 0x10;
/// Bytes of a section in front of its content.
const HEADER_LEN: usize = 8;
const CRC_LEN: usize = 4;

/// What a PMT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) program: Program,
    pub(super) unsupported: Vec<Unsupported>,
}

/// The tables of a stream.
#[derive(Debug)]
pub(super) struct Tables {
    pat: Sections,
    /// By packet id; several programs may share one.
    pmts: Vec<(u16, Sections)>,
    directory: Directory,
}

impl Tables {
    pub(super) fn new(wanted: Option<u16>) -> Self {
        let directory =
            Directory { wanted, pat: Vec::new(), programs: Vec::new(), chosen: None, changed: false };
        Self { pat: Sections::new(SECTION_BYTES_MAX), pmts: Vec::new(), directory }
    }

    /// Programs in the PAT.
    pub(super) fn programs(&self) -> usize {
        self.directory.programs.len()
    }

    /// The map of the program, when this packet made it known or changed it.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, stats: &mut Stats) -> Option<&Map> {
        let (pid, directory) = (packet.pid, &mut self.directory);
        if pid == 0 {
            self.pat.packet(packet, stats, |section| {
                directory.pat(section);
                true
            });
            if std::mem::take(&mut directory.changed) {
                let wanted = |pid: u16| directory.programs.iter().any(|p| p.pid == pid);
                self.pmts.retain(|(pid, _)| wanted(*pid));
                for Entry { pid, .. } in &directory.programs {
                    if self.pmts.iter().all(|(p, _)| p != pid) {
                        self.pmts.push((*pid, Sections::new(SECTION_BYTES_MAX)));
                    }
                }
            }
            return None;
        }
        let (_, sections) = self.pmts.iter_mut().find(|(p, _)| *p == pid)?;
        sections.packet(packet, stats, |section| directory.pmt(pid, section));
        if !std::mem::take(&mut directory.changed) {
            return None;
        }
        let number = directory.chosen?;
        directory.programs.iter().find(|p| p.number == number)?.map.as_ref()
    }
}

/// One line of the PAT.
#[derive(Debug)]
struct Entry {
    number: u16,
    pid: u16,
    /// The section as it came last, to know it again.
    section: Vec<u8>,
    map: Option<Map>,
}

#[derive(Debug)]
struct Directory {
    wanted: Option<u16>,
    /// The section as it came last.
    pat: Vec<u8>,
    /// In the order of the PAT.
    programs: Vec<Entry>,
    /// Number of the program that is read.
    chosen: Option<u16>,
    /// Something happened that the owner has to follow: another PAT, or another map.
    changed: bool,
}

impl Directory {
    fn pat(&mut self, section: &[u8]) {
        if section == self.pat.as_slice() {
            return;
        }
        let Some((_, body)) = content(section, TABLE_PAT) else { return };
        // Tables of several sections are joined; they come with the same version.
        let joined = section.get(6..8) != Some(&[0, 0]) && self.pat.get(5) == section.get(5);
        let mut known = std::mem::take(&mut self.programs);
        self.programs = if joined { std::mem::take(&mut known) } else { Vec::new() };
        for line in body.chunks_exact(4) {
            let [n0, n1, p0, p1] = *line else { continue };
            let (number, pid) = (u16::from_be_bytes([n0, n1]), u16::from_be_bytes([p0, p1]) & 0x1fff);
            let listed = self.programs.iter().any(|p| p.number == number);
            // Number 0 is the network's own table.
            let taken = number != 0 && self.wanted.is_none_or(|w| w == number) && usable(pid);
            if !taken || listed || self.programs.len() >= PROGRAMS_MAX {
                continue;
            }
            let same = known.iter().position(|p| (p.number, p.pid) == (number, pid));
            let new = || Entry { number, pid, section: Vec::new(), map: None };
            self.programs.push(same.map_or_else(new, |at| known.swap_remove(at)));
        }
        if !self.programs.iter().any(|p| Some(p.number) == self.chosen && p.map.is_some()) {
            self.chosen = None;
        }
        section.clone_into(&mut self.pat);
        self.changed = true;
    }

    /// Whether the section could be read.
    fn pmt(&mut self, pid: u16, section: &[u8]) -> bool {
        let Some((number, body)) = content(section, TABLE_PMT) else { return true };
        let mut programs = self.programs.iter_mut().enumerate();
        let Some((at, entry)) = programs.find(|(_, p)| (p.number, p.pid) == (number, pid)) else {
            return true;
        };
        let repeated = entry.section == section;
        if !repeated {
            let Some(map) = map(number, body) else { return false };
            section.clone_into(&mut entry.section);
            let changed = entry.map.as_ref() != Some(&map);
            entry.map = Some(map);
            self.changed |= changed && self.chosen == Some(number);
        }
        if self.chosen.is_none() {
            self.chosen = self.choose(if repeated { at } else { usize::MAX });
            self.changed = self.chosen.is_some();
        }
        true
    }

    /// The first program with video or audio. Programs in front of it that have not been seen are waited for
    /// until the map at `repeated` came around again.
    fn choose(&self, repeated: usize) -> Option<u16> {
        // The wanted one may have whatever it has.
        let any = self.wanted.is_some();
        let with_media = |p: &&Entry| p.map.as_ref().is_some_and(|m| any || m.program.has_media());
        let seen = self.programs.iter().take_while(|p| p.map.is_some());
        let first = seen.clone().find(with_media);
        first.or_else(|| self.programs.get(repeated).filter(with_media)).map(|p| p.number)
    }
}

fn usable(pid: u16) -> bool {
    (PID_MIN..NULL_PID).contains(&pid)
}

/// Id and content of a section that is in force.
fn content(section: &[u8], table: u8) -> Option<(u16, &[u8])> {
    let [id, _, _, id_high, id_low, version, ..] = *section.first_chunk::<HEADER_LEN>()?;
    let body = section.get(HEADER_LEN..section.len().checked_sub(CRC_LEN)?)?;
    (id == table && version & 1 == 1).then(|| (u16::from_be_bytes([id_high, id_low]), body))
}

/// Reads a PMT; `None` when its lists do not fit.
fn map(number: u16, body: &[u8]) -> Option<Map> {
    let ([pcr0, pcr1, length @ ..], rest) = body.split_first_chunk::<4>()?;
    let pcr_pid = u16::from_be_bytes([*pcr0, *pcr1]) & 0x1fff;
    let (info, mut rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length) & 0xfff))?;
    let blu_ray = format::registration(info) == Some(*b"HDMV");
    let (mut streams, mut unsupported) = (Vec::<Stream>::new(), Vec::<Unsupported>::new());
    while !rest.is_empty() {
        let ([stream_type, pid0, pid1, length @ ..], tail) = rest.split_first_chunk::<5>()?;
        let (info, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length) & 0xfff))?;
        rest = tail;
        let (stream_type, pid) = (*stream_type, u16::from_be_bytes([*pid0, *pid1]) & 0x1fff);
        let listed = streams.iter().map(|s| s.pid).chain(unsupported.iter().map(|u| u.pid)).any(|p| p == pid);
        if listed || !usable(pid) || streams.len() + unsupported.len() >= STREAMS_MAX {
            continue;
        }
        match format::stream(stream_type, info, blu_ray) {
            Ok(format) => streams.push(Stream { pid, stream_type, format, language: format::language(info) }),
            Err(name) => unsupported.push(Unsupported { pid, stream_type, name }),
        }
    }
    let pcr_pid = (pcr_pid != NULL_PID).then_some(pcr_pid);
    Some(Map { program: Program { number, pcr_pid, streams }, unsupported })
}
