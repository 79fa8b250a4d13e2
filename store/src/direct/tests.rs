use proptest::prelude::*;

use super::*;

fn check(folder: &Path, pieces: &[Vec<usize>], direct: bool) {
    let path = folder.join("file");
    let mut buffer = Buffer::default();
    let (mut want, mut next) = (Vec::new(), 0_u8);
    let mut growing = Growing::open(&path, 0).expect("opens");
    for (nth, lens) in pieces.iter().enumerate() {
        set_direct(&growing.file, direct).expect("sets");
        let slices: Vec<Bytes> = lens
            .iter()
            .map(|len| {
                next = next.wrapping_mul(31).wrapping_add(7);
                vec![next; *len].into()
            })
            .collect();
        let grown = growing.write(&slices, &mut buffer).expect("writes");
        assert_eq!(grown.crc, crc32fast::hash(&slices.concat()), "{pieces:?}");
        // Every third is taken back, every fifth time the file is opened anew.
        if nth % 3 == 2 {
            growing.cut().expect("cuts");
        } else {
            growing.take(grown);
            slices.iter().for_each(|s| want.extend_from_slice(s));
        }
        if nth % 5 == 4 {
            growing = Growing::open(&path, want.len() as u64).expect("opens");
        }
        let found = std::fs::read(&path).expect("reads");
        assert!(found.get(..want.len()) == Some(&want), "{pieces:?}");
        assert!(found[want.len()..].len() < BLOCK || nth % 3 == 2, "{pieces:?}");
    }
    growing.cut().expect("cuts");
    assert!(std::fs::read(&path).expect("reads") == want, "{pieces:?}");
    std::fs::remove_file(path).expect("removes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_appended_in_any_pieces_is_in_the_file(
        pieces in prop::collection::vec(prop::collection::vec(0..3 * BLOCK, 0..4), 1..12),
        direct: bool,
    ) {
        let folder = std::env::temp_dir().join(format!("nx-direct-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        // Around the end of a block, and more than the buffer holds.
        check(&folder, &pieces, direct);
        check(&folder, &[vec![BLOCK - 1], vec![1], vec![BLOCK, 1], vec![BUFFER + 1, BUFFER - 1]], direct);
        std::fs::remove_dir_all(folder).expect("removes");
    }
}
