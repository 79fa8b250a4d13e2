//! Clean streams and what is done to them.

pub(crate) mod dash;

use std::sync::OnceLock;

use crate::support::{Folder, SOURCE, playlist, run};

/// One damage.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Name of the stream that is damaged.
    pub(crate) of: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) damage: fn(&mut Hls),
}

/// What a watcher has of a media playlist.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hls {
    pub(crate) init: Option<Vec<u8>>,
    pub(crate) codecs: Option<String>,
    pub(crate) target_s: f64,
    pub(crate) part_target_s: Option<f64>,
    pub(crate) independent: bool,
    pub(crate) segments: Vec<Segment>,
    pub(crate) iframes: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) msn: u64,
    pub(crate) extinf_s: f64,
    pub(crate) discontinuity: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) duration_s: f64,
    pub(crate) independent: bool,
    pub(crate) bytes: Vec<u8>,
}

/// Clean streams by name: `hls` is muxed fragmented MP4, `cmaf` has parts, `ts` transport streams.
pub(crate) fn clean() -> Vec<(&'static str, Hls)> {
    static MADE: OnceLock<Vec<(&str, Hls)>> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Folder::new("media");
        let (hls, ts) = ("-hls_time 1 -hls_list_size 0 -f hls", "-f hls -hls_flags independent_segments");
        let map = "-hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 -hls_segment_filename h%d.m4s";
        run(&folder.0, "ffmpeg", &format!("{SOURCE} {hls} {map} h.m3u8"));
        run(&folder.0, "ffmpeg", &format!("{SOURCE} {hls} {ts} -hls_segment_filename t%d.ts t.m3u8"));
        let chunks = "-f dash -seg_duration 1 -streaming 1 -ldash 1 -frag_type duration -frag_duration 0.25 \
            -adaptation_sets id=0,streams=v";
        run(&folder.0, "ffmpeg", &format!("{SOURCE} -an {chunks} d.mpd"));
        vec![("hls", listed(&folder, "h.m3u8")), ("ts", listed(&folder, "t.m3u8")), ("cmaf", cmaf(&folder))]
    })
    .clone()
}

fn listed(folder: &Folder, name: &str) -> Hls {
    let list = playlist(&folder.text(name));
    let segments = (list.first_msn..).zip(&list.segments).map(|(msn, (extinf_s, broken, url))| Segment {
        msn,
        extinf_s: *extinf_s,
        discontinuity: *broken,
        bytes: folder.read(url),
        parts: vec![],
    });
    Hls {
        init: list.map.as_deref().map(|m| folder.read(m)),
        target_s: list.target_s,
        independent: list.independent,
        segments: segments.collect(),
        ..Hls::default()
    }
}

/// Chunks as parts.
fn cmaf(folder: &Folder) -> Hls {
    let segments = (1..=8).map(|n| {
        let bytes = folder.read(&format!("chunk-stream0-{n:05}.m4s"));
        let parts = chunks(&bytes);
        let last = parts.len() - 1;
        let parts = parts.into_iter().enumerate().map(|(i, bytes)| Part {
            // Parts of 8 frames, the last has what is left of 30.
            duration_s: if i == last { 1.0 - 8.0 * last as f64 / 30.0 } else { 8.0 / 30.0 },
            independent: i == 0,
            bytes,
        });
        Segment { msn: n, extinf_s: 1.0, discontinuity: false, bytes: bytes.clone(), parts: parts.collect() }
    });
    let segments: Vec<Segment> = segments.collect();
    Hls {
        init: Some(folder.read("init-stream0.m4s")),
        target_s: 1.0,
        part_target_s: Some(0.3),
        independent: true,
        iframes: vec![segments[0].parts[0].bytes.clone()],
        segments,
        ..Hls::default()
    }
}

/// Cut behind each `mdat`.
fn chunks(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut all, mut from, mut at) = (vec![], 0, 0);
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("a box size")) as usize;
        let kind = &bytes[at + 4..at + 8];
        at += size;
        if kind == b"mdat" {
            all.push(bytes[from..at].to_vec());
            from = at;
        }
    }
    all
}

/// Where a box type or another pattern stands.
fn find(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes.windows(pattern.len()).position(|w| w == pattern).expect("the pattern is there")
}

fn add_to_tfdt(bytes: &mut [u8], ticks: u64) {
    let at = find(bytes, b"tfdt") + 8;
    let old = u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    bytes[at..at + 8].copy_from_slice(&(old + ticks).to_be_bytes());
}

/// Makes the first IDR slice look like another one.
fn hide_idr(bytes: &mut [u8]) {
    let from = find(bytes, b"mdat");
    let at = from + find(&bytes[from..], &[0x65, 0x88]);
    bytes[at] = 0x41;
}

/// Packets of a transport stream with their PID.
fn packets(bytes: &mut [u8]) -> impl Iterator<Item = (u16, &mut [u8])> {
    bytes.chunks_mut(188).map(|p| (u16::from(p[1] & 0x1F) << 8 | u16::from(p[2]), p))
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "a cut segment",
        of: "hls",
        rule: "MEDIA-0",
        damage: |s| {
            let len = s.segments[2].bytes.len();
            s.segments[2].bytes.truncate(len - 100);
        },
    },
    Case { name: "a garbled segment", of: "ts", rule: "MEDIA-0", damage: |s| s.segments[2].bytes[188] = 0 },
    Case {
        name: "no key frame although promised",
        of: "cmaf",
        rule: "MEDIA-1",
        damage: |s| {
            hide_idr(&mut s.segments[3].bytes);
        },
    },
    Case {
        name: "no key frame",
        of: "hls",
        rule: "MEDIA-1a",
        damage: |s| hide_idr(&mut s.segments[3].bytes),
    },
    Case {
        name: "sync flag on a picture that is none",
        of: "hls",
        rule: "MEDIA-1c",
        damage: |s| {
            hide_idr(&mut s.segments[3].bytes);
        },
    },
    Case { name: "a segment over the target", of: "hls", rule: "MEDIA-2", damage: |s| s.target_s = 0.4 },
    Case {
        name: "EXTINF that drifts",
        of: "hls",
        rule: "MEDIA-3",
        damage: |s| {
            s.segments.iter_mut().for_each(|s| s.extinf_s -= 0.012);
        },
    },
    Case { name: "one wrong EXTINF", of: "ts", rule: "MEDIA-3", damage: |s| s.segments[4].extinf_s = 1.2 },
    Case {
        name: "a jump in time",
        of: "hls",
        rule: "MEDIA-4",
        damage: |s| {
            add_to_tfdt(&mut s.segments[3].bytes, 15_360);
        },
    },
    Case {
        name: "a jump in a transport stream",
        of: "ts",
        rule: "MEDIA-4",
        damage: |s| {
            s.segments.remove(3);
            (0..).zip(&mut s.segments).for_each(|(msn, s)| s.msn = msn);
        },
    },
    Case {
        name: "a tick too late",
        of: "cmaf",
        rule: "MEDIA-4a",
        damage: |s| {
            add_to_tfdt(&mut s.segments[3].bytes, 1);
        },
    },
    Case {
        name: "no tfdt",
        of: "hls",
        rule: "MEDIA-4b",
        damage: |s| {
            let at = find(&s.segments[3].bytes, b"tfdt");
            s.segments[3].bytes[at..at + 4].copy_from_slice(b"free");
        },
    },
    Case {
        name: "a lost packet",
        of: "ts",
        rule: "MEDIA-4c",
        damage: |s| {
            s.segments[3].bytes.drain(188 * 10..188 * 11);
        },
    },
    Case {
        name: "counters that begin anew",
        of: "ts",
        rule: "MEDIA-4c",
        damage: |s| {
            for (pid, packet) in packets(&mut s.segments[3].bytes) {
                if pid == 0x100 {
                    packet[3] = packet[3] & 0xF0 | (packet[3] + 5) & 15;
                }
            }
        },
    },
    Case {
        name: "a segment twice in one",
        of: "ts",
        rule: "MEDIA-4d",
        damage: |s| {
            let again = s.segments[3].bytes.clone();
            s.segments[3].bytes.extend(again);
        },
    },
    Case {
        name: "tables at the end",
        of: "ts",
        rule: "MEDIA-4e",
        damage: |s| {
            let bytes = &mut s.segments[3].bytes;
            let tables: Vec<u8> = bytes.drain(..188 * 3).collect();
            bytes.splice(188 * 20..188 * 20, tables);
        },
    },
    Case {
        name: "two audio streams",
        of: "ts",
        rule: "MEDIA-5",
        damage: |s| {
            // The program map: the video stream becomes another ADTS one.
            let bytes = &mut s.segments[3].bytes;
            let at = find(bytes, &[0x1B, 0xE1, 0x00]);
            bytes[at] = 0x0F;
        },
    },
    Case {
        name: "H.265 in a transport stream",
        of: "ts",
        rule: "MEDIA-5a",
        damage: |s| {
            let bytes = &mut s.segments[3].bytes;
            let at = find(bytes, &[0x1B, 0xE1, 0x00]);
            bytes[at] = 0x24;
        },
    },
    Case {
        name: "in-band parameter sets",
        of: "cmaf",
        rule: "MEDIA-5b",
        damage: |s| {
            let init = s.init.as_mut().expect("an initialization segment");
            let at = find(init, b"avc1\0");
            init[at + 3] = b'3';
        },
    },
    Case {
        name: "a level that is too high",
        of: "cmaf",
        rule: "MEDIA-6a",
        damage: |s| {
            let init = s.init.as_mut().expect("an initialization segment");
            let at = find(init, b"avcC");
            init[at + 7] = 62;
        },
    },
    Case {
        name: "another picture size",
        of: "cmaf",
        rule: "MEDIA-6c",
        damage: |s| {
            let init = s.init.as_mut().expect("an initialization segment");
            let at = find(init, b"avc1\0") + 28;
            init[at + 1] += 16;
        },
    },
    Case { name: "no EXT-X-MAP", of: "hls", rule: "MEDIA-7", damage: |s| s.init = None },
    Case {
        name: "an I-frame segment of another picture",
        of: "cmaf",
        rule: "MEDIA-8",
        damage: |s| {
            s.iframes = vec![s.segments[1].parts[1].bytes.clone()];
        },
    },
    Case {
        name: "an I-frame range without its moof",
        of: "cmaf",
        rule: "MEDIA-8",
        damage: |s| {
            let at = find(&s.iframes[0], b"mdat") - 4;
            s.iframes[0].drain(..at);
        },
    },
    Case {
        name: "another profile in CODECS",
        of: "hls",
        rule: "MEDIA-23",
        damage: |s| {
            s.codecs = Some("avc1.64001F,mp4a.40.2".into());
        },
    },
    Case {
        name: "CODECS without the sound",
        of: "hls",
        rule: "MEDIA-23a",
        damage: |s| {
            s.codecs = Some("avc1.42C00A".into());
        },
    },
    Case {
        name: "a wrong part duration",
        of: "cmaf",
        rule: "MEDIA-35",
        damage: |s| {
            s.segments[2].parts[1].duration_s = 0.15;
        },
    },
    Case {
        name: "a part over its target",
        of: "cmaf",
        rule: "MEDIA-35a",
        damage: |s| s.part_target_s = Some(0.2),
    },
    Case {
        name: "parts that do not add up",
        of: "cmaf",
        rule: "MEDIA-36",
        damage: |s| {
            s.segments[2].parts.pop();
        },
    },
    Case {
        name: "parts that are not the segment",
        of: "cmaf",
        rule: "MEDIA-45",
        damage: |s| {
            let part = &mut s.segments[2].parts[1].bytes;
            *part.last_mut().expect("a byte") ^= 1;
        },
    },
    Case {
        name: "a part that lies",
        of: "cmaf",
        rule: "MEDIA-46",
        damage: |s| {
            s.segments[2].parts[1].independent = true;
        },
    },
    Case {
        name: "a part that is modest",
        of: "cmaf",
        rule: "MEDIA-46a",
        damage: |s| {
            s.segments[2].parts[0].independent = false;
        },
    },
    Case {
        name: "a segment whose first part depends",
        of: "cmaf",
        rule: "MEDIA-46b",
        damage: |s| {
            hide_idr(&mut s.segments[2].parts[0].bytes);
        },
    },
];
