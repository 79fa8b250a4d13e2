//! One writer and many readers, driven by hand.

use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::life::Life;
use crate::object::Source;

/// Counts how often it is called.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn fill(kept_max: u64, window: u64) -> Arc<Fill> {
    Fill::new(Bounds { kept_max, window }, Arc::new(Budget::new(1_000_000)))
}

fn head(length: Option<u64>) -> Head {
    let headers = HeaderMap::new();
    Head {
        status: StatusCode::OK,
        headers,
        length,
        life: Life::default(),
        alone: false,
        from: Source::Origin,
    }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// How it ended; `None` while more may come.
type End = Option<Result<(), Failure>>;

/// All that a reader gets now, and how it ends.
fn read(reader: &mut Reader, end: u64) -> (Vec<u8>, End) {
    let mut all = Vec::new();
    loop {
        match reader.poll_bytes(&cx(), end) {
            Poll::Pending => return (all, None),
            Poll::Ready(None) => return (all, Some(Ok(()))),
            Poll::Ready(Some(Err(failure))) => return (all, Some(Err(failure))),
            Poll::Ready(Some(Ok(bytes))) => all.extend_from_slice(&bytes),
        }
    }
}

#[test]
fn whoever_comes_late_gets_all_there_is_at_once_and_the_rest_as_it_comes() {
    let fill = fill(100, 10);
    let mut first = fill.join().unwrap();
    assert!(first.poll_head(&cx()).is_pending());
    fill.open(head(None));
    fill.append(Bytes::from_static(b"abc")).unwrap();
    let mut late = fill.join().unwrap();
    assert!(late.poll_head(&cx()).is_ready());
    assert_eq!(read(&mut late, u64::MAX), (b"abc".to_vec(), None));
    fill.append(Bytes::from_static(b"de")).unwrap();
    let object = fill.complete().unwrap().expect("kept");
    assert_eq!((object.len(), object.head.length), (5, Some(5)));
    assert_eq!(read(&mut late, u64::MAX), (b"de".to_vec(), Some(Ok(()))));
    assert_eq!(read(&mut first, u64::MAX), (b"abcde".to_vec(), Some(Ok(()))));
    let mut range = fill.join().unwrap();
    range.skip_to(1);
    assert_eq!(read(&mut range, 3), (b"bc".to_vec(), Some(Ok(()))));
}

#[test]
fn a_failed_fill_breaks_everybody_and_is_never_whole() {
    for (name, length, body, ends) in [
        ("breaks off", None, 3, false),
        ("shorter than said", Some(4), 3, true),
        ("longer than said", Some(2), 3, true),
    ] {
        let fill = fill(100, 10);
        let (mut a, mut b) = (fill.join().unwrap(), fill.join().unwrap());
        fill.open(head(length));
        let appended = fill.append(Bytes::from(vec![7; body]));
        if ends && appended.is_ok() {
            assert!(fill.complete().is_err(), "{name}");
        } else {
            fill.fail(Failure::Bad("gone".into()));
        }
        for reader in [&mut a, &mut b] {
            assert!(matches!(read(reader, u64::MAX), (bytes, Some(Err(_))) if bytes.is_empty()), "{name}");
            assert!(reader.whole().is_none() && matches!(reader.poll_head(&cx()), Poll::Ready(Err(_))));
        }
        assert!(fill.join().is_none(), "{name}: nobody joins it");
        assert_eq!(fill.budget.held(), 0, "{name}");
    }
}

#[test]
fn a_reader_within_its_range_learns_of_a_failure_only_beyond_it() {
    let fill = fill(100, 10);
    let mut reader = fill.join().unwrap();
    fill.open(head(Some(9)));
    fill.append(Bytes::from_static(b"abc")).unwrap();
    assert_eq!(read(&mut reader, 3), (b"abc".to_vec(), Some(Ok(()))));
    fill.fail(Failure::Bad("gone".into()));
    assert_eq!(read(&mut reader, 3), (vec![], Some(Ok(()))), "it has what it asked for");
}

#[test]
fn what_is_for_one_alone_is_for_the_first_and_waits_for_him() {
    let fill = fill(100, 4);
    let (mut leader, mut other) = (fill.join().unwrap(), fill.join().unwrap());
    fill.open(Head { alone: true, ..head(None) });
    assert!(matches!(leader.poll_head(&cx()), Poll::Ready(Ok(_))) && leader.passes());
    assert!(matches!(other.poll_head(&cx()), Poll::Ready(Err(Failure::Alone))));
    drop(other);
    assert!(fill.join().is_none());
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    fill.append(Bytes::from_static(b"abcd")).unwrap();
    assert!(fill.poll_room(&Context::from_waker(&waker)).is_pending(), "a window ahead");
    assert_eq!(read(&mut leader, u64::MAX), (b"abcd".to_vec(), None));
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    assert_eq!(fill.poll_room(&cx()), Poll::Ready(Room::Open));
    assert!(fill.state().blocks.is_empty(), "nothing is held that was read");
    drop(leader);
    assert_eq!(fill.poll_room(&cx()), Poll::Ready(Room::Deserted));
}

#[test]
fn what_grows_too_large_passes_on_and_breaks_who_is_too_slow() {
    let fill = fill(8, 4);
    let (mut quick, mut slow) = (fill.join().unwrap(), fill.join().unwrap());
    fill.open(head(None));
    for _ in 0..4 {
        fill.append(Bytes::from_static(b"abc")).unwrap();
        read(&mut quick, u64::MAX);
    }
    assert!(!fill.is_shared() && fill.join().is_none());
    assert_eq!(read(&mut slow, u64::MAX).1, Some(Err(Failure::Slow)));
    assert_eq!(fill.budget.held(), 0);
    drop(slow);
    assert!(fill.complete().unwrap().is_none(), "it is not kept");
    assert_eq!(read(&mut quick, u64::MAX), (vec![], Some(Ok(()))));
}

#[test]
fn without_memory_it_is_passed_on_and_not_kept() {
    let budget = Arc::new(Budget::new(4));
    let fill = Fill::new(Bounds { kept_max: 100, window: 10 }, budget.clone());
    let mut reader = fill.join().unwrap();
    fill.open(head(None));
    fill.append(Bytes::from_static(b"abc")).unwrap();
    assert_eq!(budget.held(), 3);
    fill.append(Bytes::from_static(b"de")).unwrap();
    assert_eq!((budget.held(), fill.is_shared()), (0, false));
    assert_eq!(read(&mut reader, u64::MAX), (b"abcde".to_vec(), None));
    drop(fill);
    assert!(budget.take(4), "all is given back");
}

#[test]
fn readers_are_called_by_what_they_wait_for_and_once() {
    let fill = fill(1_000, 10);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut readers: Vec<Reader> = (0..100).map(|_| fill.join().unwrap()).collect();
    let poll_all = |readers: &mut Vec<Reader>| {
        for reader in readers {
            for _ in 0..3 {
                assert!(reader.poll_head(&Context::from_waker(&waker)).is_pending());
            }
        }
    };
    poll_all(&mut readers);
    fill.open(head(Some(2)));
    assert_eq!(bell.0.load(Ordering::Relaxed), 100);
    // One that leaves is not called, and nobody else notices.
    readers.truncate(99);
    for reader in &mut readers {
        assert!(reader.poll_bytes(&Context::from_waker(&waker), 2).is_pending());
        assert!(reader.poll_until(&Context::from_waker(&waker), 1).is_pending());
    }
    fill.append(Bytes::from_static(b"ab")).unwrap();
    assert_eq!(bell.0.load(Ordering::Relaxed), 199);
    assert_eq!(readers[98].poll_until(&cx(), 1), Poll::Ready(Ok(2)));
}

#[test]
fn short_pieces_become_few_blocks() {
    let fill = fill(u64::MAX, 10);
    let mut reader = fill.join().unwrap();
    fill.open(head(None));
    let piece = Bytes::from(vec![1; 10_000]);
    for _ in 0..40 {
        fill.append(piece.clone()).unwrap();
    }
    assert_eq!(read(&mut reader, 15_000).0.len(), 15_000);
    let object = fill.complete().unwrap().expect("kept");
    assert_eq!((object.body.len(), object.len()), (1, 400_000));
    assert_eq!(read(&mut reader, u64::MAX).0.len(), 385_000, "its place is where it was");
}

proptest! {
    /// Whatever the pieces, windows and speeds: who is not told otherwise has read every byte, in order.
    #[test]
    fn nobody_gets_other_bytes(
        pieces in proptest::collection::vec(1usize..50, 1..40),
        kept_max in 1u64..600,
        window in 1u64..200,
        steps in proptest::collection::vec((0usize..4, any::<bool>()), 1..200),
    ) {
        let fill = fill(kept_max, window);
        let whole: Vec<u8> = (0..pieces.iter().sum::<usize>()).map(|n| (n % 251) as u8).collect();
        let mut readers: Vec<(Reader, Vec<u8>, End)> =
            (0..4).map(|_| (fill.join().unwrap(), vec![], None)).collect();
        fill.open(head(None));
        let (mut at, mut pieces) = (0, pieces.into_iter());
        let mut ended = false;
        for (who, writes) in steps.into_iter().chain((0..400).map(|n| (n % 4, true))) {
            if writes && !ended && fill.poll_room(&cx()).is_ready() {
                match pieces.next() {
                    Some(len) => {
                        fill.append(Bytes::copy_from_slice(&whole[at..at + len])).unwrap();
                        at += len;
                    }
                    None => {
                        fill.complete().unwrap();
                        ended = true;
                    }
                }
            }
            let (reader, got, end) = &mut readers[who];
            if end.is_none() {
                if let Poll::Ready(step) = reader.poll_bytes(&cx(), u64::MAX) {
                    match step {
                        Some(Ok(bytes)) => got.extend_from_slice(&bytes),
                        Some(Err(failure)) => *end = Some(Err(failure)),
                        None => *end = Some(Ok(())),
                    }
                }
                prop_assert!(whole.starts_with(got));
                if *end == Some(Ok(())) {
                    prop_assert_eq!(&*got, &whole);
                }
            }
            let held: usize = fill.state().blocks.iter().map(|(_, b)| b.len()).sum();
            prop_assert!(held as u64 <= kept_max.max(window) + 50, "{} held", held);
        }
    }
}
