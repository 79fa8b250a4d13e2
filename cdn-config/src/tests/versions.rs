//! What changes, and what is kept.

use std::path::PathBuf;

use super::sample;
use crate::{History, HistoryError, Network, difference};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("nexus-cdn-{}-{name}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn differences_are_told_by_name() {
    let old = sample("two-regions");
    assert_eq!(difference(&old, &old), []);
    let mut new = old.clone();
    new.edges.remove(0);
    new.edges.reverse();
    new.edges[0].viewers_max = 5;
    new.routes[0].origins.reverse();
    new.routes[1].limit = None;
    new.steering = None;
    new.regions.reverse();
    let told: Vec<String> = difference(&old, &new).iter().map(ToString::to_string).collect();
    let begins = [
        "- edge eu-1: {",
        "~ edge us-2: viewers_max: 20000 → 5",
        "~ order of regions: [\"eu\",\"us\"] → [\"us\",\"eu\"]",
        "~ route /live/*: origins: [\"o1\",\"o2\"] → [\"o2\",\"o1\"]",
        "- route /vod/*: limit: \"viewer\"",
        "- steering: {",
    ];
    assert_eq!(told.len(), begins.len(), "{told:#?}");
    assert!(told.iter().zip(begins).all(|(told, begin)| told.starts_with(begin)), "{told:#?}");
}

#[test]
fn versions_are_numbered_and_old_ones_come_back_as_new_ones() {
    let folder = Folder::new("versions");
    let history = History::open(&folder.0).expect("a folder");
    assert_eq!((history.list().expect("a list"), history.current().expect("none")), (vec![], None));
    let (one, two) = (sample("one-region"), sample("two-regions"));
    assert_eq!(history.put(&one).expect("kept"), 1);
    assert_eq!(history.put(&two).expect("kept"), 2);
    assert_eq!(history.roll_back(1).expect("kept"), 3);
    let again = History::open(&folder.0).expect("the same");
    assert_eq!((again.list().expect("a list"), again.current().expect("one")), (vec![1, 2, 3], Some(3)));
    assert_eq!((again.read(3).expect("it"), again.read(2).expect("it")), (one, two));
    assert!(matches!(again.read(9), Err(HistoryError::Unknown(9))));
    assert!(matches!(again.roll_back(9), Err(HistoryError::Unknown(9))));
    std::fs::write(folder.0.join("2.toml"), "[[edge]]").expect("spoilt");
    assert!(matches!(again.roll_back(2), Err(HistoryError::Unreadable { number: 2, .. })));
    assert_eq!(again.current().expect("one"), Some(3), "what cannot be read is not put in force");
}

#[test]
fn what_a_killed_process_left_half_written_is_no_version() {
    let folder = Folder::new("half");
    let history = History::open(&folder.0).expect("a folder");
    history.put(&Network::default()).expect("kept");
    std::fs::write(folder.0.join("2.toml.new"), "[[ed").expect("half");
    std::fs::write(folder.0.join("current.new"), "2").expect("half");
    assert_eq!((history.list().expect("a list"), history.current().expect("one")), (vec![1], Some(1)));
    assert_eq!(history.put(&sample("one-region")).expect("kept"), 2);
    assert_eq!(history.read(2).expect("whole"), sample("one-region"));
}

#[test]
fn a_file_is_taken_when_it_changes_and_not_when_the_process_starts_again() {
    let folder = Folder::new("file");
    let history = History::open(&folder.0).expect("a folder");
    let (one, two) = (sample("one-region"), sample("two-regions"));
    assert_eq!(history.take(&one).expect("kept"), Some(1));
    assert_eq!(history.put(&two).expect("kept"), 2, "from elsewhere");
    let again = History::open(&folder.0).expect("the same");
    assert_eq!((again.take(&one).expect("read"), again.current().expect("one")), (None, Some(2)));
    assert_eq!(again.take(&Network::default()).expect("kept"), Some(3));
    assert_eq!(again.take(&one).expect("kept"), Some(4), "it changed back");
}
