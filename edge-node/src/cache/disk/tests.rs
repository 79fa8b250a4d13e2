//! Files that survive, are damaged, and do not fit.

use std::path::PathBuf;
use std::time::Duration;

use nx_cache::Coding;

use super::*;

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nx-disk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self, bytes_max: u64) -> Arc<Disk> {
        let disk = Disk::open(&self.0, bytes_max).expect("a folder");
        until("listed", || disk.is_ready());
        disk
    }

    fn files(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|e| e.path());
        all.filter(|path| !path.ends_with(LOCK)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits for the thread of a disk; not timed, only bounded.
fn until(what: &str, done: impl Fn() -> bool) {
    let (_nobody, wait) = sync_channel::<()>(0);
    for _ in 0..20_000 {
        if done() {
            return;
        }
        let _ = wait.recv_timeout(Duration::from_micros(500));
    }
    panic!("never {what}");
}

fn key(n: usize) -> Key {
    Key::new("test", Coding::Identity, &format!("/film/{n}.m4s"))
}

fn object(n: usize, len: usize) -> Arc<Object> {
    let mut headers = HeaderMap::new();
    headers.insert("etag", HeaderValue::from_str(&format!("\"{n}\"")).expect("a tag"));
    headers
        .insert("cache-tag", HeaderValue::from_str(&format!("even-{}", n.is_multiple_of(2))).expect("a tag"));
    let life = Life { born_ms: 7, fresh_ms: 8, spare_ms: 9, rescue_ms: 10 };
    let (status, length) = (StatusCode::OK, Some(len as u64));
    let head = Head { status, headers, length, life, alone: false, from: Source::Disk };
    let body: Vec<u8> = (0..len).map(|at| (at * 7 + n) as u8).collect();
    let half = len / 2;
    let body = [Bytes::copy_from_slice(&body[..half]), Bytes::copy_from_slice(&body[half..])];
    Arc::new(Object { head, body: body.into() })
}

fn fill(disk: &Disk, numbers: std::ops::Range<usize>, len: usize) {
    for n in numbers {
        disk.keep(key(n), object(n, len));
        until("written", || disk.read(&key(n)).is_some());
    }
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = Folder::new("restart");
    fill(&folder.open(1 << 20), 0..9, 1_000);
    // What a killed process leaves.
    fs::write(folder.0.join("77.part"), b"NXCACHE1 half of").expect("writes");
    let disk = folder.open(1 << 20);
    for n in 0..9 {
        let (read, want) = (disk.read(&key(n)).expect("it is there"), object(n, 1_000));
        assert_eq!(read.head, want.head);
        assert_eq!(
            read.body.into_iter().flatten().collect::<Vec<u8>>(),
            want.body.iter().flatten().copied().collect::<Vec<u8>>()
        );
    }
    assert_eq!(folder.files().len(), 9, "the half one is gone");
}

#[test]
fn any_damage_is_found_and_the_file_goes() {
    let folder = Folder::new("damage");
    fill(&folder.open(1 << 20), 0..1, 300);
    let file = folder.files().pop().expect("a file");
    let whole = fs::read(&file).expect("reads");
    let changed = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    let cut = (0..whole.len()).map(|at| whole[..at].to_vec());
    for bytes in changed.chain(cut) {
        // As it is found at a start, and as it happens while it is known.
        fs::write(&file, &whole).expect("writes");
        let disk = folder.open(1 << 20);
        assert!(disk.read(&key(0)).is_some());
        fs::write(&file, &bytes).expect("writes");
        assert!(disk.read(&key(0)).is_none(), "{bytes:?}");
        assert!(!file.exists());
        // One at a time has the folder.
        drop(disk);
        fs::write(&file, &bytes).expect("writes");
        assert!(folder.open(1 << 20).read(&key(0)).is_none());
        assert!(!file.exists());
    }
}

#[test]
fn it_is_bounded_and_has_a_file_for_each_object_and_no_more() {
    let folder = Folder::new("bound");
    let disk = folder.open(100_000);
    for n in 0..60 {
        disk.keep(key(n), object(n, 5_000));
        until("taken", || disk.figures()[3] == n as u64 + 1);
        let [objects, bytes, ..] = disk.figures();
        assert!(bytes <= 100_000 && folder.files().len() as u64 == objects, "{objects} {bytes}");
    }
    assert!(disk.figures()[2] >= 48, "the rest had to go");
    // The same name again takes the place of the first.
    let [objects, ..] = disk.figures();
    let there = (0..60).find(|n| disk.read(&key(*n)).is_some()).expect("one is there");
    disk.keep(key(there), object(there + 1, 5_000));
    until("written", || disk.read(&key(there)).is_some_and(|o| o.head == object(there + 1, 5_000).head));
    assert_eq!((disk.figures()[0], folder.files().len() as u64), (objects, objects));
}

#[test]
fn purges_reach_files_and_what_is_being_written() {
    let folder = Folder::new("purge");
    let disk = folder.open(1 << 20);
    fill(&disk, 0..4, 100);
    let files = disk.purge(|_, tags| tags.contains(&"even-true".to_owned()));
    assert_eq!((files.len(), disk.figures()[0]), (2, 2));
    files.iter().for_each(|file| fs::remove_file(file).expect("it is there"));
    let left: Vec<usize> = (0..4).filter(|n| disk.read(&key(*n)).is_some()).collect();
    assert_eq!(left, [1, 3]);
    // As one that had waited since before the purge.
    disk.write(&key(9), &object(9, 100), 0);
    assert!(disk.read(&key(9)).is_none() && folder.files().len() == 2);
    disk.write(&key(9), &object(9, 100), 1);
    assert!(disk.read(&key(9)).is_some());
}

#[test]
fn a_disk_that_takes_nothing_is_left_alone() {
    let folder = Folder::new("full");
    let disk = folder.open(1 << 20);
    fill(&disk, 0..1, 100);
    fs::remove_dir_all(&folder.0).expect("removes");
    disk.keep(key(1), object(1, 100));
    until("failed", || !disk.is_up());
    disk.keep(key(2), object(2, 100));
    assert_eq!((disk.figures()[4], disk.figures()[6]), (1, 1), "one failed, one was not tried");
    assert!(disk.read(&key(0)).is_none());
}
