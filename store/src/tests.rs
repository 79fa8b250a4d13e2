//! What is kept is found again, whole, after every way to stop.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use nx_hls::{Event, Mark, Part, Run, RunTrack, Segment};
use nx_media::{AudioCodec, AudioParams, Params, StreamKey, TrackId, VideoCodec, VideoParams};
use proptest::prelude::*;

use crate::log::Cursor;
use crate::record::{RECORD, Record};
use crate::store::{Budget, Store};

mod cloud;
mod pins;
mod text;

const EVER: Budget = Budget { keep_ms: i64::MAX / 2, stream_bytes: u64::MAX, bytes: u64::MAX };
const START_MS: i64 = 1_763_700_000_000;

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nx-store-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self, budget: Budget) -> Store {
        Store::open(&self.0, budget).expect("opens")
    }

    fn stream(&self) -> PathBuf {
        self.0.join("live/show")
    }

    /// The files of the stream that end so, in order.
    fn files(&self, end: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.stream()).expect("a folder");
        let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
        paths.retain(|p| p.to_string_lossy().ends_with(end));
        paths.sort();
        paths
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key() -> StreamKey {
    StreamKey::new("live", "show").expect("a key")
}

fn track(id: TrackId, run: u32) -> Arc<RunTrack> {
    let params = if id == TrackId::VIDEO {
        Params::Video(VideoParams {
            codec: VideoCodec::Avc,
            config: Bytes::from_static(&[1, 2, 3]),
            width: 640,
            height: 360,
            frame_rate: None,
            range: nx_media::VideoRange::Sdr,
            rfc6381: "avc1.64001f".into(),
        })
    } else {
        Params::Audio(AudioParams {
            codec: AudioCodec::Aac,
            config: Bytes::new(),
            sample_rate: 48_000,
            channels: 2,
            frame_samples: 1024,
            rfc6381: "mp4a.40.2".into(),
            language: nx_media::Language::new(b"eng"),
        })
    };
    Arc::new(RunTrack {
        id,
        name: id.to_string(),
        run,
        params,
        init: Bytes::from(format!("init {id} {run}")),
        key: None,
    })
}

fn run(number: u32) -> Arc<Run> {
    Arc::new(Run {
        number,
        first_msn: 0,
        tracks: vec![track(TrackId::VIDEO, number), track(TrackId::AUDIO, number)],
        start_ms: START_MS,
        wall_at_zero_ms: START_MS,
        part_target_us: 333_000,
        keys: Vec::new(),
    })
}

/// A segment of two parts and two seconds; its bytes tell what it is.
fn segment(run: &Run, index: usize, msn: u64) -> Segment {
    let track = run.tracks[index].clone();
    let scale = u64::from(track.params.timescale());
    let part = |part: u32| Part {
        msn,
        index: part,
        dts: 0,
        pts: i64::try_from(msn * 2 * scale).expect("fits"),
        duration: scale,
        independent: part == 0,
        bytes: Bytes::from(media(&track.name, msn).into_bytes()[part as usize * 40..][..40].to_vec()),
    };
    Segment {
        msn,
        discontinuity: false,
        program_date_time_ms: START_MS + i64::try_from(msn).expect("fits") * 2_000,
        parts: vec![part(0), part(1)],
        stored: None,
        duration: Some(scale * 2),
        i_frame_bytes: Some(7),
        mark: Mark::default(),
        track,
    }
}

fn media(track: &str, msn: u64) -> String {
    format!("{:<80}", format!("segment {msn} of {track}"))
}

fn keep(store: &Store, run: &Arc<Run>, numbers: impl IntoIterator<Item = u64>) {
    let log = store.log(&key());
    for msn in numbers {
        (0..2).for_each(|index| store.keep(&log, run, index, segment(run, index, msn)));
    }
    store.confirm();
}

/// Numbers of the segments of a track in the order in which they are read.
fn numbers(store: &Store, of: usize) -> Vec<u64> {
    let log = store.find(&key()).expect("kept");
    let events = log.read(&mut Cursor::from(0), i64::MAX).expect("reads");
    let number = |event: &Event| match event {
        Event::Stored { track, segment } if *track == of => Some(segment.msn),
        _ => None,
    };
    events.iter().filter_map(number).collect()
}

fn assert_plays(store: &Store, numbers: impl IntoIterator<Item = u64>) {
    let log = store.find(&key()).expect("kept");
    for msn in numbers {
        for track in ["v1", "a1"] {
            let bytes = log.segment(track, msn, None).expect("reads").expect("is there");
            assert_eq!(bytes, media(track, msn).as_bytes(), "{track} {msn}");
        }
    }
}

#[test]
fn what_is_kept_is_found_again_by_the_next_process() {
    let folder = Folder::new("again");
    keep(&folder.open(EVER), &run(0), 5..9);
    let store = folder.open(EVER);
    assert_plays(&store, 5..9);
    keep(&store, &run(1), 9..12);
    assert_plays(&store, 5..12);
    let log = store.find(&key()).expect("kept");
    assert_eq!(log.init("a1", 1, None).expect("reads").as_deref(), Some(&b"init a1 1"[..]));
    assert_eq!(log.init("a1", 7, None).expect("reads"), None);
    assert_eq!(log.segment("v1", 6, Some(1)).expect("reads"), None, "of another run");
    assert_eq!(log.segment("v1", 99, None).expect("reads"), None);
    let begins = |msn, bytes| log.beginning("v1", msn, 1, bytes).expect("reads");
    assert_eq!(begins(10, 9).as_deref(), media("v1", 10).as_bytes().get(..9));
    assert_eq!(begins(10, 999).as_deref(), Some(media("v1", 10).as_bytes()));
    assert_eq!((begins(6, 9), begins(99, 9)), (None, None), "of another run, and of none");
    let events = log.read(&mut Cursor::from(0), i64::MAX).expect("reads");
    let runs: Vec<&Arc<Run>> =
        events.iter().filter_map(|e| if let Event::Run(run) = e { Some(run) } else { None }).collect();
    assert_eq!(runs, [&run(0), &run(1)], "with all that is known of their tracks");
}

#[test]
fn a_reader_goes_on_where_it_was_and_stops_where_it_should() {
    let folder = Folder::new("cursor");
    let store = folder.open(EVER);
    keep(&store, &run(0), 0..10);
    let log = store.find(&key()).expect("kept");
    let mut cursor = Cursor::from(START_MS + 4_000);
    let count = |events: Vec<Event>| events.len();
    assert_eq!(count(log.read(&mut cursor, START_MS + 10_000).expect("reads")), 1 + 3 * 2, "2, 3 and 4");
    assert_eq!(count(log.read(&mut cursor, START_MS + 10_000).expect("reads")), 0);
    assert_eq!(count(log.read(&mut cursor, i64::MAX).expect("reads")), 5 * 2, "the run is known");
    keep(&store, &run(1), 10..11);
    assert_eq!(count(log.read(&mut cursor, i64::MAX).expect("reads")), 3);
}

#[test]
fn files_cut_off_anywhere_give_every_whole_segment_and_nothing_else() {
    let folder = Folder::new("torn");
    keep(&folder.open(EVER), &run(0), 0..4);
    let (media_file, index_file) = (folder.files(".media").remove(0), folder.files(".index").remove(0));
    let (media_bytes, index_bytes) =
        (std::fs::read(&media_file).expect("reads"), std::fs::read(&index_file).expect("reads"));
    for cut in 0..media_bytes.len() + index_bytes.len() {
        // As a process leaves them that is killed: media first, then its record, in turn.
        let (mut media_len, mut index_len, mut left) = (0, 0, cut);
        while left > 0 {
            let step = if index_len / RECORD * 80 + 80 > media_len { (80, 0) } else { (0, RECORD) };
            let (media, index) = (step.0.min(left), step.1.min(left));
            (media_len, index_len, left) = (media_len + media, index_len + index, left - media - index);
        }
        // Half of them with the rest of a block.
        let behind = if cut % 2 == 0 { 0 } else { 4096 - media_len };
        let media = [&media_bytes[..media_len], &vec![0; behind]].concat();
        std::fs::write(&media_file, media).expect("writes");
        std::fs::write(&index_file, &index_bytes[..index_len]).expect("writes");
        let store = folder.open(EVER);
        let whole = index_len / RECORD;
        let kept = numbers(&store, 0).len() + numbers(&store, 1).len();
        assert_eq!(kept, whole, "cut at {cut}");
        assert_plays(&store, 0..(whole / 2) as u64);
        if cut % 97 == 0 {
            // It can be written to again.
            keep(&store, &run(0), 4..6);
            assert_plays(&store, 4..6);
        }
        drop(store);
        folder.files(".media").iter().skip(1).chain(folder.files(".index").iter().skip(1)).for_each(|file| {
            std::fs::remove_file(file).expect("removes");
        });
    }
}

#[test]
fn what_the_disk_lost_with_the_power_is_not_listed() {
    let folder = Folder::new("power");
    keep(&folder.open(EVER), &run(0), 0..4);
    let path = folder.files(".media").remove(0);
    let mut bytes = std::fs::read(&path).expect("reads");
    // Written out of order: a block in the middle never came.
    bytes[5 * 80..5 * 80 + 10].fill(0);
    std::fs::write(&path, &bytes).expect("writes");
    let store = folder.open(EVER);
    assert_eq!((numbers(&store, 0), numbers(&store, 1)), (vec![0, 1, 2], vec![0, 1]));
}

#[test]
fn the_oldest_goes_first_and_the_runs_that_only_it_had() {
    let folder = Folder::new("budget");
    let store = folder.open(Budget { stream_bytes: 160 * 500, ..EVER });
    keep(&store, &run(0), 0..300);
    keep(&store, &run(1), 300..1000);
    let left = numbers(&store, 0);
    assert_eq!((left.first(), left.last()), (Some(&600), Some(&999)), "volumes of ten minutes");
    assert!(!folder.files("run-0").iter().any(|p| p.exists()), "its tracks are gone too");
    assert_plays(&store, left);
}

#[test]
fn a_pause_parts_two_recordings_unless_it_is_short() {
    let folder = Folder::new("recordings");
    let store = folder.open(EVER);
    keep(&store, &run(0), (0..4).chain(9..12));
    keep(&store, &run(1), 400..402);
    let recordings = store.find(&key()).expect("kept").recordings(30_000);
    let spans: Vec<(i64, i64)> =
        recordings.iter().map(|r| (r.begins_ms - START_MS, r.ends_ms - START_MS)).collect();
    assert_eq!(spans, [(0, 24_000), (800_000, 804_000)]);
    assert_eq!(recordings[0].bytes, 7 * 160);
}

proptest! {
    #[test]
    fn a_record_reads_as_it_was_written_and_no_other(
        (track, independent, run, msn, begins_ms, pts) in any::<(u8, bool, u32, u64, i64, i64)>(),
        (ticks, duration_ms, offset, bytes, crc, i_frame) in any::<(u32, u32, u64, u32, u32, Option<u32>)>(),
        (at, flip) in (0..RECORD, 1..=255_u8),
    ) {
        let record = Record {
            track, key: track, independent, i_frame_bytes: i_frame, run, msn, begins_ms, pts, ticks, duration_ms, offset, bytes, crc,
        };
        let mut written = record.write();
        prop_assert_eq!(Record::read(&written), Some(record));
        written[at] ^= flip;
        prop_assert_eq!(Record::read(&written), None);
    }
}

#[test]
fn what_is_older_than_it_is_kept_goes_but_for_what_is_being_written() {
    let folder = Folder::new("old");
    let store = folder.open(Budget { keep_ms: 160_000, ..EVER });
    keep(&store, &run(0), 0..30);
    assert_eq!(numbers(&store, 0), (20..30).collect::<Vec<_>>(), "all of it is of last year");
    store.close(&store.log(&key()));
    store.confirm();
    assert_eq!(store.find(&key()).and_then(|log| log.span()), None);
}
