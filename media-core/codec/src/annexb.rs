//! Byte streams: NAL units between start codes, as transport streams carry H.264 and H.265.
//!
//! Spec: ISO/IEC 14496-10 annex B, ISO/IEC 23008-2 annex B.

/// Bytes of a start code without the zero that may come before it.
pub(crate) const START_CODE_LEN: usize = 3;

/// NAL units of a byte stream, in order, without start codes and without the zeros that may follow them.
/// Bytes in front of the first start code and empty units are left out.
pub fn nals(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = start_code(stream, 0);
    std::iter::from_fn(move || {
        loop {
            let begin = next? + START_CODE_LEN;
            next = start_code(stream, begin);
            let nal = trim(stream.get(begin..next.unwrap_or(stream.len()))?);
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    })
}

/// Where the first `00 00 01` at or behind `from` begins.
pub(crate) fn start_code(stream: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(stream.get(from..)?, &[0, 0, 1]).map(|at| from + at)
}

/// A NAL unit ends in a byte that is not zero (ISO/IEC 14496-10 §7.4.1); what follows belongs to the stream.
pub(crate) fn trim(nal: &[u8]) -> &[u8] {
    let end = nal.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    nal.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
