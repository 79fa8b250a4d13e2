//! What is read from `connect`, by table.

use super::*;

fn list(codes: &[&str]) -> Value {
    Value::StrictArray(codes.iter().map(|c| (*c).into()).collect())
}

fn map(entries: &[(&str, f64)]) -> Value {
    Value::EcmaArray(entries.iter().map(|(name, flags)| ((*name).to_owned(), (*flags).into())).collect())
}

/// Name, fields of `connect`, codecs and capabilities wanted.
type Row = (&'static str, Vec<(&'static str, Value)>, Option<(&'static [&'static str], u32)>);

#[test]
fn codec_lists_are_merged() {
    let rows: [Row; 9] = [
        ("old peer", vec![("videoCodecs", 252.0.into())], None),
        ("version 1", vec![("fourCcList", list(&["hvc1", "av01"]))], Some((&["hvc1", "av01"], 0))),
        ("any codec", vec![("fourCcList", list(&["*"]))], Some((&["*"], 0))),
        ("capabilities only", vec![("capsEx", 15.0.into())], Some((&[], 15))),
        (
            "decodes, encodes, forwards, all",
            vec![("videoFourCcInfoMap", map(&[("avc1", 1.0), ("hvc1", 2.0), ("av01", 4.0), ("vp09", 7.0)]))],
            Some((&["avc1", "av01", "vp09"], 0)),
        ),
        (
            "list and maps",
            vec![
                ("audioFourCcInfoMap", map(&[("Opus", 1.0), ("*", 4.0)])),
                ("fourCcList", list(&["avc1", "Opus"])),
                ("videoFourCcInfoMap", map(&[("avc1", 3.0)])),
                ("capsEx", 2.0.into()),
            ],
            Some((&["avc1", "Opus", "*"], 2)),
        ),
        (
            "nonsense",
            vec![
                (
                    "fourCcList",
                    Value::StrictArray(vec![1.0.into(), "too long to be one".into(), "avc1".into()]),
                ),
                ("videoFourCcInfoMap", list(&["hvc1"])),
                ("audioFourCcInfoMap", object(&[("Opus", "yes".into()), ("mp4a", f64::NAN.into())])),
                ("capsEx", "15".into()),
            ],
            Some((&["avc1"], 0)),
        ),
        ("out of range", vec![("capsEx", (-1.0).into())], Some((&[], 0))),
        ("null", vec![("fourCcList", Value::Null)], Some((&[], 0))),
    ];
    for (name, fields, want) in rows {
        let want = want.map(|(codes, caps_ex)| Announced {
            fourcc: codes.iter().map(|c| (*c).to_owned()).collect(),
            caps_ex,
        });
        assert_eq!(announced(&object(&fields)), want, "{name}");
    }
}

#[test]
fn codec_lists_are_bounded() {
    let many: Vec<String> = (0..1000).map(|i| format!("{i:04}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let entries: Vec<_> = many.iter().map(|c| (*c, 1.0)).collect();
    for field in [("fourCcList", list(&many)), ("videoFourCcInfoMap", map(&entries))] {
        let got = announced(&object(&[field])).unwrap();
        assert_eq!((got.fourcc.len(), got.fourcc[31].as_str()), (32, "0031"));
    }
}

#[test]
fn our_own_words_are_understood() {
    let codecs: Vec<&str> = VIDEO.into_iter().chain(AUDIO).collect();
    for fields in [client_fields().to_vec(), server_fields().to_vec(), server_fields()[1..].to_vec()] {
        let got = announced(&object(&fields)).unwrap();
        assert_eq!((got.fourcc, got.caps_ex), (codecs.iter().map(|c| (*c).to_owned()).collect(), 0x0f));
    }
}
