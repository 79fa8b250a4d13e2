//! What playlists tell: variants, languages, codecs, cues.

use bytes::Bytes;
use nx_media::{AudioCodec, AudioParams, Kind, Language, Params, VideoCodec, VideoParams, VideoRange};

use super::sources::{self, Source, send};
use super::tracks::small;
use super::validator::{self, Validator, attribute};
use super::{Rig, WALL, audio, frame, video};
use crate::{Ask, DateRange, Event, Rfc3339, Skip};

fn sound(codec: AudioCodec, language: &str) -> Params {
    let Params::Audio(aac) = audio() else { unreachable!() };
    let rfc6381 = match codec {
        AudioCodec::Ac3 => "ac-3",
        AudioCodec::Flac => "fLaC",
        _ => "mp4a.40.2",
    };
    let channels = if codec == AudioCodec::Ac3 { 6 } else { 2 };
    let language = Language::new(language.as_bytes());
    Params::Audio(AudioParams { codec, rfc6381: rfc6381.into(), channels, language, ..aac })
}

fn picture(codec: VideoCodec) -> Params {
    let Params::Video(avc) = video() else { unreachable!() };
    Params::Video(VideoParams { codec, ..avc })
}

/// The renditions and variants of these tracks, bit rates left out.
fn multivariant(tracks: &[Params]) -> String {
    let sources: Vec<Source> = tracks.iter().cloned().map(Source::new).collect();
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 2_500, &mut Validator::default());
    let text = rig.window.multivariant().expect("playable");
    let short = |line: &str| match line.find("CODECS") {
        Some(at) => format!("{}{}", line.split_once(':').expect("a tag").0, &line[at - 1..]),
        None => line.to_owned(),
    };
    let variants = text.lines().skip(3).filter(|line| !line.starts_with("#EXT-X-I-FRAME"));
    variants.map(short).collect::<Vec<_>>().join("\n")
}

#[test]
fn who_is_steered_is_told_where_and_on_which_pathway_everything_is() {
    let sources: Vec<Source> = [video(), audio()].map(Source::new).into();
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 2_500, &mut Validator::default());
    let [plain, steered] =
        [rig.window.multivariant(), rig.window.multivariant_steered()].map(|t| t.expect("playable"));
    let tag = "#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steering.json\",PATHWAY-ID=\".\"\n";
    assert_eq!(steered.matches(tag).count(), 1);
    let variants = ["#EXT-X-STREAM-INF:", "#EXT-X-I-FRAME-STREAM-INF:"];
    for line in steered.lines().filter(|line| variants.iter().any(|tag| line.starts_with(tag))) {
        assert_eq!(line.matches(",PATHWAY-ID=\".\"").count(), 1, "{line}");
    }
    assert_eq!(steered.replace(tag, "").replace(",PATHWAY-ID=\".\"", ""), plain);
}

#[test]
fn sounds_are_told_apart_by_language_and_codec() {
    use AudioCodec::{Aac, Ac3};
    let one = "\
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"a1\",LANGUAGE=\"und\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a1/index.m3u8\"
#EXT-X-STREAM-INF,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE
v1/index.m3u8";
    assert_eq!(multivariant(&[video(), audio()]), one);

    let languages = "\
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"German\",LANGUAGE=\"de\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a1/index.m3u8\"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a2/index.m3u8\"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"English 2\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=NO,CHANNELS=\"2\",URI=\"a3/index.m3u8\"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"gsw\",LANGUAGE=\"gsw\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a4/index.m3u8\"
#EXT-X-STREAM-INF,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"audio\",CLOSED-CAPTIONS=NONE
v1/index.m3u8";
    let four = [sound(Aac, "ger"), sound(Aac, "ENG"), sound(Aac, "eng"), sound(Aac, "gsw")];
    assert_eq!(multivariant(&[&[video()], &four[..]].concat()), languages);

    let codecs = "\
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-aac\",NAME=\"French\",LANGUAGE=\"fr\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a1/index.m3u8\"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-ac3\",NAME=\"French\",LANGUAGE=\"fr\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"6\",URI=\"a2/index.m3u8\"
#EXT-X-STREAM-INF,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"audio-aac\",CLOSED-CAPTIONS=NONE
v1/index.m3u8
#EXT-X-STREAM-INF,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO=\"audio-aac\",CLOSED-CAPTIONS=NONE
v2/index.m3u8
#EXT-X-STREAM-INF,CODECS=\"avc1.64001f,ac-3\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"audio-ac3\",CLOSED-CAPTIONS=NONE
v1/index.m3u8
#EXT-X-STREAM-INF,CODECS=\"avc1.64001f,ac-3\",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO=\"audio-ac3\",CLOSED-CAPTIONS=NONE
v2/index.m3u8";
    assert_eq!(multivariant(&[video(), small(), sound(Aac, "fra"), sound(Ac3, "fra")]), codecs);

    let radio = "\
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a1/index.m3u8\"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Japanese\",LANGUAGE=\"ja\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a2/index.m3u8\"
#EXT-X-STREAM-INF,CODECS=\"mp4a.40.2\",AUDIO=\"audio\"
a1/index.m3u8";
    assert_eq!(multivariant(&[sound(Aac, "eng"), sound(Aac, "jpn")]), radio);
    assert_eq!(multivariant(&[sound(Aac, "eng")]), "#EXT-X-STREAM-INF,CODECS=\"mp4a.40.2\"\na1/index.m3u8");
}

#[test]
fn the_dynamic_range_is_told_unless_all_is_standard() {
    let ranged = |range| {
        let Params::Video(v) = small() else { unreachable!() };
        Params::Video(VideoParams { range, ..v })
    };
    for (range, want) in [(VideoRange::Hlg, "HLG"), (VideoRange::Pq, "PQ")] {
        let mut rig = Rig::new(&[video(), ranged(range)]);
        for n in 0..130 {
            rig.push(0, frame(90_000 + n * 3000, 3000, n % 60 == 0));
            rig.push(1, frame(90_000 + n * 3000, 3000, n % 60 == 0));
        }
        let text = rig.window.multivariant().expect("playable");
        let told: Vec<_> = text.lines().map(|line| attribute(line, "VIDEO-RANGE")).collect();
        let told: Vec<_> = told.into_iter().flatten().collect();
        assert_eq!(told, ["SDR", want, "SDR", want], "two variants, two of key frames: {text}");
    }
    let text = multivariant(&[video(), ranged(VideoRange::Sdr)]);
    assert!(!text.contains("VIDEO-RANGE"), "{text}");
}

#[test]
fn a_frame_rate_that_is_not_declared_is_counted() {
    let Params::Video(v) = video() else { unreachable!() };
    let text = multivariant(&[Params::Video(VideoParams { frame_rate: None, ..v })]);
    assert!(text.contains(",FRAME-RATE=30.000"), "{text}");
}

/// An encoder that keeps within a quarter of its first segments is within a quarter of every rate that was told.
#[test]
fn the_rate_told_first_holds() {
    let mut rig = Rig::new(&[video()]);
    let (mut told, mut worst, mut open) = (Vec::<u64>::new(), 0, 0u64);
    for n in 0..600i64 {
        // Segments of 1000, 1300, 1150, 1550 bytes a frame, and again.
        let bytes = [1000, 1300, 1150, 1550][usize::try_from(n / 60).unwrap() % 4];
        let payload = Bytes::from(vec![0; bytes]);
        rig.push(0, nx_media::Sample { payload, ..frame(90_000 + n * 3000, 3000, n % 60 == 0) });
        open += bytes as u64;
        if n % 60 == 59 {
            worst = worst.max(std::mem::take(&mut open) * 8 / 2);
        }
        let text = rig.window.multivariant();
        let rate = |text: String| {
            attribute(text.lines().find(|l| l.starts_with("#EXT-X-STREAM-INF"))?, "BANDWIDTH")?
                .parse::<u64>()
                .ok()
        };
        told.extend(text.and_then(rate));
    }
    let (first, last) = (told[0], told[told.len() - 1]);
    assert!(told.iter().all(|rate| worst * 4 <= rate * 5), "{worst} bit/s of {first} to {last}");
    assert!(
        last >= worst && last < worst + worst / 20,
        "{worst} bit/s of {last}: no more headroom than needed"
    );
}

#[test]
fn the_publishers_first_picture_is_first_and_the_others_go_down() {
    let tracks = [video(), small(), video(), audio()];
    let mut rig = Rig::new(&tracks);
    for n in 0..70i64 {
        for (track, bytes) in [(0, 300), (1, 200), (2, 900)] {
            let payload = Bytes::from(vec![0; bytes]);
            rig.push(track, nx_media::Sample { payload, ..frame(90_000 + n * 3000, 3000, n % 60 == 0) });
        }
        rig.push(3, frame(48_000 + n * 1600, 1600, true));
    }
    let text = rig.window.multivariant().expect("playable");
    let uris: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(uris, ["v1/index.m3u8", "v3/index.m3u8", "v2/index.m3u8"]);
    let rate = |line: &str| attribute(line, "BANDWIDTH").expect("a rate").parse::<u64>().expect("a number");
    let rates: Vec<u64> = text.lines().filter(|l| l.starts_with("#EXT-X-STREAM-INF")).map(rate).collect();
    assert!(rates[1] > rates[0] && rates[0] > rates[2], "{text}");
}

#[test]
fn ts_shows_what_it_can_carry_and_says_what_it_cannot() {
    let aac = || sound(AudioCodec::Aac, "eng");
    let flac = || sound(AudioCodec::Flac, "eng");
    for (tracks, want) in [
        (vec![video(), aac()], Ok(vec![0, 1])),
        (vec![aac(), video()], Ok(vec![1, 0])),
        (vec![picture(VideoCodec::Hevc), small(), aac(), aac()], Ok(vec![0, 2])),
        (vec![video(), flac(), aac()], Ok(vec![0, 2])),
        (vec![picture(VideoCodec::Av1), video(), aac()], Ok(vec![1, 2])),
        (vec![aac()], Ok(vec![0])),
        (vec![video()], Ok(vec![0])),
        (vec![picture(VideoCodec::Av1), aac()], Err("AV1")),
        (vec![picture(VideoCodec::Vp9)], Err("VP9")),
        (vec![video(), flac()], Err("FLAC")),
        (vec![flac()], Err("FLAC")),
    ] {
        let sources: Vec<Source> = tracks.into_iter().map(Source::new).collect();
        let mut rig = sources::rig(&sources);
        send(&mut rig, &sources, 5_000, &mut Validator::default());
        let got = rig.window.ts_tracks();
        assert_eq!(got.clone().map_err(|e| e.codec), want, "{sources:?}");
        assert_eq!(rig.window.media_playlist(Ask::Ts, Skip::None).is_some(), want.is_ok());
    }
}

fn out(id: &str, pts_us: i64, planned_ms: Option<u64>) -> DateRange {
    let section = Some(Bytes::from_static(&[0xfc, 0x30, 0x0a]));
    let planned_duration_us = planned_ms.map(|ms| ms * 1000);
    DateRange { id: id.into(), pts_us, planned_duration_us, scte35_out: section, ..DateRange::default() }
}

#[test]
fn a_break_is_announced_cut_at_and_closed() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.packager.cue(out("early\"\n", 1_500_000, Some(600)));
    rig.run(30, 15);
    // Two seconds into the stream, which began at one second; a key frame comes each half second.
    rig.packager.cue(out("ad-1", 2_700_000, Some(1_500)));
    rig.packager.cue(out("ad-1", 2_700_000, Some(1_500)));
    rig.run(105, 15);
    let back = Some(Bytes::from_static(&[0xfc, 0x01]));
    rig.packager.cue(DateRange {
        id: "ad-1".into(),
        pts_us: 5_600_000,
        scte35_in: back,
        ..DateRange::default()
    });
    rig.run(90, 15);
    let starts: Vec<i64> = rig
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Part { track: 0, part } if part.index == 0 => Some(part.pts / 90),
            _ => None,
        })
        .collect();
    assert_eq!(starts, [1000, 1500, 3000, 5000, 6000, 8000]);
    let start = |ms: i64| Rfc3339(WALL - 1000 + ms).to_string();
    for ask in [Ask::Track(0), Ask::Track(1), Ask::Ts] {
        let text = rig.window.media_playlist(ask, Skip::None).expect("a playlist");
        let want = [
            format!(
                "#EXT-X-DATERANGE:ID=\"early\",START-DATE=\"{}\",PLANNED-DURATION=0.600,SCTE35-OUT=0xFC300A",
                start(1500)
            ),
            format!(
                "#EXT-X-DATERANGE:ID=\"ad-1\",START-DATE=\"{}\",PLANNED-DURATION=1.500,SCTE35-OUT=0xFC300A",
                start(2700)
            ),
            format!(
                "#EXT-X-DATERANGE:ID=\"ad-1\",START-DATE=\"{}\",DURATION=2.900,SCTE35-IN=0xFC01",
                start(2700)
            ),
        ];
        assert_eq!(validator::read(&text).dates, want, "{text}");
    }
}

#[test]
fn cues_leave_with_the_last_segment_that_they_overlap() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(1, 60);
    let cmd = Some(Bytes::from_static(&[1]));
    rig.packager.cue(DateRange {
        id: "point".into(),
        pts_us: 1_100_000,
        scte35_cmd: cmd,
        ..DateRange::default()
    });
    rig.packager.cue(out("short", 1_200_000, Some(3_000)));
    rig.packager.cue(out("open", 1_200_000, None));
    let ids = |rig: &Rig| {
        let dates = validator::read(&rig.playlist(0)).dates;
        dates.iter().map(|l| attribute(l, "ID").expect("an id").to_owned()).collect::<Vec<_>>()
    };
    rig.run(12 * 30, 60);
    assert_eq!(ids(&rig), ["point", "short", "open"]);
    rig.run(4 * 30, 60);
    assert_eq!(ids(&rig), ["short", "open"]);
    rig.run(2 * 30, 60);
    assert_eq!(ids(&rig), ["open"]);
    for n in 0..40 {
        rig.packager.cue(out(&format!("n{n}"), 20_000_000 + n, None));
    }
    rig.run(60, 60);
    assert_eq!(ids(&rig).len(), 16, "no more are kept");
    assert_eq!(rig.window.tracks().filter(|t| t.params.kind() == Kind::Video).count(), 1);
}
