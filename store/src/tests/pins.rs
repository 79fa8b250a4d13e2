//! What is pinned stays whatever the budgets say, and fills the room at most.

use std::sync::Mutex;

use super::*;
use crate::pins::{Hold, Terms};
use crate::store::Room;

#[derive(Debug)]
struct Held(Mutex<Hold>);

impl Held {
    fn new(keep_ms: i64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Hold { keep_ms, pins: Vec::new() })))
    }

    /// Pins a time of the stream, seconds from its beginning.
    fn pin(&self, pins: &[(i64, i64)]) {
        let at = |s: i64| START_MS.saturating_add(s.saturating_mul(1_000));
        self.0.lock().expect("whole").pins = pins.iter().map(|(from, to)| (at(*from), at(*to))).collect();
    }
}

impl Terms for Held {
    fn hold(&self, _: &StreamKey) -> Hold {
        self.0.lock().expect("whole").clone()
    }
}

fn open(folder: &Folder, budget: Budget, held: &Arc<Held>) -> Store {
    Store::open_with(&folder.0, budget, Some(held.clone()), None).expect("opens")
}

#[test]
fn old_and_heavy_volumes_stay_as_long_as_they_are_pinned() {
    let folder = Folder::new("pinned");
    // Volumes of twenty seconds: ten segments.
    let (held, budget) = (Held::new(160_000), Budget { keep_ms: 160_000, stream_bytes: 160 * 12, ..EVER });
    held.pin(&[(24, 30), (70, 80)]);
    let store = open(&folder, budget, &held);
    keep(&store, &run(0), 0..25);
    keep(&store, &run(1), 25..45);
    store.close(&store.log(&key()));
    store.confirm();
    let pinned: Vec<u64> = (10..20).chain(30..40).collect();
    assert_eq!(numbers(&store, 0), pinned, "all of it is of last year");
    assert_plays(&store, pinned.clone());
    // Another process, which is told the same.
    drop(store);
    let store = open(&folder, budget, &held);
    store.confirm();
    assert_eq!(numbers(&store, 1), pinned);
    let log = store.find(&key()).expect("kept");
    assert_eq!(log.recordings(30_000).len(), 1, "a hole of twenty seconds is no pause");
    held.pin(&[(79, 80)]);
    store.confirm();
    assert_eq!(numbers(&store, 0), (30..40).collect::<Vec<_>>());
    assert!(
        folder.files("run-0").is_empty() && folder.files("run-1").len() == 1,
        "tracks go with their media"
    );
    held.pin(&[]);
    store.confirm();
    assert_eq!(log.span(), None);
}

#[test]
fn pins_that_fill_the_room_refuse_what_is_new_until_they_go() {
    let folder = Folder::new("full");
    let held = Held::new(EVER.keep_ms);
    let budget = Budget { keep_ms: 160_000, bytes: 160 * 20, ..EVER };
    let store = open(&folder, budget, &held);
    held.pin(&[(0, i64::MAX / 2_000)]);
    keep(&store, &run(0), 0..30);
    assert_eq!(
        store.room(),
        Room { bytes: 160 * 30, pinned: 160 * 30, bytes_max: 160 * 20, full: true, fault: None }
    );
    keep(&store, &run(0), 30..40);
    assert_eq!((numbers(&store, 0).len(), store.totals().refused, store.totals().lost), (30, 20, 0));
    // The first of them goes, and there is room again for what comes.
    held.pin(&[(20, 40)]);
    store.confirm();
    assert_eq!((store.room().full, store.room().pinned), (false, 160 * 10));
    keep(&store, &run(0), 40..45);
    assert_eq!(
        numbers(&store, 0),
        (10..20).chain(40..45).collect::<Vec<_>>(),
        "the oldest that is not pinned went"
    );
    assert_eq!(store.totals().refused, 20);
}

#[test]
fn a_stretch_is_weighed_with_what_is_not_stored_yet() {
    let folder = Folder::new("stretch");
    let store = folder.open(EVER);
    keep(&store, &run(0), (0..4).chain(9..12));
    let log = store.find(&key()).expect("kept");
    let live = |numbers: std::ops::Range<u64>| -> Vec<nx_hls::Unstored> {
        let run = run(0);
        let each = numbers.flat_map(|msn| (0..2).map(move |track| (msn, track)));
        each.map(|(msn, track)| nx_hls::Unstored {
            run: run.clone(),
            track,
            segment: segment(&run, track, msn),
        })
        .collect()
    };
    let of = |from_s: i64, to_s: i64, live: &[nx_hls::Unstored]| {
        let at = |s: i64| START_MS + s * 1_000;
        let stretch = log.stretch(at(from_s), at(to_s), live).expect("reads")?;
        let (begins, ends) = (stretch.begins_ms - START_MS, stretch.ends_ms - START_MS);
        Some((begins / 1_000, ends / 1_000, stretch.duration_ms / 1_000, stretch.bytes / 80))
    };
    for (from, to, live, want) in [
        (0, 24, vec![], Some((0, 24, 14, 14))),
        (3, 5, vec![], Some((2, 6, 2, 4))),
        (9, 17, vec![], None),
        // The store has up to 11 already; 12 and 13 are in memory.
        (21, 27, live(10..14), Some((20, 28, 6, 8))),
        (26, 28, live(10..14), Some((26, 28, 2, 2))),
        (40, 50, live(10..14), None),
    ] {
        assert_eq!(of(from, to, &live), want, "{from} to {to}");
    }
}
