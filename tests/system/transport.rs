//! Transport streams over SRT: codecs, languages, and cues for breaks.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::api::{SOON, codecs, multivariant, playlist, until};
use crate::encoder::{Process, decode, eventually, run, scratch};
use crate::support::Server;

const H264: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];

/// What is sent, how CODECS begins for picture and sound, and sound frames a second.
type Case = (&'static str, &'static [&'static str], [&'static str; 2], f64);

const CASES: [Case; 5] = [
    (
        "live/hevc",
        &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-c:a", "aac"],
        ["hvc1.1.", "mp4a.40.2"],
        46.9,
    ),
    ("live/latm", &["-c:a", "aac", "-mpegts_flags", "+latm"], ["avc1.", "mp4a.40.2"], 46.9),
    ("live/mp2", &["-c:a", "mp2"], ["avc1.", "mp4a.6B"], 41.7),
    ("live/ac3", &["-c:a", "ac3"], ["avc1.", "ac-3"], 31.25),
    ("live/opus", &["-c:a", "libopus"], ["avc1.", "opus"], 50.0),
];

fn sender(server: &Server, key: &str, sounds: usize, options: &[&str]) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"]);
    for nth in 1..=sounds {
        let sine = format!("sine=frequency={}:sample_rate=48000", 440 * nth);
        command.args(["-f", "lavfi", "-i", &sine]);
    }
    command.args(["-map", "0:v"]);
    for nth in 1..=sounds {
        command.args(["-map", &format!("{nth}:a")]);
    }
    command.args(H264).args(["-g", "60", "-b:v", "300k", "-ac", "2"]).args(options);
    let url = format!("srt://{}?streamid=publish:{key}", server.srt());
    Process::start(command.args(["-f", "mpegts", &url]).stderr(Stdio::null()))
}

#[test]
fn every_codec_of_a_transport_stream_reaches_players() {
    let server = Server::start(&[]);
    for cases in CASES.chunks(3) {
        let _senders: Vec<_> = cases.iter().map(|c| sender(&server, c.0, 1, c.1)).collect();
        for (key, _, wanted, sounds) in cases {
            let text = multivariant(&server, key);
            let found = codecs(&text);
            let has = |codec: &&str| found.iter().all(|f| f.split(',').any(|f| f.starts_with(*codec)));
            assert!(found.len() == 1 && wanted.iter().all(has), "{key}: {text}");
            for view in ["index.m3u8", "ts/index.m3u8"] {
                let decoded = decode(&format!("http://{}/{key}/{view}", server.edge()), 3);
                let sounds = (sounds * 3.0) as u32;
                assert!(decoded.ok && decoded.complaints.is_empty(), "{key} {view}: {decoded:?}");
                let right = decoded.video.abs_diff(90) <= 2 && decoded.audio.abs_diff(sounds) <= 4;
                assert!(right, "{key} {view}: {sounds} expected: {decoded:?}");
            }
        }
    }
}

#[test]
fn languages_of_sounds_are_told_to_players() {
    let server = Server::start(&[]);
    let languages = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu"];
    let options = [&["-c:a", "aac"][..], &languages].concat();
    let _sender = sender(&server, "live/two", 2, &options);
    until(&server, "live/two", "three tracks", |s| s["tracks"].as_array().is_some_and(|t| t.len() == 3));
    let text = multivariant(&server, "live/two");
    let sounds: Vec<&str> = text.lines().filter(|l| l.starts_with("#EXT-X-MEDIA:TYPE=AUDIO")).collect();
    assert_eq!(sounds.len(), 2, "{text}");
    for (sound, language) in sounds.iter().zip(["en", "de"]) {
        assert!(sound.contains(&format!("LANGUAGE=\"{language}\"")), "{sound}");
    }
    for track in ["a1", "a2"] {
        let decoded = decode(&format!("http://{}/live/two/{track}/index.m3u8", server.edge()), 3);
        assert!(decoded.ok && decoded.audio >= 136, "{track}: {decoded:?}");
    }
}

const PACKET: usize = 188;
/// Where ffmpeg puts the table of the programme, and its first stream.
const PMT: u16 = 0x1000;
const VIDEO: u16 = 0x100;
const NULL: u16 = 0x1fff;
/// Where the test puts the cues.
const CUES: u16 = 0x1f0;
const BITS_PER_S: usize = 1_500_000;

/// CRC-32 of MPEG-2 sections (ISO 13818-1 annex A).
fn crc(bytes: &[u8]) -> [u8; 4] {
    let bit = |crc: u32| if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
    let all = bytes.iter().fold(u32::MAX, |crc, &b| (0..8).fold(crc ^ u32::from(b) << 24, |c, _| bit(c)));
    all.to_be_bytes()
}

/// `splice_insert` (SCTE 35 9.7.3): out of the network at that time, for that long, and back by itself.
fn splice_out(event: u32, pts: u64, length: u64) -> Vec<u8> {
    let time = |ticks: u64| {
        let [.., high, a, b, c, d] = ticks.to_be_bytes();
        [0xfe | high, a, b, c, d]
    };
    let mut section = vec![0xfc, 0x30, 37, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, 20, 5];
    section.extend(event.to_be_bytes());
    section.extend([0x7f, 0xef]);
    section.extend(time(pts).into_iter().chain(time(length)));
    section.extend([0, 1, 0, 0, 0, 0]);
    section.extend(crc(&section));
    section
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff
}

/// Adds the stream of cues to a table of the programme that fills one packet at most.
fn announce(packet: &mut [u8]) {
    assert_eq!((packet[3] & 0x30, packet[4]), (0x10, 0), "a section that begins with its packet");
    let length = usize::from(u16::from_be_bytes([packet[6], packet[7]]) & 0xfff);
    let mut section = packet[5..5 + 3 + length - 4].to_vec();
    let [high, low] = CUES.to_be_bytes();
    // SCTE 35 8.1: the programme is registered as one with cues.
    let at = 12;
    section.splice(at..at, [5, 4, b'C', b'U', b'E', b'I']);
    section[11] += 6;
    section.extend([0x86, 0xe0 | high, low, 0xf0, 0]);
    section[2] += 11;
    section.extend(crc(&section));
    packet[5..5 + section.len()].copy_from_slice(&section);
}

/// Time of the first picture; 90 kHz.
fn first_pts(ts: &[u8]) -> u64 {
    let packet = ts.chunks(PACKET).find(|p| pid(p) == VIDEO && p[1] & 0x40 != 0).expect("a picture");
    let start = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
    let [a, b, c, d, e] = [9, 10, 11, 12, 13].map(|n| u64::from(packet[start + n]));
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

/// A constant 1.5 Mbit/s for `seconds`, with a cue a quarter in that is about the middle; its section too.
fn with_cue(seconds: u32) -> (Vec<u8>, Vec<u8>) {
    let file = scratch("clips").join(format!("cue-{}.ts", std::process::id()));
    let (length, name) = (seconds.to_string(), file.display().to_string());
    let mut args = vec!["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-f"];
    args.extend(["lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &length]);
    args.extend(H264);
    args.extend(["-g", "60", "-b:v", "400k", "-c:a", "aac", "-muxrate", "1500k", "-f", "mpegts", &name]);
    let (ok, _, err) = run("ffmpeg", &args, Duration::from_secs(30));
    assert!(ok, "{err}");
    let mut ts = std::fs::read(&file).expect("a transport stream");
    let section = splice_out(4711, first_pts(&ts) + u64::from(seconds) * 45_000, 180_000);
    ts.chunks_mut(PACKET).filter(|p| pid(p) == PMT).for_each(announce);
    let quarter = ts.len() / PACKET / 4;
    let spare = ts.chunks_mut(PACKET).skip(quarter).find(|p| pid(p) == NULL).expect("null packets");
    let [high, low] = CUES.to_be_bytes();
    spare.fill(0xff);
    spare[..5].copy_from_slice(&[0x47, 0x40 | high, low, 0x10, 0]);
    spare[5..5 + section.len()].copy_from_slice(&section);
    (ts, section)
}

/// RFC 3339 in UTC as milliseconds of its day.
fn ms_of_day(date: &str) -> u64 {
    let time = date.split('T').nth(1).expect("a time").trim_end_matches('Z');
    let parts: Vec<f64> = time.split(':').map(|n| n.parse().expect("a number")).collect();
    ((parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]) * 1000.0).round() as u64
}

#[test]
fn a_break_is_announced_at_its_time_with_its_section() {
    let (ts, section) = with_cue(12);
    let server = Server::start(&[]);
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port");
    let url = format!("srt://{}?streamid=publish:live/cue", server.srt());
    let mut command = Command::new("srt-live-transmit");
    command.args(["-q", "-loglevel:fatal", &format!("udp://{free}"), &url]).stderr(Stdio::null());
    let _carrier = Process::start(&mut command);
    // Nothing is sent before somebody listens.
    let live = eventually(SOON, || {
        UdpSocket::bind("127.0.0.1:0").and_then(|s| s.send_to(&ts[..PACKET], free)).ok()?;
        crate::api::stream(&server, "live/cue")
    });
    assert!(live.is_some(), "{}", server.log());
    let sending = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let began = Instant::now();
        for (nth, piece) in ts.chunks(7 * PACKET).enumerate() {
            let due = Duration::from_secs_f64((nth * 7 * PACKET * 8) as f64 / BITS_PER_S as f64);
            std::thread::sleep((began + due).saturating_duration_since(Instant::now()));
            let _ = socket.send_to(piece, free);
        }
    });
    let path = "/live/cue/v1/index.m3u8";
    let text = eventually(SOON, || playlist(&server, path).filter(|t| t.contains("#EXT-X-DATERANGE")));
    let text = text.unwrap_or_else(|| panic!("{:?}\n{}", playlist(&server, path), server.log()));
    let range = text.lines().find(|l| l.starts_with("#EXT-X-DATERANGE")).expect("found above");
    let hex: String = section.iter().map(|b| format!("{b:02X}")).collect();
    assert!(range.contains(&format!("SCTE35-OUT=0x{hex}")), "{range}");
    assert!(range.contains("PLANNED-DURATION=2.000"), "{range}");
    let from = |line: &str, name: &str| {
        let rest = line.split(name).nth(1).unwrap_or_else(|| panic!("no {name}: {text}"));
        ms_of_day(rest.split(['"', '\n']).next().unwrap_or_default())
    };
    // The playlist still begins with the first picture.
    let (begin, start) = (from(&text, "#EXT-X-PROGRAM-DATE-TIME:"), from(range, "START-DATE=\""));
    let day = 86_400_000;
    assert!(((start + day - begin) % day).abs_diff(6_000) <= 40, "{begin} {start}: {text}");
    sending.join().expect("the sender");
}
