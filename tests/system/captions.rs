//! Captions in the picture, text beside it, and what the API announces.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::api::{SOON, multivariant, playlist};
use crate::encoder::{Process, SMALL, Source, eventually, ffmpeg, fresh, run, scratch};
use crate::support::{Server, ffmpeg as clips, http};

/// A key frame each second.
pub(crate) const QUICK: Source = Source { extra: &["-g", "30"], ..SMALL };
pub(crate) const STREAMS: &str = "/api/streamcore/v1/streams";

/// A pair of CEA-608 with its parity.
fn pair(bytes: [u8; 2]) -> [u8; 2] {
    bytes.map(|b| if b.count_ones().is_multiple_of(2) { b | 0x80 } else { b })
}

/// Pairs that load a pop-on caption into row 15 and show it; control codes twice, as usual.
fn caption(text: &str) -> Vec<[u8; 2]> {
    let twice = |code| [pair(code), pair(code)];
    let mut pairs = [twice([0x14, 0x20]), twice([0x14, 0x2e]), twice([0x14, 0x70])].concat();
    let letters = |two: &[u8]| pair([two[0], two.get(1).copied().unwrap_or(0)]);
    pairs.extend(text.as_bytes().chunks(2).map(letters));
    pairs.extend(twice([0x14, 0x2f]));
    pairs
}

/// A unit of user data with one pair.
fn sei(pair: [u8; 2]) -> Vec<u8> {
    let data = [0xb5, 0, 0x31, b'G', b'A', b'9', b'4', 3, 0x41, 0xff, 0xfc, pair[0], pair[1], 0xff];
    [&[6, 4, 14][..], &data, &[0x80]].concat()
}

/// A clip with B-frames and two captions: shown from frame 44 to 120, and from 165 to 240, about; and their units.
fn captioned() -> (PathBuf, Vec<Vec<u8>>) {
    let clip = std::fs::read(clips::clip(12, clips::Kind::Bframes)).expect("a clip");
    // Where the pictures are, by the time at which they are shown.
    let (mut pictures, mut at) = (Vec::new(), 13);
    while let Some(head) = clip.get(at..at + 16) {
        let number = |b: &[u8]| b.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        let len = number(&head[1..4]);
        if head[0] == 9 && clip[at + 12] == 1 {
            let stamp = number(&[head[7], head[4], head[5], head[6]]);
            pictures.push((stamp + number(&clip[at + 13..at + 16]), at, len));
        }
        at += 11 + len + 4;
    }
    pictures.sort_unstable();
    let mut script = vec![[0x80, 0x80]; pictures.len()];
    let erase = [pair([0x14, 0x2c]), pair([0x14, 0x2c])].concat();
    let erase: Vec<[u8; 2]> = erase.chunks(2).map(|c| [c[0], c[1]]).collect();
    for (from, pairs) in
        [(30, caption("HELLO WORLD")), (120, erase.clone()), (150, caption("Second line")), (240, erase)]
    {
        script[from..from + pairs.len()].copy_from_slice(&pairs);
    }
    let units: Vec<Vec<u8>> = script.into_iter().map(sei).collect();
    let mut by_place: Vec<_> =
        pictures.iter().zip(&units).map(|(&(_, at, len), unit)| (at, len, unit)).collect();
    by_place.sort_unstable();
    let (mut out, mut done) = (Vec::new(), 0);
    for (at, len, unit) in by_place {
        let size = u32::try_from(len + 4 + unit.len()).expect("a tag").to_be_bytes();
        out.extend_from_slice(&clip[done..=at]);
        out.extend_from_slice(&size[1..]);
        out.extend_from_slice(&clip[at + 4..at + 16]);
        out.extend_from_slice(&u32::try_from(unit.len()).expect("a unit").to_be_bytes());
        out.extend_from_slice(unit);
        out.extend_from_slice(&clip[at + 16..at + 11 + len]);
        out.extend((u32::try_from(len + 15 + unit.len()).expect("a tag")).to_be_bytes());
        done = at + 11 + len + 4;
    }
    out.extend_from_slice(&clip[done..]);
    let path = scratch("clips").join(format!("captions-{}.flv", std::process::id()));
    std::fs::write(&path, out).expect("a clip");
    (path, units)
}

fn send(clip: &std::path::Path, output: &[&str]) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-i"]).arg(clip).args(["-c", "copy"]).args(output);
    Process::start(command.stderr(Stdio::null()))
}

fn fetch(server: &Server, path: &str) -> Option<Vec<u8>> {
    http::get(server.edge(), path).ok().filter(|r| r.status == 200).map(|r| r.body)
}

/// Addresses in a playlist.
fn uris(playlist: &str) -> Vec<String> {
    playlist.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(str::to_owned).collect()
}

/// Milliseconds of `00:00:01.500`.
fn ms(time: &str) -> i64 {
    let number = |text: &str| text.parse::<i64>().expect("a number");
    let (clock, thousandths) = time.split_once('.').expect("milliseconds");
    clock.split(':').fold(0, |sum, part| sum * 60 + number(part)) * 1000 + number(thousandths)
}

/// Everything that a text rendition shows: from, to, settings, text.
fn shown(server: &Server, folder: &str) -> Vec<(i64, i64, String, String)> {
    let list = playlist(server, &format!("{folder}/index.m3u8")).unwrap_or_default();
    let mut cues = Vec::new();
    for uri in uris(&list) {
        let text =
            String::from_utf8(fetch(server, &format!("{folder}/{uri}")).unwrap_or_default()).expect("UTF-8");
        for cue in text.split("\n\n").filter(|c| c.contains(" --> ")) {
            let (time, lines) = cue.split_once('\n').expect("text");
            let mut words = time.splitn(4, ' ');
            let (from, to) = (words.next().expect("a time"), words.nth(1).expect("a time"));
            let settings = words.next().unwrap_or_default().to_owned();
            cues.push((ms(from), ms(to), settings, lines.trim_end().to_owned()));
        }
    }
    cues.dedup();
    cues
}

/// What ffmpeg decodes out of the picture: from, to, text.
fn as_ffmpeg_sees(clip: &std::path::Path) -> Vec<(i64, i64, String)> {
    let movie = format!("movie={}[out+subcc]", clip.display());
    let args = ["-v", "error", "-f", "lavfi", "-i", &movie, "-map", "0:s", "-f", "webvtt", "-"];
    let (ok, out, err) = run("ffmpeg", &args, Duration::from_secs(30));
    assert!(ok, "{err}");
    let cue = |cue: &str| {
        let (time, text) = cue.split_once('\n')?;
        let (from, to) = time.split_once(" --> ")?;
        let full = |t: &str| ms(&if t.matches(':').count() == 1 { format!("00:{t}") } else { t.to_owned() });
        Some((full(from), full(to), text.trim().to_owned()))
    };
    out.split("\n\n").filter_map(cue).collect()
}

#[test]
fn captions_in_the_picture_are_declared_shown_beside_it_and_stay_as_they_are() {
    let (clip, units) = captioned();
    let server = Server::configured(
        "[origin.stream]\nwindow_segments = 12\n[origin.stream.captions.languages]\nCC1 = \"en\"\n",
    );
    let rtmp = format!("rtmp://{}/live/cc", server.rtmp());
    let srt = format!("srt://{}?streamid=publish:live/cct", server.srt());
    let _senders = [send(&clip, &["-f", "flv", &rtmp]), send(&clip, &["-f", "mpegts", &srt])];
    let told = as_ffmpeg_sees(&clip);
    assert_eq!(told.len(), 2, "{told:?}");
    for key in ["live/cc", "live/cct"] {
        multivariant(&server, key);
        let cues = eventually(SOON * 2, || {
            let cues = shown(&server, &format!("/{key}/s1"));
            cues.iter().any(|c| c.3 == "Second line").then_some(cues)
        });
        let cues =
            cues.unwrap_or_else(|| panic!("{:?}\n{}", shown(&server, &format!("/{key}/s1")), server.log()));
        let text = playlist(&server, &format!("/{key}/index.m3u8")).expect("a playlist");
        let line = "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"CC1\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,INSTREAM-ID=\"CC1\"";
        assert!(text.contains(line) && text.contains(",SUBTITLES=\"subs\",CLOSED-CAPTIONS=\"cc\""), "{text}");
        assert!(text.contains("TYPE=SUBTITLES,GROUP-ID=\"subs\",NAME=\"CC1\",LANGUAGE=\"en\""), "{text}");
        // The clock of the stream is not that of the clip: the distance of the two captions tells.
        let first: Vec<_> = cues.iter().filter(|c| c.3 == "HELLO WORLD").collect();
        let second = cues.iter().find(|c| c.3 == "Second line").expect("found above");
        assert_eq!((told[0].2.as_str(), told[1].2.as_str()), ("HELLO WORLD", "Second line"));
        let (from, to) = (first[0].0, first.iter().map(|c| c.1).max().unwrap_or(0));
        assert!(((second.0 - from) - (told[1].0 - told[0].0)).abs() <= 40, "{cues:?} {told:?}");
        assert!(((to - from) - (told[0].1 - told[0].0)).abs() <= 40, "{cues:?} {told:?}");
        assert_eq!(second.2, "line:84% position:10% align:start");
        unchanged(&server, key, &units);
    }
}

#[test]
fn text_of_the_past_is_what_it_was_live() {
    let (clip, _) = captioned();
    let data = fresh(&format!("captions-past-{}", std::process::id()));
    let settings = "[origin.store]\nkeep_s = 3600\n[origin.stream]\nreconnect_s = 1\nwindow_segments = 4\n";
    let mut server = Server::configured_in(&data, settings);
    let rtmp = format!("rtmp://{}/live/cc", server.rtmp());
    let sender = send(&clip, &["-f", "flv", &rtmp]);
    multivariant(&server, "live/cc");
    let mut live = std::collections::BTreeMap::new();
    let over = || {
        for uri in playlist(&server, "/live/cc/s1/index.m3u8").iter().flat_map(|list| uris(list)) {
            let path = format!("/live/cc/s1/{uri}");
            live.entry(uri).or_insert_with(|| fetch(&server, &path));
        }
        crate::api::stream(&server, "live/cc").filter(|s| s["state"] == "ended")
    };
    eventually(SOON * 2, over).expect("it ends");
    drop(sender);
    assert!(live.len() > 4 && live.values().all(Option::is_some), "{:?}", live.keys());
    server.terminate("TERM");
    drop(server);
    let server = Server::configured_in(&data, settings);
    let top = playlist(&server, "/live/cc/index.m3u8?start=-3600").expect("a playlist");
    let line = top.lines().find(|l| l.starts_with("#EXT-X-MEDIA:TYPE=SUBTITLES")).expect("text is listed");
    let (_, uri) = line.rsplit_once("URI=\"").expect("an address");
    assert!(uri.starts_with("s1/index.m3u8?start="), "{line}");
    assert!(top.contains("TYPE=CLOSED-CAPTIONS"), "{top}");
    let list = playlist(&server, &format!("/live/cc/{}", uri.trim_end_matches('"'))).expect("a playlist");
    let pictures = playlist(&server, "/live/cc/v1/index.m3u8?start=-3600").expect("a playlist");
    let numbers = |list: &str| -> Vec<String> {
        uris(list).iter().map(|uri| uri.split('.').next().unwrap_or_default().to_owned()).collect()
    };
    assert!(numbers(&list) == numbers(&pictures) && list.ends_with("#EXT-X-ENDLIST\n"), "{list}");
    let mut all = String::new();
    for (uri, bytes) in uris(&list).iter().map(|uri| (uri, fetch(&server, &format!("/live/cc/s1/{uri}")))) {
        assert!(live.get(uri).is_none_or(|before| *before == bytes), "{uri}");
        all.push_str(&String::from_utf8(bytes.expect("it is there")).expect("UTF-8"));
    }
    assert!(all.contains("HELLO WORLD") && all.contains("Second line"), "{all}");
    drop(server);
    let _ = std::fs::remove_dir_all(data);
}

/// Finds a picture's unit, bit by bit, in every kind of segment.
fn unchanged(server: &Server, key: &str, units: &[Vec<u8>]) {
    let holds = |bytes: &[u8], unit: &[u8]| bytes.windows(unit.len()).any(|w| w == unit);
    let letters: Vec<&Vec<u8>> = units.iter().filter(|u| u[13] != 0x80 || u[14] != 0x80).collect();
    let of = |folder: &str| {
        let list = playlist(server, &format!("/{key}/{folder}/index.m3u8")).expect("a playlist");
        let bodies =
            uris(&list).into_iter().filter_map(|uri| fetch(server, &format!("/{key}/{folder}/{uri}")));
        bodies.flatten().collect::<Vec<u8>>()
    };
    // A transport stream is listed when its sound is there too.
    let whole =
        || playlist(server, &format!("/{key}/ts/index.m3u8")).filter(|t| t.matches("#EXTINF").count() > 2);
    assert!(eventually(SOON, whole).is_some(), "{}", server.log());
    let (cmaf, ts) = (of("v1"), of("ts"));
    let file = scratch("clips").join(format!("captions-{}-{}.ts", key.replace('/', "-"), std::process::id()));
    std::fs::write(&file, ts).expect("a segment");
    let raw = file.with_extension("h264");
    let (from, to) = (file.display().to_string(), raw.display().to_string());
    run("ffmpeg", &["-v", "error", "-y", "-i", &from, "-map", "0:v", "-c", "copy", "-f", "h264", &to], SOON);
    let ts = std::fs::read(raw).expect("pictures");
    for unit in &letters {
        assert!(holds(&cmaf, unit), "{key}: {unit:02x?} is not in CMAF");
        assert!(holds(&ts, unit), "{key}: {unit:02x?} is not in MPEG-TS");
    }
    assert!(letters.len() > 20);
}

fn api(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let reply = http::send(server.gateway(), method, &format!("{STREAMS}{path}"), body).expect("an answer");
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

/// A playlist, once it holds something.
fn with(server: &Server, path: &str, what: &str) -> String {
    let found = eventually(SOON, || playlist(server, path).filter(|t| t.contains(what)));
    found.unwrap_or_else(|| panic!("no {what}: {:?}\n{}", playlist(server, path), server.log()))
}

#[test]
fn breaks_and_interstitials_are_announced_over_the_api() {
    let server = Server::start(&[]);
    let _sender = ffmpeg(server.rtmp(), "live/ads", QUICK);
    multivariant(&server, "live/ads");
    let body = r#"{"id":"ad-1","break":{"duration_ms":3000},"attributes":{"X-COM-A":"b","X-COM-N":1.5}}"#;
    let (code, made) = api(&server, "POST", "/live/ads/daterange", body);
    assert_eq!(
        (code, &made["id"], &made["planned_duration_ms"]),
        (201, &"ad-1".into(), &3000.into()),
        "{made}"
    );
    assert_eq!(api(&server, "POST", "/live/ads/daterange", body).0, 201, "the same again");
    let (code, problem) =
        api(&server, "POST", "/live/ads/daterange", r#"{"id":"ad-1","break":{"duration_ms":9}}"#);
    assert!(code == 409 && problem["detail"].to_string().contains("planned_duration_ms"), "{problem}");
    for path in ["/live/ads/v1/index.m3u8", "/live/ads/ts/index.m3u8"] {
        let text = with(&server, path, "#EXT-X-CUE-IN");
        let ranges: Vec<&str> = text.lines().filter(|l| l.starts_with("#EXT-X-DATERANGE")).collect();
        assert_eq!(ranges.len(), 1, "{text}");
        let has =
            ["ID=\"ad-1\"", "PLANNED-DURATION=3.000", "X-COM-A=\"b\"", "X-COM-N=1.5", "SCTE35-OUT=0xFC30"];
        assert!(has.iter().all(|h| ranges[0].contains(h)), "{text}");
        // Every segment begins with a key frame: the cuts are at those, and the break is as long as planned.
        assert!(text.contains("#EXT-X-INDEPENDENT-SEGMENTS"), "{text}");
        let inside = text.split("#EXT-X-CUE-OUT:3.000\n").nth(1).expect("it begins");
        let inside = inside.split("#EXT-X-CUE-IN").next().expect("it ends");
        let seconds: f64 = inside
            .lines()
            .filter_map(|l| l.strip_prefix("#EXTINF:")?.trim_end_matches(',').parse::<f64>().ok())
            .sum();
        assert!((seconds - 3.0).abs() <= 1.1, "{seconds}: {text}");
    }
    let assets = r#"{"id":"i1","assets":[{"uri":"https://a.example/1.m3u8","duration_ms":5000},{"uri":"https://a.example/2.m3u8","duration_ms":2500}],"resume_offset_ms":0,"restrict":["SKIP"]}"#;
    let (code, made) = api(&server, "POST", "/live/ads/daterange", assets);
    assert_eq!((code, &made["class"]), (201, &"com.apple.hls.interstitial".into()), "{made}");
    let text = with(&server, "/live/ads/v1/index.m3u8", "ID=\"i1\"");
    assert!(
        text.contains("X-ASSET-LIST=\"../breaks/i1.json\",X-RESTRICT=\"SKIP\",X-RESUME-OFFSET=0.000"),
        "{text}"
    );
    let list: Value =
        serde_json::from_slice(&fetch(&server, "/live/ads/breaks/i1.json").expect("a list")).expect("JSON");
    assert_eq!(list["ASSETS"][1]["DURATION"], 2.5);
    let (_, all) = api(&server, "GET", "/live/ads/daterange", "");
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2), "{all}");
    let later =
        r#"{"id":"later","start":"2099-01-01T00:00:00Z","class":"a\"b","duration_ms":0,"cue":["NOW"]}"#;
    let (code, problem) = api(&server, "POST", "/live/ads/daterange", later);
    let detail = problem["detail"].to_string();
    assert!(code == 400 && ["start", "class", "cue"].iter().all(|f| detail.contains(f)), "{problem}");
    assert_eq!(api(&server, "POST", "/live/nobody/daterange", "{}").0, 404);
}

#[test]
fn text_of_the_api_becomes_subtitles() {
    let server = Server::start(&[]);
    let _sender = ffmpeg(server.rtmp(), "live/ai", QUICK);
    let before = multivariant(&server, "live/ai");
    assert!(before.contains(",CLOSED-CAPTIONS=NONE") && !before.contains("SUBTITLES"), "{before}");
    let body = r#"{"cues":[{"offset_ms":500,"duration_ms":1500,"text":"one < two","language":"en"},{"offset_ms":500,"duration_ms":1500,"text":"eins","language":"de","rendition":"Untertitel"}]}"#;
    let (code, taken) = api(&server, "POST", "/live/ai/captions", body);
    assert_eq!(
        (code, &taken["cues"], &taken["renditions"][1]["id"]),
        (201, &2.into(), &"s2".into()),
        "{taken}"
    );
    let text = with(&server, "/live/ai/index.m3u8", "s2/index.m3u8");
    assert!(text.contains("NAME=\"Untertitel\",LANGUAGE=\"de\""), "{text}");
    for (name, words) in [("s1", "one &lt; two"), ("s2", "eins")] {
        let cues = eventually(SOON, || {
            let cues = shown(&server, &format!("/live/ai/{name}"));
            (!cues.is_empty()).then_some(cues)
        });
        let cues =
            cues.unwrap_or_else(|| panic!("{name}: {:?}", playlist(&server, "/live/ai/s1/index.m3u8")));
        assert!(cues.iter().all(|c| c.3 == words && c.1 - c.0 == 1500), "{cues:?}");
    }
    let reply = http::get(server.edge(), "/live/ai/s1/index.m3u8").expect("an answer");
    let uri = uris(&String::from_utf8_lossy(&reply.body)).pop().expect("a segment");
    let reply = http::get(server.edge(), &format!("/live/ai/s1/{uri}")).expect("an answer");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/vtt")));
    let bad = r#"{"cues":[{"duration_ms":0,"text":" ","language":"e"},{"duration_ms":1,"text":"x","start":"today"}]}"#;
    let (code, problem) = api(&server, "POST", "/live/ai/captions", bad);
    let detail = problem["detail"].to_string();
    let says = ["cues[0].duration_ms", "cues[0].text", "cues[1].start"].iter().all(|f| detail.contains(f));
    assert!(code == 400 && says, "{problem}");
}
