//! Files of one track, box by box.

use nx_media::Params;

use crate::fmp4;
use crate::testing::{TINY, media};

/// What the tables of a file with one track of pictures say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) timescale: u32,
    pub(crate) stsc: Vec<(u32, u32)>,
    pub(crate) sizes: Vec<u32>,
    /// Where in the media each chunk begins.
    pub(crate) chunks: Vec<u32>,
    pub(crate) stts: Vec<(u32, u32)>,
    pub(crate) ctts: Option<Vec<(u32, u32)>>,
    pub(crate) stss: Option<Vec<u32>>,
    /// Length in a movie of 1000 ticks per second, beginning in the media.
    pub(crate) elst: Vec<(u32, i32)>,
    pub(crate) co64: bool,
    pub(crate) stz2: Option<u8>,
    pub(crate) moov_last: bool,
    pub(crate) wide_boxes: bool,
    /// Of the sample entry; H.264 without.
    pub(crate) entry: Option<[u8; 4]>,
    /// Sample entries besides the first.
    pub(crate) entries: u32,
    pub(crate) elsewhere: bool,
}

impl Table {
    /// One picture of one second.
    pub(crate) fn one() -> Self {
        Self {
            timescale: 1000,
            stsc: vec![(1, 1)],
            sizes: vec![5],
            chunks: vec![0],
            stts: vec![(1, 1000)],
            ..Self::default()
        }
    }
}

pub(crate) fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 8).unwrap();
    [&len.to_be_bytes(), &kind[..], body].concat()
}

fn wide(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&1_u32.to_be_bytes(), &kind[..], &(body.len() as u64 + 16).to_be_bytes(), body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

fn counted(entries: usize, body: &[u32]) -> Vec<u8> {
    words(&[&[0, u32::try_from(entries).unwrap()], body].concat())
}

/// The sample entry of the golden file, cut out of an init segment.
fn avc1() -> Vec<u8> {
    let init = fmp4::init(&Params::Video(media(TINY).video));
    let at = init.windows(4).position(|w| w == b"avc1").unwrap() - 4;
    // The first `avc1` is a brand, if there is one.
    let at = if init[at..at + 4] == [0; 4] {
        init.windows(4).rposition(|w| w == b"avc1").unwrap() - 4
    } else {
        at
    };
    let len = u32::from_be_bytes(init[at..at + 4].try_into().unwrap());
    init[at..at + len as usize].to_vec()
}

fn stsz(table: &Table) -> Vec<u8> {
    let count = u32::try_from(table.sizes.len()).unwrap();
    let Some(bits) = table.stz2 else {
        return boxed(b"stsz", &words(&[&[0, 0, count], &table.sizes[..]].concat()));
    };
    let low = |s: &u32| u8::try_from(*s).unwrap();
    let sizes: Vec<u8> = match bits {
        4 => table.sizes.chunks(2).map(|p| low(&p[0]) << 4 | p.get(1).map_or(0, low)).collect(),
        8 => table.sizes.iter().map(low).collect(),
        _ => table.sizes.iter().flat_map(|s| [0, low(s)]).collect(),
    };
    boxed(b"stz2", &[words(&[0, bits.into(), count]), sizes].concat())
}

fn pairs(pairs: &[(u32, u32)]) -> Vec<u8> {
    counted(pairs.len(), &pairs.iter().flat_map(|(a, b)| [*a, *b]).collect::<Vec<_>>())
}

fn stbl(table: &Table, media: u64) -> Vec<u8> {
    let mut entry = avc1();
    if let Some(kind) = table.entry {
        entry[4..8].copy_from_slice(&kind);
    }
    let count = table.entries + u32::from(table.entries == 0);
    let stsc: Vec<u32> = table.stsc.iter().flat_map(|(first, each)| [*first, *each, 1]).collect();
    let chunks = table.chunks.iter().map(|at| u64::from(*at) + media);
    let mut body = boxed(b"stsd", &[words(&[0, count]), entry.repeat(count as usize)].concat());
    body.extend(boxed(b"stts", &pairs(&table.stts)));
    if let Some(ctts) = &table.ctts {
        body.extend(boxed(b"ctts", &[vec![1], pairs(ctts)[1..].to_vec()].concat()));
    }
    if let Some(stss) = &table.stss {
        body.extend(boxed(b"stss", &counted(stss.len(), stss)));
    }
    body.extend(boxed(b"stsc", &counted(table.stsc.len(), &stsc)));
    body.extend(stsz(table));
    body.extend(if table.co64 {
        let places: Vec<u32> = chunks.flat_map(|at| [0, u32::try_from(at).unwrap()]).collect();
        boxed(b"co64", &counted(table.chunks.len(), &places))
    } else {
        boxed(
            b"stco",
            &counted(table.chunks.len(), &chunks.map(|at| u32::try_from(at).unwrap()).collect::<Vec<_>>()),
        )
    });
    boxed(b"stbl", &body)
}

fn moov(table: &Table, media: u64) -> Vec<u8> {
    let dref =
        boxed(b"dref", &[words(&[0, 1]), boxed(b"url ", &words(&[u32::from(!table.elsewhere)]))].concat());
    let minf = boxed(b"minf", &[boxed(b"dinf", &dref), stbl(table, media)].concat());
    let hdlr = boxed(b"hdlr", &[words(&[0, 0]), b"vide".to_vec(), vec![0; 13]].concat());
    let mdhd = boxed(b"mdhd", &words(&[0, 0, 0, table.timescale, 0, 0x55c4_0000]));
    let mut trak = boxed(b"tkhd", &words(&[3, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    if !table.elst.is_empty() {
        let edits: Vec<u32> =
            table.elst.iter().flat_map(|(len, from)| [*len, from.cast_unsigned(), 0x1_0000]).collect();
        trak.extend(boxed(b"edts", &boxed(b"elst", &counted(table.elst.len(), &edits))));
    }
    trak.extend(boxed(b"mdia", &[mdhd, hdlr, minf].concat()));
    let body = [boxed(b"mvhd", &words(&[0, 0, 0, 1000, 0])), boxed(b"trak", &trak)].concat();
    if table.wide_boxes { wide(b"moov", &body) } else { boxed(b"moov", &body) }
}

/// The file, and where its media begin.
pub(crate) fn file(table: &Table) -> (Vec<u8>, u64) {
    let ftyp = boxed(b"ftyp", b"isom\0\0\x02\0isom");
    let most = table.chunks.iter().max().map_or(0, |at| *at as usize);
    let body = vec![0xaa; most + table.sizes.iter().map(|s| *s as usize).sum::<usize>()];
    let mdat = if table.wide_boxes { wide(b"mdat", &body) } else { boxed(b"mdat", &body) };
    let head = (mdat.len() - body.len()) as u64;
    if table.moov_last {
        let media = ftyp.len() as u64 + head;
        return ([ftyp, mdat, moov(table, media)].concat(), media);
    }
    let before = (ftyp.len() + moov(table, 0).len()) as u64;
    ([ftyp, moov(table, before + head), mdat].concat(), before + head)
}
