//! A ladder whose worker is the test.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use nx_hls::TrackSpec;
use nx_media::{
    AudioCodec, AudioParams, FrameRate, Params, Sample, StreamKey, TrackId, VideoCodec, VideoParams,
};
use nx_worker_protocol::{LENGTH, Output, Reply, Request};

use super::capacity::Place;
use super::post::{Counter, Job, State};
use super::{LadderConfig, Ladders, Rungs, TranscoderConfig};
use crate::hub::lock;

/// The other end of a ladder.
pub(crate) struct FakeWorker {
    pub(crate) counter: Counter,
    _place: Place,
}

/// Those who were hired.
pub(crate) type Hired = Arc<Mutex<Vec<FakeWorker>>>;

impl FakeWorker {
    /// What waits for it.
    pub(crate) fn jobs(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        loop {
            let next = pin!(self.counter.next());
            match next.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(job)) => jobs.push(job),
                _ => return jobs,
            }
        }
    }

    /// Says what each output is.
    pub(crate) fn open(&self, config: &Bytes) {
        self.counter.shared.stand(|s| s.state = State::Running);
        for output in 0..self.counter.shared.ladder.outputs.len() {
            let output = u8::try_from(output).unwrap();
            let (config, encoder) = (config.clone(), "test".to_owned());
            self.counter.shared.reply(Reply::Opened { output, config, encoder });
        }
    }

    /// Codes a picture, for every output that is wanted.
    pub(crate) fn code(&self, job: &Job) {
        let shared = &self.counter.shared;
        for output in (0..shared.ladder.outputs.len()).filter(|output| shared.is_wanted(*output)) {
            let sample = Sample { dts: job.sample.pts, ..job.sample.clone() };
            shared.reply(Reply::Coded { output: u8::try_from(output).unwrap(), sample });
        }
    }
}

pub(crate) fn section(text: &str) -> LadderConfig {
    serde_json::from_str(text).expect("a section")
}

/// The ladder of `live/x` by a section in JSON, and who is hired for it.
pub(crate) fn ladder(text: &str) -> (Rungs, Hired) {
    let hired = Hired::default();
    let theirs = hired.clone();
    let hire = move |counter, place| lock(&theirs).push(FakeWorker { counter, _place: place });
    let limits = TranscoderConfig { cores: 4, ..TranscoderConfig::default() };
    let ladders = Ladders::with(&[section(text)], &limits, Box::new(hire)).expect("a good section");
    let rungs = ladders.of(&StreamKey::new("live", "x").unwrap(), false, Arc::new(|| ()));
    (rungs.expect("a ladder"), hired)
}

fn picture(nth: u8, codec: VideoCodec, lines: u32) -> TrackSpec {
    let params = Params::Video(VideoParams {
        codec,
        config: Bytes::new(),
        width: lines * 16 / 9,
        height: lines,
        frame_rate: Some(FrameRate { num: 30, den: 1 }),
        range: nx_media::VideoRange::Sdr,
        rfc6381: String::new(),
    });
    TrackSpec { id: TrackId::video(nth), params }
}

fn sound(codec: AudioCodec) -> TrackSpec {
    let params = Params::Audio(AudioParams {
        codec,
        config: Bytes::new(),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: String::new(),
        language: None,
    });
    TrackSpec { id: TrackId::AUDIO, params }
}

fn key_frame() -> Sample {
    Sample { dts: 0, pts: 0, duration: Some(3000), key: true, payload: Bytes::from_static(b"key") }
}

/// Numbers and lines of what is made of tracks.
fn made(section: &str, tracks: &[TrackSpec]) -> Vec<(String, String)> {
    let (mut rungs, hired) = ladder(section);
    rungs.turn(tracks);
    rungs.see(tracks[0].id, &key_frame(), 1_000);
    let told = rungs.told();
    let hired = lock(&hired);
    let outputs = hired.iter().flat_map(|worker| &worker.counter.shared.ladder.outputs);
    let tell = |output: &Output| match output {
        Output::Rung(rung) => rung.height.to_string(),
        Output::Sound(_) => "sound".to_owned(),
    };
    told.rungs.into_iter().map(|r| r.name).zip(outputs.map(tell)).collect()
}

#[test]
fn what_is_made_is_numbered_behind_what_was_sent() {
    use VideoCodec::{Avc, Hevc};
    let three = r#"{"streams": "live/*", "profile": "h264-720p3"}"#;
    let some = r#"{"streams": "live/x", "rungs": [{"lines": 720, "mode": "never"}, {"lines": 360}]}"#;
    let (big, aac) = (picture(0, Avc, 1080), sound(AudioCodec::Aac));
    for (name, section, tracks, want) in [
        (
            "one picture",
            three,
            vec![big.clone(), aac.clone()],
            &[("v2", "720"), ("v3", "480"), ("v4", "360")][..],
        ),
        (
            "the publisher's own fill rungs",
            three,
            vec![big.clone(), picture(1, Avc, 480), aac.clone()],
            &[("v3", "720"), ("v4", "360")],
        ),
        (
            "in another codec they do not",
            three,
            vec![big.clone(), picture(1, Hevc, 480)],
            &[("v3", "720"), ("v4", "480"), ("v5", "360")],
        ),
        ("never", some, vec![big.clone()], &[("v2", "360")]),
        (
            "sound that few can play",
            three,
            vec![big.clone(), sound(AudioCodec::Mpa)],
            &[("v2", "720"), ("v3", "480"), ("v4", "360"), ("a2", "sound")],
        ),
        ("sound alone", three, vec![aac], &[]),
        ("a small picture", three, vec![picture(0, Avc, 240)], &[]),
    ] {
        let want: Vec<_> = want.iter().map(|(n, l)| ((*n).to_owned(), (*l).to_owned())).collect();
        assert_eq!(made(section, &tracks), want, "{name}");
    }
}

#[test]
fn a_worker_that_is_behind_gets_nothing_until_the_next_key_frame() {
    let (mut rungs, hired) = ladder(r#"{"streams": "live/x", "profile": "h264-360p1"}"#);
    let tracks = [picture(0, VideoCodec::Avc, 720)];
    rungs.turn(&tracks);
    let mut send = |frames: std::ops::Range<i64>| {
        for n in frames {
            let sample = Sample { dts: n * 3000, pts: n * 3000, key: n % 60 == 0, ..key_frame() };
            rungs.see(TrackId::VIDEO, &sample, 0);
        }
    };
    let got = || lock(&hired)[0].jobs().iter().map(|job| job.sample.dts / 3000).collect::<Vec<_>>();
    send(0..50);
    assert_eq!(got(), (0..50).collect::<Vec<_>>());
    // Two seconds wait at most; with the first that is too many all go.
    send(50..110);
    assert_eq!(got(), (50..110).collect::<Vec<_>>());
    send(110..175);
    assert_eq!(got(), Vec::<i64>::new());
    send(175..190);
    assert_eq!(got(), (180..190).collect::<Vec<_>>());
    // As when a worker died.
    lock(&hired)[0].counter.shared.turn();
    send(190..250);
    assert_eq!(got(), (240..250).collect::<Vec<_>>());
    // A pause of an hour is no hour that the worker is behind.
    let late = Sample { dts: 3_600 * 90_000, pts: 3_600 * 90_000, ..key_frame() };
    rungs.see(TrackId::VIDEO, &late, 0);
    assert!(lock(&hired)[0].counter.shared.offered() < 10 * 90_000);
}

#[test]
fn nothing_is_made_when_it_does_not_fit_and_the_reason_is_told() {
    let hired = Hired::default();
    let theirs = hired.clone();
    let hire = move |counter, place| lock(&theirs).push(FakeWorker { counter, _place: place });
    let limits = TranscoderConfig { cores: 1, ..TranscoderConfig::default() };
    let ladders = Ladders::with(
        &[section(r#"{"streams": "live/*", "profile": "av1-1080p2"}"#)],
        &limits,
        Box::new(hire),
    );
    let ladders = ladders.expect("a good section");
    let mut rungs = ladders.of(&StreamKey::new("live", "x").unwrap(), false, Arc::new(|| ())).unwrap();
    rungs.turn(&[picture(0, VideoCodec::Avc, 1440)]);
    assert!(!rungs.is_settled());
    rungs.see(TrackId::VIDEO, &key_frame(), 0);
    assert!(rungs.is_settled() && rungs.specs().is_empty() && lock(&hired).is_empty());
    let told = rungs.told();
    let reason = told.reason.expect("a reason");
    assert!(told.state == "refused" && reason.contains("of 1.0 are free"), "{reason}");
}

#[test]
fn the_most_costly_goes_first_when_the_machine_is_too_slow() {
    let (mut rungs, hired) = ladder(r#"{"streams": "live/x", "profile": "h264-480p2"}"#);
    let tracks = [picture(0, VideoCodec::Avc, 720)];
    rungs.turn(&tracks);
    let avcc = avcc();
    rungs.see(TrackId::VIDEO, &key_frame(), 0);
    lock(&hired)[0].open(&avcc);
    assert!(rungs.hear() && rungs.is_settled());
    let states = |rungs: &Rungs| rungs.told().rungs.iter().map(|r| r.state.clone()).collect::<Vec<_>>();
    let mut dts = 0;
    let mut second = |rungs: &mut Rungs, keep_up: bool| {
        for _ in 0..30 {
            dts += 3000;
            rungs.see(TrackId::VIDEO, &Sample { dts, pts: dts, ..key_frame() }, 0);
            let worker = &mut lock(&hired)[0];
            for job in worker.jobs().iter().filter(|_| keep_up) {
                worker.code(job);
            }
        }
        rungs.hear();
        while rungs.next().is_some() {}
        rungs.look(&|_| None);
    };
    (0..10).for_each(|_| second(&mut rungs, true));
    assert_eq!((states(&rungs), rungs.told().lag_ms), (vec!["on".to_owned(); 2], 0));
    // 1.5 s are allowed; then three looks.
    (0..4).for_each(|_| second(&mut rungs, false));
    assert_eq!(states(&rungs), ["shed", "on"]);
    assert!(rungs.told().lag_ms > 3_000 && rungs.told().rungs[0].reason.is_some());
    (0..10).for_each(|_| second(&mut rungs, true));
    assert_eq!((states(&rungs), rungs.told().lag_ms), (vec!["shed".into(), "on".into()], 0));
    // It is tried again after a minute, then after two.
    (0..50).for_each(|_| second(&mut rungs, true));
    assert_eq!(states(&rungs), ["on", "on"]);
    (0..8).for_each(|_| second(&mut rungs, false));
    assert_eq!(states(&rungs), ["shed", "shed"]);
    assert!(rungs.told().rungs[0].reason.as_ref().is_some_and(|r| r.contains("again in 11")));
}

#[test]
fn times_that_are_not_the_sources_go_nowhere() {
    let (mut rungs, hired) = ladder(r#"{"streams": "live/x", "profile": "h264-360p1"}"#);
    rungs.turn(&[picture(0, VideoCodec::Avc, 720)]);
    let at = |dts| Sample { dts, pts: dts, ..key_frame() };
    rungs.see(TrackId::VIDEO, &at(9_000_000), 0);
    let worker = &lock(&hired)[0];
    worker.open(&avcc());
    for dts in [i64::MIN, 0, i64::MAX, 9_000_000, 9_000_000 - 90_000, 9_003_000, 9_900_000, 9_033_000] {
        worker.counter.shared.reply(Reply::Coded { output: 0, sample: at(dts) });
    }
    worker.counter.shared.reply(Reply::Coded { output: 9, sample: at(9_006_000) });
    rungs.hear();
    let got: Vec<_> =
        std::iter::from_fn(|| rungs.next().map(|coded| (coded.sample.dts, coded.apart))).collect();
    assert_eq!(got, [(9_000_000, false), (9_003_000, false), (9_033_000, true)]);
}

#[test]
fn mistakes_in_a_section_are_named() {
    for (text, want) in [
        (r#"{"streams": "live/*", "profile": "h264-720p3"}"#, &[][..]),
        (r#"{"streams": "live/*", "mode": "never"}"#, &[]),
        (r#"{"streams": "live", "profile": "h264-720p3"}"#, &["streams"]),
        (r#"{"streams": "live/*"}"#, &["profile"]),
        (r#"{"streams": "live/*", "profile": "h264-720p3", "rungs": [{"lines": 360}]}"#, &["profile"]),
        (r#"{"streams": "live/*", "profile": "vp9-720p3"}"#, &["profile"]),
        (
            r#"{"streams": "x", "linger_s": 1, "rungs": [{"lines": 10}], "text": ""}"#,
            &["streams", "linger_s", "text", "rungs"],
        ),
        (
            r#"{"streams": "live/*", "rungs": [{"lines": 360}], "crop": {"left": 1, "top": 0, "width": 2, "height": 2}}"#,
            &["crop"],
        ),
    ] {
        let faults = section(text).faults();
        assert_eq!(faults.iter().map(|(key, _)| *key).collect::<Vec<_>>(), want, "{text}: {faults:?}");
    }
}

#[test]
fn what_cannot_be_drawn_or_hidden_is_refused_and_all_else_can_be_said() {
    let folder = std::env::temp_dir().join(format!("nexus-logo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("logo.jpg");
    std::fs::write(&file, [0xff, 0xd8, 0xff, 0xd9]).unwrap();
    let logo = |more: &str| format!(r#""logo": {{"file": {file:?}{more}}}"#);
    let crop = |left: u16, top: u16, width: u16, height: u16| {
        format!(r#""crop": {{"left": {left}, "top": {top}, "width": {width}, "height": {height}}}"#)
    };
    for (more, want) in [
        (logo(""), &[][..]),
        (logo(r#", "corner": "top-right", "height_percent": 100, "opacity_percent": 1"#), &[]),
        (
            logo(r#", "height_percent": 0, "opacity_percent": 101"#),
            &["logo.height_percent", "logo.opacity_percent"],
        ),
        (r#""logo": {"file": "/nowhere/logo.png"}"#.to_owned(), &["logo.file"]),
        (r#""logo": {"file": "/proc/self/exe"}"#.to_owned(), &["logo.file"]),
        (crop(0, 0, 8192, 4352), &[]),
        (crop(8190, 8190, 2, 2), &[]),
        (crop(8190, 0, 4, 2), &["crop"]),
        (crop(65534, 0, 2, 2), &["crop"]),
        (crop(0, 0, 8192, 8192), &["crop"]),
        (crop(0, 0, 0, 2), &["crop"]),
        (format!(r#""text": {:?}"#, "x".repeat(128)), &[]),
        (format!(r#""text": {:?}"#, "x".repeat(129)), &["text"]),
        (r#""text": "two\nlines""#.to_owned(), &["text"]),
        (r#""hide_source": true"#.to_owned(), &[]),
        (r#""hide_source": true, "mode": "on_demand""#.to_owned(), &["hide_source"]),
        (r#""device": "auto", "clock": "bottom-left""#.to_owned(), &[]),
    ] {
        let text = format!(r#"{{"streams": "live/x", "profile": "h264-360p1", {more}}}"#);
        let faults = section(&text).faults();
        assert_eq!(faults.iter().map(|(key, _)| *key).collect::<Vec<_>>(), want, "{text}: {faults:?}");
        if want.is_empty() {
            let (mut rungs, hired) = ladder(&text);
            let tracks = [picture(0, VideoCodec::Avc, 720)];
            rungs.turn(&tracks);
            rungs.see(TrackId::VIDEO, &key_frame(), 0);
            let request = Request::Ladder(Box::new(lock(&hired)[0].counter.shared.ladder.clone()));
            let frame = Bytes::from(request.write().expect("it can be said"));
            assert_eq!(Request::read(frame.slice(LENGTH..)), Ok(request), "{text}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_source_that_is_hidden_gets_a_rung_of_its_size_and_comes_back_when_they_are_given_up() {
    let (mut rungs, hired) = ladder(r#"{"streams": "live/x", "profile": "h264-720p2", "hide_source": true}"#);
    rungs.turn(&[picture(0, VideoCodec::Avc, 720), picture(1, VideoCodec::Avc, 480)]);
    rungs.see(TrackId::VIDEO, &key_frame(), 0);
    assert!(rungs.hides() && rungs.hidden().is_empty(), "nothing is known of them");
    {
        let hired = lock(&hired);
        let heights = hired[0].counter.shared.ladder.outputs.iter();
        let heights: Vec<_> = heights.map(|o| if let Output::Rung(r) = o { r.height } else { 0 }).collect();
        assert_eq!(heights, [720], "the publisher's own 480 is seen");
        hired[0].open(&avcc());
    }
    assert!(rungs.hear());
    assert_eq!(rungs.hidden(), [TrackId::VIDEO]);
    lock(&hired)[0].counter.shared.stand(|s| s.state = State::Dropped);
    assert!(rungs.hidden().is_empty(), "given up");
    let (mut rungs, hired) = ladder(r#"{"streams": "live/x", "profile": "h264-360p1"}"#);
    rungs.turn(&[picture(0, VideoCodec::Avc, 720)]);
    rungs.see(TrackId::VIDEO, &key_frame(), 0);
    lock(&hired)[0].open(&avcc());
    assert!(rungs.hear() && rungs.hidden().is_empty(), "not wanted");
}

/// What a decoder has to know of a picture of H.264.
pub(crate) fn avcc() -> Bytes {
    Bytes::from_static(&[
        0x01, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0x00, 0x1c, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0xd0, 0x49, 0xbf,
        0xf0, 0x04, 0x00, 0x02, 0xd1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16,
        0x2e, 0xa0, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
    ])
}
