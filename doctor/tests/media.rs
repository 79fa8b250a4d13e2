//! Seeded faults: one damage to a clean stream, and the rule that must notice it. No sockets; ffmpeg makes the media.
#![expect(clippy::panic, reason = "a test fails by panic")]

mod media_cases;
mod support;

use media_cases::{Hls, clean};
use nx_doctor::media::{self, MediaJudge, PartSeen, SegmentSeen};
use nx_doctor::probe::{self, Init, Kind};
use nx_doctor::report::{Profile, Report};

/// Judges a stream as a watcher would.
fn judge(stream: &Hls) -> Report {
    let mut report = Report::new(Profile::LlHls, vec![]);
    let init = stream.init.as_deref().map(|bytes| probe::init(bytes).expect("an initialization segment"));
    if let Some(init) = &init {
        media::initialization("init.mp4", init, 0, &mut report);
        let real: Vec<&str> = init.tracks.iter().map(|t| t.codec.as_str()).collect();
        let claimed = stream.codecs.clone().unwrap_or_else(|| real.join(","));
        media::codecs("index.m3u8", &claimed, &real, 0, &mut report);
    }
    let mut judge = MediaJudge::default();
    for segment in &stream.segments {
        let parts: Vec<PartSeen<'_>> = segment
            .parts
            .iter()
            .map(|p| PartSeen {
                url: "part",
                duration_s: p.duration_s,
                independent: p.independent,
                bytes: Some(&p.bytes),
            })
            .collect();
        let seen = SegmentSeen {
            url: &format!("{}.m4s", segment.msn),
            at_us: 0,
            msn: segment.msn,
            extinf_s: segment.extinf_s,
            target_s: stream.target_s,
            part_target_s: stream.part_target_s,
            discontinuity_before: segment.discontinuity,
            independent_segments: stream.independent,
            init: init.as_ref(),
            bytes: &segment.bytes,
            parts: &parts,
        };
        judge.segment(&seen, &mut report);
    }
    for bytes in &stream.iframes {
        media::iframe("iframe", init.as_ref().expect("fragmented MP4"), bytes, 0, &mut report);
    }
    report
}

#[track_caller]
fn found(report: &Report) -> Vec<String> {
    report.breaches().iter().map(|b| format!("{}: {:?}", b.rule.id, b.examples)).collect()
}

#[test]
fn clean_streams_break_no_rule() {
    for (name, stream) in clean() {
        let found = found(&judge(&stream));
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn each_seeded_fault_is_noticed() {
    for case in media_cases::CASES {
        let (_, stream) =
            clean().into_iter().find(|(name, _)| *name == case.of).expect("a stream of that name");
        let mut stream = stream;
        (case.damage)(&mut stream);
        let report = judge(&stream);
        assert!(report.has(case.rule), "{} does not break {}: {:#?}", case.name, case.rule, found(&report));
    }
}

#[test]
fn a_clean_presentation_breaks_no_rule() {
    let found = found(&media_cases::dash::judge(&media_cases::dash::clean()));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_seeded_fault_of_a_presentation_is_noticed() {
    let mut unnoticed = Vec::new();
    for case in media_cases::dash::CASES {
        let mut stream = media_cases::dash::clean();
        (case.damage)(&mut stream);
        let report = media_cases::dash::judge(&stream);
        if !report.has(case.rule) {
            unnoticed.push(format!("{} does not break {}: {:#?}", case.name, case.rule, found(&report)));
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

fn cmaf() -> (Vec<u8>, Vec<u8>, Init) {
    let (_, stream) = clean().into_iter().find(|(name, _)| *name == "cmaf").expect("a stream");
    let bytes = stream.init.expect("an initialization segment");
    let init = probe::init(&bytes).expect("an initialization segment");
    (bytes, stream.segments[1].bytes.clone(), init)
}

#[test]
fn the_probe_reads_what_ffmpeg_was_told_to_make() {
    let (_, segment, init) = cmaf();
    let track = &init.tracks[0];
    assert_eq!((track.kind, track.timescale, track.width, track.height), (Kind::Video, 15_360, 128, 72));
    assert!(track.codec.starts_with("avc1.42C0"), "{}", track.codec);
    assert_eq!(track.picture.map(|p| (p.width, p.height, p.progressive)), Some((128, 72, true)));
    let chunks = probe::fragment(&init, &segment).expect("a segment");
    let samples: Vec<_> = chunks.iter().flat_map(|c| &c.runs).flat_map(|r| &r.samples).collect();
    assert_eq!(samples.len(), 30);
    assert!(samples.iter().all(|s| s.duration == 512 && s.cts == 0));
    assert!(samples.iter().all(|s| s.entry == Some(s.sync)));
    assert_eq!(samples.iter().filter(|s| s.sync).count(), 1);
    assert_eq!(chunks[0].runs[0].tfdt, Some(15_360));
}

#[test]
fn every_truncation_and_mutation_is_survived() {
    let (bytes, segment, init) = cmaf();
    let (_, ts) = clean().into_iter().find(|(name, _)| *name == "ts").expect("a stream");
    let ts = &ts.segments[0].bytes;
    let all = |bytes: &[u8]| {
        let _ = probe::init(bytes);
        let _ = probe::fragment(&init, bytes);
        let _ = probe::ts(bytes);
    };
    let short = &segment[..segment.len().min(6_000)];
    for len in 0..bytes.len() {
        assert!(probe::init(&bytes[..len]).is_err(), "{len} bytes of an initialization segment");
    }
    for len in 0..short.len() {
        all(&short[..len]);
    }
    for len in 0..ts.len().min(4_000) {
        all(&ts[..len]);
    }
    // A generator with a fixed seed (xorshift64).
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for golden in [&bytes[..], &segment[..2_000], &ts[..4_136]] {
        for _ in 0..4_000 {
            let mut bytes = golden.to_vec();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            all(&bytes);
        }
    }
}
