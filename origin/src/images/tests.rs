//! What is kept of pictures is bounded, and the newest of it.

use bytes::Bytes;

use super::shelf::{Memory, Shelf};

fn jpeg(len: usize) -> Bytes {
    vec![7; len].into()
}

#[test]
fn memory_forgets_what_was_not_asked_for_longest() {
    let mut memory = Memory::new(100);
    memory.put("a".into(), jpeg(40));
    memory.put("b".into(), jpeg(40));
    assert_eq!(memory.get("a"), Some(jpeg(40)));
    memory.put("c".into(), jpeg(40));
    assert_eq!(["a", "b", "c"].map(|name| memory.get(name).is_some()), [true, false, true]);
    memory.put("d".into(), jpeg(101));
    memory.put("a".into(), jpeg(40));
    assert_eq!(["a", "c", "d"].map(|name| memory.get(name).is_some()), [true, true, false]);
}

#[tokio::test]
async fn a_shelf_stays_in_its_bounds_and_outlives_its_process() {
    let folder = std::env::temp_dir().join(format!("nx-shelf-{}", std::process::id()));
    let shelf = Shelf::open(folder.clone(), 100);
    assert_eq!(shelf.get("a").await, None);
    shelf.put("a", jpeg(40)).await;
    shelf.put("b", jpeg(41)).await;
    assert_eq!(shelf.get("a").await, Some(jpeg(40)));
    shelf.put("c", jpeg(42)).await;
    assert_eq!(shelf.get("b").await, None, "asked for longest ago");
    let shelf = Shelf::open(folder.clone(), 50);
    let left = [shelf.get("a").await, shelf.get("c").await];
    assert_eq!(left.iter().flatten().count(), 1, "less may stay than there was");
    let files = std::fs::read_dir(&folder).expect("a folder").count();
    assert_eq!(files, 1);
    std::fs::remove_dir_all(folder).expect("removes");
}
