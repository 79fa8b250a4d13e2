//! Files of real writers: what the indexers make of them, against what ffprobe says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nx_container::fuzz_files::{index_of, payload, sound};
use nx_container::index::{Index, IndexTrack, Packing, SNIFF_BYTES, sniff};
use nx_media::{AudioCodec, Kind, Params, rescale};
use serde_json::Value;

use crate::encoder::{ffmpeg_new, scratch};

/// Who writes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// The system's ffmpeg, with pictures and a tone as inputs 0 and 1.
    Ffmpeg,
    /// The newer one.
    New,
    GStreamer,
}

struct Case {
    name: &'static str,
    writer: Writer,
    args: &'static str,
    /// Codec strings begin so.
    codecs: &'static [&'static str],
}

const PICTURES: &str = "testsrc2=size=320x180:rate=30000/1001:duration=2";
const TONE: &str = "sine=frequency=440:sample_rate=48000:duration=2";

const fn ffmpeg(name: &'static str, args: &'static str, codecs: &'static [&'static str]) -> Case {
    Case { name, writer: Writer::Ffmpeg, args, codecs }
}

const fn newer(name: &'static str, args: &'static str, codecs: &'static [&'static str]) -> Case {
    Case { name, writer: Writer::New, args, codecs }
}

const CASES: [Case; 21] = [
    ffmpeg(
        "h264.mkv",
        "-c:v libx264 -preset veryfast -g 30 -bf 3 -c:a aac -b:a 96k",
        &["avc1.", "mp4a.40.2"],
    ),
    ffmpeg(
        "pyramid.mkv",
        "-c:v libx264 -x264-params b-pyramid=normal:open-gop=1:bframes=5 -g 15 -c:a libmp3lame",
        &["avc1.", "mp4a.6B"],
    ),
    ffmpeg(
        "vp9.webm",
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -c:a libopus",
        &["vp09.", "opus"],
    ),
    ffmpeg(
        "live.webm",
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -c:a libopus -live 1",
        &["vp09.", "opus"],
    ),
    ffmpeg(
        "hevc.mkv",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3 -g 30 -c:a ac3 -cues_to_front 1",
        &["hvc1.", "ac-3"],
    ),
    ffmpeg(
        "dialects.mkv",
        "-map 0 -map 1 -map 1 -c:v libx264 -preset ultrafast -c:a aac -metadata:s:a:0 language=ger -metadata:s:a:1 language=fre",
        &["avc1.", "mp4a.", "mp4a."],
    ),
    ffmpeg("sound.mka", "-map 1 -c:a flac", &["fLaC"]),
    ffmpeg(
        "short-clusters.mkv",
        "-c:v libx264 -preset ultrafast -g 15 -c:a aac -cluster_time_limit 100",
        &["avc1.", "mp4a."],
    ),
    newer("h264-new.mkv", "-c:v libx264 -preset veryfast -g 30 -bf 2 -c:a eac3", &["avc1.", "ec-3"]),
    newer("av1.mkv", "-c:v libsvtav1 -preset 12 -g 30 -c:a libopus", &["av01.", "opus"]),
    newer("av1.webm", "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 30 -map 0", &["av01."]),
    ffmpeg("h264.flv", "-c:v libx264 -preset veryfast -g 30 -bf 3 -c:a aac", &["avc1.", "mp4a."]),
    ffmpeg("mp3.flv", "-c:v libx264 -preset veryfast -g 30 -c:a libmp3lame -ar 44100", &["avc1.", "mp4a.6B"]),
    newer(
        "hevc.flv",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3 -g 30 -c:a libopus",
        &["hvc1.", "opus"],
    ),
    newer("av1.flv", "-c:v libsvtav1 -preset 12 -g 30 -c:a flac", &["av01.", "fLaC"]),
    ffmpeg("h264.ts", "-c:v libx264 -preset veryfast -g 30 -bf 3 -c:a aac", &["avc1.", "mp4a."]),
    ffmpeg(
        "hevc.ts",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3 -g 30 -c:a ac3",
        &["hvc1.", "ac-3"],
    ),
    ffmpeg(
        "long-pes.ts",
        "-c:v libx264 -preset ultrafast -g 30 -c:a aac -pes_payload_size 20000",
        &["avc1.", "mp4a."],
    ),
    ffmpeg(
        "blu-ray.m2ts",
        "-c:v libx264 -preset veryfast -g 30 -bf 3 -c:a ac3 -mpegts_m2ts_mode 1",
        &["avc1.", "ac-3"],
    ),
    Case {
        name: "gstreamer.mkv",
        writer: Writer::GStreamer,
        args: "videotestsrc num-buffers=60 ! video/x-raw,width=320,height=180,framerate=30/1 ! x264enc bframes=2 key-int-max=30 ! h264parse ! mux. audiotestsrc num-buffers=94 ! audio/x-raw,rate=48000 ! opusenc ! mux. matroskamux name=mux",
        codecs: &["avc1.", "opus"],
    },
    Case {
        name: "gstreamer.ts",
        writer: Writer::GStreamer,
        args: "videotestsrc num-buffers=60 ! video/x-raw,width=320,height=180,framerate=30/1 ! x264enc bframes=2 key-int-max=30 ! h264parse ! mux. audiotestsrc num-buffers=94 ! audio/x-raw,rate=48000 ! avenc_aac ! aacparse ! mux. mpegtsmux name=mux",
        codecs: &["avc1.", "mp4a."],
    },
];

/// The file of a case, made anew.
fn made(case: &Case, folder: &Path) -> PathBuf {
    let path = folder.join(case.name);
    let words = case.args.split_whitespace();
    let mut command = match case.writer {
        Writer::GStreamer => {
            let mut command = Command::new("gst-launch-1.0");
            command.arg("-q").args(words).args(["!", "filesink"]).arg(format!("location={}", path.display()));
            command
        }
        writer => {
            let mut command =
                Command::new(if writer == Writer::New { ffmpeg_new() } else { "ffmpeg".into() });
            command.args([
                "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", PICTURES, "-f", "lavfi", "-i", TONE,
            ]);
            command.args(["-pix_fmt", "yuv420p", "-ac", "2"]).args(words).arg(&path);
            command
        }
    };
    let done = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("it runs; `make test` installs it");
    assert!(done.success(), "{}: {command:?}", case.name);
    path
}

/// A packet as ffprobe has it.
#[derive(Debug)]
struct Packet {
    pts: i64,
    dts: Option<i64>,
    size: usize,
    key: bool,
    crc: u32,
}

/// Packets of each stream with its ticks per second; pictures in front, as an index may have them in another order.
fn probed(path: &Path) -> Vec<(Kind, u32, Vec<Packet>)> {
    let args = ["-v", "error", "-show_packets", "-show_streams", "-show_data_hash", "CRC32", "-of", "json"];
    let out = Command::new("ffprobe").args(args).arg(path).output().expect("ffprobe runs");
    let all: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let number = |v: &Value| v.as_i64().or_else(|| v.as_str()?.parse().ok());
    let stream = |s: &Value| {
        let kind = if s["codec_type"] == "video" { Kind::Video } else { Kind::Audio };
        let scale =
            s["time_base"].as_str().and_then(|t| t.strip_prefix("1/")?.parse().ok()).expect("a time base");
        let packets =
            all["packets"].as_array().expect("packets").iter().filter(|p| p["stream_index"] == s["index"]);
        let packet = |p: &Value| Packet {
            pts: number(&p["pts"]).expect("a time"),
            dts: number(&p["dts"]),
            size: number(&p["size"]).expect("a size") as usize,
            key: p["flags"].as_str().is_some_and(|f| f.starts_with('K')),
            crc: u32::from_str_radix(&p["data_hash"].as_str().expect("a hash")[6..], 16).expect("hex"),
        };
        (kind, scale, packets.map(packet).collect())
    };
    all["streams"].as_array().expect("streams").iter().map(stream).collect()
}

/// What ffprobe reads in place of a file: the system's does not know enhanced FLV, the newer ffmpeg does.
fn readable(case: &Case, path: &Path) -> PathBuf {
    if case.writer != Writer::New || !case.name.contains(".flv") {
        return path.to_owned();
    }
    let copy = path.with_extension("flv.mkv");
    let mut command = Command::new(ffmpeg_new());
    command
        .args(["-nostdin", "-v", "error", "-y", "-copyts", "-i"])
        .arg(path)
        .args(["-map", "0", "-c", "copy"]);
    let done = command.arg(&copy).stdin(Stdio::null()).status().expect("ffmpeg runs");
    assert!(done.success(), "{command:?}");
    copy
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// Compares a track with the packets of its stream; `shift` is the same for all streams, in seconds.
fn same(
    name: &str,
    file: &[u8],
    track: &IndexTrack,
    scale: u32,
    packets: &[Packet],
    shift: &mut Option<f64>,
) {
    assert_eq!(track.samples.len(), packets.len(), "{name} {}", track.id);
    let timescale = track.params.timescale();
    let in_ts = matches!(track.packing, Packing::Ts { .. });
    let seconds = |ticks: i64, scale: u32| ticks as f64 / f64::from(scale);
    for (nth, (place, packet)) in track.samples.iter().zip(packets).enumerate() {
        let at = format!("{name} {} {nth}: {place:?} {packet:?}", track.id);
        let payload = payload(file, track, place).expect(&at);
        // In a transport stream pictures have start codes, AAC has headers.
        let headers = match &track.params {
            Params::Video(_) if in_ts => None,
            Params::Audio(a) if in_ts && a.codec == AudioCodec::Aac => Some(7),
            _ => Some(0),
        };
        match headers {
            Some(0) => assert_eq!((payload.len(), crc32(&payload)), (packet.size, packet.crc), "{at}"),
            Some(header) => assert_eq!(payload.len() + header, packet.size, "{at}"),
            None => assert!(payload.len() <= packet.size + 64, "{at}"),
        }
        assert!(place.key == packet.key || track.id.kind == Kind::Audio, "{at}");
        let pts = seconds(place.dts + i64::from(place.cts), timescale);
        let off = seconds(packet.pts, scale) - pts;
        let shift = *shift.get_or_insert(off);
        assert!((off - shift).abs() <= 0.0021, "{at}: {off} {shift}");
        // Where the container has decode times.
        let dated = in_ts || name.starts_with("h264.flv");
        if let Some(dts) = packet.dts.filter(|_| dated) {
            let off = seconds(dts, scale) - seconds(place.dts, timescale);
            assert!((off - shift).abs() <= 0.0021, "{at}: {off} {shift}");
        }
    }
}

fn indexed(name: &str, file: &[u8]) -> Index {
    let kind = sniff(&file[..file.len().min(SNIFF_BYTES)]).unwrap_or_else(|| panic!("{name} is not known"));
    let (index, _) = index_of(kind, file, file.len() as u64).unwrap_or_else(|e| panic!("{name}: {e}"));
    sound(file, &index);
    assert!(index.left_out.is_empty(), "{name}: {:?}", index.left_out);
    index
}

#[test]
fn samples_are_where_ffprobe_has_them() {
    let folder = scratch("files");
    for case in CASES {
        let path = made(&case, &folder);
        let file = std::fs::read(&path).expect("it was made");
        let index = indexed(case.name, &file);
        let codecs: Vec<&str> = index.tracks.iter().map(|t| t.params.rfc6381()).collect();
        assert_eq!(codecs.len(), case.codecs.len(), "{}: {codecs:?}", case.name);
        let mut streams = probed(&readable(&case, &path));
        let mut shift = None;
        for (track, codec) in index.tracks.iter().zip(case.codecs) {
            assert!(track.params.rfc6381().starts_with(codec), "{}: {codecs:?}", case.name);
            let at =
                streams.iter().position(|(kind, ..)| *kind == track.id.kind).expect("a stream of its kind");
            let (_, scale, packets) = streams.remove(at);
            same(case.name, &file, track, scale, &packets, &mut shift);
        }
        assert!(streams.is_empty(), "{}", case.name);
        let ends = index.tracks.iter().map(|t| {
            let last = t.samples.last().expect("a sample");
            rescale(last.dts + i64::from(last.duration), t.params.timescale(), 1000)
        });
        assert!(
            ends.clone().all(|end| (1_800..2_300).contains(&end)),
            "{}: {:?}",
            case.name,
            ends.collect::<Vec<_>>()
        );
    }
}
