//! Seeded faults: a clean low-latency stream has no finding, and each fault is found by its rule.

use std::sync::Arc;

use bytes::Bytes;
use nx_doctor::Judge;
use nx_doctor::evidence::{Fetch, Role};
use nx_doctor::report::{Profile, Report};

const HOST: &str = "https://h.example/";
const SEGMENTS: u64 = 460;
const FIRST: u64 = 1000;

const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n\
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"a.m3u8\"\n\
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"French\",LANGUAGE=\"fr\",AUTOSELECT=YES,URI=\"a.m3u8\"\n\
#EXT-X-STREAM-INF:BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1800000,CODECS=\"avc1.64001F,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"g\"\nv.m3u8\n\
#EXT-X-STREAM-INF:BANDWIDTH=900000,AVERAGE-BANDWIDTH=800000,CODECS=\"avc1.64001E,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO=\"g\"\nw.m3u8\n\
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=200000,CODECS=\"avc1.64001F\",RESOLUTION=1280x720,URI=\"i.m3u8\"\n";

/// A version: `gone` segments have left the window, `open` parts of the next are there, `skip` are left out.
fn playlist(name: &str, gone: u64, open: u64, skip: u64) -> String {
    let first = FIRST + gone;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-INDEPENDENT-SEGMENTS\n\
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=1.5\n\
#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        u64::from(first > FIRST + 1)
    );
    if skip > 0 {
        text += &format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skip}\n");
    }
    text += "#EXT-X-MAP:URI=\"init.mp4\"\n";
    text += "#EXT-X-DATERANGE:ID=\"d\",START-DATE=\"2026-01-01T00:00:10Z\",DURATION=5\n";
    let part = |msn: u64, n: u64| {
        let independent = if n == 0 { ",INDEPENDENT=YES" } else { "" };
        format!("#EXT-X-PART:DURATION=0.5,URI=\"{name}{msn}.{n}.m4s\"{independent}\n")
    };
    let end = first + SEGMENTS;
    for msn in first + skip..end {
        let at = (msn - FIRST) * 2;
        let (h, m, s) = (at / 3600, at / 60 % 60, at % 60);
        if msn == FIRST + 1 {
            text += "#EXT-X-DISCONTINUITY\n";
        }
        text += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T{h:02}:{m:02}:{s:02}.000Z\n");
        if msn + 3 >= end {
            (0..4).for_each(|n| text += &part(msn, n));
        }
        text += &format!("#EXTINF:2.00000,\n{name}{msn}.m4s\n");
    }
    (0..open).for_each(|n| text += &part(end, n));
    text += &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{name}{end}.{open}.m4s\"\n");
    let (msn, index) = if open > 0 { (end, open - 1) } else { (end - 1, 3) };
    for other in ["v", "w", "a"].iter().filter(|o| **o != name) {
        text += &format!("#EXT-X-RENDITION-REPORT:URI=\"{other}.m3u8\",LAST-MSN={msn},LAST-PART={index}\n");
    }
    text
}

/// An answer as a good server gives it, asked at `ms` and held for `held` milliseconds.
fn fetch(name: &str, query: &str, role: Role, ms: u64, held: u64, body: &str) -> Fetch {
    let (path, kind, age) = match role {
        Role::Init | Role::Part { .. } | Role::Range { .. } | Role::Removed | Role::Hint { .. } => {
            (name.to_owned(), "video/mp4", 3600)
        }
        Role::Missing => (name.to_owned(), "text/plain", 1),
        _ => (
            format!("{name}.m3u8"),
            "application/vnd.apple.mpegurl",
            if query.contains("msn") { 12 } else { 1 },
        ),
    };
    let (status, age) = match role {
        Role::BadDirectives => (400, age),
        Role::Missing => (404, age),
        Role::Range { .. } => (206, age),
        _ => (200, age),
    };
    let playlist = format!("{HOST}{}.m3u8", &name[..1]);
    let mark = if query.is_empty() { "" } else { "?" };
    let mut headers = vec![
        ("content-type", kind.to_owned()),
        ("cache-control", format!("max-age={age}")),
        ("access-control-allow-origin", "*".to_owned()),
        ("timing-allow-origin", "*".to_owned()),
    ];
    if role == Role::Compressed {
        headers.push(("content-encoding", "gzip".to_owned()));
    }
    if matches!(role, Role::Range { .. }) {
        headers.push(("content-range", "bytes 4-7/100".to_owned()));
    }
    Fetch {
        url: Arc::from(format!("{HOST}{path}{mark}{query}")),
        playlist: Arc::from(playlist),
        role,
        asked_us: ms * 1000,
        first_byte_us: (ms + held) * 1000,
        done_us: (ms + held + 1) * 1000,
        status,
        headers: headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        cut: false,
        redirect: None,
        http2: true,
        failure: None,
    }
}

/// What a watcher sees of a clean stream. The indices are used by the table of faults.
fn clean() -> Vec<Fetch> {
    let p = |name, query, ms, held, gone, open, skip| {
        fetch(name, query, Role::Playlist, ms, held, &playlist(name, gone, open, skip))
    };
    vec![
        fetch("m", "", Role::Multivariant, 0, 5, MULTIVARIANT),
        fetch("v", "", Role::Compressed, 10, 5, ""),
        p("v", "", 20, 5, 0, 1, 0),
        p("a", "", 20, 5, 0, 1, 0),
        p("w", "", 20, 5, 0, 1, 0),
        p("v", "_HLS_msn=1460&_HLS_part=1", 100, 400, 0, 2, 0),
        fetch("v1460.1.m4s", "", Role::Hint { msn: 1460, part: 1 }, 100, 400, "part"),
        fetch("v1460.1.m4s", "", Role::Part { msn: 1460, part: 1 }, 510, 5, "part"),
        p("v", "_HLS_msn=1460&_HLS_part=3", 600, 900, 1, 0, 0),
        p("v", "_HLS_skip=YES", 1600, 5, 1, 0, 450),
        p("v", "", 1620, 5, 1, 0, 0),
        fetch("v", "_HLS_part=0", Role::BadDirectives, 1640, 5, ""),
        fetch("v", "_HLS_msn=1520", Role::BadDirectives, 1650, 5, ""),
        p("v", "_HLS_msn=1460&_HLS_part=4", 1700, 300, 1, 1, 0),
        fetch("v", "_HLS_part=0&x=1&_HLS_msn=1459", Role::Reordered, 2010, 5, &playlist("v", 1, 1, 0)),
        p("v", "_HLS_msn=1001", 2030, 5, 1, 1, 0),
        p("v", "_HLS_msn=1461&_HLS_part=3", 2050, 1450, 2, 0, 0),
        fetch("v1460.m4s", "", Role::Range { first: 4, last: 7 }, 3600, 5, "abcd"),
        fetch("v1000.m4s", "", Role::Removed, 3620, 5, "x"),
        fetch("vnone.m4s", "", Role::Missing, 3640, 5, ""),
        fetch("vinit.mp4", "", Role::Init, 3660, 5, ""),
        p("a", "_HLS_msn=1461&_HLS_part=3", 3670, 5, 2, 0, 0),
        p("w", "_HLS_msn=1461&_HLS_part=3", 3670, 5, 2, 0, 0),
        fetch("v", "", Role::PlaylistRange, 3690, 5, ""),
        p("i", "", 3700, 5, 2, 0, 0),
    ]
    .into_iter()
    .map(i_frames)
    .collect()
}

/// The I-frame list has no parts.
fn i_frames(mut fetch: Fetch) -> Fetch {
    if fetch.url.ends_with("i.m3u8") {
        let text = String::from_utf8_lossy(&fetch.body).into_owned();
        let bad = ["#EXT-X-PART", "#EXT-X-PRELOAD", "#EXT-X-RENDITION", "#EXT-X-DATERANGE"];
        let kept: Vec<&str> = text.lines().filter(|l| !bad.iter().any(|b| l.starts_with(b))).collect();
        fetch.body = Bytes::from(kept.join("\n").replace("#EXT-X-MAP", "#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP"));
    }
    fetch
}

fn judge(profile: Profile, seen: &[Fetch]) -> Report {
    let mut judge = Judge::new(profile, Vec::new());
    seen.iter().for_each(|fetch| judge.see(fetch));
    judge.finish()
}

#[test]
fn a_clean_stream_has_no_finding() {
    for profile in [Profile::Auto, Profile::LlHls] {
        let report = judge(profile, &clean());
        assert!(report.breaches().is_empty(), "{}", report.text("clean", false));
    }
}

/// Replaces text in every answer that has it, from the answer `from` on.
fn swap(seen: &mut [Fetch], from: usize, old: &str, new: &str) {
    let mut hits = 0;
    for fetch in &mut seen[from..] {
        let text = String::from_utf8_lossy(&fetch.body).into_owned();
        hits += usize::from(text.contains(old));
        fetch.body = Bytes::from(text.replace(old, new));
    }
    assert!(hits > 0, "nothing to replace: {old}");
}

fn header(fetch: &mut Fetch, name: &str, value: &str) {
    fetch.headers.retain(|(n, _)| n != name);
    if !value.is_empty() {
        fetch.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// Rule, first answer that has the fault, text, what stands there instead.
type Swap = (&'static str, usize, &'static str, &'static str);

const IN_MULTIVARIANTS: &[Swap] = &[
    ("HLS-26c", 0, "AUDIO=\"g\"", "AUDIO=\"h\""),
    ("HLS-26b", 0, "French", "English"),
    ("HLS-22a", 0, "INF:BANDWIDTH=2000000,", "INF:"),
    ("HLS-22b", 0, "CODECS=\"avc1.64001F,mp4a.40.2\",", ""),
    ("HLS-22c", 0, "RESOLUTION=640x360,", ""),
    ("HLS-22d", 0, "FRAME-RATE=30.000,", ""),
    ("HLS-22e", 0, "AVERAGE-BANDWIDTH=800000,", ""),
    ("HLS-25b", 0, "640x360", "640x480"),
    ("HLS-26a", 0, "NAME=\"French\",", ""),
    ("HLS-26d", 0, "LANGUAGE=\"fr\",", ""),
    ("HLS-26e", 0, "LANGUAGE=\"fr\",", "LANGUAGE=\"fr\",DEFAULT=YES,"),
    ("HLS-28a", 0, "#EXT-X-I-FRAME-STREAM-INF", "#COMMENT"),
    ("HLS-28d", 24, "#EXT-X-I-FRAMES-ONLY\n", ""),
    ("HLS-29a", 0, "FRAME-RATE", "VIDEO-RANGE=HDR,FRAME-RATE"),
    ("HLS-29c", 0, "BANDWIDTH=2000000", "VIDEO-RANGE=PQ,BANDWIDTH=2000000"),
    (
        "HLS-29d",
        0,
        "#EXT-X-I-FRAME-STREAM-INF",
        "#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\"\n#EXT-X-I-FRAME-STREAM-INF",
    ),
    (
        "HLS-30c",
        0,
        "#EXT-X-I-FRAME-STREAM-INF",
        "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,KEYFORMAT=\"com.apple.streamingkeydelivery\",URI=\"skd://k\"\n#EXT-X-I-FRAME-STREAM-INF",
    ),
    (
        "HLS-33",
        0,
        "#EXT-X-I-FRAME-STREAM-INF",
        "#EXT-X-STREAM-INF:BANDWIDTH=900000,AVERAGE-BANDWIDTH=800000,CODECS=\"avc1.64001E,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO=\"g\"\nx.m3u8\n#EXT-X-I-FRAME-STREAM-INF",
    ),
    ("HLS-29b", 0, "BANDWIDTH=2000000", "SCORE=2,BANDWIDTH=2000000"),
    ("HLS-27", 0, "BANDWIDTH=2000000", "CLOSED-CAPTIONS=NONE,BANDWIDTH=2000000"),
];

const IN_PLAYLISTS: &[Swap] = &[
    ("HLS-35a", 2, "#EXT-X-PART-INF:PART-TARGET=0.5\n", ""),
    ("HLS-36a", 2, ",PART-HOLD-BACK=1.5", ""),
    ("HLS-36b", 2, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=0.6"),
    ("HLS-36c", 2, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.25"),
    ("HLS-36d", 2, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.5,HOLD-BACK=4"),
    ("HLS-37", 2, "CAN-BLOCK-RELOAD=YES,", ""),
    ("HLS-35c", 2, "DURATION=0.5,URI=\"v1459.1", "DURATION=0.7,URI=\"v1459.1"),
    ("HLS-35d", 2, "DURATION=0.5,URI=\"v1459.1", "DURATION=0.3,URI=\"v1459.1"),
    ("HLS-42a", 2, "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=6.0"),
    ("HLS-47a", 2, "#EXT-X-PRELOAD-HINT", "#COMMENT"),
    ("HLS-47b", 2, "#EXT-X-PRELOAD-HINT", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"y\"\n#EXT-X-PRELOAD-HINT"),
    ("HLS-47c", 2, "URI=\"v1460.1.m4s\"\n#EXT-X-REND", "URI=\"z.m4s\"\n#EXT-X-REND"),
    ("HLS-2a", 2, "#EXTINF:2.00000,\nv1450", "#EXTINF:2.60000,\nv1450"),
    ("HLS-0c", 2, "VERSION:9", "VERSION:5"),
    ("HLS-30d", 2, "#EXT-X-MAP", "#EXT-X-KEY:METHOD=AES-128,URI=\"skd://k\"\n#EXT-X-MAP"),
    ("HLS-11a", 2, "#EXT-X-PROGRAM-DATE-TIME", "#COMMENT"),
    ("HLS-11b", 2, "00:15:00.000Z", "00:15:01.000Z"),
    ("HLS-17a", 2, "START-DATE=\"2026-01-01T00:00:10Z\",", ""),
    ("HLS-17c", 2, "DURATION=5", "DURATION=5,CLASS=\"c\",END-ON-NEXT=YES"),
    ("HLS-43a", 2, "CAN-SKIP-DATERANGES=YES,", ""),
    ("HLS-9a", 2, "#EXT-X-TARGETDURATION:2\n", ""),
    ("HLS-9b", 8, "TARGETDURATION:2", "TARGETDURATION:3"),
    ("HLS-13a", 16, "SEQUENCE:1002", "SEQUENCE:0"),
    ("HLS-13b", 16, "MEDIA-SEQUENCE:1002", "MEDIA-SEQUENCE:1003"),
    ("HLS-13c", 8, "#EXTINF:2.00000,\nv1450", "#EXTINF:1.90000,\nv1450"),
    ("HLS-13d", 5, "v1459.1.m4s", "v1459.x.m4s"),
    ("HLS-15b", 16, "DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:0"),
    ("HLS-10", 21, "TARGETDURATION:2", "TARGETDURATION:4"),
    ("HLS-48a", 2, "#EXT-X-RENDITION-REPORT:URI=\"a", "#COMMENT:URI=\"a"),
    ("HLS-42d", 9, "SKIPPED-SEGMENTS=450", "SKIPPED-SEGMENTS=449"),
    ("HLS-0a", 2, "#EXTM3U", "<html>"),
    ("HLS-0b", 2, "PART-TARGET=0.5", "PART-TARGET"),
    ("HLS-30a", 2, "#EXT-X-MAP", "#EXT-X-KEY:METHOD=AES-128\n#EXT-X-MAP"),
];

#[test]
fn every_fault_in_a_playlist_is_found() {
    for &(rule, from, old, new) in IN_MULTIVARIANTS.iter().chain(IN_PLAYLISTS) {
        let mut seen = clean();
        swap(&mut seen, from, old, new);
        let report = judge(Profile::Auto, &seen);
        assert!(report.has(rule), "{rule} not found: {old} -> {new}\n{}", report.text("seeded", false));
    }
}

/// Replaces text in one answer.
fn edit(fetch: &mut Fetch, old: &str, new: &str) {
    swap(std::slice::from_mut(fetch), 0, old, new);
}

fn segment(name: &str, msn: u64, body: &str) -> Fetch {
    let mut fetch = fetch(name, "", Role::Part { msn, part: 0 }, 3580, 5, body);
    fetch.role = Role::Segment { msn };
    fetch
}

fn text_segment(body: &str) -> Fetch {
    let mut fetch = segment("v1459.vtt", 1459, body);
    header(&mut fetch, "content-type", "text/vtt");
    fetch
}

/// The rule, and what breaks it.
type Fault = (&'static str, fn(&mut Vec<Fetch>));

#[test]
fn every_fault_on_the_wire_is_found() {
    let faults: &[Fault] = &[
        ("HLS-38a", |s| s[8].body = s[5].body.clone()),
        ("HLS-39a", |s| s[11].status = 200),
        ("HLS-39b", |s| s[12].status = 200),
        ("HLS-40", |s| s[13].status = 400),
        ("HLS-41a", |s| s[15].first_byte_us += 3_000_000),
        ("HLS-41c", |s| s[8].status = 404),
        ("HLS-42b", |s| s[9].body = s[10].body.clone()),
        ("HLS-44", |s| edit(&mut s[9], "#EXT-X-MAP:URI=\"init.mp4\"\n", "")),
        ("HLS-42e", |s| s[10].body = s[9].body.clone()),
        ("HLS-50", |s| s[14].status = 400),
        ("HLS-47d", |s| (s[6].status, s[6].first_byte_us) = (404, s[6].asked_us)),
        ("HLS-47e", |s| s[7].body = Bytes::from_static(b"else")),
        ("HLS-0e", |s| s[3].status = 404),
        ("HLS-0f", |s| s[7].status = 404),
        ("HLS-18", |s| s[7].redirect = Some("x".to_owned())),
        ("HLS-20", |s| s[18].status = 404),
        ("HLS-32a", |s| header(&mut s[1], "content-encoding", "")),
        ("HLS-32c", |s| header(&mut s[2], "content-type", "text/plain")),
        ("HLS-32d", |s| header(&mut s[7], "content-type", "text/plain")),
        ("HLS-32e", |s| s[5].http2 = false),
        ("HLS-34a", |s| header(&mut s[2], "access-control-allow-origin", "")),
        ("HLS-34b", |s| header(&mut s[2], "timing-allow-origin", "")),
        ("HLS-34c", |s| header(&mut s[17], "content-range", "bytes 0-3/100")),
        ("HLS-34d", |s| s[17].status = 200),
        ("HLS-34e", |s| s[23].status = 206),
        ("HLS-34f", |s| s[7].failure = Some("cut".to_owned())),
        ("HLS-49a", |s| header(&mut s[2], "cache-control", "max-age=60")),
        ("HLS-49b", |s| header(&mut s[5], "cache-control", "no-cache")),
        ("HLS-49c", |s| header(&mut s[7], "cache-control", "no-store")),
        ("HLS-49d", |s| header(&mut s[19], "cache-control", "max-age=600")),
        ("HLS-14", |s| edit(&mut s[21], "DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:2")),
        ("HLS-24", |s| s.insert(17, segment("v1459.m4s", 1459, &"x".repeat(700_000)))),
        ("HLS-31a", |s| s.insert(17, text_segment("00:00.000 --> 00:01.000\nx"))),
        ("HLS-31b", |s| s.insert(17, text_segment("WEBVTT\n\n00:00.000 --> 00:01.000\nx"))),
        ("HLS-36e", |s| {
            s.iter_mut().for_each(|f| {
                f.first_byte_us += 600_000;
                f.done_us += 600_000;
            })
        }),
        ("HLS-48b", |s| edit(&mut s[16], "URI=\"a.m3u8\",LAST-MSN=1461", "URI=\"a.m3u8\",LAST-MSN=1450")),
        ("HLS-48c", |s| edit(&mut s[16], "URI=\"a.m3u8\",LAST-MSN=1461", "URI=\"a.m3u8\",LAST-MSN=1470")),
        ("HLS-51", |s| s[21].body = Bytes::from(playlist("a", 0, 1, 0))),
        ("HLS-21b", |s| (s[15].asked_us, s[15].done_us) = (60_000_000, 60_010_000)),
    ];
    for (rule, spoil) in faults {
        let mut seen = clean();
        spoil(&mut seen);
        let report = judge(Profile::Auto, &seen);
        assert!(report.has(rule), "{rule} not found\n{}", report.text("seeded", false));
    }
}

#[test]
fn two_origins_of_one_encoder_are_told_apart_by_numbers_names_words_and_bytes() {
    let list = || playlist("v", 1, 1, 0);
    let role = || Role::Playlist;
    for (old, new, want) in [
        ("", "", None),
        ("SEQUENCE:1001", "SEQUENCE:5001", Some("HLS-53a")),
        ("v1100.m4s", "other.m4s", Some("HLS-53a")),
        ("#EXTINF:2.00000,\nv1100.m4s", "#EXTINF:1.99000,\nv1100.m4s", Some("HLS-53b")),
        ("DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:7", Some("HLS-53b")),
    ] {
        let mut judge = Judge::new(Profile::Auto, Vec::new());
        let ours = fetch("v", "", role(), 0, 5, &list());
        // The other is two seconds behind, which is no fault.
        judge.compare(&ours, &fetch("v", "", role(), 0, 5, &playlist("v", 0, 1, 0)));
        judge.compare(&ours, &fetch("v", "", role(), 0, 5, &list().replace(old, new)));
        let report = judge.finish();
        let found: Vec<&str> = report.breaches().iter().map(|b| b.rule.id).collect();
        assert_eq!(found, Vec::from_iter(want), "{old} → {new}: {}", report.text("twins", false));
    }
    let whole = fetch("v1100.m4s", "", Role::Init, 0, 5, "abcd");
    for (other, status, want) in [("abcd", 200, 0), ("abce", 200, 1), ("abc", 200, 1), ("", 404, 1)] {
        let mut judge = Judge::new(Profile::Auto, Vec::new());
        judge.compare(&whole, &Fetch { status, ..fetch("v1100.m4s", "", Role::Init, 0, 5, other) });
        let report = judge.finish();
        assert!(report.breaches().iter().all(|b| b.rule.id == "HLS-53c"), "{other}");
        assert_eq!(report.breaches().len(), want, "{other}");
    }
}
