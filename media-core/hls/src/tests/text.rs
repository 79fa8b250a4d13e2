//! Captions declared, subtitles in segments, breaks marked on segments, and sections in front of parts.

use bytes::Bytes;

use super::{Rig, WALL, audio, video};
use crate::{Ask, Asset, Captions, DateRange, Embedded, Lookup, Skip, TextCue, TextRendition, escape};

fn english(captions: bool) -> TextRendition {
    let (language, name) = ("en".into(), "English".into());
    TextRendition { language, name, captions, forced: false, default: false }
}

fn with_text() -> Rig {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.packager.declare_text(Captions { embedded: vec![], renditions: vec![english(true)] });
    go(&mut rig, 1_000);
    rig
}

/// Goes on up to the frame of that presentation time, with a key frame each two seconds from one second on.
fn go(rig: &mut Rig, until_ms: i64) {
    while rig.now_90k <= until_ms * 90 {
        let key = (rig.now_90k / 3000) % 60 == 30;
        rig.push(0, super::frame(rig.now_90k, 3000, key));
        rig.now_90k += 3000;
        while rig.audio_48k * 90_000 < rig.now_90k * 48_000 {
            rig.push(1, super::frame(rig.audio_48k, 1024, true));
            rig.audio_48k += 1024;
        }
    }
}

fn cue(start_ms: i64, duration_ms: Option<u64>, text: &str) -> TextCue {
    let duration_us = duration_ms.map(|ms| ms * 1000);
    TextCue { start_us: start_ms * 1000, duration_us, text: text.into(), settings: String::new() }
}

/// The cues of a segment, one a line.
fn segment(rig: &Rig, msn: u64) -> String {
    let Lookup::Found(bytes) = rig.window.text_segment(0, msn) else { return "none".into() };
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    text.trim_end().split("\n\n").skip(1).map(|c| c.replace('\n', " ")).collect::<Vec<_>>().join("; ")
}

#[test]
fn captions_and_subtitles_are_declared() {
    let mut rig = with_text();
    go(&mut rig, 4_000);
    let lines = |rig: &Rig| rig.window.multivariant().expect("playable");
    let text = lines(&rig);
    assert!(text.contains(",AUDIO=\"audio\",SUBTITLES=\"subs\",CLOSED-CAPTIONS=NONE\nv1/"), "{text}");
    let cc = |id: &str, language: &str| Embedded {
        instream_id: id.into(),
        language: language.into(),
        name: id.into(),
    };
    rig.packager.declare_text(Captions {
        embedded: vec![cc("CC1", "en"), cc("SERVICE1", "und")],
        renditions: vec![english(true), english(false)],
    });
    rig.settle();
    let text = lines(&rig);
    let subtitles = "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subs\",NAME=\"English";
    for line in [
        "#EXT-X-VERSION:7",
        "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"CC1\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,INSTREAM-ID=\"CC1\"",
        "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"SERVICE1\",LANGUAGE=\"und\",DEFAULT=NO,AUTOSELECT=YES,INSTREAM-ID=\"SERVICE1\"",
        &format!(
            "{subtitles}\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound\",URI=\"s1/index.m3u8\""
        ),
        &format!("{subtitles} 2\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"s2/index.m3u8\""),
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(text.contains(",SUBTITLES=\"subs\",CLOSED-CAPTIONS=\"cc\"\nv1/"), "{text}");
    assert_eq!(rig.window.text_index("s2"), Some(1));
    for name in ["s0", "s3", "s01", "s", "v1"] {
        assert_eq!(rig.window.text_index(name), None, "{name}");
    }
}

#[test]
fn segments_of_text_are_those_of_the_leader() {
    // The stream begins at one second; its segments are two seconds long.
    let mut rig = with_text();
    rig.packager.text(0, cue(1_500, Some(2_000), "one\n\ntwo"));
    rig.packager.text(0, cue(9_000, Some(100), "later"));
    go(&mut rig, 5_500);
    let first = rig.window.text_segment(0, 100);
    let want = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:90000,LOCAL:00:00:01.000\n\n00:00:01.500 --> 00:00:03.500\none\ntwo\n\n";
    assert_eq!(first, Lookup::Found(Bytes::from(want)));
    assert_eq!(segment(&rig, 101), "00:00:01.500 --> 00:00:03.500 one two");
    assert_eq!(rig.window.text_segment(0, 102), Lookup::Soon);
    assert_eq!(rig.window.text_segment(0, 103), Lookup::Missing);
    assert_eq!(rig.window.text_segment(1, 100), Lookup::Missing);
    let playlist = |ask| rig.window.media_playlist(ask, Skip::None).expect("a playlist");
    let lines = |text: String, ending: &str| {
        let keep = |l: &&str| {
            ["#EXTINF", "#EXT-X-PROGRAM", "#EXT-X-MEDIA-SEQ", "#EXT-X-TARGET"]
                .iter()
                .any(|t| l.starts_with(t))
                || (l.ends_with(ending) && !l.starts_with('#'))
        };
        text.lines().filter(keep).map(|l| l.replace(ending, "")).collect::<Vec<_>>()
    };
    let (text, video) = (lines(playlist(Ask::Text(0)), "vtt"), lines(playlist(Ask::Track(0)), "m4s"));
    // The open segment's date is listed with its parts.
    assert_eq!(text, video[..video.len() - 1]);
    assert!(playlist(Ask::Text(0)).contains("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6\n"));
    assert_eq!(rig.window.media_playlist(Ask::Text(1), Skip::None), None);
}

#[test]
fn text_that_comes_late_begins_with_the_next_segment() {
    let mut rig = with_text();
    go(&mut rig, 3_000);
    assert_eq!(segment(&rig, 100), "");
    rig.packager.text(0, cue(1_500, Some(1_000), "late"));
    rig.packager.text(0, cue(3_500, Some(1_000), "in time"));
    go(&mut rig, 5_000);
    assert_eq!(segment(&rig, 100), "", "what was listed stays");
    let want = "00:00:03.000 --> 00:00:04.000 late; 00:00:03.500 --> 00:00:04.500 in time";
    assert_eq!(segment(&rig, 101), want);
}

#[test]
fn open_cues_go_on_from_segment_to_segment_until_the_next() {
    let mut rig = with_text();
    rig.packager.text(0, cue(2_000, None, "a"));
    go(&mut rig, 5_100);
    rig.packager.text(0, TextCue { settings: "line:10%".into(), ..cue(5_500, None, "b") });
    rig.packager.text(0, cue(6_000, None, ""));
    go(&mut rig, 7_000);
    let got: Vec<String> = (100..104).map(|msn| segment(&rig, msn)).collect();
    let want = [
        "00:00:02.000 --> 00:00:03.000 a",
        "00:00:03.000 --> 00:00:05.000 a",
        "00:00:05.000 --> 00:00:05.500 a; 00:00:05.500 --> 00:00:06.000 line:10% b",
        "none",
    ];
    assert_eq!(got, want);
}

#[test]
fn text_is_plain_and_bounded() {
    assert_eq!(escape("a < b & c --> d"), "a &lt; b &amp; c --&gt; d");
    let mut rig = with_text();
    for n in 0..500 {
        rig.packager.text(0, cue(1_000 + n, Some(10), "x"));
    }
    rig.packager.text(0, cue(1_000, Some(10), &"x".repeat(5_000)));
    rig.packager.text(0, cue(1_000, Some(10), "never --> seen"));
    go(&mut rig, 3_000);
    assert_eq!(segment(&rig, 100).matches(" x").count(), 128);
    assert!(!segment(&rig, 100).contains("seen"));
}

fn away(id: &str, pts_ms: i64, planned_ms: u64, auto_return: bool) -> DateRange {
    DateRange {
        id: id.into(),
        pts_us: pts_ms * 1000,
        planned_duration_us: Some(planned_ms * 1000),
        auto_return,
        scte35_out: Some(Bytes::from_static(b"\xfc\x30\x00\x01\x02\x03\x04")),
        ..DateRange::default()
    }
}

#[test]
fn breaks_are_marked_where_they_are_cut_in_every_playlist() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.packager.declare_text(Captions { embedded: vec![], renditions: vec![english(false)] });
    rig.run(15, 15);
    rig.packager.add_cue(away("ad", 2_200, 3_000, true));
    rig.run(195, 15);
    for ask in [Ask::Track(0), Ask::Track(1), Ask::IFrames(0), Ask::Ts, Ask::Text(0)] {
        let text = rig.window.media_playlist(ask, Skip::None).expect("a playlist");
        let marks: Vec<String> = text
            .lines()
            .filter(|l| l.starts_with("#EXT-X-CUE") || (!l.starts_with('#') && !l.contains("init")))
            .map(|l| l.replace("#EXT-X-", "").replace(".m4s", "").replace(".ts", "").replace(".vtt", ""))
            .collect();
        // Cut at 2.5 s, the first key frame from 2.2 s on, and at 5.5 s for the return at 5.2 s.
        let want = ["100", "CUE-OUT:3.000", "101", "CUE-OUT-CONT:2.000/3.000", "102", "CUE-IN", "103"];
        assert_eq!(marks.get(..7), Some(&want.map(str::to_owned)[..]), "{text}");
    }
}

#[test]
fn another_cue_of_a_range_only_adds() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(60, 60);
    let range = DateRange {
        class: Some("com.apple.hls.interstitial".into()),
        attributes: vec![("X-RESUME-OFFSET".into(), "0".into())],
        assets: vec![Asset { uri: "https://a/1.m3u8".into(), duration_ms: 15_000 }],
        scte35_out: None,
        ..away("i1", 4_000, 30_000, false)
    };
    rig.packager.add_cue(range.clone());
    let more = Asset { uri: "https://a/2.m3u8".into(), duration_ms: 5_500 };
    rig.packager.add_cue(DateRange {
        planned_duration_us: Some(1),
        cue: Some("PRE".into()),
        attributes: vec![("X-RESUME-OFFSET".into(), "9".into()), ("X-NEW".into(), "\"x\"".into())],
        assets: vec![more.clone()],
        ..range.clone()
    });
    rig.settle();
    let tag = |rig: &Rig| {
        let text = rig.playlist(0);
        text.lines().filter(|l| l.contains("DATERANGE")).map(str::to_owned).collect::<Vec<_>>()
    };
    let start = crate::Rfc3339(WALL - 1000 + 4000);
    let head = "#EXT-X-DATERANGE:ID=\"i1\",CLASS=\"com.apple.hls.interstitial\",START-DATE=";
    let want = format!(
        "{head}\"{start}\",PLANNED-DURATION=30.000,CUE=\"PRE\",X-ASSET-URI=\"https://a/1.m3u8\",X-RESUME-OFFSET=0,X-NEW=\"x\""
    );
    assert_eq!(tag(&rig), [want]);
    rig.packager.withdraw("i1");
    rig.settle();
    assert!(tag(&rig).is_empty());
    rig.packager.add_cue(DateRange { assets: vec![range.assets[0].clone(), more], ..range });
    rig.settle();
    assert!(tag(&rig)[0].contains(",X-ASSET-LIST=\"../breaks/i1.json\","), "{:?}", tag(&rig));
    let list = "{\"ASSETS\":[{\"URI\":\"https://a/1.m3u8\",\"DURATION\":15.000},{\"URI\":\"https://a/2.m3u8\",\"DURATION\":5.500}]}\n";
    assert_eq!(rig.window.asset_list("i1").as_deref(), Some(list));
    assert_eq!(rig.window.asset_list("i2"), None);
}

#[test]
fn sections_stand_in_front_of_the_next_part_of_pictures() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(15, 60);
    rig.packager.cue(away("ad", 4_000, 3_000, false));
    rig.packager.cue(away("ad-again", 4_000, 3_000, false));
    rig.run(60, 60);
    let parts = |track| rig.window.parts_from(track, 0).map(|p| p.bytes.clone()).collect::<Vec<_>>();
    let emsg = |bytes: &Bytes| bytes.windows(4).filter(|w| w == b"emsg").count();
    assert_eq!(parts(0).iter().map(emsg).collect::<Vec<_>>()[..4], [0, 1, 0, 0]);
    assert_eq!(parts(1).iter().map(emsg).sum::<usize>(), 0);
    let bytes = &parts(0)[1];
    assert_eq!(&bytes[4..8], b"emsg");
    // Version 1, timescale, presentation time, length, and the section's checksum as id.
    let fields = [
        &[1, 0, 0, 0][..],
        &90_000u32.to_be_bytes(),
        &360_000u64.to_be_bytes(),
        &270_000u32.to_be_bytes(),
        &[1, 2, 3, 4],
    ];
    assert_eq!(&bytes[8..32], fields.concat());
    assert!(nx_container::fmp4::samples(bytes).is_ok_and(|s| s.len() == 10));
}
