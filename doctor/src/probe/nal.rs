//! Which pictures of H.264 and H.265 a decoder can begin with, with length fields and with start codes.

/// Bytes of NAL units with length fields of `length` bytes: the first that is a slice tells.
///
/// NAL units looked at before giving up.
const NALS_MAX: usize = 64;

/// Which of the two standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standard {
    Avc,
    Hevc,
}

impl Standard {
    /// `Some(true)` for a slice of a picture that a decoder can begin with (IDR, or any IRAP of H.265),
    /// `Some(false)` for another slice, `None` for what is no slice.
    fn entry(self, nal: &[u8]) -> Option<bool> {
        let first = *nal.first()?;
        match self {
            Self::Avc => match first & 0x1F {
                5 => Some(true),
                1..=4 => Some(false),
                _ => None,
            },
            Self::Hevc => match first >> 1 & 0x3F {
                16..=23 => Some(true),
                0..=31 => Some(false),
                _ => None,
            },
        }
    }

    /// Whether this is a sequence parameter set.
    pub(crate) fn is_sps(self, nal: &[u8]) -> bool {
        let Some(first) = nal.first() else { return false };
        match self {
            Self::Avc => first & 0x1F == 7,
            Self::Hevc => first >> 1 & 0x3F == 33,
        }
    }
}

/// Whether a decoder can begin with this sample of NAL units behind length fields of `length` bytes (1 to 4).
/// `None` when no slice is found.
pub(crate) fn entry_in_sample(standard: Standard, length: u8, mut sample: &[u8]) -> Option<bool> {
    for _ in 0..NALS_MAX {
        let (head, tail) = sample.split_at_checked(usize::from(length))?;
        let size = head.iter().fold(0_usize, |all, b| all << 8 | usize::from(*b));
        let (nal, tail) = tail.split_at_checked(size)?;
        if let Some(entry) = standard.entry(nal) {
            return Some(entry);
        }
        sample = tail;
    }
    None
}

/// Whether a decoder can begin with this access unit of start codes; `None` when no slice is found.
pub(crate) fn entry_in_annexb(standard: Standard, data: &[u8]) -> Option<bool> {
    annexb(data).find_map(|nal| standard.entry(nal))
}

/// NAL units between start codes (ITU-T H.264 annex B).
pub(crate) fn annexb(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let code = |from: usize| {
        let tail = data.get(from..)?;
        tail.windows(3).position(|w| w == [0, 0, 1]).map(|p| from + p)
    };
    let mut next = code(0);
    std::iter::from_fn(move || {
        let begin = next? + 3;
        next = code(begin);
        Some(&data[begin..next.unwrap_or(data.len())])
    })
}
