//! Streams under keys: what is told of them, and that nothing leaves before there is one.

use nx_crypt::{HlsKey, Key, Protection, Scheme, System, TsCipher};
use zeroize::Zeroizing;

use super::*;
use crate::Hindrance;

fn key(byte: u8, scheme: Scheme) -> Key {
    key_with(byte, scheme, TsCipher::Off)
}

fn key_with(byte: u8, scheme: Scheme, ts: TsCipher) -> Key {
    let hls = HlsKey { format: "identity".into(), versions: None, uri: format!("k{byte}") };
    let systems = vec![System {
        id: nx_crypt::CLEARKEY,
        pssh: Vec::new(),
        hls: Some(hls),
        licence_url: None,
        dash: String::new(),
    }];
    let told = Protection { scheme, key_id: [byte; 16], iv: [byte; 16], systems, ts };
    Key::new(told, Zeroizing::new([byte ^ 0x5a; 16]))
}

/// Every part, decrypted with the key of its segment's track, and the segment's number.
fn opened(rig: &Rig, keys: &[Key]) -> Vec<(u64, Vec<Sample>)> {
    let mut all = Vec::new();
    for track in 0..2 {
        for (of, part) in rig.window.parts_after(track, Position::default()) {
            let id = of.key.as_ref().expect("a key").told.key_id;
            let key = keys.iter().find(|k| k.told.key_id == id).expect("known");
            all.push((part.msn, nx_crypt::open(&part.bytes, &of.params, key).expect("opens")));
        }
    }
    all
}

#[test]
fn nothing_leaves_before_there_is_a_key() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.packager.encrypt();
    assert_eq!(rig.packager.hindrance(), Some(Hindrance::NoKey));
    rig.run(120, 60);
    assert!(rig.events.is_empty() && !rig.packager.has_key());
    rig.packager.set_key(key(1, Scheme::Cbcs));
    rig.run(120, 60);
    assert!(rig.window.is_encrypted() && rig.packager.hindrance().is_none());
    assert!(rig.window.init("v1", 0, None).is_none(), "no header without its key");
    let Params::Video(picture) = video() else { unreachable!() };
    let av1 = Params::Video(VideoParams { codec: VideoCodec::Av1, ..picture });
    rig.packager.set_tracks(&specs(&[av1, audio()]));
    let before = rig.window.parts_after(0, Position::default()).count();
    rig.run(120, 60);
    assert!(matches!(rig.packager.hindrance(), Some(Hindrance::Codec(_))));
    assert!(
        rig.window.parts_after(0, Position::default()).count() <= before,
        "what has no rule is not shown"
    );
}

#[test]
fn a_change_of_key_is_told_before_the_segment_it_begins_with_in_every_track() {
    for scheme in [Scheme::Cbcs, Scheme::Cenc] {
        let mut clear = Rig::new(&[video(), audio()]);
        clear.run(360, 60);
        let mut rig = Rig::new(&[video(), audio()]);
        let keys = [key(1, scheme), key(2, scheme)];
        rig.packager.set_key(keys[0].clone());
        rig.run(120, 60);
        rig.packager.set_key(keys[1].clone());
        rig.packager.set_key(keys[1].clone());
        rig.run(240, 60);
        let told: Vec<_> = rig.events.iter().filter(|e| matches!(e, Event::Key(_))).collect();
        let [Event::Key(period)] = told.as_slice() else { panic!("{told:?}") };
        let method = if scheme == Scheme::Cbcs { "SAMPLE-AES" } else { "SAMPLE-AES-CTR" };
        for track in 0..2 {
            let text = rig.playlist(track);
            let lines: Vec<&str> = text.lines().filter(|l| !l.contains("DATE-TIME")).collect();
            let at = |start: String| lines.iter().position(|l| l.starts_with(&start));
            let first =
                at(format!("#EXT-X-KEY:METHOD={method},URI=\"k1\",KEYFORMAT=\"identity\"")).expect("a key");
            assert!(lines[first + 1].starts_with("#EXT-X-MAP:URI=\"init-0.100.mp4\""), "{text}");
            let second = at(format!("#EXT-X-KEY:METHOD={method},URI=\"k2\"")).expect("another");
            let map = format!("#EXT-X-MAP:URI=\"init-0.{}.mp4\"", period.first_msn);
            assert_eq!(lines[second + 1], map, "{text}");
            let segment = lines[second + 2..].iter().find(|l| l.ends_with(".m4s") && !l.starts_with('#'));
            assert_eq!(segment.copied(), Some(format!("{}.m4s", period.first_msn).as_str()), "{text}");
            assert_eq!(text.matches("#EXT-X-KEY").count(), 2, "{text}");
            let name = ["v1", "a1"][track];
            for first_msn in [100, period.first_msn] {
                let init = rig.window.init(name, 0, Some(first_msn)).expect("a header");
                assert!(init.windows(4).any(|w| w == b"tenc"));
            }
        }
        assert!(rig.window.multivariant().expect("one").contains("#EXT-X-SESSION-KEY:METHOD="));
        assert!(rig.window.ts_tracks().is_err() && rig.window.media_playlist(Ask::Ts, Skip::None).is_none());
        let parts = |rig: &Rig| -> Vec<(u64, Vec<Sample>)> {
            let of = |track| rig.window.parts_after(track, Position::default());
            let part = |(_, p): (_, &crate::Part)| (p.msn, fmp4::samples(&p.bytes).expect("reads"));
            of(0).map(part).chain(of(1).map(part)).collect()
        };
        assert!(opened(&rig, &keys) == parts(&clear), "the same segments with the same samples");
        let pictures: Vec<_> =
            parts(&rig).into_iter().filter(|(_, s)| s[0].key && s[0].payload.len() > 100).collect();
        assert!(pictures.iter().all(|p| !parts(&clear).contains(p)), "and none of them clear");
    }
}

#[test]
fn no_two_samples_of_a_stream_have_the_same_iv() {
    let mut rig = Rig::new(&[video(), audio()]);
    rig.packager.set_key(key(1, Scheme::Cenc));
    rig.run(600, 60);
    let mut seen = std::collections::HashSet::new();
    for track in 0..2 {
        for (_, part) in rig.window.parts_after(track, Position::default()) {
            let at = part.bytes.windows(4).position(|w| w == b"senc").expect("senc") + 4;
            let (head, mut rest) = part.bytes[at..].split_at(8);
            for _ in 0..u32::from_be_bytes(head[4..].try_into().expect("four")) {
                assert!(seen.insert(rest[..8].to_vec()), "used before");
                let more = if head[3] == 2 {
                    2 + 6 * usize::from(u16::from_be_bytes([rest[8], rest[9]]))
                } else {
                    0
                };
                rest = &rest[8 + more..];
            }
        }
    }
    assert!(seen.len() > 600, "{}", seen.len());
}

#[test]
fn mpeg_ts_is_told_of_in_its_own_way_of_encryption() {
    for (ts, want) in [
        (TsCipher::Aes128, "METHOD=AES-128,URI=\"k1\",KEYFORMAT=\"identity\"\n"),
        (
            TsCipher::SampleAes,
            "METHOD=SAMPLE-AES,URI=\"k1\",KEYFORMAT=\"identity\",IV=0x01010101010101010101010101010101\n",
        ),
    ] {
        let mut rig = Rig::new(&[video(), audio()]);
        rig.packager.set_key(key_with(1, Scheme::Cenc, ts));
        rig.run(120, 60);
        rig.packager.set_key(key_with(2, Scheme::Cenc, ts));
        rig.run(240, 60);
        let list = rig.window.media_playlist(Ask::Ts, Skip::None).expect("a list");
        assert!(list.contains(&format!("#EXT-X-KEY:{want}")), "{list}");
        assert_eq!(list.matches("#EXT-X-KEY").count(), 2, "{list}");
        let second = list.split("URI=\"k2\"").nth(1).expect("another key");
        let name = second.lines().find(|l| l.ends_with(".ts")).expect("a segment");
        let msn = name.trim_end_matches(".ts").parse().expect("a number");
        let shares = rig.window.ts_segment(msn).expect("it is held");
        assert_eq!(shares.len(), 2);
        assert!(shares.iter().all(|s| s.track.key.as_ref().is_some_and(|k| k.first_msn == msn)));
    }
}
