//! Slates by table, and by a worker in shell that says what the tests wrote down.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nx_codec::aac;
use nx_media::{AudioCodec, AudioParams, FrameRate, Sample, VideoCodec, VideoParams, VideoRange};
use nx_worker_protocol::{Reply, VERSION};

use super::*;
use crate::config::{Policy, StreamConfig};
use crate::images::ImagesConfig;
use crate::ingest::clip::{ClipInput, Round};
use crate::ladder::tests::avcc;
use crate::media::Media;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n IEND\xae\x42\x60\x82";

fn video(width: u32, rate: Option<(u32, u32)>) -> Params {
    Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::new(),
        width,
        height: 90,
        frame_rate: rate.map(|(num, den)| FrameRate { num, den }),
        range: VideoRange::Sdr,
        rfc6381: String::new(),
    })
}

fn sound(asc: &'static [u8]) -> Params {
    Params::Audio(aac::parse_config(&Bytes::from_static(asc)).unwrap())
}

fn tracks(params: &[Params]) -> BTreeMap<TrackId, Params> {
    let id = |p: &Params| if p.kind() == Kind::Video { TrackId::VIDEO } else { TrackId::AUDIO };
    params.iter().map(|p| (id(p), p.clone())).collect()
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexus-slates-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A worker that says this, whatever it hears.
    fn worker(&self, replies: &[Reply]) -> PathBuf {
        let said = [Reply::Hello(VERSION)]
            .iter()
            .chain(replies)
            .flat_map(|r| r.write().unwrap())
            .collect::<Vec<_>>();
        let (path, file) = (self.0.join("worker.sh"), self.0.join("said"));
        std::fs::write(&file, said).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n/bin/cat {:?}\nexec /bin/cat > /dev/null\n", file))
            .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Slates of one picture.
    fn slates(&self, worker: &Path) -> (Slates, PathBuf) {
        let file = self.0.join("slate.png");
        std::fs::write(&file, PNG).unwrap();
        let policy =
            Policy { name: "live/*".into(), slate: Some(file.clone()), slate_s: 60, slate_after_ms: 0 };
        let stream = StreamConfig { policies: vec![policy], ..StreamConfig::default() };
        let images = ImagesConfig { worker: Some(worker.into()), ..ImagesConfig::default() };
        let config = Config { stream, images, ..Config::default() };
        (Slates::load(&config).expect("a picture"), file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits for what becomes of a slate; time does not pass meanwhile.
async fn settled(slate: &Slate) {
    while slate.clip().is_none() && slate.fault().is_none() {
        tokio::task::yield_now().await;
    }
}

fn coded(nth: i64) -> Reply {
    let (dts, payload) = (nth * 3003, Bytes::from_static(b"\0\0\0\x01x"));
    Reply::Coded { output: 0, sample: Sample { dts, pts: dts, duration: Some(3003), key: nth == 0, payload } }
}

fn opened() -> Reply {
    Reply::Opened { output: 0, config: avcc(), encoder: "test".into() }
}

#[tokio::test]
async fn a_picture_becomes_a_clip_of_what_the_worker_codes_and_silence() {
    let folder = Folder::new("picture");
    let replies: Vec<Reply> =
        [opened()].into_iter().chain((0..60).map(coded)).chain([Reply::Flushed]).collect();
    let (slates, file) = folder.slates(&folder.worker(&replies));
    let stream = tracks(&[video(160, Some((30_000, 1001))), sound(&[0x12, 0x10])]);
    let slate = slates.fit(&file, &stream, None).expect("it is one of them");
    settled(&slate).await;
    let clip = slate.clip().unwrap_or_else(|| panic!("{:?}", slate.fault()));
    let mut seen = Vec::new();
    ClipInput::new(clip, 0).read(4_004, &mut |_| (), &mut |media| match media {
        Media::Params(id, params) => seen.push(format!("{id} {}", params.rfc6381())),
        Media::Frame(a) if a.key && a.track == TrackId::VIDEO => seen.push(a.stamp.to_string()),
        _ => {}
    });
    // 2.002 s from key frame to key frame.
    assert_eq!(seen, ["v1 avc1.42c01e", "a1 mp4a.40.2", "0", "180180", "360360"]);
    // Streams that are alike share it, one that is not gets its own.
    let again = slates.fit(&file, &stream, None).unwrap();
    assert!(
        Arc::ptr_eq(&slate, &again) && Arc::ptr_eq(&slates.fit(&file, &stream, Some(again)).unwrap(), &slate)
    );
    let other = slates.fit(&file, &tracks(&[video(320, None)]), None).unwrap();
    assert!(!Arc::ptr_eq(&slate, &other) && lock(&slates.fitted).len() == 2);
    settled(&other).await;
    drop((slate, other));
    slates.fit(&file, &tracks(&[video(640, None)]), None);
    assert_eq!(lock(&slates.fitted).len(), 1, "what nobody has is forgotten");
}

#[tokio::test]
async fn a_slate_that_cannot_be_made_says_why() {
    let folder = Folder::new("fault");
    let refused = Reply::Refused { output: 0, why: "the picture is broken".into() };
    for (said, want) in [
        (&[refused, Reply::Flushed][..], "cannot be shown: the picture is broken"),
        (&[opened(), Reply::Flushed], "nothing can be decoded of it"),
        (&[opened(), coded(1), Reply::Flushed], "or not from its beginning"),
        (&[], "nexus-transcoder is not at"),
    ] {
        let worker = if said.is_empty() { folder.0.join("none") } else { folder.worker(said) };
        let (slates, file) = folder.slates(&worker);
        let slate = slates.fit(&file, &tracks(&[video(160, None)]), None).expect("it is one of them");
        settled(&slate).await;
        let fault = slate.fault().expect("a reason");
        assert!(slate.clip().is_none() && fault.contains(want) && fault.contains("slate.png"), "{fault}");
    }
}

#[test]
fn files_that_are_no_slates_are_refused_at_once() {
    let folder = Folder::new("files");
    for (name, bytes, want) in [
        ("cut.png", &PNG[..9], "ends before the picture does"),
        ("text.ts", b"no packets".as_slice(), "PNG or JPEG picture"),
    ] {
        let file = folder.0.join(name);
        std::fs::write(&file, bytes).unwrap();
        let told = Source::load(&file).unwrap_err();
        assert!(told.contains(want), "{told}");
    }
    assert!(Source::load(&folder.0.join("none.png")).unwrap_err().contains("cannot be read"));
}

#[test]
fn a_clip_is_shown_as_it_is_where_it_fits() {
    let (stereo, mono) = (sound(&[0x11, 0x90]), sound(&[0x11, 0x88]));
    let clip = |params: &[Params]| {
        let rounds = vec![Round { frames: Vec::new(), length: 1, hz: 1 }];
        Clip::new(tracks(params).into_iter().collect(), rounds)
    };
    let hevc = |p: Params| match p {
        Params::Video(v) => Params::Video(VideoParams { codec: VideoCodec::Hevc, ..v }),
        other => other,
    };
    let both = [video(160, None), stereo.clone()];
    for (name, stream, has, fits) in [
        ("the same", &both[..], &both[..], true),
        ("another rate of frames", &both, &[video(160, Some((25, 1))), stereo.clone()], true),
        ("sound that is not needed", &both[..1], &both, true),
        ("another size", &both, &[video(320, None), stereo.clone()], false),
        ("another codec", &both, &[hevc(video(160, None)), stereo.clone()], false),
        ("other loudspeakers", &both, &[video(160, None), mono], false),
        ("no sound", &both, &both[..1], false),
        ("a picture that is not needed", &both[1..], &both, false),
    ] {
        let of = |kind| stream.iter().find(|p| p.kind() == kind);
        let form = Form::of(of(Kind::Video), of(Kind::Audio), 2000);
        assert_eq!(form.fits(&clip(has)), fits, "{name}");
    }
}

#[test]
fn a_picture_stands_for_a_segment_or_four_seconds() {
    for (rate, segment_ms, want) in [
        (Some((30, 1)), 2_000, ((30, 1), 60)),
        (Some((30_000, 1001)), 2_000, ((30_000, 1001), 60)),
        (Some((25, 1)), 10_000, ((25, 1), 100)),
        (Some((60, 1)), 1_000, ((60, 1), 60)),
        (None, 2_000, ((30, 1), 60)),
        (Some((1, u32::MAX)), 2_000, ((30, 1), 60)),
        (Some((90_000, 1)), 2_000, ((30, 1), 60)),
        (Some((240, 1)), 30_000, ((240, 1), 960)),
    ] {
        let form = Form::of(Some(&video(160, rate)), None, segment_ms);
        let slate = form.slate(&Bytes::from_static(b"png")).expect("it has a picture");
        let found = ((slate.frame_rate.num, slate.frame_rate.den), slate.frames);
        assert_eq!(found, want, "{rate:?} {segment_ms}");
    }
}

#[test]
fn silence_is_the_streams_where_it_is_known_and_else_in_aac() {
    let opus = Params::Audio(nx_codec::opus::params(2, None));
    let surround = sound(&[0x11, 0xb0]);
    let told = |params: &Params| {
        let (sound, round) = Form::of(None, Some(params), 2000).silence().expect("silence");
        let Params::Audio(AudioParams { codec, sample_rate, channels, .. }) = sound else { unreachable!() };
        assert_eq!((round.length, round.hz, round.frames.len()), (1024, sample_rate, 1));
        (codec, sample_rate, channels)
    };
    assert_eq!(told(&sound(&[0x12, 0x08])), (AudioCodec::Aac, 44_100, 1));
    assert_eq!(told(&sound(&[0x11, 0x90])), (AudioCodec::Aac, 48_000, 2));
    assert_eq!(told(&opus), (AudioCodec::Aac, 48_000, 2));
    assert_eq!(told(&surround), (AudioCodec::Aac, 48_000, 2));
    assert!(Form::of(Some(&video(160, None)), None, 2000).silence().is_none());
}
