//! Settings and sources of keys, and what comes of a source that fails.

use super::*;
use crate::config::Config;

const FILE: &str = "# two keys\n00112233-4455-6677-8899-aabbccddeeff : 000102030405060708090a0b0c0d0e0f\n\
                    ffeeddccbbaa99887766554433221100:0f0e0d0c0b0a09080706050403020100:0123456789abcdef0123456789abcdef # IV\n";

#[test]
fn a_file_of_keys_is_read_and_faults_name_the_line_and_not_the_key() {
    let all = fetch::lines(FILE).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].key[15], all[0].iv, all[1].id[0]), (15, None, 0xff));
    assert_eq!(all[1].iv.unwrap()[..2], [0x01, 0x23]);
    for (text, want) in [
        ("", "holds no key"),
        ("aa:bb", "line 1"),
        ("\n00112233445566778899aabbccddeeff:secretsecret", "line 2"),
        ("00112233445566778899aabbccddeeff:000102030405060708090a0b0c0d0e0f:zz", "IV"),
        (&format!("{FILE}00112233-4455-6677-8899-aabbccddeeff:000102030405060708090a0b0c0d0e0f"), "twice"),
    ] {
        let fault = fetch::lines(text).err().unwrap();
        assert!(fault.contains(want) && !fault.contains("secret"), "{text}: {fault}");
    }
}

#[test]
fn the_answer_of_a_service_is_read_and_what_is_wrong_with_it_is_told_without_it() {
    let good = r#"{"key_id":"00112233-4455-6677-8899-aabbccddeeff","key":"000102030405060708090a0b0c0d0e0f",
        "systems":[{"system_id":"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed","pssh":"AAAA",
        "hls":{"format":"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed","uri":"data:text/plain;base64,AAAA"}}]}"#;
    let given = fetch::json(good.as_bytes()).unwrap();
    assert_eq!((given.key[1], given.systems.len(), given.systems[0].pssh.len()), (1, 1, 3));
    for cut in 0..good.len() {
        if let Err(fault) = fetch::json(&good.as_bytes()[..cut]) {
            assert!(!fault.contains("0102"), "{fault}");
        }
    }
    let quoted = good.replace("AAAA\"}}", "AAAA\\\"\"}}");
    assert!(fetch::json(quoted.as_bytes()).err().unwrap().contains("quotes"));
    let short = good.replace("0d0e0f", "");
    assert!(fetch::json(short.as_bytes()).err().unwrap().contains("32 hexadecimal"));
}

/// The sections as JSON, which the same derive reads.
fn sections(text: &str) -> Result<Config, String> {
    serde_json::from_str(&format!("{{\"encryption\":[{text}]}}")).map_err(|e| e.to_string())
}

#[test]
fn every_fault_of_every_section_is_told_at_once() {
    let config = sections(
        r#"{"streams":"nowhere","keys":"static","rotate_s":3},
           {"streams":"live/*","keys":"http","timeout_ms":5,"file":"x"},
           {"streams":"live/*","keys":"static","file":"x","scheme":"cenc","fairplay_uri":"skd://\"x"},
           {"streams":"live/ok","keys":"cpix"}"#,
    );
    let faults: Vec<String> = config.unwrap().validate().into_iter().map(|(key, _)| key).collect();
    for want in [
        "encryption.0.streams",
        "encryption.0.file",
        "encryption.0.rotate_s",
        "encryption.1.url",
        "encryption.1.file",
        "encryption.1.timeout_ms",
        "encryption.2.scheme",
        "encryption.2.fairplay_uri",
        "encryption.3.url",
    ] {
        assert!(faults.iter().any(|f| f == want), "{want} is missing from {faults:?}");
    }
    assert!(sections(r#"{"streams":"live/*","keys":"static","clear_keys":"yes"}"#).is_err());
    let shown = serde_json::to_string(
        &sections(r#"{"streams":"a/b","keys":"http","url":"http://u:geheim@h/"}"#).unwrap(),
    );
    assert!(!shown.unwrap().contains("geheim"), "a URL may hold secrets");
}

fn open(name: &str, rotate_s: u32, source: &str) -> Arc<Keys> {
    let file = std::env::temp_dir().join(format!("nx-keys-{name}-{}", std::process::id()));
    std::fs::write(&file, FILE).unwrap();
    let source = source.replace("FILE", file.to_str().unwrap());
    let config = sections(&format!(r#"{{"streams":"live/*","rotate_s":{rotate_s},{source}}}"#)).unwrap();
    let keys = Keys::open(&config.encryption).unwrap();
    std::fs::remove_file(file).unwrap();
    keys
}

#[test]
fn keys_of_a_file_take_turns_and_every_stream_that_fits_has_one() {
    let keys = open("turns", 10, r#""keys":"static","file":"FILE","clear_keys":"open""#);
    let stream = StreamKey::parse("live/cam").unwrap();
    assert!(keys.rule(&StreamKey::parse("other/cam").unwrap()).is_none());
    assert!(keys.refusal(&stream).unwrap().contains("encrypted"));
    let of = keys.of(&stream).unwrap();
    let ids: Vec<u8> = [0, 9_999, 10_000, 20_000].map(|ms| of.now(ms).unwrap().told.key_id[0]).to_vec();
    assert_eq!(ids, [0, 0, 0xff, 0]);
    let told = of.now(0).unwrap().told;
    let hls = told.systems.iter().find_map(|s| s.hls.as_ref()).unwrap();
    assert_eq!(hls.uri, "/live/cam/keys/00112233445566778899aabbccddeeff.bin");
    assert!(of.find(&[9; 16]).is_none());
    assert_eq!(nx_delivery::Keys::all(&of).len(), 2);
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_gives_no_key_and_no_panic() {
    let keys = open("service", 0, r#""keys":"http","url":"http://127.0.0.1:9/","timeout_ms":200"#);
    let of = keys.of(&StreamKey::parse("live/cam").unwrap()).unwrap();
    assert!(of.now(0).is_none());
    let From::Service(service) = &of.rule.from else { panic!("a service") };
    of.fetch(service, 0).await;
    assert!(of.now(1).is_none(), "it is not asked again at once");
    assert!(nx_delivery::Keys::all(&of).is_empty());
}

#[test]
fn files_that_cannot_be_used_are_all_told_and_never_quoted() {
    let config = sections(
        r#"{"streams":"a/*","keys":"static","file":"/nowhere/a"},{"streams":"b/*","keys":"cpix","file":"/nowhere/b"}"#,
    );
    let fault = Keys::open(&config.unwrap().encryption).err().unwrap();
    assert!(
        fault.contains("encryption.0") && fault.contains("encryption.1") && fault.contains("/nowhere/b"),
        "{fault}"
    );
}
