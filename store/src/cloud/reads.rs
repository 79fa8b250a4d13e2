//! What is read from object storage: once for all who want the same, few at a time, and kept in memory for a while.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// What is kept; the one that was not wanted for longest goes first.
const HELD_BYTES: usize = 32 << 20;
/// Requests at a time.
const RUNNING_MAX: usize = 16;
/// Who waits for one of them, or for a place; others are told to come again.
const WAITING_MAX: usize = 64;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Object, place and length.
pub(crate) type Key = (String, u64, u64);

/// What a request came to, for all who waited for it.
type Outcome = Arc<OnceLock<Result<Bytes, (io::ErrorKind, String)>>>;

#[derive(Debug, Default)]
pub(crate) struct Reads {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The one wanted last is last.
    held: VecDeque<(Key, Bytes)>,
    bytes: usize,
    running: HashMap<Key, Outcome>,
    waiting: usize,
}

impl Reads {
    /// The bytes of `key`, by `fetch` if nobody has them.
    #[expect(clippy::disallowed_methods, reason = "the rim: how long a reader waits")]
    pub(crate) fn get(&self, key: Key, fetch: impl FnOnce() -> io::Result<Bytes>) -> io::Result<Bytes> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        let outcome = loop {
            if let Some(bytes) = state.find(&key) {
                return Ok(bytes);
            }
            if let Some(outcome) = state.running.get(&key).cloned() {
                drop(self.wait(state, deadline, |_| outcome.get().is_none())?);
                let shared = outcome.get().ok_or(io::ErrorKind::HostUnreachable)?;
                return shared.clone().map_err(|(kind, text)| io::Error::new(kind, text));
            }
            if state.running.len() < RUNNING_MAX {
                let outcome = Outcome::default();
                state.running.insert(key.clone(), outcome.clone());
                break outcome;
            }
            state = self.wait(state, deadline, |s| s.running.len() >= RUNNING_MAX)?;
        };
        drop(state);
        let got = fetch();
        let shared = got.as_ref().map(Bytes::clone).map_err(|e| (e.kind(), e.to_string()));
        let _ = outcome.set(shared);
        let mut state = self.lock();
        state.running.remove(&key);
        if let Ok(bytes) = &got {
            state.hold(key, bytes.clone());
        }
        drop(state);
        self.changed.notify_all();
        got
    }

    /// Waits as long as `unready`.
    #[expect(clippy::disallowed_methods, reason = "the rim: how long a reader waits")]
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        deadline: Instant,
        unready: impl Fn(&State) -> bool,
    ) -> io::Result<MutexGuard<'a, State>> {
        let busy = |why| Err(io::Error::new(io::ErrorKind::HostUnreachable, why));
        if state.waiting >= WAITING_MAX {
            return busy("too many wait for object storage already");
        }
        state.waiting += 1;
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(state, left, |s| unready(s));
        let (mut state, time) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        if time.timed_out() { busy("object storage did not answer in time") } else { Ok(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, key: &Key) -> Option<Bytes> {
        let at = self.held.iter().position(|(k, _)| k == key)?;
        let found = self.held.remove(at)?;
        let bytes = found.1.clone();
        self.held.push_back(found);
        Some(bytes)
    }

    fn hold(&mut self, key: Key, bytes: Bytes) {
        if bytes.len() > HELD_BYTES / 2 {
            return;
        }
        self.bytes += bytes.len();
        self.held.push_back((key, bytes));
        while self.bytes > HELD_BYTES
            && let Some((_, gone)) = self.held.pop_front()
        {
            self.bytes -= gone.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    fn key(name: &str) -> Key {
        (name.to_owned(), 0, 1)
    }

    #[test]
    fn one_request_answers_all_who_want_the_same_at_the_time_and_after() {
        let (reads, count) = (Reads::default(), AtomicUsize::new(0));
        let (go, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let fetch = || {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = wait.lock().expect("not poisoned").recv();
            Ok(Bytes::from_static(b"x"))
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| reads.get(key("a"), fetch))).collect();
            while reads.lock().waiting < 7 {
                std::thread::yield_now();
            }
            drop(go);
            for thread in all {
                assert_eq!(thread.join().expect("no panic").expect("reads"), "x");
            }
        });
        assert_eq!(reads.get(key("a"), || panic!("it is held")).expect("reads"), "x");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failure_is_told_to_all_who_waited_and_the_next_tries_again() {
        let reads = Reads::default();
        let (go, wait) = channel::<()>();
        std::thread::scope(|scope| {
            let reads = &reads;
            let first = scope.spawn(move || {
                reads.get(key("a"), || {
                    let _ = wait.recv();
                    Err(io::Error::new(io::ErrorKind::HostUnreachable, "away"))
                })
            });
            while reads.lock().running.is_empty() {
                std::thread::yield_now();
            }
            let second = scope.spawn(move || reads.get(key("a"), || panic!("somebody asks already")));
            while reads.lock().waiting == 0 {
                std::thread::yield_now();
            }
            drop(go);
            for thread in [first, second] {
                let error = thread.join().expect("no panic").expect_err("fails");
                assert_eq!(
                    (error.kind(), error.to_string().as_str()),
                    (io::ErrorKind::HostUnreachable, "away")
                );
            }
        });
        assert_eq!(reads.get(key("a"), || Ok(Bytes::from_static(b"y"))).expect("reads"), "y");
    }

    #[test]
    fn what_is_held_and_who_waits_is_bounded() {
        let reads = Reads::default();
        for n in 0..100_u64 {
            let bytes = Bytes::from(vec![0; 1 << 20]);
            reads.get(("a".to_owned(), n, 1), || Ok(bytes)).expect("reads");
        }
        let state = reads.lock();
        assert!(state.bytes <= HELD_BYTES && state.held.len() == HELD_BYTES >> 20, "{}", state.held.len());
        assert_eq!(state.held.back().map(|(k, _)| k.1), Some(99), "the newest");
        drop(state);
        reads.lock().waiting = WAITING_MAX;
        reads.lock().running.insert(key("b"), Outcome::default());
        let error = reads.get(key("b"), || panic!("somebody asks already")).expect_err("too many");
        assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
    }
}
