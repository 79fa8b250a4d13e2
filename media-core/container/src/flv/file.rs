//! Reader of whole FLV files in memory.

/// Kind byte of an audio tag.
pub const TAG_AUDIO: u8 = 8;
/// Kind byte of a video tag.
pub const TAG_VIDEO: u8 = 9;
/// Kind byte of a script data tag (`onMetaData`).
pub const TAG_SCRIPT: u8 = 18;

/// Lists the tags of an FLV file: kind byte ([`TAG_AUDIO`], [`TAG_VIDEO`], [`TAG_SCRIPT`]), timestamp in
/// milliseconds, and body. Ends at the first tag that is cut off; without the `FLV` signature it is empty.
///
/// Spec: Adobe FLV 10.1 §E.2 to §E.4.
#[must_use]
pub fn tags(data: &[u8]) -> Tags<'_> {
    Tags { rest: after_header(data).unwrap_or_default() }
}

fn after_header(data: &[u8]) -> Option<&[u8]> {
    let (header, _) = data.split_first_chunk::<9>()?;
    let [b'F', b'L', b'V', _, _, len @ ..] = *header else { return None };
    data.get(usize::try_from(u32::from_be_bytes(len)).ok()?..)
}

/// Iterator of [`tags`].
#[derive(Debug, Clone)]
pub struct Tags<'a> {
    /// Begins with the size of the previous tag.
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = (u8, u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, tail) = self.rest.split_first_chunk::<15>()?;
        let [_, _, _, _, kind, s0, s1, s2, t1, t2, t3, t0, _, _, _] = *header;
        let len = usize::try_from(u32::from_be_bytes([0, s0, s1, s2])).ok()?;
        let (body, rest) = tail.split_at_checked(len)?;
        self.rest = rest;
        // The two upper bits of the kind are reserved and a filter flag.
        Some((kind & 0x1f, u32::from_be_bytes([t0, t1, t2, t3]), body))
    }
}
