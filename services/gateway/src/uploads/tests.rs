//! What clients say of an upload, against the specification's own words and known sums.

use super::*;

#[test]
fn a_name_is_read_out_of_metadata() {
    for (metadata, want) in [
        ("filename aGVsbG8ubXA0", Some("hello.mp4")),
        ("filetype dmlkZW8vbXA0,filename aGVsbG8ubXA0", Some("hello.mp4")),
        ("is_confidential,name aGVsbG8ubXA0", Some("hello.mp4")),
        ("filename YQ==", Some("a")),
        ("filename YQ", Some("a")),
        ("filename ", None),
        ("filename", None),
        ("filename !!!", None),
        ("filename //8=", None),
        ("", None),
    ] {
        assert_eq!(filename(metadata.as_bytes()).as_deref(), want, "{metadata}");
    }
    let long = format!("filename {}", "QUFB".repeat(METADATA_MAX));
    assert!(filename(long.as_bytes()).is_none_or(|name| name.len() < METADATA_MAX));
}

#[test]
fn checksums_are_those_of_their_algorithms() {
    let asked = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("upload-checksum", value.parse().unwrap());
        Checksum::asked(&headers)
    };
    for (value, text, want) in [
        ("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", "hello", true),
        ("sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "hello", true),
        ("crc32 NhCmhg==", "hello", true),
        ("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", "hallo", false),
        ("crc32 ", "hello", false),
    ] {
        let mut sum = asked(value).unwrap().unwrap();
        text.as_bytes().chunks(2).for_each(|bytes| sum.update(bytes));
        assert_eq!(sum.fits(), want, "{value}");
    }
    for bad in ["md5 AAAA", "sha1", "sha1 ***"] {
        assert!(asked(bad).is_err(), "{bad}");
    }
    assert!(Checksum::asked(&HeaderMap::new()).unwrap().is_none());
}

#[test]
fn numbers_are_digits_and_no_more() {
    for (value, want) in
        [("0", Some(0)), ("42", Some(42)), ("-1", None), ("+1", None), ("1e3", None), ("", None)]
    {
        let mut headers = HeaderMap::new();
        headers.insert(OFFSET, value.parse().unwrap());
        assert_eq!(number(&headers, &OFFSET).ok(), want, "{value}");
    }
    assert!(number(&HeaderMap::new(), &OFFSET).is_err());
}
