//! The queue with workers that are the test: nothing is lost, nothing counts twice, and what is wrong is not published.

use bytes::Bytes;
use nx_container::fmp4;
use nx_contract::titles::Coded as _;
use nx_media::{Kind, Params, Sample};
use nx_vod::Bounds;
use nx_worker_protocol::{LENGTH, Reply, Request};

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::job::ATTEMPTS_MAX;
use super::*;
use crate::ladder::tests::{avcc, section};

/// A folder of its own, gone with the test.
struct Stage(PathBuf);

impl Stage {
    /// With a title of so many seconds: 25 pictures in a second, a key frame every two, shown one late.
    fn new(name: &str, seconds: usize) -> Self {
        let path = std::env::temp_dir().join(format!("nx-jobs-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("vod")).expect("makes");
        let params = Params::Video(nx_codec::avc::parse_config(&avcc()).expect("good"));
        let mut file = fmp4::init(&params).to_vec();
        for first in (0..seconds * 25).step_by(50) {
            let sample = |nth: usize| {
                let dts = nth as i64 * 3600;
                let payload = Bytes::from(format!("picture {nth}"));
                Sample { dts, pts: dts + 3600, duration: Some(3600), key: nth.is_multiple_of(50), payload }
            };
            let samples: Vec<Sample> = (first..first + 50).map(sample).collect();
            file.extend(fmp4::fragment(1, Kind::Video, &samples).expect("a fragment"));
        }
        fs::write(path.join("vod/show.mp4"), file).expect("writes");
        Self(path)
    }

    fn library(&self) -> Arc<Library> {
        let bounds = Bounds { file_bytes: 1 << 30, index_bytes: 1 << 20, cache_bytes: 1 << 20 };
        let [files, indexes, made] = ["vod", "indexes", "made"].map(|folder| self.0.join(folder));
        Arc::new(Library::new(files, indexes, made, bounds))
    }

    fn jobs(&self) -> Arc<Jobs> {
        let rules = [section(r#"{"streams": "vod/*", "rungs": [{"lines": 240}, {"lines": 120}]}"#)];
        let keys = Keys::open(&[]).expect("none");
        Arc::new(Jobs::new(self.library(), "vod", &rules, 1 << 30, &keys))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Does what a worker is told; what is made of each sample is up to `make`.
fn work(input: impl Iterator<Item = io::Result<Vec<u8>>>, make: impl Fn(Sample) -> Sample) -> Vec<Reply> {
    let (mut outputs, mut replies) = (0, vec![Reply::Hello(nx_worker_protocol::VERSION)]);
    for frame in input {
        let frame = Bytes::from(frame.expect("reads")).slice(LENGTH..);
        match Request::read(frame).expect("a request") {
            Request::Ladder(ladder) => {
                outputs = u8::try_from(ladder.outputs.len()).expect("few");
                let opened = |output| Reply::Opened { output, config: avcc(), encoder: "test".into() };
                replies.extend((0..outputs).map(opened));
            }
            Request::Sample(_, sample) => {
                let sample = make(Sample { dts: sample.pts, ..sample });
                replies.extend((0..outputs).map(|output| Reply::Coded { output, sample: sample.clone() }));
            }
            Request::Flush => replies.push(Reply::Flushed),
            other => panic!("{other:?}"),
        }
    }
    replies
}

fn same(sample: Sample) -> Sample {
    sample
}

fn bytes(replies: &[Reply]) -> Vec<u8> {
    replies.iter().flat_map(|reply| reply.write().expect("fits")).collect()
}

/// Takes a piece and does it.
fn finish_one(jobs: &Arc<Jobs>, make: impl Fn(Sample) -> Sample) -> Result<(), Fault> {
    let Taken { lease, input } = jobs.take("test").expect("reads").expect("work");
    let mut hearing = jobs.hear(&lease).expect("is taken");
    // In pieces that are no frames.
    bytes(&work(input, make)).chunks(1000).try_for_each(|part| hearing.write(part))?;
    Box::new(hearing).confirm()
}

/// As [`Jobs::tend`] does it.
fn join_all(jobs: &Jobs) {
    let whole: Vec<_> = lock(&jobs.state)
        .iter()
        .filter(|j| j.is_full())
        .map(|j| (j.plan.clone(), j.folder.clone()))
        .collect();
    whole.iter().for_each(|(plan, folder)| jobs.finish(plan, folder));
}

#[test]
fn pieces_that_were_made_in_any_order_by_anybody_are_one_rendition() {
    let stage = Stage::new("order", 60);
    let jobs = stage.jobs();
    let told = jobs.begin("show").expect("begins");
    assert_eq!((told.state, told.chunks, told.percent), (LadderState::Waiting, 4, 0));
    assert_eq!(jobs.begin("show").expect("goes on").chunks, 4, "asked twice, begun once");
    let mut taken: Vec<Taken> = std::iter::from_fn(|| jobs.take("one").expect("reads")).collect();
    assert_eq!((taken.len(), jobs.has_work()), (4, false));
    // The last is done first; one is given up on the way.
    let Taken { lease, input } = taken.pop().expect("four");
    let mut last = jobs.hear(&lease).expect("is taken");
    last.write(&bytes(&work(input, same))).expect("takes");
    let found = jobs.find("show").expect("is there");
    let told = jobs.told(&found).expect("is made");
    assert_eq!((told.state, told.chunks_done, told.workers.len()), (LadderState::Running, 0, 4));
    assert!((19..=20).contains(&told.percent), "12 of 60 s: {}", told.percent);
    Box::new(last).confirm().expect("keeps");
    let Taken { lease, input } = taken.pop().expect("three");
    let mut half = jobs.hear(&lease).expect("is taken");
    let some = bytes(&work(input, same));
    half.write(&some[..some.len() / 2]).expect("takes");
    drop(half);
    assert!(jobs.hear(&lease).is_err() && jobs.has_work(), "it is somebody else's");
    finish_one(&jobs, same).expect("is done");
    for Taken { lease, input } in taken {
        let mut hearing = jobs.hear(&lease).expect("is taken");
        hearing.write(&bytes(&work(input, same))).expect("takes");
        Box::new(hearing).confirm().expect("keeps");
    }
    assert_eq!(jobs.told(&found).map(|t| t.state), Some(LadderState::Checking));
    join_all(&jobs);
    let found = jobs.find("show").expect("is there");
    assert_eq!(jobs.told(&found).map(|t| t.state), Some(LadderState::Ready));
    let title = jobs.library.open("show").expect("opens");
    let tracks = &title.index().tracks;
    assert_eq!(tracks.iter().map(|t| t.id.to_string()).collect::<Vec<_>>(), ["v1", "v2", "v3"]);
    for made in &tracks[1..] {
        let times = |track: &nx_container::index::IndexTrack| -> Vec<(i64, u32, bool)> {
            track.samples.iter().map(|s| (s.dts + i64::from(s.cts), s.duration, s.key)).collect()
        };
        assert_eq!(times(made), times(&tracks[0]), "every picture, once, at its time");
    }
    assert!(jobs.library.workshops().is_empty() && !jobs.has_work());
}

#[test]
fn who_was_too_slow_does_not_count() {
    let stage = Stage::new("slow", 10);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    let Taken { lease, input } = jobs.take("slow").expect("reads").expect("work");
    let mut slow = jobs.hear(&lease).expect("is taken");
    let all = bytes(&work(input, same));
    slow.write(&all[..100]).expect("takes");
    let now_ms = jobs.clock.ms();
    jobs.expire(now_ms + LEASE_MS - 1_000);
    assert!(!jobs.has_work(), "there is time left");
    jobs.expire(now_ms + LEASE_MS + 1_000);
    assert!(jobs.has_work());
    assert!(slow.write(&all[100..]).is_err());
    finish_one(&jobs, same).expect("is done");
    assert!(Box::new(slow).confirm().is_err());
    let told = jobs.told(&jobs.find("show").expect("is there")).expect("is made");
    assert_eq!((told.state, told.chunks_done, told.chunks), (LadderState::Checking, 1, 1), "{told:?}");
    let mut page = nx_delivery::Metrics::default();
    jobs.metrics(&mut page);
    let page = page.into_text();
    for line in [
        "nexus_jobs{state=\"waiting\"} 0",
        "nexus_jobs{state=\"checking\"} 1",
        "nexus_jobs_chunks{state=\"taken\"} 0",
        "nexus_jobs_chunks{state=\"done\"} 1",
        "nexus_jobs_chunks_done_total 1",
        "nexus_jobs_chunks_failed_total 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line}: {page}");
    }
}

#[test]
fn another_process_goes_on_with_what_is_whole() {
    let stage = Stage::new("again", 60);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    finish_one(&jobs, same).expect("is done");
    let Taken { lease, input } = jobs.take("killed").expect("reads").expect("work");
    let mut hearing = jobs.hear(&lease).expect("is taken");
    hearing.write(&bytes(&work(input, same))).expect("takes");
    // As after a kill: nobody tidies up.
    std::mem::forget(hearing);
    let again = stage.jobs();
    again.resume();
    let told = again.told(&again.find("show").expect("is there")).expect("goes on");
    assert_eq!((told.chunks_done, told.chunks, told.state), (1, 4, LadderState::Waiting));
    assert!(again.hear(&lease).is_err(), "leases end with their process");
    for _ in 0..3 {
        finish_one(&again, same).expect("is done");
    }
    // Killed before it is put together.
    let third = stage.jobs();
    third.resume();
    assert!(!third.has_work());
    join_all(&third);
    assert_eq!(third.library.open("show").expect("opens").made(), 2);
    third.remove("show").expect("removes");
    assert_eq!(third.library.open("show").expect("opens").made(), 0);
    assert!(third.remove("show").is_err());
}

#[test]
fn what_fails_again_and_again_is_given_up_and_says_why() {
    let stage = Stage::new("fails", 10);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    for _ in 0..ATTEMPTS_MAX {
        let Taken { lease, .. } = jobs.take("poor").expect("reads").expect("work");
        let mut hearing = jobs.hear(&lease).expect("is taken");
        let refused = Reply::Refused { output: 0, why: "no such encoder".into() };
        hearing.write(&bytes(&[refused])).expect_err("that is no piece");
    }
    let found = jobs.find("show").expect("is there");
    for jobs in [jobs, stage.jobs()] {
        jobs.resume();
        let told = jobs.told(&found).expect("is remembered");
        assert_eq!(told.state, LadderState::Failed);
        assert!(told.reason.is_some_and(|why| why.contains("no such encoder")));
        assert!(!jobs.has_work() && matches!(jobs.hand_over(&found), Handed::Refused(_)));
    }
    let jobs = stage.jobs();
    jobs.resume();
    assert_eq!(jobs.begin("show").expect("is tried again").state, LadderState::Waiting);
    let late = |sample: Sample| Sample { dts: sample.dts + 1, pts: sample.pts + 1, ..sample };
    finish_one(&jobs, late).expect("is done, wrongly");
    join_all(&jobs);
    let told = jobs.told(&found).expect("is remembered");
    assert!(told.reason.as_ref().is_some_and(|why| why.contains("has no picture at")), "{told:?}");
    assert_eq!(jobs.library.open("show").expect("opens").made(), 0, "nothing of it is shown");
}

#[test]
fn what_is_no_piece_is_refused() {
    let stage = Stage::new("bad", 4);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    for (name, said) in [
        ("another version", bytes(&[Reply::Hello(nx_worker_protocol::VERSION + 1)])),
        ("no frame", vec![0; 8]),
        ("no reply", vec![0, 0, 0, 1, 77]),
        ("a picture", bytes(&[Reply::Drawn])),
    ] {
        let Taken { lease, .. } = jobs.take(name).expect("reads").expect("work");
        let mut hearing = jobs.hear(&lease).expect("is taken");
        assert!(hearing.write(&said).is_err(), "{name}");
    }
    let Taken { lease, input } = jobs.take("cut").expect("reads").expect("work");
    let mut hearing = jobs.hear(&lease).expect("is taken");
    let replies = work(input, same);
    hearing.write(&bytes(&replies[..replies.len() - 1])).expect("takes");
    assert!(Box::new(hearing).confirm().is_err(), "its last word is missing");
    assert!(matches!(jobs.begin("other"), Err(Fault::NotFound(_))));
}

#[test]
fn what_is_being_made_stays_when_its_title_is_opened_again() {
    let stage = Stage::new("opened", 10);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    let Taken { lease, input } = jobs.take("test").expect("reads").expect("work");
    let mut hearing = jobs.hear(&lease).expect("is taken");
    hearing.write(&bytes(&work(input, same))).expect("takes");
    assert!(matches!(jobs.hear(&lease), Err(Fault::Conflict(_))), "who spoke first goes on");
    jobs.resume();
    // Of two who saw that it had failed, the later.
    jobs.open(jobs.find("show").expect("is there"), true).expect("is open");
    Box::new(hearing).confirm().expect("keeps");
}

#[test]
fn a_disk_that_refuses_is_no_attempt_and_gives_nothing_up() {
    let stage = Stage::new("disk", 10);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    let found = jobs.find("show").expect("is there");
    let (folder, away) = (jobs.library.workshop(&found), stage.0.join("away"));
    let told = || jobs.told(&found).expect("is made");
    for _ in 0..=ATTEMPTS_MAX {
        let Taken { lease, .. } = jobs.take("test").expect("reads").expect("work");
        fs::rename(&folder, &away).expect("moves");
        assert!(matches!(jobs.hear(&lease), Err(Fault::Storage(_))));
        fs::rename(&away, &folder).expect("moves");
        assert_eq!((told().state, jobs.has_work()), (LadderState::Waiting, true), "is given back");
        let Taken { lease, input } = jobs.take("test").expect("reads").expect("work");
        let mut hearing = jobs.hear(&lease).expect("is taken");
        hearing.write(&bytes(&work(input, same))).expect("takes");
        fs::remove_file(folder.join(format!("0.{lease}"))).expect("is there");
        assert!(matches!(Box::new(hearing).confirm(), Err(Fault::Storage(_))));
    }
    finish_one(&jobs, same).expect("is done");
    fs::create_dir(folder.join("media")).expect("makes");
    join_all(&jobs);
    let why = told().reason.unwrap_or_default();
    assert!(told().state == LadderState::Checking && why.contains("cannot be written"), "{:?}", told());
    let now_ms = jobs.clock.ms();
    assert!(jobs.whole(now_ms).is_none() && jobs.whole(now_ms + REST_MS).is_some(), "it rests");
    fs::remove_dir(folder.join("media")).expect("is there");
    join_all(&jobs);
    assert_eq!(jobs.library.open("show").expect("opens").made(), 2);
}

#[test]
fn what_was_made_wrongly_is_made_anew_when_it_is_begun_again() {
    let stage = Stage::new("wrong", 60);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    let found = jobs.find("show").expect("is there");
    let late = |sample: Sample| Sample { dts: sample.dts + 1, pts: sample.pts + 1, ..sample };
    for make in [late, same, same, same] {
        finish_one(&jobs, make).expect("is done");
    }
    join_all(&jobs);
    let told = jobs.told(&found).expect("is remembered");
    assert_eq!((told.state, told.chunks_done), (LadderState::Failed, 0), "{told:?}");
    let left = fs::read_dir(jobs.library.workshop(&found)).expect("reads").flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["failed", "plan"], "nothing half put together either");
    let told = jobs.begin("show").expect("is tried again");
    assert_eq!((told.state, told.chunks_done), (LadderState::Waiting, 0));
    (0..4).for_each(|_| finish_one(&jobs, same).expect("is done"));
    join_all(&jobs);
    assert_eq!(jobs.library.open("show").expect("opens").made(), 2);
}

#[test]
fn a_version_that_was_replaced_while_it_was_put_together_takes_nothing_from_the_next() {
    let stage = Stage::new("versions", 10);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    finish_one(&jobs, same).expect("is done");
    let (plan, folder) = jobs.whole(jobs.clock.ms()).expect("is full");
    // Putting it together takes as long as we like: its piece is a pipe.
    let piece = coded(&folder, 0);
    let made = fs::read(&piece).expect("reads");
    fs::remove_file(&piece).expect("is there");
    assert!(std::process::Command::new("mkfifo").arg(&piece).status().expect("runs").success());
    std::thread::scope(|scope| {
        scope.spawn(|| jobs.finish(&plan, &folder));
        // Opens when its reader does.
        let mut pipe = File::options().write(true).open(&piece).expect("opens");
        let title = File::options().write(true).open(stage.0.join("vod/show.mp4")).expect("opens");
        title.set_modified(std::time::UNIX_EPOCH).expect("changes");
        jobs.begin("show").expect("begins");
        finish_one(&jobs, same).expect("is done");
        io::Write::write_all(&mut pipe, &made).expect("is read");
    });
    let found = jobs.find("show").expect("is there");
    assert!(!folder.exists() && coded(&jobs.library.workshop(&found), 0).exists());
    assert_eq!(jobs.told(&found).map(|told| told.state), Some(LadderState::Checking));
    join_all(&jobs);
    assert_eq!(jobs.library.open("show").expect("opens").made(), 2);
}

#[tokio::test]
async fn after_a_worker_that_died_the_next_does_not_start_at_once() {
    let stage = Stage::new("pause", 10);
    let jobs = stage.jobs();
    jobs.begin("show").expect("begins");
    let (hello, started) = (stage.0.join("hello"), stage.0.join("started"));
    fs::write(&hello, bytes(&[Reply::Hello(nx_worker_protocol::VERSION)])).expect("writes");
    let program = stage.0.join("worker");
    let script = format!("#!/bin/sh\necho >> {}\n/bin/cat {}\n", started.display(), hello.display());
    fs::write(&program, script).expect("writes");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("is ours");
    let working = local::keep(jobs.clone(), program, "local".into());
    // Time enough to try it five times and give it up.
    assert!(timeout(local::LOOK / 2, working).await.is_err());
    assert_eq!(fs::read(&started).expect("was started").len(), 1);
    let told = jobs.told(&jobs.find("show").expect("is there")).expect("is made");
    assert!(told.state == LadderState::Waiting && told.reason.is_some(), "{told:?}");
}
