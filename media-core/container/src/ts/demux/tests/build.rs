//! Transport packets by hand.

use super::super::super::wire::crc;

pub(super) const PMT_PID: u16 = 0x1000;

/// A stream that is written packet by packet; counters run by themselves.
#[derive(Default, Clone)]
pub(super) struct Ts {
    pub(super) bytes: Vec<u8>,
    counters: std::collections::BTreeMap<u16, u8>,
}

impl Ts {
    /// PAT with one program, then its PMT.
    pub(super) fn with(streams: &[(u8, u16, &[u8])]) -> Self {
        let mut ts = Self::default();
        ts.section(0, &pat(0, &[(1, PMT_PID)]));
        ts.section(PMT_PID, &pmt(0, 1, streams));
        ts
    }

    /// One packet with payload; `field` is the adaptation field without its length, stuffed if need be.
    pub(super) fn packet(&mut self, pid: u16, start: bool, field: Option<&[u8]>, payload: &[u8]) {
        let counter = self.counters.entry(pid).or_default();
        let [high, low] = pid.to_be_bytes();
        let mut packet = vec![0x47, high | if start { 0x40 } else { 0 }, low, 0x10 | *counter];
        *counter = (*counter + 1) & 0xf;
        let room = 184 - payload.len();
        if room > 0 || field.is_some() {
            packet[3] |= 0x20;
            packet.push(u8::try_from(room - 1).unwrap());
            let field = field.unwrap_or(&[0]);
            packet.extend(&field[..field.len().min(room - 1)]);
            packet.resize(188 - payload.len(), 0xff);
        }
        packet.extend(payload);
        assert_eq!(packet.len(), 188);
        self.bytes.extend(packet);
    }

    /// Cuts a PES packet into transport packets; only the last is stuffed.
    pub(super) fn pes(&mut self, pid: u16, pes: &[u8]) {
        for (at, chunk) in pes.chunks(184).enumerate() {
            self.packet(pid, at == 0, None, chunk);
        }
    }

    /// Sections behind pointer field 0, stuffed with 0xff.
    pub(super) fn section(&mut self, pid: u16, sections: &[u8]) {
        let mut payload = [&[0], sections].concat();
        payload.resize(payload.len().div_ceil(184) * 184, 0xff);
        for (at, chunk) in payload.chunks(184).enumerate() {
            self.packet(pid, at == 0, None, chunk);
        }
    }

    /// Leaves out `count` counter values.
    pub(super) fn jump(&mut self, pid: u16, count: u8) {
        let counter = self.counters.entry(pid).or_default();
        *counter = (*counter + count) & 0xf;
    }

    /// The packet at `at` from the end, to be changed.
    pub(super) fn last(&mut self, at: usize) -> &mut [u8] {
        let begin = self.bytes.len() - 188 * (at + 1);
        &mut self.bytes[begin..begin + 188]
    }
}

/// A PES packet with a PTS; `bounded` states its length.
pub(super) fn pes(stream: u8, pts: u64, bounded: bool, payload: &[u8]) -> Vec<u8> {
    let len = if bounded { u16::try_from(8 + payload.len()).unwrap() } else { 0 };
    let mut out = vec![0, 0, 1, stream];
    out.extend(len.to_be_bytes());
    out.extend([0x80, 0x80, 5]);
    let at = |shift: u64| u8::try_from((pts >> shift) & 0xff).unwrap();
    out.extend([0x21 | (at(30) & 7) << 1, at(22), at(14) | 1, at(7), at(0) << 1 | 1]);
    out.extend(payload);
    out
}

fn long(table: u8, version: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![table];
    out.extend((0xb000 | u16::try_from(body.len() + 9).unwrap()).to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend([0xc1 | version << 1, 0, 0]);
    out.extend(body);
    sealed(out)
}

/// Appends the CRC.
pub(super) fn sealed(mut section: Vec<u8>) -> Vec<u8> {
    section.extend(crc(&section).to_be_bytes());
    section
}

pub(super) fn pat(version: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let lines = programs.iter().flat_map(|(n, pid)| [n.to_be_bytes(), (0xe000 | pid).to_be_bytes()].concat());
    long(0, version, 1, &lines.collect::<Vec<_>>())
}

/// Streams as type, packet id, descriptors; the PCR is on the first.
pub(super) fn pmt(version: u8, number: u16, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let pcr = streams.first().map_or(0x1fff, |s| s.1);
    let mut body = (0xe000 | pcr).to_be_bytes().to_vec();
    body.extend([0xf0, 0]);
    for (stream_type, pid, info) in streams {
        body.push(*stream_type);
        body.extend((0xe000 | pid).to_be_bytes());
        body.extend((0xf000 | u16::try_from(info.len()).unwrap()).to_be_bytes());
        body.extend(*info);
    }
    long(2, version, number, &body)
}
