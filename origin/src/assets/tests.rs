//! Assets under a clock of the test.

use std::path::PathBuf;

use nx_contract::assets::{self as wire, AssetChange, Assets as _, Moment, NewCut, Wanted};

use super::*;
use crate::config::Config;
use crate::keep::{StoreConfig, StoreRule};

const DAY_MS: i64 = 86_400_000;

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nx-shelf-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn shelf(&self, config: &StoreConfig) -> Shelf {
        Shelf::new(Assets::open(&self.0).expect("opens"), Rules::new(config).expect("good"), config.trash_s)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn asset(id: &str, start_ms: i64) -> Asset {
    Asset {
        id: id.into(),
        kind: Kind::Clip,
        stream: "live/a".into(),
        title: format!("Title of {id}"),
        start_ms,
        end_ms: start_ms + 10,
        created_ms: 0,
        keep_until_ms: None,
        deleted_ms: None,
        bytes: 1,
        duration_ms: 10,
        stage: Stage::Ready,
        once: Some(format!("once {id}")),
    }
}

fn key(name: &str) -> StreamKey {
    StreamKey::parse(name).expect("a key")
}

#[test]
fn what_is_held_ends_with_retention_and_trash_and_not_before() {
    let folder = Folder::new("held");
    let config = StoreConfig { keep_s: 5, trash_s: 7 * 86_400, ..StoreConfig::default() };
    let shelf = folder.shelf(&config);
    for asset in [
        asset("ever", 100),
        Asset { keep_until_ms: Some(DAY_MS), ..asset("retained", 200) },
        Asset { deleted_ms: Some(DAY_MS), ..asset("deleted", 300) },
        Asset { deleted_ms: Some(DAY_MS), keep_until_ms: Some(2 * DAY_MS), ..asset("both", 400) },
        Asset { stage: Stage::Failed, ..asset("failed", 500) },
        Asset { stream: "live/b".into(), ..asset("other", 600) },
        Asset { stage: Stage::Waiting, end_ms: 790, ..asset("long", 700) },
        asset("within", 710),
        asset("beside", 790),
    ] {
        shelf.put(asset).expect("written");
    }
    let last = (700, 800);
    for shelf in [&shelf, &folder.shelf(&config)] {
        for (now_ms, want) in [
            (0, vec![(100, 110), (200, 210), (300, 310), (400, 410), last]),
            (DAY_MS - 1, vec![(100, 110), (200, 210), (300, 310), (400, 410), last]),
            (DAY_MS, vec![(100, 110), (300, 310), (400, 410), last]),
            (2 * DAY_MS, vec![(100, 110), (300, 310), last]),
            (8 * DAY_MS - 1, vec![(100, 110), (300, 310), last]),
            (8 * DAY_MS, vec![(100, 110), last]),
            (800 * DAY_MS, vec![(100, 110), last]),
        ] {
            assert_eq!(
                shelf.hold_at(&key("live/a"), now_ms),
                Hold { keep_ms: 5_000, pins: want },
                "at {now_ms}"
            );
        }
    }
    shelf.sweep(8 * DAY_MS);
    let left = ["beside", "within", "long", "other", "failed", "ever"];
    for shelf in [shelf, folder.shelf(&config)] {
        assert_eq!(lock(&shelf.book).assets.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), left);
    }
}

#[test]
fn a_recorded_stream_holds_whatever_is_behind_its_last_recording() {
    let folder = Folder::new("recorded");
    let rule = StoreRule { streams: "live/*".into(), record: true, ..StoreRule::default() };
    let shelf = folder.shelf(&StoreConfig { rule: vec![rule], ..StoreConfig::default() });
    let pins = |name: &str| shelf.hold_at(&key(name), 0).pins;
    assert_eq!((pins("live/a"), pins("other/a")), (vec![(0, i64::MAX)], vec![]));
    shelf.put(Asset { kind: Kind::Recording, keep_until_ms: Some(1), ..asset("1", 1_000) }).expect("written");
    assert_eq!(pins("live/a"), [(1_000, i64::MAX)]);
    shelf.sweep(1);
    assert_eq!(pins("live/a"), [(1_010, i64::MAX)], "what was recorded once is not again");
}

fn found(shelf: &Shelf, wanted: Wanted) -> (Vec<String>, Option<String>) {
    let found = shelf.find(&wanted).expect("good");
    (found.items.into_iter().map(|a| a.id).collect(), found.next)
}

#[test]
fn assets_are_found_by_stream_time_kind_and_words_page_by_page() {
    let folder = Folder::new("found");
    let shelf = folder.shelf(&StoreConfig::default());
    for asset in [
        asset("1", 1_000),
        Asset { title: "Élan".into(), ..asset("2", 2_000_000) },
        Asset { kind: Kind::Recording, stream: "live/b".into(), ..asset("3", 3_000_000) },
        Asset { deleted_ms: Some(i64::MAX / 2), ..asset("4", 4_000_000) },
    ] {
        shelf.put(asset).expect("written");
    }
    let all = Wanted { limit: 50, ..Wanted::default() };
    let some = |wanted: Wanted| found(&shelf, wanted).0;
    let at = |text: &str| Some(Moment::Text(text.into()));
    assert_eq!(some(all.clone()), ["3", "2", "1"]);
    for (want, wanted) in [
        (vec!["2", "1"], Wanted { stream: Some("live/a".into()), ..all.clone() }),
        (vec!["3"], Wanted { kind: Some(wire::Kind::Recording), ..all.clone() }),
        (vec!["2"], Wanted { words: Some("éLAN".into()), ..all.clone() }),
        (vec!["3"], Wanted { words: Some("live/b".into()), ..all.clone() }),
        (vec!["4"], Wanted { deleted: true, ..all.clone() }),
        (vec!["3", "2"], Wanted { from: at("1970-01-01T00:00:02Z"), ..all.clone() }),
        (vec!["2", "1"], Wanted { to: at("2500"), ..all.clone() }),
        (vec![], Wanted { from: at("2500"), to: at("2600"), ..all.clone() }),
    ] {
        assert_eq!(some(wanted.clone()), want, "{wanted:?}");
    }
    let (mut seen, mut wanted) = (Vec::new(), Wanted { limit: 1, ..all });
    loop {
        let (ids, next) = found(&shelf, wanted.clone());
        seen.extend(ids);
        // One that goes between two pages breaks nothing.
        lock(&shelf.book).assets.forget("3").expect("written");
        let Some(next) = next else { break };
        wanted.cursor = Some(next);
    }
    assert_eq!(seen, ["3", "2", "1"]);
    let bad = |wanted: Wanted| matches!(shelf.find(&wanted), Err(Fault::Invalid(_)));
    assert!(bad(Wanted { cursor: Some("x".into()), ..Wanted::default() }));
    assert!(bad(Wanted { from: at("soon"), ..Wanted::default() }));
}

fn hub(folder: &Folder, keep_s: u32) -> Arc<Hub> {
    let mut config = Config::default();
    config.store.keep_s = keep_s;
    Hub::new(config, nx_access::Gate::open(nx_access::Terms::default()).unwrap(), &folder.0).expect("opens")
}

#[test]
fn changes_are_checked_and_kept() {
    let folder = Folder::new("changes");
    let hub = hub(&folder, 60);
    let kept = hub.kept.as_ref().expect("kept");
    kept.shelf.put(asset("1", 1_000)).expect("written");
    let change = |title: Option<&str>, keep_until: Option<Option<&str>>| {
        let keep_until = keep_until.map(|until| until.map(str::to_owned));
        hub.change("1", AssetChange { title: title.map(str::to_owned), keep_until })
    };
    let long = "x".repeat(201);
    for (title, until) in [
        (Some(""), None),
        (Some("two\nlines"), None),
        (Some(long.as_str()), None),
        (None, Some(Some("soon"))),
        (None, Some(Some("2001-01-01T00:00:00Z"))),
    ] {
        assert!(matches!(change(title, until), Err(Fault::Invalid(_))), "{title:?} {until:?}");
    }
    let until = "2999-01-01T00:00:00.000Z";
    let asset = change(Some("New"), Some(Some(until))).expect("good");
    assert_eq!((asset.title.as_str(), asset.keep_until.as_deref()), ("New", Some(until)));
    let asset = change(None, None).expect("good");
    assert_eq!((asset.title.as_str(), asset.keep_until.is_some()), ("New", true), "what is not told stays");
    assert_eq!(change(None, Some(None)).expect("good").keep_until, None);
    let first = hub.delete("1").expect("good");
    let second = hub.delete("1").expect("good");
    assert!(first.deleted_at.is_some() && first == second && first.state == wire::State::Deleted);
    assert_eq!(hub.restore("1").expect("good").state, wire::State::Ready);
    assert!(matches!(hub.delete("2"), Err(Fault::NotFound(_))));
    // The idempotency key of a cut is as durable as the cut.
    let cut = |stream: &str| {
        let (from, to) = (Moment::Seconds(-5.0), Moment::Seconds(0.0));
        hub.cut(NewCut { stream: stream.into(), from, to, title: None }, Some("once 1"))
    };
    assert_eq!(cut("live/a").expect("made before").id, "1");
    assert!(matches!(cut("live/b"), Err(Fault::Conflict(_))));
}

#[test]
fn without_a_store_there_is_nothing_and_with_assets_there_is_a_store() {
    let folder = Folder::new("without");
    let nothing = hub(&folder, 0);
    let new = NewCut {
        stream: "live/a".into(),
        from: Moment::Seconds(-5.0),
        to: Moment::Seconds(0.0),
        title: None,
    };
    assert!(matches!(nothing.cut(new, None), Err(Fault::NotFound(_))));
    assert!(nothing.find(&Wanted::default()).expect("none").items.is_empty() && nothing.kept.is_none());
    let kept = hub(&folder, 60).kept.clone().expect("kept");
    kept.shelf.put(asset("1", 1_000)).expect("written");
    drop(kept);
    assert_eq!(hub(&folder, 0).asset("1").expect("still there").id, "1");
}
