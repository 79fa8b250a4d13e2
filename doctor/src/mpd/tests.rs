//! Manifests as text, and what is read from them.

use super::time::duration;
use super::*;

const HEAD: &str = "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"p\" type=\"dynamic\" \
    availabilityStartTime=\"1970-01-01T00:00:10Z\" timeShiftBufferDepth=\"PT6S\" minBufferTime=\"PT2S\">";

/// A manifest with one representation below the given template attributes and time line.
fn with(template: &str, timeline: &str) -> String {
    format!(
        "{HEAD}<BaseURL>a/</BaseURL><Period id=\"x\" start=\"PT5S\"><AdaptationSet mimeType=\"video/mp4\">\
        <SegmentTemplate timescale=\"10\" {template}>{timeline}</SegmentTemplate>\
        <Representation id=\"v$\" bandwidth=\"7\"/></AdaptationSet></Period></MPD>"
    )
}

fn segments(text: &str, now_s: f64) -> Vec<Segment> {
    let mpd = Mpd::read("http://h/d/m.mpd", text.as_bytes()).expect("a manifest");
    let (period, _, representation) = mpd.representations().next().expect("a representation");
    mpd.segments(period, representation, now_s)
}

fn times(text: &str, now_s: f64) -> Vec<(u64, u64, u64)> {
    segments(text, now_s).iter().map(|s| (s.number, s.t, s.d)).collect()
}

#[test]
fn durations_and_dates() {
    for (text, want) in [
        ("PT2.5S", Some(2.5)),
        ("P1DT1H1M1S", Some(90_061.0)),
        ("PT0S", Some(0.0)),
        ("-PT1S", Some(-1.0)),
        ("P1Y", Some(31_536_000.0)),
        ("PT", None),
        ("P", None),
        ("2S", None),
        ("PTS", None),
        ("PT1S1M", None),
    ] {
        assert_eq!(duration(text), want, "{text}");
    }
    // By `date -u -d … +%s`.
    for (text, want) in [
        ("1970-01-01T00:00:00Z", Some(0.0)),
        ("2026-01-01T00:00:00Z", Some(1_767_225_600.0)),
        ("2024-02-29T12:00:00.5", Some(1_709_208_000.5)),
        ("2024-03-01T01:30:00+01:30", Some(1_709_251_200.0)),
        ("2024-13-01T00:00:00Z", None),
        ("2024-01-01", None),
    ] {
        assert_eq!(date_time(text), want, "{text}");
    }
}

#[test]
fn time_lines_repeat_and_open_ones_end_with_the_clock() {
    let media = "media=\"$Time$\"";
    let line = |s: &str| format!("<SegmentTimeline>{s}</SegmentTimeline>");
    let plain = line("<S t=\"20\" d=\"20\" r=\"1\"/><S d=\"5\"/>");
    assert_eq!(times(&with(media, &plain), 99.0), [(1, 20, 20), (2, 40, 20), (3, 60, 5)]);
    let until_next = line("<S t=\"0\" d=\"20\" r=\"-1\"/><S t=\"40\" d=\"5\"/>");
    assert_eq!(times(&with(media, &until_next), 99.0), [(1, 0, 20), (2, 20, 20), (3, 40, 5)]);
    // The media began at 10 + 5 s: 4.9 s ago.
    let open = line("<S t=\"0\" d=\"20\" r=\"-1\"/>");
    assert_eq!(times(&with(media, &open), 19.9), [(1, 0, 20), (2, 20, 20)]);
    let endless = line("<S t=\"0\" d=\"1\" r=\"9000000000000000000\"/>");
    assert_eq!(segments(&with(media, &endless), 99.0).len(), SEGMENTS_MAX);
}

#[test]
fn templates_name_what_the_clock_and_the_buffer_allow() {
    let steady = with(
        "media=\"s-$Number%04d$-$RepresentationID$-$Bandwidth$$$\" duration=\"20\" startNumber=\"7\"",
        "",
    );
    let all = segments(&steady, 15.0 + 21.0);
    assert_eq!(all.iter().map(|s| s.number).collect::<Vec<_>>(), [14, 15, 16]);
    assert_eq!(all[0].url, "http://h/d/a/s-0014-v$-7$");
    assert_eq!((all[0].t, all[0].d, all[0].complete_s), (140, 20, 31.0));
}

#[test]
fn availability_follows_offset_and_presentation_time() {
    let early = "media=\"$Time$\" availabilityTimeOffset=\"1.5\" presentationTimeOffset=\"100\"";
    let all = segments(&with(early, "<SegmentTimeline><S t=\"100\" d=\"20\"/></SegmentTimeline>"), 99.0);
    assert_eq!((all[0].available_s, all[0].complete_s), (15.5, 17.0));
}

#[test]
fn the_schema_notices_order_and_missing_attributes() {
    let right = with("media=\"m\"", "<SegmentTimeline><S d=\"1\"/></SegmentTimeline>");
    assert_eq!(flaws(right.as_bytes()), Ok(vec![]));
    for (from, to, want) in [
        ("<S d=\"1\"/>", "<S t=\"1\"/>", "S without @d"),
        ("profiles=\"p\"", "", "MPD without @profiles"),
        (" start=\"PT5S\"", "", "the first Period of a dynamic MPD has no @start"),
        ("<BaseURL>a/</BaseURL>", "<Base/>", "MPD may not hold Base"),
        ("</MPD>", "<BaseURL>b</BaseURL></MPD>", "BaseURL comes too late in MPD"),
        (
            "bandwidth=\"7\"",
            "bandwidth=\"7.5\"",
            "@bandwidth of Representation is \"7.5\", not a whole number below 2^32",
        ),
        ("id=\"v$\"", "id=\"v 1\"", "@id of Representation is \"v 1\", not one word"),
        (
            "<AdaptationSet ",
            "<AdaptationSet height=\"-1\" ",
            "@height of AdaptationSet is \"-1\", not a whole number below 2^32",
        ),
        ("<AdaptationSet ", "<AdaptationSet maxHight=\"1\" ", "AdaptationSet has no @maxHight"),
        (
            "<AdaptationSet ",
            "<AdaptationSet par=\"1.78\" ",
            "@par of AdaptationSet is \"1.78\", not a ratio such as 16:9",
        ),
        (
            "<AdaptationSet ",
            "<AdaptationSet maxFrameRate=\"29.97\" ",
            "@maxFrameRate of AdaptationSet is \"29.97\", not a frame rate such as 30000/1001",
        ),
        (
            "<AdaptationSet ",
            "<AdaptationSet lang=\"en_GB\" ",
            "@lang of AdaptationSet is \"en_GB\", not a language tag",
        ),
        (
            "<AdaptationSet ",
            "<AdaptationSet startWithSAP=\"7\" ",
            "@startWithSAP of AdaptationSet is \"7\", not 0 to 6",
        ),
        (
            "<AdaptationSet ",
            "<AdaptationSet segmentAlignment=\"yes\" ",
            "@segmentAlignment of AdaptationSet is \"yes\", not true or false",
        ),
        ("type=\"dynamic\"", "type=\"live\"", "@type of MPD is \"live\", not one of static, dynamic"),
        ("\"PT2S\"", "\"2s\"", "@minBufferTime of MPD is \"2s\", not a duration such as PT2.5S"),
    ] {
        assert!(right.contains(from), "{from}");
        let found = flaws(right.replace(from, to).as_bytes()).expect("XML");
        assert_eq!(found.iter().map(|f| f.what.as_str()).collect::<Vec<_>>(), [want]);
    }
}

#[test]
fn every_truncation_is_an_error_and_no_panic() {
    let text = with("media=\"m\" duration=\"1\"", "<SegmentTimeline><S d=\"1\" r=\"-1\"/></SegmentTimeline>");
    for len in 0..text.len() {
        assert!(Mpd::read("http://h/", &text.as_bytes()[..len]).is_err(), "{len}");
    }
    let mut seed = 7_u64;
    for _ in 0..3_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = text.clone().into_bytes();
        let at = (seed >> 33) as usize % bytes.len();
        bytes[at] = (seed >> 24) as u8;
        if let Ok(mpd) = Mpd::read("http://h/", &bytes) {
            for (period, _, representation) in mpd.representations() {
                assert!(mpd.segments(period, representation, 50.0).len() <= SEGMENTS_MAX);
            }
        }
    }
}

#[test]
fn a_manifest_may_be_had_elsewhere_from_now_on() {
    let at = |location: &str| {
        let text = format!("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\">{location}<Period/></MPD>");
        read::document("http://h/a/m.mpd?start=-8", &text).expect("reads").location
    };
    assert_eq!(at(""), None);
    let given = "<Location> m.mpd?start=5&amp;end=9\n</Location>";
    assert_eq!(at(given).as_deref(), Some("http://h/a/m.mpd?start=5&end=9"));
}
