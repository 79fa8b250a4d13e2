//! Playlists of other servers.

use super::*;

fn media_of(text: &str) -> Result<Media, PlaylistError> {
    match parse(text)? {
        Playlist::Media(media) => Ok(media),
        Playlist::Multivariant(uri) => panic!("{uri}"),
    }
}

#[test]
fn reads_a_media_playlist() {
    let text = "\u{feff}#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\
        #EXTINF:3.5,title, more\r\na.ts?t=1\r\n\r\n#EXT-X-DISCONTINUITY\r\n#EXTINF:4\r\nhttp://h/b.ts\r\n\
        #EXT-X-GAP\r\n#EXTINF:4,\r\nc.ts\r\n#EXT-X-KEY:METHOD=NONE\r\n#EXT-X-ENDLIST\r\n";
    let list = media_of(text).unwrap();
    assert_eq!((list.target_s, list.sequence, list.ended), (4, 7, true));
    let got: Vec<_> = list
        .segments
        .iter()
        .map(|s| (s.uri.as_str(), s.duration.as_millis(), s.discontinuity, s.gap))
        .collect();
    assert_eq!(
        got,
        [
            ("a.ts?t=1", 3_500, false, false),
            ("http://h/b.ts", 4_000, true, false),
            ("c.ts", 4_000, false, true)
        ]
    );
}

#[test]
fn refuses_what_it_cannot_take_and_says_why() {
    for (text, want) in [
        ("<html>", "no HLS playlist"),
        ("", "no HLS playlist"),
        ("#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:4,\na.m4s\n", "fragmented MP4"),
        ("#EXTM3U\n#EXTINF:4,\na.M4S?x\n", "fragmented MP4"),
        ("#EXTM3U\n#EXT-X-KEY:URI=\"a,METHOD=NONE\",METHOD=AES-128\n#EXTINF:4,\na.ts\n", "(AES-128)"),
        ("#EXTM3U\n#EXTINF:4,\n#EXT-X-BYTERANGE:5@0\na.ts\n", "byte ranges"),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", "no variant"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(want), "{text}: {error}");
        assert_eq!(error.is_final(), want != "no HLS playlist", "{text}");
    }
}

#[test]
fn takes_the_best_variant_up_to_1080_lines() {
    let stream = |bps: u32, size: &str, uri: &str| {
        let size = if size.is_empty() { String::new() } else { format!(",RESOLUTION={size}") };
        format!("#EXT-X-STREAM-INF:CODECS=\"avc1,mp4a\",BANDWIDTH={bps}{size}\n{uri}\n")
    };
    let rows = [
        (
            "the largest that fits",
            vec![(9, "3840x2160", "uhd"), (5, "1920x1080", "hd"), (1, "640x360", "sd")],
            "hd",
        ),
        ("of two the better", vec![(5, "1920x1080", "hd"), (7, "1920x1080", "hd+")], "hd+"),
        ("the smallest when none fits", vec![(9, "7680x4320", "8k"), (5, "3840x2160", "4k")], "4k"),
        ("the only one", vec![(1, "", "one")], "one"),
        ("sizes before guesses", vec![(9, "", "unknown"), (1, "640x360", "sd")], "sd"),
    ];
    for (name, variants, want) in rows {
        let text: String = variants.iter().map(|(bps, size, uri)| stream(*bps, size, uri)).collect();
        let got = parse(&format!("#EXTM3U\n{text}")).unwrap();
        assert_eq!(got, Playlist::Multivariant(want.into()), "{name}");
    }
}

/// A list with segments named after their numbers.
fn list(sequence: u64, count: u64, ended: bool) -> Media {
    let segment = |n: u64| Segment { uri: n.to_string(), ..Segment::default() };
    Media { target_s: 4, sequence, segments: (sequence..sequence + count).map(segment).collect(), ended }
}

#[test]
fn follows_a_playlist_from_version_to_version() {
    // Versions as first number, count, ended; then what is fetched (! for a seam), and half seconds until the next look.
    type Version = (u64, u64, bool, &'static str, Option<u64>);
    let rows: [(&str, Vec<Version>); 6] = [
        (
            "begins three before the end",
            vec![(10, 6, false, "13 14 15", Some(8)), (11, 6, false, "16", Some(8))],
        ),
        ("nothing new is looked for sooner", vec![(0, 2, false, "0 1", Some(8)), (0, 2, false, "", Some(4))]),
        (
            "what was missed is a seam",
            vec![(0, 3, false, "0 1 2", Some(8)), (7, 3, false, "!7 8 9", Some(8))],
        ),
        (
            "a server that begins anew",
            vec![(90, 3, false, "90 91 92", Some(8)), (0, 5, false, "!2 3 4", Some(8))],
        ),
        ("a finished list is played whole", vec![(5, 6, true, "5 6 7 8 9 10", None)]),
        (
            "an empty list",
            vec![(0, 0, false, "", Some(8)), (0, 0, false, "", Some(4)), (0, 1, false, "0", Some(8))],
        ),
    ];
    for (name, versions) in rows {
        let mut following = Following::default();
        for (sequence, count, ended, want, look) in versions {
            let pause = following.update(&list(sequence, count, ended));
            let mut got = Vec::new();
            while let Some(segment) = following.next() {
                got.push(format!("{}{}", if segment.discontinuity { "!" } else { "" }, segment.uri));
            }
            assert_eq!(
                (got.join(" ").as_str(), pause),
                (want, look.map(|l| Duration::from_millis(l * 500))),
                "{name}"
            );
        }
    }
}

#[test]
fn gaps_are_left_out() {
    let mut gapped = list(0, 3, true);
    gapped.segments[0].gap = true;
    gapped.segments[1].gap = true;
    let mut following = Following::default();
    following.update(&gapped);
    assert_eq!((following.next().map(|s| s.uri).as_deref(), following.next()), (Some("2"), None));
}

#[test]
fn no_text_makes_it_fall_over() {
    let texts = [
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:1e300,\na\n#EXTINF:-1,\nb\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:A=\"b,C=\",RESOLUTION=1x2,BANDWIDTH=3\nx\n#EXT-X-KEY:METHOD=\"\n",
    ];
    for text in texts {
        for end in 0..=text.len() {
            let _ = parse(&text[..end]);
            for odd in ["=", "\"", ",", ":", "\n", "#", "é"] {
                if let Ok(Playlist::Media(list)) = parse(&format!("{}{odd}{}", &text[..end], &text[end..])) {
                    let mut following = Following::default();
                    for _ in 0..2 {
                        following.update(&list);
                    }
                }
            }
        }
    }
}
