//! Encrypted streams in MPEG-TS: whole segments, and samples.

use super::*;

const HOW: [(&str, &str, &str); 3] =
    [("whole", "cbcs", "aes-128"), ("samples", "cbcs", "sample-aes"), ("mixed", "cenc", "sample-aes")];

/// Packets that ffmpeg leaves encrypted at the end: those that it gets out of its demuxer when the last segment has been
/// read (`libavformat/hls.c`: it asks what key the segment has that it is at, and there is none).
const LEFT: usize = 16;

/// ffmpeg decrypts samples with the key of the segment that it has read last, also those of the one before.
fn rotate_s(ts: &str, read_by_ffmpeg: bool) -> u32 {
    if read_by_ffmpeg && ts == "sample-aes" { 0 } else { 10 }
}

/// One section for each way of [`HOW`], of keys that anybody may have.
fn sections(folder: &Path, read_by_ffmpeg: bool) -> String {
    let file = folder.join("keys");
    let section = |(name, scheme, ts): &(&str, &str, &str)| {
        format!(
            "[[origin.encryption]]\nkeys = \"static\"\nfile = {file:?}\nstreams = \"live/{name}\"\nscheme = \"{scheme}\"\n\
             ts = \"{ts}\"\nclear_keys = \"open\"\nrotate_s = {}\n",
            rotate_s(ts, read_by_ffmpeg)
        )
    };
    HOW.iter().map(section).collect()
}

fn opened<'a>(got: &'a [String], ts: &str) -> &'a [String] {
    let left = if ts == "sample-aes" { LEFT } else { 0 };
    &got[..got.len() - left.min(got.len())]
}

/// Hashes of pictures as decoded, or of the packets of sound.
fn hashes(tool: &str, url: &str, kind: char) -> (Vec<String>, String) {
    let mut args = vec!["-v", "error", "-i", url];
    args.extend(match kind {
        'v' => ["-map", "0:v:0"].as_slice(),
        _ => &["-map", "0:a:0", "-c", "copy", "-bsf:a", "aac_adtstoasc"],
    });
    args.extend(["-f", "framehash", "-"]);
    let (_, out, err) = run(tool, &args, Duration::from_secs(40));
    let rows = out.lines().filter(|l| !l.starts_with('#'));
    (rows.filter_map(|l| Some(l.split(',').nth(5)?.trim().to_owned())).collect(), err)
}

#[test]
fn who_has_the_key_gets_every_packet_in_mpeg_ts() {
    let (folder, text) = settings("ts", "streams = \"none/*\"");
    let server = Server::configured(&(text + &sections(&folder, true)));
    let clip = clip(24, Kind::Bframes);
    let (sounds, _) = {
        let args = [
            "-v",
            "error",
            "-i",
            clip.to_str().expect("a path"),
            "-map",
            "0:a",
            "-c",
            "copy",
            "-f",
            "framehash",
            "-",
        ];
        let (_, out, err) = run("ffmpeg", &args, SOON);
        let rows = out.lines().filter(|l| !l.starts_with('#'));
        let rows: Vec<String> = rows.filter_map(|l| Some(l.split(',').nth(5)?.trim().to_owned())).collect();
        (rows, err)
    };
    let (pictures, _) = hashes("ffmpeg", clip.to_str().expect("a path"), 'v');
    let _sending = HOW.map(|(name, ..)| send(&server, &clip, &format!("live/{name}")));
    for (name, ..) in HOW {
        crate::views::ended(&server, &format!("live/{name}"));
    }
    for (name, _, ts) in HOW {
        let path = format!("/live/{name}/ts/index.m3u8");
        let list = playlist(&server, &path).expect("a list");
        let method = if ts == "aes-128" { "AES-128" } else { "SAMPLE-AES" };
        let uri = format!("METHOD={method},URI=\"/live/{name}/keys/");
        let keys = if rotate_s(ts, true) > 0 { 2 } else { 1 };
        assert!(list.matches(&uri).count() >= keys, "{keys} keys: {list}");
        // What was live, and all of it out of the store.
        for (tool, query, least) in
            [("ffmpeg", "", 120), (&new_tool(), "", 120), ("ffmpeg", "?start=-3600", 720)]
        {
            let url = format!("http://{}{path}{query}", server.edge());
            let (got, err) = hashes(tool, &url, 'v');
            assert!(
                got.len() >= least && lies_in(opened(&got, ts), &pictures),
                "{tool} {name}: {} of {} {err}",
                got.len(),
                pictures.len()
            );
            let (got, err) = hashes(tool, &url, 'a');
            assert!(
                got.len() > 200 && lies_in(opened(&got, ts), &sounds),
                "{tool} {name} sound: {} {err}",
                got.len()
            );
        }
        let found = crate::views::errors(&format!("http://{}{path}?start=-3600", server.edge()), 4);
        assert!(found.is_empty(), "{name}: {found:#?}");
        let segment = list.lines().rfind(|l| l.ends_with(".ts")).expect("a segment");
        let bytes = get(&server, &format!("/live/{name}/ts/{segment}")).body;
        if ts == "aes-128" {
            assert!(bytes.len().is_multiple_of(16) && bytes[0] != 0x47, "{name}");
        } else {
            assert!(bytes.len().is_multiple_of(188) && bytes[0] == 0x47, "{name}");
        }
    }
    drop(server);
    std::fs::remove_dir_all(folder).expect("removes");
}

#[test]
fn hls_js_plays_encrypted_mpeg_ts_over_a_change_of_key() {
    let (folder, text) = settings("ts-players", "streams = \"none/*\"");
    let server = Server::configured(&(text + &sections(&folder, false)));
    for (name, ..) in HOW {
        let _encoder = ffmpeg(server.rtmp(), &format!("live/{name}"), SMALL);
        multivariant(&server, &format!("live/{name}"));
        let listed = || {
            playlist(&server, &format!("/live/{name}/ts/index.m3u8")).filter(|l| l.matches(".ts").count() > 2)
        };
        eventually(SOON, listed).expect("segments");
        for (player, fared) in
            watch_with(&format!("http://{}/live/{name}", server.edge()), 13, &["--players=hls-ts"])
        {
            eprintln!("{name} {player} {fared}");
            let clean = fared["fatal"].as_array().is_some_and(Vec::is_empty);
            assert!(
                clean && fared["alive"] == true && fared["reopened"] == 0,
                "{name}: {fared}\n{}",
                server.log()
            );
        }
    }
    std::fs::remove_dir_all(folder).expect("removes");
}

/// What the packets of one id carry, PES headers taken off.
fn carried(ts: &[u8], pid: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for packet in
        ts.chunks(188).filter(|p| u16::from_be_bytes([p[1] & 0x1f, p[2]]) == pid && p[3] & 0x10 != 0)
    {
        let at = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
        let head = if packet[1] & 0x40 == 0 { 0 } else { 9 + usize::from(packet[at + 8]) };
        out.extend_from_slice(&packet[at + head..]);
    }
    out
}

/// The map of programs, and which id the first stream has.
fn map(ts: &[u8]) -> (Vec<u8>, u16) {
    let section = ts.chunks(188).find_map(|packet| {
        let at = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
        (packet[1] & 0x40 != 0 && packet[at..at + 2] == [0, 2]).then(|| packet[at + 1..].to_vec())
    });
    let section = section.expect("a map");
    let pid = u16::from_be_bytes([section[13] & 0x1f, section[14]]);
    (section, pid)
}

/// Slices of H.264, encrypted or not.
fn slices(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    let starts: Vec<usize> = (0..stream.len() - 2).filter(|n| stream[*n..*n + 3] == [0, 0, 1]).collect();
    for (nth, start) in starts.iter().enumerate() {
        let end = starts.get(nth + 1).copied().unwrap_or(stream.len());
        let unit = &stream[start + 3..end];
        // A zero in front of the next start code is that one's.
        let len = unit.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        units.push(unit[..len].to_vec());
    }
    units.retain(|unit| matches!(unit.first().map(|first| first & 0x1f), Some(1 | 5)));
    units
}

#[test]
fn samples_are_encrypted_as_shaka_packager_does_it() {
    let (folder, text) = settings("shaka", "streams = \"vod/*\"");
    let data = folder.join("data");
    std::fs::create_dir_all(data.join("vod")).expect("a folder of titles");
    let file = data.join("vod/show.mp4");
    let (clip, show) = (clip(14, Kind::Bframes), file.display());
    let copy =
        ["-v", "error", "-i", clip.to_str().expect("a path"), "-c", "copy", file.to_str().expect("a path")];
    assert!(run("ffmpeg", &copy, SOON).0);
    let out = |name: &str| folder.join(name).display().to_string();
    let of = |kind: &str| {
        format!(
            "in={show},stream={kind},segment_template={},playlist_name={kind}.m3u8",
            out(&format!("{kind}-$Number$.ts"))
        )
    };
    let (keys, master) = (format!("label=:key_id={ID}:key={KEY}"), out("master.m3u8"));
    let (video, audio) = (of("video"), of("audio"));
    let args = [&video, &audio, "--enable_raw_key_encryption", "--keys", &keys, "--iv", ID];
    let more = ["--protection_scheme", "cbcs", "--clear_lead", "0", "--hls_master_playlist_output", &master];
    let (ok, _, err) = run("shaka-packager", &[&args[..], &more].concat(), SOON);
    assert!(ok, "{err}");
    let theirs = |kind: &str| -> Vec<u8> {
        let parts = (1..).map_while(|n| std::fs::read(folder.join(format!("{kind}-{n}.ts"))).ok());
        parts.flatten().collect()
    };
    let server = Server::configured_in(&data, &text);
    let list = playlist(&server, "/vod/show/ts/index.m3u8").expect("a list");
    let names = list.lines().filter(|l| l.ends_with(".ts"));
    let ours: Vec<u8> = names.flat_map(|name| get(&server, &format!("/vod/show/ts/{name}")).body).collect();
    let (their_video, their_audio) = (theirs("video"), theirs("audio"));
    let ((video_map, video_pid), (audio_map, audio_pid)) = (map(&their_video), map(&their_audio));
    // Type, and descriptors, of theirs: behind the packet id and before the checksum.
    let entry = |section: &[u8]| {
        let len = usize::from(u16::from_be_bytes([section[1] & 0xf, section[2]])) + 3;
        (section[12], section[15..len - 4].to_vec())
    };
    let ours_map = map(&ours).0;
    for (kind, (sort, told)) in [("video", entry(&video_map)), ("audio", entry(&audio_map))] {
        let found = ours_map.windows(told.len()).position(|w| w == told).expect(kind);
        assert_eq!(ours_map[found - 3], sort, "{kind}");
    }
    let (got, want) = (slices(&carried(&ours, 0x100)), slices(&carried(&their_video, video_pid)));
    let differs = got.iter().zip(&want).position(|(a, b)| a != b);
    assert!(
        got.len() == 420 && want.len() == 420 && differs.is_none(),
        "{} {} {differs:?}",
        got.len(),
        want.len()
    );
    let (got, want) = (carried(&ours, 0x101), carried(&their_audio, audio_pid));
    let differs = got.iter().zip(&want).position(|(a, b)| a != b);
    assert!(got.len() == want.len() && differs.is_none(), "{} {} {differs:?}", got.len(), want.len());
    drop(server);
    std::fs::remove_dir_all(folder).expect("removes");
}
