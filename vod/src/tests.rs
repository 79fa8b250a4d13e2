//! Titles out of files that we make: what is cut is all there, in order, at its time, and the same every time.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use nx_container::fmp4;
use nx_container::index::{Cut, Index, IndexTrack, Packing, Place};
use nx_hls::{Event, Stored};
use nx_media::{AudioParams, Kind, Params, Sample, TrackId, VideoCodec, VideoParams, VideoRange};
use proptest::prelude::*;

use crate::cache::Kept;
use crate::identity::Identity;
use crate::plan::Plan;
use crate::{Bounds, Library, Title, TitleError, open};

mod uploads;

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nx-vod-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("titles")).expect("makes");
        Self(path)
    }

    fn library(&self) -> Arc<Library> {
        let bounds = Bounds { file_bytes: 1 << 30, index_bytes: 1 << 20, cache_bytes: 1 << 20 };
        Arc::new(Library::new(self.0.join("titles"), self.0.join("indexes"), self.0.join("made"), bounds))
    }

    fn put(&self, file: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join("titles").join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        fs::write(&path, bytes).expect("writes");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Sound of so many packets of 20 ms, as a fragmented MP4; each has bytes of its own.
fn film(packets: usize) -> Vec<u8> {
    let params = Params::Audio(nx_codec::opus::params(2, None));
    let mut bytes = fmp4::init(&params).to_vec();
    let sample = |n: usize| {
        let dts = n as i64 * 960;
        let payload = Bytes::from(format!("packet {n}"));
        Sample { dts, pts: dts, duration: Some(960), key: true, payload }
    };
    for (nth, first) in (0..packets).step_by(50).enumerate() {
        let chunk: Vec<Sample> = (first..packets.min(first + 50)).map(sample).collect();
        bytes.extend(fmp4::fragment(nth as u32, Kind::Audio, &chunk).expect("a fragment"));
    }
    bytes
}

/// The segments that a title lists, by track.
fn stored(title: &Title, track: usize) -> Vec<Stored> {
    let of = |event| match event {
        Event::Stored { track: of, segment } if of == track => Some(segment),
        _ => None,
    };
    title.events(0, i64::MAX).into_iter().filter_map(of).collect()
}

#[test]
fn segments_hold_all_samples_once_and_are_as_long_as_told() {
    let folder = Folder::new("segments");
    folder.put("show.mp4", &film(1_234));
    let title = folder.library().open("show").expect("opens");
    let run = title.identity().run();
    let (mut texts, mut at) = (Vec::new(), 0);
    let listed = stored(&title, 0);
    for (nth, segment) in listed.iter().enumerate() {
        assert_eq!((segment.msn, segment.pts, segment.named_by_run), (nth as u64, at, true));
        let bytes = title.segment("a1", segment.msn, Some(run)).expect("reads").expect("is there");
        assert_eq!(bytes.len(), segment.bytes, "as large as listed");
        let samples = fmp4::samples(&bytes).expect("ours");
        assert_eq!(samples[0].dts, segment.pts);
        at += i64::try_from(segment.duration).expect("short");
        texts.extend(samples.into_iter().map(|s| String::from_utf8(s.payload.to_vec()).expect("text")));
    }
    assert_eq!(at, 1_234 * 960, "not a tick is lost");
    assert_eq!(texts, (0..1_234).map(|n| format!("packet {n}")).collect::<Vec<_>>());
    for (track, msn, of) in
        [("v1", 0, Some(run)), ("a1", 0, None), ("a1", 0, Some(run ^ 1)), ("a1", 1 << 40, Some(run))]
    {
        assert_eq!(title.segment(track, msn, of), Ok(None), "{track} {msn} {of:?}");
    }
    assert_eq!(title.duration_ms(), 24_680);
    let stretch = title.events(5_000, 6_000);
    assert!(matches!(stretch[..], [Event::Run(_), Event::Stored { segment: Stored { msn: 1, .. }, .. }]));
}

#[test]
fn a_file_that_was_changed_is_another_and_never_read_as_the_one_before() {
    let folder = Folder::new("changed");
    let library = folder.library();
    let path = folder.put("show.mp4", &film(100));
    let before = library.open("show").expect("opens");
    let run = before.identity().run();
    // In its place, as long, with another time.
    let mut other = film(100);
    let at = other.windows(8).position(|w| w == b"packet 7").expect("a packet");
    other[at] = b'P';
    fs::write(&path, other).expect("writes");
    let file = fs::File::options().write(true).open(&path).expect("opens");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(7)).expect("sets");
    assert_eq!(before.segment("a1", 0, Some(run)), Err(TitleError::Changed));
    let after = library.open("show").expect("opens");
    assert_ne!(after.identity().run(), run);
    fs::remove_file(&path).expect("removes");
    assert_eq!(after.segment("a1", 0, Some(after.identity().run())), Err(TitleError::Unknown));
    assert_eq!(library.open("show").map(drop), Err(TitleError::Unknown));
}

#[test]
fn renditions_come_behind_the_file_and_names_that_were_given_stay() {
    let folder = Folder::new("made");
    let library = folder.library();
    folder.put("show.mp4", &film(1_234));
    let found = library.find("show").expect("is there");
    let before = library.open("show").expect("opens");
    let first = before.segment("a1", 0, Some(before.run().number)).expect("reads").expect("is there");
    // A rendition of the same sound, in bytes of its own.
    let packets: Vec<_> = (0..1_234).map(|_| (960, 0, 3, true)).collect();
    let id = TrackId { kind: Kind::Audio, nth: 1 };
    let index = Index { tracks: vec![track(id, samples(0, &packets))], left_out: vec![] };
    let media = library.workshop(&found).join("media");
    fs::create_dir_all(library.workshop(&found)).expect("makes");
    fs::write(&media, b"abc".repeat(1_234)).expect("writes");
    assert_eq!(library.workshops(), [("show".to_owned(), library.workshop(&found))]);
    library.publish(&found, &media, &index).expect("publishes");
    assert_eq!(library.workshops(), []);
    let after = library.open("show").expect("opens");
    assert_eq!((after.made(), after.run().tracks.len(), before.made()), (1, 2, 0));
    let (old, new) = (before.run().number, after.run().number);
    assert_ne!(old, new, "the list is another");
    for run in [old, new] {
        assert_eq!(after.segment("a1", 0, Some(run)), Ok(Some(first.clone())));
        assert_eq!(after.init("a1", run), before.init("a1", old));
    }
    assert_eq!((after.segment("a2", 0, Some(old)), after.init("a2", old)), (Ok(None), None));
    let made = after.segment("a2", 0, Some(new)).expect("reads").expect("is there");
    assert!(fmp4::samples(&made).expect("ours").iter().all(|s| &s.payload[..] == b"abc"));
    // A lost index costs the renditions, not the title.
    let indexes = fs::read_dir(folder.0.join("made/show")).expect("a folder").flatten().map(|e| e.path());
    indexes
        .filter(|p| p.extension().is_some_and(|e| e == "index"))
        .for_each(|p| fs::remove_file(p).expect("goes"));
    assert_eq!(folder.library().open("show").expect("opens").made(), 0);
    assert!(library.unmake("show").expect("removes") && !library.unmake("show").expect("is gone"));
    assert_eq!(library.open("show").expect("opens").run().number, old);
    assert!(!library.unmake("..").expect("is no name"));
}

#[test]
fn names_stay_in_the_folder() {
    let folder = Folder::new("names");
    let library = folder.library();
    for file in
        ["one.mp4", "deep/er/two.MOV", ".hidden.mp4", "with space.mp4", "tilde~.mp4", "note.txt", "one.mkv"]
    {
        folder.put(file, &film(1));
    }
    let outside = folder.0.join("secret.mp4");
    fs::write(&outside, film(1)).expect("writes");
    std::os::unix::fs::symlink(&outside, folder.0.join("titles/link.mp4")).expect("links");
    let names: Vec<String> = library.list().into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["deep~er~two", "one"]);
    assert!(library.find("one").expect("found").path.ends_with("one.mp4"), "the first ending counts");
    for name in [
        "",
        "..",
        "..~secret",
        "deep",
        "deep~er",
        "one.mp4",
        ".hidden",
        "link",
        "deep/er/two",
        "tilde~",
        "one\0",
    ] {
        assert_eq!(library.find(name), None, "{name:?}");
    }
    assert!(library.remove("one").expect("removes") && !library.remove("link").expect("is none"));
    assert!(outside.exists());
}

#[test]
fn indexes_in_memory_stay_within_their_bound() {
    let folder = Folder::new("bound");
    let bounds = Bounds { file_bytes: 1 << 20, index_bytes: 100_000, cache_bytes: 1 << 20 };
    let library =
        Library::new(folder.0.join("titles"), folder.0.join("indexes"), folder.0.join("made"), bounds);
    for n in 0..20 {
        folder.put(&format!("show{n}.mp4"), &film(1_000));
        folder.put(&format!("bad{n}.mp4"), &film(1_000)[..9_000]);
    }
    for n in 0..20 {
        library.open(&format!("show{n}")).expect("opens");
        assert!(matches!(library.open(&format!("bad{n}")), Err(TitleError::Index(_))));
        assert!(library.weight() <= 100_000, "{}", library.weight());
    }
    folder.put("large.mp4", &vec![0; (1 << 20) + 1]);
    assert!(library.open("large").unwrap_err().to_string().contains("bytes in a file: at most 1048576"));
}

fn track(id: TrackId, samples: Vec<Place>) -> IndexTrack {
    let params = match id.kind {
        Kind::Video => Params::Video(VideoParams {
            codec: VideoCodec::Av1,
            config: Bytes::new(),
            width: 16,
            height: 16,
            frame_rate: None,
            range: VideoRange::Sdr,
            rfc6381: "av01.0.00M.08".into(),
        }),
        Kind::Audio => Params::Audio(AudioParams { sample_rate: 44_100, ..nx_codec::opus::params(2, None) }),
    };
    IndexTrack { id, params, packing: Packing::Whole, samples }
}

/// Samples that follow each other: length, presentation after decoding, bytes, key.
fn samples(begin: i64, all: &[(u32, i32, u32, bool)]) -> Vec<Place> {
    let mut dts = begin;
    let place = |&(duration, cts, bytes, key): &(u32, i32, u32, bool)| {
        let place = Place { dts, cts, duration, offset: 0, bytes, key, cut: Cut::default() };
        dts += i64::from(duration);
        place
    };
    all.iter().map(place).collect()
}

proptest! {
    #[test]
    fn every_sample_is_in_one_segment_and_no_time_is_negative(
        video in prop::collection::vec((1_u32..900_000, -20_000_i32..20_000, 1_u32..9_000_000, any::<bool>()), 0..200),
        more in prop::collection::vec((1_u32..900_000, -20_000_i32..20_000, 1_u32..100, any::<bool>()), 0..200),
        audio in prop::collection::vec((1_u32..200_000, 0_i32..1, 1_u32..100, Just(true)), 0..200),
        begins in (-1_000_000_i64..30_000_000, -1_000_000_i64..30_000_000, -1_000_000_i64..30_000_000),
    ) {
        let tracks: Vec<IndexTrack> = [
            track(TrackId::VIDEO, samples(begins.0, &video)),
            track(TrackId::video(1), samples(begins.1, &more)),
            track(TrackId::AUDIO, samples(begins.2, &audio)),
        ].into_iter().filter(|t| !t.samples.is_empty()).collect();
        prop_assume!(!tracks.is_empty());
        let plan = Plan::of(&tracks);
        for (nth, track) in tracks.iter().enumerate() {
            let segments = (0..plan.segments()).map(|segment| plan.samples(nth, track, segment));
            let all: Vec<Place> = segments.clone().flatten().copied().collect();
            prop_assert_eq!(&all, &track.samples);
            let late = plan.late_s * i64::from(track.params.timescale());
            prop_assert!(all.iter().take(1).all(|s| s.dts + late >= 0 && s.dts + i64::from(s.cts) + late >= 0));
            if nth == 0 && track.id.kind == Kind::Video {
                for segment in segments.filter(|s| s.len() > 1) {
                    let long = segment[..segment.len() - 1].iter().map(|s| i64::from(s.duration)).sum::<i64>();
                    let bytes = segment[..segment.len() - 1].iter().map(|s| u64::from(s.bytes)).sum::<u64>();
                    prop_assert!(long < 30 * 90_000 && bytes <= 32 << 20, "{} {}", long, bytes);
                    let first_key = segment.iter().skip(1).find(|s| s.key && s.dts - segment[0].dts >= 4 * 90_000);
                    prop_assert_eq!(first_key, None, "it would have been cut there");
                }
            }
        }
    }
}

#[test]
fn sound_is_cut_where_pictures_are() {
    let video: Vec<_> = (0..500).map(|n| (3_600, 0, 100, n % 50 == 0)).collect();
    let audio: Vec<_> = (0..862).map(|_| (1_024, 0, 10, true)).collect();
    let tracks = [track(TrackId::VIDEO, samples(0, &video)), track(TrackId::AUDIO, samples(-1_024, &audio))];
    let plan = Plan::of(&tracks);
    assert_eq!((plan.segments(), plan.late_s), (5, 1));
    for nth in 0..5 {
        let [v, a] = [0, 1].map(|t| plan.samples(t, &tracks[t], nth));
        assert_eq!((v.len(), v[0].dts), (100, i64::try_from(nth).expect("few") * 360_000));
        let apart = a[0].dts as f64 / 44_100.0 - v[0].dts as f64 / 90_000.0;
        assert!(apart.abs() <= 0.5 * 1_024.0 / 44_100.0 || nth == 0, "{apart}");
    }
}

#[test]
fn an_index_that_was_dear_is_kept() {
    let folder = Folder::new("kept");
    let path = folder.put("show.mp4", &film(10));
    let identity = Identity::of(&fs::metadata(&path).expect("is there"));
    let kept = |name: &str| Kept { path: folder.0.join(format!("indexes/{name}.index")), bytes_max: 1_000 };
    let index =
        Index { tracks: vec![track(TrackId::AUDIO, samples(0, &[(960, 0, 8, true)]))], left_out: vec![] };
    kept("show").write(identity, &index).expect("writes");
    let read = open::read(&path, identity, Some(kept("show"))).expect("opens");
    assert_eq!(read, index, "the file is not asked again");
    let other = Identity { bytes: identity.bytes, changed_ns: identity.changed_ns + 1 };
    assert_eq!(open::read(&path, other, Some(kept("show"))).map(drop), Err(TitleError::Changed));
    // The one that was not read for longest makes room, and what never fits is not kept.
    let bytes = fs::metadata(kept("show").path).expect("is there").len();
    let most = |name: &str, count: u64| Kept { bytes_max: count * bytes, ..kept(name) };
    let aged = |name: &str, s: u64| {
        let file = fs::File::options().write(true).open(kept(name).path).expect("opens");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(s)).expect("sets");
    };
    most("two", 2).write(identity, &index).expect("writes");
    aged("show", 1);
    aged("two", 2);
    assert_eq!(kept("show").read(identity).as_ref(), Some(&index));
    most("three", 2).write(identity, &index).expect("writes");
    let there = ["show", "two", "three"].map(|name| kept(name).path.exists());
    assert_eq!(there, [true, false, true]);
    most("four", 0).write(identity, &index).expect("writes");
    assert!(!kept("four").path.exists() && kept("three").path.exists());
}
