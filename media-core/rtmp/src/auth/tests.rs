//! Answers that ffmpeg 5.1 and GStreamer 1.22 gave, and everything near them.

use proptest::prelude::*;

use super::*;

const SALT: [u8; SECRET_LEN] = [1, 2, 3, 4, 5, 6, 7, 8];
const CHALLENGE: [u8; SECRET_LEN] = [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe];
const FFMPEG: &str = "authmod=adobe&user=joe&challenge=95a8a71f&response=6NnUUPuErS28tn+v8TEprA==\
                      &opaque=1032547698badcfe";
const GSTREAMER: &str = "authmod=adobe&user=joe&challenge=a37c5f49&response=+cDdpGm9d+dF2o3eHyWWEg==\
                         &opaque=1032547698badcfe";

fn joe() -> Challenge {
    Challenge::new("joe", SALT, CHALLENGE)
}

fn accepts(query: &str, password: &str, challenge: &Challenge) -> bool {
    Response::parse(query).is_some_and(|response| response.verify(password, challenge))
}

#[test]
fn asks_as_clients_search() {
    let want = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=joe\
                &salt=0102030405060708&challenge=1032547698badcfe&opaque=1032547698badcfe";
    assert_eq!(joe().reject_text(), want);
    let longest = "x".repeat(USER_LEN_MAX);
    assert!(Challenge::new(&longest, SALT, CHALLENGE).reject_text().len() < 256, "ffmpeg reads no more");
}

#[test]
fn names_the_user_before_it_answers() {
    let long = format!("authmod=adobe&user={}", "x".repeat(USER_LEN_MAX + 1));
    for (query, want) in [
        ("", None),
        ("authmod=adobe&user=joe", Some("joe")),
        ("user=j@e%20&authmod=adobe", Some("j@e%20")),
        ("key=1?authmod=adobe&user=joe", Some("joe")),
        ("authmod=llnw&user=joe", None),
        ("authmod=adobe", None),
        ("authmod=adobe&user=", None),
        ("user=joe", None),
        (&long, None),
    ] {
        assert_eq!(user(query), want, "{query}");
        assert_eq!(Response::parse(query), None, "{query}");
    }
}

#[test]
fn right_answers_of_real_clients() {
    for query in [FFMPEG, GSTREAMER] {
        let response = Response::parse(query).unwrap();
        assert_eq!((response.user(), response.opaque()), ("joe", joe().opaque()));
        assert!(response.verify("s3cr3t", &joe()), "{query}");
    }
}

#[test]
fn wrong_answers() {
    let other_salt = Challenge::new("joe", CHALLENGE, CHALLENGE);
    let other_question = Challenge::new("joe", SALT, SALT);
    let other_user = Challenge::new("jim", SALT, CHALLENGE);
    for (name, password, challenge) in [
        ("password", "secret", joe()),
        ("empty password", "", joe()),
        ("salt", "s3cr3t", other_salt),
        ("question", "s3cr3t", other_question),
        ("user", "s3cr3t", other_user),
    ] {
        assert!(!accepts(FFMPEG, password, &challenge), "{name}");
    }
    for part in ["6Nn", "95a8a71f", "joe", "1032", "adobe", "response", "opaque", "challenge"] {
        assert!(!accepts(&FFMPEG.replacen(part, "", 1), "s3cr3t", &joe()), "without {part}");
    }
    for response in ["", "=", "6NnUUPuErS28tn+v8TEprA=", "6NnUUPuErS28tn+v8TEprA==="] {
        let query = FFMPEG.replace("6NnUUPuErS28tn+v8TEprA==", response);
        assert!(!accepts(&query, "s3cr3t", &joe()), "{query}");
    }
}

#[test]
fn truncations_are_no_answers() {
    for end in 0..FFMPEG.len() {
        assert!(!accepts(&FFMPEG[..end], "s3cr3t", &joe()), "{end}");
    }
}

proptest! {
    #[test]
    fn one_changed_byte_is_wrong(at in 0..FFMPEG.len(), byte in 32u8..127) {
        let mut query = FFMPEG.as_bytes().to_vec();
        let same = query[at] == byte || (query[at], byte) == (b'&', b'?');
        query[at] = byte;
        prop_assert_eq!(accepts(std::str::from_utf8(&query).unwrap(), "s3cr3t", &joe()), same);
    }

    #[test]
    fn any_query_is_harmless(query in "[ -~]{0,100}") {
        prop_assert!(!accepts(&query, "", &joe()));
    }
}
