//! Playlists are read with their line numbers, and nothing in one makes the reader fall.

use super::values::{date, micros};
use super::*;

const LIVE: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12.0\n\
#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2024-02-29T12:00:00.250Z\n#EXTINF:2.00008,\ns7.m4s\r\n\
#EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.5,URI=\"p8.0.m4s\",INDEPENDENT=YES\n#EXTINF:2,\ns8.m4s\n\
#EXT-X-PART:DURATION=0.5,URI=\"p9.0.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p9.1.m4s\"\n\
#EXT-X-RENDITION-REPORT:URI=\"../a/index.m3u8\",LAST-MSN=9,LAST-PART=0\n";

fn media(text: &str) -> Media {
    Media::parse(&Arc::from("http://h/v/index.m3u8"), 1, &Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn a_live_playlist_is_read_with_numbers_and_lines() {
    let m = media(LIVE);
    assert!(m.text.faults.is_empty(), "{:?}", m.text.faults);
    let numbers: Vec<_> = m.with_open().map(|s| (s.line, s.msn, s.dsn)).collect();
    assert_eq!(numbers, [(11, 7, 3), (15, 8, 4), (0, 9, 4)]);
    assert_eq!(m.segments[0].duration_us, 2_000_080);
    assert_eq!(m.segments[0].date_us.as_ref().unwrap().value, 1_709_208_000_250_000);
    assert_eq!((m.next_part(), m.edge()), ((9, 1), Some((9, Some(0)))));
    assert_eq!(m.part_target_us(), Some(500_000));
    assert_eq!(m.segments[1].map.as_deref(), Some("init.mp4 "));
    let asked = [(7, None), (9, None), (9, Some(0)), (9, Some(1)), (8, Some(9))];
    assert_eq!(asked.map(|(msn, part)| m.contains(msn, part)), [true, false, true, false, true]);
    assert_eq!(m.text.finding(&[11, 0], "x").lines[0].text, "s7.m4s");
    assert_eq!(m.text.resolve("../a/i").as_deref(), Some("http://h/a/i"));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let cases = [
        ("#EXTINF:x,\na.ts", 2, "EXTINF has no duration"),
        ("a.ts", 2, "without EXTINF"),
        ("#EXTINF:1,\n#EXTINF:1,\na.ts", 2, "no address follows"),
        ("#EXT-X-TARGETDURATION:two", 2, "decimal integer"),
        ("#EXT-X-PART:DURATION=1", 2, "no URI"),
        ("#EXT-X-KEY:METHOD=NONE,METHOD=NONE", 2, "twice"),
        ("#EXT-X-KEY:METHOD", 2, "no '='"),
        ("#EXT-X-KEY:URI=\"x", 2, "closing quote"),
        ("#EXT-X-VERSION:3\n#EXT-X-VERSION:3", 3, "twice"),
        ("#EXT-X-PROGRAM-DATE-TIME:yesterday", 2, "ISO 8601"),
    ];
    for (body, line, what) in cases {
        let faults = media(&format!("#EXTM3U\n{body}\n")).text.faults;
        assert!(faults.iter().any(|f| f.line == line && f.value.contains(what)), "{body}: {faults:?}");
    }
}

#[test]
fn variables_are_replaced() {
    let text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n#EXTINF:1,\n{$a}/{$c}.ts\n";
    assert_eq!(media(text).segments[0].uri, "b/{$c}.ts");
}

#[test]
fn dates_and_durations() {
    let second = Some(1_709_208_000_000_000);
    let dates = ["2024-02-29T12:00:00Z", "2024-02-29T13:30:00+01:30", "2024-02-29T10:00:00-0200"];
    dates.iter().for_each(|d| assert_eq!(date(d), second, "{d}"));
    for bad in
        ["", "2024-02-29", "2024-13-01T00:00:00Z", "2024-02-29Tx", "2024-02-29T12:99:00Z", "T", "é-é-éTé"]
    {
        assert_eq!(date(bad), None, "{bad}");
    }
    assert_eq!(
        ["6", "6.006", "0.1234567", "-1", "1e3", "", ".5"].map(micros),
        [Some(6_000_000), Some(6_006_000), Some(123_456), None, None, None, None]
    );
    assert_eq!([1_500_000, 2_000_000, 1].map(seconds), ["1.5 s", "2 s", "0.000001 s"]);
}

#[test]
fn a_text_is_what_its_tags_say() {
    let cases = [
        ("<html>", Kind::None),
        ("#EXTM3U\n", Kind::Media),
        ("\u{feff}#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na", Kind::Multivariant),
        ("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n", Kind::Multivariant),
        ("#EXTM3U\n#EXTINF:1,\na\n#EXT-X-MEDIA:TYPE=AUDIO\n", Kind::Media),
    ];
    cases.iter().for_each(|(text, want)| assert_eq!(kind(text.as_bytes()), *want, "{text}"));
}

#[test]
fn no_prefix_and_no_changed_byte_breaks_the_reader() {
    let multivariant =
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"é\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n";
    let url: Arc<str> = Arc::from("http://h/x");
    for text in [LIVE, multivariant] {
        for cut in 0..text.len() {
            let body = Bytes::copy_from_slice(&text.as_bytes()[..cut]);
            let _ = (Media::parse(&url, 0, &body), Multivariant::parse(&url, 0, &body), kind(&body));
        }
        let mut seed = 1_u32;
        for _ in 0..3_000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..3 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = usize::try_from(seed >> 8).unwrap() % bytes.len();
                bytes[at] = seed.to_le_bytes()[3];
            }
            let body = Bytes::from(bytes);
            let m = Media::parse(&url, 0, &body);
            let _ = (m.text.finding(&[1, 2], "x"), m.edge(), Multivariant::parse(&url, 0, &body));
        }
    }
}

#[test]
fn a_segment_that_has_all_its_parts_may_still_be_open() {
    let begun = media(LIVE);
    let whole = media(&LIVE.replace(
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p9.1.m4s\"",
        "#EXTINF:0.5,\ns9.m4s\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p10.0.m4s\"",
    ));
    assert_eq!(begun.edge(), whole.edge());
    assert!(begun.is_of_the_time_of(&begun) && !begun.is_of_the_time_of(&whole));
}
