//! What opens, and what must not.

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_767_225_600_000;

#[test]
fn opens_for_its_service_in_time_under_its_secret_and_not_otherwise() {
    let (ours, theirs) = (Seal::new(b"one secret"), Seal::new(b"another"));
    let sealed = ours.seal("scheduler", b"{\"subject\":\"a\"}", NOW);
    let open = |seal: &Seal, service: &str, now_ms| seal.open(service, &sealed, now_ms).is_some();
    for (name, got, want) in [
        ("good", open(&ours, "scheduler", NOW), true),
        ("another clock", open(&ours, "scheduler", NOW + 59_999), true),
        ("a clock behind", open(&ours, "scheduler", NOW - 60_000), true),
        ("too old", open(&ours, "scheduler", NOW + 60_000), false),
        ("from the future", open(&ours, "scheduler", NOW - 60_001), false),
        ("for another", open(&ours, "glitch", NOW), false),
        ("another's", open(&theirs, "scheduler", NOW), false),
    ] {
        assert_eq!(got, want, "{name}");
    }
    assert_eq!(ours.open("scheduler", &sealed, NOW).as_deref(), Some(&b"{\"subject\":\"a\"}"[..]));
    assert_eq!(format!("{ours:?}"), "***");
}

#[test]
fn no_part_of_it_opens() {
    let seal = Seal::new(b"one secret");
    let sealed = seal.seal("s", b"claims", NOW);
    for end in 0..sealed.len() {
        assert_eq!(seal.open("s", &sealed[..end], NOW), None, "{end}");
    }
    assert_eq!(seal.open("s", &"a.".repeat(TEXT_BYTES_MAX), NOW), None);
}

#[test]
fn a_file_is_made_once_and_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(format!("nexus-seal-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("secret");
    let (one, two) = (Seal::in_file(&path).expect("made"), Seal::in_file(&path).expect("read"));
    assert!(two.open("s", &one.seal("s", b"x", NOW), NOW).is_some());
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1, "nothing else is left");
    // What a power cut left of it is no secret.
    std::fs::write(&path, b"").expect("written");
    assert!(Seal::in_file(&path).is_err_and(|e| e.to_string().contains("not whole")));
    std::fs::remove_dir_all(&folder).expect("removed");
}

proptest! {
    #[test]
    fn nothing_that_was_changed_opens(at in 0_usize..200, byte in 0x20_u8..0x7f, claims in any::<Vec<u8>>()) {
        let seal = Seal::new(b"one secret");
        let sealed = seal.seal("s", &claims, NOW);
        prop_assert_eq!(seal.open("s", &sealed, NOW), Some(claims));
        let mut bytes = sealed.clone().into_bytes();
        let place = at % bytes.len();
        bytes[place] = byte;
        let changed = String::from_utf8(bytes).expect("ASCII");
        // The last digit of a tag has bits that say nothing; the decoder refuses them.
        prop_assert_eq!(seal.open("s", &changed, NOW).is_some(), changed == sealed);
    }

    #[test]
    fn any_text_is_refused_and_none_panics(text in ".{0,100}") {
        prop_assert_eq!(Seal::new(b"one secret").open("s", &text, NOW), None);
    }
}
