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
        let segment = list.lines().rfind(|l| l.ends_with(".ts")).expect("a segment");
        let bytes = get(&server, &format!("/live/{name}/ts/{segment}")).body;
        if ts == "aes-128" {
            assert!(bytes.len() % 16 == 0 && bytes[0] != 0x47, "{name}");
        } else {
            assert!(bytes.len() % 188 == 0 && bytes[0] == 0x47, "{name}");
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
