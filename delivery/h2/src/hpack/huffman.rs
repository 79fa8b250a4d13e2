//! The Huffman code of strings (RFC 7541 §5.2, appendix B).
//!
//! It is canonical: codes of one length follow each other in the order of their symbols, and longer ones are greater.
//! So the lengths say everything.

/// Stands for the end; not to be found in a string.
const END: usize = 256;
const SYMBOLS: usize = 257;
/// Longest code in bits.
const LEN_MAX: usize = 30;
/// Codes up to here are found in one look.
const SHORT: usize = 8;

/// Bits of the code of each symbol.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

struct Code {
    /// Symbols in the order of their codes.
    order: [u16; SYMBOLS],
    /// Of each length: its first code, the place of that in `order`, and the first code that is longer, with the
    /// highest bit in front.
    first: [u32; LEN_MAX + 1],
    place: [usize; LEN_MAX + 1],
    end: [u64; LEN_MAX + 1],
    /// Symbol and length for what begins with these bits; length 0: the code is longer.
    short: [(u8, u8); 1 << SHORT],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut made = Code {
        order: [0; SYMBOLS],
        first: [0; LEN_MAX + 1],
        place: [0; LEN_MAX + 1],
        end: [0; LEN_MAX + 1],
        short: [(0, 0); 1 << SHORT],
    };
    let (mut next, mut place, mut len) = (0u32, 0, 1);
    while len <= LEN_MAX {
        next <<= 1;
        made.first[len] = next;
        made.place[len] = place;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == len {
                made.order[place] = symbol as u16;
                let mut fill = 0;
                while len <= SHORT && fill < 1 << (SHORT - len) {
                    made.short[((next as usize) << (SHORT - len)) + fill] = (symbol as u8, len as u8);
                    fill += 1;
                }
                place += 1;
                next += 1;
            }
            symbol += 1;
        }
        made.end[len] = (next as u64) << (32 - len);
        len += 1;
    }
    made
}

/// Symbol and length of the code at the front of these bits.
fn symbol(bits: u32) -> Option<(usize, u32)> {
    let (symbol, len) = *CODE.short.get((bits >> (32 - SHORT)) as usize)?;
    if len > 0 {
        return Some((usize::from(symbol), u32::from(len)));
    }
    let len =
        (SHORT + 1..=LEN_MAX).find(|len| CODE.end.get(*len).is_some_and(|end| u64::from(bits) < *end))?;
    let nth = (bits >> (32 - len)).checked_sub(*CODE.first.get(len)?)?;
    let symbol = CODE.order.get(CODE.place.get(len)? + nth as usize)?;
    Some((usize::from(*symbol), len as u32))
}

/// The string behind its code; `None` when it is none.
pub(super) fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(coded.len() * 8 / 5);
    let mut rest = coded.iter();
    // Bits that were read, from the highest on, and how many they are.
    let (mut bits, mut count) = (0u64, 0u32);
    loop {
        while count <= 56
            && let Some(&byte) = rest.next()
        {
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        let (symbol, len) = symbol((bits >> 32) as u32)?;
        if len > count {
            // Less than a byte is left, and it is the beginning of the code for the end.
            let padding = bits.leading_ones() >= count && count < 8;
            return padding.then_some(out);
        }
        if symbol == END {
            return None;
        }
        out.push(symbol as u8);
        bits <<= len;
        count -= len;
    }
}
