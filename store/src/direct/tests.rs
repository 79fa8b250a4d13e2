//! What is appended is in the file, in whatever pieces and however it is opened.

use proptest::prelude::*;

use super::*;

fn check(folder: &Path, pieces: &[Vec<usize>], direct: bool) {
    let path = folder.join("file");
    let absent = |len| Growing::open(&path, len).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    assert!(absent(0));
    File::create(&path).expect("creates");
    assert!(absent(1), "it is shorter");
    let mut growing = Growing::open(&path, 0).expect("opens");
    let mut buffer = Buffer::default();
    let (mut want, mut byte) = (Vec::new(), 0_u8);
    for (nth, lens) in pieces.iter().enumerate() {
        set_direct(&growing.file, direct).expect("sets");
        let mut slice = |len: &usize| {
            byte = byte.wrapping_mul(31).wrapping_add(7);
            Bytes::from(vec![byte; *len])
        };
        let slices: Vec<Bytes> = lens.iter().map(&mut slice).collect();
        let crc = growing.append(&slices, &mut buffer).expect("writes");
        assert_eq!(crc, crc32fast::hash(&slices.concat()), "{pieces:?}");
        let before = want.len();
        slices.iter().for_each(|s| want.extend_from_slice(s));
        let found = std::fs::read(&path).expect("reads");
        assert!(found.get(..want.len()) == Some(&want) && found[want.len()..].len() < BLOCK, "{pieces:?}");
        // Now and then the last is taken back, or the file is opened anew.
        if nth % 3 == 2 {
            want.truncate(before);
        }
        if nth % 3 == 2 || nth % 5 == 4 {
            growing = Growing::open(&path, want.len() as u64).expect("opens");
        }
    }
    growing.cut(want.len() as u64).expect("cuts");
    assert!(std::fs::read(&path).expect("reads") == want, "{pieces:?}");
    assert!(growing.is_at(&path));
    std::fs::rename(&path, folder.join("elsewhere")).expect("renames");
    assert!(!growing.is_at(&path));
    File::create(&path).expect("creates");
    assert!(!growing.is_at(&path), "another of the name");
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
