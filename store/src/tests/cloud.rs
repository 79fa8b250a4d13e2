//! The disk in front of object storage: what is confirmed there is never lost, whatever stops on the way.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::*;
use crate::cloud::{Objects, Tier};
use crate::marker;
use crate::source::Source;

/// Storage in memory that does what it is told to.
#[derive(Debug, Default)]
struct Shelf {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    fault: Fault,
    /// Objects whose names have this in it are concerned.
    of: String,
    stopped: bool,
    calls: usize,
    /// Calls that are left until the process is no more; that one is half done.
    left: Option<usize>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Fault {
    #[default]
    None,
    /// Nothing is answered.
    Away,
    /// Half of it comes, and no answer.
    Torn,
    /// It is done, and the answer is lost.
    Mute,
    /// No answer until the end.
    Stall,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    fn set(&self, fault: Fault, of: &str) {
        let mut state = self.lock();
        (state.fault, state.of) = (fault, of.to_owned());
        drop(state);
        self.changed.notify_all();
    }

    /// What happens to a call.
    fn call(&self, name: &str) -> io::Result<Fault> {
        let mut state = self.lock();
        state.calls += 1;
        if let Some(left) = &mut state.left {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => state.stopped = true,
            }
            if state.stopped {
                self.changed.notify_all();
                return Ok(Fault::Torn);
            }
        }
        let concerned = |s: &State| if name.contains(&s.of) { s.fault } else { Fault::None };
        while concerned(&state) == Fault::Stall && !state.stopped {
            state = self.changed.wait(state).expect("not poisoned");
        }
        match concerned(&state) {
            _ if state.stopped => Err(away()),
            Fault::Away => Err(away()),
            fault => Ok(fault),
        }
    }

    fn names(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    fn count(&self, end: &str) -> usize {
        self.names().iter().filter(|name| name.ends_with(end)).count()
    }

    fn tier(self: &Arc<Self>) -> Tier {
        self.lock().stopped = false;
        Tier { objects: self.clone(), keep_ms: i64::MAX / 2, bytes: u64::MAX }
    }
}

fn away() -> io::Error {
    io::Error::new(io::ErrorKind::HostUnreachable, "away")
}

impl Objects for Shelf {
    fn put(&self, name: &str, content: &dyn Source, bytes: u64) -> io::Result<()> {
        let fault = self.call(name)?;
        let bytes = if fault == Fault::Torn { bytes / 2 } else { bytes };
        self.lock().objects.insert(name.to_owned(), content.read(0, bytes)?);
        if fault == Fault::None { Ok(()) } else { Err(away()) }
    }

    fn create(&self, name: &str, content: Bytes) -> io::Result<bool> {
        let fault = self.call(name)?;
        if self.lock().objects.contains_key(name) {
            return Ok(false);
        }
        self.lock().objects.insert(name.to_owned(), content);
        if fault == Fault::None { Ok(true) } else { Err(away()) }
    }

    fn get(&self, name: &str, range: Option<(u64, u64)>) -> io::Result<Bytes> {
        self.call(name)?;
        let object = self.lock().objects.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        match range {
            Some((at, len)) => object.read(at, len),
            None => Ok(object),
        }
    }

    fn list(&self, folder: &str, folders: bool) -> io::Result<Vec<String>> {
        self.call(folder)?;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut found: Vec<String> = Vec::new();
        for name in self.names().iter().filter_map(|name| name.strip_prefix(&prefix)) {
            match name.split_once('/') {
                Some((below, _)) if folders => found.push(below.to_owned()),
                None if !folders => found.push(name.to_owned()),
                _ => {}
            }
        }
        found.dedup();
        Ok(found)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let fault = self.call(name)?;
        self.lock().objects.remove(name);
        if fault == Fault::None { Ok(()) } else { Err(away()) }
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

impl Folder {
    fn over(&self, budget: Budget, tier: Tier) -> Store {
        Store::open_with(&self.0, budget, None, Some(tier)).expect("opens")
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

fn until_safe(store: &Store) {
    until("all is uploaded", || store.cloud_totals().is_some_and(|t| t.waiting == 0));
}

/// A shelf with volumes 0 and 300 of run 0 and 600 of run 1, all closed, and the folder that they came from.
fn three(name: &str) -> (Folder, Arc<Shelf>) {
    let (folder, shelf) = (Folder::new(name), Arc::new(Shelf::default()));
    let store = folder.over(EVER, shelf.tier());
    keep(&store, &run(0), 0..600);
    keep(&store, &run(1), 600..900);
    store.close(&store.log(&key()));
    store.confirm();
    until_safe(&store);
    drop(store);
    (folder, shelf)
}

#[test]
fn what_is_safe_leaves_the_disk_first_and_is_read_from_there() {
    let (folder, shelf) = three("cloud-shed");
    assert_eq!((shelf.count(".index"), shelf.count(".media"), shelf.count("run-1")), (3, 3, 1));
    let store = folder.over(Budget { stream_bytes: 60_000, ..EVER }, shelf.tier());
    store.confirm();
    assert_eq!((folder.files(".media").len(), folder.files(".index").len()), (1, 3), "two have left");
    assert_plays(&store, (0..900).step_by(50));
    let read = store.cloud_totals().expect("there is storage").reads;
    assert!(read <= 2 * 12 + 2, "what is on disk is read there: {read}");
    shelf.set(Fault::Away, "");
    let calls = shelf.lock().calls;
    assert_eq!(numbers(&store, 0), (0..900).collect::<Vec<_>>());
    assert_eq!(shelf.lock().calls, calls, "lists cost no network");
    let log = store.find(&key()).expect("kept");
    let error = log.segment("v1", 7, None).expect_err("is away");
    assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
    assert!(log.segment("v1", 850, None).expect("is on disk").is_some());
    assert!(log.segment("v1", 50, None).expect("is remembered").is_some());
    assert!(!store.cloud_totals().expect("there is storage").up);
    shelf.set(Fault::None, "");
    assert_plays(&store, [7]);
    drop(store);
    // The next process lists and plays the same.
    let store = folder.over(EVER, shelf.tier());
    assert_eq!(numbers(&store, 1), (0..900).collect::<Vec<_>>());
    assert_plays(&store, (0..900).step_by(50));
    // What comes from there is another: it is not shown.
    let mut media = shelf.lock().objects["live/show/00000000000000000000.media"].to_vec();
    media[160 * 3] ^= 1;
    shelf.lock().objects.insert("live/show/00000000000000000000.media".into(), media.into());
    let log = store.find(&key()).expect("kept");
    assert_eq!(log.segment("v1", 3, None).expect_err("differs").kind(), io::ErrorKind::InvalidData);
    assert!(log.segment("a1", 3, None).expect("reads").is_some());
}

#[test]
fn what_is_not_safe_goes_only_for_want_of_disk_and_is_counted() {
    let (folder, shelf) = (Folder::new("cloud-unsafe"), Arc::new(Shelf::default()));
    shelf.set(Fault::Away, "");
    let tier = shelf.tier();
    let old = Budget { keep_ms: 60_000, ..EVER };
    let store = folder.over(old, tier.clone());
    // Volumes of ten seconds, all older than they are to be on disk.
    keep(&store, &run(0), 0..20);
    assert_eq!(numbers(&store, 0).len(), 20, "they wait");
    drop(store);
    let store = folder.over(Budget { stream_bytes: 160 * 10, ..old }, shelf.tier());
    store.confirm();
    let left = numbers(&store, 0);
    assert!(left.len() <= 10 && left.last() == Some(&19), "{left:?}");
    let totals = store.cloud_totals().expect("there is storage");
    assert!(totals.dropped >= 2 && totals.shed == 0, "{totals:?}");
    shelf.set(Fault::None, "");
    until_safe(&store);
    store.confirm();
    assert_eq!(folder.files(".media").len(), 0, "safe and old: they have left");
    assert_eq!(numbers(&store, 0), left);
    assert_plays(&store, left);
    assert!(store.cloud_totals().expect("there is storage").up);
}

#[test]
fn a_process_killed_at_any_step_of_an_upload_begins_again() {
    let (folder, shelf) = three("cloud-kill");
    let whole = shelf.lock().objects.clone();
    let marks: Vec<(PathBuf, Vec<u8>)> =
        folder.files(".safe").into_iter().map(|p| (p.clone(), std::fs::read(p).expect("reads"))).collect();
    let stem = "live/show/00000000000000000300";
    let steps =
        ["live/show/run-0", &format!("{stem}.media"), &format!("{stem}.heads"), &format!("{stem}.index")];
    for done in 0..=steps.len() {
        for torn in [false, true] {
            let mut objects = whole.clone();
            steps.iter().skip(done).for_each(|name| drop(objects.remove(*name)));
            if torn && done > 1 {
                let last = objects.get_mut(steps[done - 1]).expect("was put");
                *last = last.slice(..last.len() / 2);
            }
            shelf.lock().objects = objects;
            marks.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).expect("writes"));
            std::fs::remove_file(&marks[1].0).expect("removes");
            // A mark that was torn, or is of what the volume was before, is none.
            if torn {
                std::fs::write(&marks[1].0, &marks[1].1[..done]).expect("writes");
            }
            let store = folder.over(EVER, shelf.tier());
            until_safe(&store);
            drop(store);
            assert!(shelf.lock().objects == whole, "{done} {torn}");
            assert_eq!(std::fs::read(&marks[1].0).expect("reads"), marks[1].1);
        }
    }
}

#[test]
fn a_hundred_processes_that_end_somewhere_lose_nothing() {
    let (folder, shelf) = (Folder::new("cloud-hundred"), Arc::new(Shelf::default()));
    let budget = Budget { keep_ms: 60_000, ..EVER };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = 0;
    for _ in 0..100 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        shelf.lock().left = Some((random % 17) as usize);
        let store = folder.over(budget, shelf.tier());
        let of = run(store.log(&key()).next_run().min(1_000));
        let count = 1 + random % 12;
        keep(&store, &of, next..next + count);
        next += count;
        if random & 64 == 0 {
            store.close(&store.log(&key()));
            store.confirm();
        }
        until("it ends", || shelf.lock().stopped || store.cloud_totals().is_some_and(|t| t.waiting == 0));
        shelf.lock().stopped = true;
    }
    shelf.lock().left = None;
    let store = folder.over(budget, shelf.tier());
    until_safe(&store);
    store.confirm();
    assert_eq!(folder.files(".media").len(), 0, "all of it is old");
    assert_eq!(numbers(&store, 0), (0..next).collect::<Vec<_>>());
    assert_eq!(numbers(&store, 1), (0..next).collect::<Vec<_>>());
    assert_plays(&store, 0..next);
    drop(store);
    std::fs::remove_dir_all(&folder.0).expect("removes");
    let store = folder.over(budget, shelf.tier());
    until("the past is back", || store.find(&key()).is_some_and(|log| log.epoch() > 0));
    assert_eq!(numbers(&store, 0), (0..next).collect::<Vec<_>>());
    assert_plays(&store, 0..next);
}

#[test]
fn a_process_killed_at_any_step_of_a_deletion_ends_it() {
    let (folder, shelf) = three("cloud-gone");
    let whole = shelf.lock().objects.clone();
    let backup = folder.0.with_extension("backup");
    let copy = |from: &PathBuf, to: &PathBuf| {
        let _ = std::fs::remove_dir_all(to);
        let done = std::process::Command::new("cp").arg("-r").args([from, to]).status();
        assert!(done.expect("cp runs").success());
    };
    copy(&folder.0, &backup);
    let (here, stem) = (folder.stream(), "00000000000000000000");
    for here_done in 0..5 {
        for there_done in 0..4 {
            copy(&backup, &folder.0);
            shelf.lock().objects = whole.clone();
            marker::set_gone(&here, 0, &[]).expect("marks");
            for end in ["index", "media", "safe"].iter().take(here_done) {
                std::fs::remove_file(here.join(format!("{stem}.{end}"))).expect("removes");
            }
            for end in ["index", "heads", "media"].iter().take(there_done) {
                shelf.lock().objects.remove(&format!("live/show/{stem}.{end}")).expect("was there");
            }
            let store = folder.over(EVER, shelf.tier());
            assert_eq!(numbers(&store, 0).first(), Some(&300), "it is gone for everybody");
            until("removed there", || folder.files(".gone").is_empty());
            assert_eq!((shelf.count(".index"), shelf.count(".media"), shelf.count(".heads")), (2, 2, 2));
            assert_eq!(numbers(&store, 0).first(), Some(&300), "and does not come back");
        }
    }
    std::fs::remove_dir_all(backup).expect("removes");
}

#[test]
fn a_lost_disk_costs_the_lists_a_while() {
    let (folder, shelf) = three("cloud-lost");
    std::fs::remove_dir_all(&folder.0).expect("removes");
    shelf.set(Fault::Away, "");
    let store = folder.over(EVER, shelf.tier());
    let log = store.log(&key());
    assert!(
        log.span().is_none() && log.next_run() > 1_000_000,
        "numbers that it may have had are left alone"
    );
    let fresh = run(log.next_run());
    keep(&store, &fresh, 900..905);
    assert_eq!(numbers(&store, 0), (900..905).collect::<Vec<_>>(), "live streams do not wait");
    let epoch = log.epoch();
    // One of the indexes is not one.
    shelf.lock().objects.insert("live/show/00000000000000000100.index".into(), Bytes::from_static(b"?"));
    shelf.set(Fault::None, "");
    until("the past is back", || numbers(&store, 0).len() == 905);
    assert!(log.epoch() > epoch, "views are made anew");
    assert_plays(&store, (0..905).step_by(30));
    assert_eq!(log.init("v1", 1, None).expect("reads").as_deref(), Some(&b"init v1 1"[..]));
    assert_eq!(log.next_run(), fresh.number + 1);
    store.close(&log);
    store.confirm();
    until_safe(&store);
    drop(store);
    // The next process has all of it, and asks for nothing twice.
    let store = folder.over(EVER, shelf.tier());
    assert_eq!(numbers(&store, 1).len(), 905);
    assert_plays(&store, [0, 450, 904]);
}

#[test]
fn past_its_budget_the_oldest_goes_there_too_with_its_runs() {
    let (folder, shelf) = three("cloud-budget");
    let store = folder.over(EVER, Tier { bytes: 100_000, ..shelf.tier() });
    store.confirm();
    assert_eq!(numbers(&store, 0).first(), Some(&300));
    until("removed there", || shelf.count(".index") == 2 && shelf.count(".media") == 2);
    assert_eq!((shelf.count("run-0"), shelf.count("run-1")), (1, 1));
    drop(store);
    let store = folder.over(EVER, Tier { bytes: 50_000, ..shelf.tier() });
    store.confirm();
    until("removed there", || shelf.count(".index") == 1 && shelf.count("run-0") == 0);
    assert_plays(&store, 600..620);
    drop(store);
    // All of it is of last year.
    let store = folder.over(Budget { keep_ms: 1_000, ..EVER }, Tier { keep_ms: 2_000, ..shelf.tier() });
    store.confirm();
    until("all is removed there", || shelf.count("index") == 0 && shelf.count("media") == 0);
    until("nothing is left to do", || folder.files(".gone").is_empty());
    assert_eq!(store.find(&key()).and_then(|log| log.span()), None);
}

#[test]
fn one_stream_that_fails_delays_no_other_and_every_fault_heals() {
    let shelf = Arc::new(Shelf::default());
    for (nth, fault) in [Fault::Away, Fault::Torn, Fault::Mute, Fault::Stall].into_iter().enumerate() {
        let folder = Folder::new(&format!("cloud-turns-{nth}"));
        shelf.lock().objects.clear();
        shelf.set(fault, "live/ill");
        let store = folder.over(EVER, shelf.tier());
        let logs =
            ["ill", "a", "b", "c"].map(|name| store.log(&StreamKey::new("live", name).expect("a key")));
        for log in &logs {
            for msn in 0..4 {
                store.keep(log, &run(0), 0, segment(&run(0), 0, msn));
            }
            store.close(log);
        }
        store.confirm();
        until("the others are uploaded", || store.cloud_totals().is_some_and(|t| t.uploaded >= 3));
        assert!(!shelf.lock().objects.contains_key("live/ill/00000000000000000000.index"));
        shelf.set(Fault::None, "");
        until_safe(&store);
        until("it is up", || store.cloud_totals().is_some_and(|t| t.up));
        assert_eq!(shelf.count(".index"), 4);
        let index = shelf.lock().objects["live/ill/00000000000000000000.index"].clone();
        assert_eq!(index.len(), 4 * RECORD);
    }
}

#[test]
fn a_volume_that_is_written_on_is_uploaded_again() {
    let (folder, shelf) = (Folder::new("cloud-again"), Arc::new(Shelf::default()));
    let store = folder.over(EVER, shelf.tier());
    let log = store.log(&key());
    for numbers in [0..3, 3..5] {
        keep(&store, &run(0), numbers);
        store.close(&log);
        store.confirm();
        until_safe(&store);
    }
    assert_eq!(shelf.count(".index"), 1);
    let index = shelf.lock().objects["live/show/00000000000000000000.index"].clone();
    assert_eq!(index.len(), 10 * RECORD);
    let volume = log.sheddable().expect("safe");
    log.shed(&volume).expect("sheds");
    // Away, it is not written on.
    keep(&store, &run(0), 5..7);
    assert_plays(&store, 0..7);
    assert_eq!(folder.files(".media").len(), 1);
}

#[test]
fn two_servers_in_one_folder_do_not_overwrite_each_others_tracks() {
    let (folder, shelf) = (Folder::new("cloud-two"), Arc::new(Shelf::default()));
    let other = Bytes::from_static(b"tracks of another");
    shelf.lock().objects.insert("live/show/run-0".into(), other.clone());
    let store = folder.over(EVER, shelf.tier());
    keep(&store, &run(0), 0..3);
    store.close(&store.log(&key()));
    until("it is said", || store.cloud_totals().is_some_and(|t| t.failures > 0 && !t.up));
    assert_eq!(shelf.lock().objects.get("live/show/run-0"), Some(&other));
    assert_eq!(shelf.count(".index"), 0);
}
