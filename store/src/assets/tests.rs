//! What was acknowledged is there, whatever happened to the file.

use proptest::prelude::*;

use super::*;

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nx-assets-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self) -> Assets {
        Assets::open(&self.0).expect("opens")
    }

    fn file(&self) -> PathBuf {
        self.0.join("assets")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn asset(nth: i64, kind: Kind) -> Asset {
    Asset {
        id: format!("id-{nth}"),
        kind,
        stream: "live/show".into(),
        title: format!("title {nth} \n é"),
        start_ms: 1_000 * nth,
        end_ms: 1_000 * nth + 900,
        created_ms: nth,
        keep_until_ms: None,
        deleted_ms: None,
        bytes: 7,
        duration_ms: 900,
        stage: Stage::Ready,
        once: None,
    }
}

fn ids(assets: &Assets) -> Vec<String> {
    assets.iter().map(|a| a.id.clone()).collect()
}

#[test]
fn changes_are_found_again_and_the_latest_beginning_comes_first() {
    let folder = Folder::new("again");
    let mut assets = folder.open();
    for nth in 0..5 {
        assets.put(asset(nth, Kind::Clip)).expect("writes");
    }
    let moved = Asset { start_ms: 9_000, title: "moved".into(), ..asset(1, Kind::Clip) };
    assets.put(moved.clone()).expect("writes");
    assets.forget("id-3").expect("writes");
    let want = ["id-1", "id-4", "id-2", "id-0"];
    for assets in [&assets, &folder.open()] {
        assert_eq!(ids(assets), want);
        assert_eq!((assets.get("id-1"), assets.get("id-3"), assets.len()), (Some(&moved), None, 4));
        let behind: Vec<&str> = assets.behind(4_000, "id-4").map(|a| a.id.as_str()).collect();
        assert_eq!(behind, ["id-2", "id-0"]);
    }
}

#[test]
fn cut_off_anywhere_every_whole_line_counts_and_it_can_be_written_to() {
    let folder = Folder::new("torn");
    let mut assets = folder.open();
    let mut ends = vec![0];
    for nth in 0..4 {
        assets.put(asset(nth, Kind::Recording)).expect("writes");
        ends.push(fs::metadata(folder.file()).expect("a file").len());
    }
    let bytes = fs::read(folder.file()).expect("reads");
    for cut in 0..=bytes.len() {
        fs::write(folder.file(), &bytes[..cut]).expect("writes");
        let whole = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
        let mut assets = folder.open();
        assert_eq!(assets.len(), whole, "cut at {cut}");
        assert_eq!(
            assets.recorded_until("live/show"),
            whole.checked_sub(1).map_or(0, |n| n as i64 * 1_000 + 900)
        );
        if cut % 37 == 0 {
            assets.put(asset(9, Kind::Clip)).expect("writes");
            assert_eq!(folder.open().len(), whole + 1, "cut at {cut}");
        }
    }
}

#[test]
fn the_file_does_not_grow_for_ever_and_forgets_no_recording() {
    let folder = Folder::new("grows");
    let mut assets = folder.open();
    assets.put(asset(1, Kind::Recording)).expect("writes");
    assets.forget("id-1").expect("writes");
    let one = fs::metadata(folder.file()).expect("a file").len();
    for nth in 0..3 * SPARE_LINES as i64 {
        assets.put(Asset { title: nth.to_string(), ..asset(2, Kind::Clip) }).expect("writes");
    }
    let size = fs::metadata(folder.file()).expect("a file").len();
    assert!(size < one * (SPARE_LINES as u64 + 10), "{size}");
    for assets in [&assets, &folder.open()] {
        assert_eq!((assets.len(), assets.recorded_until("live/show")), (1, 1_900));
    }
}

#[test]
fn what_cannot_be_written_has_not_happened() {
    let folder = Folder::new("full");
    let mut assets = folder.open();
    assets.put(asset(1, Kind::Clip)).expect("writes");
    // Every write to it says that the disk is full.
    assets.file = OpenOptions::new().write(true).open("/dev/full").expect("a device");
    assert!(assets.put(asset(2, Kind::Clip)).is_err() && assets.forget("id-1").is_err());
    assert_eq!(ids(&assets), ["id-1"]);
    assert_eq!(ids(&folder.open()), ["id-1"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_changed_byte_costs_the_lines_it_is_in_and_no_other(at in 0_usize..10_000, flip in 1..=255_u8) {
        let folder = Folder::new("flip");
        let mut assets = folder.open();
        for nth in 0..6 {
            assets.put(asset(nth, Kind::Clip)).expect("writes");
        }
        let mut bytes = fs::read(folder.file()).expect("reads");
        let at = at % bytes.len();
        bytes[at] ^= flip;
        fs::write(folder.file(), &bytes).expect("writes");
        let left = folder.open();
        // A line's end that went bad spoils two.
        prop_assert!((4..6).contains(&left.len()), "{} of 6", left.len());
        prop_assert!(left.iter().all(|a| *a == asset(a.created_ms, Kind::Clip)));
    }
}

/// Runs itself in a process that may open few files: there, no other test needs any.
#[test]
fn what_is_acknowledged_when_no_more_files_can_be_opened_is_there() {
    let limits = fs::read_to_string("/proc/self/limits").expect("Linux");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    if files.and_then(|line| line.split_whitespace().next()) != Some("100") {
        let program = std::env::current_exe().expect("known");
        let name = "assets::tests::what_is_acknowledged_when_no_more_files_can_be_opened_is_there";
        let run = format!("ulimit -n 100; exec \"$0\" --exact {name}");
        let ran = std::process::Command::new("sh").args(["-c", &run]).arg(program).output().expect("runs");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    for spare in 0..4 {
        let folder = Folder::new(&format!("few-{spare}"));
        let mut assets = folder.open();
        // Of another process, longer than what comes into it.
        fs::write(folder.0.join("assets.draft"), vec![b'x'; 4_000]).expect("writes");
        let called = |nth: usize| Asset { title: nth.to_string(), ..asset(1, Kind::Clip) };
        (0..SPARE_LINES + 2).for_each(|nth| assets.put(called(nth)).expect("writes"));
        let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        taken.truncate(taken.len() - spare);
        // Now it has more lines than it may.
        assets.put(called(0)).expect("writes");
        assets.put(asset(2, Kind::Clip)).expect("writes");
        drop(taken);
        assert_eq!(ids(&folder.open()), ["id-2", "id-1"], "{spare} files");
        let anew = fs::metadata(folder.file()).expect("a file").len() < 2_000;
        assert_eq!(anew, spare > 1, "{spare} files");
    }
}
