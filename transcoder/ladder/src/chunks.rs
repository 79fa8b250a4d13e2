//! Where a file is divided among workers: at key frames, so that what each of them codes can be put behind one another.

/// A chunk is at least so long where key frames allow, 90 kHz: a lost worker costs one.
const LENGTH: i64 = 15 * 90_000;
/// Then a key frame with pictures in front of it, which need the chunk before, will do too.
const LENGTH_OPEN: i64 = 2 * LENGTH;

/// One picture of the source; in decode order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// Presentation time, 90 kHz.
    pub pts: i64,
    /// Decoding can start here.
    pub key: bool,
}

/// What one worker is given, and what of it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The pictures that are decoded, by their number.
    pub pictures: std::ops::Range<usize>,
    /// Those of them count that are shown in this time, 90 kHz: each picture in one chunk.
    pub shown: std::ops::Range<i64>,
}

/// A group of pictures: it begins with a key frame.
struct Group {
    first: usize,
    pts: i64,
    /// Behind the last picture that follows the key frame and is shown before it; `first` when none is.
    leading_to: usize,
}

/// Divides a source whose first picture is a key frame.
///
/// Pictures that follow a key frame and are shown before it need the group before: where such a key frame has to do, the
/// group before is decoded once more, and the chunk before decodes them too.
#[must_use]
pub fn chunks(pictures: impl Iterator<Item = Picture>) -> Vec<Chunk> {
    let mut groups: Vec<Group> = Vec::new();
    let mut count = 0;
    for (nth, Picture { pts, key }) in pictures.enumerate() {
        count = nth + 1;
        match groups.last_mut() {
            Some(group) if !key => {
                if pts < group.pts {
                    group.leading_to = count;
                }
            }
            _ => groups.push(Group { first: nth, pts, leading_to: nth }),
        }
    }
    let mut begun = i64::MIN;
    let mut heads: Vec<(&Group, usize)> = Vec::new();
    let mut before = None;
    for group in &groups {
        let open = group.leading_to > group.first;
        let long = group.pts.saturating_sub(begun);
        if heads.is_empty() || long >= LENGTH_OPEN || (!open && long >= LENGTH) {
            let from = before.filter(|_| open).unwrap_or(group.first);
            heads.push((group, from));
            begun = group.pts;
        }
        before = Some(group.first);
    }
    let nexts =
        heads.iter().skip(1).map(|(group, _)| (group.pts, group.leading_to)).chain([(i64::MAX, count)]);
    let mut begins = i64::MIN;
    let mut chunks = Vec::new();
    for ((_, from), (until, to)) in heads.iter().zip(nexts) {
        chunks.push(Chunk { pictures: *from..to, shown: begins..until });
        begins = until;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: i64 = 3_600;

    /// Groups of so many pictures: of each, the number of those that are shown before its key frame.
    fn source(groups: &[(usize, usize)]) -> Vec<Picture> {
        let mut at = 0;
        let mut all = Vec::new();
        for &(count, leading) in groups {
            let time = |nth: usize| at + nth as i64 * FRAME;
            all.push(Picture { pts: time(leading), key: true });
            all.extend((0..count).filter(|n| *n != leading).map(|n| Picture { pts: time(n), key: false }));
            at = time(count);
        }
        all
    }

    fn cut(groups: &[(usize, usize)]) -> Vec<(std::ops::Range<usize>, i64)> {
        chunks(source(groups).into_iter()).into_iter().map(|c| (c.pictures, c.shown.start / FRAME)).collect()
    }

    #[test]
    fn chunks_begin_at_key_frames_and_are_about_as_long_as_they_should_be() {
        let first = i64::MIN / FRAME;
        // 25 pictures a second, closed groups of 2 s: cut when 15 s are over.
        assert_eq!(cut(&[(50, 0); 20]), [(0..400, first), (400..800, 400), (800..1000, 800)]);
        assert_eq!(cut(&[(3_000, 0)]), [(0..3_000, first)], "one group cannot be divided");
        // Open groups: cut later, and the pictures around the joint are decoded on both sides.
        let open = cut(&[(50, 2); 20]);
        assert_eq!(open, [(0..753, first), (700..1000, 752)]);
        // A closed one is worth waiting for.
        let mixed = [vec![(50, 2); 10], vec![(50, 0)], vec![(50, 2); 4]].concat();
        assert_eq!(cut(&mixed), [(0..500, first), (500..750, 500)]);
        assert_eq!(chunks(std::iter::empty()), []);
    }

    proptest! {
        #[test]
        fn every_picture_counts_once_and_is_decoded_where_it_counts(
            groups in prop::collection::vec((1_usize..200, 0_usize..4), 1..40),
        ) {
            let groups: Vec<_> = groups.into_iter().map(|(count, leading)| (count, leading.min(count - 1))).collect();
            let pictures = source(&groups);
            let chunks = chunks(pictures.iter().copied());
            let mut seen = vec![0; pictures.len()];
            for chunk in &chunks {
                prop_assert!(pictures[chunk.pictures.start].key);
                for nth in chunk.pictures.clone() {
                    seen[nth] += usize::from(chunk.shown.contains(&pictures[nth].pts));
                }
            }
            prop_assert!(seen.iter().all(|n| *n == 1), "{seen:?}");
        }
    }
}
