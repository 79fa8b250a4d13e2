//! Elements by hand.

/// An element with a size of 8 bytes, or of unknown size.
pub(super) fn element(id: u32, content: Option<&[u8]>, rest: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
    match content {
        Some(content) => {
            out.extend((content.len() as u64 | 1 << 56).to_be_bytes());
            out.extend(content);
        }
        None => out.push(0xff),
    }
    out.extend(rest);
    out
}

pub(super) fn el(id: u32, content: &[u8]) -> Vec<u8> {
    element(id, Some(content), &[])
}

pub(super) fn number(id: u32, value: u64) -> Vec<u8> {
    el(id, &value.to_be_bytes())
}

/// A track entry: number, type, codec, and more elements.
pub(super) fn track(number_: u64, kind: u64, codec: &str, more: &[u8]) -> Vec<u8> {
    el(0xae, &[number(0xd7, number_), number(0x83, kind), el(0x86, codec.as_bytes()), more.to_vec()].concat())
}

/// How frames stand in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacing {
    None,
    Xiph,
    Fixed,
    Ebml,
}

/// The content of a block of track 1.
pub(super) fn block(time: i16, flags: u8, lacing: Lacing, frames: &[&[u8]]) -> Vec<u8> {
    let kind = match lacing {
        Lacing::None => 0,
        Lacing::Xiph => 2,
        Lacing::Fixed => 4,
        Lacing::Ebml => 6,
    };
    let mut out = vec![0x81];
    out.extend(time.to_be_bytes());
    out.push(flags | kind);
    if lacing != Lacing::None {
        out.push(u8::try_from(frames.len() - 1).unwrap());
    }
    let sizes: Vec<usize> = frames.iter().map(|f| f.len()).collect();
    let first = sizes.len().saturating_sub(1);
    match lacing {
        Lacing::Xiph => {
            for size in &sizes[..first] {
                out.extend(vec![255; size / 255]);
                out.push(u8::try_from(size % 255).unwrap());
            }
        }
        // Two bytes for each number; differences have a bias of 2^13 - 1.
        Lacing::Ebml => {
            let mut before = None;
            for &size in &sizes[..first] {
                let value = before.map_or(size, |before: usize| size + 0x1fff - before);
                out.extend(u16::try_from(0x4000 | value).unwrap().to_be_bytes());
                before = Some(size);
            }
        }
        Lacing::None | Lacing::Fixed => {}
    }
    out.extend(frames.concat());
    out
}

/// A file with these tracks and this content of its segment behind them.
pub(super) fn file(tracks: &[u8], rest: &[u8]) -> Vec<u8> {
    let header = el(0x1a45_dfa3, &el(0x4282, b"matroska"));
    let body = [&el(0x1549_a966, &number(0x2a_d7b1, 1_000_000)), &el(0x1654_ae6b, tracks), rest].concat();
    [header, element(0x1853_8067, None, &body)].concat()
}

pub(super) fn cluster(time: u64, blocks: &[u8]) -> Vec<u8> {
    el(0x1f43_b675, &[&number(0xe7, time), blocks].concat())
}
