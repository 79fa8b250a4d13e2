//! AES-128 over the protected bytes of a sample.

use aes::cipher::{BlockDecrypt, BlockEncrypt};
use aes::{Aes128, Block};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 16;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// AES-CBC over the first `crypt` blocks of every `crypt + skip`; 0 and 0 is over all. The IV holds for each range anew,
/// a last piece that is no block stays clear (ISO/IEC 23001-7 §9.6, §9.7).
pub(crate) fn cbc(aes: &Aes128, way: Way, iv: &[u8; 16], (crypt, skip): (u8, u8), data: &mut [u8]) {
    let (crypt, turn) = (usize::from(crypt), usize::from(crypt) + usize::from(skip));
    let mut last = *iv;
    for (nth, block) in data.chunks_exact_mut(BLOCK).enumerate() {
        if turn > 0 && nth % turn >= crypt {
            continue;
        }
        let block = Block::from_mut_slice(block);
        match way {
            Way::In => {
                xor(block, &last);
                aes.encrypt_block(block);
                last = (*block).into();
            }
            Way::Out => {
                let before = last;
                last = (*block).into();
                aes.decrypt_block(block);
                xor(block, &before);
            }
        }
    }
}

/// AES-CTR over the ranges of one sample, one behind the other (ISO/IEC 23001-7 §9.3, §9.4): both ways the same.
pub(crate) struct Ctr<'a> {
    aes: &'a Aes128,
    iv: [u8; 8],
    /// Number of the first block.
    from: u64,
    /// Bytes done.
    at: u64,
}

impl<'a> Ctr<'a> {
    pub(crate) fn new(aes: &'a Aes128, iv: [u8; 8]) -> Self {
        Self { aes, iv, from: 0, at: 0 }
    }

    #[cfg(test)]
    pub(crate) fn counting_from(aes: &'a Aes128, counter: [u8; 16]) -> Self {
        let (iv, number) = (counter.first_chunk().copied(), counter.last_chunk().copied());
        let (iv, from) = (iv.unwrap_or_default(), u64::from_be_bytes(number.unwrap_or_default()));
        Self { aes, iv, from, at: 0 }
    }

    pub(crate) fn apply(&mut self, data: &mut [u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let number = self.from.wrapping_add(self.at / BLOCK as u64);
            let used = usize::try_from(self.at % BLOCK as u64).unwrap_or(0);
            let (now, later) = rest.split_at_mut((BLOCK - used).min(rest.len()));
            let mut stream = Block::default();
            stream.iter_mut().zip(self.iv.iter().chain(&number.to_be_bytes())).for_each(|(s, c)| *s = *c);
            self.aes.encrypt_block(&mut stream);
            now.iter_mut().zip(stream.iter().skip(used)).for_each(|(byte, s)| *byte ^= s);
            self.at += now.len() as u64;
            rest = later;
        }
    }
}

fn xor(block: &mut Block, other: &[u8; 16]) {
    block.iter_mut().zip(other).for_each(|(byte, o)| *byte ^= o);
}
