//! Key frame playlists.

use bytes::Bytes;
use nx_container::fmp4;

use super::sources::{self, Source, send};
use super::validator::{Validator, attribute};
use super::{Rig, audio, frame, video};
use crate::{Ask, Lookup, Skip};

fn list(rig: &Rig, track: usize) -> Option<String> {
    rig.window.media_playlist(Ask::IFrames(track), Skip::None)
}

#[test]
fn one_picture_of_each_segment_is_listed_with_its_header() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.run(59, 60);
    assert_eq!(list(&rig, 0), None, "no segment is complete");
    rig.run(70, 60);
    rig.packager.break_run();
    rig.run(70, 60);
    // prft 32, moof 8, mfhd 16, traf 8, tfhd 16, tfdt 20, trun 20 and 12 for each of ten frames, mdat 8; a frame of 320.
    let expected = "\
#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.002,HOLD-BACK=6
#EXT-X-I-FRAMES-ONLY
#EXT-X-MAP:URI=\"init-0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:40.000Z
#EXT-X-BYTERANGE:568@0
#EXTINF:1.966667,
100.m4s
";
    let text = list(&rig, 0).expect("a list");
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-1.mp4\"\n"), "{text}");
    assert!(!text.contains("EXT-X-PART") && !text.contains("HINT"), "{text}");
    assert_eq!((list(&rig, 1), list(&rig, 2)), (None, None));
    rig.packager.finish();
    rig.settle();
    assert!(list(&rig, 0).expect("a list").ends_with(".m4s\n#EXT-X-ENDLIST\n"));
}

/// The range is a fragment that breaks off behind its first sample.
#[test]
fn a_range_ends_with_the_key_frame() {
    let mut rig = Rig::new(&[video()]);
    for n in 0..200i64 {
        let size = if n % 60 == 0 { 5_000 + n } else { 100 };
        let payload = Bytes::from(vec![u8::try_from(n).unwrap(); usize::try_from(size).unwrap()]);
        rig.push(0, nx_media::Sample { payload, ..frame(90_000 + n * 3000, 3000, n % 60 == 0) });
    }
    let text = list(&rig, 0).expect("a list");
    let ranges = text.lines().filter_map(|l| l.strip_prefix("#EXT-X-BYTERANGE:"));
    for (msn, range) in (100..).zip(ranges) {
        let len: usize = range.strip_suffix("@0").expect(range).parse().expect("a number");
        let Lookup::Found(segment) = rig.window.segment(0, msn) else { panic!("{msn}") };
        let whole = &segment.parts[0].bytes;
        let mut header = 0;
        for kind in [b"prft", b"moof"] {
            assert_eq!(&whole[header + 4..header + 8], kind);
            let len = u32::from_be_bytes(*whole[header..].first_chunk().unwrap());
            header += usize::try_from(len).unwrap();
        }
        assert_eq!(&whole[header + 4..header + 8], b"mdat");
        let key = fmp4::samples(whole).unwrap()[0].payload.clone();
        assert_eq!(whole.slice(header + 8..len), key, "{msn}");
    }
    assert_eq!(text.matches("BYTERANGE").count(), 3, "{text}");
    let multivariant = rig.window.multivariant().expect("playable");
    let line = multivariant.lines().find(|l| l.starts_with("#EXT-X-I-FRAME")).expect("a line");
    assert!(line.ends_with(",CODECS=\"avc1.64001f\",RESOLUTION=1280x720,URI=\"v1/iframes.m3u8\""), "{line}");
    let rate = |name| attribute(line, name).expect(name).parse::<u64>().expect("a number");
    // 5 kB and a header of some 200 bytes every two seconds, and a quarter more of the largest.
    assert!((20_000..22_000).contains(&rate("AVERAGE-BANDWIDTH")), "{line}");
    assert!((25_500..27_500).contains(&rate("BANDWIDTH")), "{line}");
}

#[test]
fn a_segment_without_a_key_frame_is_a_gap_of_its_length() {
    let sources = [Source { gop: 120, ..Source::new(video()) }];
    let mut rig = sources::rig(&sources);
    send(&mut rig, &sources, 9_000, &mut Validator::default());
    let text = list(&rig, 0).expect("a list");
    let plain = rig.playlist(0);
    let lengths =
        |text: &str| text.lines().filter(|l| l.starts_with("#EXTINF")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lengths(&text), lengths(&plain), "{text}");
    let (gaps, pictures) = (text.matches("#EXT-X-GAP\n").count(), text.matches("BYTERANGE").count());
    assert!(gaps > 0 && pictures > 1 && gaps + pictures == lengths(&text).len(), "{text}");
    let never = [Source { phase: 30, gop: 5_000, ..Source::new(video()) }, Source::new(audio())];
    let mut rig = sources::rig(&never);
    send(&mut rig, &never, 40_000, &mut Validator::default());
    let text = rig.window.multivariant().unwrap_or_default();
    assert!(!text.contains("I-FRAME") && !text.contains("INDEPENDENT"), "{text}");
}
