//! Stream ids of encoders and of strangers.

use super::*;

fn extra(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn each_form_is_understood() {
    let live = || "live/cam".to_owned();
    let plain = |mode| StreamId { resource: live(), mode, ..StreamId::default() };
    let some = |s: &str| Some(s.to_owned());
    let table = [
        ("live/cam", plain(None)),
        ("/live/cam", plain(None)),
        ("publish:live/cam", plain(Some(Mode::Publish))),
        ("read:live/cam", plain(Some(Mode::Request))),
        ("request:/live/cam", plain(Some(Mode::Request))),
        ("#!::r=live/cam,m=publish", plain(Some(Mode::Publish))),
        ("#!::m=request,r=/live/cam,t=stream", plain(Some(Mode::Request))),
        ("#!::r=live/cam", plain(None)),
        ("publish:live/cam::", plain(Some(Mode::Publish))),
        (
            "publish:live/cam:ann:a%3Ab%25",
            StreamId { user: some("ann"), extra: extra(&[("pass", "a:b%")]), ..plain(Some(Mode::Publish)) },
        ),
        (
            "publish:live/cam:ann:pw:key=a%20b&x=",
            StreamId {
                user: some("ann"),
                extra: extra(&[("pass", "pw"), ("key", "a b"), ("x", "")]),
                ..plain(Some(Mode::Publish))
            },
        ),
        (
            "publish:live/cam?key=a:b",
            StreamId { extra: extra(&[("key", "a:b")]), ..plain(Some(Mode::Publish)) },
        ),
        ("live/cam?token=x%3D", StreamId { extra: extra(&[("token", "x=")]), ..plain(None) }),
        (
            "#!::u=ann,r=live/cam,s=7,h=example.org,m=publish,key=50%=x,input=b",
            StreamId {
                user: some("ann"),
                session: some("7"),
                host: some("example.org"),
                extra: extra(&[("key", "50%=x"), ("input", "b")]),
                ..plain(Some(Mode::Publish))
            },
        ),
        (
            "#!::r=live/cam?secret=1,m=publish",
            StreamId { extra: extra(&[("secret", "1")]), ..plain(Some(Mode::Publish)) },
        ),
    ];
    for (text, expected) in table {
        assert_eq!(StreamId::parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    use StreamIdError::*;
    let many = format!("x?{}", (0..17).map(|n| format!("k{n}=v&")).collect::<String>());
    let table = [
        ("", NoResource),
        ("/", NoResource),
        ("publish:", NoResource),
        ("#!::m=publish", NoResource),
        ("?key=x", NoResource),
        ("#!:{r=live/cam}", Nested),
        ("#!r=live/cam", Syntax),
        ("#!", Syntax),
        ("#!::live/cam", NotAPair("live/cam".to_owned())),
        ("#!::=x", NotAPair("=x".to_owned())),
        ("live/cam?key", NotAPair("key".to_owned())),
        ("#!::r=a,r=b", Twice("r".to_owned())),
        ("#!::r=a,m=publish,m=request", Twice("m".to_owned())),
        ("#!::r=a,u=1,u=2", Twice("u".to_owned())),
        ("#!::r=a?key=1,key=2", Twice("key".to_owned())),
        ("live:cam", Mode("live".to_owned())),
        ("#!::r=a,m=bidirectional", Mode("bidirectional".to_owned())),
        ("#!::r=a,t=file", Type("file".to_owned())),
        ("live/cam?key=%4", Escape("%4".to_owned())),
        ("live/cam?key=%zz", Escape("%zz".to_owned())),
        ("live/cam?key=%ff", Escape("%ff".to_owned())),
        ("live/cam?key=%00", Control),
        ("live/\u{1}", Control),
        (many.as_str(), TooMany),
    ];
    for (text, expected) in table {
        assert_eq!(StreamId::parse(text), Err(expected), "{text}");
    }
    assert_eq!(StreamId::parse(&"x".repeat(513)), Err(TooLong(513)));
}

#[test]
fn mutations_are_refused_or_bounded() {
    let seeds = [
        "#!::u=ann,r=live/cam,m=publish,key=1",
        "publish:live/cam:ann:p%41:key=a%20b",
        "/live/cam?token=x%3D",
    ];
    let mut state = 0x9e37_79b9_u32;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    for seed in seeds {
        for end in 0..seed.len() {
            let _ = StreamId::parse(&seed[..end]);
        }
        for _ in 0..5_000 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = random(128) as u8,
                    1 => bytes.insert(at, b"#!:=,?&%/{}"[random(11)]),
                    _ => drop(bytes.remove(at)),
                }
            }
            let text = String::from_utf8(bytes).expect("ASCII");
            if let Ok(id) = StreamId::parse(&text) {
                assert!(!id.resource.is_empty() && id.extra.len() <= EXTRA_MAX, "{text:?}");
            }
        }
    }
}
